-- Feature flags that a tenant has of its own; those of the installation are a file.

create schema flags;

create table flags.flag (
    id uuid primary key,
    tenant_id uuid not null,
    key text not null,
    -- In the format of GO Feature Flag; checked before it is written.
    definition jsonb not null,
    created_at timestamptz not null,
    updated_at timestamptz not null,
    version integer not null default 1
);
create unique index flag_by_key on flags.flag (tenant_id, key);
call kernel.protect('flags.flag');
