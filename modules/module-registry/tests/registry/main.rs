//! Modules on a real Postgres: registered whole or not at all, installed per tenant, gone without a trace.

#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

mod afterwards;
mod support;

use std::time::Duration;

use afterwards::{
    nothing_stays_behind, over_http, what_breaks_a_rule_is_seen_in_the_catalogue,
    what_the_process_left_undone_is_done,
};
use kernel::{Ctx, Error, IdempotencyKey, Secret, Slug, TenantId};
use ports::{Modules, http::Paging};
use serde_json::{Value, json};
use support::{CRM, Ground, crm_files, ground, module, operator, owner, registry, table};
use uuid::Uuid;

#[tokio::test(flavor = "multi_thread")]
async fn modules_come_and_go() {
    let ground = ground().await;
    the_example_is_registered_whole(&ground).await;
    a_tenant_installs_it_and_sees_its_own_rows_only(&ground).await;
    a_key_is_good_while_the_module_is_on(&ground).await;
    a_failing_migration_names_its_line_and_leaves_nothing(&ground).await;
    a_failing_update_leaves_everything_as_it_was(&ground).await;
    an_update_runs_what_is_new(&ground).await;
    a_table_gets_what_its_author_left_out(&ground).await;
    a_trial_keeps_nothing(&ground).await;
    too_long_is_told_and_taken_back(&ground).await;
    a_repeated_request_gets_the_first_answer(&ground).await;
    modules_that_need_each_other_stay_together(&ground).await;
    two_at_once_are_one(&ground).await;
    a_tenants_rows_go_with_it_and_no_others(&ground).await;
    what_is_unregistered_can_come_back(&ground).await;
    what_breaks_a_rule_is_seen_in_the_catalogue(&ground).await;
    what_the_process_left_undone_is_done(&ground).await;
    over_http(&ground).await;
    nothing_stays_behind(&ground).await;
    ground.stop().await;
}

fn fields(error: &Error) -> Vec<&str> {
    error.field_errors().iter().map(|field| field.field.as_str()).collect()
}

async fn write(ground: &Ground, cx: &Ctx, name: &str) -> Result<u64, Error> {
    ground
        .database
        .db
        .records(cx)?
        .composed("insert into module_crm.companies (tenant_id, name) values ($1, $2)".to_owned())
        .bind(name.to_owned())
        .run()
        .await
}

async fn names(ground: &Ground, cx: &Ctx) -> Vec<String> {
    // No filter: row-level security alone.
    let statement = "select name from module_crm.companies where $1::uuid is not null order by 1";
    let rows: Vec<(String,)> =
        ground.database.db.records(cx).unwrap().composed(statement.to_owned()).all().await.unwrap();
    rows.into_iter().map(|(name,)| name).collect()
}

async fn the_example_is_registered_whole(ground: &Ground) {
    let cx = operator();
    let url = Some("http://127.0.0.1:9999".to_owned());
    let crm = ground.registry.register_builtin(&cx, CRM, crm_files(), url.clone()).await.unwrap();
    assert_eq!((crm.slug.as_str(), crm.state.as_str(), crm.models.len()), ("crm", "active", 3));
    assert_eq!(crm.backend_url, url);
    assert_eq!(ground.told("module.registry.registered").await, 1);
    let again = ground.registry.register_builtin(&cx, CRM, crm_files(), url).await.unwrap();
    assert_eq!(again.revision, crm.revision);
    assert_eq!(ground.told("module.registry.registered").await, 1);
    let moved = Some("http://127.0.0.1:9998".to_owned());
    let moved = ground.registry.register_builtin(&cx, CRM, crm_files(), moved).await.unwrap();
    assert!(moved.revision > crm.revision);
    let snapshot = ground.registry.snapshot(&cx).await.unwrap();
    let info = &snapshot.modules[&"crm".parse().unwrap()];
    assert_eq!(info.backend.as_ref().unwrap().url, "http://127.0.0.1:9998");
    assert_eq!(info.models["deals"].hidden, ["internal_note"]);
}

