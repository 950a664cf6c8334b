-- The way out: providers with sealed credentials, what was called, and what failed for good.

create schema integration;
grant usage on schema integration to pk_app, pk_system;

-- Each tenant's own key, wrapped by the sandbox's: what is sealed with it opens nowhere else.
create table integration.data_key (
    tenant_id uuid primary key,
    wrapped bytea not null,
    created_at timestamptz not null default kernel.now()
);
call kernel.protect('integration.data_key');

create table integration.provider (
    tenant_id uuid not null,
    id uuid not null,
    name text not null,
    type text not null check (type in ('payment', 'sms', 'email', 'analytics', 'advertising', 'custom')),
    base_url text not null,
    auth_type text not null check (auth_type in ('none', 'api_key', 'bearer', 'basic', 'oauth2', 'hmac')),
    -- Sealed with the tenant's key; null when none are needed, or when they did not travel with a copy.
    credentials bytea,
    config jsonb not null,
    status text not null default 'active' check (status in ('active', 'disabled')),
    -- Grows with each change: breaker, pace and tokens are of one version.
    version integer not null default 1,
    created_at timestamptz not null default kernel.now(),
    updated_at timestamptz not null default kernel.now(),
    primary key (tenant_id, id),
    constraint provider_by_name unique (tenant_id, name)
);
call kernel.protect('integration.provider');

-- Every call, noted before it is made: what a killed process had under way is known.
create table integration.call (
    tenant_id uuid not null,
    id uuid not null,
    -- No foreign key: the log outlives the provider.
    provider_id uuid not null,
    provider text not null,
    origin text not null check (origin in ('call', 'test', 'retry')),
    state text not null default 'running'
        check (state in ('running', 'answered', 'rejected', 'failed', 'interrupted')),
    actor text not null,
    -- The caller's Idempotency-Key.
    request_key uuid,
    -- What all attempts carry.
    idempotency_key uuid not null,
    method text not null,
    -- Secrets are masked in all of these.
    path text not null,
    request_headers jsonb not null,
    request_body text,
    status smallint,
    answer_type text,
    answer_body text,
    answer_bytes bigint,
    attempts smallint not null default 0,
    error text,
    duration_ms integer,
    trace_id text not null,
    at timestamptz not null default kernel.now(),
    -- Real time, for retention and for what was left running.
    logged_at timestamptz not null default clock_timestamp(),
    primary key (tenant_id, id)
);
create index call_running on integration.call (tenant_id, actor, request_key)
    where state = 'running' and request_key is not null;
create index call_of_provider on integration.call (tenant_id, provider_id, id);
create index call_by_age on integration.call (logged_at);
call kernel.protect('integration.call');

-- Calls that failed for good, whole: they can be made again.
create table integration.dead_letter (
    tenant_id uuid not null,
    id uuid not null,
    provider_id uuid not null,
    call_id uuid not null,
    state text not null default 'waiting' check (state in ('waiting', 'queued')),
    method text not null,
    -- Masked.
    path text not null,
    -- The whole request, sealed with the tenant's key.
    request bytea not null,
    idempotency_key uuid not null,
    status smallint,
    error text not null,
    attempts integer not null,
    first_at timestamptz not null default kernel.now(),
    last_at timestamptz not null default kernel.now(),
    -- Real time, for retention.
    logged_at timestamptz not null default clock_timestamp(),
    primary key (tenant_id, id),
    foreign key (tenant_id, provider_id) references integration.provider on delete cascade
);
create index dead_letter_of_provider on integration.dead_letter (tenant_id, provider_id);
create index dead_letter_by_age on integration.dead_letter (logged_at);
call kernel.protect('integration.dead_letter');

-- A copy gets the providers without what opens their doors, and nothing that waits to go out.
insert into kernel.not_cloned values
    ('integration.data_key', null, '{sealed}'),
    ('integration.provider',
     'update integration.provider set credentials = null, version = version + 1 where credentials is not null',
     '{sealed}'),
    ('integration.call', 'update integration.call set state = ''interrupted'' where state = ''running''', '{}'),
    ('integration.dead_letter', null, '{restore}');

-- Whether this sandbox may speak outward: a copy may not until its operator allows it, and notify keeps that.
create function kernel.may_speak() returns boolean
    language sql stable security definer set search_path = pg_catalog, pg_temp
begin atomic
    select o.allowed from notify.outbound o;
end;
revoke execute on function kernel.may_speak() from public;
grant execute on function kernel.may_speak() to pk_app, pk_system;
