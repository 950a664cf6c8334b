-- The ground every service stands on: the bound tenant, the sandbox's clock, the outbox and the log, the audit trail,
-- idempotent answers, allowances and durable jobs. Owned by pk_owner; reached only through the roles named here.

create schema kernel;
grant usage on schema kernel to pk_app, pk_system, pk_data;

-- The tenant this connection is bound to; null when it is bound to none, and then no row is visible.
create function kernel.tenant() returns uuid
    language sql stable parallel safe
    return nullif(current_setting('kernel.tenant', true), '')::uuid;

-- The application's own tenant filter, beside row-level security: every statement of a tenant names the tenant it was
-- written for. Inlined by the planner, so an index on tenant_id serves it.
create function kernel.owns(wanted uuid, tenant_id uuid) returns boolean
    language sql immutable parallel safe
    return wanted = tenant_id;

-- The sandbox's clock: one row. `frozen_at` set means that it stands.
create table kernel.clock (
    only_row boolean primary key default true check (only_row),
    offset_micros bigint not null default 0 check (offset_micros >= 0),
    frozen_at timestamptz
);
insert into kernel.clock default values;
grant select on kernel.clock to pk_app, pk_system, pk_data;
grant update on kernel.clock to pk_system;

create function kernel.now() returns timestamptz
    language sql stable
    return (select coalesce(c.frozen_at, clock_timestamp() + c.offset_micros * interval '1 microsecond')
            from kernel.clock c);

-- Puts a table under row-level security: the application's role sees the bound tenant's rows, the system's role and
-- the owner (who runs migrations and never serves a tenant) see all.
create procedure kernel.protect(target regclass)
    language plpgsql
as $$
begin
    execute format('alter table %s enable row level security', target);
    execute format('alter table %s force row level security', target);
    execute format('create policy tenant_rows on %s to pk_app using (tenant_id = kernel.tenant()) '
                   'with check (tenant_id = kernel.tenant())', target);
    execute format('create policy system_rows on %s to pk_system using (true) with check (true)', target);
    execute format('create policy owner_rows on %s to pk_owner using (true) with check (true)', target);
    execute format('grant select, insert, update, delete on %s to pk_app, pk_system', target);
end
$$;

-- Tables that a copy of the sandbox must not inherit: sessions, keys, leases, queued outward work.
create table kernel.not_cloned (
    target regclass primary key,
    -- What to do with them in a copy: a statement, or null to empty the table.
    instead text
);

create function kernel.after_clone() returns void
    language plpgsql
as $$
declare
    entry record;
begin
    for entry in select target, instead from kernel.not_cloned loop
        if entry.instead is null then
            execute format('truncate %s cascade', entry.target);
        else
            execute entry.instead;
        end if;
    end loop;
end
$$;

-- ---------------------------------------------------------------------------------------------------------------
-- Events. Writers add to the outbox in their transaction; the relay gives committed rows their place in the log.

create table kernel.outbox (
    seq bigint generated always as identity primary key,
    id uuid not null,
    tenant_id uuid,
    topic text not null,
    partition smallint not null,
    key text not null,
    type text not null,
    source text not null,
    schema_version text not null default '1.0.0',
    data jsonb not null,
    trace_id text,
    at timestamptz not null default kernel.now()
);

create table kernel.event (
    topic text not null,
    partition smallint not null,
    position bigint not null,
    id uuid not null,
    tenant_id uuid,
    key text not null,
    type text not null,
    source text not null,
    schema_version text not null,
    data jsonb not null,
    trace_id text,
    at timestamptz not null,
    -- Real time, for retention.
    logged_at timestamptz not null default clock_timestamp(),
    primary key (topic, partition, position)
);
create index event_of_tenant on kernel.event (tenant_id, topic, partition, position);
create index event_by_id on kernel.event (id);

create table kernel.event_head (
    topic text not null,
    partition smallint not null,
    position bigint not null,
    primary key (topic, partition)
);

-- Order is promised per key: equal keys meet in one of twelve partitions.
create function kernel.partition_of(key text) returns smallint
    language sql immutable parallel safe
    return ((hashtextextended(key, 0) & 9223372036854775807) % 12)::smallint;

-- The first word of a type names its topic.
create function kernel.topic_of(type text) returns text
    language sql immutable parallel safe
    return 'platform.' || split_part(type, '.', 1) || '.events';

