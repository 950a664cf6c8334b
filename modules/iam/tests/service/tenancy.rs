//! Users, roles, tenants and keys: who may do what to whom, and that it holds at once.

use std::time::Duration;

use crate::support::{Ground, PASSWORD, text};
use kernel::{Secret, Slug};
use ports::Iam as _;
use serde_json::{Value, json};

fn new_user(email: &str) -> Value {
    json!({ "email": email, "name": "Grace", "password": PASSWORD })
}

async fn role_id(ground: &Ground, cx: &kernel::Ctx, name: &str) -> Value {
    let roles = ground.get(cx, "/roles").await.expect(200);
    let found = roles["data"].as_array().unwrap().iter().find(|role| role["name"] == name);
    found.unwrap_or_else(|| panic!("no role {name}"))["id"].clone()
}

async fn sign_in(ground: &Ground, email: &str) -> Value {
    let body = json!({ "email": email, "password": PASSWORD });
    ground.post(&ground.stranger(), "/auth/login", body).await.expect(200)
}

#[tokio::test]
async fn a_user_lives_through_all_states_and_each_holds_at_once() {
    let (ground, _) = Ground::with_demo().await;
    let dev = ground.signed_in("dev").await;
    let user = ground.post(&dev, "/users", new_user("grace@example.com")).await.expect(201);
    assert_eq!(user["roles"][0]["name"], "Member");
    let path = format!("/users/{}", text(&user["id"]));
    ground.post(&dev, "/users", new_user("Grace@example.com")).await.refused(Slug::AlreadyExists);
    let renamed = ground.patch(&dev, &path, json!({ "name": "Grace H." })).await.expect(200);
    assert_eq!((&renamed["name"], &renamed["version"]), (&json!("Grace H."), &json!(2)));

    let token = sign_in(&ground, "grace@example.com").await;
    let access = text(&token["accessToken"]);
    let grace = ground.holder(access).await;
    assert!(
        grace.caller().permissions.allow("users.list") && !grace.caller().permissions.allow("users.create")
    );
    ground.post(&dev, &format!("{path}/unblock"), Value::Null).await.refused(Slug::InvalidState);
    ground.post(&dev, &format!("{path}/block"), Value::Null).await.expect(200);
    assert!(ground.who(access).await.is_err());
    let body = json!({ "email": "grace@example.com", "password": PASSWORD });
    ground.post(&ground.stranger(), "/auth/login", body.clone()).await.refused(Slug::Forbidden);
    ground.post(&dev, &format!("{path}/unblock"), Value::Null).await.expect(200);
    assert!(ground.who(access).await.is_err(), "its session ended");
    let again = sign_in(&ground, "grace@example.com").await;
    ground.who(text(&again["accessToken"])).await.unwrap();

    ground.delete(&dev, &path).await.expect(204);
    assert!(ground.who(text(&again["accessToken"])).await.is_err());
    let listed = ground.get(&dev, "/users").await.expect(200);
    assert!(listed["data"].as_array().unwrap().iter().all(|one| one["id"] != user["id"]));
    let deleted = ground.get(&dev, "/users?state=deleted").await.expect(200);
    assert_eq!(deleted["data"][0]["id"], user["id"]);
    ground.post(&dev, &format!("{path}/restore"), Value::Null).await.expect(200);
    ground.delete(&dev, &path).await.expect(204);
    ground.advance(Duration::from_secs(31 * 24 * 3600));
    ground.post(&dev, &format!("{path}/restore"), Value::Null).await.refused(Slug::InvalidState);
    ground.iam.purge_deleted(&ground.system()).await.unwrap();
    ground.get(&dev, &path).await.refused(Slug::NotFound);
    assert_eq!(
        ground.look("select id from iam.user_account where email = 'grace@example.com'").await,
        json!([])
    );
    ground.post(&dev, "/users", new_user("grace@example.com")).await.expect(201);
    ground.stop().await;
}

