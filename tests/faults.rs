//! kill -9 of the process and of Postgres, under load: nothing acknowledged is lost, the audit trail and the
//! ledger verify, and no Postgres stays behind. `KILLS` says how often each (2 unless set; `make soak` takes 20).

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    missing_docs,
    reason = "a test: what fails here fails the test"
)]

use std::{
    path::Path,
    process::Command,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use serde_json::json;
use testkit::{Api, Binary, DEMO_OWNER, DEMO_PASSWORD, Launch, data_folder};

fn kills() -> usize {
    std::env::var("KILLS").ok().and_then(|n| n.parse().ok()).unwrap_or(2)
}

fn start(data: &Path, durability: &str) -> Binary {
    Launch::default()
        .with("KERNEL_DURABILITY", durability)
        .on(data)
        .start(env!("CARGO_BIN_EXE_platform-kernel"))
}

/// The pid of the postmaster, from its own file.
fn postgres_pid(data: &Path) -> u32 {
    let text = std::fs::read_to_string(data.join("pgdata/postmaster.pid")).expect("Postgres runs");
    text.lines().next().unwrap().trim().parse().unwrap()
}

fn is_running(pid: u32) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    !status.is_empty() && !status.contains("State:\tZ")
}

/// Writes contacts until it is told to stop, and keeps those that were acknowledged.
async fn write(api: Api, round: String, stop: Arc<AtomicBool>, kept: Arc<Mutex<Vec<String>>>) {
    for n in 0.. {
        if stop.load(Ordering::Relaxed) {
            return;
        }
        let email = format!("{round}-{n}@example.com");
        let body = json!({ "first_name": "Kim", "last_name": "Writer", "email": email });
        let sent = api.raw(reqwest::Method::POST, "/api/v1/data/crm/contacts").json(&body).send().await;
        match sent {
            Ok(answer) if answer.status().as_u16() == 201 => kept.lock().unwrap().push(email),
            Ok(answer) => assert!(answer.status().is_server_error(), "{}", answer.status()),
            Err(_) => tokio::time::sleep(Duration::from_millis(2)).await,
        }
    }
}

/// The demo Owner's wallet in dollars and another one.
async fn wallets(api: &Api) -> (String, String) {
    let list = api.get("/api/v1/wallets?currency=USD").await.expect(200);
    let id = |number: usize| list.data()[number]["id"].as_str().unwrap().to_owned();
    (id(0), id(1))
}

/// Transfers until it is told to stop, each with its key until it is acknowledged, and keeps the transactions.
async fn pay(api: Api, stop: Arc<AtomicBool>, paid: Arc<Mutex<Vec<String>>>) {
    let (from, to) = wallets(&api).await;
    let mut key = uuid::Uuid::now_v7();
    while !stop.load(Ordering::Relaxed) {
        let body = json!({ "from": from, "to": to, "amount": 1 });
        let request =
            api.raw(reqwest::Method::POST, "/api/v1/transfers").header("idempotency-key", key.to_string());
        match request.json(&body).send().await {
            Ok(answer) if answer.status().as_u16() == 201 => {
                // The answer itself may be cut off by the kill: then the same key is asked again.
                let Ok(made) = answer.json::<serde_json::Value>().await else { continue };
                paid.lock().unwrap().push(made["id"].as_str().unwrap().to_owned());
                key = uuid::Uuid::now_v7();
            }
            Ok(answer) => {
                let status = answer.status();
                assert!(status.is_server_error() || status.as_u16() == 409, "{status}");
            }
            Err(_) => tokio::time::sleep(Duration::from_millis(2)).await,
        }
    }
}

/// What was acknowledged.
#[derive(Default)]
struct Kept {
    contacts: Vec<String>,
    transactions: Vec<String>,
}

impl Kept {
    fn add(&mut self, more: Self) {
        self.contacts.extend(more.contacts);
        self.transactions.extend(more.transactions);
    }
}

struct Load {
    stop: Arc<AtomicBool>,
    kept: Arc<Mutex<Vec<String>>>,
    paid: Arc<Mutex<Vec<String>>>,
    tasks: Vec<tokio::task::JoinHandle<()>>,
}

