-- +goose Up
create table contacts (
    id uuid primary key default gen_random_uuid(),
    tenant_id uuid not null,
    company_id uuid,
    first_name varchar(100) not null check (first_name <> ''),
    last_name varchar(100) not null check (last_name <> ''),
    email varchar(254) not null check (email like '%_@_%'),
    phone varchar(40),
    job_title varchar(120),
    language varchar(2) not null default 'en' check (language ~ '^[a-z]{2}$'),
    newsletter boolean not null default false,
    birthday date,
    last_contacted_at timestamptz,
    score integer not null default 0 check (score >= 0 and score <= 100),
    custom jsonb not null default '{}',
    unique (tenant_id, id),
    unique (tenant_id, email),
    -- Only company_id is emptied: tenant_id must stay, it is not null.
    foreign key (tenant_id, company_id) references companies (tenant_id, id) on delete set null (company_id)
);

create index contacts_by_company on contacts (tenant_id, company_id);
create index contacts_by_name on contacts (tenant_id, last_name, first_name);

comment on table contacts is 'People, usually at a company.';
comment on column contacts.email is 'Lower case; one contact per address.';
comment on column contacts.language is 'ISO 639-1, the language to write to them in.';
comment on column contacts.newsletter is 'True only with their consent.';
comment on column contacts.score is 'Likelihood to buy, 0 to 100. Computed, so the API refuses to set it.';
comment on column contacts.custom is 'Members of your own, for what has no column yet.';

-- +goose Down
drop table contacts;
