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

-- Puts a table under row-level security: the application's role sees the bound tenant's rows; the system's role sees
-- those of the tenant it is bound to, and all when it is bound to none; the owner, who runs migrations and never serves a
-- tenant, sees all.
create procedure kernel.protect(target regclass)
    language plpgsql
as $$
begin
    execute format('alter table %s enable row level security', target);
    execute format('alter table %s force row level security', target);
    execute format('create policy tenant_rows on %s to pk_app using (tenant_id = kernel.tenant()) '
                   'with check (tenant_id = kernel.tenant())', target);
    execute format('create policy system_rows on %s to pk_system '
                   'using ((select kernel.tenant()) is null or tenant_id = (select kernel.tenant())) '
                   'with check ((select kernel.tenant()) is null or tenant_id = (select kernel.tenant()))', target);
    execute format('create policy owner_rows on %s to pk_owner using (true) with check (true)', target);
    execute format('create policy reader_rows on %s for select to pk_reader using (true)', target);
    execute format('grant select, insert, update, delete on %s to pk_app, pk_system', target);
    execute format('grant select on %s to pk_reader', target);
    execute format('grant usage on schema %s to pk_app, pk_system, pk_reader',
                   (select relnamespace::regnamespace from pg_class where oid = target));
end
$$;

-- Tables that a copy of the sandbox must not inherit: sessions, keys, leases, queued outward work.
create table kernel.not_cloned (
    target regclass primary key,
    -- What to do with them in a copy: a statement, or null to empty the table.
    instead text,
    -- Copies that keep them all the same: `restore` (a snapshot that takes its sandbox's place), `sealed` (that
    -- one has the key with which the snapshot's secrets were sealed), `template` (what new sandboxes are made from),
    -- `keys` (a fork that was asked to keep API keys).
    kept_by text[] not null default '{}'
);

create function kernel.after_clone(purposes text[] default '{}') returns void
    language plpgsql
as $$
declare
    entry record;
begin
    for entry in select c.target, c.instead from kernel.not_cloned c where not c.kept_by && purposes loop
        if entry.instead is null then
            execute format('truncate %s cascade', entry.target);
        else
            execute entry.instead;
        end if;
    end loop;
end
$$;

-- What going back to a snapshot must not take back: a key that was revoked since stays revoked. `gather` is a query that
-- answers one jsonb (or null) in the sandbox as it is, `apply` a statement that takes it as $1 in the one that takes its place.
create table kernel.carried (
    target regclass primary key,
    gather text not null,
    apply text not null
);

create function kernel.gather_carried() returns jsonb
    language plpgsql
as $$
declare
    entry record;
    one jsonb;
    gathered jsonb := '{}';
begin
    for entry in select c.target, c.gather from kernel.carried c loop
        execute entry.gather into one;
        gathered := gathered || jsonb_build_object(entry.target::text, one);
    end loop;
    return gathered;
end
$$;

create function kernel.apply_carried(gathered jsonb) returns void
    language plpgsql
as $$
declare
    entry record;
begin
    for entry in select c.target, c.apply from kernel.carried c
                 where jsonb_typeof(gathered -> c.target::text) <> 'null' loop
        execute entry.apply using gathered -> entry.target::text;
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
) with (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000);

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

-- A new id, UUID v7 as all ids are.
create function kernel.new_id() returns uuid
    language sql volatile parallel safe
    return encode(set_bit(set_bit(
        overlay(uuid_send(gen_random_uuid())
                placing substring(int8send((extract(epoch from clock_timestamp()) * 1000)::bigint) from 3)
                from 1 for 6), 52, 1), 53, 1), 'hex')::uuid;

-- Moves committed rows from the outbox to the log. The lock makes it the only relay of the sandbox, in whichever
-- process it runs; `moved` is -1 when another one is at work. A position is given here and never by writers, so that a
-- slow transaction that commits late is not skipped. `types` are those of the moved events; `mark` grows with every
-- event that any relay ever moved.
create function kernel.relay(most integer, out moved integer, out types text[], out mark bigint)
    language plpgsql