async fn a_tenant_installs_it_and_sees_its_own_rows_only(ground: &Ground) {
    let (acme, globex) = (owner(TenantId::new()), owner(TenantId::new()));
    assert!(ground.registry.active(&acme).await.unwrap().data.is_empty());
    let installed = ground.registry.install(&acme, "crm").await.unwrap();
    assert!(installed.enabled);
    let id = installed.module_id.to_string();
    assert_eq!(ground.registry.install(&acme, &id).await.unwrap().installed_at, installed.installed_at);
    assert_eq!(ground.registry.active(&acme).await.unwrap().data[0].slug, "crm");
    assert!(ground.registry.active(&globex).await.unwrap().data.is_empty());

    write(ground, &acme, "Acme").await.unwrap();
    write(ground, &globex, "Globex").await.unwrap();
    assert_eq!(names(ground, &acme).await, ["Acme"]);
    assert_eq!(names(ground, &globex).await, ["Globex"]);
    assert_eq!(ground.told("data.crm.companies.created").await, 2);

    assert!(!ground.registry.switch(&acme, "crm", false).await.unwrap().enabled);
    assert!(ground.registry.active(&acme).await.unwrap().data.is_empty());
    assert!(ground.registry.switch(&acme, "crm", true).await.unwrap().enabled);
    let error = ground.registry.switch(&globex, "crm", true).await.unwrap_err();
    assert_eq!(error.slug(), Slug::InvalidState);
    assert_eq!(ground.registry.install(&globex, "nothing").await.unwrap_err().slug(), Slug::NotFound);
}

async fn a_key_is_good_while_the_module_is_on(ground: &Ground) {
    let tenant = TenantId::new();
    let cx = owner(tenant);
    let ask = |key: &str| {
        let key = Secret::new(key);
        async move { ground.registry.authenticate_key(&operator(), key).await }
    };
    assert_eq!(ground.registry.create_key(&cx, "crm").await.unwrap_err().slug(), Slug::InvalidState);
    ground.registry.install(&cx, "crm").await.unwrap();
    let first = ground.registry.create_key(&cx, "crm").await.unwrap();
    let principal = ask(&first.key).await.unwrap();
    assert_eq!(principal.caller.tenant, Some(tenant));
    assert_eq!(principal.caller.actor.name(), "module:crm");
    assert!(principal.caller.permissions.allow("crm.deals.read"));
    assert!(!principal.caller.permissions.allow("users.list"));

    let second = ground.registry.create_key(&cx, "crm").await.unwrap();
    assert!(ask(&first.key).await.unwrap().expires_at.is_some());
    assert!(ask(&second.key).await.unwrap().expires_at.is_none());
    let keys = ground.registry.list_keys(&cx, "crm", Paging::default()).await.unwrap().data;
    assert_eq!(keys.len(), 2);
    let stranger = owner(TenantId::new());
    ground.registry.install(&stranger, "crm").await.unwrap();
    let error = ground.registry.revoke_key(&stranger, "crm", second.about.id).await.unwrap_err();
    assert_eq!(error.slug(), Slug::NotFound);
    ground.registry.revoke_key(&cx, "crm", first.about.id).await.unwrap();
    assert!(ask(&first.key).await.is_err());
    let bent = format!("{}x", &second.key[..second.key.len() - 1]);
    assert!(ask(&bent).await.is_err());

    ground.registry.switch(&cx, "crm", false).await.unwrap();
    assert_eq!(ask(&second.key).await.unwrap_err().slug(), Slug::Unauthorized);
    ground.registry.uninstall(&cx, "crm", false).await.unwrap();
    ground.registry.uninstall(&stranger, "crm", false).await.unwrap();
}

async fn a_failing_migration_names_its_line_and_leaves_nothing(ground: &Ground) {
    let failing = format!(
        "{}\ninsert into notes (id,\n  tenant_id, text)\n  values (null, null, 'x' || 1 / 0);",
        table("notes")
    );
    let error = ground
        .registry
        .register(&operator(), module("bad", "1.0.0", &[&failing], json!({})))
        .await
        .unwrap_err();
    assert_eq!((error.slug(), fields(&error)), (Slug::ModuleRejected, vec!["00001_step.sql:3"]), "{error:?}");
    assert!(error.author_detail().unwrap().contains("Postgres says: "), "{error:?}");
    assert!(!ground.has_schema("bad").await);
    assert_eq!(ground.registry.get(&operator(), "bad").await.unwrap_err().slug(), Slug::NotFound);
    assert_eq!(ground.told("module.registry.failed").await, 1);
    let tries = ground.registry.registrations(&operator(), Default::default()).await.unwrap().data;
    assert_eq!((tries[0].slug.as_str(), tries[0].state.as_str()), ("bad", "failed"));

    let hostile = format!("{}\nalter table notes disable row level security;", table("notes"));
    let error = ground
        .registry
        .register(&operator(), module("bad", "1.0.0", &[&hostile], json!({})))
        .await
        .unwrap_err();
    assert_eq!((error.slug(), fields(&error)), (Slug::ModuleRejected, vec!["00001_step.sql:3"]));
}

