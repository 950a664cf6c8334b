//! A service that panics or hangs spoils its own calls and nothing else, and `/health` shows which one it is.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    missing_docs,
    reason = "a test: what fails here fails the test"
)]

use std::{
    future::pending,
    sync::Once,
    time::{Duration, Instant},
};

use futures::future::join_all;
use ports::http::{Access, NoContent, Operation, Routes, ServiceRoutes};
use serde_json::{Value, json};
use testkit::{Api, Kernel, KernelOptions};

/// What the panic says; nobody outside may read it.
const WORDS: &str = "the handler fell over";
/// More than the link of a service has places for; the rest waits.
const HANGING: usize = 300;

/// A service that falls over, or never answers, as asked.
fn trouble() -> ServiceRoutes {
    Routes::new("trouble", ())
        .add(
            Operation::get("/trouble/panic", "troublePanic", Access::Public).summary("Panics"),
            async || -> NoContent { panic!("{WORDS}") },
        )
        .add(
            Operation::get("/trouble/late", "troubleLate", Access::Public).summary("Panics after a moment"),
            async || -> NoContent {
                tokio::time::sleep(Duration::from_millis(20)).await;
                panic!("{WORDS}")
            },
        )
        .add(
            Operation::get("/trouble/hang", "troubleHang", Access::Public).summary("Never answers"),
            async || -> NoContent { pending().await },
        )
        .add(Operation::get("/trouble/fine", "troubleFine", Access::Public).summary("Answers"), async || {
            NoContent
        })
        .finish()
}

/// Keeps the panics that are meant to happen out of the output; all others are shown.
fn expect_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let shown = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            if panic.payload_as_str() != Some(WORDS) {
                shown(panic);
            }
        }));
    });
}

async fn troubled(timeout: &str) -> Kernel {
    expect_panics();
    let options = KernelOptions { extra_routes: vec![trouble], ..KernelOptions::default() }
        .with("KERNEL_TEMPLATE", "empty")
        .with("GATEWAY_REQUEST_TIMEOUT", timeout)
        .with("RATE_LIMIT_RPS", "100000")
        .with("RATE_LIMIT_BURST", "100000");
    let kernel = Kernel::start(options).await;
    let body = json!({ "name": "other", "template": "empty" });
    kernel.operator().post("/api/v1/sandboxes", body).await.expect(201);
    kernel
}

/// The entry of a sandbox in `/health`, and its link to the troubled service.
async fn health(kernel: &Kernel, sandbox: &str) -> (Value, Value) {
    let tree = kernel.operator().get("/health").await.expect(200).body;
    let entry = tree["sandboxes"][sandbox].clone();
    let links = entry["links"].as_array().expect("the links of the sandbox");
    let link = links.iter().find(|link| link["name"] == "trouble").expect("the link to the service").clone();
    (entry, link)
}

/// Work of several services: accounts, the audit trail, a change with its event.
async fn works(owner: &Api) {
    owner.get("/api/v1/auth/me").await.expect(200);
    owner.get("/api/v1/users").await.expect(200);
    owner.get("/api/v1/modules").await.expect(200);
    owner.get("/api/v1/audit/records?limit=1").await.expect(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_panics_fails_its_own_calls_only_and_health_names_it() {
    let kernel = troubled("5s").await;
    let (owner, _) = kernel.api().register("Acme Tools").await;
    let (neighbour, _) = kernel.api().sandbox("other").register("Next Door").await;

    for round in 0..10 {
        for path in ["/api/v1/trouble/panic", "/api/v1/trouble/late"] {
            let failed = kernel.api().get(path).await.expect_problem(500, "internal");
            assert!(!failed.text.contains(WORDS), "{}", failed.text);
        }
        kernel.api().get("/api/v1/trouble/fine").await.expect(204);
        if round % 3 == 0 {
            works(&owner).await;
            works(&neighbour).await;
        }
    }
    let burst = join_all((0..100).map(|n| {
        let (api, owner) = (kernel.api(), owner.clone());
        async move {
            match n % 2 {
                0 => api.get("/api/v1/trouble/late").await.expect_problem(500, "internal"),
                _ => owner.get("/api/v1/auth/me").await.expect(200),
            }
        }
    }));
    burst.await;

    let (entry, link) = health(&kernel, "default").await;
    assert_eq!(entry["state"], "awake");
    assert_eq!(link["panicked"], 70, "{link}");
    for other in entry["links"].as_array().unwrap().iter().filter(|other| other["name"] != "trouble") {
        assert_eq!((&other["panicked"], &other["errors"]), (&json!(0), &json!(0)), "{other}");
    }
    works(&neighbour).await;
    let (_, untouched) = health(&kernel, "other").await;
    assert_eq!(untouched["calls"], 0, "a sandbox's services are its own");
    kernel.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_hangs_ends_its_own_calls_at_the_deadline_and_holds_up_nobody() {
    let kernel = troubled("8s").await;
    let (owner, _) = kernel.api().register("Acme Tools").await;
    let (neighbour, _) = kernel.api().sandbox("other").register("Next Door").await;

    let begun = Instant::now();
    let hanging: Vec<_> = (0..HANGING)
        .map(|_| {
            let api = kernel.api();
            tokio::spawn(async move { api.get("/api/v1/trouble/hang").await })
        })
        .collect();
    let mut link = Value::Null;
    while link["queued"].as_u64().is_none_or(|queued| queued == 0) {
        assert!(begun.elapsed() < Duration::from_secs(7), "the link did not fill: {link}");
        link = health(&kernel, "default").await.1;
    }
    assert_eq!(link["state"], "waiting", "{link}");
    let full = begun.elapsed();
    works(&owner).await;
    works(&neighbour).await;
    let others = begun.elapsed() - full;
    // Had they stood in the same queue, they would have waited for a deadline of 8 s.
    assert!(others < Duration::from_secs(4), "the others answered after {others:?} only");
    println!("with {HANGING} calls hanging, eight calls to other services took {others:?}");

    for call in hanging {
        call.await.unwrap().expect_problem(504, "deadline-exceeded");
    }
    assert!(begun.elapsed() < Duration::from_secs(16), "took {:?}", begun.elapsed());

    // The places are free again at once, and what happened stays visible.
    kernel.api().get("/api/v1/trouble/fine").await.expect(204);
    let (entry, link) = health(&kernel, "default").await;
    assert_eq!(link["timedOut"].as_u64(), Some(HANGING as u64), "{link}");
    assert_eq!((&link["inFlight"], &link["queued"]), (&json!(0), &json!(0)), "{link}");
    for other in entry["links"].as_array().unwrap().iter().filter(|other| other["name"] != "trouble") {
        assert_eq!(other["timedOut"], 0, "{other}");
    }
    kernel.close().await;
}
