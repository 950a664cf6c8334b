-- Modules: what is registered in the sandbox, what each tenant has installed, and the functions with which a module's
-- own login puts its tables under the platform's rules.
--
-- Registering is ONE transaction on a connection logged in as the module's own role: schema, migrations, the
-- platform's columns, policies and triggers, the check of the result and the rows below. Whatever fails, nothing
-- remains, and there is no moment at which tables and rows disagree. What the module's role may not do itself is done
-- for it by the functions of the schema `registration`, which look at the login (session_user), not at the current role.

create schema registry;
grant usage on schema registry to pk_app, pk_system;

create sequence registry.revision;

create table registry.module (
    slug text primary key check (slug ~ '^[a-z][a-z0-9_]{1,30}$'),
    id uuid not null unique,
    name text not null unique,
    version text not null,
    -- `unregistered`: the tables stay until `purge_after`.
    state text not null check (state in ('active', 'unregistered')),
    manifest jsonb not null,
    -- Where the back-end is: the manifest's address, or the one given at registration.
    backend_url text,
    -- Over manifest, migrations and address: the same again is not a change.
    content_hash bytea not null,
    -- Grows over all modules, also when one is purged and comes back.
    revision bigint not null,
    -- The registration that made it what it is.
    attempt_id uuid not null,
    -- Whether event and audit record of that registration have been left.
    announced boolean not null default false,
    registered_at timestamptz not null,
    updated_at timestamptz not null,
    purge_after timestamptz,
    check ((state = 'unregistered') = (purge_after is not null))
);

create table registry.module_version (
    slug text not null references registry.module on delete cascade,
    version text not null,
    manifest jsonb not null,
    -- [{"file", "sql"}]
    migrations jsonb not null,
    registered_by text not null,
    registered_at timestamptz not null,
    primary key (slug, version)
);

-- Which migrations a module's schema holds. Kept here and not in the schema, where the module could reach it.
create table registry.applied_migration (
    slug text not null references registry.module on delete cascade,
    number bigint not null,
    file text not null,
    hash bytea not null,
    version text not null,
    applied_at timestamptz not null,
    primary key (slug, number)
);

-- Each try to register or update a module, and what became of it.
create table registry.attempt (
    id uuid primary key,
    slug text not null,
    version text not null,
    kind text not null check (kind in ('register', 'update')),
    state text not null check (state in ('pending', 'registering', 'active', 'failed')),
    started_by text not null,
    started_at timestamptz not null,
    -- Real time: a try whose process died counts as failed after this.
    late_at timestamptz not null,
    finished_at timestamptz,
    fault text,
    -- What becomes of the rows above, written before any SQL of the module runs. The module's login knows the ticket
    -- only when its own SQL has been run and checked, and can't read this table at all.
    ticket uuid unique,
    content jsonb,
    base_revision bigint
);
create index attempt_by_slug on registry.attempt (slug, started_at desc, id desc);

-- Grows with every change of what is registered or installed: caches in memory compare it.
create table registry.snapshot_version (
    only_row boolean primary key default true check (only_row),
    version bigint not null default 1
);
insert into registry.snapshot_version default values;

-- Of the sandbox, not of a tenant: the application's role has no business here.
do $$
declare
    name text;
begin
    foreach name in array array['module', 'module_version', 'applied_migration', 'attempt', 'snapshot_version'] loop
        execute format('alter table registry.%I enable row level security', name);
        execute format('alter table registry.%I force row level security', name);
        execute format('create policy system_rows on registry.%I to pk_system using (true) with check (true)', name);
        execute format('create policy owner_rows on registry.%I to pk_owner using (true) with check (true)', name);
    end loop;
end
$$;
grant select, update on registry.module to pk_system;
grant select on registry.module_version, registry.applied_migration, registry.snapshot_version to pk_system;
grant select, insert, update, delete on registry.attempt to pk_system;
grant usage on sequence registry.revision to pk_system;

-- A try that was under way belongs to the process of the source.
insert into kernel.not_cloned values
    ('registry.attempt', 'delete from registry.attempt where state in (''pending'', ''registering'')');