as $$
begin
    moved := -1;
    if pg_try_advisory_xact_lock(hashtext('kernel.relay')) then
        with taken as (
            delete from kernel.outbox
            where seq in (select seq from kernel.outbox order by seq limit most)
            returning *
        ), heads as (
            insert into kernel.event_head as head (topic, partition, position)
            select topic, partition, count(*) from taken group by topic, partition
            on conflict (topic, partition) do update set position = head.position + excluded.position
            returning head.topic, head.partition, head.position
        ), logged as (
            insert into kernel.event (topic, partition, position, id, tenant_id, key, type, source, schema_version,
                                      data, trace_id, at)
            select t.topic, t.partition,
                   h.position - count(*) over (partition by t.topic, t.partition)
                              + row_number() over (partition by t.topic, t.partition order by t.seq),
                   t.id, t.tenant_id, t.key, t.type, t.source, t.schema_version, t.data, t.trace_id, t.at
            from taken t join heads h using (topic, partition)
        )
        select count(*), array_agg(distinct t.type) into moved, types from taken t;
        if moved > 0 then
            perform pg_notify('kernel_events', '');
        end if;
    end if;
    select coalesce(sum(h.position), 0) into mark from kernel.event_head h;
end
$$;

-- The next events of the log for a reader who stands at the given places; `reader` is the tenant whose events they are,
-- null for a reader of all. Rows with an id are events, in order per key; a row without one says how far the reader is
-- now in that partition and whether that is its end. No rows: the reader is at the end. One call looks at about `look` rows, so it may answer
-- with places only. About 2 MB of stored data at most, and at least one event.
create function kernel.next_events(reader uuid, patterns text[], topics text[], partitions smallint[],
                                   positions bigint[], most integer, look integer)
    returns table (topic text, partition smallint, place bigint, id uuid, tenant_id uuid, key text, type text,
                   source text, schema_version text, data jsonb, trace_id text, at timestamptz, at_head boolean)
    language sql stable
