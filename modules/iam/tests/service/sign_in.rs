//! Registration, sign-in, sessions and tokens, on a real Postgres.

use std::time::Duration;

use crate::support::{Ground, PASSWORD, SET_UP_TOKEN, keyed, text};
use kernel::{Actor, Ctx, Secret, Slug};
use ports::{Iam as _, ModuleTokenRequest};
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, SqlSafeStr as _};
use uuid::Uuid;

#[tokio::test]
async fn every_statement_is_understood_by_the_migrated_schema() {
    let ground = Ground::start().await;
    let mut app = sqlx::PgConnection::connect_with(&ground.database.app).await.unwrap();
    let mut owner = sqlx::PgConnection::connect_with(&ground.database.owner).await.unwrap();
    let mut seen = 0;
    for statement in fabric::postgres::STATEMENTS.iter().filter(|statement| statement.text.contains("iam.")) {
        let connection = if statement.text.contains("kernel.owns($1") { &mut app } else { &mut owner };
        let prepared = connection.prepare(AssertSqlSafe(statement.text).into_sql_str()).await;
        assert!(prepared.is_ok(), "{}:{}: {:?}", statement.file, statement.line, prepared.err());
        seen += 1;
    }
    assert!(seen > 50, "{seen}");
    ground.stop().await;
}

#[tokio::test]
async fn a_stranger_becomes_the_owner_of_a_tenant_in_one_step() {
    let (ground, _) = Ground::with_demo().await;
    let before = ground.told().await.len();
    let body = json!({ "email": "Ada@Example.com", "password": PASSWORD, "name": "Ada", "organization": "Analytical Engines" });
    let cx = keyed(&ground.stranger(), Uuid::now_v7());
    let tokens = ground.post(&cx, "/auth/register", body.clone()).await.expect(201);
    assert_eq!(tokens["tenant"]["slug"], "analytical-engines");
    assert_eq!(tokens["user"]["email"], "ada@example.com");
    assert_eq!(ground.told().await[before..], ["auth.user.created", "auth.tenant.created"]);
    let trail = ground.look("select action from kernel.audit_record where action in ('user.created') and entity_id = (select id::text from iam.user_account where email = 'ada@example.com')").await;
    assert_eq!(trail, json!([{ "action": "user.created" }]));
    assert_eq!(ground.post(&cx, "/auth/register", body.clone()).await.replayed(), tokens);

    let me = ground.holder(text(&tokens["accessToken"])).await;
    let seen = ground.get(&me, "/auth/me").await.expect(200);
    assert_eq!((&seen["roles"], &seen["permissions"]), (&json!(["Owner"]), &json!(["*"])));
    assert_eq!(seen["flags"], json!({ "owner": true, "platform": false, "emailVerified": false }));
    let parent = ground.look("select p.kind from iam.tenant t join iam.tenant p on p.id = t.parent_id where t.slug = 'analytical-engines'").await;
    assert_eq!(parent, json!([{ "kind": "platform" }]));

    let taken = ground.post(&ground.stranger(), "/auth/register", body).await.refused(Slug::AlreadyExists);
    assert_eq!(taken.field_errors()[0].field, "/email");
    let second = ground.register("Analytical Engines", "bob@example.com").await;
    assert!(text(&second["tenant"]["slug"]).starts_with("analytical-engines-"));
    let wrong = json!({ "email": "nobody", "password": "short", "name": " ", "organization": "x" });
    let wrong = ground.post(&ground.stranger(), "/auth/register", wrong).await.refused(Slug::ValidationError);
    assert_eq!(wrong.field_errors().len(), 3);
    ground.stop().await;
}