#[tokio::test]
async fn the_owner_is_spared_and_there_is_never_a_second_one() {
    let (ground, corp) = Ground::with_demo().await;
    let dev = ground.signed_in("dev").await;
    let owner = ground.iam.owners(&dev, corp).await.unwrap();
    assert_eq!(owner.len(), 1);
    let path = format!("/users/{}", owner[0]);
    let (owner_role, member) =
        (role_id(&ground, &dev, "Owner").await, role_id(&ground, &dev, "Member").await);
    ground.post(&dev, &format!("{path}/block"), Value::Null).await.refused(Slug::InvalidState);
    ground.delete(&dev, &path).await.refused(Slug::InvalidState);
    ground
        .post(&dev, &format!("{path}/roles"), json!({ "roleIds": [member] }))
        .await
        .refused(Slug::InvalidState);
    let both = json!({ "roleIds": [member, owner_role] });
    ground.post(&dev, &format!("{path}/roles"), both).await.expect(200);
    let admin = ground.signed_in("admin").await;
    let user = ground.post(&admin, "/users", new_user("x@example.com")).await.expect(201);
    let give = json!({ "roleIds": [owner_role] });
    let path = format!("/users/{}/roles", text(&user["id"]));
    ground.post(&admin, &path, give.clone()).await.refused(Slug::InvalidState);
    let mut second = new_user("y@example.com");
    second["roleIds"] = json!([owner_role]);
    ground.post(&admin, "/users", second).await.refused(Slug::InvalidState);
    ground.stop().await;
}

#[tokio::test]
async fn nobody_grants_what_they_lack_and_a_changed_role_holds_at_once() {
    let (ground, _) = Ground::with_demo().await;
    let (owner, dev) = (ground.signed_in("admin").await, ground.signed_in("dev").await);
    let body = |name: &str, permissions: Value| json!({ "name": name, "permissions": permissions });
    ground.post(&dev, "/roles", body("Payer", json!(["billing.change"]))).await.refused(Slug::Forbidden);
    ground.post(&owner, "/roles", body("God", json!(["*"]))).await.refused(Slug::ValidationError);
    ground
        .post(&owner, "/roles", body("Op", json!(["modules.register"])))
        .await
        .refused(Slug::ValidationError);
    let payer =
        ground.post(&owner, "/roles", body("Payer", json!(["billing.*", "users.list"]))).await.expect(201);
    ground.post(&owner, "/roles", body("payer", json!([]))).await.refused(Slug::AlreadyExists);
    let user = ground.post(&dev, "/users", new_user("p@example.com")).await.expect(201);
    let roles = format!("/users/{}/roles", text(&user["id"]));
    ground.post(&dev, &roles, json!({ "roleIds": [payer["id"]] })).await.refused(Slug::Forbidden);
    let unknown = ground.post(&dev, &roles, json!({ "roleIds": [uuid::Uuid::now_v7()] })).await;
    assert_eq!(unknown.refused(Slug::ValidationError).field_errors()[0].field, "/roleIds/0");

    let token = sign_in(&ground, "p@example.com").await;
    let access = text(&token["accessToken"]);
    let may = async |permission: &str| ground.who(access).await.unwrap().caller.permissions.allow(permission);
    assert!(!may("billing.change").await);
    ground.post(&owner, &roles, json!({ "roleIds": [payer["id"]] })).await.expect(200);
    assert!(may("billing.change").await);
    let path = format!("/roles/{}", text(&payer["id"]));
    ground.patch(&owner, &path, json!({ "permissions": ["users.list"] })).await.expect(200);
    assert!(!may("billing.change").await && may("users.list").await);
    ground.delete(&owner, &path).await.refused(Slug::Conflict);
    let member = role_id(&ground, &owner, "Member").await;
    ground
        .patch(&owner, &format!("/roles/{}", text(&member)), json!({ "name": "X" }))
        .await
        .refused(Slug::InvalidState);
    ground.post(&owner, &roles, json!({ "roleIds": [member] })).await.expect(200);
    ground.delete(&owner, &path).await.expect(204);
    let groups = ground.get(&dev, "/permissions").await.expect(200);
    assert!(groups["data"].as_array().unwrap().iter().any(|group| group["group"] == "wallets"));
    ground.stop().await;
}

