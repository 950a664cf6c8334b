//! What is seen afterwards: broken rules in the catalogue, work left undone, the wire, and that nothing stays.

use axum::body::Body;
use http::{Request, header};
use kernel::{Ctx, Slug, TenantId};
use ports::{KernelService, http::Failure};
use serde_json::{Value, json};
use tower::ServiceExt as _;

use crate::support::{Ground, module, operator, owner, table};

/// The last word is Postgres' own catalogue: whatever got past the allow-list would be found there.
pub async fn what_breaks_a_rule_is_seen_in_the_catalogue(ground: &Ground) {
    let cases = [
        ("alter table module_crm.deals disable row level security", "is not under forced"),
        ("alter table module_crm.deals no force row level security", "is not under forced"),
        ("create policy more on module_crm.deals using (true)", "policy more of its own"),
        ("drop policy tenant_rows on module_crm.deals", "lacks the policy tenant_rows"),
        ("alter policy tenant_rows on module_crm.deals using (true)", "lacks the policy tenant_rows"),
        ("alter policy tenant_rows on module_crm.deals to public", "lacks the policy tenant_rows"),
        ("alter policy reader_rows on module_crm.deals to pk_data", "lacks the policy reader_rows"),
        (
            "alter table module_crm.deals disable trigger kernel_capture_change",
            "lacks the trigger kernel_capture",
        ),
        ("drop trigger kernel_keep_columns on module_crm.deals", "lacks the trigger kernel_keep"),
        ("create unique index leaks on module_crm.deals (reference)", "leaks without tenant_id"),
        ("alter table module_crm.deals alter tenant_id drop not null", "has no column tenant_id"),
        ("alter table module_crm.deals alter version type bigint", "has no column version"),
        (
            "alter table module_crm.deals add foreign key (contact_id) references module_crm.contacts (id)",
            "does not pair tenant_id",
        ),
        ("create view module_crm.seen as select 1 as one", "is neither a table"),
        ("create function module_crm.f() returns int language sql return 1", "is a function"),
        ("create domain module_crm.word as text", "another kind than an enum"),
        ("create table module_crm.child () inherits (module_crm.deals)", "inherits"),
        ("alter table module_crm.deals add exclude using btree (title with =)", "exclusion constraint"),
    ];
    let mut owner = ground.database.schemas.owner().await.unwrap();
    let mut say = async |statement: &str| {
        sqlx::raw_sql(sqlx::AssertSqlSafe(statement.to_owned())).execute(&mut owner).await.map(drop)
    };
    say("grant create on schema module_crm to pk_mod_crm").await.unwrap();
    for (statement, expected) in cases {
        say("begin; set local role pk_mod_crm").await.unwrap();
        say(statement).await.unwrap_or_else(|error| panic!("{statement}: {error}"));
        let check = format!(
            "do $$ declare found text; begin
                 select string_agg(relation || ' ' || fault, '; ') into found from registration.faults('crm');
                 if found is null or position('{expected}' in found) = 0 then
                     raise exception 'found: %', coalesce(found, 'nothing');
                 end if;
             end $$"
        );
        say(&check).await.unwrap_or_else(|error| panic!("{statement}: {error}"));
        say("rollback").await.unwrap();
    }
    say("revoke create on schema module_crm from pk_mod_crm").await.unwrap();
    let faults: i64 = {
        use sqlx::Connection as _;
        let (faults,) = sqlx::query_as("select count(*) from registration.faults('crm')")
            .fetch_one(&mut owner)
            .await
            .unwrap();
        owner.close().await.unwrap();
        faults
    };
    assert_eq!(faults, 0);
}

pub async fn what_the_process_left_undone_is_done(ground: &Ground) {
    let run = async |name: &str, cx: Ctx| {
        let task = ground.registry.tasks().into_iter().find(|task| task.name == name).unwrap();
        (task.run)(cx).await.unwrap();
    };
    let before =
        ground.told("module.registry.updated").await + ground.told("module.registry.registered").await;
    ground
        .ask::<bool>(
            "with u as (update registry.module set announced = false where slug = 'note') select true",
        )
        .await;
    run("module-registry.announce", operator()).await;
    run("module-registry.announce", operator()).await;
    let after =
        ground.told("module.registry.updated").await + ground.told("module.registry.registered").await;
    assert_eq!(after, before + 1);

    ground.registry.register(&operator(), module("brief", "1.0.0", &[&table("t")], json!({}))).await.unwrap();
    ground.registry.unregister(&operator(), "brief", false, false).await.unwrap();
    run("module-registry.purge", operator()).await;
    assert!(ground.has_schema("brief").await);
    let clock = kernel::Clock::set_to(kernel::ClockSetting {
        offset_micros: 31 * 86_400 * 1_000_000,
        frozen_at: None,
    });
    let later = Ctx::system("default".parse().unwrap(), clock, "module-registry");
    run("module-registry.purge", later).await;
    assert!(!ground.has_schema("brief").await);
}