async fn a_failing_update_leaves_everything_as_it_was(ground: &Ground) {
    let one = table("notes");
    let first =
        ground.registry.register(&operator(), module("note", "1.0.0", &[&one], json!({}))).await.unwrap();
    let breaks = "alter table notes add column n integer;\ninsert into notes (tenant_id, n) values (gen_random_uuid(), 1 / 0);";
    let update = module("note", "1.1.0", &[&one, breaks], json!({}));
    let error = ground.registry.update(&operator(), "note".into(), update).await.unwrap_err();
    assert_eq!(fields(&error), ["00002_step.sql:3"]);
    let now = ground.registry.get(&operator(), "note").await.unwrap();
    assert_eq!((now.version.as_str(), now.revision), ("1.0.0", first.revision));
    let columns: i64 = ground
        .ask("select count(*) from pg_attribute where attrelid = 'module_note.notes'::regclass and attname = 'n'")
        .await;
    assert_eq!(columns, 0);
}

async fn an_update_runs_what_is_new(ground: &Ground) {
    let (one, two) = (table("notes"), table("tags"));
    let changed = module("note", "1.1.0", &[&table("note")], json!({}));
    let error = ground.registry.update(&operator(), "note".into(), changed).await.unwrap_err();
    assert!(error.field_errors()[0].message.contains("changed after it was run"), "{error:?}");
    let back = module("note", "0.9.0", &[&one], json!({}));
    let error = ground.registry.update(&operator(), "note".into(), back).await.unwrap_err();
    assert_eq!(fields(&error), ["/manifest/version"]);
    let other = module("memo", "1.0.0", &[], json!({}));
    let error = ground.registry.update(&operator(), "note".into(), other).await.unwrap_err();
    assert_eq!(fields(&error), ["/manifest/name"]);

    let hides =
        json!({ "dataApi": { "models": [{ "name": "notes", "autoApi": true, "hidden": ["text"] }] } });
    let update = module("note", "1.1.0", &[&one, &two], hides);
    let now = ground.registry.update(&operator(), "note".into(), update).await.unwrap();
    assert_eq!(now.version, "1.1.0");
    assert_eq!(ground.told("module.registry.updated").await, 2);
    let trigger: String = ground
        .ask("select pg_get_triggerdef(oid) from pg_trigger where tgrelid = 'module_note.notes'::regclass and tgname = 'kernel_capture_change'")
        .await;
    assert!(trigger.contains("'{text}'"), "{trigger}");
    let versions = ground.registry.versions(&operator(), "note", Paging::default()).await.unwrap().data;
    assert_eq!(versions.iter().map(|v| v.version.as_str()).collect::<Vec<_>>(), ["1.1.0", "1.0.0"]);
    assert_eq!(versions[0].migrations.len(), 2);
}

async fn a_table_gets_what_its_author_left_out(ground: &Ground) {
    // The key of the first table, at which the second one points, is the platform's.
    let sql = "create table a (id uuid primary key, tenant_id uuid not null, version int);
        insert into a (id, tenant_id) values (gen_random_uuid(), gen_random_uuid());
        create table b (id uuid primary key, tenant_id uuid not null, a_id uuid,
            foreign key (tenant_id, a_id) references a (tenant_id, id));";
    ground.registry.register(&operator(), module("lean", "1.0.0", &[sql], json!({}))).await.unwrap();
    let columns: String = ground
        .ask("select string_agg(attname, ' ' order by attnum) from pg_attribute where attrelid = 'module_lean.b'::regclass and attnum > 0")
        .await;
    assert_eq!(columns, "id tenant_id a_id created_at updated_at deleted_at version");
    let filled: bool =
        ground.ask("select bool_and(version = 1 and created_at is not null) from module_lean.a").await;
    assert!(filled);
    let creates: bool =
        ground.ask("select has_schema_privilege('pk_mod_lean', 'module_lean', 'create')").await;
    assert!(!creates);
}

