use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use testkit::{Answer, Kernel, KernelOptions, within};

use crate::{empty, make, opens, show};

/// The answer, if it refuses this field.
#[track_caller]
fn refuses(answer: Answer, field: &str) {
    let answer = answer.expect_problem(400, "validation-error");
    assert_eq!(answer.body["errors"][0]["field"], field, "{}", answer.text);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_can_not_be_made_is_refused_with_the_field_and_leaves_nothing() {
    let kernel = Kernel::start(empty()).await;
    let operator = kernel.operator();
    let long = "a".repeat(41);
    let names =
        ["", "Acme", "a_b", "-a", "a-", "a--b.c", "a b", "ä", "localhost", "api", "www", "sandbox", &long];
    for name in names {
        refuses(
            operator.post("/api/v1/sandboxes", json!({ "name": name, "template": "empty" })).await,
            "/name",
        );
        refuses(operator.post("/api/v1/sandboxes/default/fork", json!({ "name": name })).await, "/name");
    }
    for template in ["nothing", "Demo", "", "../demo", "/etc/passwd"] {
        let body = json!({ "name": "acme", "template": template });
        refuses(operator.post("/api/v1/sandboxes", body).await, "/template");
    }
    for seconds in [json!(0), json!(400_000_000), json!(u64::MAX)] {
        let body = json!({ "name": "acme", "template": "empty", "expiresInSeconds": seconds });
        refuses(operator.post("/api/v1/sandboxes", body).await, "/expiresInSeconds");
        let body = json!({ "name": "acme", "expiresInSeconds": seconds });
        refuses(operator.post("/api/v1/sandboxes/default/fork", body).await, "/expiresInSeconds");
    }
    for (body, field) in [
        (json!({ "template": "empty" }), "/name"),
        (json!({ "name": 7 }), "/name"),
        (json!({ "name": "acme", "expiresInSeconds": "soon" }), "/expiresInSeconds"),
        (json!({ "name": "acme", "size": "large" }), "/size"),
    ] {
        refuses(operator.post("/api/v1/sandboxes", body).await, field);
    }
    for taken in ["default"] {
        let body = json!({ "name": taken, "template": "empty" });
        operator.post("/api/v1/sandboxes", body).await.expect_problem(409, "already-exists");
    }
    for name in ["ghost", "Ghost", "a_b", &long] {
        let at = format!("/api/v1/sandboxes/{name}");
        operator.get(&at).await.expect_problem(404, "not-found");
        operator.delete(&at).await.expect_problem(404, "not-found");
        operator.post(&format!("{at}/reset"), json!({})).await.expect_problem(404, "not-found");
        operator
            .post(&format!("{at}/fork"), json!({ "name": "acme" }))
            .await
            .expect_problem(404, "not-found");
        let soon = json!({ "expiresInSeconds": 60 });
        operator.post(&format!("{at}/expire"), soon).await.expect_problem(404, "not-found");
    }
    refuses(operator.get("/api/v1/sandboxes?limit=0").await, "limit");
    let soon = json!({ "expiresInSeconds": 60 });
    operator.post("/api/v1/sandboxes/default/expire", soon).await.expect_problem(409, "invalid-state");

    let all = operator.get("/api/v1/sandboxes").await.expect(200);
    assert_eq!(all.data().len(), 1, "{}", all.text);
    kernel.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_but_the_operator_handles_sandboxes() {
    let kernel = Kernel::start(empty()).await;
    let (owner, _) = kernel.api().register("Acme Tools").await;
    let body = json!({ "name": "mine", "template": "empty" });
    kernel.api().post("/api/v1/sandboxes", body.clone()).await.expect_problem(401, "unauthorized");
    kernel.api().with("ok_wrong").get("/api/v1/sandboxes").await.expect_problem(401, "unauthorized");
    owner.post("/api/v1/sandboxes", body).await.expect_problem(403, "forbidden");
    owner.get("/api/v1/sandboxes").await.expect_problem(403, "forbidden");
    owner.delete("/api/v1/sandboxes/default").await.expect_problem(403, "forbidden");
    owner.post("/api/v1/operator/links", json!({})).await.expect_problem(403, "forbidden");
    kernel.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_of_sandboxes_goes_on_where_the_page_before_ended() {
    let kernel = Kernel::start(empty()).await;
    for name in ["a1", "b2", "c3", "d4"] {
        make(&kernel, name).await;
    }
    let (mut seen, mut at) = (Vec::new(), "/api/v1/sandboxes?limit=2".to_owned());
    loop {
        let page = kernel.operator().get(&at).await.expect(200);
        assert!(page.data().len() <= 2);
        seen.extend(page.data().iter().map(|one| one["name"].as_str().unwrap().to_owned()));
        let Some(next) = page.body["meta"]["cursor"].as_str() else { break };
        at = format!("/api/v1/sandboxes?limit=2&cursor={next}");
    }
    assert_eq!(seen, ["a1", "b2", "c3", "d4", "default"]);
    kernel.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sandbox_is_shown_reset_and_forked() {
    let kernel = Kernel::start(empty()).await;
    let made = make(&kernel, "acme").await.body;
    assert_eq!((&made["state"], &made["awake"]), (&json!("ready"), &json!(false)));
    assert_eq!((&made["template"], &made["generation"]), (&json!("empty"), &json!(1)));
    assert!(made["url"].as_str().unwrap().starts_with("http://acme.localhost:"), "{made}");
    assert_eq!((&made["source"], &made["expiresAt"]), (&Value::Null, &Value::Null));

    let acme = kernel.api().sandbox("acme");
    let (owner, registered) = acme.register("Acme Tools").await;
    let email = registered["user"]["email"].as_str().unwrap();
    assert_eq!(show(&kernel, "acme").await.expect(200).body["awake"], true);

    let body = json!({ "name": "copy", "expiresInSeconds": 3600 });
    let copy = kernel.operator().post("/api/v1/sandboxes/acme/fork", body).await.expect(201).body;
    assert_eq!((&copy["source"], &copy["generation"]), (&json!("acme"), &json!(1)));
    assert!(copy["expiresAt"].is_string());
    acme.sandbox("copy").sign_in(email, "correct horse battery").await;
    owner.get("/api/v1/auth/me").await.expect(200);
    let taken = json!({ "name": "copy" });
    let again = kernel.operator().post("/api/v1/sandboxes/acme/fork", taken).await;
    again.expect_problem(409, "already-exists");

    let reset = kernel.operator().post("/api/v1/sandboxes/acme/reset", json!({})).await.expect(200).body;
    assert_eq!((&reset["generation"], &reset["state"]), (&json!(2), &json!("ready")));
    owner.get("/api/v1/auth/me").await.expect_problem(401, "unauthorized");
    acme.sandbox("copy").sign_in(email, "correct horse battery").await;

    let never = json!({ "expiresInSeconds": null });
    let kept = kernel.operator().post("/api/v1/sandboxes/copy/expire", never).await.expect(200).body;
    assert_eq!(kept["expiresAt"], Value::Null);
    kernel.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeated_create_with_its_key_makes_one_sandbox() {
    let kernel = Kernel::start(empty()).await;
    let key = uuid::Uuid::now_v7().to_string();
    let create = async |name: &str| {
        let body = json!({ "name": name, "template": "empty" });
        let headers = [("idempotency-key", key.as_str())];
        kernel.operator().send(Method::POST, "/api/v1/sandboxes", Some(body), &headers).await
    };
    let first = create("once").await.expect(201);
    assert!(!first.headers.contains_key("idempotent-replayed"));
    let second = create("once").await.expect(201);
    assert_eq!(second.headers["idempotent-replayed"], "true");
    assert_eq!(first.body, second.body);
    create("twice").await.expect_problem(422, "idempotency-key-reused");
    show(&kernel, "twice").await.expect_problem(404, "not-found");
    let without = json!({ "name": "once", "template": "empty" });
    kernel.operator().post("/api/v1/sandboxes", without).await.expect_problem(409, "already-exists");
    kernel.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_creates_of_one_name_one_wins() {
    let kernel = Kernel::start(empty()).await;
    for round in 0..3 {
        let name = format!("wanted{round}");
        let asked = (0..6).map(|_| {
            let (operator, body) = (kernel.operator(), json!({ "name": name, "template": "empty" }));
            async move { operator.post("/api/v1/sandboxes", body).await }
        });
        let answers = futures::future::join_all(asked).await;
        let won = answers.iter().filter(|answer| answer.status == 201).count();
        assert_eq!(won, 1, "{answers:?}");
        for lost in answers.into_iter().filter(|answer| answer.status != 201) {
            lost.expect_problem(409, "already-exists");
        }
        opens(&kernel, &name).await;
    }
    kernel.close().await;
}

/// Sends a request and hangs up as soon as the sandbox can be seen on its way. Whether that came before the answer.
async fn hung_up(kernel: &Kernel, name: &str, request: reqwest::RequestBuilder, resting: &str) -> bool {
    let asked = tokio::spawn(request.send());
    while !asked.is_finished() && state(kernel, name).await == resting {}
    asked.abort();
    asked.await.is_err_and(|error| error.is_cancelled())
}

/// `none` where there is no such sandbox.
async fn state(kernel: &Kernel, name: &str) -> String {
    let shown = show(kernel, name).await;
    if shown.status == 404 {
        return "none".to_owned();
    }
    shown.expect(200).body["state"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_who_goes_away_leaves_no_half_of_a_sandbox() {
    let kernel = Kernel::start(empty()).await;
    let settles = async |name: &str, states: &[&str]| {
        within(Duration::from_secs(20), "the sandbox comes to rest", async || {
            let state = state(&kernel, name).await;
            states.contains(&&*state).then_some(state)
        })
        .await
    };
    let mut cut = [0, 0, 0];
    // Where the machine is quick, the answer wins now and then.
    for round in 0..40 {
        if cut.iter().all(|times| *times >= 3) {
            break;
        }
        let (name, operator) = (format!("left{round}"), kernel.operator());
        let body = json!({ "name": name, "template": "empty" });
        let create = operator.raw(Method::POST, "/api/v1/sandboxes").json(&body);
        cut[0] += usize::from(hung_up(&kernel, &name, create, "none").await);
        settles(&name, &["ready"]).await;
        opens(&kernel, &name).await;

        let reset = operator.raw(Method::POST, &format!("/api/v1/sandboxes/{name}/reset")).json(&json!({}));
        cut[1] += usize::from(hung_up(&kernel, &name, reset, "ready").await);
        settles(&name, &["ready"]).await;
        opens(&kernel, &name).await;

        let delete = operator.raw(Method::DELETE, &format!("/api/v1/sandboxes/{name}"));
        cut[2] += usize::from(hung_up(&kernel, &name, delete, "ready").await);
        if settles(&name, &["ready", "none"]).await == "ready" {
            opens(&kernel, &name).await;
        }
    }
    assert!(cut.iter().all(|times| *times > 0), "creates, resets and deletes that were cut: {cut:?}");
    kernel.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_record_of_a_fresh_sandbox_is_found_by_its_key() {
    let kernel = Kernel::start(KernelOptions::default()).await;
    let mut admin = kernel.admin_sql("pk_default").await;
    let plan: Vec<String> = sqlx::query_scalar(
        "explain select * from module_crm.contacts
         where tenant_id = '00000000-0000-7000-0000-000000000001' and deleted_at is null
           and id = '0198f0c4-7d55-7e10-8d4d-6b9c5f3e2a10'",
    )
    .fetch_all(&mut admin)
    .await
    .unwrap();
    // Without statistics all indexes seem equally good.
    assert!(plan.iter().any(|step| step.contains("using contacts_pkey")), "{plan:#?}");
    kernel.close().await;
}