begin atomic
    with wish as (
        select array(select kernel.topic_of(p) from unnest(patterns) p) as topics,
               -- `like` with what it takes for wildcards escaped, but for the star.
               array(select replace(replace(replace(p, '\', '\\'), '_', '\_'), '*', '%')
                     from unnest(patterns) p) as likes
    ), place as (
        select p.topic, p.partition, p.position
        from rows from (unnest(topics), unnest(partitions), unnest(positions)) as p(topic, partition, position)
    ), active as (
        select h.topic, h.partition, h.position as head, coalesce(p.position, 0) as position
        from kernel.event_head h
        left join place p on p.topic = h.topic and p.partition = h.partition
        where h.position > coalesce(p.position, 0)
          and ('*' = any (patterns) or h.topic = any ((select w.topics from wish w)::text[]))
    ), span as (
        select greatest(look / greatest(count(*), 1), 10) as rows from active
    ), seen as materialized (
        select a.topic, a.partition, e.position, e.type like any ((select w.likes from wish w)::text[]) as wanted,
               pg_column_size(e.data) as bytes
        from active a
        cross join lateral (
            select l.position, l.type, l.data
            from kernel.event l
            where l.topic = a.topic and l.partition = a.partition and l.position > a.position
              and l.position <= a.head and (reader is null or kernel.owns(reader, l.tenant_id))
            order by l.position
            limit (select s.rows from span s)
        ) e
    ), ranked as (
        select s.topic, s.partition, s.position, s.bytes,
               row_number() over (partition by s.topic, s.partition order by s.position) as turn
        from seen s
        where s.wanted
    ), measured as (
        select r.topic, r.partition, r.position, r.turn,
               sum(r.bytes) over (order by r.turn, r.topic, r.partition) - r.bytes as bytes_before
        from (select * from ranked order by turn, topic, partition limit most) r
    ), chosen as (
        select * from measured where bytes_before < 2000000
    ), tally as (
        select s.topic, s.partition, count(*) as rows, count(*) filter (where s.wanted) as wanted,
               max(s.position) as last
        from seen s
        group by s.topic, s.partition
    ), taken as (
        select c.topic, c.partition, count(*) as rows, max(c.position) as last
        from chosen c
        group by c.topic, c.partition
    ), reached as (
        select a.topic, a.partition, a.head,
               case
                   when coalesce(y.wanted, 0) > coalesce(k.rows, 0) then coalesce(k.last, a.position)
                   when coalesce(y.rows, 0) < (select s.rows from span s) then a.head
                   else y.last
               end as position
        from active a
        left join tally y on y.topic = a.topic and y.partition = a.partition
        left join taken k on k.topic = a.topic and k.partition = a.partition
    ), told as (
        select c.turn, e.topic, e.partition, e.position, e.id, e.tenant_id, e.key, e.type, e.source, e.schema_version,
               e.data, e.trace_id, e.at, null::boolean as at_head
        from chosen c
        -- `limit` keeps the planner from reading the whole log for a join, whatever it believes of its size.
        cross join lateral (
            select l.* from kernel.event l
            where l.topic = c.topic and l.partition = c.partition and l.position = c.position
              and (reader is null or kernel.owns(reader, l.tenant_id))
            limit 1
        ) e
        union all
        select null, r.topic, r.partition, r.position, null, null, null, null, null, null, null, null, null,
               r.position = r.head
        from reached r
    )
    select t.topic, t.partition, t.position as place, t.id, t.tenant_id, t.key, t.type, t.source, t.schema_version, t.data,
           t.trace_id, t.at, t.at_head
    from told t
    order by t.turn, t.topic, t.partition;
end;

-- The place in one partition before the first event of `moment` or later, on the sandbox's clock. Positions follow
-- commits, so an event may lie up to one transaction's time (30 s at most) behind a younger one: the search goes that
-- much further back and then looks at each.
create function kernel.place_before(wanted_topic text, wanted_partition smallint, head bigint, moment timestamptz)
    returns bigint
    language plpgsql stable
as $$
declare
    low bigint := 0;
    high bigint := head;
    middle bigint;
    found_position bigint;
    found_at timestamptz;
begin
    while low < high loop
        middle := (low + high) / 2;
        select e.position, e.at into found_position, found_at
        from kernel.event e
        where e.topic = wanted_topic and e.partition = wanted_partition and e.position > middle and e.position <= high
        order by e.position
        limit 1;
        if not found then
            high := middle;
        elsif found_at < moment - interval '30 seconds' then
            low := found_position;
        else
            high := middle;
        end if;
    end loop;
    select e.position - 1 into found_position
    from kernel.event e
    where e.topic = wanted_topic and e.partition = wanted_partition and e.position > low and e.at >= moment
    order by e.position
    limit 1;
    return coalesce(found_position, head);
end
$$;

-- Takes events out of the log that are older than they are kept, in real time: 30 days in the audit topic, 7 days
-- elsewhere. What somebody still has to be given, or a dead
-- letter tells of, stays; a dead letter is kept for 30 days. Answers how many it took out.
create function kernel.forget_events(most integer) returns integer
    language plpgsql
as $$
declare
    head record;
    oldest timestamptz;
    gone integer;
    total integer := 0;
begin
    delete from kernel.dead_letter d
    using kernel.event e
    where e.id = d.event_id and e.logged_at < clock_timestamp() - interval '30 days';
    for head in select h.topic, h.partition from kernel.event_head h loop
        oldest := clock_timestamp() - case head.topic when 'platform.audit.events' then interval '30 days'
                                                      else interval '7 days' end;
        with old as (
            select e.position, e.logged_at
            from kernel.event e
            where e.topic = head.topic and e.partition = head.partition
              -- `not in` is read once, for all rows; neither column is ever null.
              and e.id not in (select d.event_id from kernel.dead_letter d
                               union all select d.event_id from kernel.delivery d)
            order by e.position
            limit most - total
        )
        delete from kernel.event e
        using old
        where e.topic = head.topic and e.partition = head.partition and e.position = old.position
          and old.logged_at < oldest;
        get diagnostics gone = row_count;
        total := total + gone;
        exit when total >= most;
    end loop;
    return total;
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
    -- {"ip": {"value": "…", "salt": "…"}, …}: the salt is 32 characters long, always, so that no part of the value can
    -- pass for a part of the salt. Anonymised members have no salt.
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
create index audit_by_user on kernel.audit_record (tenant_id, user_id, at desc, id desc) where user_id is not null;
call kernel.protect('kernel.audit_record');
revoke update, delete on kernel.audit_record from pk_app;
revoke delete on kernel.audit_record from pk_system;

create table kernel.audit_head (
    tenant_id uuid primary key,
    seq bigint not null,
    hash bytea not null,
    -- The last one that was told to the outside.
    published_seq bigint not null default 0
);
call kernel.protect('kernel.audit_head');
revoke delete on kernel.audit_head from pk_app, pk_system;

-- A record is final: the chain fills `seq` and `hash` once, anonymising empties the personal part, and nothing else
-- changes. (Compared by column: the chain updates a thousand rows at a time.)
create function kernel.audit_stays() returns trigger
    language plpgsql
as $$
begin
    if (old.seq is not null and (new.seq is distinct from old.seq or new.hash is distinct from old.hash))
       or (new.id, new.tenant_id, new.version, new.at, new.action, new.entity_type, new.entity_id, new.actor_kind,
           new.actor, new.user_id, new.trace_id, new.description, new.before, new.after, new.metadata,
           new.commitments, new.arrival)
          is distinct from
          (old.id, old.tenant_id, old.version, old.at, old.action, old.entity_type, old.entity_id, old.actor_kind,
           old.actor, old.user_id, old.trace_id, old.description, old.before, old.after, old.metadata,
           old.commitments, old.arrival) then
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
    -- The module whose subscription it is, if it is one's.
    module text,
    types text[] not null,
    target jsonb not null,
    max_retries smallint not null default 3,
    created_at timestamptz not null default kernel.now()
);
create unique index subscription_by_name on kernel.subscription (tenant_id, module, name) nulls not distinct;

create table kernel.subscription_position (
    subscription_id uuid not null references kernel.subscription on delete cascade,
    tenant_id uuid,
    topic text not null,
    partition smallint not null,
    -- Everything up to here was taken over for delivery.
    position bigint not null,
    primary key (subscription_id, topic, partition)
) with (fillfactor = 50);

-- Taken over and not acknowledged yet.
create table kernel.delivery (
    subscription_id uuid not null references kernel.subscription on delete cascade,
    -- Of the subscription: null for a service, whatever tenant the event is of.
    tenant_id uuid,
    event_id uuid not null,
    topic text not null,
    partition smallint not null,
    position bigint not null,
    -- What is kept in order within the partition: the event's tenant and key.
    lane text not null,
    -- In somebody's hands until `due_at`.
    leased boolean not null default false,
    -- Real time: the end of the lease, or not to be delivered (again) before.
    due_at timestamptz not null default clock_timestamp(),
    -- How often it was handed out, and how often that ended in a failure.
    attempts smallint not null default 0,
    failures smallint not null default 0,
    -- First handed out, on the sandbox's clock.
    first_at timestamptz,
    last_error text,
    primary key (subscription_id, event_id)
) with (fillfactor = 70, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000);

-- What failed too often. Its event stays in the log as long as this does.
create table kernel.dead_letter (
    id uuid primary key,
    subscription_id uuid not null references kernel.subscription on delete cascade,
    tenant_id uuid,
    event_id uuid not null,
    error text not null,
    attempts smallint not null,
    -- On the sandbox's clock.
    first_at timestamptz not null,
    last_at timestamptz not null,
    unique (subscription_id, event_id)
);
create index dead_letter_by_time on kernel.dead_letter (tenant_id, last_at desc, id desc);
create index dead_letter_by_event on kernel.dead_letter (event_id);

do $$
declare
    name text;
begin
    foreach name in array array['subscription', 'subscription_position', 'delivery', 'dead_letter'] loop
        call kernel.protect(('kernel.' || name)::regclass);
    end loop;
end
$$;
insert into kernel.not_cloned values
    ('kernel.delivery', 'update kernel.delivery set leased = false, due_at = clock_timestamp() where leased');

-- Ends leases in failure. `wait` puts the next try off: 1 s, 5 s, 25 s, up to ten minutes, each ±10 %. What failed more
-- often than the subscription retries becomes a dead letter, and the key goes on without it.
create function kernel.fail_deliveries(sub kernel.subscription, events uuid[], errors text[], wait boolean)
    returns void
    language plpgsql
as $$
begin
    with failed as (
        select d.event_id, left(f.error, 2000) as error
        from unnest(events, errors) as f(event_id, error)
        join kernel.delivery d on d.subscription_id = sub.id and d.event_id = f.event_id
        where d.leased
    ), again as (
        update kernel.delivery d
        set leased = false,
            failures = d.failures + 1,
            last_error = f.error,
            due_at = clock_timestamp() + case when wait
                then least(power(5, d.failures), 600) * (0.9 + 0.2 * random()) * interval '1 second'
                else interval '0' end
        from failed f
        where d.subscription_id = sub.id and d.event_id = f.event_id and d.leased and d.failures < sub.max_retries
    ), gone as (
        delete from kernel.delivery d
        using failed f
        where d.subscription_id = sub.id and d.event_id = f.event_id and d.leased and d.failures >= sub.max_retries
        returning d.event_id, d.failures, d.first_at, f.error
    )
    insert into kernel.dead_letter as l (id, subscription_id, tenant_id, event_id, error, attempts, first_at, last_at)
    select kernel.new_id(), sub.id, sub.tenant_id, g.event_id, g.error, g.failures + 1,
           coalesce(g.first_at, kernel.now()), kernel.now()
    from gone g
    on conflict (subscription_id, event_id) do update
        set error = excluded.error, attempts = l.attempts + excluded.attempts, last_at = excluded.last_at;
end
$$;

-- The subscription with this id, if it is the caller's: a tenant's own, or, for the system, one of a service.
create function kernel.find_subscription(caller uuid, wanted uuid) returns kernel.subscription
    language plpgsql
as $$
declare
    sub kernel.subscription;
begin
    select s.* into sub
    from kernel.subscription s
    where s.id = wanted and ((caller is null and s.tenant_id is null) or kernel.owns(caller, s.tenant_id))
    for no key update;
    return sub;
end
$$;

-- Hands out events of a subscription under a lease of 30 s: first what was taken over before and is due, then what is
-- new in the log. In order per lane; a lane with an event that is leased or waits for its next try stands still, the
-- others go on. Pullers of one subscription take turns.
--
-- The rows with an id are deliveries. The last row has none and tells whether an immediate pull would bring more,
-- whether events wait behind others of their lane, and in how many milliseconds something will be due. No row at all:
-- there is no such subscription.
create function kernel.pull(caller uuid, wanted uuid, most integer)
    returns table (id uuid, tenant_id uuid, topic text, key text, type text, source text, schema_version text,
                   data jsonb, trace_id text, at timestamptz, attempt smallint, more boolean, waiting boolean,
                   due_in_ms bigint)
    language plpgsql
as $$
#variable_conflict use_column
declare
    -- Most rows that are open at a time: all of them, and without those of stuck keys. A key that keeps failing, or
    -- takes long, thus does not use up the room of the others.
    most_open constant integer := 10000;
    most_moving constant integer := 500;
    sub kernel.subscription := kernel.find_subscription(caller, wanted);
    moment timestamptz := clock_timestamp();
    lease_end timestamptz := moment + interval '30 seconds';
    of_topics text[];
    stuck text[];
    open_count integer;
    moving_count integer;
    full_up boolean;
    ready_count integer;
    expired uuid[];
    handed integer := 0;
    got integer;
    rounds integer := 0;
    look integer := most;
    behind boolean;
    at_topics text[];
    at_partitions smallint[];
    at_positions bigint[];
begin
    if sub.id is null then
        return;
    end if;
    of_topics := array(select kernel.topic_of(p) from unnest(sub.types) p);

    select count(*) filter (where not d.leased and d.due_at <= moment),
           array_agg(d.event_id) filter (where d.leased and d.due_at <= moment)
    into ready_count, expired
    from kernel.delivery d
    where d.subscription_id = sub.id;
    if expired is not null then
        if sub.tenant_id is null then
            -- A service says so when it fails; a lease that ran out means that its process ended.
            update kernel.delivery d set leased = false
            where d.subscription_id = sub.id and d.event_id = any (expired) and d.leased;
        else
            perform kernel.fail_deliveries(sub, expired,
                array_fill('It was not acknowledged within 30 seconds.'::text, array[cardinality(expired)]), false);
        end if;
        moment := clock_timestamp();
        ready_count := ready_count + cardinality(expired);
    end if;

    if ready_count > 0 then
        return query
        with opened as (
            select d.event_id, d.topic, d.partition, d.position,
                   bool_and(not d.leased and d.due_at <= moment)
                       over (partition by d.topic, d.partition, d.lane order by d.position) as ready
            from kernel.delivery d
            where d.subscription_id = sub.id
        ), first as (
            select o.* from opened o where o.ready order by o.position, o.topic, o.partition limit most
        ), measured as (
            select f.event_id, f.topic, f.partition, f.position,
                   sum(pg_column_size(e.data)) over (order by f.position, f.topic, f.partition)
                       - pg_column_size(e.data) as bytes_before
            from first f
            cross join lateral (
                select v.data from kernel.event v
                where v.topic = f.topic and v.partition = f.partition and v.position = f.position
                limit 1
            ) e
        ), leased as (
            update kernel.delivery d
            set leased = true, attempts = d.attempts + 1, due_at = lease_end,
                first_at = coalesce(d.first_at, kernel.now())
            from measured m
            where d.subscription_id = sub.id and d.event_id = m.event_id and m.bytes_before < 2000000
            returning d.event_id, d.topic, d.partition, d.position, d.attempts
        )
        select e.id, e.tenant_id, e.topic, e.key, e.type, e.source, e.schema_version, e.data, e.trace_id, e.at,
               l.attempts, null::boolean, null::boolean, null::bigint
        from leased l
        cross join lateral (
            select v.* from kernel.event v
            where v.topic = l.topic and v.partition = l.partition and v.position = l.position
            limit 1
        ) e
        order by l.topic, l.partition, l.position;
        get diagnostics handed = row_count;
    end if;

    loop
        select exists (
            select from kernel.event_head h
            left join kernel.subscription_position p
                on p.subscription_id = sub.id and p.topic = h.topic and p.partition = h.partition
            where h.position > coalesce(p.position, 0) and ('*' = any (sub.types) or h.topic = any (of_topics))
        ) into behind;
        select array_agg(d.lane) into stuck
        from kernel.delivery d
        where d.subscription_id = sub.id
          and (d.failures > 0 or (d.leased and d.due_at < moment + interval '28 seconds'));
        select count(*), count(*) filter (where stuck is null or d.lane <> all (stuck))
        into open_count, moving_count
        from kernel.delivery d
        where d.subscription_id = sub.id;
        full_up := open_count >= most_open or moving_count >= most_moving;
        exit when not behind or handed >= most or full_up or rounds = 20;
        rounds := rounds + 1;
        -- Where little is wanted, further and further at a time.
        look := least(look * 2, 8000);
        select array_agg(p.topic), array_agg(p.partition), array_agg(p.position)
        into at_topics, at_partitions, at_positions
        from kernel.subscription_position p
        where p.subscription_id = sub.id;

        return query
        with next as materialized (
            select n.*, coalesce(n.tenant_id::text, '') || '/' || n.key as lane
            from kernel.next_events(sub.tenant_id, sub.types, at_topics, at_partitions, at_positions,
                                    most - handed, look) n
        ), moved as (
            insert into kernel.subscription_position (subscription_id, tenant_id, topic, partition, position)
            select sub.id, sub.tenant_id, n.topic, n.partition, n.place
            from next n
            where n.id is null
            on conflict (subscription_id, topic, partition) do update set position = excluded.position
        ), taken_lanes as (
            -- But for what this very pull hands out: the lane's next events may go with it.
            select distinct d.topic, d.partition, d.lane
            from kernel.delivery d
            where d.subscription_id = sub.id and not (d.leased and d.due_at = lease_end)
        ), opened as (
            -- A free lane's events are handed out at once, and cost one write less.
            insert into kernel.delivery as d (subscription_id, tenant_id, event_id, topic, partition, position, lane,
                                              leased, attempts, due_at, first_at)
            select sub.id, sub.tenant_id, n.id, n.topic, n.partition, n.place, n.lane, t.lane is null,
                   (t.lane is null)::integer, case when t.lane is null then lease_end else moment end,
                   case when t.lane is null then kernel.now() end
            from next n
            left join taken_lanes t on t.topic = n.topic and t.partition = n.partition and t.lane = n.lane
            where n.id is not null
            on conflict (subscription_id, event_id) do nothing
            returning d.event_id, d.leased
        )
        select n.id, n.tenant_id, n.topic, n.key, n.type, n.source, n.schema_version, n.data, n.trace_id, n.at,
               1::smallint, null::boolean, null::boolean, null::bigint
        from next n
        join opened o on o.event_id = n.id
        where o.leased
        order by n.topic, n.partition, n.place;
        get diagnostics got = row_count;
        handed := handed + got;
    end loop;

    return query
    select null::uuid, null::uuid, null::text, null::text, null::text, null::text, null::text, null::jsonb, null::text,
           null::timestamptz, null::smallint,
           handed >= most or (behind and not full_up),
           coalesce(bool_or(not d.leased and d.due_at <= moment), false),
           ceil(extract(epoch from min(d.due_at) filter (where d.due_at > moment) - clock_timestamp()) * 1000)::bigint
    from kernel.delivery d
    where d.subscription_id = sub.id;
end
$$;

-- Puts a subscription elsewhere in the log: `to_place` is `beginning`, `end`, `moment` or `cursor` (then the arrays say
-- where). What was taken over and not acknowledged is forgotten; dead letters stay. False: no such subscription.
create function kernel.seek(caller uuid, wanted uuid, to_place text, moment timestamptz, to_topics text[],
                            to_partitions smallint[], to_positions bigint[])
    returns boolean
    language plpgsql
as $$
declare
    sub kernel.subscription := kernel.find_subscription(caller, wanted);
    of_topics text[];
begin
    if sub.id is null then
        return false;
    end if;
    of_topics := array(select kernel.topic_of(p) from unnest(sub.types) p);
    delete from kernel.delivery d where d.subscription_id = sub.id;
    delete from kernel.subscription_position p where p.subscription_id = sub.id;
    insert into kernel.subscription_position (subscription_id, tenant_id, topic, partition, position)
    select sub.id, sub.tenant_id, h.topic, h.partition,
           case to_place
               when 'end' then h.position
               when 'moment' then kernel.place_before(h.topic, h.partition, h.position, moment)
               else least(coalesce(c.position, 0), h.position)
           end
    from kernel.event_head h
    left join rows from (unnest(to_topics), unnest(to_partitions), unnest(to_positions))
        as c(topic, partition, position) on c.topic = h.topic and c.partition = h.partition
    where to_place <> 'beginning' and ('*' = any (sub.types) or h.topic = any (of_topics));
    return true;
end
$$;

-- Says of deliveries in the caller's hands that they failed. False: no such subscription.
create function kernel.nack(caller uuid, wanted uuid, events uuid[], errors text[]) returns boolean
    language plpgsql
as $$
declare
    sub kernel.subscription := kernel.find_subscription(caller, wanted);
begin
    if sub.id is null then
        return false;
    end if;
    perform kernel.fail_deliveries(sub, events, errors, true);
    return true;
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
    changed_to jsonb;
    verb text;
    payload jsonb;
    tenant uuid := (this_row ->> 'tenant_id')::uuid;
    entity text := this_row ->> 'id';
    moment timestamptz := kernel.now();
    salts jsonb := '{}';
    commitments jsonb := '{}';
    member text;
    salt text;
    -- Columns whose names say that they are secret: the audit trail shows that they changed, and nothing more.
    secret text[] := array(select k from jsonb_object_keys(this_row) k where replace(lower(k), '_', '') ~
        'password|passphrase|secret|token|credential|apikey|privatekey|recoverycode|totp');
begin
    verb := case
        when tg_op = 'INSERT' then 'created'
        when tg_op = 'DELETE' then 'deleted'
        when row_before ->> 'deleted_at' is null and row_after ->> 'deleted_at' is not null then 'deleted'
        else 'updated'
    end;
    if tg_op = 'UPDATE' then
        select jsonb_object_agg(b.key, b.value), jsonb_object_agg(b.key, row_after -> b.key) into changed, changed_to
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
    values (kernel.new_id(), tenant, 'platform.data.events', kernel.partition_of(entity), entity,
            'data.' || module || '.' || model || '.' || verb, 'data-layer', payload, request ->> 'trace', moment);
    for member in select p.key from jsonb_each_text(coalesce(request -> 'personal', '{}')) p
                  where p.value is not null loop
        salt := replace(gen_random_uuid()::text, '-', '');
        salts := salts || jsonb_build_object(member, jsonb_build_object(
            'value', request -> 'personal' ->> member, 'salt', salt));
        commitments := commitments || jsonb_build_object(member, encode(sha256(convert_to(
            salt || (request -> 'personal' ->> member), 'UTF8')), 'hex'));
    end loop;
    -- Of an update the record keeps what changed, before and after; the event carries the whole row.
    row_before := coalesce(changed, row_before) - hidden;
    row_after := coalesce(changed_to, row_after) - hidden;
    foreach member in array secret loop
        if row_before ->> member is not null then
            row_before := jsonb_set(row_before, array[member], '"***"');
        end if;
        if row_after ->> member is not null then
            row_after := jsonb_set(row_after, array[member], '"***"');
        end if;
    end loop;
    insert into kernel.audit_record (id, tenant_id, at, action, entity_type, entity_id, actor_kind, actor, user_id,
                                     trace_id, before, after, personal, commitments)
    values (kernel.new_id(), tenant, moment, 'data.' || module || '.' || model || '.' || verb,
            module || '.' || model, entity, coalesce(request ->> 'actorKind', 'module'),
            coalesce(request ->> 'actor', 'module:' || module), (request ->> 'userId')::uuid, request ->> 'trace',
            row_before, row_after, salts, commitments);
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
