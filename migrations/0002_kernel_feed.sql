-- Feeding Kafka from the log: who does it, and how far they came. Where no Kafka is configured nobody does, and nothing
-- here changes.

-- One feed at a time, in whichever process. Times are real.
create table kernel.event_feed (
    one boolean primary key default true check (one),
    -- Grows with each taking: what a feed that was overtaken still says is not believed.
    fence bigint not null default 0,
    holder uuid,
    leased_until timestamptz,
    -- When somebody fed last: while this is fresh, the log keeps what was not fed.
    seen_at timestamptz not null default '-infinity'
);
insert into kernel.event_feed default values;

-- Everything up to here is in Kafka, on all of its replicas.
create table kernel.event_fed (
    topic text not null,
    partition smallint not null,
    position bigint not null,
    primary key (topic, partition)
);

grant select, update on kernel.event_feed to pk_system;
grant select, insert, update on kernel.event_fed to pk_system;

-- A copy begins with what happens in it; the topics that its source fed are not its own. Going back to a snapshot keeps
-- the places that are in it.
insert into kernel.not_cloned values
    ('kernel.event_feed', 'update kernel.event_feed set holder = null, leased_until = null, seen_at = ''-infinity''',
     '{}'),
    ('kernel.event_fed',
     'insert into kernel.event_fed (topic, partition, position) '
     'select h.topic, h.partition, h.position from kernel.event_head h '
     'on conflict (topic, partition) do update set position = excluded.position', '{restore}');

-- Takes the feed for ten seconds, unless somebody else has it; answers the fence to show.
create function kernel.take_feed(taker uuid) returns bigint
    language sql
as $$
    update kernel.event_feed
    set fence = fence + 1, holder = taker, leased_until = clock_timestamp() + interval '10 seconds',
        seen_at = clock_timestamp()
    where holder is null or holder = taker or leased_until < clock_timestamp()
    returning fence;
$$;

-- Notes how far the feed came, and keeps it for ten seconds more or gives it back. False: somebody else has it by now,
-- and nothing was noted.
create function kernel.move_feed(shown bigint, topics text[], partitions smallint[], positions bigint[], keep boolean)
    returns boolean
    language sql
as $$
    with mine as (
        update kernel.event_feed
        set holder = case when keep then holder end,
            leased_until = case when keep then clock_timestamp() + interval '10 seconds' end,
            seen_at = clock_timestamp()
        where fence = shown and holder is not null
        returning fence
    ), moved as (
        insert into kernel.event_fed as d (topic, partition, position)
        select p.topic, p.partition, p.position
        from mine, rows from (unnest(topics), unnest(partitions), unnest(positions)) as p(topic, partition, position)
        on conflict (topic, partition) do update set position = greatest(d.position, excluded.position)
    )
    select exists (select from mine);
$$;

-- How many events wait to be fed.
create function kernel.unfed() returns bigint
    language sql stable
as $$
    select coalesce(sum(h.position - coalesce(d.position, 0)), 0)::bigint
    from kernel.event_head h
    left join kernel.event_fed d on d.topic = h.topic and d.partition = h.partition
    where h.position > coalesce(d.position, 0);
$$;

-- As before, but what a feed at work has not fed yet stays.
create or replace function kernel.forget_events(most integer) returns integer
    language plpgsql
as $$
declare
    head record;
    oldest timestamptz;
    fed bigint;
    gone integer;
    total integer := 0;
begin
    delete from kernel.dead_letter d
    using kernel.event e
    where e.id = d.event_id and e.logged_at < clock_timestamp() - interval '30 days';
    for head in select h.topic, h.partition from kernel.event_head h loop
        oldest := clock_timestamp() - case head.topic when 'platform.audit.events' then interval '30 days'
                                                      else interval '7 days' end;
        select case when f.seen_at >= oldest then coalesce((
            select d.position from kernel.event_fed d
            where d.topic = head.topic and d.partition = head.partition), 0) end
        into fed
        from kernel.event_feed f;
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
          and old.logged_at < oldest and (fed is null or old.position <= fed);
        get diagnostics gone = row_count;
        total := total + gone;
        exit when total >= most;
    end loop;
    return total;
end
$$;
