//! What two replicas count together: the rate of a tenant's plan, and wrong passwords.

use std::time::{Duration, Instant};

use serde_json::json;
use testkit::{Answer, Api, DEMO_MEMBER, DEMO_OWNER, Valkey, within};

use super::replicas::Replicas;

/// The plan of the demo's tenant, as it ships.
const PRO: &str = "/api/v1/billing/plans/00000000-0000-7000-8050-000000000003";
/// What is asked again and again.
const PATH: &str = "/api/v1/data/crm/contacts?limit=1";
/// How much the plan takes at once here. It comes back at one a second.
const BURST: u64 = 80;

fn told(answer: &Answer, header: &str) -> u64 {
    let value = answer.headers.get(header).unwrap_or_else(|| panic!("{header} is missing: {answer:?}"));
    value.to_str().unwrap().parse().unwrap()
}

/// Asks all in turn until each has refused; how many were let through.
async fn let_through(apis: &[&Api]) -> u64 {
    let (mut passed, mut refused) = (0, 0);
    while refused < 2 * apis.len() {
        for api in apis {
            let answer = api.get(PATH).await;
            match answer.status.as_u16() {
                200 => (passed, refused) = (passed + 1, 0),
                429 => {
                    assert!((1..=2 * BURST).contains(&told(&answer, "retry-after")), "{answer:?}");
                    assert_eq!(told(&answer, "ratelimit-remaining"), 0);
                    refused += 1;
                }
                _ => panic!("{answer:?}"),
            }
        }
    }
    passed
}

/// An administrator asks, who has five times as much, and uses up nothing of the members'.
async fn knows_the_plan(owner: &Api) {
    let knows = async || told(&owner.get(PATH).await, "ratelimit-limit") == 5 * BURST;
    within(Duration::from_secs(5), "the plan's change is learnt", knows).await;
}

/// Five wrong passwords close an account to an address, wherever they were tried.
async fn guesses_at_one_account_count_together(replicas: &Replicas) {
    let apis = [replicas.one.api(), replicas.other.api()];
    let guess = json!({ "email": "nobody@example.com", "password": "a guess that is wrong" });
    for n in 0..5 {
        apis[n % 2]
            .post("/api/v1/auth/login", guess.clone())
            .await
            .expect_problem(401, "invalid-credentials");
    }
    for api in &apis {
        let refused = api.post("/api/v1/auth/login", guess.clone()).await;
        assert!((1..=900).contains(&told(&refused, "retry-after")), "{refused:?}");
        refused.expect_problem(429, "too-many-attempts");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_asks_all_replicas_together_for_what_its_plan_allows() {
    let mut valkey = Valkey::start(&[]);
    let replicas = Replicas::start(Some(&valkey)).await;
    let (here, there) = replicas.signed_in(DEMO_MEMBER).await;
    let (owner, owner_there) = replicas.signed_in(DEMO_OWNER).await;
    let operator = replicas.one.operator();
    let mut limits = operator.get(PRO).await.expect(200).body["limits"].clone();
    (limits["rps"], limits["burst"]) = (json!(1), json!(BURST));
    operator.patch(PRO, json!({ "limits": limits })).await.expect(200);
    knows_the_plan(&owner).await;
    knows_the_plan(&owner_there).await;
    let begun = Instant::now();
    let together = let_through(&[&here, &there]).await;
    println!("{together} of {BURST} were left to both replicas together");
    // A tenth too much, what was on its way then, and what came back while asking.
    let most = BURST + BURST / 10 + 8 + begun.elapsed().as_secs();
    assert!((BURST..=most).contains(&together), "{together}");
    for administrator in [&owner, &owner_there] {
        administrator.get(PATH).await.expect(200);
    }

    guesses_at_one_account_count_together(&replicas).await;
    valkey.kill();
    let answers = [owner.get(PATH).await, owner_there.get(PATH).await];
    assert!(answers.iter().all(|answer| answer.status == 200), "a lost cache refuses nobody: {answers:?}");
    within(Duration::from_secs(5), "what could not be shared is counted", async || {
        owner.get(PATH).await.expect(200);
        let metrics = operator.get("/metrics").await.expect(200).text;
        let line = metrics.lines().find(|line| line.starts_with("rate_window_unshared_total "));
        !line.expect("the metric").ends_with(" 0")
    })
    .await;
    replicas.close().await;
}
