//! The compose files say what they run in the words of docker/versions.env and docker/sandbox.env.example.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    missing_docs,
    reason = "a test: what fails here fails the test"
)]

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

const SANDBOX: &str = "docker-compose.sandbox.yml";

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// The sandbox' file, and every compose file under docker/.
fn compose_files() -> Vec<PathBuf> {
    let mut files = vec![root().join(SANDBOX)];
    for entry in fs::read_dir(root().join("docker")).unwrap() {
        let path = entry.unwrap().path();
        if path.file_name().unwrap().to_string_lossy().starts_with("docker-compose.") {
            files.push(path);
        }
    }
    assert_eq!(files.len(), 6, "the sandbox' file and five overlays: {files:#?}");
    files
}

/// The lines of a file that are no comment.
fn lines(path: &Path) -> String {
    let text = fs::read_to_string(path).unwrap();
    text.lines().filter(|line| !line.trim_start().starts_with('#')).collect::<Vec<_>>().join("\n")
}

/// Each `${NAME:-default}` of a text with its default; a default may hold another variable. One without a default has none.
fn variables(text: &str) -> Vec<(String, Option<String>)> {
    let mut found = Vec::new();
    for (at, _) in text.match_indices("${") {
        let body = &text[at + 2..];
        let mut depth = 1;
        let end = body.char_indices().find_map(|(at, character)| {
            match character {
                '{' => depth += 1,
                '}' => depth -= 1,
                _ => {}
            }
            (depth == 0).then_some(at)
        });
        let body = &body[..end.expect("a variable ends")];
        match body.split_once(":-") {
            Some((name, default)) => found.push((name.to_owned(), Some(default.to_owned()))),
            None => found.push((body.to_owned(), None)),
        }
    }
    found
}

/// The `NAME=value` lines of docker/versions.env.
fn versions() -> BTreeMap<String, String> {
    let pairs = lines(&root().join("docker/versions.env"));
    pairs.lines().filter_map(|line| line.split_once('=')).map(|(n, v)| (n.to_owned(), v.to_owned())).collect()
}

#[test]
fn versions_in_compose_files_are_those_of_versions_env() {
    let versions = versions();
    let mut wrong = Vec::new();
    let mut used = BTreeSet::new();
    for path in compose_files() {
        for (name, default) in variables(&lines(&path)) {
            let Some(version) = versions.get(&name) else {
                if name.ends_with("_VERSION") {
                    wrong.push(format!("{}: {name} is not in docker/versions.env", path.display()));
                }
                continue;
            };
            used.insert(name.clone());
            if default.as_ref() != Some(version) {
                wrong.push(format!("{}: {name} is {default:?}, not {version}", path.display()));
            }
        }
        for image in lines(&path).lines().filter_map(|line| line.trim().strip_prefix("image: ")) {
            if !image.contains("_VERSION:-") && !image.starts_with("${KERNEL_IMAGE:-") {
                wrong
                    .push(format!("{}: {image} does not take its version from versions.env", path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    // Proof that the files were read.
    for name in ["POSTGRES_VERSION", "VALKEY_VERSION", "KAFKA_VERSION", "ENVOY_VERSION", "RUST_VERSION"] {
        assert!(used.contains(name), "{name} is nowhere");
    }
}

#[test]
fn the_dockerfile_builds_with_the_same_versions() {
    let versions = versions();
    let dockerfile = lines(&root().join("Dockerfile"));
    let arguments: Vec<_> = dockerfile
        .lines()
        .filter_map(|line| line.strip_prefix("ARG ")?.split_once('='))
        .filter(|(name, _)| name.ends_with("_VERSION"))
        .collect();
    assert_eq!(arguments.len(), 3, "{arguments:?}");
    for (name, version) in arguments {
        assert_eq!(versions.get(name).map(String::as_str), Some(version), "{name}");
    }
}

#[test]
fn every_setting_of_the_sandbox_is_described_with_its_default() {
    let versions = versions();
    let example = fs::read_to_string(root().join("docker/sandbox.env.example")).unwrap();
    let described: BTreeMap<&str, &str> = example
        .lines()
        .filter_map(|line| line.strip_prefix('#')?.split_once('='))
        .filter(|(name, _)| name.bytes().all(|b| b.is_ascii_uppercase() || b == b'_'))
        .collect();
    // What has no default has an example.
    let examples = ["KERNEL_OWNER_EMAIL", "KERNEL_ALLOWED_TARGETS", "SMTP_URL", "SMTP_FROM"];
    let mut settings = BTreeSet::new();
    for (name, default) in variables(&lines(&root().join(SANDBOX))) {
        if versions.contains_key(&name) {
            continue;
        }
        let said = described.get(name.as_str()).unwrap_or_else(|| panic!("{name} is not described"));
        let default = default.unwrap_or_else(|| panic!("{name} has no default"));
        // The default that follows another variable is written out with the default of that one.
        let default = variables(&default).into_iter().fold(default, |text, (name, inner)| {
            text.replace(&format!("${{{name}:-{}}}", inner.clone().unwrap()), &inner.unwrap())
        });
        if !examples.contains(&name.as_str()) {
            assert_eq!(*said, default, "{name}");
        }
        settings.insert(name);
    }
    let unknown: Vec<_> = described.keys().filter(|name| !settings.contains(**name)).collect();
    assert!(unknown.is_empty(), "described, but nothing reads them: {unknown:?}");
}
