-- billing: plans, subscriptions, invoices, use. All dates are on the sandbox's clock.

create schema billing;

-- ---------------------------------------------------------------------------------------------------------------
-- Plans belong to the platform; every tenant may read them.

create table billing.plan (
    id uuid primary key,
    name text not null unique check (name ~ '^[a-z][a-z0-9-]{0,39}$'),
    every text not null check (every in ('monthly', 'yearly')),
    -- Minor units of the currency.
    price bigint not null check (price >= 0),
    currency text not null check (currency ~ '^[A-Z]{3}$'),
    -- {"users", "records", "storageBytes", "eventsPerDay", "modules", "rps", "burst"}; 0 is unlimited.
    limits jsonb not null,
    features text[] not null default '{}',
    -- Whether tenants may choose it themselves; others are given by the platform.
    offered boolean not null default true,
    created_at timestamptz not null default kernel.now(),
    updated_at timestamptz not null default kernel.now(),
    version integer not null default 1
);
grant usage on schema billing to pk_app, pk_system, pk_reader;
alter table billing.plan enable row level security;
alter table billing.plan force row level security;
create policy all_rows on billing.plan for select to pk_app, pk_reader using (true);
create policy system_rows on billing.plan to pk_system using (true) with check (true);
create policy owner_rows on billing.plan to pk_owner using (true) with check (true);
grant select on billing.plan to pk_app, pk_reader;
grant select, insert, update on billing.plan to pk_system;

insert into billing.plan (id, name, every, price, currency, limits, offered) values
    ('00000000-0000-7000-8050-000000000001', 'free', 'monthly', 0, 'USD',
     '{"users": 3, "records": 1000, "storageBytes": 100000000, "eventsPerDay": 1000, "modules": 1, "rps": 50,
       "burst": 100}', true),
    ('00000000-0000-7000-8050-000000000002', 'growth', 'monthly', 4900, 'USD',
     '{"users": 25, "records": 100000, "storageBytes": 10000000000, "eventsPerDay": 100000, "modules": 5, "rps": 500,
       "burst": 1000}', true),
    ('00000000-0000-7000-8050-000000000003', 'pro', 'monthly', 19900, 'USD',
     '{"users": 250, "records": 5000000, "storageBytes": 200000000000, "eventsPerDay": 5000000, "modules": 25,
       "rps": 2000, "burst": 4000}', true),
    ('00000000-0000-7000-8050-000000000004', 'sandbox', 'monthly', 0, 'USD',
     '{"users": 0, "records": 0, "storageBytes": 0, "eventsPerDay": 0, "modules": 0, "rps": 0, "burst": 0}', false);

-- ---------------------------------------------------------------------------------------------------------------
-- Exactly one subscription a tenant, for as long as there is the tenant.

create table billing.subscription (
    id uuid primary key,
    tenant_id uuid not null unique,
    plan_id uuid not null references billing.plan,
    state text not null
        check (state in ('trialing', 'active', 'past_due', 'suspended', 'terminated', 'canceled')),
    -- Periods are counted from here, so that the 31st stays the 31st.
    anchor timestamptz not null,
    period_start timestamptz not null,
    period_end timestamptz not null,
    -- What the running period was billed at; a plan's price may change meanwhile.
    period_price bigint not null check (period_price >= 0),
    -- What takes the plan's place when the period ends.
    next_plan_id uuid references billing.plan,
    cancel_at_period_end boolean not null default false,
    -- Since when a payment is missing, and the day up to which that was followed.
    past_due_since timestamptz,
    dunning_day smallint not null default 0,
    -- Of the tenant, in hundredths of a percent.
    tax_basis_points integer not null default 0 check (tax_basis_points between 0 and 10000),
    -- What is owed to the tenant, in minor units of the plan's currency.
    credit bigint not null default 0 check (credit >= 0),
    -- Stands in for the payment provider of a sandbox: whether a charge goes through.
    pays boolean not null default true,
    ended_at timestamptz,
    created_at timestamptz not null,
    updated_at timestamptz not null,
    version integer not null default 1,
    check ((state in ('past_due', 'suspended', 'terminated')) = (past_due_since is not null)),
    check ((state in ('terminated', 'canceled')) = (ended_at is not null)),
    check (period_start <= period_end)
);
create index subscription_by_plan on billing.subscription (plan_id);
create index subscription_by_next_plan on billing.subscription (next_plan_id) where next_plan_id is not null;
create index subscription_terminated on billing.subscription (tenant_id) where state = 'terminated';
call kernel.protect('billing.subscription');
revoke delete on billing.subscription from pk_app;

