-- What belongs to the process: the installation, its sandboxes, the operator's sessions.

create schema control;
grant usage on schema control to pk_system;

create table control.installation (
    only_row boolean primary key default true check (only_row),
    id uuid not null,
    -- Known text sealed with the installation key: a replica with another key is refused.
    key_check bytea not null,
    created_at timestamptz not null default clock_timestamp()
);

create table control.sandbox (
    name text primary key,
    -- Names its keys; a new one for each copy.
    id uuid not null unique,
    state text not null check (state in ('creating', 'ready', 'changing', 'deleting', 'failed')),
    -- What a reset goes back to: empty, demo, or a seed file.
    template text not null,
    -- The sandbox it was forked from.
    source text,
    -- Grows with each reset, fork and restore: cells of an older one are closed.
    generation bigint not null default 1,
    -- The schema's fingerprint when it was last opened.
    schema_fingerprint text not null default '',
    failure text,
    -- Prefixes of its ancestors' files, nearest first.
    blob_prefixes text[] not null default '{}',
    created_at timestamptz not null default clock_timestamp(),
    last_used_at timestamptz not null default clock_timestamp(),
    -- Real time: when it deletes itself.
    expires_at timestamptz,
    -- Real time: when sleeping work is due.
    due_at timestamptz
);
create index sandbox_by_expiry on control.sandbox (expires_at) where expires_at is not null;
create index sandbox_by_due on control.sandbox (due_at) where due_at is not null;

-- Points that a sandbox can go back to; the database of one is `pk__snap_{id}`.
create table control.snapshot (
    sandbox text not null references control.sandbox on delete cascade,
    label text not null,
    id uuid not null unique,
    -- Names the keys with which its secrets are sealed: the sandbox's id at that time.
    key_id uuid not null,
    -- Prefixes of its files: the sandbox's own at that time, then its ancestors'.
    blob_prefixes text[] not null,
    schema_fingerprint text not null,
    -- What the sandbox's clock showed.
    clock timestamptz not null,
    created_at timestamptz not null default clock_timestamp(),
    primary key (sandbox, label)
);

create table control.operator_link (
    hash bytea primary key,
    expires_at timestamptz not null
);

create table control.operator_session (
    hash bytea primary key,
    expires_at timestamptz not null
);

do $$
declare
    name text;
begin
    foreach name in array array['installation', 'sandbox', 'snapshot', 'operator_link', 'operator_session'] loop
        execute format('alter table control.%I enable row level security', name);
        execute format('alter table control.%I force row level security', name);
        execute format('create policy system_rows on control.%I to pk_system using (true) with check (true)', name);
        execute format('create policy owner_rows on control.%I to pk_owner using (true) with check (true)', name);
        execute format('grant select, insert, update, delete on control.%I to pk_system', name);
    end loop;
end
$$;
