//! `platform.iam.v1`

use proto::iam::v1::{
    CheckPermissionsRequest, GetPermissionsRequest, GetUserRequest, ListUsersRequest, UserState,
    ValidateTokenRequest, principal::Kind,
};
use serde_json::json;
use testkit::Kernel;
use tonic::{Code, Request};

use crate::{channel, fields, iam, iam_at, slug};

fn token(text: &str) -> ValidateTokenRequest {
    ValidateTokenRequest { token: text.to_owned() }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_asks_whose_a_token_is_and_what_its_bearer_may_do() {
    let kernel = Kernel::demo().await;
    let (owner, registered) = kernel.api().register("Acme Tools").await;
    owner.post("/api/v1/modules/crm/install", json!({})).await.expect(200);
    let grants = json!({ "name": "back-end", "permissions": ["users.list"] });
    let key =
        owner.post("/api/v1/api-keys", grants).await.expect(201).body["key"].as_str().unwrap().to_owned();
    let module = owner.post("/api/v1/modules/crm/keys", json!({})).await.expect(201);
    let module = module.body["key"].as_str().unwrap().to_owned();
    let tenant = registered["tenant"]["id"].as_str().unwrap();
    let user = registered["user"]["id"].as_str().unwrap();

    let mut backend = iam_at(channel(kernel.url(), "localhost"), &key);
    let found = backend.validate_token(token(owner.token())).await.unwrap().into_inner();
    let principal = found.principal.unwrap();
    assert!(found.valid && principal.kind() == Kind::User);
    assert_eq!((principal.tenant_id.as_str(), principal.user_id.as_str()), (tenant, user));
    assert_eq!(principal.permissions, ["*"]);
    assert!(principal.expires_at.is_some_and(|end| end.seconds > 1_700_000_000));
    let found = backend.validate_token(token(&key)).await.unwrap().into_inner().principal.unwrap();
    assert!(found.kind() == Kind::Key && found.expires_at.is_none() && found.permissions == ["users.list"]);
    let found = backend.validate_token(token(&module)).await.unwrap().into_inner().principal.unwrap();
    assert!(found.kind() == Kind::Module && found.module == "crm" && found.tenant_id == tenant);

    // What is no good, has ended or is another tenant's is all the same.
    let (stranger, _) = kernel.api().register("Next Door").await;
    let (leaver, _) =
        (owner.sign_in(registered["user"]["email"].as_str().unwrap(), "correct horse battery").await, ());
    leaver.post("/api/v1/auth/logout", json!({})).await.expect(200);
    for bad in
        ["nonsense", "pk_abcdefgh_nothing", "mk_nothing", "ok_nothing", stranger.token(), leaver.token()]
    {
        let found = backend.validate_token(token(bad)).await.unwrap().into_inner();
        assert!(!found.valid && found.principal.is_none(), "{bad}");
    }
    let status = backend.validate_token(token("")).await.unwrap_err();
    assert_eq!((slug(&status).as_str(), fields(&status)), ("validation-error", vec!["/token".to_owned()]));

    let own = backend.get_permissions(GetPermissionsRequest::default()).await.unwrap().into_inner();
    assert_eq!(own.permissions, ["users.list"]);
    let asked = CheckPermissionsRequest {
        user_id: user.to_owned(),
        permissions: vec!["wallets.read".into(), "sandboxes.create".into()],
    };
    let checks = backend.check_permissions(asked).await.unwrap().into_inner().checks;
    let granted: Vec<bool> = checks.iter().map(|check| check.granted).collect();
    assert_eq!(granted, [true, false], "a wildcard does not cover what is the operator's");
    kernel.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn users_are_the_ones_of_the_callers_tenant() {
    let kernel = Kernel::empty().await;
    let (owner, registered) = kernel.api().register("Acme Tools").await;
    let body = json!({ "email": "grace@acme.example", "name": "Grace", "password": "tandem-gravel-42-owl" });
    let grace = owner.post("/api/v1/users", body).await.expect(201).id();
    let mut acme = iam(&kernel, &owner);

    let user = acme.get_user(GetUserRequest { user_id: grace.clone() }).await.unwrap().into_inner();
    assert_eq!(
        (user.email.as_str(), user.state(), user.version),
        ("grace@acme.example", UserState::Active, 1)
    );
    assert_eq!((user.roles[0].name.as_str(), user.roles[0].kind.as_str()), ("Member", "member"));
    let first = ListUsersRequest { limit: 1, ..Default::default() };
    let page = acme.list_users(first.clone()).await.unwrap().into_inner();
    assert_eq!((page.users[0].id.as_str(), page.next_cursor.is_empty()), (grace.as_str(), false));
    let next = ListUsersRequest { cursor: page.next_cursor.clone(), ..first };
    let last = acme.list_users(next.clone()).await.unwrap().into_inner();
    assert_eq!(last.users[0].id, registered["user"]["id"].as_str().unwrap());
    assert_eq!(last.next_cursor, "");
    let blocked = ListUsersRequest { state: UserState::Blocked.into(), ..Default::default() };
    assert!(acme.list_users(blocked).await.unwrap().into_inner().users.is_empty());

    let (stranger, _) = kernel.api().register("Next Door").await;
    let mut door = iam(&kernel, &stranger);
    let status = door.get_user(GetUserRequest { user_id: grace.clone() }).await.unwrap_err();
    assert_eq!((status.code(), slug(&status).as_str()), (Code::NotFound, "not-found"));
    let asked = GetPermissionsRequest { user_id: grace.clone() };
    assert_eq!(door.get_permissions(asked.clone()).await.unwrap_err().code(), Code::NotFound);
    assert_eq!(slug(&door.list_users(next).await.unwrap_err()), "invalid-cursor");
    let bad = ListUsersRequest { limit: 1000, ..Default::default() };
    assert_eq!(acme.list_users(bad).await.unwrap_err().code(), Code::InvalidArgument);
    let status = acme.get_user(GetUserRequest { user_id: "grace".into() }).await.unwrap_err();
    assert_eq!(fields(&status), ["/userId"]);

    // A Member reads users; a role that grants nothing asks about itself alone.
    let role = json!({ "name": "Nothing", "permissions": [] });
    let role = owner.post("/api/v1/roles", role).await.expect(201).id();
    owner.post(&format!("/api/v1/users/{grace}/roles"), json!({ "roleIds": [role] })).await.expect(200);
    let mut nobody = iam(&kernel, &owner.sign_in("grace@acme.example", "tandem-gravel-42-owl").await);
    assert_eq!(nobody.get_permissions(asked).await.unwrap().into_inner().permissions.len(), 0);
    let owners = GetPermissionsRequest { user_id: registered["user"]["id"].as_str().unwrap().into() };
    assert_eq!(nobody.get_permissions(owners).await.unwrap_err().code(), Code::PermissionDenied);
    assert_eq!(
        nobody.list_users(ListUsersRequest::default()).await.unwrap_err().code(),
        Code::PermissionDenied
    );
    kernel.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_authority_names_the_sandbox_or_the_metadata_does() {
    let kernel = Kernel::empty().await;
    let body = json!({ "name": "acme", "template": "empty" });
    kernel.operator().post("/api/v1/sandboxes", body).await.expect(201);
    let (there, _) = kernel.api().sandbox("acme").register("Acme Tools").await;
    let list = ListUsersRequest::default;

    let mut by_host = iam_at(channel(kernel.url(), "acme.localhost"), there.token());
    assert_eq!(by_host.list_users(list()).await.unwrap().into_inner().users.len(), 1);
    let mut by_name = iam_at(channel(kernel.url(), "localhost"), there.token());
    let mut asked = Request::new(list());
    asked.metadata_mut().insert("x-kernel-sandbox", "acme".parse().unwrap());
    assert_eq!(by_name.list_users(asked).await.unwrap().into_inner().users.len(), 1);
    assert_eq!(
        by_name.list_users(list()).await.unwrap_err().code(),
        Code::Unauthenticated,
        "a token of acme"
    );
    let mut nowhere = iam_at(channel(kernel.url(), "nowhere.localhost"), there.token());
    let status = nowhere.list_users(list()).await.unwrap_err();
    assert_eq!((status.code(), slug(&status).as_str()), (Code::NotFound, "not-found"));
    kernel.close().await;
}
