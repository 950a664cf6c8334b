-- Domains that tenants add. Whose a verified hostname is in the whole installation stands in the control database.

create schema domain;
grant usage on schema domain to pk_app, pk_system;

create table domain.hostname (
    tenant_id uuid not null,
    id uuid not null,
    -- Lower case, punycode.
    hostname text not null,
    status text not null default 'pending' check (status in ('pending', 'verified', 'failed')),
    -- What the name's owner writes into its zone; no secret.
    token text not null,
    -- What was seen last, in words; null when the proof was.
    seen text,
    seen_at timestamptz,
    created_at timestamptz not null default kernel.now(),
    -- When nobody looks any more.
    ends_at timestamptz not null,
    verified_at timestamptz,
    primary key (tenant_id, id),
    constraint hostname_by_name unique (tenant_id, hostname)
);
call kernel.protect('domain.hostname');

-- A copy answers under its own hosts only.
insert into kernel.not_cloned values ('domain.hostname', null);
-- Whose a hostname is stands in the world outside: going back to a snapshot takes nothing of it back.
insert into kernel.carried values
    ('domain.hostname',
     'select jsonb_agg(to_jsonb(h)) from domain.hostname h',
     'insert into domain.hostname select h.* from jsonb_populate_recordset(null::domain.hostname, $1) h');
