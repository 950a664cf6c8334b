-- +goose Up
create type deal_stage as enum ('lead', 'qualified', 'proposal', 'negotiation', 'won', 'lost');

create table deals (
    id uuid primary key default gen_random_uuid(),
    tenant_id uuid not null,
    company_id uuid not null,
    contact_id uuid,
    reference varchar(40) not null check (reference <> ''),
    title varchar(200) not null check (title <> ''),
    stage deal_stage not null default 'lead',
    amount bigint not null default 0 check (amount >= 0 and amount <= 1000000000000),
    currency varchar(3) not null default 'EUR' check (currency ~ '^[A-Z]{3}$'),
    probability integer not null default 10 check (probability >= 0 and probability <= 100),
    expected_close date,
    lost_reason varchar(500),
    internal_note text,
    unique (tenant_id, id),
    unique (tenant_id, reference),
    -- A company with deals stays: deleting it would falsify the reports.
    foreign key (tenant_id, company_id) references companies (tenant_id, id) on delete restrict,
    foreign key (tenant_id, contact_id) references contacts (tenant_id, id) on delete set null (contact_id),
    check (lost_reason is null or stage = 'lost')
);

create index deals_by_stage on deals (tenant_id, stage);
create index deals_by_company on deals (tenant_id, company_id);
create index deals_by_contact on deals (tenant_id, contact_id);
create index deals_by_expected_close on deals (tenant_id, expected_close);

comment on type deal_stage is 'From first interest to a result; won and lost are final.';
comment on table deals is 'A sale in the making, with one company.';
comment on column deals.reference is 'The number people quote, such as D-2026-0042; unique.';
comment on column deals.amount is 'Minor units (cents) of currency.';
comment on column deals.currency is 'ISO 4217.';
comment on column deals.probability is 'Percent, as the seller judges it.';
comment on column deals.lost_reason is 'Only on a lost deal.';
comment on column deals.internal_note is 'Not for the API: hidden in the manifest, reachable by migrations only.';

-- +goose Down
drop table deals;
drop type deal_stage;