-- Moves committed rows from the outbox to the log. The lock makes it the only relay of the sandbox, in whichever
-- process it runs; -1 says that another one is at work. A position is given here and never by writers, so that a slow
-- transaction that commits late is not skipped.
create function kernel.relay(most integer) returns integer
    language plpgsql
as $$
declare
    moved integer;
begin
    if not pg_try_advisory_xact_lock(hashtext('kernel.relay')) then
        return -1;
    end if;
    with taken as (
        delete from kernel.outbox
        where seq in (select seq from kernel.outbox order by seq limit most)
        returning *
    ), heads as (
        insert into kernel.event_head as head (topic, partition, position)
        select topic, partition, count(*) from taken group by topic, partition
        on conflict (topic, partition) do update set position = head.position + excluded.position
        returning head.topic, head.partition, head.position
    )
    insert into kernel.event (topic, partition, position, id, tenant_id, key, type, source, schema_version, data,
                              trace_id, at)
    select t.topic, t.partition,
           h.position - count(*) over (partition by t.topic, t.partition)
                      + row_number() over (partition by t.topic, t.partition order by t.seq),
           t.id, t.tenant_id, t.key, t.type, t.source, t.schema_version, t.data, t.trace_id, t.at
    from taken t join heads h using (topic, partition);
    get diagnostics moved = row_count;
    if moved > 0 then
        perform pg_notify('kernel_events', '');
    end if;
    return moved;
end
$$;

-- The outbox holds events without a tenant too (a module registered in the sandbox); only the system sees those.
alter table kernel.outbox enable row level security;
alter table kernel.outbox force row level security;
create policy tenant_rows on kernel.outbox to pk_app using (tenant_id = kernel.tenant())
    with check (tenant_id = kernel.tenant());
create policy system_rows on kernel.outbox to pk_system using (true) with check (true);
create policy owner_rows on kernel.outbox to pk_owner using (true) with check (true);
grant select, insert on kernel.outbox to pk_app;
grant select, insert, delete on kernel.outbox to pk_system;
alter table kernel.event enable row level security;
alter table kernel.event force row level security;
create policy tenant_rows on kernel.event to pk_app using (tenant_id = kernel.tenant());
create policy system_rows on kernel.event to pk_system using (true) with check (true);
create policy owner_rows on kernel.event to pk_owner using (true) with check (true);
grant select on kernel.event to pk_app;
grant select, insert, delete on kernel.event to pk_system;
grant select on kernel.event_head to pk_app;
grant select, insert, update on kernel.event_head to pk_system;

-- An event that a consumer has taken to heart, in the transaction of its effect.
create table kernel.consumed (
    consumer text not null,
    event_id uuid not null,
    at timestamptz not null default clock_timestamp(),
    primary key (consumer, event_id)
);
create index consumed_by_age on kernel.consumed (at);
grant select, insert, delete on kernel.consumed to pk_app, pk_system;

-- ---------------------------------------------------------------------------------------------------------------
-- Audit. A record is written with the change it tells of and never altered; `seq` and `hash` are filled once, by the
-- chain. Personal members lie outside of the hashed part; their salted commitments lie inside.

create table kernel.audit_record (
    id uuid primary key,
    tenant_id uuid not null,
    version smallint not null default 1,
    seq bigint,
    hash bytea,
    at timestamptz not null,
    action text not null,
    entity_type text not null,
    entity_id text not null,
    actor_kind text not null,
    actor text not null,
    user_id uuid,
    trace_id text,
    description text,
    before jsonb,
    after jsonb,
    metadata jsonb,
    -- {"ip": {"value": "…", "salt": "…"}, …}
    personal jsonb not null default '{}',
    -- {"ip": "<hex SHA-256 of salt and value>", …}
    commitments jsonb not null default '{}',
    -- The order of arrival, for the chain.
    arrival bigint generated always as identity,
    unique (tenant_id, seq)
);
create index audit_unchained on kernel.audit_record (tenant_id, arrival) where seq is null;
create index audit_by_time on kernel.audit_record (tenant_id, at desc, id desc);
create index audit_by_entity on kernel.audit_record (tenant_id, entity_type, entity_id, at);
create index audit_by_action on kernel.audit_record (tenant_id, action text_pattern_ops, at desc);
call kernel.protect('kernel.audit_record');
revoke update, delete on kernel.audit_record from pk_app;
revoke delete on kernel.audit_record from pk_system;

