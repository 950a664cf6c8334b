-- Allowances under load, and the truth they are held against. `kernel.allowance` alone is one row per tenant and name:
-- right for users or modules, but every record of a tenant would queue for it until the writer before has committed.
-- So connections take records in shares: a share is handed out of the row, and used up without touching it.

-- Units that were taken out of `used` of an allowance and that nobody has put to use yet.
create table kernel.allowance_share (
    tenant_id uuid not null,
    name text not null,
    -- Connections fall to slots by the number of their process, so that two hardly ever meet.
    slot smallint not null,
    room bigint not null check (room >= 0),
    primary key (tenant_id, name, slot)
) with (fillfactor = 50);
call kernel.protect('kernel.allowance_share');

-- The limit whose reaching was told last: it is told once.
alter table kernel.allowance add column told_most bigint;

-- How a name's use is counted from what is there: a query with the tenant as $1, run by the owner. Each service adds its
-- own line.
create table kernel.allowance_truth (
    name text primary key,
    query text not null
);
insert into kernel.allowance_truth values
    ('users', 'select count(*) from iam.membership where tenant_id = $1 and state <> ''deleted'''),
    ('modules', 'select count(*) from registry.installation where tenant_id = $1'),
    ('records', 'select kernel.live_records($1)');

-- Takes `n` records for the bound tenant; gives back with a negative `n`. Costs one look at an index where the plan sets
-- no limit. Of two at the last unit exactly one passes: near the limit shares are empty, and all meet at the row.
create function kernel.reserve_records(n bigint) returns boolean
    language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
    -- Most of a share, and into how many parts what is left of the limit is cut.
    most_room constant bigint := 1000;
    parts constant bigint := 64;
    mine constant smallint := pg_backend_pid() % 16;
    of_tenant constant uuid := kernel.tenant();
    a kernel.allowance;
    spare bigint;
    back bigint;
begin
    if n = 0 then
        return true;
    end if;
    perform from kernel.allowance l where l.tenant_id = of_tenant and l.name = 'records' and l.most is not null;
    if not found then
        return true;
    end if;
    if n < 0 then
        insert into kernel.allowance_share as s (tenant_id, name, slot, room) values (of_tenant, 'records', mine, -n)
        on conflict (tenant_id, name, slot) do update set room = s.room - n;
        return true;
    end if;
    update kernel.allowance_share s set room = s.room - n
    where s.tenant_id = of_tenant and s.name = 'records' and s.slot = mine and s.room >= n;
    if found then
        return true;
    end if;
    select * into a from kernel.allowance l where l.tenant_id = of_tenant and l.name = 'records' for update;
    if a.most is null then
        return true;
    end if;
    if a.used + n > a.most then
        -- The last units lie in shares: all of them come back.
        with held as (
            select s.slot, s.room from kernel.allowance_share s
            where s.tenant_id = of_tenant and s.name = 'records' order by s.slot for update
        ), emptied as (
            update kernel.allowance_share s set room = 0 from held
            where s.tenant_id = of_tenant and s.name = 'records' and s.slot = held.slot and held.room > 0
        )
        select coalesce(sum(held.room), 0) into back from held;
        a.used := greatest(a.used - back, 0);
    end if;
    if a.used + n > a.most then
        -- SQLSTATE of the kernel's own: the message is for the caller.
        raise exception 'The plan allows % records; % are in use.', a.most, a.used using errcode = 'KN402';
    end if;
    spare := least(most_room, (a.most - a.used - n) / parts);
    update kernel.allowance l set used = a.used + n + spare where l.tenant_id = of_tenant and l.name = 'records';
    if spare > 0 then
        insert into kernel.allowance_share as s (tenant_id, name, slot, room)
        values (of_tenant, 'records', mine, spare)
        on conflict (tenant_id, name, slot) do update set room = s.room + excluded.room;
    end if;
    return true;
end
$$;
revoke execute on function kernel.reserve_records(bigint) from public;
grant execute on function kernel.reserve_records(bigint) to pk_data;