#[tokio::test]
async fn a_blocked_tenant_closes_all_below_it_at_once() {
    let (ground, corp) = Ground::with_demo().await;
    let dev_token = ground.login("dev").await;
    let dev_access = text(&dev_token["accessToken"]);
    let dev = ground.holder(dev_access).await;
    let key = ground
        .post(&dev, "/api-keys", json!({ "name": "k", "permissions": ["files.read"] }))
        .await
        .expect(201);
    ground.who(text(&key["key"])).await.unwrap();
    let admin = ground.signed_in("admin").await;
    let ids = ground.iam.tenant_ids(&ground.system()).await.unwrap();
    let switched =
        ground.post(&admin, "/auth/switch-tenant", json!({ "tenantId": ids["platform"] })).await.expect(200);
    let platform = ground.holder(text(&switched["accessToken"])).await;

    let partner = format!("/tenants/{}", ids["partner-one"]);
    let tree = ground.get(&platform, &format!("/tenants/{}/tree", ids["platform"])).await.expect(200);
    assert_eq!(tree["root"]["children"][0]["children"][0]["slug"], "sandbox-corp");
    ground.get(&dev, &partner).await.refused(Slug::NotFound);
    ground.post(&dev, &format!("/tenants/{corp}/block"), Value::Null).await.refused(Slug::InvalidState);
    ground
        .post(&platform, &format!("/tenants/{}/block", ids["platform"]), Value::Null)
        .await
        .refused(Slug::InvalidState);
    assert!(!ground.iam.tenant_by_slug(&dev, "sandbox-corp".into()).await.unwrap().unwrap().blocked);
    ground.post(&platform, &format!("{partner}/block"), Value::Null).await.expect(200);
    assert!(ground.who(dev_access).await.is_err() && ground.who(text(&key["key"])).await.is_err());
    assert!(ground.iam.tenant_by_slug(&dev, "sandbox-corp".into()).await.unwrap().unwrap().blocked);
    let refresh = json!({ "refreshToken": dev_token["refreshToken"] });
    ground.post(&ground.stranger(), "/auth/refresh", refresh.clone()).await.refused(Slug::Unauthorized);
    ground.post(&platform, &format!("{partner}/unblock"), Value::Null).await.expect(200);
    ground.who(dev_access).await.unwrap();
    ground.post(&ground.stranger(), "/auth/refresh", refresh).await.expect(200);

    ground.delete(&platform, &partner).await.refused(Slug::Conflict);
    ground.delete(&platform, &format!("/tenants/{corp}")).await.expect(204);
    ground.delete(&platform, &partner).await.expect(204);
    assert!(ground.who(dev_access).await.is_err());
    ground.advance(Duration::from_secs(31 * 24 * 3600));
    ground.iam.purge_deleted(&ground.system()).await.unwrap();
    let left = ground.look("select slug from iam.tenant").await;
    assert_eq!(left, json!([{ "slug": "platform" }]));
    let people = ground.look("select email from iam.user_account").await;
    assert_eq!(
        people,
        json!([{ "email": "admin@sandbox.localhost" }]),
        "who belongs nowhere went with the tenant"
    );
    ground.stop().await;
}