impl Load {
    fn on(api: &Api, round: &str) -> Self {
        let (stop, kept) = (Arc::new(AtomicBool::new(false)), Arc::new(Mutex::new(Vec::new())));
        let paid = Arc::new(Mutex::new(Vec::new()));
        let mut tasks: Vec<_> = (0..8)
            .map(|n| {
                tokio::spawn(write(api.clone(), format!("{round}-{n}"), Arc::clone(&stop), Arc::clone(&kept)))
            })
            .collect();
        tasks.extend((0..2).map(|_| tokio::spawn(pay(api.clone(), Arc::clone(&stop), Arc::clone(&paid)))));
        Self { stop, kept, paid, tasks }
    }

    fn written(&self) -> usize {
        self.kept.lock().unwrap().len()
    }

    async fn until(&self, more: usize) {
        let goal = self.written() + more;
        let give_up = Instant::now() + Duration::from_secs(60);
        while self.written() < goal {
            assert!(Instant::now() < give_up, "only {} of {goal} writes were acknowledged", self.written());
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    async fn end(self) -> Kept {
        self.stop.store(true, Ordering::Relaxed);
        for task in self.tasks {
            task.await.unwrap();
        }
        let of = |list: Arc<Mutex<Vec<String>>>| Arc::try_unwrap(list).unwrap().into_inner().unwrap();
        Kept { contacts: of(self.kept), transactions: of(self.paid) }
    }
}

async fn expect_all(api: &Api, kept: &Kept) {
    for emails in kept.contacts.chunks(100) {
        let list = emails.join(",");
        let found = api
            .get(&format!("/api/v1/data/crm/contacts?email=in.({list})&limit=1&count=true"))
            .await
            .expect(200);
        let total = found.body["meta"]["total"].as_u64().unwrap();
        assert_eq!(total as usize, emails.len(), "acknowledged writes were lost");
    }
    let trail = api.get("/api/v1/audit/verify").await.expect(200);
    assert_eq!(trail.body["valid"], true, "{}", trail.text);
    for id in &kept.transactions {
        api.get(&format!("/api/v1/transactions/{id}")).await.expect(200);
    }
    let ledger = api.get("/api/v1/ledger/verify").await.expect(200);
    assert_eq!(ledger.body["valid"], true, "{}", ledger.text);
}

async fn survives_its_own_death(durability: &str) {
    let folder = data_folder();
    let data = folder.path().join("data");
    let mut kernel = start(&data, durability);
    let mut kept = Kept::default();
    for round in 0..kills() {
        let api = kernel.api().sign_in(DEMO_OWNER, DEMO_PASSWORD).await;
        let load = Load::on(&api, &format!("k{round}"));
        load.until(50 + 17 * (round % 5)).await;
        let postgres = postgres_pid(&data);
        kernel.kill();
        let died = Instant::now();
        kept.add(load.end().await);
        while is_running(postgres) {
            assert!(died.elapsed() < Duration::from_secs(5), "Postgres outlived the kernel");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        kernel = start(&data, durability);
        let api = kernel.api().sign_in(DEMO_OWNER, DEMO_PASSWORD).await;
        expect_all(&api, &kept).await;
    }
    let (contacts, transactions) = (kept.contacts.len(), kept.transactions.len());
    println!(
        "{durability}: {} kills, {contacts} writes and {transactions} transfers acknowledged, none lost",
        kills()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_kernel_loses_nothing_when_hybrid() {
    survives_its_own_death("hybrid").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_kernel_loses_nothing_when_persistent() {
    survives_its_own_death("persistent").await;
}

/// Files that were acknowledged: id and bytes.
type KeptFiles = Arc<Mutex<Vec<(String, Vec<u8>)>>>;

/// Uploads files until it is told to stop, and keeps what was acknowledged: id and content.
async fn upload(api: Api, name: String, stop: Arc<AtomicBool>, kept: KeptFiles) {
    for n in 0.. {
        if stop.load(Ordering::Relaxed) {
            return;
        }
        let content = format!("{name} {n} ").repeat(2_000 + 3_000 * (n % 7)).into_bytes();
        let head =
            "--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.txt\"\r\n\r\n".as_bytes();
        let body = [head, &content, b"\r\n--b--\r\n"].concat();
        let request = api.raw(reqwest::Method::POST, "/api/v1/files/upload");
        let sent = request.header("content-type", "multipart/form-data; boundary=b").body(body).send().await;
        let Ok(answer) = sent else { continue };
        if answer.status().as_u16() == 201
            && let Ok(file) = answer.json::<serde_json::Value>().await
        {
            kept.lock().unwrap().push((file["id"].as_str().unwrap().to_owned(), content));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_kernel_keeps_every_file_whose_upload_was_acknowledged() {
    let folder = data_folder();
    let data = folder.path().join("data");
    let mut kernel = start(&data, "hybrid");
    let mut all = Vec::new();
    for round in 0..kills() {
        let api = kernel.api().sign_in(DEMO_OWNER, DEMO_PASSWORD).await;
        let (stop, kept) = (Arc::new(AtomicBool::new(false)), Arc::new(Mutex::new(Vec::new())));
        let tasks: Vec<_> = (0..4)
            .map(|n| {
                tokio::spawn(upload(
                    api.clone(),
                    format!("{round}-{n}"),
                    Arc::clone(&stop),
                    Arc::clone(&kept),
                ))
            })
            .collect();
        let give_up = Instant::now() + Duration::from_secs(60);
        while kept.lock().unwrap().len() < 20 + 7 * round {
            assert!(Instant::now() < give_up, "no uploads are acknowledged");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        kernel.kill();
        stop.store(true, Ordering::Relaxed);
        for task in tasks {
            task.await.unwrap();
        }
        all.extend(std::mem::take(&mut *kept.lock().unwrap()));
        kernel = start(&data, "hybrid");
        let api = kernel.api().sign_in(DEMO_OWNER, DEMO_PASSWORD).await;
        for (id, content) in &all {
            let answer = api.raw(reqwest::Method::GET, &format!("/api/v1/files/{id}")).send().await.unwrap();
            assert_eq!(answer.status().as_u16(), 200, "{id}");
            assert!(answer.bytes().await.unwrap() == content, "{id} has other bytes");
        }
    }
    println!("{} kills, {} acknowledged files, none lost", kills(), all.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_postgres_loses_nothing_when_persistent_and_the_kernel_goes_on() {
    let folder = data_folder();
    let data = folder.path().join("data");
    let kernel = start(&data, "persistent");
    let api = kernel.api().sign_in(DEMO_OWNER, DEMO_PASSWORD).await;
    let load = Load::on(&api, "p");
    for _ in 0..kills() {
        load.until(60).await;
        let pid = postgres_pid(&data);
        Command::new("kill").args(["-9", &pid.to_string()]).status().unwrap();
        // Writes are acknowledged again by a Postgres that is another one.
        load.until(60).await;
        let give_up = Instant::now() + Duration::from_secs(30);
        while postgres_pid_now(&data).is_none_or(|now| now == pid) {
            assert!(Instant::now() < give_up, "Postgres did not come back");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
    let kept = load.end().await;
    expect_all(&api, &kept).await;
}

fn postgres_pid_now(data: &Path) -> Option<u32> {
    let text = std::fs::read_to_string(data.join("pgdata/postmaster.pid")).ok()?;
    text.lines().next()?.trim().parse().ok()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_kernel_leaves_nothing_running() {
    let folder = data_folder();
    let data = folder.path().join("data");
    let mut kernel = start(&data, "hybrid");
    let postgres = postgres_pid(&data);
    Command::new("kill").args(["-INT", &kernel.pid().to_string()]).status().unwrap();
    let begun = Instant::now();
    assert!(kernel.wait().success());
    assert!(begun.elapsed() < Duration::from_secs(2), "took {:?}", begun.elapsed());
    assert!(!is_running(postgres));
}
