//! The real binary with its files in a bucket: that it says so, and what it says of a bucket that can't be used.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    missing_docs,
    reason = "a test: what fails here fails the test"
)]

use std::process::Command;

use serde_json::json;
use testkit::{DEMO_OWNER, DEMO_PASSWORD, Launch, data_folder};

const PROGRAM: &str = env!("CARGO_BIN_EXE_platform-kernel");

/// The bucket of `make parts`.
fn settings() -> Vec<(String, String)> {
    let setting = |name: &str| {
        let value = std::env::var(format!("TEST_{name}")).unwrap_or_else(|_| {
            panic!("TEST_{name} is not set: run `make parts` and `source ~/.cache/platform-kernel/parts/env`")
        });
        (name.to_owned(), value)
    };
    ["S3_ENDPOINT", "S3_BUCKET", "S3_ACCESS_KEY_ID", "S3_SECRET_ACCESS_KEY"].map(setting).to_vec()
}

/// What a verb says with these settings, one of which is another.
fn said(verb: &str, name: &str, value: &str) -> (Option<i32>, String) {
    let folder = data_folder();
    let output = Command::new(PROGRAM)
        .arg(verb)
        .env("KERNEL_DATA_DIR", folder.path().join("data"))
        .envs(settings())
        .env(name, value)
        .envs(["GATEWAY_PORT", "GATEWAY_TLS_PORT", "IAM_PORT", "GRPC_PORT"].map(|port| (port, "0")))
        .output()
        .unwrap();
    let text = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    (output.status.code(), text.concat())
}

#[tokio::test(flavor = "multi_thread")]
async fn files_lie_in_the_bucket_and_health_says_so() {
    let launch = settings().iter().fold(Launch::default(), |launch, (name, value)| launch.with(name, value));
    let kernel = launch.start(PROGRAM);
    let health = kernel.operator().get("/health").await.expect(200);
    assert_eq!(health.body["files"]["kind"], "bucket");
    assert_eq!(health.body["files"]["state"], "reachable", "{}", health.text);
    let demo = kernel.api().sign_in(DEMO_OWNER, DEMO_PASSWORD).await;
    let wish = json!({ "filename": "a.txt", "mimeType": "text/plain", "size": 5 });
    let presigned = demo.post("/api/v1/files/presign", wish).await.expect(201);
    let url = presigned.body["url"].as_str().unwrap();
    let brought = reqwest::Client::new().put(url).header("content-type", "text/plain").body("hello");
    assert!(brought.send().await.unwrap().status().is_success());
    let id = presigned.id();
    let made = demo.post(&format!("/api/v1/files/{id}/complete"), json!({})).await.expect(201);
    assert_eq!(made.body["state"], "available");
    assert!(!kernel.data().join("blobs").exists(), "nothing lies in the data folder");
}

#[test]
fn a_bucket_that_can_not_be_used_keeps_the_kernel_from_starting() {
    for (name, value, told) in [
        ("S3_ENDPOINT", "http://127.0.0.1:9", "S3 store at http://127.0.0.1:9 can't be reached"),
        ("S3_BUCKET", "not-there-at-all", "there is no bucket not-there-at-all"),
        ("S3_SECRET_ACCESS_KEY", "wrong", "does not accept the key (SignatureDoesNotMatch)"),
        ("S3_CA_FILE", "/not/there.pem", "S3_CA_FILE /not/there.pem can't be read"),
    ] {
        for verb in ["serve", "doctor"] {
            let (code, text) = said(verb, name, value);
            assert_eq!(code, Some(1), "{verb} {name}: {text}");
            assert!(text.contains(told), "{verb} {name}: {text}");
        }
    }
    let (code, text) = said("doctor", "S3_REGION", "us-east-1");
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("can be listed, written, read and cleared"), "{text}");
}
