-- What the data of published events looks like, as JSON Schema: per tenant, type and version.

create schema event_bus;
grant usage on schema event_bus to pk_app, pk_system;

create table event_bus.event_schema (
    id uuid primary key,
    tenant_id uuid not null,
    type text not null,
    version text not null,
    -- The version's numbers, so that they are ordered as such.
    numbers integer[] not null,
    schema jsonb not null,
    created_at timestamptz not null default kernel.now()
);
create unique index event_schema_by_version on event_bus.event_schema (tenant_id, type, numbers);
call kernel.protect('event_bus.event_schema');
-- A version says for ever what it said: it is neither changed nor taken back.
revoke update, delete on event_bus.event_schema from pk_app;
