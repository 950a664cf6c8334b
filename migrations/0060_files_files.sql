-- Files: what is known of them. Their bytes are blobs, under {tenant}/{bucket}/{id}/.

create schema files;
grant usage on schema files to pk_app, pk_system;

create table files.file (
    id uuid primary key,
    tenant_id uuid not null,
    bucket text not null check (bucket in ('avatars', 'assets', 'documents', 'exports', 'modules')),
    name text not null,
    description text,
    -- What it is declared as, as far as its bytes allow that.
    media_type text not null,
    size bigint not null check (size >= 0),
    sha256 bytea not null,
    state text not null check (state in ('pending_scan', 'available', 'rejected', 'deleted')),
    -- Why it was rejected.
    reason text,
    -- Of pictures, upright.
    width integer,
    height integer,
    -- Whether something shows through a picture; null for what is none.
    is_transparent boolean,
    -- The file it was made from.
    derived_from uuid,
    uploaded_by uuid,
    version integer not null default 1,
    created_at timestamptz not null default kernel.now(),
    updated_at timestamptz not null default kernel.now(),
    deleted_at timestamptz,
    -- When a deleted or rejected file goes for good.
    destroy_at timestamptz
);
create index file_by_time on files.file (tenant_id, created_at desc, id desc);
call kernel.protect('files.file');

-- Uploads under way, with what they hold of the tenant's storage. One that ends in any way takes its row with it; those of
-- a process that died are cleared later.
create table files.upload (
    -- Of the file that it will be.
    id uuid primary key,
    tenant_id uuid not null,
    bucket text not null,
    reserved bigint not null check (reserved >= 0),
    -- Real time.
    started_at timestamptz not null default clock_timestamp()
);
create index upload_of_tenant on files.upload (tenant_id);
create index upload_by_age on files.upload (started_at);
call kernel.protect('files.upload');

-- A copy has no uploads under way, and owes nothing for them.
insert into kernel.not_cloned values ('files.upload',
    $$with gone as (delete from files.upload returning tenant_id, reserved),
           held as (select tenant_id, sum(reserved) as bytes from gone group by tenant_id)
      update kernel.allowance a set used = greatest(a.used - h.bytes, 0)
      from held h where a.tenant_id = h.tenant_id and a.name = 'storageBytes'$$);

-- What counts against the plan: files that were not rejected, and what uploads under way hold.
insert into kernel.allowance_truth values
    ('storageBytes', $$select coalesce((select sum(size) from files.file where tenant_id = $1 and state <> 'rejected'), 0)::bigint
        + coalesce((select sum(reserved) from files.upload where tenant_id = $1), 0)::bigint$$);
