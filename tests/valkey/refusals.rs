use std::time::{Duration, Instant};

use fabric::cache::{ValkeyOptions, ValkeyStore};
use kernel::Secret;
use testkit::Valkey;

use crate::options;

/// What is said instead of a connection; never the password, and never late.
async fn refusal(options: &ValkeyOptions) -> String {
    let begun = Instant::now();
    let said = ValkeyStore::connect(options).await.err().expect("a refusal").to_string();
    assert!(begun.elapsed() < Duration::from_secs(4), "{:?}", begun.elapsed());
    assert!(!said.contains("hunter2"), "{said}");
    said
}

fn says(said: &str, words: &[&str]) {
    assert!(words.iter().all(|word| said.contains(word)), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_address_is_told() {
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let said = refusal(&options(&format!("valkey://:hunter2@127.0.0.1:{closed}"))).await;
    says(&said, &["no Valkey answers at", &closed.to_string(), "check host and port in VALKEY_URL"]);
    says(&refusal(&options("valkey://no-such-host.invalid:6379")).await, &["no Valkey answers at"]);
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let said = refusal(&options(&format!("valkey://{}", silent.local_addr().unwrap()))).await;
    says(&said, &["no Valkey answers at"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_password_is_told() {
    let server = Valkey::start(&["--requirepass", "secret"]);
    for url in [server.url(), format!("valkey://:hunter2@127.0.0.1:{}", server.port())] {
        says(&refusal(&options(&url)).await, &["does not let us in", "VALKEY_PASSWORD"]);
    }
    let beside = ValkeyOptions { password: Some(Secret::new("hunter2")), ..options(&server.url()) };
    says(&refusal(&beside).await, &["does not let us in"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_that_can_not_be_trusted_is_told() {
    let server = Valkey::redis_with_tls(&[]);
    let stranger = options(&format!("rediss://localhost:{}", server.port()));
    says(&refusal(&stranger).await, &["no trusted TLS", "UnknownIssuer", "SSL_CERT_FILE"]);
    let plain = options(&format!("redis://localhost:{}", server.port()));
    says(&refusal(&plain).await, &["valkeys://"]);
    let without = Valkey::start(&[]);
    let options = ValkeyOptions {
        roots: Some(server.authority()),
        ..options(&format!("rediss://localhost:{}", without.port()))
    };
    says(&refusal(&options).await, &["TLS", "valkey://"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_right_that_is_missing_is_told() {
    let server = Valkey::start(&[]);
    let url = format!("valkey://kernel:hunter2@127.0.0.1:{}", server.port());
    for (rights, lacking) in [
        ("~* &* +@all -set", "set"),
        ("~* +@all -@dangerous", "channel"),
        ("~other* &* +@all", "key"),
        ("~* &* +@all -@scripting", "eval"),
    ] {
        let rule: Vec<&str> = ["ACL", "SETUSER", "kernel", "reset", "on", ">hunter2"]
            .into_iter()
            .chain(rights.split(' '))
            .collect();
        server.ask(&rule);
        says(&refusal(&options(&url)).await, &["lacks a right", lacking, "ACL SETUSER"]);
    }
}
