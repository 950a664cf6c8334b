//! Beta asks for what is Alpha's: by ids in addresses and queries, by cursors, under Alpha's host, or by just listing.

use serde_json::json;
use testkit::Answer;
use uuid::Uuid;

use crate::{
    guards::Guards,
    knowledge::sent,
    references::owned,
    report::{Fault, Report},
    requests::{Request, each, normal},
    routes::Address,
    stage::Stage,
};

/// Ids of each place that are tried at every address.
const IDS_PER_PLACE: usize = 1;

/// A leak in an answer, or an answer that should not be.
fn looked_at(
    stage: &Stage,
    case: &'static str,
    at: &Address,
    answer: &Answer,
    ids: &[Uuid],
) -> Option<Fault> {
    let fault = |told, leak| Some(Fault { case, at: at.label(), told, leak });
    if let Some(told) = stage.alpha.knows.told_by(answer, &sent(ids.iter().copied())) {
        return fault(told, true);
    }
    // Nobody serves the example's back-end here.
    let away = at.template().starts_with("/api/v1/m/") && answer.status == 503;
    if answer.status.is_server_error() && !away {
        return fault(format!("{}: {}", answer.status, answer.text), false);
    }
    None
}

/// Every list, and every thing of Beta's own, as long as it can be made.
pub async fn lists_and_reads(stage: &mut Stage, report: &mut Report) {
    const CASE: &str = "lists and reads";
    stage.revive_beta().await;
    let stage = &*stage;
    let reads = stage.addresses.iter().filter(|address| address.only_tells());
    let faults = each(reads, async |address| {
        let long = address.parameters.iter().any(|(name, _)| name == "limit");
        let query = if long { "limit=100" } else { "" };
        let mut request = Request::with_query(address, &stage.beta.naturals(address), query);
        if let Some(body) = address.body.as_ref().filter(|_| address.is_rpc()) {
            request = request.saying(owned(&stage.beta, body).0);
        }
        let answer = request.send(&stage.beta.owner).await;
        looked_at(stage, CASE, address, &answer, &[])
    });
    report.tried_all(CASE, faults.await);
}

/// Each of Alpha's ids in each place of each address: the same answer as for an id that never was.
pub async fn ids_in_addresses(stage: &mut Stage, report: &mut Report) {
    const CASE: &str = "a foreign id in the address";
    stage.revive_beta().await;
    let stage = &*stage;
    let foreign = stage.alpha.knows.sample(IDS_PER_PLACE);
    report.note(format!(
        "{} ids of Alpha known, {} of them tried in every address",
        stage.alpha.knows.count(),
        foreign.len()
    ));
    // With neither guard a write would take away what the next request is to find.
    let tried = stage.addresses.iter().filter(|address| {
        !address.holes().is_empty()
            && !address.is_above_tenants()
            && (stage.guards != Guards::Neither || address.is_get())
    });
    let mut places = Vec::new();
    for address in tried {
        for place in 0..address.holes().len() {
            places.push((address, place));
        }
    }
    let faults = each(places, async |(address, place)| {
        let mut faults = Vec::new();
        let mut ids = stage.beta.naturals(address);
        let nobodys = Uuid::now_v7();
        ids[place] = nobodys;
        let control = Request::to(address, &ids).send(&stage.beta.owner).await;
        let control = normal(&control, &nobodys.to_string());
        let mut attempts: Vec<Vec<Uuid>> = foreign
            .iter()
            .map(|id| {
                ids[place] = *id;
                ids.clone()
            })
            .collect();
        // With all of its ids right, too; some, such as a module's, are the same for every tenant.
        let alphas = stage.alpha.naturals(address);
        if stage.alpha.knows.knows(&alphas[place]) {
            attempts.push(alphas);
        }
        for ids in attempts {
            let answer = Request::to(address, &ids).send(&stage.beta.owner).await;
            let fault = looked_at(stage, CASE, address, &answer, &ids).or_else(|| {
                let got = normal(&answer, &ids[place].to_string());
                let told = format!("{} answers {got}; an id that never was: {control}", answer.asked);
                (got != control).then(|| Fault { case: CASE, at: address.label(), told, leak: false })
            });
            faults.push(fault);
        }
        faults
    });
    report.tried_all(CASE, faults.await.into_iter().flatten());
}

/// Query parameters that name no thing.
const NO_REFERENCES: [&str; 12] = [
    "limit", "cursor", "count", "sort", "select", "format", "from", "to", "max", "deleted", "purge", "force",
];

