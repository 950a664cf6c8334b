use std::fs;

use serde_json::{Value, json};
use testkit::{Api, Kernel, KernelOptions, until};

use crate::ofrep;

const FLAG: &str = "greeting: { variations: { hi: hi, ho: ho }, defaultRule: { variation: WHICH } }";

async fn greeting(api: &Api) -> Value {
    ofrep(api, "greeting", json!({ "targetingKey": "ada" })).await.body["value"].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_file_holds_without_a_restart_and_a_broken_one_is_told_in_health() {
    let folder = testkit::data_folder();
    let path = folder.path().join("flags.yaml");
    fs::write(&path, FLAG.replace("WHICH", "hi")).unwrap();
    let options = KernelOptions::default().with("KERNEL_TEMPLATE", "empty");
    let kernel = Kernel::start(options.with("FLAGS_FILE", path.to_str().unwrap())).await;
    let (acme, _) = kernel.api().register("Acme").await;
    let operator = kernel.operator();
    let health = async || {
        operator.get("/health").await.expect(200).body["sandboxes"]["default"]["services"]["flags"].clone()
    };
    assert_eq!(greeting(&acme).await, "hi");
    assert_eq!(health().await["state"], "good");

    fs::write(&path, FLAG.replace("WHICH", "ho")).unwrap();
    until("the new flags", async || greeting(&acme).await == "ho").await;

    fs::write(&path, FLAG.replace("WHICH", "neither")).unwrap();
    until("the broken file", async || health().await["state"] == "degraded").await;
    let reason = health().await["reason"].as_str().unwrap().to_owned();
    assert!(
        reason.contains("greeting: /defaultRule/variation: there is no variation \"neither\""),
        "{reason}"
    );
    assert_eq!(greeting(&acme).await, "ho", "the last good flags hold");

    fs::write(&path, FLAG.replace("WHICH", "hi")).unwrap();
    until("the mended file", async || health().await["state"] == "good" && greeting(&acme).await == "hi")
        .await;
    kernel.close().await;
}
