-- +goose Up
-- created_at, updated_at, deleted_at and version are added when the module is
-- registered, and row-level security is forced: write only what is yours.
create table companies (
    id uuid primary key default gen_random_uuid(),
    tenant_id uuid not null,
    name varchar(200) not null check (name <> ''),
    domain varchar(253),
    industry varchar(80),
    website varchar(500),
    phone varchar(40),
    street varchar(200),
    postal_code varchar(20),
    city varchar(100),
    country varchar(2) check (country ~ '^[A-Z]{2}$'),
    employees integer check (employees >= 0),
    annual_revenue bigint check (annual_revenue >= 0),
    tags text[] not null default '{}',
    notes text,
    -- The target of the keys in contacts and deals. Foreign keys look through
    -- row-level security, so the tenant is part of the key itself.
    unique (tenant_id, id),
    unique (tenant_id, domain)
);

create index companies_by_name on companies (tenant_id, name);
create index companies_by_industry on companies (tenant_id, industry);

comment on table companies is 'Organisations we sell to, or would like to.';
comment on column companies.domain is 'Main internet domain, lower case; one company per domain.';
comment on column companies.country is 'ISO 3166-1 alpha-2, upper case.';
comment on column companies.employees is 'Head count as last known.';
comment on column companies.annual_revenue is 'Minor units (cents) of EUR, as last known.';
comment on column companies.tags is 'Free labels for filtering.';

-- +goose Down
drop table companies;
