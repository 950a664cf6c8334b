use std::process::{Command, Output};

use serde_json::Value;
use testkit::{Valkey, data_folder};

/// What a verb of the program says, with nothing in the environment but the server's address and password.
fn run(verb: &[&str], url: &str, password: Option<&str>) -> Output {
    let folder = data_folder();
    let mut command = Command::new(env!("CARGO_BIN_EXE_platform-kernel"));
    command
        .args(verb)
        .env("KERNEL_DATA_DIR", folder.path().join("data"))
        .env("VALKEY_URL", url)
        .envs(["GATEWAY_PORT", "GATEWAY_TLS_PORT", "IAM_PORT", "GRPC_PORT"].map(|port| (port, "0")));
    if let Some(password) = password {
        let file = folder.path().join("password");
        std::fs::write(&file, format!("{password}\n")).unwrap();
        command.env("VALKEY_PASSWORD_FILE", file);
    }
    command.output().unwrap()
}

fn finding(output: &Output) -> Value {
    let all: Value = serde_json::from_slice(&output.stdout).unwrap();
    let found = all.as_array().unwrap().iter().find(|finding| finding["what"] == "Valkey");
    found.unwrap_or_else(|| panic!("{all}")).clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_doctor_tries_the_server_and_a_start_is_refused_with_the_same_words() {
    let server = Valkey::start(&["--requirepass", "open sesame"]);
    let good = finding(&run(&["doctor", "--json"], &server.url(), Some("open sesame")));
    assert_eq!(good["state"], "good", "{good}");
    let told = good["told"].as_str().unwrap();
    assert!(told.starts_with("Valkey 8.1") && told.contains("writes, reads"), "{told}");

    let bad = finding(&run(&["doctor", "--json"], &server.url(), Some("wrong")));
    let told = bad["told"].as_str().unwrap();
    assert!(bad["state"] == "bad" && told.contains("VALKEY_PASSWORD"), "{bad}");
    let start = run(&[], &server.url(), Some("wrong"));
    assert_eq!(start.status.code(), Some(1));
    let said = String::from_utf8_lossy(&start.stderr).into_owned();
    assert!(said.contains(told), "{said}");

    let shown = run(&["config"], "valkey://:open%20sesame@127.0.0.1:1", None);
    let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
    assert!(shown.contains("VALKEY_URL") && !shown.contains("sesame"), "{shown}");
}