-- ---------------------------------------------------------------------------------------------------------------
-- Invoices: a document is written once; only its state goes on.

create function billing.sum_of_lines(lines jsonb) returns numeric
    language sql immutable parallel safe
    return (select coalesce(sum((l ->> 'amount')::numeric), 0) from jsonb_array_elements(lines) l);

create table billing.invoice (
    id uuid primary key,
    tenant_id uuid not null,
    -- Counted per tenant, without gaps.
    number integer not null check (number > 0),
    state text not null check (state in ('open', 'paid')),
    plan text not null,
    currency text not null,
    -- [{"kind", "description", "amount"}]
    lines jsonb not null,
    subtotal bigint not null,
    tax bigint not null,
    total bigint not null check (total >= 0),
    period_start timestamptz not null,
    period_end timestamptz not null,
    issued_at timestamptz not null,
    paid_at timestamptz,
    unique (tenant_id, number),
    check (billing.sum_of_lines(lines) = total),
    check ((state = 'paid') = (paid_at is not null))
);
create index invoice_open on billing.invoice (tenant_id) where state = 'open';
call kernel.protect('billing.invoice');
revoke delete on billing.invoice from pk_app;

-- ---------------------------------------------------------------------------------------------------------------
-- Use by day (UTC, on the sandbox's clock): events as they are counted, the rest as it was at night.

create table billing.usage (
    tenant_id uuid not null,
    day date not null,
    what text not null,
    amount bigint not null,
    primary key (tenant_id, day, what)
) with (fillfactor = 70);
call kernel.protect('billing.usage');

-- Up to where the log was counted.
create table billing.counted (
    topic text not null,
    partition smallint not null,
    position bigint not null,
    primary key (topic, partition)
);
alter table billing.counted enable row level security;
alter table billing.counted force row level security;
create policy system_rows on billing.counted to pk_system using (true) with check (true);
create policy owner_rows on billing.counted to pk_owner using (true) with check (true);
grant select, insert, update on billing.counted to pk_system;

-- Counts what tenants published since the last time; `own` are the topics of the kernel, which cost nobody anything.
-- Whole partitions at once, not event by event; true: there may be more.
create function billing.count_events(own text[], most integer) returns boolean
    language plpgsql
as $$
declare
    more boolean := false;
begin
    -- One counter of the sandbox, in whichever process.
    if not pg_try_advisory_xact_lock(hashtext('billing.count_events')) then
        return false;
    end if;
    with behind as (
        select h.topic, h.partition, coalesce(c.position, 0) as seen, h.position as head,
               least(h.position, coalesce(c.position, 0) + most) as upto
        from kernel.event_head h
        left join billing.counted c on c.topic = h.topic and c.partition = h.partition
        where h.topic <> all (own) and h.position > coalesce(c.position, 0)
    ), tally as (
        select e.tenant_id, (e.at at time zone 'UTC')::date as day, count(*) as events
        from behind b
        join kernel.event e on e.topic = b.topic and e.partition = b.partition
                           and e.position > b.seen and e.position <= b.upto
        where e.tenant_id is not null
        group by e.tenant_id, day
    ), moved as (
        insert into billing.counted as c (topic, partition, position)
        select b.topic, b.partition, b.upto from behind b
        on conflict (topic, partition) do update set position = excluded.position
    ), kept as (
        insert into billing.usage as u (tenant_id, day, what, amount)
        select t.tenant_id, t.day, 'events', t.events from tally t
        on conflict (tenant_id, day, what) do update set amount = u.amount + excluded.amount
    )
    select coalesce(bool_or(b.upto < b.head), false) into more from behind b;
    return more;
end
$$;

-- What is in use of each allowance at this moment.
create view billing.in_use with (security_invoker = true) as
    select a.tenant_id, a.name, a.most, a.told_most,
           case a.name
               when 'eventsPerDay' then coalesce((
                   select u.amount from billing.usage u
                   where u.tenant_id = a.tenant_id and u.what = 'events'
                     and u.day = (kernel.now() at time zone 'UTC')::date), 0)
               when 'records' then greatest(a.used - coalesce((
                   select sum(s.room)::bigint from kernel.allowance_share s
                   where s.tenant_id = a.tenant_id and s.name = a.name), 0), 0)
               else a.used
           end as used
    from kernel.allowance a;
grant select on billing.in_use to pk_app, pk_system;