pub async fn over_http(ground: &Ground) {
    let router = ground.registry.routes().router();
    let send = |cx: Ctx, method: &str, path: &str, body: String| {
        let request =
            Request::builder().method(method).uri(path).header(header::CONTENT_TYPE, "application/json");
        let mut request = request.body(Body::from(body)).unwrap();
        request.extensions_mut().insert(cx);
        let router = router.clone();
        async move {
            let answer = router.oneshot(request).await.unwrap();
            let slug = answer.extensions().get::<Failure>().map(|failure| failure.0.slug());
            let bytes = axum::body::to_bytes(answer.into_body(), usize::MAX).await;
            (slug, bytes.unwrap())
        }
    };
    let (slug, schema) = send(operator(), "GET", "/schemas/module.manifest.json", String::new()).await;
    assert!(slug.is_none());
    assert_eq!(serde_json::from_slice::<Value>(&schema).unwrap()["title"], "module.manifest.json");

    // Larger than what JSON bodies elsewhere may be.
    let comment = format!("-- {}\n", "x".repeat(1_000_000));
    let body = json!({
        "manifest": { "name": "@test/wire", "version": "1.0.0", "kernelSdkVersion": "*" },
        "migrations": [
            { "file": "00001_a.sql", "sql": format!("-- +goose Up\n{}\n", table("t")) },
            { "file": "00002_b.sql", "sql": format!("-- +goose Up\n{}\n{}", table("u"), &comment[..1_000_000]) },
            { "file": "00003_c.sql", "sql": format!("-- +goose Up\n{}\n{}", table("v"), &comment[..1_000_000]) },
            { "file": "00004_d.sql", "sql": format!("-- +goose Up\n{}\n{}", table("w"), &comment[..1_000_000]) },
        ],
    });
    let (slug, answer) = send(operator(), "POST", "/api/v1/modules", body.to_string()).await;
    assert_eq!(slug, None, "{}", String::from_utf8_lossy(&answer));
    let (slug, _) = send(operator(), "POST", "/api/v1/modules", "x".repeat(5_000_001)).await;
    assert_eq!(slug, Some(Slug::PayloadTooLarge));
    let tenant = TenantId::new();
    let (slug, answer) = send(owner(tenant), "POST", "/api/v1/modules/wire/install", String::new()).await;
    assert_eq!(slug, None);
    assert_eq!(serde_json::from_slice::<Value>(&answer).unwrap()["enabled"], json!(true));
    let (_, answer) = send(owner(tenant), "GET", "/api/v1/modules?limit=2", String::new()).await;
    let page: Value = serde_json::from_slice(&answer).unwrap();
    assert_eq!((page["data"].as_array().unwrap().len(), page["meta"]["hasMore"].as_bool()), (2, Some(true)));
    assert!(page["data"][0].get("backendUrl").is_none());
    let next = format!("/api/v1/modules?limit=2&cursor={}", page["meta"]["cursor"].as_str().unwrap());
    assert_eq!(send(owner(tenant), "GET", &next, String::new()).await.0, None);
    assert_eq!(send(owner(TenantId::new()), "GET", &next, String::new()).await.0, Some(Slug::InvalidCursor));
    let (slug, _) = send(operator(), "DELETE", "/api/v1/modules/wire", String::new()).await;
    assert_eq!(slug, Some(Slug::Conflict));
}

pub async fn nothing_stays_behind(ground: &Ground) {
    for slug in ["crm", "note", "lean", "once", "shop", "base", "twin", "wire"] {
        ground.registry.unregister(&operator(), slug, true, true).await.unwrap();
    }
    let left: i64 = ground
        .ask("select (select count(*) from pg_namespace where starts_with(nspname, 'module_'))
                   + (select count(*) from registry.module) + (select count(*) from registry.installation)
                   + (select count(*) from registry.module_key) + (select count(*) from registry.module_version)")
        .await;
    assert_eq!(left, 0);
    let counted: i64 = ground
        .ask("select coalesce(sum(used), 0)::bigint from kernel.allowance where name = 'modules'")
        .await;
    assert_eq!(counted, 0);
    let logins: i64 =
        ground.ask("select count(*) from pg_roles where starts_with(rolname, 'pk__migrate')").await;
    assert_eq!(logins, 0);
    let silent: i64 =
        ground.ask("select count(*) from registry.attempt where state not in ('active', 'failed')").await;
    assert_eq!(silent, 0);
}
