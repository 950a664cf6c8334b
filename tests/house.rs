//! The rules of the house that a compiler does not check.

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

use cargo_metadata::{DependencyKind, MetadataCommand};

const SERVICES: [&str; 12] = [
    "gateway",
    "iam",
    "data-layer",
    "event-bus",
    "notify",
    "files",
    "money",
    "audit",
    "billing",
    "module-registry",
    "integration-hub",
    "domain-resolver",
];

/// What each crate of the house may stand on.
fn allowed(name: &str) -> BTreeSet<&'static str> {
    let mut below: BTreeSet<&str> = BTreeSet::new();
    match name {
        // Contracts with the world outside, which know nothing of the house; and a binding to a library.
        "kernel" | "proto" | "vips" => {}
        "ports" | "flags" => {
            below.insert("kernel");
        }
        // Kafka carries the envelope of proto/.
        "fabric" => {
            below.extend(["kernel", "proto"]);
        }
        service if SERVICES.contains(&service) => {
            below.extend(["kernel", "ports", "fabric", "flags", "proto"]);
            if service == "files" {
                below.insert("vips");
            }
        }
        "crm-example" => {}
        "sandbox" => {
            below.extend(["kernel", "ports", "fabric", "flags", "crm-example"]);
            below.extend(SERVICES);
        }
        "testkit" => {
            below.extend(["kernel", "ports", "fabric", "flags", "proto", "sandbox", "crm-example"]);
            below.extend(SERVICES);
        }
        "platform-kernel" => {
            // The door: the services are reached through `sandbox`; of them only gateway has listeners to open.
            below.extend([
                "kernel",
                "ports",
                "fabric",
                "flags",
                "proto",
                "sandbox",
                "gateway",
                "crm-example",
            ]);
        }
        other => panic!("{other} is a new crate: say in tests/house.rs what it may stand on"),
    }
    below
}

#[test]
fn imports_run_one_way() {
    let metadata = MetadataCommand::new().no_deps().exec().unwrap();
    let own: BTreeSet<String> = metadata.packages.iter().map(|p| p.name.to_string()).collect();
    let mut wrong = Vec::new();
    for package in &metadata.packages {
        let may = allowed(&package.name);
        for dependency in &package.dependencies {
            let inside = own.contains(&dependency.name);
            let product =
                dependency.kind == DependencyKind::Normal || dependency.kind == DependencyKind::Build;
            if inside && product && !may.contains(dependency.name.as_str()) {
                wrong.push(format!("{} must not import {}", package.name, dependency.name));
            }
            if dependency.name == "testkit" && product {
                wrong.push(format!("{}: testkit is for tests only", package.name));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

fn files(under: &str, ending: &str) -> Vec<PathBuf> {
    fn walk(at: &Path, ending: &str, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(at).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() && !path.ends_with("target") && !path.ends_with("node_modules") {
                walk(&path, ending, found);
            } else if path.extension().is_some_and(|e| e == ending) {
                found.push(path);
            }
        }
    }
    let mut found = Vec::new();
    walk(&Path::new(env!("CARGO_MANIFEST_DIR")).join(under), ending, &mut found);
    found
}

/// The part of a line before a comment.
fn code(line: &str) -> &str {
    line.split("--").next().unwrap_or("").split("//").next().unwrap_or("")
}

#[test]
fn kernel_sql_asks_the_sandbox_for_the_date() {
    let mut wrong = Vec::new();
    let mut sources = files("migrations", "sql");
    sources.extend(files("modules", "rs").into_iter().filter(|path| {
        let name = path.to_string_lossy();
        name.contains("/store") && !name.contains("/sql/")
    }));
    for path in sources {
        for (number, line) in fs::read_to_string(&path).unwrap().lines().enumerate() {
            let text = code(line).to_lowercase().replace("kernel.now()", "");
            let own = text.contains("current_timestamp")
                || text.match_indices("now()").any(|(at, _)| {
                    !text[..at].ends_with(|c: char| c.is_ascii_alphanumeric() || c == '_' || c == '.')
                });
            if own {
                wrong.push(format!("{}:{}: {}", path.display(), number + 1, line.trim()));
            }
        }
    }
    assert!(
        wrong.is_empty(),
        "use kernel.now(), or clock_timestamp() where real time is meant:\n{}",
        wrong.join("\n")
    );
}

#[test]
fn migrations_are_one_numbered_series_with_a_service_each() {
    let mut numbers = BTreeMap::new();
    for path in files("migrations", "sql") {
        if path.parent().is_some_and(|folder| folder.ends_with("control")) {
            continue;
        }
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let mut parts = name.splitn(3, '_');
        let number: u32 =
            parts.next().unwrap().parse().unwrap_or_else(|_| panic!("{name}: begins with its number"));
        assert!(parts.next().is_some() && parts.next().is_some(), "{name}: NNNN_<service>_<what>.sql");
        assert!(numbers.insert(number, name.clone()).is_none(), "{name}: the number is taken");
    }
}

#[test]
fn a_file_can_be_held_in_the_head() {
    let long: Vec<String> = ["src", "crates", "modules", "tests", "benches", "examples"]
        .into_iter()
        .filter(|folder| Path::new(env!("CARGO_MANIFEST_DIR")).join(folder).is_dir())
        .flat_map(|folder| files(folder, "rs"))
        .filter_map(|path| {
            let lines = fs::read_to_string(&path).unwrap().lines().count();
            (lines > 450).then(|| format!("{}: {lines} lines", path.display()))
        })
        .collect();
    assert!(long.is_empty(), "two rooms in one:\n{}", long.join("\n"));
}

#[test]
fn every_service_has_a_page_about_itself() {
    for service in SERVICES {
        let room = Path::new(env!("CARGO_MANIFEST_DIR")).join("modules").join(service);
        if room.is_dir() {
            assert!(room.join("README.md").is_file(), "modules/{service} has no README.md");
        }
    }
}
