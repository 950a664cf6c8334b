//! Alpha's ids in the bodies that Beta sends, and Alpha's values taken by somebody else.

use std::collections::BTreeMap;

use axum::http::Method;
use serde_json::Value;
use uuid::Uuid;

use crate::{
    knowledge::sent,
    planting::Tenant,
    report::{Fault, Report},
    requests::{Request, each, normal, post},
    routes::Address,
    stage::{Stage, id_in},
};

/// A body with one reference open.
struct Open {
    /// Every other reference is one of Beta's own things.
    body: Value,
    /// Where the open one stands.
    pointer: String,
}

impl Open {
    fn with(&self, id: Uuid) -> Value {
        let mut body = self.body.clone();
        *body.pointer_mut(&self.pointer).expect("the place is there") = Value::String(id.to_string());
        body
    }
}

/// Each reference of each body, and members that nobody may set, with Alpha's ids: refused as an id that never was is
/// refused, or without any effect on Alpha. The latter is what the snapshots show.
pub async fn ids_in_bodies(stage: &mut Stage, report: &mut Report) {
    const CASE: &str = "a foreign id in the body";
    let foreign = stage.alpha.knows.entities();
    let addresses: Vec<Address> = stage.addresses.clone();
    let takes_body = |address: &&Address| {
        let method = &address.operation.method;
        (method == Method::POST || method == Method::PATCH)
            && address.body.is_some()
            && !address.is_above_tenants()
            && !address.is_public()
    };
    for address in addresses.iter().filter(takes_body) {
        // What was just tried may have ended Beta's session.
        stage.revive_beta().await;
        let stage = &*stage;
        let ids = stage.beta.naturals(address);
        for open in bodies(stage, address).iter().flat_map(|body| opened(stage, body)) {
            let request = Request::to(address, &ids);
            let nobodys = Uuid::now_v7();
            let control = request.clone().saying(open.with(nobodys)).send(&stage.beta.owner).await;
            let (passes, control) = (control.status.is_success(), normal(&control, &nobodys.to_string()));
            let faults = each(&foreign, async |id| {
                let answer = request.clone().saying(open.with(*id)).send(&stage.beta.owner).await;
                let told_of = sent(ids.iter().copied().chain(foreign.iter().copied()));
                if let Some(told) = stage.alpha.knows.told_by(&answer, &told_of) {
                    return Some(Fault { case: CASE, at: address.label(), told, leak: true });
                }
                let got = normal(&answer, &id.to_string());
                let told =
                    format!("{} at {}: {got}; an id that never was: {control}", answer.asked, open.pointer);
                (!passes && got != control).then(|| Fault {
                    case: CASE,
                    at: address.label(),
                    told,
                    leak: false,
                })
            });
            report.tried_all(CASE, faults.await);
        }
    }
}

/// The example, and what Beta was planted with: that has references which examples leave out.
fn bodies(stage: &Stage, address: &Address) -> Vec<Value> {
    let mut bodies: Vec<Value> = address.body.iter().cloned().collect();
    let planted = stage.beta.planted.iter().filter(|planted| planted.path == address.template());
    if let Some(planted) =
        planted.max_by_key(|planted| planted.body.as_object().map_or(0, serde_json::Map::len))
    {
        // What is unique was taken when it was planted.
        let fresh = planted.body.to_string().replace(stage.beta.mark, "betaagain");
        bodies.push(serde_json::from_str(&fresh).expect("it was JSON before"));
    }
    bodies
}

/// The body once for each of its references, and once for each member that it must not have.
fn opened(stage: &Stage, body: &Value) -> Vec<Open> {
    let (own, pointers) = owned(&stage.beta, body);
    let mut opened: Vec<Open> =
        pointers.into_iter().map(|(pointer, _)| Open { body: own.clone(), pointer }).collect();
    if own.is_object() {
        opened.extend(
            ["id", "tenantId", "tenant_id"].into_iter().filter(|name| own.get(name).is_none()).map(|name| {
                let mut body = own.clone();
                body[name] = Value::Null;
                Open { body, pointer: format!("/{name}") }
            }),
        );
    }
    opened
}

