//! Domains that tenants add, over HTTP, with a real name server on loopback.

#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, reason = "tests: a panic is a failed test")]

mod names;

use std::time::Duration;

use http::Method;
use kernel::ClockSetting;
use names::NameServer;
use serde_json::{Value, json};
use sqlx::PgConnection;
use testkit::{Api, Kernel, KernelOptions, until};

const DOMAINS: &str = "/api/v1/domains";
const PASSWORD: &str = "correct horse battery";

/// What a tenant is to its test.
struct Tenant {
    owner: Api,
    id: String,
    email: String,
}

struct Place {
    kernel: Kernel,
    names: NameServer,
    sql: PgConnection,
}

impl Place {
    async fn tenant(&self, name: &str) -> Tenant {
        let (owner, body) = self.kernel.api().register(name).await;
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        Tenant { owner, id: text(&body["tenant"]["id"]), email: text(&body["user"]["email"]) }
    }

    async fn add(&self, tenant: &Tenant, hostname: &str) -> Value {
        tenant.owner.post(DOMAINS, json!({ "hostname": hostname })).await.expect(201).body
    }

    /// Enters the proof of a domain.
    async fn prove(&self, domain: &Value) {
        let proof = &domain["instructions"]["proof"];
        self.names.enter(proof["name"].as_str().unwrap(), proof["value"].as_str().unwrap()).await;
    }

    async fn verified(&self, tenant: &Tenant, hostname: &str) -> Value {
        let domain = self.add(tenant, hostname).await;
        self.prove(&domain).await;
        let verified = tenant.owner.post(&format!("{}/verify", at(&domain)), json!({})).await.expect(200);
        assert_eq!(verified.body["status"], "verified", "{}", verified.text);
        verified.body
    }

    async fn told(&mut self, kind: &str, domain: &Value) -> i64 {
        sqlx::query_scalar(
            "select count(*) from (select type, key from kernel.outbox union all select type, key from kernel.event) e
             where type = $1 and key = $2",
        )
        .bind(kind)
        .bind(domain["id"].as_str().unwrap())
        .fetch_one(&mut self.sql)
        .await
        .unwrap()
    }

    async fn audited(&mut self, action: &str, domain: &Value) -> i64 {
        sqlx::query_scalar("select count(*) from kernel.audit_record where action = $1 and entity_id = $2")
            .bind(action)
            .bind(domain["id"].as_str().unwrap())
            .fetch_one(&mut self.sql)
            .await
            .unwrap()
    }

    /// Lets the sandbox's date go forward.
    async fn pass(&mut self, time: Duration) {
        let micros = i64::try_from(time.as_micros()).unwrap();
        let offset_micros: i64 = sqlx::query_scalar(
            "update kernel.clock set offset_micros = offset_micros + $1 returning offset_micros",
        )
        .bind(micros)
        .fetch_one(&mut self.sql)
        .await
        .unwrap();
        let cell = self.kernel.cell("default").await;
        cell.clock().adjust(ClockSetting { offset_micros, frozen_at: None });
    }

    async fn claims(&self) -> Vec<String> {
        let mut control = self.kernel.admin_sql("pk_control").await;
        sqlx::query_scalar("select hostname from control.hostname order by 1")
            .fetch_all(&mut control)
            .await
            .unwrap()
    }
}

