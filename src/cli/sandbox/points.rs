//! Snapshots and seeds.

use std::path::Path;

use http::Method;
use kernel::{SandboxName, Timestamp};
use serde_json::{Value, json};

use super::{path, text, told};
use crate::cli::span;
use crate::client::Kernel;
use crate::failure::Failure;
use crate::output::{self, Table};

pub(super) async fn take(
    kernel: &Kernel,
    name: &SandboxName,
    label: Option<String>,
    json: bool,
) -> Result<(), Failure> {
    let body = json!({ "label": label });
    let taken = kernel.ask(Method::POST, &path(name, "/snapshots"), Some(&body), None).await?;
    told(&taken, json, |snapshot| {
        let label = text(snapshot, "label");
        format!("{name} can go back to now:\n  platform-kernel sandbox restore {name} {label}")
    })
}

pub(super) async fn list(kernel: &Kernel, name: &SandboxName, json: bool) -> Result<(), Failure> {
    let listed = kernel.ask(Method::GET, &path(name, "/snapshots"), None, None).await?;
    if json {
        return output::json(&listed["data"]);
    }
    output::print(&table(&listed, Timestamp::real()).text())
}

fn table(listed: &Value, now: Timestamp) -> Table {
    let mut table = Table::new(&["label", "age", "clock"]);
    for snapshot in listed["data"].as_array().into_iter().flatten() {
        let made = serde_json::from_value::<Timestamp>(snapshot["createdAt"].clone()).ok();
        let age = made.map(|at| span::show(now.since(at))).unwrap_or_default();
        table.row([text(snapshot, "label").to_owned(), age, text(snapshot, "clock").to_owned()]);
    }
    table
}

pub(super) async fn delete(kernel: &Kernel, name: &SandboxName, label: &str) -> Result<(), Failure> {
    let at = path(name, &format!("/snapshots/{}", super::escape(label)));
    kernel.ask(Method::DELETE, &at, None, None).await?;
    output::line(format!("the snapshot {label} of {name} is gone"))
}

pub(super) async fn restore(
    kernel: &Kernel,
    name: &SandboxName,
    label: &str,
    json: bool,
) -> Result<(), Failure> {
    let body = json!({ "snapshot": label });
    let done = kernel.ask(Method::POST, &path(name, "/restore"), Some(&body), None).await?;
    told(&done, json, |_| format!("{name} is as it was at {label}; everybody signs in anew"))
}

pub(super) async fn seed(
    kernel: &Kernel,
    name: &SandboxName,
    seed: &Path,
    json: bool,
) -> Result<(), Failure> {
    let body = match seed.to_str() {
        Some("demo") => json!({ "template": "demo" }),
        _ => match std::fs::read_to_string(seed) {
            Ok(yaml) => json!({ "yaml": yaml }),
            Err(error) => return Err(Failure::new(format!("{}: {error}", seed.display()))),
        },
    };
    let done = kernel.ask(Method::POST, &path(name, "/seed"), Some(&body), None).await?;
    told(&done, json, |report| {
        let counts = report.as_object().into_iter().flatten();
        let counts: Vec<String> = counts.map(|(what, count)| format!("{count} {what}")).collect();
        format!("{name} holds what the seed names: {}", counts.join(", "))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_snapshot_shows_its_age_and_its_clock() {
        let now: Timestamp = serde_json::from_value("2026-11-23T12:00:00.000Z".into()).unwrap();
        let listed = json!({ "data": [{ "label": "before", "createdAt": "2026-11-23T11:00:00.000Z",
                                        "clock": "2027-01-01T00:00:00.000Z" }] });
        let shown = table(&listed, now).text();
        let row: Vec<&str> = shown.lines().nth(1).unwrap().split_whitespace().collect();
        assert_eq!(row, ["before", "1", "h", "2027-01-01T00:00:00.000Z"]);
    }
}
