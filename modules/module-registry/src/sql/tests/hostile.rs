//! Statements an attacker would try, each with the rule that must refuse it and the line, counted from
//! the statement's first, where it must point.

use super::after_ground;
use super::hostile_expressions::{EXPRESSIONS, ROWS};

pub(super) type Attack = (&'static str, u32, &'static str);

const STATEMENTS: &[Attack] = &[
    ("function", 0, "create function f() returns int language sql as $$ select 1; select 2 $$;"),
    (
        "function",
        0,
        "create or replace function f() returns int language sql security definer as 'select 1';",
    ),
    ("function", 0, "create procedure p() language sql as 'select 1';"),
    ("function", 0, "create function f() returns int begin atomic select 1; select 2; end;"),
    ("function", 0, "call p();"),
    ("function", 0, "alter function f() security definer;"),
    ("function", 0, "drop function if exists kernel.now();"),
    ("do-block", 0, "do $$ begin perform set_config('app.tenant', 'x', false); end $$;"),
    ("trigger", 0, "create trigger t before insert on deals for each row execute function f();"),
    ("trigger", 0, "alter table deals disable trigger all;"),
    ("trigger", 0, "drop trigger capture on deals;"),
    ("event-trigger", 0, "create event trigger e on ddl_command_end execute function f();"),
    ("event-trigger", 0, "alter event trigger e disable;"),
    ("rule", 0, "create rule r as on insert to deals do also (delete from deals; select 1);"),
    ("rule", 0, "alter table deals disable rule r;"),
    ("policy", 0, "create policy p on deals using (true);"),
    ("policy", 0, "alter policy p on deals using (true);"),
    ("policy", 0, "drop policy if exists tenant on deals;"),
    ("row-level-security", 0, "alter table deals disable row level security;"),
    ("row-level-security", 0, "alter table deals enable row level security;"),
    ("row-level-security", 0, "alter table deals no force row level security;"),
    ("row-level-security", 1, "alter table\n deals add column a int, force row level security;"),
    ("set", 0, "set role pk_owner;"),
    ("set", 0, "SET LOCAL app.tenant = 'x';"),
    ("set", 0, "set session authorization postgres;"),
    ("set", 0, "reset role;"),
    ("set", 0, "reset all;"),
    ("set", 0, "show all;"),
    ("set", 0, "discard all;"),
    ("set", 0, "set constraints all deferred;"),
    ("set", 0, "/* harmless */ set /* really */ search_path = iam;"),
    ("transaction", 0, "commit;"),
    ("transaction", 0, "begin;"),
    ("transaction", 0, "rollback;"),
    ("transaction", 0, "savepoint s;"),
    ("transaction", 0, "prepare transaction 'x';"),
    ("copy", 0, "copy deals from program 'curl evil';"),
    ("copy", 0, "copy deals to '/tmp/x';"),
    ("copy", 0, "copy (select 1) to stdout;"),
    ("grant", 0, "grant all on deals to public;"),
    ("grant", 0, "revoke all on deals from pk_app;"),
    ("grant", 0, "grant pk_system to pk_mod_crm;"),
    ("grant", 0, "alter default privileges grant all on tables to public;"),
    ("extension", 0, "create extension dblink;"),
    ("extension", 0, "drop extension plpgsql;"),
    ("role", 0, "create role evil superuser login;"),
    ("role", 0, "alter role pk_app bypassrls;"),
    ("role", 0, "alter role pk_mod_crm set search_path = iam;"),
    ("role", 0, "drop role pk_app;"),
    ("owner", 0, "alter table deals owner to pk_app;"),
    ("owner", 0, "reassign owned by pk_owner to pk_mod_crm;"),
    ("owner", 0, "drop owned by pk_app;"),
    ("database", 0, "create database x;"),
    ("database", 0, "alter database postgres set search_path = iam;"),
    ("database", 0, "drop database postgres;"),
    ("server", 0, "alter system set fsync = off;"),
    ("server", 0, "load 'evil.so';"),
    ("server", 0, "checkpoint;"),
    ("schema", 0, "create schema other;"),
    ("schema", 0, "drop schema kernel cascade;"),
    ("schema", 0, "alter schema module_crm rename to kernel;"),
    ("view", 0, "create view v as select * from deals;"),
    ("create-table-as", 0, "create materialized view v as select 1;"),
    ("view", 0, "refresh materialized view v;"),
    ("notify", 0, "notify outbox;"),
    ("notify", 0, "listen outbox;"),
    ("lock", 0, "lock table deals;"),
    ("truncate", 0, "truncate deals;"),
    ("sequence", 0, "create sequence s;"),
    ("sequence", 0, "alter sequence s restart;"),
    ("prepare", 0, "prepare p as select 1;"),
    ("prepare", 0, "execute p;"),
    ("cursor", 0, "declare c cursor with hold for select 1;"),
    ("security-label", 0, "security label on table deals is 'x';"),
    ("maintenance", 0, "vacuum deals;"),
    ("maintenance", 0, "reindex table deals;"),
    ("maintenance", 0, "analyze deals;"),
    ("explain", 0, "explain analyze delete from deals;"),
    ("type-kind", 0, "create domain d as text check (current_setting('a') = 'b');"),
    ("type-kind", 0, "create type c as (a int);"),
    ("type-kind", 0, "create type r as range (subtype = int4);"),
    ("definition", 0, "create operator = (leftarg = int, rightarg = int, function = f);"),
    ("definition", 0, "create aggregate a (int) (sfunc = f, stype = int);"),
    ("definition", 0, "create cast (text as int) with inout as implicit;"),
    ("definition", 0, "create collation c (locale = 'C');"),
    ("definition", 0, "create type shell;"),
    ("foreign-data", 0, "create server s foreign data wrapper postgres_fdw;"),
    ("foreign-data", 0, "create foreign table t (a int) server s;"),
    ("replication", 0, "create publication p for all tables;"),
    ("replication", 0, "create subscription s connection 'host=evil' publication p;"),
    ("statistics", 0, "create statistics s on title, amount from deals;"),
    ("merge", 0, "merge into deals d using deals e on d.id = e.id when matched then delete;"),
    ("select", 0, "select set_config('app.tenant', 'x', false);"),
    ("select", 0, "values (1);"),
    ("create-table-as", 0, "create table x as select * from deals;"),
    ("select", 0, "select * into x from deals;"),
];

