//! What the documents tell people to type, typed.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    missing_docs,
    reason = "a test: what fails here fails the test"
)]

use std::{fs, path::Path, process::Command};

use testkit::{Binary, Launch};

/// The `sh` blocks of a document, in order, as one script.
fn script(document: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(document);
    let text = fs::read_to_string(path).unwrap();
    let mut script = "set -euo pipefail\n".to_owned();
    let mut inside = false;
    for line in text.lines() {
        match (inside, line.trim()) {
            (false, "```sh") => inside = true,
            (true, "```") => inside = false,
            (true, _) => {
                script.push_str(line);
                script.push('\n');
            }
            _ => {}
        }
    }
    script
}

fn run(kernel: &Binary, document: &str) -> String {
    let folder = testkit::data_folder();
    let program = Path::new(env!("CARGO_BIN_EXE_platform-kernel"));
    let path = format!("{}:{}", program.parent().unwrap().display(), std::env::var("PATH").unwrap());
    let output = Command::new("bash")
        .arg("-c")
        .arg(script(document))
        .current_dir(folder.path())
        .env("PATH", path)
        .env("PK_URL", kernel.url())
        .env("KERNEL_DATA_DIR", kernel.data())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{document}:\n{said}\n{}", String::from_utf8_lossy(&output.stderr));
    said
}

#[test]
fn the_tour_of_the_readme_works() {
    let kernel = Launch::default().start(env!("CARGO_BIN_EXE_platform-kernel"));
    let said = run(&kernel, "README.md");
    assert!(said.lines().filter(|line| line.ends_with("1000")).count() >= 4, "{said}");
    assert!(said.contains("\"valid\":true"), "{said}");
    assert!(said.contains("data.crm."), "{said}");
    for told in [
        "travel: 2500 cents",
        "card: image/webp",
        "\"key\":\"console-banner\"",
        "the 26th: 402",
        "ahead of real time",
    ] {
        assert!(said.contains(told), "{told} is not in\n{said}");
    }
    let states: Vec<&str> = said.lines().filter(|line| ["trialing", "terminated"].contains(line)).collect();
    assert_eq!(states, ["terminated", "trialing"], "{said}");
}

#[test]
fn the_first_module_can_be_made_by_following_the_page() {
    let kernel = Launch::default().start(env!("CARGO_BIN_EXE_platform-kernel"));
    run(&kernel, "docs/first-module.md");
}