#[tokio::test]
async fn whoever_has_the_token_founds_the_platform_once() {
    let ground = Ground::start().await;
    let body = |token: &str, email: &str| json!({ "token": token, "email": email, "password": PASSWORD, "name": "Ada" });
    let stranger = ground.stranger();
    let guess = ground.post(&stranger, "/auth/set-up", body("su_guess", "ada@example.com")).await;
    assert_eq!(guess.refused(Slug::ValidationError).field_errors()[0].field, "/token");
    let weak = json!({ "token": SET_UP_TOKEN, "email": "ada", "password": "short", "name": "" });
    let weak = ground.post(&stranger, "/auth/set-up", weak).await.refused(Slug::ValidationError);
    assert_eq!(weak.field_errors().len(), 3);
    assert!(!ground.iam.has_platform(&ground.system()).await.unwrap());

    // Two who follow the link at the same moment: one of them is the owner, of the other nothing is left.
    let both = futures::join!(
        ground.post(&stranger, "/auth/set-up", body(SET_UP_TOKEN, "ada@example.com")),
        ground.post(&stranger, "/auth/set-up", body(SET_UP_TOKEN, "eve@example.com")),
    );
    let (first, second) = if both.0.status == 201 { both } else { (both.1, both.0) };
    let tokens = first.expect(201);
    assert_eq!(second.refused(Slug::ValidationError).field_errors()[0].field, "/token");
    let counts =
        "select (select count(*) from iam.tenant) tenants, (select count(*) from iam.user_account) people";
    assert_eq!(ground.look(counts).await, json!([{ "tenants": 1, "people": 1 }]));
    let owner = ground.holder(text(&tokens["accessToken"])).await;
    let seen = ground.get(&owner, "/auth/me").await.expect(200);
    assert_eq!(seen["flags"], json!({ "owner": true, "platform": true, "emailVerified": true }));
    assert_eq!(tokens["tenant"]["slug"], "platform");
    let late = ground.post(&stranger, "/auth/set-up", body(SET_UP_TOKEN, "eve@example.com")).await;
    late.refused(Slug::ValidationError);
    let later = Secret::new(PASSWORD);
    assert!(!ground.iam.set_up_owner(&ground.system(), "eve@example.com", &later).await.unwrap());
    ground.stop().await;
}

#[tokio::test]
async fn five_failures_close_the_account_to_one_address() {
    let (ground, _) = Ground::with_demo().await;
    let attempt = async |cx: &Ctx, email: &str, password: &str| {
        ground.post(cx, "/auth/login", json!({ "email": email, "password": password })).await
    };
    for _ in 0..5 {
        attempt(&ground.stranger(), "dev@sandbox.localhost", "wrong").await.refused(Slug::InvalidCredentials);
        attempt(&ground.stranger(), "nobody@sandbox.localhost", "wrong")
            .await
            .refused(Slug::InvalidCredentials);
    }
    let refused = attempt(&ground.stranger(), "Dev@sandbox.localhost", "Sandbox2026!").await;
    assert!(refused.refused(Slug::TooManyAttempts).retry_after_hint().unwrap() > Duration::from_secs(800));
    attempt(&ground.stranger(), "nobody@sandbox.localhost", "wrong").await.refused(Slug::TooManyAttempts);
    attempt(&ground.stranger_at(8), "dev@sandbox.localhost", "Sandbox2026!").await.expect(200);
    ground.stop().await;
}

#[tokio::test]
async fn of_several_tenants_one_is_chosen_and_remembered() {
    let (ground, corp) = Ground::with_demo().await;
    assert_eq!(
        ground.login("admin").await["tenant"]["slug"],
        "sandbox-corp",
        "the demo's sign-in asks nothing"
    );
    ground.run(&ground.database.owner, "update iam.user_account set last_tenant_id = null").await.unwrap();
    let asked = ground.login("admin").await;
    assert_eq!(asked["requiresTenantSelection"], true);
    let platform =
        asked["tenants"].as_array().unwrap().iter().find(|tenant| tenant["kind"] == "platform").unwrap();
    let choose = |tenant: &Value, remember: bool| json!({ "sessionToken": asked["sessionToken"], "tenantId": tenant, "remember": remember });
    let elsewhere = ground.register("Elsewhere", "e@example.com").await;
    let not_mine = choose(&elsewhere["tenant"]["id"], true);
    ground.post(&ground.stranger(), "/auth/select-tenant", not_mine).await.refused(Slug::NotFound);
    let once = ground
        .post(&ground.stranger(), "/auth/select-tenant", choose(&platform["id"], false))
        .await
        .expect(200);
    assert_eq!(ground.login("admin").await["requiresTenantSelection"], true);
    let who = ground.who(text(&once["accessToken"])).await.unwrap();
    assert!(who.of_platform && who.caller.permissions.allow("modules.register"));
    assert!(!who.caller.permissions.allow("sandboxes.list"));

    let me = ground.caller(who.caller);
    let switched = ground.post(&me, "/auth/switch-tenant", json!({ "tenantId": corp })).await.expect(200);
    let there = ground.who(text(&switched["accessToken"])).await.unwrap();
    assert!(!there.of_platform && there.caller.tenant == Some(corp));
    assert_eq!(ground.login("admin").await["tenant"]["id"], json!(corp), "the switch was remembered");
    ground
        .post(&me, "/auth/switch-tenant", json!({ "tenantId": elsewhere["tenant"]["id"] }))
        .await
        .refused(Slug::NotFound);

    ground.advance(Duration::from_secs(301));
    let late = ground.post(&ground.stranger(), "/auth/select-tenant", choose(&platform["id"], true)).await;
    late.refused(Slug::Unauthorized);
    ground.stop().await;
}