create table kernel.audit_head (
    tenant_id uuid primary key,
    seq bigint not null,
    hash bytea not null
);
call kernel.protect('kernel.audit_head');
revoke delete on kernel.audit_head from pk_app, pk_system;

-- A chained record is final; only anonymising may empty its personal part.
create function kernel.audit_stays() returns trigger
    language plpgsql
as $$
begin
    if old.seq is not null
       and (to_jsonb(new) - 'personal') is distinct from (to_jsonb(old) - 'personal') then
        raise exception 'an audit record is never changed' using errcode = 'restrict_violation';
    end if;
    return new;
end
$$;
create trigger audit_stays before update on kernel.audit_record
    for each row execute function kernel.audit_stays();

-- ---------------------------------------------------------------------------------------------------------------
-- Requests that may be repeated: the answer is kept in the transaction of its effect, sealed.

create table kernel.idempotency (
    tenant_id uuid,
    caller text not null,
    key uuid not null,
    fingerprint bytea not null,
    answer bytea not null,
    -- Real time: the 24 hours do not follow the sandbox's clock.
    at timestamptz not null default clock_timestamp(),
    primary key (caller, key)
);
create index idempotency_by_age on kernel.idempotency (at);
alter table kernel.idempotency enable row level security;
alter table kernel.idempotency force row level security;
create policy tenant_rows on kernel.idempotency to pk_app using (tenant_id = kernel.tenant())
    with check (tenant_id = kernel.tenant());
create policy system_rows on kernel.idempotency to pk_system using (true) with check (true);
create policy owner_rows on kernel.idempotency to pk_owner using (true) with check (true);
grant select, insert, update, delete on kernel.idempotency to pk_app, pk_system;
insert into kernel.not_cloned values ('kernel.idempotency', null);

-- Opens a request that may be repeated, inside of the transaction of its effect: `new`, `busy` (the first one is still
-- running: trying the lock does not wait for it), `reused` (the key came with another request) or `replay`.
create function kernel.begin_request(caller_name text, request_key uuid, request_fingerprint bytea,
                                     out state text, out answer bytea)
    language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
    found_fingerprint bytea;
begin
    if not pg_try_advisory_xact_lock(hashtextextended(caller_name || request_key::text, 7)) then
        state := 'busy';
        return;
    end if;
    select i.fingerprint, i.answer into found_fingerprint, answer
    from kernel.idempotency i
    where i.caller = caller_name and i.key = request_key and i.at > clock_timestamp() - interval '24 hours';
    if not found then
        state := 'new';
    elsif found_fingerprint <> request_fingerprint then
        state := 'reused';
        answer := null;
    else
        state := 'replay';
    end if;
end
$$;

-- What a transaction leaves behind: events, audit records and the answer of its request. A connection that is bound to
-- a tenant leaves nothing for another one.
create function kernel.leave_behind(events jsonb, audits jsonb, answer_tenant uuid, answer_caller text,
                                    answer_key uuid, answer_fingerprint bytea, answer_sealed bytea)
    returns void
    language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
    bound uuid := kernel.tenant();
begin
    if bound is not null and (
        exists (select 1 from jsonb_array_elements(events || audits) row
                where (row ->> 'tenant_id')::uuid is distinct from bound)
        or (answer_key is not null and answer_tenant is distinct from bound)
    ) then
        raise exception 'a tenant''s transaction leaves nothing for another tenant'
            using errcode = 'insufficient_privilege';
    end if;
    if jsonb_array_length(events) > 0 then
        insert into kernel.outbox (id, tenant_id, topic, partition, key, type, source, schema_version, data, trace_id,
                                   at)
        select e.id, e.tenant_id, kernel.topic_of(e.type), kernel.partition_of(e.key), e.key, e.type, e.source,
               e.schema_version, coalesce(e.data, 'null'), e.trace_id, e.at
        from jsonb_to_recordset(events) as e(id uuid, tenant_id uuid, key text, type text, source text,
                                             schema_version text, data jsonb, trace_id text, at timestamptz);
    end if;
    if jsonb_array_length(audits) > 0 then
        insert into kernel.audit_record (id, tenant_id, at, action, entity_type, entity_id, actor_kind, actor, user_id,
                                         trace_id, description, before, after, metadata, personal, commitments)
        select a.id, a.tenant_id, a.at, a.action, a.entity_type, a.entity_id, a.actor_kind, a.actor, a.user_id,
               a.trace_id, a.description, nullif(a.before, 'null'), nullif(a.after, 'null'),
               nullif(a.metadata, 'null'), a.personal, a.commitments
        from jsonb_to_recordset(audits) as a(id uuid, tenant_id uuid, at timestamptz, action text, entity_type text,
                                             entity_id text, actor_kind text, actor text, user_id uuid, trace_id text,
                                             description text, before jsonb, after jsonb, metadata jsonb,
                                             personal jsonb, commitments jsonb);
    end if;
    if answer_key is not null then
        insert into kernel.idempotency (tenant_id, caller, key, fingerprint, answer)
        values (answer_tenant, answer_caller, answer_key, answer_fingerprint, answer_sealed)
        on conflict (caller, key) do update
            set fingerprint = excluded.fingerprint, answer = excluded.answer, at = clock_timestamp();
    end if;
