//! What the verbs take: create (from a spare and by cloning), fork of the demo, reset, wake. Medians of 20, then fork and
//! reset again while 50 requests a second run and an export is open; then 200 sandboxes, each used once.

#![allow(clippy::unwrap_used, missing_docs, reason = "a measuring program: what it can't do ends it")]

use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use serde_json::json;
use testkit::{Api, Binary, DEMO_OWNER, DEMO_PASSWORD, Launch};

const ROUNDS: usize = 20;

fn program() -> PathBuf {
    let named = std::env::var("PLATFORM_KERNEL_BIN").map(PathBuf::from);
    named.unwrap_or_else(|_| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("dist/platform-kernel"))
}

fn report(name: &str, mut times: Vec<Duration>, limit: u128) {
    times.sort();
    let (least, middle, most) =
        (times[0].as_millis(), times[times.len() / 2].as_millis(), times[times.len() - 1].as_millis());
    let verdict = if middle <= limit { "within" } else { "ABOVE" };
    println!("{name:<34} {least:>6} {middle:>7} {most:>7}   {verdict} {limit}");
}

async fn timed<T>(work: impl Future<Output = T>) -> (Duration, T) {
    let begun = Instant::now();
    let done = work.await;
    (begun.elapsed(), done)
}

async fn verbs(operator: &Api, stranger: &Api, label: &str) {
    let (mut forks, mut resets) = (Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        let name = format!("fork-{round}");
        let (took, answer) =
            timed(operator.post("/api/v1/sandboxes/busy/fork", json!({ "name": name }))).await;
        answer.expect(201);
        forks.push(took);
        let (took, answer) =
            timed(operator.post(&format!("/api/v1/sandboxes/{name}/reset"), json!({}))).await;
        answer.expect(200);
        resets.push(took);
        stranger.sandbox(&name).sign_in(DEMO_OWNER, DEMO_PASSWORD).await;
        operator.delete(&format!("/api/v1/sandboxes/{name}")).await.expect(204);
    }
    report(&format!("fork of the demo{label}"), forks, 300);
    report(&format!("reset{label}"), resets, 300);
}

async fn load(stranger: Api, stop: Arc<AtomicBool>, done: Arc<AtomicU64>) {
    let mut api = stranger.sandbox("busy").sign_in(DEMO_OWNER, DEMO_PASSWORD).await;
    let mut tick = tokio::time::interval(Duration::from_millis(20));
    while !stop.load(Ordering::Relaxed) {
        tick.tick().await;
        let answer = api.get("/api/v1/data/crm/contacts?limit=20").await;
        match answer.status.as_u16() {
            200 => done.fetch_add(1, Ordering::Relaxed),
            // Closed for a moment, as promised; a client repeats.
            503 => 0,
            401 => {
                api = stranger.sandbox("busy").sign_in(DEMO_OWNER, DEMO_PASSWORD).await;
                0
            }
            other => panic!("{other}: {}", answer.text),
        };
    }
}

async fn export(stranger: Api, stop: Arc<AtomicBool>) {
    let api = stranger.sandbox("busy").sign_in(DEMO_OWNER, DEMO_PASSWORD).await;
    while !stop.load(Ordering::Relaxed) {
        let sent =
            api.raw(reqwest::Method::GET, "/api/v1/data/crm/contacts/export?format=ndjson").send().await;
        let Ok(mut response) = sent else { continue };
        // Reads slowly, so that the export is open all the time.
        while let Ok(Some(_)) = response.chunk().await {
            tokio::time::sleep(Duration::from_millis(200)).await;
            if stop.load(Ordering::Relaxed) {
                return;
            }
        }
    }
}

async fn two_hundred(kernel: &Binary, operator: &Api, stranger: &Api) {
    let begun = Instant::now();
    for n in 0..200 {
        operator.post("/api/v1/sandboxes", json!({ "name": format!("many-{n}") })).await.expect(201);
        let demo = stranger.sandbox(&format!("many-{n}")).sign_in(DEMO_OWNER, DEMO_PASSWORD).await;
        demo.get("/api/v1/data/crm/contacts?limit=1").await.expect(200);
    }
    let megabytes = kernel.resident_megabytes();
    let verdict = if megabytes <= 300 { "within" } else { "ABOVE" };
    println!(
        "200 sandboxes, each used once: {} s, process {megabytes} MB resident   {verdict} 300",
        begun.elapsed().as_secs()
    );
    for n in 0..200 {
        operator.delete(&format!("/api/v1/sandboxes/many-{n}")).await.expect(204);
    }
    println!(
        "all deleted after {} s, process {} MB resident",
        begun.elapsed().as_secs(),
        kernel.resident_megabytes()
    );
}

#[tokio::main]
async fn main() {
    let kernel = Launch::default().start(program());
    let (stranger, operator) = (kernel.api(), kernel.operator());
    println!("verbs, {ROUNDS} rounds                     least  median    most   (ms)");
    let (mut spare, mut cloned, mut deleted, mut woken) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        // A spare is refilled in the background within a second or two.
        tokio::time::sleep(Duration::from_secs(2)).await;
        let name = format!("spare-{round}");
        let (took, answer) = timed(operator.post("/api/v1/sandboxes", json!({ "name": name }))).await;
        answer.expect(201);
        spare.push(took);
        let second = format!("clone-{round}");
        let (took, answer) = timed(operator.post("/api/v1/sandboxes", json!({ "name": second }))).await;
        answer.expect(201);
        cloned.push(took);
        let (took, answer) = timed(stranger.sandbox(&second).get("/.well-known/jwks.json")).await;
        answer.expect(200);
        woken.push(took);
        for name in [name, second] {
            let (took, answer) = timed(operator.delete(&format!("/api/v1/sandboxes/{name}"))).await;
            answer.expect(204);
            deleted.push(took);
        }
    }
    report("create from a spare", spare, 60);
    report("create by cloning", cloned, 200);
    report("first answer of a sleeping one", woken, 150);
    report("delete", deleted, 2_000);

    operator.post("/api/v1/sandboxes", json!({ "name": "busy" })).await.expect(201);
    verbs(&operator, &stranger, "").await;
    let (stop, done) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let running = [
        tokio::spawn(load(stranger.clone(), Arc::clone(&stop), Arc::clone(&done))),
        tokio::spawn(export(stranger.clone(), Arc::clone(&stop))),
    ];
    verbs(&operator, &stranger, ", under load").await;
    stop.store(true, Ordering::Relaxed);
    for task in running {
        task.await.unwrap();
    }
    println!("{} requests were answered meanwhile", done.load(Ordering::Relaxed));
    two_hundred(&kernel, &operator, &stranger).await;
}
