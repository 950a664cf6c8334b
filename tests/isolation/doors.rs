//! Every route × no credential, a credential of another sandbox, no permission, no rank.

use axum::http::StatusCode;
use testkit::{Answer, Api};
use uuid::Uuid;

use crate::{
    knowledge::sent,
    report::{Fault, Report},
    requests::{Request, each},
    routes::Address,
    stage::{SANDBOX, Stage},
};

/// Counters, which programs of this machine may read without a credential; nothing in them is a tenant's.
const OPEN_TO_THIS_MACHINE: [&str; 1] = ["getMetrics"];

fn for_this_machine(address: &Address) -> bool {
    OPEN_TO_THIS_MACHINE.contains(&address.operation.id)
}

/// A fault unless the answer has this status.
fn expected(case: &'static str, address: &Address, answer: &Answer, status: StatusCode) -> Option<Fault> {
    let told = format!("{} instead of {status}: {}", answer.status, answer.text);
    (answer.status != status).then(|| Fault { case, at: address.label(), told, leak: false })
}

pub async fn without_a_credential(stage: &Stage, report: &mut Report) {
    const CASE: &str = "no credential";
    let bad = [
        "",
        "nonsense",
        "eyJhbGciOiJub25lIn0.eyJzdWIiOiIxIn0.",
        "pk_abcdefgh_nothing",
        "mk_abcdefgh_nothing",
        "ok_nothing",
    ];
    let shut = stage.addresses.iter().filter(|address| !address.is_public() && !for_this_machine(address));
    let attempts = shut.flat_map(|address| bad.map(|credential| (address, credential)));
    let faults = each(attempts, async |(address, credential)| {
        let api = if credential.is_empty() { stage.stranger() } else { stage.stranger().with(credential) };
        let answer = Request::to(address, &stage.alpha.naturals(address)).send(&api).await;
        expected(CASE, address, &answer, StatusCode::UNAUTHORIZED)
    });
    report.tried_all(CASE, faults.await);

    const OPEN: &str = "an open route tells nothing";
    let open = stage.addresses.iter().filter(|address| address.is_public() || for_this_machine(address));
    let faults = each(open, async |address| {
        let ids = stage.alpha.naturals(address);
        let answer = Request::to(address, &ids).send(&stage.stranger()).await;
        let leak = stage.alpha.knows.told_by(&answer, &sent(ids));
        let broken = answer.status.is_server_error().then(|| answer.text.clone());
        let is_leak = leak.is_some();
        leak.or(broken).map(|told| Fault { case: OPEN, at: address.label(), told, leak: is_leak })
    });
    report.tried_all(OPEN, faults.await);

    // Addresses of the process, before any sandbox's table.
    for (path, status) in
        [("/health/live", 200), ("/live", 200), ("/health/ready", 200), ("/ready", 200), ("/health", 401)]
    {
        for api in [stage.stranger(), stage.beta.owner.clone()] {
            let answer = api.get(path).await.expect(status);
            assert_eq!(stage.alpha.knows.told_by(&answer, &sent([])), None);
        }
    }
}

pub async fn with_a_credential_of_another_sandbox(stage: &Stage, report: &mut Report) {
    const CASE: &str = "a credential of another sandbox";
    let made = serde_json::json!({ "name": "elsewhere", "template": "empty" });
    stage.kernel.operator().post("/api/v1/sandboxes", made).await.expect(201);
    let mut credentials = stage.alpha.keys.clone();
    credentials.push(stage.alpha.owner.token().to_owned());
    assert_eq!(credentials.len(), 3, "an API key, a module key and an access token");
    let there = stage.stranger().sandbox("elsewhere");
    let shut: Vec<&Address> =
        stage.addresses.iter().filter(|address| !address.is_public() && !for_this_machine(address)).collect();
    let attempts =
        shut.iter().flat_map(|address| credentials.iter().map(move |credential| (address, credential)));
    let faults = each(attempts, async |(address, credential)| {
        let request = Request::to(address, &stage.alpha.naturals(address));
        let answer = request.send(&there.with(credential)).await;
        expected(CASE, address, &answer, StatusCode::UNAUTHORIZED)
    });
    report.tried_all(CASE, faults.await);
    // At home the same credentials are good.
    for credential in &credentials {
        let answer = stage.stranger().with(credential).get("/api/v1/modules/active").await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
    }
    assert_ne!(SANDBOX, "elsewhere");
}

pub async fn without_the_permission(stage: &Stage, report: &mut Report) {
    const CASE: &str = "no permission";
    let by_role = |address: &&Address| {
        let by_module = address.template().starts_with("/api/v1/m/") && address.is_get();
        address.is_by_permission() || (address.is_above_tenants() && !for_this_machine(address)) || by_module
    };
    // Neither the look-up nor the body may come before the permission: whatever is asked for, the answer is the same.
    let attempts = stage.addresses.iter().filter(by_role).flat_map(|address| {
        let random: Vec<Uuid> = address.holes().iter().map(|_| Uuid::now_v7()).collect();
        [stage.beta.naturals(address), stage.alpha.naturals(address), random].map(|ids| (address, ids))
    });
    let faults = each(attempts, async |(address, ids)| {
        let answer = Request::to(address, &ids).send(&stage.beta.nobody).await;
        expected(CASE, address, &answer, StatusCode::FORBIDDEN)
    });
    report.tried_all(CASE, faults.await);
}

pub async fn platform_operations_as_a_fresh_owner(stage: &Stage, report: &mut Report) {
    const CASE: &str = "a platform operation as a fresh Owner";
    let (fresh, _): (Api, _) = stage.stranger().register("freshmark ltd").await;
    let above =
        stage.addresses.iter().filter(|address| address.is_above_tenants() && !for_this_machine(address));
    let attempts = above.flat_map(|address| {
        [stage.alpha.naturals(address), stage.beta.naturals(address)].map(|ids| (address, ids))
    });
    let faults = each(attempts, async |(address, ids)| {
        let answer = Request::to(address, &ids).send(&fresh).await;
        expected(CASE, address, &answer, StatusCode::FORBIDDEN)
    });
    report.tried_all(CASE, faults.await);
}
