//! What an honest author writes must pass.

use super::{after_ground, one};

const FRIENDLY: &[&str] = &[
    "create table companies (id uuid primary key default gen_random_uuid(), tenant_id uuid not null, name varchar(80) not null check (length(btrim(name)) > 0));",
    "create table module_crm.companies (tenant_id uuid not null, id uuid, primary key (tenant_id, id));",
    "create table if not exists deals (whatever text);",
    "create table companies (id uuid constraint companies_key primary key, tenant_id uuid not null, created_at timestamptz not null default now(), updated_at timestamptz, deleted_at timestamptz, version int not null default 1) with (fillfactor = 80);",
    "create table companies (id uuid primary key, tenant_id uuid not null, unique (tenant_id, id), parent_id uuid, foreign key (tenant_id, parent_id) references companies (tenant_id, id) on delete set null (parent_id));",
    "create table notes (id uuid primary key, tenant_id uuid not null, deal_id uuid not null, constraint notes_deal foreign key (tenant_id, deal_id) references deals (tenant_id, id) on delete cascade);",
    "create table settings (id uuid primary key, tenant_id uuid not null unique, colour text collate \"C\" not null default 'red');",
    "alter table deals add column owner_id uuid, add column closed_on date default current_date;",
    "alter table deals alter column amount type numeric(14,4) using round(amount, 4), alter column title set default '';",
    "alter table deals alter column amount set not null, alter column stage drop default;",
    "alter table deals add constraint positive check (amount >= 0) not valid; alter table deals validate constraint positive;",
    "alter table deals add constraint deals_title unique nulls not distinct (tenant_id, title); alter table deals drop constraint deals_title;",
    "alter table deals add column search tsvector generated always as (setweight(to_tsvector('english', coalesce(title, '')), 'A')) stored; create index deals_search on deals using gin (search);",
    "alter table deals rename column title to name; alter table deals rename to opportunities; alter table opportunities add column x int;",
    "alter table deals add constraint c check (title <> ''); alter table deals rename constraint c to not_empty;",
    "alter table if exists nothing add column x int;",
    "create index deals_open on deals (tenant_id, lower(title) text_pattern_ops desc nulls last) include (amount) where stage = 'lead'::stage;",
    "create unique index on deals (tenant_id, lower(title)) where amount is not null;",
    "create index on deals using gin (extra jsonb_path_ops); create index on deals using brin (id); drop index deals_id_idx;",
    "create type colour as enum ('red', 'green'); alter type colour add value if not exists 'blue' after 'green'; alter type colour rename value 'red' to 'crimson'; alter table deals add column colours colour[]; ",
    "create type colour as enum ('red'); alter type colour rename to paint; alter table deals add column p module_crm.paint not null default 'red'; alter table deals drop column p; drop type paint;",
    "comment on table deals is 'What we sell; or try to'; comment on column deals.title is $$it's a title$$; comment on type stage is 'x'; comment on constraint deals_pkey on deals is 'x'; comment on index deals_pkey is 'x';",
    "insert into deals (tenant_id, title, amount, stage, tags, extra) values (gen_random_uuid(), 'a', 1.5, 'won', array['x','y']::text[], '{\"a\": 1}'::jsonb), (gen_random_uuid(), 'b', -1, default, '{}', null);",
    "insert into deals (tenant_id, title) select distinct tenant_id, upper(title) from deals where stage in ('lead', 'won') and title ilike '%x%' order by 2 limit 10 on conflict (id) do update set title = excluded.title where deals.amount is null;",
    "with doubled as (select id, row_number() over (partition by tenant_id, title order by id) as n from deals) delete from deals using doubled where doubled.id = deals.id and doubled.n > 1;",
    "update deals d set extra = jsonb_set(coalesce(d.extra, '{}'), '{count}', to_jsonb(s.n)) from (select tenant_id, count(*) filter (where amount > 0) as n from deals group by tenant_id having count(*) > 1) s where s.tenant_id = d.tenant_id;",
    "update deals set tags[1] = 'x', amount = case when stage = 'won' then amount * 2 else greatest(amount, 0) end where tags[1:2] @> array['y'] and title operator(pg_catalog.~~) 'a%';",
    "insert into deals (tenant_id, title) select d.tenant_id, t.tag from deals d cross join lateral unnest(d.tags) with ordinality as t (tag, n) union all select tenant_id, 'x' from deals;",
    "update deals set title = lpad(title, 8, '0'), amount = extract(epoch from now() at time zone 'UTC') where date_trunc('day', current_timestamp) > make_date(2024, 1, 1) - interval '1 day';",
    "with recursive n (i) as (select 1 union all select i + 1 from n where i < 3) insert into deals (tenant_id, title) select gen_random_uuid(), i::text from n;",
    "delete from only deals where (title, amount) = ('a', 1) or exists (select 1 from deals e where e.id <> deals.id) returning id;",
    "alter table deals add column span tstzrange, add column ip inet, add column f double precision default 1e3, add column b bytea default decode('00', 'hex'), add column t time(3), add column i interval day to second;",
    "alter table deals add check (title ~ '^[a-z]+$' and position('x' in title) = 0 and substring(title from 1 for 2) <> 'ab' and trim(both ' ' from title) similar to '%a%' and overlay(title placing 'x' from 1) is distinct from 'y');",
    "/* a comment; with a semicolon */ drop table if exists nothing; -- and; another\ndrop table deals cascade;",
    "insert into deals (tenant_id, title) select d.tenant_id, e.key || e.value from deals d, jsonb_each_text(d.extra) e, generate_series(1, 2) as n (i) where n.i > 1;",
    ";;; ;",
];

#[test]
fn what_an_honest_author_writes_passes() {
    for sql in FRIENDLY {
        if let Err(violations) = after_ground(sql) {
            panic!("refused: {sql}\n{violations:#?}");
        }
    }
    assert!(FRIENDLY.len() >= 30);
}

#[test]
fn the_outcome_shows_migrations_and_tables_for_the_dry_run() {
    let sql = "-- +goose Up\n-- deals\n\ncreate table deals (\n  id uuid primary key,\n  tenant_id uuid not null,\n  amount numeric(12,2) default 0,\n  unique (tenant_id, amount));\n\n-- +goose Down\ndrop table deals;\n";
    let checked = one(sql).unwrap();

    let migration = &checked.migrations[0];
    assert_eq!((migration.version, migration.name.as_str()), (1, "first"));
    assert_eq!((migration.up[0].line, migration.down[0].line), (4, 11));
    assert!(migration.up[0].text.starts_with("create table deals (") && migration.up[0].text.ends_with("))"));
    let table = &checked.tables[0];
    let columns: Vec<_> = table
        .columns
        .iter()
        .map(|c| (c.name.as_str(), c.type_name.as_str(), c.nullable, c.has_default))
        .collect();
    assert_eq!(
        columns,
        [
            ("id", "uuid", false, false),
            ("tenant_id", "uuid", false, false),
            ("amount", "numeric(12,2)", true, true)
        ]
    );
    assert_eq!(table.primary_key, ["id"]);
    assert_eq!(table.uniques[0].name, "deals_tenant_id_amount_key");
}
