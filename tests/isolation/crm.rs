//! The example module, which both tenants have installed.

use axum::http::Method;
use ports::http::Operation;
use serde_json::{Value, json};
use testkit::Api;

/// Its models, in the order in which they refer to each other.
pub const MODELS: [&str; 3] = ["companies", "contacts", "deals"];

/// Registers the module in a sandbox.
pub async fn register(operator: &Api) {
    let manifest: Value = serde_json::from_str(crm_example::MANIFEST).unwrap();
    let migrations: Vec<Value> =
        crm_example::MIGRATIONS.iter().map(|(file, sql)| json!({ "file": file, "sql": sql })).collect();
    let bundle = json!({ "manifest": manifest, "migrations": migrations });
    operator.post("/api/v1/modules", bundle).await.expect(201);
}

/// A record of a model that refers to these records of the models before it.
pub fn record(model: &str, mark: &str, number: usize, earlier: &[String]) -> Value {
    match model {
        "companies" => json!({
            "name": format!("{mark} works {number}"), "domain": format!("works{number}.{mark}.example"),
            "industry": format!("{mark} engines"), "street": format!("{mark} street 1"), "tags": [format!("{mark}-tag")],
            "notes": format!("a note of {mark}"), "employees": 40 + number,
        }),
        "contacts" => json!({
            "first_name": format!("Ada {mark}"), "last_name": "Lovelace", "company_id": earlier[0],
            "email": format!("ada{number}@{mark}.example"), "custom": { "secret": format!("kept by {mark}") },
        }),
        _ => json!({
            "company_id": earlier[0], "contact_id": earlier[1], "reference": format!("{mark}-{number}"),
            "title": format!("A deal of {mark}"), "amount": 1200, "stage": "qualified",
        }),
    }
}

/// A body for an operation on records: the table's example fits one model only.
pub fn body_for(operation: &Operation, template: &str) -> Option<Value> {
    let model = template.strip_prefix("/api/v1/data/crm/")?.split('/').next()?;
    operation.example?;
    if operation.method == Method::POST {
        let nobody = "00000000-0000-7000-8000-00000000000f".to_owned();
        return Some(record(model, "tried", 77, &[nobody.clone(), nobody]));
    }
    Some(match model {
        "companies" => json!({ "phone": "+44 20 0000" }),
        "contacts" => json!({ "phone": "+44 20 0000", "company_id": "00000000-0000-7000-8000-00000000000f" }),
        _ => json!({ "amount": 1, "contact_id": "00000000-0000-7000-8000-00000000000f" }),
    })
}