-- The records of a tenant that are not deleted, in the tables of all modules.
create function kernel.live_records(of_tenant uuid) returns bigint
    language plpgsql stable set search_path = pg_catalog, pg_temp
as $$
declare
    target regclass;
    part bigint;
    total bigint := 0;
begin
    for target in
        select c.oid::regclass
        from pg_class c
        join pg_namespace n on n.oid = c.relnamespace
        join pg_attribute t on t.attrelid = c.oid and t.attname = 'tenant_id' and not t.attisdropped
        join pg_attribute d on d.attrelid = c.oid and d.attname = 'deleted_at' and not d.attisdropped
        where c.relkind = 'r' and n.nspname like 'module\_%'
    loop
        execute format('select count(*) from %s where tenant_id = $1 and deleted_at is null', target)
            into part using of_tenant;
        total := total + part;
    end loop;
    return total;
end
$$;

-- Counts one of the bound tenant's allowances from what is there. Nobody takes of it meanwhile: its row and its shares
-- are held until the transaction ends.
create function kernel.recount(wanted text) returns bigint
    language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
    of_tenant constant uuid := kernel.tenant();
    counting text;
    truth bigint;
begin
    select t.query into counting from kernel.allowance_truth t where t.name = wanted;
    if counting is null or of_tenant is null then
        return null;
    end if;
    insert into kernel.allowance (tenant_id, name) values (of_tenant, wanted) on conflict do nothing;
    perform from kernel.allowance a where a.tenant_id = of_tenant and a.name = wanted for update;
    delete from kernel.allowance_share s where s.tenant_id = of_tenant and s.name = wanted;
    execute counting into truth using of_tenant;
    update kernel.allowance a set used = coalesce(truth, 0) where a.tenant_id = of_tenant and a.name = wanted;
    return truth;
end
$$;
revoke execute on function kernel.recount(text) from public;
grant execute on function kernel.recount(text) to pk_app, pk_system;

-- Holds every allowance of the bound tenant against what is there, and sets right what is off: first a look, and only
-- where that differs a count that lets nobody in.
create function kernel.reconcile() returns table (name text, was bigint, is_now bigint)
    language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    of_tenant constant uuid := kernel.tenant();
    t kernel.allowance_truth;
begin
    for t in select * from kernel.allowance_truth w order by w.name loop
        name := t.name;
        select a.used - coalesce((select sum(s.room) from kernel.allowance_share s
                                  where s.tenant_id = a.tenant_id and s.name = a.name), 0)
        into was
        from kernel.allowance a where a.tenant_id = of_tenant and a.name = t.name;
        execute t.query into is_now using of_tenant;
        if was is distinct from is_now then
            is_now := kernel.recount(t.name);
        end if;
        return next;
    end loop;
end
$$;
revoke execute on function kernel.reconcile() from public;
grant execute on function kernel.reconcile() to pk_system;

-- Sets what the bound tenant may use; null is unlimited. What was not limited so far may not have been counted.
create function kernel.allow(names text[], mosts bigint[]) returns void
    language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
    of_tenant constant uuid := kernel.tenant();
    wanted record;
    had bigint;
begin
    -- In one order for all, so that two of these never wait for each other.
    for wanted in select w.name, w.most from unnest(names, mosts) as w(name, most) order by w.name loop
        insert into kernel.allowance (tenant_id, name) values (of_tenant, wanted.name) on conflict do nothing;
        select a.most into had from kernel.allowance a
        where a.tenant_id = of_tenant and a.name = wanted.name for update;
        update kernel.allowance a set most = wanted.most where a.tenant_id = of_tenant and a.name = wanted.name;
        if had is null and wanted.most is not null then
            perform kernel.recount(wanted.name);
        end if;
    end loop;
end
$$;
revoke execute on function kernel.allow(text[], bigint[]) from public;
grant execute on function kernel.allow(text[], bigint[]) to pk_app, pk_system;