create table registry.installation (
    tenant_id uuid not null,
    slug text not null references registry.module,
    enabled boolean not null default true,
    installed_by text not null,
    installed_at timestamptz not null default kernel.now(),
    changed_at timestamptz not null default kernel.now(),
    primary key (tenant_id, slug)
);
create index installation_by_slug on registry.installation (slug);
call kernel.protect('registry.installation');

-- A module's credential for work of its own in one tenant. The key itself is not kept, only its SHA-256.
create table registry.module_key (
    id uuid primary key,
    tenant_id uuid not null,
    slug text not null,
    prefix text not null unique,
    hash bytea not null,
    created_by text not null,
    created_at timestamptz not null default kernel.now(),
    -- Set when a newer key took its place.
    valid_until timestamptz,
    revoked_at timestamptz,
    foreign key (tenant_id, slug) references registry.installation on delete cascade
);
create index module_key_by_module on registry.module_key (tenant_id, slug, created_at desc);
call kernel.protect('registry.module_key');
insert into kernel.not_cloned values
    ('registry.module_key',
     'update registry.module_key set revoked_at = kernel.now() where revoked_at is null', '{restore,keys}');
insert into kernel.carried values
    ('registry.module_key',
     'select jsonb_agg(id) from registry.module_key where revoked_at is not null',
     'update registry.module_key k set revoked_at = kernel.now()
      from jsonb_array_elements_text($1) as c(id) where k.id = c.id::uuid and k.revoked_at is null');

create function registry.bump() returns trigger
    language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
begin
    update registry.snapshot_version set version = version + 1;
    return null;
end
$$;
create trigger bump after insert or delete or update of revision, state, backend_url on registry.module
    for each statement execute function registry.bump();
create trigger bump after insert or delete or update on registry.installation
    for each statement execute function registry.bump();

-- Makes what an attempt prepared the module's present. Answers the new revision.
create function registry.adopt(wanted_ticket uuid) returns bigint
    language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
    a registry.attempt;
    present bigint;
    next_revision bigint := nextval('registry.revision');
begin
    select * into a from registry.attempt t where t.ticket = wanted_ticket and t.state = 'registering';
    if not found then
        raise exception 'this registration is not under way' using errcode = 'object_not_in_prerequisite_state';
    end if;
    select m.revision into present from registry.module m where m.slug = a.slug for update;
    if present is distinct from a.base_revision then
        raise exception 'the module was changed at the same moment' using errcode = 'serialization_failure';
    end if;
    insert into registry.module as m (slug, id, name, version, state, manifest, backend_url, content_hash, revision,
                                      attempt_id, registered_at, updated_at)
    values (a.slug, (a.content ->> 'id')::uuid, a.content ->> 'name', a.version, 'active', a.content -> 'manifest',
            a.content ->> 'backendUrl', decode(a.content ->> 'contentHash', 'hex'), next_revision, a.id, a.started_at,
            a.started_at)
    on conflict (slug) do update
        set version = excluded.version, state = 'active', manifest = excluded.manifest,
            backend_url = excluded.backend_url, content_hash = excluded.content_hash, revision = excluded.revision,
            attempt_id = excluded.attempt_id, announced = false, updated_at = excluded.updated_at, purge_after = null;
    insert into registry.module_version (slug, version, manifest, migrations, registered_by, registered_at)
    values (a.slug, a.version, a.content -> 'manifest', a.content -> 'migrations', a.started_by, a.started_at)
    on conflict (slug, version) do update
        set manifest = excluded.manifest, migrations = excluded.migrations, registered_by = excluded.registered_by,
            registered_at = excluded.registered_at;
    insert into registry.applied_migration (slug, number, file, hash, version, applied_at)
    select a.slug, n.number, n.file, decode(n.hash, 'hex'), a.version, a.started_at
    from jsonb_to_recordset(a.content -> 'applied') as n(number bigint, file text, hash text);
    return next_revision;
end
$$;
revoke execute on function registry.adopt(uuid) from public;
grant execute on function registry.adopt(uuid) to pk_system;

-- Removes a module with all its tables, in all tenants.
create function registry.purge(gone text) returns void
    language plpgsql security definer set search_path = pg_catalog, pg_temp set lock_timeout = '10s'
as $$
begin
    if gone !~ '^[a-z][a-z0-9_]{1,30}$' then
        raise exception 'not a module' using errcode = 'invalid_parameter_value';
    end if;
    delete from registry.installation where slug = gone;
    delete from registry.module where slug = gone;
    execute format('drop schema if exists %I cascade', 'module_' || gone);
end
$$;
revoke execute on function registry.purge(text) from public;
grant execute on function registry.purge(text) to pk_system;

-- ---------------------------------------------------------------------------------------------------------------
-- What a module's login may ask for. Open to every login of the sandbox, each function for the module's own only.

create schema registration;
grant usage on schema registration to public;

create function registration.ours(slug text) returns void
    language plpgsql stable set search_path = pg_catalog, pg_temp
as $$
begin
    if slug !~ '^[a-z][a-z0-9_]{1,30}$' or not pg_has_role(session_user, ('pk_mod_' || slug)::name, 'member') then
        raise exception 'this login is not of module %', slug using errcode = 'insufficient_privilege';
    end if;
end
$$;

-- Begins: the schema stands and the module's role may make tables in it. One registration of a module at a time.
create function registration.open(slug text) returns timestamptz
    language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
    home text := 'module_' || slug;
begin
    perform registration.ours(slug);
    perform pg_advisory_xact_lock(hashtextextended('registration ' || slug, 0));
    if not exists (select 1 from pg_namespace where nspname = home) then
        execute format('create schema %I', home);
        execute format('grant usage on schema %I to pk_data, pk_system, pk_reader', home);
    end if;
    execute format('grant usage, create on schema %I to %I', home, 'pk_mod_' || slug);
    return kernel.now();
end
$$;

-- The target that foreign keys of a tenant's rows need, on every table that has none yet. As the module's role, which
-- owns the tables.
create function registration.tenant_keys(slug text) returns void
    language plpgsql set search_path = pg_catalog, pg_temp
as $$
declare
    lacking record;
begin
    for lacking in
        select c.oid::regclass as target, c.relname
        from pg_class c join pg_namespace n on n.oid = c.relnamespace
        join pg_attribute i on i.attrelid = c.oid and i.attname = 'id' and not i.attisdropped
        join pg_attribute t on t.attrelid = c.oid and t.attname = 'tenant_id' and not t.attisdropped
        where n.nspname = 'module_' || slug and c.relkind = 'r'
          and not exists (
              select 1 from pg_constraint k
              where k.conrelid = c.oid and k.contype in ('p', 'u') and not k.condeferrable
                and k.conkey @> array[t.attnum, i.attnum] and k.conkey <@ array[t.attnum, i.attnum])
        order by c.relname
    loop
        execute format('alter table %s add constraint %I unique (tenant_id, id)', lacking.target,
                       left('kernel_' || lacking.relname, 40) || '_' || left(md5(lacking.relname), 8));
    end loop;
end
$$;

-- The platform's columns, row-level security, policies and grants, on every table that lacks them; a table that has
-- them is not touched, so that an update locks nothing it does not change. As the module's role, which owns the tables.
--
-- The tenant's policy says what kernel.tenant() says, by functions that the module's role can name.
create function registration.finish(slug text, moment timestamptz) returns void
    language plpgsql set search_path = pg_catalog, pg_temp
as $$
declare
    t record;
    c record;
    p record;
    bound constant text := 'tenant_id = nullif(current_setting(''kernel.tenant'', true), '''')::uuid';
begin
    set constraints all immediate;
    perform registration.tenant_keys(slug);
    for t in
        select k.oid, k.oid::regclass as target, k.relrowsecurity and k.relforcerowsecurity as secured
        from pg_class k join pg_namespace n on n.oid = k.relnamespace
        where n.nspname = 'module_' || slug and k.relkind = 'r'
        order by k.relname
    loop
        for c in
            select w.name, w.definition, w.fallback, a.attnum is not null as present,
                   coalesce(a.attnotnull, false) as fixed
            from (values (1, 'created_at', 'timestamptz', quote_literal(moment)),
                         (2, 'updated_at', 'timestamptz', quote_literal(moment)),
                         (3, 'deleted_at', 'timestamptz', null),
                         (4, 'version', 'integer', '1')) as w(place, name, definition, fallback)
            left join pg_attribute a on a.attrelid = t.oid and a.attname = w.name and not a.attisdropped
            order by w.place
        loop
            if not c.present and c.fallback is null then
                execute format('alter table %s add column %I %s', t.target, c.name, c.definition);
            elsif not c.present then
                execute format('alter table %s add column %I %s not null default %s', t.target, c.name, c.definition,
                               c.fallback);
                if c.definition = 'timestamptz' then
                    execute format('alter table %s alter column %I drop default', t.target, c.name);
                end if;
            elsif c.fallback is not null and not c.fixed then
                execute format('update %s set %I = %s where %I is null', t.target, c.name, c.fallback, c.name);
                execute format('alter table %s alter column %I set not null', t.target, c.name);
            end if;
        end loop;
        if not t.secured then
            execute format('alter table %s enable row level security, force row level security', t.target);
        end if;
        for p in
            select w.name, w.command, w.grantee, w.condition
            from (values ('tenant_rows', 'all', 'pk_data', bound),
                         ('system_rows', 'all', 'pk_system', 'true'),
                         ('owner_rows', 'all', 'pk_owner', 'true'),
                         ('reader_rows', 'select', 'pk_reader', 'true'),
                         ('migration_rows', 'all', 'pk_mod_' || slug, 'true')) as w(name, command, grantee, condition)
            where not exists (select 1 from pg_policy y where y.polrelid = t.oid and y.polname = w.name)
        loop
            execute format('create policy %I on %s for %s to %I using (%s)', p.name, t.target, p.command, p.grantee,
                           p.condition)
                    || case when p.command = 'all' then format(' with check (%s)', p.condition) else '' end;
        end loop;
        execute format('grant select, insert, update, delete on %s to pk_data, pk_system', t.target);
        execute format('grant select on %s to pk_reader', t.target);
        execute format('grant select, trigger on %s to pk_owner', t.target);
    end loop;
end
$$;

-- The triggers that keep the platform's columns and tell of each change. `hidden` names, per table, what they leave
-- out. As the owner, who alone may name the kernel's functions.
create function registration.watch(slug text, hidden jsonb) returns void
    language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
    t record;
    silent text;
begin
    perform registration.ours(slug);
    for t in
        select k.oid, k.oid::regclass as target, k.relname::text as model
        from pg_class k join pg_namespace n on n.oid = k.relnamespace
        where n.nspname = 'module_' || slug and k.relkind = 'r'
        order by k.relname
    loop
        silent := (select coalesce(array_agg(h.name order by h.name), '{}')::text
                   from jsonb_array_elements_text(coalesce(hidden -> t.model, '[]')) as h(name));
        if not exists (select 1 from pg_trigger g where g.tgrelid = t.oid and g.tgname = 'kernel_keep_columns') then
            execute format('create trigger kernel_keep_columns before insert or update on %s '
                           'for each row execute function kernel.keep_columns()', t.target);
        end if;
        if not exists (
            select 1 from pg_trigger g
            where g.tgrelid = t.oid and g.tgname = 'kernel_capture_change'
              and g.tgargs = decode(encode(convert_to(slug, 'UTF8'), 'hex') || '00'
                                    || encode(convert_to(t.model, 'UTF8'), 'hex') || '00'
                                    || encode(convert_to(silent, 'UTF8'), 'hex') || '00', 'hex')
        ) then
            execute format('create or replace trigger kernel_capture_change after insert or update or delete on %s '
                           'for each row execute function kernel.capture_change(%L, %L, %L)',
                           t.target, slug, t.model, silent);
        end if;
    end loop;
end
$$;

-- What of the schema breaks a rule, read from Postgres' own catalogue: the last word, whatever the SQL looked like.
create function registration.faults(slug text) returns table (relation text, fault text)
    language sql stable security definer set search_path = pg_catalog, pg_temp
as $$
    with home as (
        select n.oid from pg_namespace n where n.nspname = 'module_' || slug
    ), things as (
        select c.* from pg_class c where c.relnamespace = (select oid from home)
    ), tables as (
        select c.*,
               (select a.attnum from pg_attribute a where a.attrelid = c.oid and a.attname = 'tenant_id') as tenant,
               (select a.attnum from pg_attribute a where a.attrelid = c.oid and a.attname = 'id') as key
        from things c where c.relkind = 'r'
    ), wanted_columns (name, type, filled) as (
        values ('id', 'uuid'::regtype, true), ('tenant_id', 'uuid'::regtype, true),
               ('created_at', 'timestamptz'::regtype, true), ('updated_at', 'timestamptz'::regtype, true),
               ('deleted_at', 'timestamptz'::regtype, false), ('version', 'int4'::regtype, true)
    ), wanted_policies (name, command, grantee, condition, checked) as (
        values ('tenant_rows', '*'::"char", 'pk_data',
                '(tenant_id = (NULLIF(current_setting(''kernel.tenant''::text, true), ''''::text))::uuid)', true),
               ('system_rows', '*', 'pk_system', 'true', true),
               ('owner_rows', '*', 'pk_owner', 'true', true),
               ('reader_rows', 'r', 'pk_reader', 'true', false),
               ('migration_rows', '*', 'pk_mod_' || slug, 'true', true)
    ), keys as (
        select t.relname, t.tenant, t.key, i.indexrelid, i.indpred, i.indisprimary,
               (string_to_array(i.indkey::text, ' '))[1:i.indnkeyatts]::int2[] as columns
        from tables t join pg_index i on i.indrelid = t.oid
        where i.indisunique
    )
    select o.relname::text, 'is neither a table nor part of one'
    from things o where o.relkind not in ('r', 'i', 'S')
    union all
    select f.proname::text, 'is a function' from pg_proc f where f.pronamespace = (select oid from home)
    union all
    select y.typname::text, 'is a type of another kind than an enum'
    from pg_type y
    where y.typnamespace = (select oid from home) and y.typtype <> 'e' and y.typrelid = 0 and y.typelem = 0
    union all
    select t.relname::text, 'belongs to another role' from tables t
    where pg_get_userbyid(t.relowner) <> 'pk_mod_' || slug
    union all
    select t.relname::text, format('has no column %s of type %s%s', w.name, w.type,
                                   case when w.filled then ' that is never null' else '' end)
    from tables t cross join wanted_columns w
    where not exists (
        select 1 from pg_attribute a
        where a.attrelid = t.oid and a.attname = w.name and a.atttypid = w.type and a.attgenerated = ''
          and (a.attnotnull or not w.filled))
    union all
    select k.relname::text, format('has the unique index %s without tenant_id', k.indexrelid::regclass)
    from keys k
    where not (k.tenant = any (k.columns)) and not (k.indisprimary and k.columns = array[k.key])
    union all
    select t.relname::text, 'has no unique key (tenant_id, id)' from tables t
    where not exists (
        select 1 from keys k
        where k.relname = t.relname and k.indpred is null
          and k.columns @> array[t.tenant, t.key] and cardinality(k.columns) = 2)
    union all
    select t.relname::text, format('has the exclusion constraint %s', c.conname)
    from tables t join pg_constraint c on c.conrelid = t.oid where c.contype = 'x'
    union all
    select t.relname::text, format('has the foreign key %s, which does not pair tenant_id with tenant_id', c.conname)
    from tables t join pg_constraint c on c.conrelid = t.oid
    left join tables other on other.oid = c.confrelid
    where c.contype = 'f'
      and (other.oid is null
           or not exists (select 1 from unnest(c.conkey, c.confkey) as pair(here, there)
                          where pair.here = t.tenant and pair.there = other.tenant)
           or exists (select 1 from unnest(c.conkey, c.confkey) as pair(here, there)
                      where (pair.here = t.tenant) <> (pair.there = other.tenant)))
    union all
    select t.relname::text, 'is not under forced row-level security' from tables t
    where not (t.relrowsecurity and t.relforcerowsecurity)
    union all
    select t.relname::text, format('lacks the policy %s as it should be', w.name)
    from tables t cross join wanted_policies w
    where not exists (
        select 1 from pg_policy p
        where p.polrelid = t.oid and p.polname = w.name and p.polcmd = w.command and p.polpermissive
          and p.polroles = array[(select r.oid from pg_roles r where r.rolname = w.grantee)]
          and pg_get_expr(p.polqual, p.polrelid) = w.condition
          and pg_get_expr(p.polwithcheck, p.polrelid) is not distinct from case when w.checked then w.condition end)
    union all
    select t.relname::text, format('has the policy %s of its own', p.polname)
    from tables t join pg_policy p on p.polrelid = t.oid
    where p.polname not in (select name from wanted_policies)
    union all
    select t.relname::text, 'has rules' from tables t where exists (select 1 from pg_rewrite r where r.ev_class = t.oid)
    union all
    select t.relname::text, format('has the trigger %s of its own', g.tgname)
    from tables t join pg_trigger g on g.tgrelid = t.oid
    where not g.tgisinternal and g.tgname not in ('kernel_keep_columns', 'kernel_capture_change')
    union all
    select t.relname::text, format('lacks the trigger %s', w.name)
    from tables t
    cross join (values ('kernel_keep_columns', 'kernel.keep_columns()', 23),
                       ('kernel_capture_change', 'kernel.capture_change()', 29)) as w(name, function, type)
    where not exists (
        select 1 from pg_trigger g
        where g.tgrelid = t.oid and g.tgname = w.name and g.tgenabled = 'O' and g.tgqual is null
          and g.tgtype = w.type and g.tgfoid = w.function::regprocedure)
    union all
    select t.relname::text, 'inherits from, or is a part of, another table' from tables t
    where exists (select 1 from pg_inherits i where i.inhrelid = t.oid or i.inhparent = t.oid)
    union all
    select t.relname::text, format('depends on the function %s', f.proname)
    from tables t
    join pg_depend d on d.refclassid = 'pg_proc'::regclass
    join pg_proc f on f.oid = d.refobjid and f.pronamespace <> 'pg_catalog'::regnamespace
    where (d.classid = 'pg_class'::regclass and d.objid = t.oid)
       or (d.classid = 'pg_class'::regclass and d.objid in (select i.indexrelid from pg_index i where i.indrelid = t.oid))
       or (d.classid = 'pg_attrdef'::regclass
           and d.objid in (select v.oid from pg_attrdef v where v.adrelid = t.oid))
       or (d.classid = 'pg_constraint'::regclass
           and d.objid in (select v.oid from pg_constraint v where v.conrelid = t.oid))
    order by 1, 2
    limit 50
$$;

-- Ends: checks the schema once more, takes back the right to make tables, and makes the prepared rows the present.
create function registration.complete(slug text, wanted_ticket uuid) returns bigint
    language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
    found_fault record;
begin
    perform registration.ours(slug);
    if not exists (select 1 from registry.attempt a where a.ticket = wanted_ticket and a.slug = complete.slug) then
        raise exception 'this registration is not under way' using errcode = 'object_not_in_prerequisite_state';
    end if;
    select * into found_fault from registration.faults(slug) limit 1;
    if found then
        raise exception '% %', found_fault.relation, found_fault.fault using errcode = 'integrity_constraint_violation';
    end if;
    execute format('revoke create on schema %I from %I', 'module_' || slug, 'pk_mod_' || slug);
    return registry.adopt(wanted_ticket);
end
$$;
