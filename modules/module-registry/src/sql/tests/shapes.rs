//! Rules about the tables that all migrations end in.

use super::super::check;
use super::after_ground;

fn refused(rule: &str, line: u32, sql: &str) {
    let violations = after_ground(sql).expect_err(sql);
    assert!(violations.iter().any(|v| v.rule == rule && v.line == line), "{sql}\n{violations:#?}");
}

#[test]
fn a_table_needs_a_uuid_as_id_and_as_tenant() {
    refused("id-column", 12, "create table t (tenant_id uuid not null);");
    refused("id-column", 13, "create table t (\nid text primary key, tenant_id uuid not null);");
    refused("id-column", 12, "create table t (id uuid[] primary key, tenant_id uuid not null);");
    refused("primary-key", 12, "create table t (id uuid, tenant_id uuid not null);");
    refused(
        "primary-key",
        12,
        "create table t (id uuid, tenant_id uuid not null, primary key (id, tenant_id));",
    );
    refused("primary-key", 12, "create table t (id uuid, name text primary key, tenant_id uuid not null);");
    refused("tenant-column", 12, "create table t (id uuid primary key);");
    refused("tenant-column", 12, "create table t (id uuid primary key, tenant_id uuid);");
    refused("tenant-column", 12, "create table t (id uuid primary key, tenant_id text not null);");
    refused(
        "tenant-column",
        12,
        "create table t (id uuid primary key, tenant_id uuid not null default gen_random_uuid());",
    );
    refused(
        "tenant-column",
        12,
        "create table t (id uuid primary key, tenant_id uuid not null generated always as (id) stored);",
    );
}

#[test]
fn columns_kept_by_the_kernel_have_its_types() {
    refused("kernel-column", 12, "alter table deals add column version bigint;");
    refused("kernel-column", 12, "alter table deals add column created_at timestamp;");
    refused("kernel-column", 12, "alter table deals add column deleted_at timestamptz default now();");
    refused("kernel-column", 12, "alter table deals add column deleted_at timestamptz not null;");
    refused(
        "kernel-column",
        12,
        "alter table deals add column updated_at timestamptz generated always as ('2020-01-01') stored;",
    );
}

#[test]
fn every_key_between_tables_carries_the_tenant() {
    refused("tenant-in-key", 12, "alter table deals add unique (title);");
    refused("tenant-in-key", 12, "alter table deals add column code text unique;");
    refused("tenant-in-key", 13, "drop index if exists x;\ncreate unique index on deals (lower(title));");
    refused("tenant-in-key", 12, "create unique index on deals ((tenant_id::text));");
    refused("tenant-in-key", 12, "create unique index on deals (title) include (tenant_id);");
    refused("tenant-in-key", 12, "alter table deals add column parent_id uuid references deals;");
    refused("tenant-in-key", 12, "alter table deals add column parent_id uuid references deals (id);");
    refused(
        "tenant-in-key",
        12,
        "alter table deals add column parent uuid, add foreign key (parent, tenant_id) references deals (tenant_id, id);",
    );
    refused(
        "tenant-in-key",
        12,
        "alter table deals add column parent uuid, add foreign key (tenant_id, parent) references deals (id, tenant_id);",
    );
    refused("other-schema", 12, "alter table deals add foreign key (tenant_id) references iam.tenants (id);");
    refused(
        "unknown-table",
        12,
        "alter table deals add column c uuid, add foreign key (tenant_id, c) references companies (tenant_id, id);",
    );
    refused(
        "self-reference",
        12,
        "create table t (id uuid primary key, tenant_id uuid not null, p uuid, foreign key (tenant_id, p) references t (tenant_id, id));",
    );
}

#[test]
fn actions_of_foreign_keys_leave_the_tenant_alone() {
    let key = "alter table deals add column p uuid, add foreign key (tenant_id, p) references deals (tenant_id, id)";
    refused("foreign-key-action", 12, &format!("{key} on delete set null;"));
    refused("foreign-key-action", 12, &format!("{key} on delete set default;"));
    refused("foreign-key-action", 12, &format!("{key} on delete set null (tenant_id, p);"));
    refused("foreign-key-action", 12, &format!("{key} on update cascade;"));
    for action in
        ["", " on delete cascade", " on delete restrict", " on delete set null (p)", " on update no action"]
    {
        assert!(after_ground(&format!("{key}{action};")).is_ok(), "{action}");
    }
}

#[test]
fn later_migrations_are_judged_on_what_earlier_ones_left() {
    let file = |n: u32, sql: &str| (format!("{n}_x.sql"), format!("-- +goose Up\n{sql}\n"));
    let create = file(1, "create table t (id uuid primary key, tenant_id uuid not null, a text);");

    let checked =
        check("crm", &[create.clone(), file(2, "create unique index u on t (a);"), file(3, "drop index u;")]);
    assert!(checked.is_ok(), "the faulty index is gone again: {checked:#?}");

    let violations = check(
        "crm",
        &[create.clone(), file(2, "alter table t rename column a to b; create unique index on t (b);")],
    )
    .unwrap_err();
    assert_eq!(
        (violations[0].rule, violations[0].file.as_str(), violations[0].line),
        ("tenant-in-key", "2_x.sql", 2)
    );

    let violations =
        check("crm", &[create, file(2, "drop table t; alter table t add column c int;")]).unwrap_err();
    assert_eq!(violations[0].rule, "unknown-table");
}

#[test]
fn names_of_keys_follow_postgres() {
    let checked = after_ground("alter table deals add unique (tenant_id, title), add unique (tenant_id, title); alter table deals drop constraint deals_tenant_id_title_key1;").unwrap();
    let names: Vec<_> = checked.tables[0].uniques.iter().map(|key| key.name.as_str()).collect();
    assert_eq!(names, ["deals_tenant_id_title_key"]);
}