const TABLES: &[Attack] = &[
    ("temporary", 0, "create temp table t (id uuid primary key, tenant_id uuid not null);"),
    ("unlogged", 0, "create unlogged table t (id uuid primary key, tenant_id uuid not null);"),
    ("inherit", 0, "create table t (a int) inherits (deals);"),
    ("inherit", 0, "alter table deals inherit deals;"),
    ("partition", 0, "create table t (id uuid, tenant_id uuid not null) partition by hash (id);"),
    ("partition", 0, "create table t partition of deals default;"),
    ("of-type", 0, "create table t of stage;"),
    ("like", 1, "create table t (\n like deals including all);"),
    ("other-schema", 1, "create table x (\n like kernel.outbox);"),
    ("tablespace", 0, "create table t (id uuid primary key, tenant_id uuid not null) tablespace x;"),
    ("tablespace", 0, "alter table deals set tablespace x;"),
    (
        "storage",
        0,
        "create table t (id uuid primary key, tenant_id uuid not null) with (autovacuum_enabled = off);",
    ),
    ("storage", 0, "create table t (id uuid primary key, tenant_id uuid not null) using heap;"),
    ("storage", 0, "alter table deals set (fillfactor = 10);"),
    ("storage", 0, "alter table deals alter column title set storage external;"),
    ("storage", 0, "alter table deals cluster on deals_pkey;"),
    ("replica-identity", 0, "alter table deals replica identity full;"),
    ("other-schema", 0, "alter table deals set schema iam;"),
    ("other-schema", 0, "create table iam.users (id uuid primary key, tenant_id uuid not null);"),
    ("other-schema", 0, "alter table \"iam\".\"user\" add column x int;"),
    ("other-schema", 0, "drop table kernel.outbox;"),
    ("other-schema", 0, "drop type public.stage;"),
    ("other-schema", 0, "drop index kernel.outbox_pkey;"),
    ("other-schema", 0, "comment on table iam.users is 'x';"),
    ("other-schema", 0, "comment on column iam.users.id is 'x';"),
    ("other-schema", 0, "create index on iam.users (id);"),
    ("other-schema", 0, "create type kernel.t as enum ('a');"),
    ("other-schema", 0, "alter type kernel.t add value 'b';"),
    ("other-schema", 0, "alter table kernel.outbox rename to mine;"),
    ("other-schema", 0, "create table module_hrm.t (id uuid primary key, tenant_id uuid not null);"),
    ("other-schema", 0, "create table otherdb.module_crm.t (id uuid primary key, tenant_id uuid not null);"),
    ("catalog", 0, "drop table pg_catalog.pg_class;"),
    ("other-schema", 0, "create table \"PG_catalog\".t (id uuid primary key, tenant_id uuid not null);"),
    ("catalog", 0, "create table pg_temp.t (id uuid primary key, tenant_id uuid not null);"),
    ("role", 0, "comment on role postgres is 'x';"),
    ("database", 0, "comment on database postgres is 'x';"),
    ("concurrently", 0, "create index concurrently i on deals (title);"),
    ("concurrently", 0, "drop index concurrently i;"),
    ("index-method", 0, "create index i on deals using hnsw (title);"),
    ("operator-class", 0, "create index i on deals using gin (title public.gin_trgm_ops);"),
    ("storage", 0, "create index i on deals using gist (title tsvector_ops (siglen = 100));"),
    ("system-column", 0, "create index i on deals (ctid);"),
    ("cascade", 0, "alter table deals drop column title cascade;"),
    ("cascade", 0, "drop type stage cascade;"),
    ("reserved-name", 0, "create table pk_evil (id uuid primary key, tenant_id uuid not null);"),
    ("reserved-name", 0, "drop index pk_deals_tenant;"),
    ("reserved-name", 0, "alter table deals drop constraint pk_deals_tenant_id_key;"),
    ("reserved-name", 0, "alter index pk_deals_tenant rename to mine;"),
    ("reserved-name", 0, "create type text as enum ('a');"),
    ("reserved-name", 0, "create table uuid (id uuid primary key, tenant_id uuid not null);"),
    ("name", 0, "create table \"Deals\" (id uuid primary key, tenant_id uuid not null);"),
    ("name", 0, "create table \"a\"\"; drop\" (id uuid primary key, tenant_id uuid not null);"),
    ("name", 0, "create table U&\"d\\0061t\\0430\" (id uuid primary key, tenant_id uuid not null);"),
    ("name", 0, "alter table deals add column \"a b\" int;"),
    ("kernel-column", 0, "alter table deals drop column tenant_id;"),
    ("kernel-column", 0, "alter table deals alter column tenant_id drop not null;"),
    (
        "kernel-column",
        0,
        "alter table deals alter tenant_id set default '00000000-0000-0000-0000-000000000000';",
    ),
    ("kernel-column", 0, "alter table deals alter column id type text;"),
    ("kernel-column", 0, "alter table deals rename column tenant_id to t;"),
    ("kernel-column", 0, "alter table deals rename column amount to version;"),
    ("primary-key", 0, "alter table deals drop constraint deals_pkey;"),
    ("primary-key", 0, "alter table deals drop constraint if exists deals_pkey1;"),
    ("sequence", 0, "create table t (id uuid primary key, tenant_id uuid not null, n bigserial);"),
    (
        "sequence",
        1,
        "create table t (id uuid primary key, tenant_id uuid not null,\n n int generated always as identity);",
    ),
    ("sequence", 0, "alter table deals add column n serial;"),
    ("sequence", 0, "alter table deals alter column amount add generated always as identity;"),
    ("exclude", 0, "alter table deals add constraint e exclude using gist (title with =);"),
    ("using-index", 0, "alter table deals add constraint u unique using index i;"),
    ("deferrable", 0, "alter table deals add unique (tenant_id, title) deferrable;"),
    ("deferrable", 0, "alter table deals add unique (tenant_id, title) initially deferred;"),
    ("deferrable", 0, "alter table deals alter constraint c deferrable;"),
    ("type-kind", 0, "alter type stage rename attribute a to b;"),
];

