//! Sandboxes as the operator handles them: made, shown, copied, reset, put to sleep, ended; and what remains of them.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    missing_docs,
    reason = "a test: what fails here fails the test"
)]

mod lives;
mod operator;
mod owner;
mod points;
mod remains;
mod verbs;

use serde_json::json;
use testkit::{Answer, Kernel, KernelOptions};

/// A kernel that is made quickly.
fn empty() -> KernelOptions {
    KernelOptions::default().with("KERNEL_TEMPLATE", "empty")
}

async fn make(kernel: &Kernel, name: &str) -> Answer {
    let body = json!({ "name": name, "template": "empty" });
    kernel.operator().post("/api/v1/sandboxes", body).await.expect(201)
}

async fn show(kernel: &Kernel, name: &str) -> Answer {
    kernel.operator().get(&format!("/api/v1/sandboxes/{name}")).await
}

/// A stranger is told to sign in: the sandbox is open.
async fn opens(kernel: &Kernel, name: &str) {
    kernel.api().sandbox(name).get("/api/v1/auth/me").await.expect_problem(401, "unauthorized");
}