end
$$;

-- ---------------------------------------------------------------------------------------------------------------
-- Allowances: what a tenant may use of something, counted in the transaction of the use. No row: no limit.

create table kernel.allowance (
    tenant_id uuid not null,
    name text not null,
    used bigint not null default 0 check (used >= 0),
    -- Null: unlimited.
    most bigint check (most >= 0),
    primary key (tenant_id, name)
);
call kernel.protect('kernel.allowance');

-- ---------------------------------------------------------------------------------------------------------------
-- Durable jobs. `due_at` is on the sandbox's clock, a lease in real time.

create table kernel.job (
    id uuid primary key,
    tenant_id uuid,
    kind text not null,
    -- At most one waiting job of a kind has this name, where one is given.
    name text,
    payload jsonb not null,
    due_at timestamptz not null,
    attempts integer not null default 0,
    leased_until timestamptz,
    lease uuid,
    last_error text,
    failed_at timestamptz,
    created_at timestamptz not null default kernel.now()
);
create unique index job_by_name on kernel.job (kind, name) where name is not null and failed_at is null;
create index job_by_due on kernel.job (due_at) where failed_at is null;
alter table kernel.job enable row level security;
alter table kernel.job force row level security;
create policy tenant_rows on kernel.job to pk_app using (tenant_id = kernel.tenant())
    with check (tenant_id = kernel.tenant());
create policy system_rows on kernel.job to pk_system using (true) with check (true);
create policy owner_rows on kernel.job to pk_owner using (true) with check (true);
grant select, insert, delete on kernel.job to pk_app;
grant select, insert, update, delete on kernel.job to pk_system;
insert into kernel.not_cloned values
    ('kernel.job', 'update kernel.job set lease = null, leased_until = null');

-- ---------------------------------------------------------------------------------------------------------------
-- Subscriptions: acks, attempts, blocked keys and dead letters are kept here whatever carries the events.

create table kernel.subscription (
    id uuid primary key,
    -- Null: a service of the kernel, which hears all tenants.
    tenant_id uuid,
    name text not null,
    module text,
    types text[] not null,
    target jsonb not null,
    max_retries smallint not null default 3,
    created_at timestamptz not null default kernel.now()
);
create unique index subscription_by_name on kernel.subscription (tenant_id, name) nulls not distinct;

create table kernel.subscription_position (
    subscription_id uuid not null references kernel.subscription on delete cascade,
    tenant_id uuid,
    topic text not null,
    partition smallint not null,
    -- Everything up to here was taken over for delivery.
    position bigint not null,
    primary key (subscription_id, topic, partition)
);

-- Taken over and not acknowledged yet.
create table kernel.delivery (
    subscription_id uuid not null references kernel.subscription on delete cascade,
    tenant_id uuid,
    topic text not null,
    partition smallint not null,
    position bigint not null,
    event_id uuid not null,
    key text not null,
    attempts smallint not null default 0,
    -- Real time: not to be delivered (again) before.
    due_at timestamptz not null default clock_timestamp(),
    first_at timestamptz,
    last_error text,
    primary key (subscription_id, topic, partition, position)
);
create unique index delivery_by_event on kernel.delivery (subscription_id, event_id);
create index delivery_by_key on kernel.delivery (subscription_id, key, position);