async fn a_trial_keeps_nothing(ground: &Ground) {
    let bundle = module("trial", "1.0.0", &[&table("notes")], json!({ "permissions": ["trial.notes.read"] }));
    let plan = ground.registry.validate(&operator(), bundle).await.unwrap();
    assert_eq!(
        (plan.action, plan.migrations[0].runs, plan.tables[0].name.as_str()),
        ("register", true, "notes")
    );
    assert!(!ground.has_schema("trial").await);
    let broken = module(
        "trial",
        "1.0.0",
        &["create table t (id uuid primary key, tenant_id uuid not null, n integer default 'x');"],
        json!({}),
    );
    let error = ground.registry.validate(&operator(), broken).await.unwrap_err();
    assert_eq!(fields(&error), ["00001_step.sql:2"]);
    let update = module("note", "1.2.0", &[&table("notes"), &table("tags"), &table("more")], json!({}));
    let plan = ground.registry.validate(&operator(), update).await.unwrap();
    assert_eq!(plan.action, "update");
    assert_eq!(plan.migrations.iter().map(|m| m.runs).collect::<Vec<_>>(), [false, false, true]);
    let there: bool = ground.ask("select to_regclass('module_note.more') is not null").await;
    assert!(!there);
}

async fn too_long_is_told_and_taken_back(ground: &Ground) {
    let hasty = registry(&ground.database.db, &ground.database.schemas, Duration::from_millis(1500));
    let long = format!(
        "{}\ninsert into t (tenant_id, text) select gen_random_uuid(), a::text from generate_series(1, 1000000000) a;",
        table("t")
    );
    let error = hasty.register(&operator(), module("slow", "1.0.0", &[&long], json!({}))).await.unwrap_err();
    assert_eq!(error.slug(), Slug::DeadlineExceeded, "{error:?}");
    assert!(!ground.has_schema("slow").await);
}

async fn a_repeated_request_gets_the_first_answer(ground: &Ground) {
    let key = IdempotencyKey { key: Uuid::now_v7(), fingerprint: [7; 32] };
    let cx = operator().with_idempotency(Some(key));
    let bundle = module("once", "1.0.0", &[&table("t")], json!({}));
    let first = ground.registry.register(&cx, bundle.clone()).await.unwrap();
    let again = ground.registry.register(&cx, bundle.clone()).await.unwrap_err();
    let answer: Value = serde_json::from_slice(again.replayed_answer().unwrap()).unwrap();
    assert_eq!(answer, serde_json::to_value(&first).unwrap());
    // Without a key the same module is answered with what there is; another one of that name is refused.
    assert_eq!(ground.registry.register(&operator(), bundle).await.unwrap().revision, first.revision);
    let other = module("once", "1.0.1", &[&table("t")], json!({}));
    assert_eq!(ground.registry.register(&operator(), other).await.unwrap_err().slug(), Slug::AlreadyExists);
}

async fn modules_that_need_each_other_stay_together(ground: &Ground) {
    let needs = |version: &str| json!({ "dependencies": { "@test/base": version } });
    let missing =
        ground.registry.register(&operator(), module("shop", "1.0.0", &[], needs("^1"))).await.unwrap_err();
    assert!(missing.detail().contains("@test/shop → @test/base ^1"), "{missing:?}");
    ground.registry.register(&operator(), module("base", "1.0.0", &[], json!({}))).await.unwrap();
    ground.registry.register(&operator(), module("shop", "1.0.0", &[], needs("^1"))).await.unwrap();
    let circle = module("base", "1.1.0", &[], json!({ "dependencies": { "@test/shop": "*" } }));
    let error = ground.registry.update(&operator(), "base".into(), circle).await.unwrap_err();
    assert!(error.detail().contains("@test/base → @test/shop → @test/base"), "{error:?}");
    let error = ground.registry.unregister(&operator(), "base", false, false).await.unwrap_err();
    assert!(error.detail().contains("needed by @test/shop"), "{error:?}");

    let cx = owner(TenantId::new());
    assert_eq!(ground.registry.install(&cx, "shop").await.unwrap_err().slug(), Slug::Conflict);
    ground.registry.install(&cx, "base").await.unwrap();
    ground.registry.install(&cx, "shop").await.unwrap();
    assert_eq!(ground.registry.uninstall(&cx, "base", false).await.unwrap_err().slug(), Slug::Conflict);
    assert_eq!(ground.registry.switch(&cx, "base", false).await.unwrap_err().slug(), Slug::Conflict);
    ground.registry.uninstall(&cx, "shop", false).await.unwrap();
    ground.registry.uninstall(&cx, "base", false).await.unwrap();
}

