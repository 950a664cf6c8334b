//! An external Postgres that is not always there, or not as it should be: restarts under load, encryption, poolers,
//! addresses that are wrong.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    missing_docs,
    reason = "a test: what fails here fails the test"
)]

use std::{
    path::Path,
    process::{Child, Command},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use reqwest::{Method, Response};
use serde_json::json;
use testkit::{Api, Binary, DEMO_OWNER, DEMO_PASSWORD, Launch, Postgres, data_folder};

const PROGRAM: &str = env!("CARGO_BIN_EXE_platform-kernel");

/// Made for `dial.test` and 127.0.0.1.
const CERTIFICATE: &str = include_str!("../crates/fabric/src/dialler/tests/tls/server.pem");
const KEY: &str = include_str!("../crates/fabric/src/dialler/tests/tls/server.key");
const AUTHORITY: &str =
    concat!(env!("CARGO_MANIFEST_DIR"), "/crates/fabric/src/dialler/tests/tls/authority.pem");

async fn server() -> Postgres {
    let server = Postgres::bare().await;
    server.run("postgres", "create role kernel_admin login createdb createrole password 'secret'").await;
    server
}

fn run(verb: &[&str], url: &str) -> std::process::Output {
    let folder = data_folder();
    Command::new(PROGRAM)
        .args(verb)
        .env("KERNEL_DATA_DIR", folder.path().join("data"))
        .env("DATABASE_URL", url)
        .envs(["GATEWAY_PORT", "GATEWAY_TLS_PORT", "IAM_PORT", "GRPC_PORT"].map(|port| (port, "0")))
        .output()
        .unwrap()
}

/// What a start with this address says, which must be refused.
fn refused(url: &str) -> String {
    let output = run(&["serve"], url);
    assert_eq!(output.status.code(), Some(1), "{url}");
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn examined(url: &str) -> String {
    String::from_utf8_lossy(&run(&["doctor"], url).stdout).into_owned()
}

/// What was answered while the server came and went.
#[derive(Default)]
struct Answers {
    fine: Mutex<Vec<Instant>>,
    told_to_come_back: Mutex<Vec<Instant>>,
    others: Mutex<Vec<String>>,
}

impl Answers {
    /// Keeps it; answers whether it is a success.
    fn keep(&self, what: &str, answer: &Response) -> bool {
        let (status, now) = (answer.status().as_u16(), Instant::now());
        if answer.status().is_success() {
            self.fine.lock().unwrap().push(now);
            return true;
        }
        match status {
            503 if answer.headers().contains_key("retry-after") => {
                self.told_to_come_back.lock().unwrap().push(now)
            }
            _ => self.others.lock().unwrap().push(format!("{what}: {status}")),
        }
        false
    }

    /// The first success after a moment.
    async fn fine_again(&self, since: Instant) -> Duration {
        let give_up = Instant::now() + Duration::from_secs(30);
        loop {
            let found = self.fine.lock().unwrap().iter().rev().take_while(|at| **at > since).last().copied();
            if let Some(at) = found {
                return at - since;
            }
            assert!(Instant::now() < give_up, "nothing was answered any more");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }
}

struct Load {
    stop: Arc<AtomicBool>,
    reads: Arc<Answers>,
    writes: Arc<Answers>,
    kept: Arc<Mutex<Vec<String>>>,
    paid: Arc<Mutex<Vec<String>>>,
    tasks: Vec<tokio::task::JoinHandle<()>>,
}

impl Load {
    async fn on(api: &Api) -> Self {
        let (reads, writes) = (Arc::<Answers>::default(), Arc::<Answers>::default());
        let (kept, paid) = (Arc::<Mutex<Vec<String>>>::default(), Arc::<Mutex<Vec<String>>>::default());
        let stop = Arc::<AtomicBool>::default();
        let wallets = api.get("/api/v1/wallets?currency=USD").await.expect(200);
        let wallet = |n: usize| wallets.data()[n]["id"].as_str().unwrap().to_owned();
        let mut tasks = Vec::new();
        for n in 0..4 {
            let (api, stop, reads) = (api.clone(), Arc::clone(&stop), Arc::clone(&reads));
            let path = ["/api/v1/data/crm/contacts?limit=5", "/api/v1/users?limit=5"][n % 2];
            tasks.push(tokio::spawn(async move {
                while !stop.load(Ordering::Relaxed) {
                    reads.keep(path, &api.raw(Method::GET, path).send().await.unwrap());
                }
            }));
        }
        for n in 0..4 {
            let (api, stop, writes, kept) =
                (api.clone(), Arc::clone(&stop), Arc::clone(&writes), Arc::clone(&kept));
            tasks.push(tokio::spawn(async move {
                for count in 0.. {
                    if stop.load(Ordering::Relaxed) {
                        return;
                    }
                    let email = format!("w{n}-{count}@example.com");
                    let body = json!({ "first_name": "Kim", "last_name": "Writer", "email": email });
                    let sent =
                        api.raw(Method::POST, "/api/v1/data/crm/contacts").json(&body).send().await.unwrap();
                    if writes.keep("contacts", &sent) {
                        kept.lock().unwrap().push(email);
                    }
                }
            }));
        }
        for _ in 0..2 {
            let (api, stop, writes, paid) =
                (api.clone(), Arc::clone(&stop), Arc::clone(&writes), Arc::clone(&paid));
            let body = json!({ "from": wallet(0), "to": wallet(1), "amount": 1 });
            tasks.push(tokio::spawn(async move {
                let mut key = uuid::Uuid::now_v7();
                while !stop.load(Ordering::Relaxed) {
                    let request =
                        api.raw(Method::POST, "/api/v1/transfers").header("idempotency-key", key.to_string());
                    let answer = request.json(&body).send().await.unwrap();
                    if writes.keep("transfers", &answer) {
                        let made: serde_json::Value = answer.json().await.unwrap();
                        paid.lock().unwrap().push(made["id"].as_str().unwrap().to_owned());
                        key = uuid::Uuid::now_v7();
                    }
                }
            }));
        }
        Self { stop, reads, writes, kept, paid, tasks }
    }

    async fn end(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for task in self.tasks.drain(..) {
            task.await.unwrap();
        }
    }
}

async fn expect_all(api: &Api, load: &Load) {
    let kept = load.kept.lock().unwrap().clone();
    for emails in kept.chunks(100) {
        let list = emails.join(",");
        let path = format!("/api/v1/data/crm/contacts?email=in.({list})&limit=1&count=true");
        let found = api.get(&path).await.expect(200);
        assert_eq!(found.body["meta"]["total"], emails.len(), "acknowledged writes were lost");
    }
    let paid = load.paid.lock().unwrap().clone();
    for id in &paid {
        api.get(&format!("/api/v1/transactions/{id}")).await.expect(200);
    }
    assert_eq!(
        paid.iter().collect::<std::collections::HashSet<_>>().len(),
        paid.len(),
        "a key was used twice"
    );
    assert_eq!(api.get("/api/v1/ledger/verify").await.expect(200).body["valid"], true);
    assert_eq!(api.get("/api/v1/audit/verify").await.expect(200).body["valid"], true);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_under_load_loses_nothing_and_is_over_in_three_seconds() {
    let server = server().await;
    let kernel =
        Launch::default().with("DATABASE_URL", &server.url("kernel_admin", "postgres")).start(PROGRAM);
    let api = kernel.api().sign_in(DEMO_OWNER, DEMO_PASSWORD).await;
    let mut load = Load::on(&api).await;
    let mut kills = Vec::new();
    for signal in ["INT", "KILL", "INT"] {
        tokio::time::sleep(Duration::from_secs(1)).await;
        let began = Instant::now();
        kills.push(began);
        server.kill(signal).await;
        let gone = Instant::now();
        let (reads, writes) = (load.reads.fine_again(gone).await, load.writes.fine_again(gone).await);
        println!(
            "kill -{signal}: gone after {:?}, read again after {:?}, written again after {:?}",
            gone - began,
            gone + reads - began,
            gone + writes - began
        );
        assert!(gone + reads.max(writes) - began < Duration::from_secs(3));
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    load.end().await;
    for (what, answers) in [("reads", &load.reads), ("writes", &load.writes)] {
        println!(
            "{what}: {} fine, {} told to come back",
            answers.fine.lock().unwrap().len(),
            answers.told_to_come_back.lock().unwrap().len()
        );
        assert_eq!(*answers.others.lock().unwrap(), Vec::<String>::new(), "{what}");
        for at in answers.told_to_come_back.lock().unwrap().iter() {
            let since = kills.iter().filter(|kill| **kill <= *at).map(|kill| *at - *kill).min();
            assert!(since.is_some_and(|since| since < Duration::from_secs(3)), "{what}: {since:?}");
        }
    }
    expect_all(&api, &load).await;
    let health = kernel.operator().get("/health").await.expect(200);
    assert_eq!(health.body["postgres"]["state"], "reachable", "{}", health.text);
}

async fn encrypted(kernel: &Binary, server: &Postgres) -> (i64, i64) {
    kernel.api().sign_in(DEMO_OWNER, DEMO_PASSWORD).await.get("/api/v1/users?limit=1").await.expect(200);
    sqlx::query_as(
        "select count(*) filter (where s.ssl), count(*) from pg_stat_ssl s join pg_stat_activity a using (pid)
         where a.application_name = 'platform-kernel'",
    )
    .fetch_one(&mut server.connect("postgres").await)
    .await
    .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_encrypted_server_proves_who_it_is() {
    let server = server().await;
    let url = |rest: &str| format!("{}?{rest}", server.url("kernel_admin", "postgres"));
    let said = refused(&url("sslmode=verify-full"));
    assert!(said.contains("can't be trusted"), "no encryption yet: {said}");

    server.encrypt(CERTIFICATE, KEY).await;
    let said = refused(&url("sslmode=verify-full"));
    assert!(said.contains("can't be trusted") && said.contains("sslrootcert="), "{said}");
    let trusted = url(&format!("sslmode=verify-full&sslrootcert={AUTHORITY}"));
    let said = refused(&trusted.replace("127.0.0.1", "localhost"));
    assert!(said.contains("can't be trusted") && said.contains("certificate"), "{said}");

    let kernel = Launch::default().with("DATABASE_URL", &trusted).start(PROGRAM);
    let (secret, all) = encrypted(&kernel, &server).await;
    assert!(all > 0 && secret == all, "{secret} of {all} connections are encrypted");
}

#[tokio::test(flavor = "multi_thread")]
async fn each_mistake_in_an_address_has_its_sentence() {
    let server = server().await;
    let good = server.url("kernel_admin", "postgres");
    let port = format!(":{}/", server.port());
    for (url, told) in [
        (good.replace(&port, ":9/"), &["127.0.0.1:9 can't be reached", "DATABASE_URL"][..]),
        (good.replace(":secret@", ":wrong@"), &["does not let kernel_admin in", "check user and password"]),
        (good.replace("kernel_admin:", "nobody:"), &["does not let nobody in"]),
        (format!("{}/nowhere", good.rsplit_once('/').unwrap().0), &["nowhere"]),
        (good.replace("127.0.0.1", "no-such-host.invalid"), &["no-such-host.invalid", "can't be reached"]),
    ] {
        let (said, found) = (refused(&url), examined(&url));
        for word in told {
            assert!(said.contains(word), "{url}: {said}");
            assert!(found.contains("BAD") && found.contains(word), "{url}: {found}");
        }
        assert!(!said.contains("wrong@") && !found.contains("wrong@"));
    }
    let found = examined(&good);
    assert!(found.contains("can be written and read; 0 databases of ours"), "{found}");
    server.run("postgres", "alter system set default_transaction_read_only = on").await;
    server.run("postgres", "select pg_reload_conf()").await;
    assert!(examined(&good).contains("read-only"), "{}", examined(&good));
}

/// A pooler in front of the server, ended with the test.
struct PgBouncer {
    child: Child,
    port: u16,
    _folder: tempfile::TempDir,
}

impl PgBouncer {
    fn start(server: &Postgres, more: &str) -> Self {
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = free.local_addr().unwrap().port();
        drop(free);
        let folder = tempfile::tempdir().unwrap();
        std::fs::set_permissions(folder.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        let users = folder.path().join("users.txt");
        std::fs::write(&users, "\"kernel_admin\" \"secret\"\n").unwrap();
        let settings = folder.path().join("pgbouncer.ini");
        let text = format!(
            "[databases]\n* = host=127.0.0.1 port={}\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\n\
             unix_socket_dir =\nauth_type = plain\nauth_file = {}\n{more}\n",
            server.port(),
            users.display()
        );
        std::fs::write(&settings, text).unwrap();
        let mut command = Command::new("/usr/sbin/pgbouncer");
        command.arg("-q").arg(&settings);
        if rustix::process::geteuid().is_root() {
            command.args(["-u", "nobody"]);
        }
        let child = command.spawn().expect("pgbouncer is there: apt-get install pgbouncer");
        let give_up = Instant::now() + Duration::from_secs(10);
        while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(Instant::now() < give_up, "PgBouncer does not listen");
            std::thread::sleep(Duration::from_millis(5));
        }
        Self { child, port, _folder: folder }
    }
}

impl Drop for PgBouncer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pooler_that_mixes_sessions_is_refused() {
    let server = server().await;
    assert!(Path::new("/usr/sbin/pgbouncer").exists(), "pgbouncer is not there: apt-get install pgbouncer");
    for more in [
        "pool_mode = transaction",
        // What it drops silently is a session that is bound to nobody.
        "pool_mode = transaction\nignore_startup_parameters = options, extra_float_digits",
        "pool_mode = session\nignore_startup_parameters = options, extra_float_digits",
    ] {
        let pooler = PgBouncer::start(&server, more);
        let url = server
            .url("kernel_admin", "postgres")
            .replace(&server.port().to_string(), &pooler.port.to_string());
        let said = refused(&url);
        assert!(said.contains("DATABASE_URL leads to a connection pooler"), "{more}: {said}");
        assert!(said.contains("DB_MAX_OPEN_CONNS"), "{said}");
        assert!(examined(&url).contains("connection pooler"));
    }
}