fn refused(attacks: &[Attack]) {
    for (rule, line, sql) in attacks {
        let violations = match after_ground(sql) {
            Ok(_) => panic!("let through: {sql}"),
            Err(violations) => violations,
        };
        let hit = violations.iter().any(|violation| violation.rule == *rule && violation.line == 12 + line);
        assert!(hit, "{sql}\nwanted [{rule}] on line {}, got {violations:#?}", 12 + line);
        for violation in &violations {
            assert_eq!(violation.file, "00001_first.sql");
            assert!(
                !violation.message.is_empty()
                    && !violation.fix.is_empty()
                    && violation.statement.len() <= 480
            );
        }
    }
}

#[test]
fn statements_that_are_not_listed_are_refused_with_file_line_and_rule() {
    refused(STATEMENTS);
}

#[test]
fn tables_and_names_out_of_bounds_are_refused() {
    refused(TABLES);
}

#[test]
fn no_expression_reaches_settings_sessions_or_the_catalogue() {
    refused(EXPRESSIONS);
}

#[test]
fn rows_are_read_and_written_in_the_modules_own_tables_only() {
    refused(ROWS);
}

#[test]
fn the_suite_is_large() {
    assert!(STATEMENTS.len() + TABLES.len() + EXPRESSIONS.len() + ROWS.len() >= 200);
}
