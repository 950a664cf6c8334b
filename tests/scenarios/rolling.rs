//! Two replicas behind a balancer, each restarted in turn under load.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use reqwest::Method;
use serde_json::json;
use testkit::{Api, Binary, DEMO_OWNER, DEMO_PASSWORD};
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
};

use crate::stage::{Ground, Stage};

/// Restarts of each replica.
const ROUNDS: usize = 5;
const PER_SECOND: u64 = 200;

/// A balancer as simple as they come: connections go in turn to whoever says that they are ready, and to the next one when
/// nobody answers the door.
#[derive(Default)]
struct Balancer {
    backends: Mutex<Vec<Backend>>,
    turn: AtomicUsize,
}

#[derive(Clone)]
struct Backend {
    address: SocketAddr,
    is_ready: Arc<AtomicBool>,
}

impl Backend {
    fn of(kernel: &Binary) -> Self {
        let address = kernel.url().trim_start_matches("http://").parse().unwrap();
        Self { address, is_ready: Arc::default() }
    }

    /// Asks the readiness address ten times a second, until somebody else stands at its place.
    async fn watch(self) {
        let asks = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(1)).build().unwrap();
        while Arc::strong_count(&self.is_ready) > 1 {
            let answer = asks.get(format!("http://{}/ready", self.address)).send().await;
            self.is_ready.store(answer.is_ok_and(|answer| answer.status().is_success()), Ordering::Relaxed);
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}

impl Balancer {
    async fn start() -> (Arc<Self>, String) {
        let balancer = Arc::new(Self::default());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let serving = Arc::clone(&balancer);
        tokio::spawn(async move {
            while let Ok((mut client, _)) = listener.accept().await {
                let balancer = Arc::clone(&serving);
                tokio::spawn(async move {
                    let Some(mut server) = balancer.connected().await else { return };
                    let _ = copy_bidirectional(&mut client, &mut server).await;
                });
            }
        });
        (balancer, url)
    }

    fn put(&self, place: usize, kernel: &Binary) {
        let backend = Backend::of(kernel);
        tokio::spawn(backend.clone().watch());
        let mut backends = self.backends.lock().unwrap();
        if place < backends.len() { backends[place] = backend } else { backends.push(backend) }
    }

    async fn connected(&self) -> Option<TcpStream> {
        let ready: Vec<SocketAddr> = {
            let backends = self.backends.lock().unwrap();
            backends
                .iter()
                .filter(|one| one.is_ready.load(Ordering::Relaxed))
                .map(|one| one.address)
                .collect()
        };
        let first = self.turn.fetch_add(1, Ordering::Relaxed);
        for n in 0..ready.len() {
            if let Ok(server) = TcpStream::connect(ready[(first + n) % ready.len()]).await {
                return Some(server);
            }
        }
        None
    }

    async fn until_ready(&self, place: usize) {
        let backend = self.backends.lock().unwrap()[place].clone();
        let give_up = Instant::now() + Duration::from_secs(60);
        while !backend.is_ready.load(Ordering::Relaxed) {
            assert!(Instant::now() < give_up, "replica {place} does not get ready");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

#[derive(Default)]
struct Tally {
    answered: AtomicUsize,
    failed: Mutex<BTreeMap<String, usize>>,
    slowest: Mutex<Duration>,
}

/// A request of a mix of reads and writes, a connection each.
async fn request(url: String, token: Arc<str>, contact: Arc<str>, number: u64, tally: Arc<Tally>) {
    let api = Api::new(url, "localhost").with(&token);
    let contacts = "/api/v1/data/crm/contacts";
    let email = format!("rolling{number}@example.com");
    let (method, path, body) = match number % 5 {
        0 => (Method::GET, format!("{contacts}/{contact}"), None),
        1 => (Method::GET, format!("{contacts}?sort=last_name&limit=5"), None),
        2 => (
            Method::POST,
            contacts.to_owned(),
            Some(json!({ "first_name": "R", "last_name": "R", "email": email })),
        ),
        3 => (Method::GET, "/api/v1/auth/me".to_owned(), None),
        _ => (
            Method::PATCH,
            format!("{contacts}/{contact}"),
            Some(json!({ "last_name": format!("L{number}") })),
        ),
    };
    let begun = Instant::now();
    let mut asked = api.raw(method.clone(), &path).header("connection", "close");
    if let Some(body) = body {
        asked = asked.json(&body);
    }
    let outcome = match asked.send().await {
        Ok(answer) if answer.status().is_success() => {
            answer.bytes().await.map(drop).map_err(|e| format!("{e:?}"))
        }
        Ok(answer) => Err(format!("{} {}", answer.status(), answer.text().await.unwrap_or_default())),
        Err(error) => Err(format!("{error:?}")),
    };
    let mut slowest = tally.slowest.lock().unwrap();
    *slowest = begun.elapsed().max(*slowest);
    match outcome {
        Ok(()) => drop(tally.answered.fetch_add(1, Ordering::Relaxed)),
        Err(why) => *tally.failed.lock().unwrap().entry(format!("{method} {path}: {why}")).or_default() += 1,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn replicas_are_restarted_in_turn_and_no_request_fails() {
    let mut stage = Stage::with(Ground::Replicas, &[("SHUTDOWN_GRACE", "1s")]).await;
    let (balancer, url) = Balancer::start().await;
    for (place, kernel) in stage.kernels.iter().enumerate() {
        balancer.put(place, kernel);
    }
    for place in 0..2 {
        balancer.until_ready(place).await;
    }
    let owner = Api::new(url.clone(), "localhost").sign_in(DEMO_OWNER, DEMO_PASSWORD).await;
    let first = owner.get("/api/v1/data/crm/contacts?limit=1").await.expect(200);
    let contact: Arc<str> = first.data()[0]["id"].as_str().unwrap().into();
    let token: Arc<str> = owner.token().into();

    let tally = Arc::new(Tally::default());
    let load = tokio::spawn({
        let tally = Arc::clone(&tally);
        async move {
            let mut running = tokio::task::JoinSet::new();
            let mut tick = tokio::time::interval(Duration::from_micros(1_000_000 / PER_SECOND));
            for number in 0.. {
                tick.tick().await;
                running.spawn(request(
                    url.clone(),
                    Arc::clone(&token),
                    Arc::clone(&contact),
                    number,
                    Arc::clone(&tally),
                ));
                while running.try_join_next().is_some() {}
            }
        }
    });
    let begun = Instant::now();
    for round in 0..ROUNDS {
        for place in 0..2 {
            let (stopped, took) = stage.restart(place).await;
            assert!(stopped.success(), "replica {place}, round {round}: {stopped}");
            balancer.put(place, &stage.kernels[place]);
            balancer.until_ready(place).await;
            println!("round {round}, replica {place}: away for {took:?}");
        }
    }
    let took = begun.elapsed();
    load.abort();
    tokio::time::sleep(Duration::from_secs(1)).await;
    let (answered, failed) = (tally.answered.load(Ordering::Relaxed), tally.failed.lock().unwrap());
    let slowest = *tally.slowest.lock().unwrap();
    println!("{answered} requests in {took:?}, the slowest took {slowest:?}, failed: {failed:#?}");
    assert!(failed.is_empty(), "{failed:#?}");
    assert!(answered as u64 > took.as_secs() * PER_SECOND / 2, "the load was not there: {answered}");
}