/// Alpha's ids and word in every parameter of every query, and as filters of records.
pub async fn ids_in_queries(stage: &mut Stage, report: &mut Report) {
    const CASE: &str = "a foreign id in the query";
    stage.revive_beta().await;
    let stage = &*stage;
    let entities = stage.alpha.knows.entities();
    let mut attempts = Vec::new();
    for address in stage.addresses.iter().filter(|address| !address.is_above_tenants()) {
        let needed = address.needed();
        let names = address.parameters.iter().map(|(name, _)| name.as_str());
        for name in names.filter(|name| !NO_REFERENCES.contains(name) && !matches!(*name, "or" | "and")) {
            attempts.extend(entities.iter().map(|id| (address, *id, format!("{needed}&{name}={id}"))));
            attempts.push((address, Uuid::nil(), format!("{needed}&{name}={}", stage.alpha.mark)));
        }
        if address.filters_columns() {
            let by_id = entities.iter().flat_map(|id| {
                [format!("{needed}&id=eq.{id}"), format!("{needed}&or=(id.eq.{id},tenant_id.eq.{id})")]
                    .map(|query| (address, *id, query))
            });
            attempts.extend(by_id);
        }
    }
    let faults = each(attempts, async |(address, id, query)| {
        let query = query.trim_start_matches('&');
        let answer =
            Request::with_query(address, &stage.beta.naturals(address), query).send(&stage.beta.owner).await;
        looked_at(stage, CASE, address, &answer, &[id])
    });
    report.tried_all(CASE, faults.await);
}

/// The cursor of a list of Alpha's is of no use to Beta.
pub async fn cursors(stage: &mut Stage, report: &mut Report) {
    const CASE: &str = "a foreign cursor";
    stage.revive_beta().await;
    let stage = &*stage;
    let lists = stage.addresses.iter().filter(|address| {
        address.is_get()
            && !address.is_above_tenants()
            && address.parameters.iter().any(|(name, _)| name == "cursor")
    });
    let faults = each(lists, async |address| {
        let own = Request::with_query(address, &stage.alpha.naturals(address), "limit=1")
            .send(&stage.alpha.owner)
            .await;
        let cursor = own.body["meta"]["cursor"].as_str()?.to_owned();
        let query = format!("limit=1&cursor={cursor}");
        let answer =
            Request::with_query(address, &stage.beta.naturals(address), &query).send(&stage.beta.owner).await;
        let refused = answer.status == 400 && answer.text.contains("/problems/invalid-cursor");
        let told = format!("{}: {}", answer.status, answer.text);
        Some((!refused).then(|| Fault { case: CASE, at: address.label(), told, leak: false }))
    });
    report.tried_all(CASE, faults.await.into_iter().flatten());
}

/// Credentials and cursors of Alpha's in messages are of no use to Beta.
pub async fn credentials_in_messages(stage: &mut Stage, report: &mut Report) {
    const CASE: &str = "a foreign credential or cursor in a message";
    stage.revive_beta().await;
    let stage = &*stage;
    let input = |address: &Address, field: &str| {
        testkit::method(address.template()).input().get_field_by_name(field).is_some()
    };
    let methods = || stage.addresses.iter().filter(|address| address.is_rpc());
    let credentials = stage.alpha.keys.iter().map(String::as_str).chain([stage.alpha.owner.token()]);
    let mut attempts: Vec<(&Address, serde_json::Value)> = methods()
        .filter(|address| input(address, "token"))
        .flat_map(|address| credentials.clone().map(move |one| (address, json!({ "token": one }))))
        .collect();
    for address in methods().filter(|address| input(address, "cursor")) {
        let own = stage.alpha.owner.rpc(address.template(), &json!({ "limit": 1 })).await.expect(200);
        let cursor = own.body["nextCursor"].as_str().expect("Alpha has more than one");
        attempts.push((address, json!({ "limit": 1, "cursor": cursor })));
    }
    assert!(attempts.len() >= 4, "three credentials and a cursor at least");
    let faults = each(attempts, async |(address, message)| {
        let answer = stage.beta.owner.rpc(address.template(), &message).await;
        let refused = answer.status == 400 || (answer.status == 200 && answer.body["valid"] != true);
        let told = format!("{message}: {}", answer.text);
        let wrong = (!refused).then(|| Fault { case: CASE, at: address.label(), told, leak: false });
        looked_at(stage, CASE, address, &answer, &[]).or(wrong)
    });
    report.tried_all(CASE, faults.await);
}

/// Under Alpha's host, Beta's credential finds nothing.
pub async fn hosts(stage: &mut Stage, report: &mut Report) {
    const CASE: &str = "a foreign tenant's host";
    stage.revive_beta().await;
    let stage = &*stage;
    let host = format!("{}.default.localhost", stage.alpha.slug);
    stage.alpha.owner.on(&host).get("/api/v1/users").await.expect(200);
    let shut = stage.addresses.iter().filter(|address| !address.is_public() && !address.is_above_tenants());
    let there = stage.beta.owner.on(&host);
    let faults = each(shut, async |address| {
        let answer = Request::to(address, &stage.beta.naturals(address)).send(&there).await;
        let told = format!("{} instead of 404: {}", answer.status, answer.text);
        let wrong =
            (answer.status != 404).then(|| Fault { case: CASE, at: address.label(), told, leak: false });
        looked_at(stage, CASE, address, &answer, &[]).or(wrong)
    });
    report.tried_all(CASE, faults.await);
}
