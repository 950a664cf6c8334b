-- Whose each verified hostname is: one tenant's of one sandbox, in the whole installation.

create table control.hostname (
    hostname text primary key,
    -- The claim: the id of the domain in its sandbox.
    id uuid not null unique,
    -- control.sandbox.id: a reset sandbox is another one.
    sandbox_id uuid not null,
    tenant_id uuid not null,
    claimed_at timestamptz not null default clock_timestamp()
);
create index hostname_of_sandbox on control.hostname (sandbox_id);

-- Grows with each change, so that every process notices.
create table control.hostname_change (
    only_row boolean primary key default true check (only_row),
    version bigint not null default 0
);
insert into control.hostname_change default values;

do $$
declare
    name text;
begin
    foreach name in array array['hostname', 'hostname_change'] loop
        execute format('alter table control.%I enable row level security', name);
        execute format('alter table control.%I force row level security', name);
        execute format('create policy system_rows on control.%I to pk_system using (true) with check (true)', name);
        execute format('create policy owner_rows on control.%I to pk_owner using (true) with check (true)', name);
        execute format('grant select, insert, update, delete on control.%I to pk_system', name);
    end loop;
end
$$;

create function control.hostnames_changed() returns trigger
    language plpgsql
as $$
begin
    update control.hostname_change set version = version + 1;
    return null;
end
$$;
create trigger changed after insert or update or delete on control.hostname
    for each statement execute function control.hostnames_changed();

-- What a sandbox claimed goes with it, and with its reset.
create function control.release_hostnames() returns trigger
    language plpgsql
as $$
begin
    delete from control.hostname where sandbox_id = old.id;
    return null;
end
$$;
create trigger released after delete on control.sandbox
    for each row execute function control.release_hostnames();
create trigger renewed after update of id on control.sandbox
    for each row when (old.id is distinct from new.id) execute function control.release_hostnames();