async fn two_at_once_are_one(ground: &Ground) {
    let one = || async {
        ground.registry.register(&operator(), module("twin", "1.0.0", &[&table("t")], json!({}))).await
    };
    let (first, second) = tokio::join!(one(), one());
    let done = [&first, &second].into_iter().filter(|done| done.is_ok()).count();
    let refused =
        [first, second].into_iter().filter_map(Result::err).map(|error| error.slug()).collect::<Vec<_>>();
    assert!(done == 2 || (done == 1 && refused == [Slug::Conflict]), "{refused:?}");
    let tables: i64 = ground.ask("select count(*) from registry.applied_migration where slug = 'twin'").await;
    assert_eq!(tables, 1);
}

async fn a_tenants_rows_go_with_it_and_no_others(ground: &Ground) {
    let (one, other) = (owner(TenantId::new()), owner(TenantId::new()));
    for cx in [&one, &other] {
        ground.registry.install(cx, "crm").await.unwrap();
        write(ground, cx, "A").await.unwrap();
        write(ground, cx, "B").await.unwrap();
        let deal =
            "with k as (insert into module_crm.contacts (tenant_id, company_id, first_name, last_name, email)
                        select tenant_id, id, 'A', 'B', 'a@b.c' from module_crm.companies
                        where kernel.owns($1, tenant_id) and name = 'A' returning id, company_id)
                    insert into module_crm.deals (tenant_id, company_id, contact_id, reference, title)
                    select $1, company_id, id, 'D-1', 'A deal' from k";
        ground.database.db.records(cx).unwrap().composed(deal.to_owned()).run().await.unwrap();
    }
    ground.registry.uninstall(&one, "crm", false).await.unwrap();
    assert_eq!(names(ground, &one).await, ["A", "B"]);
    assert_eq!(ground.registry.uninstall(&one, "crm", false).await.unwrap_err().slug(), Slug::InvalidState);
    assert_eq!(ground.registry.uninstall(&one, "crm", true).await.unwrap().purged_rows, 4);
    assert!(names(ground, &one).await.is_empty());
    assert_eq!(names(ground, &other).await, ["A", "B"]);
    let told: String = ground
        .ask("select actor from kernel.audit_record where action = 'data.crm.deals.deleted' limit 1")
        .await;
    assert!(told.starts_with("user:"), "{told}");
}

async fn what_is_unregistered_can_come_back(ground: &Ground) {
    let error = ground.registry.unregister(&operator(), "crm", false, false).await.unwrap_err();
    assert_eq!(error.slug(), Slug::Conflict);
    ground.registry.unregister(&operator(), "crm", false, true).await.unwrap();
    assert!(ground.has_schema("crm").await);
    assert!(
        ground
            .registry
            .snapshot(&operator())
            .await
            .unwrap()
            .modules
            .keys()
            .all(|slug| slug.as_str() != "crm")
    );
    let cx = owner(TenantId::new());
    assert_eq!(ground.registry.get(&cx, "crm").await.unwrap_err().slug(), Slug::NotFound);
    assert_eq!(ground.registry.get(&operator(), "crm").await.unwrap().state, "unregistered");

    let back = ground.registry.register_builtin(&operator(), CRM, crm_files(), None).await.unwrap();
    assert_eq!((back.state.as_str(), back.purge_after), ("active", None));
    let kept: i64 = ground.ask("select count(*) from module_crm.companies").await;
    assert!(kept >= 4);
}
