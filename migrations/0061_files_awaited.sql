-- Files that clients bring to the store themselves, by a signed address: what is awaited, and holds of the tenant's
-- storage. A row goes when the file was looked at, or when its time is over.
create table files.awaited (
    -- Of the file that it will be.
    id uuid primary key,
    tenant_id uuid not null,
    bucket text not null check (bucket in ('avatars', 'assets', 'documents', 'exports', 'modules')),
    name text not null,
    -- What it is declared as.
    media_type text not null,
    -- What it is to have.
    size bigint not null check (size > 0),
    uploaded_by uuid,
    expires_at timestamptz not null
);
create index awaited_of_tenant on files.awaited (tenant_id);
call kernel.protect('files.awaited');

-- The address leads to where the source's files lie: a copy awaits none, and owes nothing for them.
insert into kernel.not_cloned values ('files.awaited',
    $$with gone as (delete from files.awaited returning tenant_id, size),
           held as (select tenant_id, sum(size) as bytes from gone group by tenant_id)
      update kernel.allowance a set used = greatest(a.used - h.bytes, 0)
      from held h where a.tenant_id = h.tenant_id and a.name = 'storageBytes'$$);

update kernel.allowance_truth set query = query ||
    $$ + coalesce((select sum(size) from files.awaited where tenant_id = $1), 0)::bigint$$
where name = 'storageBytes';