#[tokio::test]
async fn a_refresh_token_is_good_once_with_ten_seconds_of_grace() {
    let (ground, _) = Ground::with_demo().await;
    let first = ground.login("dev").await;
    let refresh = async |token: &Value| {
        ground.post(&ground.stranger(), "/auth/refresh", json!({ "refreshToken": token })).await
    };
    let (a, b, c, d) = tokio::join!(
        refresh(&first["refreshToken"]),
        refresh(&first["refreshToken"]),
        refresh(&first["refreshToken"]),
        refresh(&first["refreshToken"]),
    );
    let answers = [a, b, c, d].map(|answer| answer.expect(200));
    let next = &answers[0]["refreshToken"];
    assert!(answers.iter().all(|answer| answer["refreshToken"] == *next && *next != first["refreshToken"]));
    let after = refresh(next).await.expect(200);
    assert_ne!(after["refreshToken"], *next);
    let access = text(&after["accessToken"]);
    ground.who(access).await.unwrap();

    ground.run(&ground.database.owner, "update iam.refresh_token set used_at = used_at - interval '11 seconds' where used_at is not null").await.unwrap();
    refresh(&first["refreshToken"]).await.refused(Slug::Unauthorized);
    assert_eq!(ground.who(access).await.unwrap_err().slug(), Slug::Unauthorized, "the family has ended");
    refresh(&after["refreshToken"]).await.refused(Slug::Unauthorized);
    let trail = ground
        .look("select count(*) as n from kernel.audit_record where action = 'session.reuse_detected'")
        .await;
    assert_eq!(trail, json!([{ "n": 1 }]));
    for wrong in ["", "rt_x", "rt_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"] {
        refresh(&json!(wrong)).await.refused(Slug::Unauthorized);
    }
    let other = ground.login("dev").await;
    ground.advance(Duration::from_secs(7 * 24 * 3600 + 1));
    refresh(&other["refreshToken"]).await.refused(Slug::Unauthorized);
    ground.iam.clear_sessions(&ground.system()).await.unwrap();
    assert_eq!(ground.look("select id from iam.session").await, json!([]));
    ground.stop().await;
}

#[tokio::test]
async fn a_session_ends_where_its_owner_ends_it() {
    let (ground, _) = Ground::with_demo().await;
    let (one, two) = (ground.login("dev").await, ground.login("dev").await);
    let (first, second) = (text(&one["accessToken"]), text(&two["accessToken"]));
    let me = ground.holder(first).await;
    let list = ground.get(&me, "/auth/sessions?limit=1").await.expect(200);
    let cursor = text(&list["meta"]["cursor"]);
    let rest = ground.get(&me, &format!("/auth/sessions?limit=1&cursor={cursor}")).await.expect(200);
    assert_eq!((&list["data"][0]["current"], &rest["data"][0]["current"]), (&json!(false), &json!(true)));
    assert_eq!(list["data"][0]["address"], "192.0.2.7");
    let viewer = ground.signed_in("viewer").await;
    let path = format!("/auth/sessions/{}", text(&list["data"][0]["id"]));
    ground.delete(&viewer, &path).await.refused(Slug::NotFound);
    ground.delete(&me, &path).await.expect(204);
    ground.delete(&me, &path).await.refused(Slug::NotFound);
    assert!(ground.who(second).await.is_err() && ground.who(first).await.is_ok());

    let third = ground.login("dev").await;
    let body = json!({ "currentPassword": "wrong", "newPassword": PASSWORD });
    ground.post(&me, "/auth/change-password", body).await.refused(Slug::InvalidCredentials);
    let body = json!({ "currentPassword": "Sandbox2026!", "newPassword": PASSWORD });
    let change = keyed(&me, Uuid::now_v7());
    let changed = ground.post(&change, "/auth/change-password", body.clone()).await.expect(200);
    assert_eq!(changed, json!({ "sessionsEnded": 1 }));
    assert_eq!(ground.post(&change, "/auth/change-password", body).await.replayed(), changed);
    assert!(ground.who(text(&third["accessToken"])).await.is_err() && ground.who(first).await.is_ok());
    let body = json!({ "email": "dev@sandbox.localhost", "password": PASSWORD });
    ground.post(&ground.stranger(), "/auth/login", body).await.expect(200);

    let out = json!({ "refreshToken": one["refreshToken"] });
    assert_eq!(
        ground.post(&ground.stranger(), "/auth/logout", out.clone()).await.expect(200)["sessionsEnded"],
        1
    );
    assert_eq!(ground.post(&ground.stranger(), "/auth/logout", out).await.expect(200)["sessionsEnded"], 0);
    assert!(ground.who(first).await.is_err());
    ground.post(&ground.stranger(), "/auth/logout", json!({})).await.refused(Slug::Unauthorized);
    ground.post(&viewer, "/auth/logout", json!({})).await.expect(200);
    ground.stop().await;
}

