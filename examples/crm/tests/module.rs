//! That manifest, migrations and code say the same.

#![allow(missing_docs, clippy::unwrap_used)]

use std::collections::BTreeSet;

use crm_example::{MANIFEST, MIGRATIONS, NAME, SLUG};
use serde_json::Value;

fn manifest() -> Value {
    serde_json::from_str(MANIFEST).unwrap()
}

fn strings(value: &Value) -> Vec<&str> {
    value.as_array().map(|all| all.iter().filter_map(Value::as_str).collect()).unwrap_or_default()
}

/// The statements of all Up or Down parts, in lower case and without comments.
fn statements(part: &str) -> Vec<String> {
    let mut all = Vec::new();
    for (file, text) in MIGRATIONS {
        let (up, down) = text.split_once("-- +goose Down").unwrap_or_else(|| panic!("{file} has no Down"));
        let up = up.strip_prefix("-- +goose Up").unwrap_or_else(|| panic!("{file} does not begin with Up"));
        let text = if part == "Up" { up } else { down };
        let lines: Vec<&str> = text.lines().map(|line| line.split("--").next().unwrap()).collect();
        all.extend(
            lines
                .join("\n")
                .to_lowercase()
                .split(";\n")
                .map(|s| s.trim().to_owned())
                .filter(|s| !s.is_empty()),
        );
    }
    all
}

#[test]
fn every_migration_of_the_folder_is_carried() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/migrations");
    let on_disk: BTreeSet<String> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    let carried: BTreeSet<String> = MIGRATIONS.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(on_disk, carried);
    assert!(MIGRATIONS.is_sorted());
}

#[test]
fn the_manifest_names_this_module_and_only_its_own_things() {
    let manifest = manifest();
    assert_eq!(manifest["name"], NAME);
    assert!(manifest["description"].as_str().unwrap().len() <= 255);
    let permissions = strings(&manifest["permissions"]);
    for permission in &permissions {
        let parts: Vec<&str> = permission.split('.').collect();
        assert!(parts.len() == 3 && parts[0] == SLUG, "{permission}");
    }
    for model in manifest["dataApi"]["models"].as_array().unwrap() {
        for action in ["read", "write", "delete"] {
            let wanted = format!("{SLUG}.{}.{action}", model["name"].as_str().unwrap());
            assert!(permissions.contains(&wanted.as_str()), "{wanted}");
        }
    }
    for route in manifest["backend"]["routes"].as_array().unwrap() {
        assert!(permissions.contains(&route["permission"].as_str().unwrap()), "{route}");
    }
    for event in strings(&manifest["events"]["publishes"]) {
        assert!(event.starts_with("crm.") && event.split('.').count() == 3, "{event}");
    }
}

#[test]
fn every_model_is_a_table_and_every_named_column_is_in_it() {
    let manifest = manifest();
    for model in manifest["dataApi"]["models"].as_array().unwrap() {
        let begin = format!("create table {} (", model["name"].as_str().unwrap());
        let up = statements("Up");
        let table = up.iter().find(|s| s.starts_with(&begin)).unwrap_or_else(|| panic!("no {begin}"));
        for column in strings(&model["hidden"]).into_iter().chain(strings(&model["readOnly"])) {
            assert!(table.contains(&format!("\n    {column} ")), "{begin} has no {column}");
        }
    }
}

#[test]
fn the_migrations_keep_to_what_a_module_may_say() {
    let allowed = ["create table ", "create type ", "create index ", "comment on "];
    for statement in statements("Up") {
        assert!(allowed.iter().any(|begin| statement.starts_with(begin)), "{statement}");
        let calls = statement.replace("gen_random_uuid()", "");
        assert!(!calls.contains("()"), "a function in {statement}");
        if statement.starts_with("create index ") {
            assert!(statement.contains(" (tenant_id, "), "an index without its tenant: {statement}");
        }
        for line in statement.lines().map(str::trim) {
            if line.starts_with("unique ") || line.starts_with("foreign key ") {
                assert!(line.contains(" (tenant_id, "), "a key without its tenant: {line}");
            }
            if line.starts_with("foreign key ") {
                assert!(line.split("references").nth(1).unwrap().contains("(tenant_id, id)"), "{line}");
            }
        }
        if statement.starts_with("create table ") {
            assert!(
                statement.contains("\n    id uuid primary key default gen_random_uuid(),"),
                "{statement}"
            );
            assert!(statement.contains("\n    tenant_id uuid not null,"), "{statement}");
        }
    }
    for statement in statements("Down") {
        assert!(statement.starts_with("drop table ") || statement.starts_with("drop type "), "{statement}");
    }
}
