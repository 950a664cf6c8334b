//! `sandbox …`: kernels of their own inside the running one.

mod points;
mod time;

use std::{path::PathBuf, time::Duration};

use clap::Subcommand;
use http::Method;
use kernel::{SandboxName, Timestamp};
use serde_json::{Value, json};

use super::{Call, span};
use crate::client::Kernel;
use crate::failure::Failure;
use crate::output::{self, Table};
use crate::settings;

/// Make, list, copy, reset and throw away sandboxes.
#[derive(Debug, Subcommand)]
#[command(after_help = "\
Examples:
  platform-kernel sandbox create acme
  platform-kernel sandbox fork acme acme-try --expires-in 2h
  platform-kernel sandbox snapshot acme before-the-demo
  platform-kernel sandbox clock acme advance 38d
  platform-kernel sandbox restore acme before-the-demo
  platform-kernel sandbox reset acme
  platform-kernel sandbox delete acme-try")]
pub enum Verb {
    /// Make a sandbox from a template.
    Create {
        /// Its name: a DNS label of up to 40 characters.
        name: SandboxName,
        /// What is in it: demo, empty or a snapshot (acme@before-the-demo).
        #[arg(long, default_value = "demo")]
        template: String,
        /// It deletes itself after this time: 30m, 2h, 7d.
        #[arg(long, value_parser = span::parse)]
        expires_in: Option<Duration>,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// List the sandboxes.
    List {
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Show a sandbox.
    Show {
        /// Its name.
        name: SandboxName,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Back to the template it was made from; a fork goes back to its source's.
    Reset {
        /// Its name.
        name: SandboxName,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Copy a sandbox as it is now, without its secrets and sessions.
    Fork {
        /// The one to copy.
        source: SandboxName,
        /// The copy's name.
        name: SandboxName,
        /// API keys work in the copy, too; else they are disabled there.
        #[arg(long)]
        keep_keys: bool,
        /// It deletes itself after this time: 30m, 2h, 7d.
        #[arg(long, value_parser = span::parse)]
        expires_in: Option<Duration>,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Plant a seed: tenants, users, modules, records; what is there already stays.
    Seed {
        /// The sandbox.
        name: SandboxName,
        /// A YAML file, or `demo`.
        seed: PathBuf,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Take a snapshot: data, clock and places in the log.
    Snapshot {
        /// The sandbox.
        name: SandboxName,
        /// The snapshot's label; the moment unless given.
        label: Option<String>,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// List the snapshots of a sandbox, or throw one away.
    Snapshots {
        /// The sandbox.
        name: SandboxName,
        /// Throw this one away.
        #[arg(long, value_name = "LABEL")]
        delete: Option<String>,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Go back to a snapshot; everybody signs in anew.
    Restore {
        /// The sandbox.
        name: SandboxName,
        /// The snapshot's label.
        label: String,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Show a sandbox's clock, put it forward, stop it or let it run.
    Clock {
        /// The sandbox.
        name: SandboxName,
        #[command(subcommand)]
        change: Option<time::Change>,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Let a copy's mail and calls to third parties leave, or keep them in.
    AllowOutbound {
        /// The sandbox.
        name: SandboxName,
        /// Keep them in.
        #[arg(long)]
        off: bool,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Delete a sandbox; nothing of it remains.
    Delete {
        /// Its name.
        name: SandboxName,
    },
    /// Say when a sandbox deletes itself.
    Expire {
        /// Its name.
        name: SandboxName,
        /// After this time from now (30m, 2h, 7d), or `never`.
        #[arg(value_parser = when)]
        when: When,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
}

/// When a sandbox deletes itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// After this time.
    In(Duration),
    /// Not by itself.
    Never,
}

fn when(text: &str) -> Result<When, String> {
    if text == "never" {
        return Ok(When::Never);
    }
    span::parse(text).map(When::In).map_err(|told| format!("{told}, or never"))
}

/// Does it.
///
/// # Errors
/// A sentence.
pub async fn run(verb: Verb, call: Call) -> Result<(), Failure> {
    let kernel = Kernel::of(&settings::resolve(call.settings)?.config)?;
    match verb {
        Verb::Create { name, template, expires_in, json } => {
            let mut body = json!({ "name": name, "template": template });
            add_expiry(&mut body, expires_in);
            let made = kernel.ask(Method::POST, "/api/v1/sandboxes", Some(&body), None).await?;
            told(&made, json, |sandbox| {
                format!(
                    "{} is ready at {}\n  eval \"$(platform-kernel env {})\"",
                    name,
                    text(sandbox, "url"),
                    name
                )
            })
        }
        Verb::List { json } => list(&kernel, json).await,
        Verb::Show { name, json } => {
            let found = kernel.ask(Method::GET, &path(&name, ""), None, None).await?;
            if json { output::json(&found) } else { show(&found) }
        }
        Verb::Reset { name, json } => {
            let done = kernel.ask(Method::POST, &path(&name, "/reset"), None, None).await?;
            told(&done, json, |sandbox| {
                format!("{name} is back to its template {}", text(sandbox, "template"))
            })
        }
        Verb::Fork { source, name, keep_keys, expires_in, json } => {
            let mut body = json!({ "name": name, "keepKeys": keep_keys });
            add_expiry(&mut body, expires_in);
            let made = kernel.ask(Method::POST, &path(&source, "/fork"), Some(&body), None).await?;
            told(&made, json, |sandbox| {
                format!("{name} is a copy of {source}, ready at {}", text(sandbox, "url"))
            })
        }
        Verb::Seed { name, seed, json } => points::seed(&kernel, &name, &seed, json).await,
        Verb::Snapshot { name, label, json } => points::take(&kernel, &name, label, json).await,
        Verb::Snapshots { name, delete, json } => match delete {
            Some(label) => points::delete(&kernel, &name, &label).await,
            None => points::list(&kernel, &name, json).await,
        },
        Verb::Restore { name, label, json } => points::restore(&kernel, &name, &label, json).await,
        Verb::Clock { name, change, json } => time::clock(&kernel, &name, change, json).await,
        Verb::AllowOutbound { name, off, json } => {
            let body = json!({ "allowed": !off });
            let done = kernel.ask(Method::POST, &path(&name, "/allow-outbound"), Some(&body), None).await?;
            told(&done, json, |_| match off {
                true => format!("what {name} sends stays in its outbox"),
                false => format!("{name} speaks to the world outside"),
            })
        }
        Verb::Delete { name } => {
            kernel.ask(Method::DELETE, &path(&name, ""), None, None).await?;
            output::line(format!("{name} is gone"))
        }
        Verb::Expire { name, when, json } => {
            let seconds = match when {
                When::In(span) => Some(span.as_secs()),
                When::Never => None,
            };
            let body = json!({ "expiresInSeconds": seconds });
            let done = kernel.ask(Method::POST, &path(&name, "/expire"), Some(&body), None).await?;
            told(&done, json, |sandbox| match sandbox["expiresAt"].as_str() {
                Some(at) => format!("{name} deletes itself at {at}"),
                None => format!("{name} stays until it is deleted"),
            })
        }
    }
}

/// The address of a sandbox; its name holds nothing that would have to be escaped.
pub fn path(name: &SandboxName, action: &str) -> String {
    format!("/api/v1/sandboxes/{name}{action}")
}

fn add_expiry(body: &mut Value, expires_in: Option<Duration>) {
    if let Some(span) = expires_in {
        body["expiresInSeconds"] = span.as_secs().into();
    }
}

fn text<'a>(value: &'a Value, member: &str) -> &'a str {
    value[member].as_str().unwrap_or_default()
}

fn told(answer: &Value, json: bool, words: impl FnOnce(&Value) -> String) -> Result<(), Failure> {
    if json { output::json(answer) } else { output::line(words(answer)) }
}

async fn list(kernel: &Kernel, json: bool) -> Result<(), Failure> {
    let mut sandboxes = Vec::new();
    let mut after = String::new();
    loop {
        let page =
            kernel.ask(Method::GET, &format!("/api/v1/sandboxes?limit=100{after}"), None, None).await?;
        sandboxes.extend(page["data"].as_array().cloned().unwrap_or_default());
        match page["meta"]["cursor"].as_str() {
            Some(cursor) if page["meta"]["hasMore"] == true => {
                after = format!("&cursor={}", escape(cursor));
            }
            _ => break,
        }
    }
    if json {
        return output::json(&sandboxes);
    }
    output::print(&table(&sandboxes, Timestamp::real()).text())
}

/// A text as part of an address.
fn escape(text: &str) -> String {
    text.bytes().map(escaped).collect()
}

/// A byte of it (RFC 3986, 2.3).
fn escaped(byte: u8) -> String {
    match byte {
        b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => char::from(byte).to_string(),
        _ => format!("%{byte:02X}"),
    }
}

fn table(sandboxes: &[Value], now: Timestamp) -> Table {
    let mut table = Table::new(&["name", "state", "from", "age", "expires", "url"]);
    for sandbox in sandboxes {
        let state = match (text(sandbox, "state"), &sandbox["awake"]) {
            ("ready", Value::Bool(false)) => "asleep",
            (state, _) => state,
        };
        let from = sandbox["source"].as_str().map(|source| format!("fork of {source}"));
        let time = |member: &str| serde_json::from_value::<Timestamp>(sandbox[member].clone()).ok();
        let age = time("createdAt").map(|at| span::show(now.since(at)));
        let expires = time("expiresAt").map(|at| format!("in {}", span::show(at.since(now))));
        table.row([
            text(sandbox, "name").to_owned(),
            state.to_owned(),
            from.unwrap_or_else(|| text(sandbox, "template").to_owned()),
            age.unwrap_or_default(),
            expires.unwrap_or_else(|| "never".to_owned()),
            text(sandbox, "url").to_owned(),
        ]);
    }
    table
}

fn show(sandbox: &Value) -> Result<(), Failure> {
    let mut table = Table::new(&[]);
    for (member, value) in sandbox.as_object().into_iter().flatten() {
        let value = match value {
            Value::Null => "-".to_owned(),
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        table.row([member.clone(), value]);
    }
    output::print(table.text().trim_start_matches('\n'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sandbox_sleeps_expires_or_stems_from_another() {
        let now: Timestamp = serde_json::from_value("2026-11-23T12:00:00.000Z".into()).unwrap();
        let rows = [
            json!({"name": "default", "state": "ready", "awake": true, "template": "demo", "source": null,
                   "createdAt": "2026-11-23T11:00:00.000Z", "expiresAt": null, "url": "http://localhost:8080"}),
            json!({"name": "try", "state": "ready", "awake": false, "template": "demo", "source": "default",
                   "createdAt": "2026-11-23T11:59:00.000Z", "expiresAt": "2026-11-23T14:00:00.000Z", "url": "u"}),
        ];
        let shown = table(&rows, now).text();
        let lines: Vec<&str> = shown.lines().collect();
        assert_eq!(
            lines[1].split_whitespace().collect::<Vec<_>>().join(" "),
            "default ready demo 1 h never http://localhost:8080"
        );
        assert_eq!(
            lines[2].split_whitespace().collect::<Vec<_>>().join(" "),
            "try asleep fork of default 1 min in 2 h u"
        );
    }

    #[test]
    fn never_is_a_time_too() {
        assert_eq!(when("never"), Ok(When::Never));
        assert_eq!(when("2h"), Ok(When::In(Duration::from_secs(7_200))));
        assert!(when("soon").unwrap_err().ends_with("or never"));
    }

    #[test]
    fn a_cursor_is_escaped() {
        assert_eq!(escape("a+/="), "a%2B%2F%3D");
    }
}