fn at(domain: &Value) -> String {
    format!("{DOMAINS}/{}", domain["id"].as_str().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn names_that_tenants_add() {
    let names = NameServer::start().await;
    let options = KernelOptions::default()
        .with("KERNEL_TEMPLATE", "empty")
        .with("KERNEL_PUBLIC_URL", "https://kernel.platform.example")
        .with("KERNEL_DNS_RESOLVER", &names.address.to_string());
    let kernel = Kernel::start(options).await;
    let sql = kernel.owner_sql("default").await;
    let mut place = Place { kernel, names, sql };
    a_name_is_proven_and_leads_to_its_tenant(&mut place).await;
    a_proof_is_found_by_itself(&mut place).await;
    what_is_not_proven_in_time_fails(&mut place).await;
    a_name_belongs_to_one_tenant(&mut place).await;
    names_that_nobody_can_own_are_refused(&place).await;
    pages_of_a_domain_may_call_for_their_tenant(&place).await;
    a_name_goes_with_its_tenant(&mut place).await;
    a_copy_and_a_reset_sandbox_have_none(&place).await;
    place.kernel.close().await;
}

async fn a_name_is_proven_and_leads_to_its_tenant(place: &mut Place) {
    let acme = place.tenant("Acme").await;
    let domain = place.add(&acme, "Bücher.Acme.Example.").await;
    assert_eq!(domain["hostname"], "xn--bcher-kva.acme.example");
    assert_eq!(domain["status"], "pending");
    let token = domain["verificationToken"].as_str().unwrap();
    let instructions = json!({
        "proof": { "type": "TXT", "name": "_platform-verify.xn--bcher-kva.acme.example", "value": format!("verify-{token}") },
        "route": { "type": "CNAME", "name": "xn--bcher-kva.acme.example", "value": "kernel.platform.example" },
    });
    assert_eq!(domain["instructions"], instructions);
    let there = acme.owner.on("xn--bcher-kva.acme.example:8443");
    there.get("/api/v1/auth/me").await.expect_problem(404, "not-found");

    let verify = format!("{}/verify", at(&domain));
    let looked = acme.owner.post(&verify, json!({})).await.expect(200).body;
    assert_eq!(looked["status"], "pending");
    assert!(
        looked["lastLook"]["missing"].as_str().unwrap().starts_with("There is no TXT record at "),
        "{looked}"
    );
    place.names.enter("_platform-verify.xn--bcher-kva.acme.example", "verify-another").await;
    let looked = acme.owner.post(&verify, json!({})).await.expect(200).body;
    assert!(looked["lastLook"]["missing"].as_str().unwrap().contains("verify-another"), "{looked}");

    // The name server said "no" a moment ago: that is not remembered.
    place.prove(&domain).await;
    let looked = acme.owner.post(&verify, json!({})).await.expect(200).body;
    assert_eq!((&looked["status"], &looked["lastLook"]["missing"]), (&json!("verified"), &Value::Null));
    there.get("/api/v1/auth/me").await.expect(200);
    acme.owner.on("Xn--Bcher-KVA.acme.example.").get("/api/v1/auth/me").await.expect(200);
    // The host names the tenant: nobody else is let in there, and no header talks it out of its sandbox.
    let other = place.tenant("Other").await;
    other.owner.on("xn--bcher-kva.acme.example").get("/api/v1/auth/me").await.expect(404);
    let elsewhere =
        there.send(Method::GET, "/api/v1/auth/me", None, &[("x-kernel-sandbox", "elsewhere")]).await;
    elsewhere.expect_problem(404, "not-found");
    let hosts = acme.owner.get("/api/v1/domains/hosts").await.expect(200);
    assert!(hosts.data().contains(&json!({ "host": "xn--bcher-kva.acme.example", "namesTenant": true })));
    for kind in ["added", "verified", "activated"] {
        assert_eq!(place.told(&format!("domain.hostname.{kind}"), &domain).await, 1, "{kind}");
    }
    for action in ["domain.hostname.added", "domain.hostname.verified"] {
        assert_eq!(place.audited(action, &domain).await, 1, "{action}");
    }

    acme.owner.delete(&at(&domain)).await.expect(204);
    there.get("/api/v1/auth/me").await.expect_problem(404, "not-found");
    acme.owner.get(&at(&domain)).await.expect(404);
    assert_eq!(place.told("domain.hostname.removed", &domain).await, 1);
    assert!(place.claims().await.is_empty());
}

async fn a_proof_is_found_by_itself(place: &mut Place) {
    let tenant = place.tenant("Patient").await;
    let domain = place.add(&tenant, "patient.example").await;
    place.prove(&domain).await;
    place.pass(Duration::from_secs(31)).await;
    until("the job finds the proof", async || {
        tenant.owner.get(&at(&domain)).await.expect(200).body["status"] == "verified"
    })
    .await;
    tenant.owner.on("patient.example").get("/api/v1/auth/me").await.expect(200);
}

async fn what_is_not_proven_in_time_fails(place: &mut Place) {
    let mut tenant = place.tenant("Late").await;
    let domain = place.add(&tenant, "late.example").await;
    place.pass(Duration::from_secs(31)).await;
    until("the job looks", async || {
        tenant.owner.get(&at(&domain)).await.expect(200).body["lastLook"].is_object()
    })
    .await;
    let looked = tenant.owner.get(&at(&domain)).await.expect(200).body;
    assert_eq!(looked["status"], "pending");
    place.pass(Duration::from_secs(72 * 3600)).await;
    // Tokens end on the sandbox's clock, too.
    tenant.owner = tenant.owner.sign_in(&tenant.email, PASSWORD).await;
    until("it fails", async || tenant.owner.get(&at(&domain)).await.expect(200).body["status"] == "failed")
        .await;
    assert_eq!(place.told("domain.hostname.failed", &domain).await, 1);
    assert_eq!(place.audited("domain.hostname.failed", &domain).await, 1);
    // Somebody who comes late is not sent away.
    place.prove(&domain).await;
    let looked = tenant.owner.post(&format!("{}/verify", at(&domain)), json!({})).await.expect(200);
    assert_eq!(looked.body["status"], "verified");
}

async fn a_name_belongs_to_one_tenant(place: &mut Place) {
    let (first, second) = (place.tenant("First").await, place.tenant("Second").await);
    // Whoever only asked for it keeps nobody from it.
    let theirs = place.add(&second, "wanted.example").await;
    let mine = place.verified(&first, "wanted.example").await;
    first
        .owner
        .post(DOMAINS, json!({ "hostname": "WANTED.example" }))
        .await
        .expect_problem(409, "already-exists");
    let late = place.tenant("Third").await;
    let taken = late.owner.post(DOMAINS, json!({ "hostname": "wanted.example" })).await;
    taken.expect_problem(409, "already-exists");
    // In another sandbox, too.
    place
        .kernel
        .operator()
        .post("/api/v1/sandboxes", json!({ "name": "far", "template": "empty" }))
        .await
        .expect(201);
    let (far, _) = place.kernel.api().sandbox("far").register("Far").await;
    far.post(DOMAINS, json!({ "hostname": "wanted.example" })).await.expect_problem(409, "already-exists");

    place.prove(&theirs).await;
    let looked = second.owner.post(&format!("{}/verify", at(&theirs)), json!({})).await.expect(200);
    assert_eq!(looked.body["status"], "failed");
    first.owner.on("wanted.example").get("/api/v1/auth/me").await.expect(200);
    second.owner.on("wanted.example").get("/api/v1/auth/me").await.expect(404);
    first.owner.delete(&at(&mine)).await.expect(204);
    let looked = second.owner.post(&format!("{}/verify", at(&theirs)), json!({})).await.expect(200);
    assert_eq!(looked.body["status"], "verified");
    second.owner.on("wanted.example").get("/api/v1/auth/me").await.expect(200);
    second.owner.get(&at(&mine)).await.expect(404);
}

async fn names_that_nobody_can_own_are_refused(place: &Place) {
    let tenant = place.tenant("Greedy").await;
    for hostname in [
        "*.acme.example",
        "127.0.0.1",
        "[::1]",
        "com",
        "co.uk",
        "github.io",
        "localhost",
        "x.default.localhost",
        "kernel.platform.example",
        "x.kernel.platform.example",
        "https://acme.example",
        "",
    ] {
        let refused = tenant.owner.post(DOMAINS, json!({ "hostname": hostname })).await;
        let refused = refused.expect_problem(400, "validation-error");
        assert_eq!(refused.body["errors"][0]["field"], "/hostname", "{hostname}");
    }
}

async fn pages_of_a_domain_may_call_for_their_tenant(place: &Place) {
    let (tenant, other) = (place.tenant("Pages").await, place.tenant("Foreign").await);
    place.verified(&tenant, "pages.example").await;
    let headers = [("origin", "https://pages.example"), ("access-control-request-method", "POST")];
    let preflight = tenant.owner.stranger().send(Method::OPTIONS, DOMAINS, None, &headers).await.expect(204);
    assert_eq!(preflight.headers["access-control-allow-origin"], "https://pages.example");
    let foreign = [("origin", "https://foreign.example"), ("access-control-request-method", "POST")];
    tenant
        .owner
        .send(Method::OPTIONS, DOMAINS, None, &foreign)
        .await
        .expect_problem(403, "origin-not-allowed");
    for (api, readable) in [(&tenant.owner, true), (&other.owner, false)] {
        let answer = api.send(Method::GET, DOMAINS, None, &headers[..1]).await.expect(200);
        assert_eq!(answer.headers.contains_key("access-control-allow-origin"), readable);
    }
}

async fn a_name_goes_with_its_tenant(place: &mut Place) {
    let tenant = place.tenant("Leaving").await;
    place.verified(&tenant, "leaving.example").await;
    // What iam tells when a deleted tenant's 30 days are over.
    sqlx::query(
        "insert into kernel.outbox (id, tenant_id, topic, partition, key, type, source, data)
         values (kernel.new_id(), $1::uuid, 'platform.auth.events', kernel.partition_of($1), $1, 'auth.tenant.purged',
                 'iam', jsonb_build_object('tenantId', $1))",
    )
    .bind(tenant.id.clone())
    .execute(&mut place.sql)
    .await
    .unwrap();
    place.kernel.cell("default").await.db().note_written();
    until("the name is free", async || !place.claims().await.contains(&"leaving.example".to_owned())).await;
    tenant.owner.on("leaving.example").get("/api/v1/auth/me").await.expect(404);
}

async fn a_copy_and_a_reset_sandbox_have_none(place: &Place) {
    let operator = place.kernel.operator();
    operator.post("/api/v1/sandboxes", json!({ "name": "source", "template": "empty" })).await.expect(201);
    let api = place.kernel.api().sandbox("source");
    let (owner, body) = api.register("Copied").await;
    let tenant =
        Tenant { owner, id: String::new(), email: body["user"]["email"].as_str().unwrap().to_owned() };
    place.verified(&tenant, "copied.example").await;
    let there = tenant.owner.on("copied.example");
    there.get("/api/v1/auth/me").await.expect(200);

    operator.post("/api/v1/sandboxes/source/fork", json!({ "name": "copy" })).await.expect(201);
    let at_copy = place.kernel.api().sandbox("copy").sign_in(&tenant.email, PASSWORD).await;
    assert!(at_copy.get(DOMAINS).await.expect(200).data().is_empty());
    at_copy.on("copied.example").get("/api/v1/auth/me").await.expect(401);
    let at_source = api.sign_in(&tenant.email, PASSWORD).await;
    at_source.on("copied.example").get("/api/v1/auth/me").await.expect(200);

    operator.post("/api/v1/sandboxes/source/reset", json!({})).await.expect(200);
    assert!(!place.claims().await.contains(&"copied.example".to_owned()));
    until("the name leads nowhere", async || there.stranger().get("/api/v1/domains").await.status == 404)
        .await;
    let (far, _) = place.kernel.api().sandbox("copy").register("Next").await;
    let next = Tenant { owner: far, id: String::new(), email: String::new() };
    let domain = place.add(&next, "copied.example").await;
    assert_eq!(domain["status"], "pending");
    place.prove(&domain).await;
    next.owner.post(&format!("{}/verify", at(&domain)), json!({})).await.expect(200);
    assert!(place.claims().await.contains(&"copied.example".to_owned()));
    operator.delete("/api/v1/sandboxes/copy").await.expect(204);
    assert!(!place.claims().await.contains(&"copied.example".to_owned()));
}
