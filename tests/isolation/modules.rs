//! Two tenants on one module: what one does with it is nothing to the other.

use serde_json::{Value, json};
use testkit::{Answer, Api};

use crate::{
    crm,
    report::{Fault, Report},
    stage::Stage,
};

const CASE: &str = "one module, two tenants";

async fn of_beta(stage: &Stage) -> Vec<Value> {
    let mut lists = Vec::new();
    for model in crm::MODELS {
        let list = stage.beta.owner.get(&format!("/api/v1/data/crm/{model}?limit=100&sort=id")).await;
        lists.push(list.expect(200).body["data"].clone());
    }
    lists
}

/// Alpha switches the module off, on, takes it out with all its data and installs it anew; Beta does not notice.
pub async fn one_module_two_tenants(stage: &Stage, report: &mut Report) {
    let mut beta = stage.beta.owner.clone();
    if beta.get("/api/v1/auth/me").await.status != 200 {
        beta = beta.sign_in(&stage.beta.email, crate::planting::PASSWORD).await;
    }
    let alpha = &stage.alpha.owner;
    imports_with_foreign_references(stage, &beta, report).await;
    let before = of_beta(stage).await;
    assert!(before.iter().all(|list| !list.as_array().unwrap().is_empty()), "Beta has records");
    let steps = [("disable", 404), ("enable", 200), ("uninstall?purge=true", 404), ("install", 200)];
    for (step, alphas_status) in steps {
        alpha.post(&format!("/api/v1/modules/crm/{step}"), json!({})).await.expect(200);
        alpha.get("/api/v1/data/crm/companies").await.expect(alphas_status);
        let unchanged = of_beta(stage).await == before;
        let told = format!("Beta's records were others after Alpha's {step}");
        report
            .tried(CASE, (!unchanged).then(|| Fault { case: CASE, at: step.to_owned(), told, leak: false }));
    }
    let left = alpha.get("/api/v1/data/crm/companies?deleted=with").await.expect(200);
    assert!(left.data().is_empty(), "what was purged stayed: {}", left.text);
    keys_of_modules(stage, &beta).await;
}

/// A module key works in its own tenant only, and not after the module was taken out of it.
async fn keys_of_modules(stage: &Stage, beta: &Api) {
    let of_alpha = stage.alpha.keys.iter().find(|key| key.starts_with("mk_")).expect("a module key");
    stage.stranger().with(of_alpha).get("/api/v1/data/crm/companies").await.expect(401);
    let of_beta = stage.beta.keys.iter().find(|key| key.starts_with("mk_")).expect("a module key");
    let seen =
        stage.stranger().with(of_beta).get("/api/v1/data/crm/companies?limit=100&sort=id").await.expect(200);
    let owners = beta.get("/api/v1/data/crm/companies?limit=100&sort=id").await.expect(200);
    assert_eq!(seen.body["data"], owners.body["data"]);
}

/// Lines that refer to another tenant's company are bad lines.
async fn imports_with_foreign_references(stage: &Stage, beta: &Api, report: &mut Report) {
    let company =
        stage.alpha.owner.get("/api/v1/data/crm/companies?limit=1").await.expect(200).data()[0]["id"].clone();
    let line = json!({ "company_id": company, "first_name": "Im", "last_name": "Port", "email": "import@here.example" });
    let request = beta
        .raw(axum::http::Method::POST, "/api/v1/data/crm/contacts/import")
        .header("content-type", "application/x-ndjson")
        .body(format!("{line}\n"));
    let response = request.send().await.unwrap();
    let (status, headers) = (response.status(), response.headers().clone());
    let text = response.text().await.unwrap();
    let answer =
        Answer { asked: "POST …/contacts/import".into(), status, headers, body: Value::Null, text };
    let refused = answer.status == 200 && answer.text.contains("\"failed\":1");
    let told = format!("{}: {}", answer.status, answer.text);
    report.tried(CASE, (!refused).then(|| Fault { case: CASE, at: answer.asked.clone(), told, leak: false }));
}
