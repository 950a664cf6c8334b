//! Mails that show whose an address is.

use serde_json::{Value, json};
use testkit::{Api, DEMO_OWNER, DEMO_PASSWORD, Kernel};

use crate::support::{advance, event, eventually, mail_to, token_in};

async fn verified(api: &Api) -> bool {
    api.get("/api/v1/auth/me").await.expect(200).body["user"]["emailVerified"] == true
}

#[tokio::test]
async fn a_verification_mail_is_read_in_the_outbox_and_followed_once() {
    let kernel = Kernel::demo().await;
    let (owner, registered) = kernel.api().register("Acme Tools").await;
    let address = registered["user"]["email"].as_str().unwrap();
    assert!(!verified(&owner).await);

    let mail = mail_to(&owner, address).await;
    assert_eq!(
        (&mail["private"], &mail["status"], &mail["template"]),
        (&json!(true), &json!("captured"), &json!("iam.verify-email"))
    );
    let port = kernel.url().rsplit(':').next().unwrap();
    let link = format!("http://localhost:{port}/verify-email#token=");
    assert!(mail["html"].as_str().unwrap().contains(&format!("href=\"{link}")), "{mail}");
    let names: Vec<&str> =
        mail["headers"].as_array().unwrap().iter().map(|h| h["name"].as_str().unwrap()).collect();
    for name in ["From", "To", "Subject", "Date", "Message-ID", "Content-Type"] {
        assert!(names.contains(&name), "{name} is not among {names:?}");
    }
    let page = owner.stranger().get("/verify-email").await.expect(200);
    assert!(
        page.text.contains("<script>")
            && page.headers["content-security-policy"].to_str().unwrap().contains("sha256-")
    );

    let token = token_in(&mail);
    let follow =
        async |token: &str| kernel.api().post("/api/v1/auth/verify-email", json!({ "token": token })).await;
    let bent = format!("{}x", &token[..token.len() - 1]);
    for bad in ["", "nonsense", bent.as_str()] {
        let refused = follow(bad).await.expect_problem(400, "validation-error");
        assert_eq!(refused.body["errors"][0]["field"], "/token");
    }
    assert_eq!(follow(&token).await.expect(200).body, json!({ "emailVerified": true }));
    assert!(verified(&owner).await);
    follow(&token).await.expect_problem(400, "validation-error");

    let told = event(&owner, "auth", "auth.user.updated").await;
    assert_eq!(told["data"]["changed"], json!(["emailVerified"]));
    let trail = owner.get("/api/v1/audit/records?action=user.email_verified").await.expect(200);
    assert_eq!(trail.data().len(), 1);
    kernel.close().await;
}

#[tokio::test]
async fn nobody_reads_another_members_verification_link() {
    let kernel = Kernel::demo().await;
    let (owner, _) = kernel.api().register("Acme Tools").await;
    let password = "correct horse battery";
    let member = json!({ "email": "mia@acme.example", "name": "Mia", "password": password });
    owner.post("/api/v1/users", member).await.expect(201);
    let mia = owner.sign_in("mia@acme.example", password).await;

    let hers = mail_to(&mia, "mia@acme.example").await;
    assert_eq!(hers["template"], "iam.verify-email");
    let path = format!("/api/v1/sandbox/outbox/{}", hers["id"].as_str().unwrap());
    // The Owner may do everything in the tenant, and does not see it.
    owner.get(&path).await.expect_problem(404, "not-found");
    let listed = owner.get("/api/v1/sandbox/outbox?limit=100").await.expect(200);
    assert!(listed.data().iter().all(|mail| mail["to"] != "mia@acme.example"), "{}", listed.text);
    kernel.operator().get(&path).await.expect(200);
    let elsewhere = kernel.api().sign_in(DEMO_OWNER, DEMO_PASSWORD).await;
    elsewhere.get(&path).await.expect_problem(404, "not-found");
    kernel.api().get(&path).await.expect_problem(401, "unauthorized");

    // What lies in the database is sealed.
    let mut sql = kernel.admin_sql("pk_default").await;
    let row: String = sqlx::query_scalar("select string_agg(o::text, ' ') || (select coalesce(string_agg(j::text, ' '), '') from kernel.job j) from notify.outbox o")
        .fetch_one(&mut sql)
        .await
        .unwrap();
    assert!(!row.contains("ev_"), "{row}");
    kernel.close().await;
}

