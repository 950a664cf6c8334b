//! A real server takes what leaves: aiosmtpd, in a process of its own.

use std::{
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex},
};

use serde_json::{Value, json};
use testkit::{DEMO_OWNER, DEMO_PASSWORD, Kernel, KernelOptions};

use crate::support::{advance, eventually, mail, mail_to, send, settled, token_in};

/// The server, and what it took.
struct Sink {
    process: Child,
    port: u16,
    taken: Arc<Mutex<Vec<Value>>>,
}

impl Sink {
    fn start() -> Self {
        let here = Path::new(env!("CARGO_MANIFEST_DIR"));
        let cache = std::env::var_os("XDG_CACHE_HOME").map_or_else(
            || Path::new(&std::env::var_os("HOME").expect("a home folder")).join(".cache"),
            Into::into,
        );
        let packages = cache.join("platform-kernel/aiosmtpd");
        let mut python = Command::new(here.join("../../tools/with-python.sh"));
        let script = here.join("tests/smtp_sink.sh");
        python.arg("bash").arg(script).arg(&packages).stdout(Stdio::piped());
        let mut process = python.spawn().expect("the mail server starts");
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let port = lines.next().expect("the mail server says its port").unwrap().parse().unwrap();
        let taken = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&taken);
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                kept.lock().unwrap().push(serde_json::from_str(&line).unwrap());
            }
        });
        Self { process, port, taken }
    }

    fn to(&self, address: &str) -> Vec<Value> {
        self.taken.lock().unwrap().iter().filter(|mail| mail["to"] == json!([address])).cloned().collect()
    }

    fn stop(&mut self) {
        // Its number may be another process's by now.
        if self.process.try_wait().ok().flatten().is_none() {
            let _ = self.process.kill();
            let _ = self.process.wait();
        }
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        self.stop();
    }
}

async fn kernel(sink: &Sink) -> Kernel {
    let options = KernelOptions::default().with("SMTP_URL", &format!("smtp://127.0.0.1:{}", sink.port));
    Kernel::start(options.with("SMTP_FROM", "kernel@platform.example")).await
}

#[tokio::test]
async fn a_mail_leaves_and_the_outbox_keeps_a_copy_without_its_link() {
    let sink = Sink::start();
    let kernel = kernel(&sink).await;
    let (owner, registered) = kernel.api().register("Acme Tools").await;
    let address = registered["user"]["email"].as_str().unwrap();
    let taken = eventually("the mail at the server", async || sink.to(address).into_iter().next()).await;
    assert_eq!(taken["from"], "kernel@platform.example");
    let token = token_in(&json!({ "text": taken["text"] }));
    let copy = mail_to(&owner, address).await;
    assert_eq!(copy["status"], "sent");
    assert!(copy["text"].as_str().unwrap().contains("/verify-email#token=\u{2026}"), "{copy}");
    assert!(!copy.to_string().contains(&token) && !copy.to_string().contains("ev_"));
    kernel.api().post("/api/v1/auth/verify-email", json!({ "token": token })).await.expect(200);
    kernel.close().await;
}

#[tokio::test]
async fn what_is_not_taken_is_tried_again_and_then_has_failed() {
    let mut sink = Sink::start();
    let kernel = kernel(&sink).await;
    let owner = kernel.api().sign_in(DEMO_OWNER, DEMO_PASSWORD).await;
    // The server puts it off once.
    let later = send(&owner, mail("later@example.com", "Again")).await;
    let attempts = async |id: &str| {
        let body = owner.get(&format!("/api/v1/notifications/{id}")).await.expect(200).body;
        body["attempts"].as_array().unwrap().clone()
    };
    let first = eventually("the first attempt", async || attempts(&later).await.into_iter().next()).await;
    assert!(first["error"].as_str().unwrap().contains("451"), "{first}");
    advance(&kernel, 34).await;
    let sent = settled(&owner, &later, "sent").await;
    assert_eq!(sent["attempts"].as_array().unwrap().len(), 2);
    assert_eq!(sink.to("later@example.com").len(), 1);

    // The server will never have it.
    let refused = send(&owner, mail("refused@example.com", "Never")).await;
    let failed = settled(&owner, &refused, "failed").await;
    assert!(failed["error"].as_str().unwrap().contains("550"), "{failed}");
    let list = owner.get("/api/v1/notifications/failed").await.expect(200);
    assert_eq!(list.data()[0]["id"], json!(refused));
    owner.post(&format!("/api/v1/notifications/{refused}/retry"), json!({})).await.expect(202);
    eventually("a second attempt", async || (attempts(&refused).await.len() == 2).then_some(())).await;
    settled(&owner, &refused, "failed").await;

    // The server is gone: five attempts, then it has failed.
    sink.stop();
    let lost = send(&owner, mail("ada@example.com", "Lost")).await;
    for (made, wait) in [(1, 34), (2, 34), (3, 67), (4, 133)] {
        eventually(&format!("attempt {made}"), async || (attempts(&lost).await.len() == made).then_some(()))
            .await;
        advance(&kernel, wait).await;
    }
    let failed = settled(&owner, &lost, "failed").await;
    assert_eq!(failed["attempts"].as_array().unwrap().len(), 5);
    let verbs: Vec<Value> = crate::support::events(&owner, "notify")
        .await
        .into_iter()
        .filter(|e| e["key"] == json!(lost))
        .collect();
    assert_eq!(verbs.last().unwrap()["type"], "notify.notification.failed");
    kernel.close().await;
}

#[tokio::test]
async fn a_fork_sends_nothing_until_it_is_allowed_to() {
    let sink = Sink::start();
    let kernel = kernel(&sink).await;
    kernel.operator().post("/api/v1/sandboxes/default/fork", json!({ "name": "copy" })).await.expect(201);
    let there = kernel.api().sandbox("copy").sign_in(DEMO_OWNER, DEMO_PASSWORD).await;
    let operator = kernel.operator().sandbox("copy");
    assert!(operator.get("/api/v1/sandbox/outbox").await.expect(200).data().is_empty());
    let id = send(&there, mail("kept@example.com", "Stays")).await;
    settled(&there, &id, "sent").await;
    assert_eq!(mail_to(&there, "kept@example.com").await["status"], "captured");

    let mut sql = kernel.owner_sql("copy").await;
    sqlx::query("select notify.allow_outbound(true)").execute(&mut sql).await.unwrap();
    let id = send(&there, mail("gone@example.com", "Leaves")).await;
    settled(&there, &id, "sent").await;
    assert_eq!(mail_to(&there, "gone@example.com").await["status"], "sent");
    assert_eq!((sink.to("kept@example.com").len(), sink.to("gone@example.com").len()), (0, 1));
    kernel.close().await;
}