#[tokio::test]
async fn tenants_are_made_below_ones_own_and_nowhere_else() {
    let (ground, corp) = Ground::with_demo().await;
    let admin = ground.signed_in("admin").await;
    let ids = ground.iam.tenant_ids(&ground.system()).await.unwrap();
    let client = |parent: Value| json!({ "name": "Acme", "kind": "client", "parentId": parent });
    ground.post(&admin, "/tenants", client(Value::Null)).await.refused(Slug::InvalidState);
    ground.post(&admin, "/tenants", client(json!(ids["partner-one"]))).await.refused(Slug::NotFound);
    let switched =
        ground.post(&admin, "/auth/switch-tenant", json!({ "tenantId": ids["platform"] })).await.expect(200);
    let platform = ground.holder(text(&switched["accessToken"])).await;
    let before = ground.told().await.len();
    let acme = ground.post(&platform, "/tenants", client(json!(ids["partner-one"]))).await.expect(201);
    assert_eq!((&acme["slug"], &acme["parentId"]), (&json!("acme"), &json!(ids["partner-one"])));
    assert_eq!(ground.told().await[before..], ["auth.tenant.created"]);
    let there =
        ground.post(&platform, "/auth/switch-tenant", json!({ "tenantId": acme["id"] })).await.expect(200);
    let me = ground.holder(text(&there["accessToken"])).await;
    assert_eq!(ground.get(&me, "/auth/me").await.expect(200)["flags"]["owner"], true);
    assert!(!me.caller().permissions.allow("modules.register"));

    let mut with_owner = client(json!(corp));
    with_owner["owner"] = json!({ "email": "o@acme.example", "name": "O", "password": PASSWORD });
    ground.post(&platform, "/tenants", with_owner.clone()).await.refused(Slug::InvalidState);
    with_owner["parentId"] = json!(ids["platform"]);
    with_owner["slug"] = json!("acme");
    ground.post(&platform, "/tenants", with_owner.clone()).await.refused(Slug::AlreadyExists);
    with_owner["slug"] = json!("www");
    ground.post(&platform, "/tenants", with_owner.clone()).await.refused(Slug::ValidationError);
    with_owner["slug"] = json!("acme-two");
    ground.post(&platform, "/tenants", with_owner).await.expect(201);
    assert_eq!(sign_in(&ground, "o@acme.example").await["tenant"]["slug"], "acme-two");
    let list = ground.get(&platform, "/tenants?limit=2").await.expect(200);
    let cursor = text(&list["meta"]["cursor"]);
    let rest = ground.get(&platform, &format!("/tenants?cursor={cursor}")).await.expect(200);
    assert_eq!(rest["data"].as_array().unwrap().len(), 3);
    ground.get(&me, &format!("/tenants?cursor={cursor}")).await.refused(Slug::InvalidCursor);
    ground.stop().await;
}

#[tokio::test]
async fn a_key_does_what_it_was_given_until_it_is_revoked() {
    let (ground, _) = Ground::with_demo().await;
    let dev = ground.signed_in("dev").await;
    let body = |permissions: Value| json!({ "name": "export", "permissions": permissions, "expiresAt": "2090-01-01T00:00:00Z" });
    ground.post(&dev, "/api-keys", body(json!(["billing.change"]))).await.refused(Slug::Forbidden);
    ground.post(&dev, "/api-keys", body(json!(["*"]))).await.refused(Slug::Forbidden);
    let made =
        ground.post(&dev, "/api-keys", body(json!(["files.read", "apikeys.create"]))).await.expect(201);
    let key = text(&made["key"]);
    let found = ground.who(key).await.unwrap();
    assert!(found.caller.permissions.allow("files.read") && !found.caller.permissions.allow("users.list"));
    let holder = ground.caller(found.caller);
    ground.post(&holder, "/api-keys", body(json!(["users.list"]))).await.refused(Slug::Forbidden);
    let child = ground.post(&holder, "/api-keys", body(json!(["files.read"]))).await.expect(201);
    assert!(text(&child["createdBy"]).starts_with("key:"));
    let bent = format!("{}A", &key[..key.len() - 1]);
    assert!(ground.who(&bent).await.is_err() || bent == key);
    let listed = async || ground.get(&dev, "/api-keys").await.expect(200)["data"].clone();
    assert!(listed().await.as_array().unwrap().iter().all(|one| one.get("key").is_none()));
    while listed().await[1]["lastUsedAt"].is_null() {
        tokio::task::yield_now().await;
    }
    ground.delete(&dev, &format!("/api-keys/{}", text(&made["id"]))).await.expect(204);
    assert!(ground.who(key).await.is_err());
    ground.advance(Duration::from_secs(70 * 366 * 24 * 3600));
    assert!(ground.who(text(&child["key"])).await.is_err(), "expired");
    ground.stop().await;
}