#[tokio::test]
async fn asking_for_a_mail_never_tells_whether_an_address_exists() {
    let kernel = Kernel::demo().await;
    let (owner, registered) = kernel.api().register("Acme Tools").await;
    let address = registered["user"]["email"].as_str().unwrap();
    let stranger = kernel.api();
    for path in ["/api/v1/auth/request-verify-email", "/api/v1/auth/request-reset"] {
        let known = stranger.post(path, json!({ "email": address })).await.expect(202);
        let unknown = stranger.post(path, json!({ "email": "nobody@nowhere.example" })).await.expect(202);
        assert_eq!(known.body, unknown.body);
        stranger.post(path, json!({ "email": "no address" })).await.expect_problem(400, "validation-error");
    }
    stranger
        .post("/api/v1/auth/request-verify-email", json!({}))
        .await
        .expect_problem(400, "validation-error");

    // Three in an hour, however often somebody asks; that of the registration does not count.
    for _ in 0..5 {
        owner.post("/api/v1/auth/request-verify-email", json!({})).await.expect(202);
        let waiting = "select count(*) from kernel.job where kind like 'iam.%' or kind like 'notify.%'";
        eventually("all mails are out", async || {
            let mut sql = kernel.admin_sql("pk_default").await;
            let left: i64 = sqlx::query_scalar(waiting).fetch_one(&mut sql).await.unwrap();
            (left == 0).then_some(())
        })
        .await;
    }
    let operator = kernel.operator();
    let all = operator.get(&format!("/api/v1/sandbox/outbox?to={address}&limit=100")).await.expect(200);
    let of = |template: &str| all.data().iter().filter(|mail| mail["template"] == template).count();
    assert_eq!((of("iam.verify-email"), of("iam.reset-password")), (4, 1), "{}", all.text);
    let nobody = operator.get("/api/v1/sandbox/outbox?to=nobody@nowhere.example").await.expect(200);
    assert!(nobody.data().is_empty());
    kernel.close().await;
}

async fn reset_mail(operator: &Api, address: &str) -> Value {
    eventually("the reset mail", async || {
        let list = operator.get(&format!("/api/v1/sandbox/outbox?to={address}")).await.expect(200);
        let id = list.data().iter().find(|mail| mail["template"] == "iam.reset-password")?["id"].clone();
        Some(operator.get(&format!("/api/v1/sandbox/outbox/{}", id.as_str().unwrap())).await.expect(200).body)
    })
    .await
}

#[tokio::test]
async fn a_forgotten_password_is_set_anew_and_every_session_ends() {
    let kernel = Kernel::demo().await;
    let (owner, registered) = kernel.api().register("Acme Tools").await;
    let address = registered["user"]["email"].as_str().unwrap();
    let operator = kernel.operator();
    kernel
        .api()
        .post("/api/v1/auth/request-reset", json!({ "email": address.to_uppercase() }))
        .await
        .expect(202);
    let mail = reset_mail(&operator, address).await;
    // A session is not enough to read it: it must not become a password.
    let path = format!("/api/v1/sandbox/outbox/{}", mail["id"].as_str().unwrap());
    owner.get(&path).await.expect_problem(404, "not-found");

    let token = token_in(&mail);
    let set = async |password: &str| {
        let body = json!({ "token": token, "newPassword": password });
        kernel.api().post("/api/v1/auth/reset-password", body).await
    };
    let weak = set("short").await.expect_problem(400, "validation-error");
    assert_eq!(weak.body["errors"][0]["field"], "/newPassword");
    assert_eq!(set("tandem-gravel-42-owl").await.expect(200).body["sessionsEnded"], 1);
    // Within a second: the gateway remembers a credential for a moment.
    eventually("the session is over", async || {
        (owner.get("/api/v1/auth/me").await.status == 401).then_some(())
    })
    .await;
    set("another-gravel-42-owl").await.expect_problem(400, "validation-error");
    let again = kernel.api().sign_in(address, "tandem-gravel-42-owl").await;
    assert!(verified(&again).await, "whoever read the mail owns the address");
    let trail = again.get("/api/v1/audit/records?action=user.password_reset").await.expect(200);
    assert_eq!(trail.data().len(), 1);
    kernel.close().await;
}

#[tokio::test]
async fn a_link_for_a_new_password_ends_when_the_password_is_changed() {
    let kernel = Kernel::demo().await;
    let (owner, registered) = kernel.api().register("Acme Tools").await;
    let address = registered["user"]["email"].as_str().unwrap();
    kernel.api().post("/api/v1/auth/request-reset", json!({ "email": address })).await.expect(202);
    let token = token_in(&reset_mail(&kernel.operator(), address).await);
    let change = json!({ "currentPassword": "correct horse battery", "newPassword": "tandem-gravel-42-owl" });
    owner.post("/api/v1/auth/change-password", change).await.expect(200);
    let reset = json!({ "token": token, "newPassword": "another-gravel-42-owl" });
    kernel.api().post("/api/v1/auth/reset-password", reset).await.expect_problem(400, "validation-error");
    kernel.api().sign_in(address, "tandem-gravel-42-owl").await;
    kernel.close().await;
}

#[tokio::test]
async fn tokens_end_on_the_sandboxs_clock() {
    let kernel = Kernel::demo().await;
    let (owner, registered) = kernel.api().register("Acme Tools").await;
    let mail = mail_to(&owner, registered["user"]["email"].as_str().unwrap()).await;
    advance(&kernel, 24 * 3600 + 1).await;
    let body = json!({ "token": token_in(&mail) });
    kernel.api().post("/api/v1/auth/verify-email", body).await.expect_problem(400, "validation-error");
    kernel.close().await;
}