/// The body with its references to things of the tenant, and where those stand.
pub fn owned(tenant: &Tenant, body: &Value) -> (Value, Vec<(String, String)>) {
    let mut pointers = Vec::new();
    references(body, "", "", &mut pointers);
    let mut own = body.clone();
    for (pointer, member) in &pointers {
        if let (Some(id), Some(place)) = (tenant.natural_member(member), own.pointer_mut(pointer)) {
            *place = Value::String(id.to_string());
        }
    }
    (own, pointers)
}

/// The places of references: members that hold ids or are called as if.
fn references(value: &Value, at: &str, member: &str, found: &mut Vec<(String, String)>) {
    match value {
        Value::String(text) => {
            let named = ["Id", "Ids", "_id", "_ids"].iter().any(|end| member.ends_with(end));
            if named || Uuid::try_parse(text).is_ok() {
                found.push((at.to_owned(), member.to_owned()));
            }
        }
        Value::Array(values) => {
            for (number, value) in values.iter().enumerate() {
                references(value, &format!("{at}/{number}"), member, found);
            }
        }
        Value::Object(members) => {
            for (name, value) in members {
                references(value, &format!("{at}/{name}"), name, found);
            }
        }
        _ => {}
    }
}

/// Operations whose values are unique beyond a tenant, and why.
const UNIQUE_BEYOND: [(&str, &str); 2] = [
    ("/api/v1/users", "an address has one account in the sandbox"),
    (
        "/api/v1/tenants",
        "a tenant's name in hosts is one in the sandbox, and its Owner's address has one account",
    ),
];

/// A third tenant does all that Alpha did, with the same values and the same idempotency keys: it gets what Alpha got,
/// things of its own.
pub async fn values_taken_again(stage: &mut Stage, report: &mut Report) {
    const CASE: &str = "a value that another tenant has";
    let (gamma, _) = stage.stranger().register("gammamark ltd").await;
    // What Alpha's things are called at the third tenant's.
    let mut own: BTreeMap<String, String> = BTreeMap::new();
    let renamed = |text: &str, own: &BTreeMap<String, String>| {
        own.iter().fold(text.to_owned(), |text, (alphas, gammas)| text.replace(alphas, gammas))
    };
    for planted in &stage.alpha.planted {
        let path = renamed(&planted.path, &own);
        let body: Value = serde_json::from_str(&renamed(&planted.body.to_string(), &own)).unwrap();
        let key = planted.key.to_string();
        let answer = post(&gamma, &path, &body, &key).await;
        let beyond = UNIQUE_BEYOND.iter().any(|(exempt, _)| *exempt == planted.path) && answer.status == 409;
        let replayed = answer.headers.contains_key("idempotent-replayed");
        let alphas = planted
            .id
            .as_deref()
            .and_then(|id| id.parse().ok())
            .is_some_and(|id| stage.alpha.knows.knows(&id));
        let same = alphas && id_in(&answer.body) == planted.id;
        let told = if replayed || same {
            Some(format!("Alpha's own answer came: {}", answer.text))
        } else if answer.status != planted.status && !beyond {
            Some(format!("{} instead of {}: {}", answer.status, planted.status, answer.text))
        } else {
            stage.alpha.knows.ids_told_by(&answer, &sent([planted.key]))
        };
        report.tried(
            CASE,
            told.map(|told| Fault {
                case: CASE,
                at: format!("POST {}", planted.path),
                told,
                leak: replayed || same,
            }),
        );
        if let (true, Some(alphas), Some(gammas)) = (alphas, &planted.id, id_in(&answer.body)) {
            own.insert(alphas.clone(), gammas);
        }
    }
    for (path, why) in UNIQUE_BEYOND {
        report.note(format!("POST {path} may refuse a value that another tenant has: {why}"));
    }
}