create table kernel.dead_letter (
    id uuid primary key,
    subscription_id uuid not null references kernel.subscription on delete cascade,
    tenant_id uuid,
    event_id uuid not null,
    topic text not null,
    partition smallint not null,
    position bigint not null,
    error text not null,
    attempts smallint not null,
    first_at timestamptz not null,
    last_at timestamptz not null
);
create index dead_letter_by_time on kernel.dead_letter (tenant_id, last_at desc, id desc);

do $$
declare
    name text;
begin
    foreach name in array array['subscription', 'subscription_position', 'delivery', 'dead_letter'] loop
        call kernel.protect(('kernel.' || name)::regclass);
    end loop;
end
$$;

-- ---------------------------------------------------------------------------------------------------------------
-- Changes of module tables, by whatever route they come, become an event and an audit record in the same transaction.
-- Who asked is told by the setting `kernel.request`, set in the statement that makes the change.

create function kernel.capture_change() returns trigger
    language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
    module text := tg_argv[0];
    model text := tg_argv[1];
    request jsonb := coalesce(nullif(current_setting('kernel.request', true), ''), '{}')::jsonb;
    row_before jsonb := case when tg_op = 'INSERT' then null else to_jsonb(old) end;
    row_after jsonb := case when tg_op = 'DELETE' then null else to_jsonb(new) end;
    this_row jsonb := coalesce(row_after, row_before);
    hidden text[] := coalesce(tg_argv[2], '{}')::text[];
    changed jsonb;
    verb text;
    payload jsonb;
    tenant uuid := (this_row ->> 'tenant_id')::uuid;
    entity text := this_row ->> 'id';
    moment timestamptz := kernel.now();
    salts jsonb := '{}';
    commitments jsonb := '{}';
    member text;
    salt text;
begin
    verb := case
        when tg_op = 'INSERT' then 'created'
        when tg_op = 'DELETE' then 'deleted'
        when row_before ->> 'deleted_at' is null and row_after ->> 'deleted_at' is not null then 'deleted'
        else 'updated'
    end;
    if tg_op = 'UPDATE' then
        select jsonb_object_agg(b.key, b.value) into changed
        from jsonb_each(row_before) b
        where b.value is distinct from row_after -> b.key;
        if changed is null then
            return null;
        end if;
    end if;
    payload := jsonb_build_object('id', entity, 'module', module, 'model', model, 'after', row_after - hidden,
                                  'before', case when tg_op = 'DELETE' then row_before - hidden
                                                 else coalesce(changed, '{}') - hidden end);
    if pg_column_size(payload) > 900000 then
        payload := jsonb_build_object('id', entity, 'module', module, 'model', model, 'truncated', true);
    end if;
    insert into kernel.outbox (id, tenant_id, topic, partition, key, type, source, data, trace_id, at)
    values (gen_random_uuid(), tenant, 'platform.data.events', kernel.partition_of(entity), entity,
            'data.' || module || '.' || model || '.' || verb, 'data-layer', payload, request ->> 'trace', moment);
    for member in select jsonb_object_keys(coalesce(request -> 'personal', '{}')) loop
        salt := replace(gen_random_uuid()::text, '-', '');
        salts := salts || jsonb_build_object(member, jsonb_build_object(
            'value', request -> 'personal' ->> member, 'salt', salt));
        commitments := commitments || jsonb_build_object(member, encode(sha256(convert_to(
            salt || (request -> 'personal' ->> member), 'UTF8')), 'hex'));
    end loop;
    insert into kernel.audit_record (id, tenant_id, at, action, entity_type, entity_id, actor_kind, actor, user_id,
                                     trace_id, before, after, personal, commitments)
    values (gen_random_uuid(), tenant, moment, 'data.' || module || '.' || model || '.' || verb,
            module || '.' || model, entity, coalesce(request ->> 'actorKind', 'module'),
            coalesce(request ->> 'actor', 'module:' || module), (request ->> 'userId')::uuid, request ->> 'trace',
            coalesce(changed, row_before) - hidden, row_after - hidden, salts, commitments);
    return null;
end
$$;

-- Keeps the automatic columns of a module table.
create function kernel.keep_columns() returns trigger
    language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
begin
    if tg_op = 'INSERT' then
        new.created_at := kernel.now();
        new.updated_at := new.created_at;
        new.version := 1;
    else
        new.created_at := old.created_at;
        new.tenant_id := old.tenant_id;
        new.id := old.id;
        new.updated_at := kernel.now();
        new.version := old.version + 1;
    end if;
    return new;
end
$$;
