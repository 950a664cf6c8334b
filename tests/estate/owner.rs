use serde_json::json;
use testkit::{Kernel, KernelOptions};

use crate::empty;

const EMAIL: &str = "owner@example.com";
const PASSWORD: &str = "tandem-gravel-42-owl";

fn owned() -> KernelOptions {
    empty().with("KERNEL_OWNER_EMAIL", EMAIL).with("KERNEL_OWNER_PASSWORD", PASSWORD)
}

/// Signs in, with what is to come of it.
async fn sign_in(kernel: &Kernel, password: &str, status: u16) -> serde_json::Value {
    let body = json!({ "email": EMAIL, "password": password });
    kernel.api().post("/api/v1/auth/login", body).await.expect(status).body
}

#[tokio::test(flavor = "multi_thread")]
async fn the_owner_of_the_settings_runs_the_platform_from_the_first_start_on() {
    let folder = testkit::data_folder();
    let kernel = Kernel::start(owned().on(folder.path())).await;
    assert!(kernel.estate.way_in().await.unwrap().unwrap().starts_with(EMAIL));
    let tokens = sign_in(&kernel, PASSWORD, 200).await;
    let owner = kernel.api().with(tokens["accessToken"].as_str().unwrap());
    let me = owner.get("/api/v1/auth/me").await.expect(200).body;
    assert_eq!(me["flags"], json!({ "owner": true, "platform": true, "emailVerified": true }));
    let changed = json!({ "currentPassword": PASSWORD, "newPassword": "another-gravel-43-owl" });
    owner.post("/api/v1/auth/change-password", changed).await.expect(200);
    kernel.close().await;

    // The password of the settings is the first one, not the one for ever.
    let kernel = Kernel::start(owned().on(folder.path())).await;
    sign_in(&kernel, PASSWORD, 401).await;
    sign_in(&kernel, "another-gravel-43-owl", 200).await;
    // A sandbox of somebody else has no part in it.
    crate::make(&kernel, "other").await;
    let body = json!({ "email": EMAIL, "password": PASSWORD });
    kernel.api().sandbox("other").post("/api/v1/auth/login", body).await.expect(401);
    kernel.operator().post("/api/v1/sandboxes/default/reset", json!({})).await.expect(200);
    sign_in(&kernel, PASSWORD, 200).await;
    kernel.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_one_the_link_of_the_log_makes_the_owner() {
    let kernel = Kernel::start(empty()).await;
    let way_in = kernel.estate.way_in().await.unwrap().unwrap();
    let (_, token) = way_in.split_once("/set-up#token=").unwrap();
    let body = json!({ "token": token, "email": EMAIL, "password": PASSWORD, "name": "Ada" });
    // The token of one sandbox is good for no other.
    crate::make(&kernel, "other").await;
    let other = kernel.api().sandbox("other");
    other.post("/api/v1/auth/set-up", body.clone()).await.expect_problem(400, "validation-error");
    kernel.api().post("/api/v1/auth/set-up", body.clone()).await.expect(201);
    assert_eq!(kernel.estate.way_in().await.unwrap(), None);
    sign_in(&kernel, PASSWORD, 200).await;

    kernel.operator().post("/api/v1/sandboxes/default/reset", json!({})).await.expect(200);
    kernel.api().post("/api/v1/auth/set-up", body).await.expect_problem(400, "validation-error");
    let fresh = kernel.estate.way_in().await.unwrap().unwrap();
    assert!(fresh.contains("/set-up#token=") && fresh != way_in, "a reset sandbox has another token");
    kernel.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_owner_whom_nobody_could_be_is_refused_before_anything_is_made() {
    let folder = testkit::data_folder();
    let data = folder.path().join("data");
    let options = empty().with("KERNEL_OWNER_EMAIL", EMAIL).with("KERNEL_OWNER_PASSWORD", "password1234");
    let refused = Kernel::try_start(options.on(&data)).await.err().unwrap().to_string();
    assert!(refused.starts_with("KERNEL_OWNER_PASSWORD "), "{refused}");
    assert!(!data.join("postgres").exists());
}