#[tokio::test]
async fn tokens_follow_the_sandboxs_clock_and_their_keys_are_renewed() {
    let (ground, _) = Ground::with_demo().await;
    let tokens = ground.login("dev").await;
    let access = text(&tokens["accessToken"]);
    ground.who(access).await.unwrap();
    let jwks =
        ground.ask(&ground.stranger(), http::Method::GET, "/.well-known/jwks.json", None).await.expect(200);
    assert_eq!(jwks["keys"].as_array().unwrap().len(), 1);
    ground.advance(Duration::from_secs(901));
    assert_eq!(ground.who(access).await.unwrap_err().slug(), Slug::TokenExpired);
    ground.advance(Duration::from_secs(91 * 24 * 3600));
    ground.login("dev").await;
    let renewed = ground.iam.jwks(&ground.stranger()).await.unwrap();
    assert_eq!(renewed["keys"].as_array().unwrap().len(), 2);
    ground.iam.clear_sessions(&ground.system()).await.unwrap();
    assert_eq!(
        ground.look("select kid from iam.signing_key").await.as_array().unwrap().len(),
        2,
        "real time has not passed"
    );
    ground.run(&ground.database.owner, "update iam.signing_key set retired_real = retired_real - interval '1 hour', retired_at = retired_at - interval '1 hour' where retired_at is not null").await.unwrap();
    ground.iam.clear_sessions(&ground.system()).await.unwrap();
    assert_eq!(ground.iam.jwks(&ground.stranger()).await.unwrap()["keys"].as_array().unwrap().len(), 1);
    ground.stop().await;
}

#[tokio::test]
async fn a_modules_back_end_calls_back_with_what_the_user_still_holds() {
    let (ground, corp) = Ground::with_demo().await;
    ground.install_crm(corp);
    let me = ground.signed_in("dev").await;
    assert!(me.caller().permissions.allow("crm.contacts.write"), "an Admin has what modules declare");
    let request = ModuleTokenRequest {
        module: "crm".parse().unwrap(),
        name: "@example/crm".into(),
        permissions: vec!["crm.contacts.read".into(), "crm.contacts.write".into()],
    };
    let token = ground.iam.module_token(&me, request.clone()).await.unwrap();
    let back = ground.who(token.expose()).await.unwrap();
    assert!(
        matches!(&back.caller.actor, Actor::Module { slug, on_behalf_of: Some(_) } if slug.as_str() == "crm")
    );
    assert!(
        back.caller.permissions.allow("crm.contacts.write") && !back.caller.permissions.allow("users.list")
    );
    assert!(!back.of_platform);
    let as_module = ground.caller(back.caller);
    assert_eq!(ground.get(&as_module, "/auth/me").await.expect(200)["kind"], "module");
    ground.post(&as_module, "/auth/logout-all", Value::Null).await.refused(Slug::Forbidden);

    let viewer = ground.signed_in("viewer").await;
    let token = ground.iam.module_token(&viewer, request).await.unwrap();
    assert!(!ground.who(token.expose()).await.unwrap().caller.permissions.allow("crm.contacts.write"));
    ground.post(&viewer, "/auth/logout", json!({})).await.expect(200);
    assert!(ground.who(token.expose()).await.is_err(), "its session has ended");

    let statement = ground.iam.sign(&me, "audit.head", json!({ "aud": "platform-kernel" })).await.unwrap();
    assert!(ground.who(&statement).await.is_err());
    ground.stop().await;
}

#[tokio::test]
async fn a_copy_of_the_sandbox_takes_passwords_and_nothing_else() {
    let (ground, _) = Ground::with_demo().await;
    let tokens = ground.login("admin").await;
    let me = ground.holder(text(&tokens["accessToken"])).await;
    let body = json!({ "name": "export", "permissions": ["files.read"] });
    let key = ground.post(&me, "/api-keys", body).await.expect(201);
    ground.who(text(&key["key"])).await.unwrap();
    ground.run(&ground.database.owner, "select kernel.after_clone()").await.unwrap();
    ground.iam.heard(iam::Change::Everything);
    assert!(ground.who(text(&tokens["accessToken"])).await.is_err());
    assert!(ground.who(text(&key["key"])).await.is_err());
    let refreshed = json!({ "refreshToken": tokens["refreshToken"] });
    ground.post(&ground.stranger(), "/auth/refresh", refreshed).await.refused(Slug::Unauthorized);
    assert_eq!(ground.look("select kid from iam.signing_key").await, json!([]));
    assert_eq!(ground.look("select state from iam.api_key").await, json!([{ "state": "disabled" }]));
    ground.login("admin").await;
    ground.stop().await;
}