#[tokio::test]
async fn another_tenants_things_are_not_there() {
    let (ground, corp) = Ground::with_demo().await;
    let admin = ground.signed_in("admin").await;
    let key = ground
        .post(&admin, "/api-keys", json!({ "name": "k", "permissions": ["files.read"] }))
        .await
        .expect(201);
    let role = ground.post(&admin, "/roles", json!({ "name": "R", "permissions": [] })).await.expect(201);
    let user = ground.post(&admin, "/users", new_user("u@example.com")).await.expect(201);
    let other = ground.register("Other", "other@example.com").await;
    let stranger = ground.holder(text(&other["accessToken"])).await;
    let (user, role, key) = (text(&user["id"]), text(&role["id"]), text(&key["id"]));
    for path in [
        format!("/users/{user}"),
        format!("/roles/{role}"),
        format!("/tenants/{corp}"),
        format!("/tenants/{corp}/tree"),
    ] {
        ground.get(&stranger, &path).await.refused(Slug::NotFound);
    }
    for path in [format!("/users/{user}"), format!("/roles/{role}"), format!("/tenants/{corp}")] {
        ground.patch(&stranger, &path, json!({ "name": "mine" })).await.refused(Slug::NotFound);
        ground.delete(&stranger, &path).await.refused(Slug::NotFound);
    }
    ground.delete(&stranger, &format!("/api-keys/{key}")).await.refused(Slug::NotFound);
    for act in ["block", "unblock", "restore"] {
        ground.post(&stranger, &format!("/users/{user}/{act}"), Value::Null).await.refused(Slug::NotFound);
    }
    for act in ["block", "unblock"] {
        ground.post(&stranger, &format!("/tenants/{corp}/{act}"), Value::Null).await.refused(Slug::NotFound);
    }
    let own = role_id(&ground, &stranger, "Member").await;
    let path = format!("/users/{user}/roles");
    ground.post(&stranger, &path, json!({ "roleIds": [own] })).await.refused(Slug::NotFound);
    let path = format!("/users/{}/roles", text(&other["user"]["id"]));
    ground.post(&stranger, &path, json!({ "roleIds": [role] })).await.refused(Slug::InvalidState);
    let mut foreign = new_user("f@example.com");
    foreign["roleIds"] = json!([role]);
    ground.post(&stranger, "/users", foreign).await.refused(Slug::ValidationError);
    for (path, most) in [("/users", 1), ("/roles", 3), ("/tenants", 1), ("/api-keys", 0)] {
        assert_eq!(
            ground.get(&stranger, path).await.expect(200)["data"].as_array().unwrap().len(),
            most,
            "{path}"
        );
    }
    ground.stop().await;
}

#[tokio::test]
async fn the_applications_login_sees_its_tenant_and_no_secret() {
    let (ground, corp) = Ground::with_demo().await;
    ground.register("Other", "other@example.com").await;
    let bound = ground.database.app.clone().options([("kernel.tenant", corp.to_string())]);
    let count = |table: &str, number: i64| {
        format!(
            "do $$ begin if (select count(*) from {table}) <> {number} then raise exception '{table}: %', (select count(*) from {table}); end if; end $$"
        )
    };
    for (table, seen) in [("iam.user_account", 3), ("iam.membership", 3), ("iam.tenant", 1), ("iam.role", 3)]
    {
        ground.run(&bound, &count(table, seen)).await.unwrap();
        ground.run(&ground.database.app, &count(table, 0)).await.unwrap();
    }
    for secret in ["iam.credential", "iam.refresh_token", "iam.signing_key"] {
        assert!(ground.run(&bound, &format!("select * from {secret}")).await.is_err(), "{secret}");
    }
    for forbidden in [
        "update iam.tenant set state = 'active'",
        "update iam.user_account set email = 'x'",
        "insert into iam.tenant_path values (kernel.tenant(), gen_random_uuid(), 1)",
        "delete from iam.session",
    ] {
        assert!(ground.run(&bound, forbidden).await.is_err(), "{forbidden}");
    }
    ground.stop().await;
}

#[tokio::test]
async fn an_operator_sets_a_password_and_all_sessions_end() {
    let (ground, _) = Ground::with_demo().await;
    let tokens = ground.login("dev").await;
    ground.who(text(&tokens["accessToken"])).await.unwrap();
    let cx = ground.system();
    assert!(ground.iam.set_password(&cx, "dev@sandbox.localhost", &Secret::new("short")).await.is_err());
    ground.iam.set_password(&cx, "Dev@sandbox.localhost", &Secret::new(PASSWORD)).await.unwrap();
    assert!(ground.who(text(&tokens["accessToken"])).await.is_err());
    sign_in(&ground, "dev@sandbox.localhost").await;
    ground.stop().await;
}
