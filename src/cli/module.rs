//! `module …`: from a folder to the running kernel.

mod folder;

use std::path::PathBuf;

use clap::Subcommand;
use http::Method;
use kernel::SandboxName;
use serde_json::Value;

use self::folder::Folder;
use super::Call;
use crate::client::{Answer, Kernel};
use crate::failure::Failure;
use crate::output;
use crate::settings;

/// What the gateway takes as a body.
const BODY_LIMIT: usize = 1024 * 1024;

/// Check and register modules from a folder.
#[derive(Debug, Subcommand)]
#[command(after_help = "\
A module is a folder with module.manifest.json and, where it has tables, migrations/*.sql in goose's form.

Examples:
  platform-kernel example crm --export ./my-crm
  platform-kernel module validate ./my-crm
  platform-kernel module register ./my-crm --sandbox acme")]
pub enum Verb {
    /// Do everything but keep it, and say what would happen.
    Validate(Args),
    /// Register the module, or a newer version of it, in a sandbox.
    Register(Args),
}

/// Which module, and where.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The module's folder.
    folder: PathBuf,
    /// The sandbox.
    #[arg(long)]
    sandbox: Option<SandboxName>,
    /// Where the back-end is, when that is another address than the manifest's.
    #[arg(long, value_name = "URL")]
    backend_url: Option<String>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Validates or registers.
///
/// # Errors
/// Every mistake with file, line, and what to write instead; exit code 1.
pub async fn run(verb: Verb, call: Call) -> Result<(), Failure> {
    let (args, registers) = match verb {
        Verb::Validate(args) => (args, false),
        Verb::Register(args) => (args, true),
    };
    let folder = Folder::read(&args.folder)?;
    let body = folder.body(args.backend_url.as_deref());
    let size = body.to_string().len();
    if size > BODY_LIMIT {
        return Err(Failure::new(format!(
            "the manifest and its migrations have {} together, at most 1 MB is taken; split the module, or load data \
             through its API instead of migrations",
            output::size(size as u64)
        )));
    }
    let kernel = Kernel::of(&settings::resolve(call.settings)?.config)?;
    let path = if registers { "/api/v1/modules" } else { "/api/v1/modules/validate" };
    let mut answer = kernel.call(Method::POST, path, Some(&body), args.sandbox.as_ref()).await?;
    if registers && answer.problem().r#type.ends_with("/already-exists") {
        // Of a newer version than the one that is there: the same folder updates it.
        let path = format!("/api/v1/modules/{}", folder.slug());
        answer = kernel.call(Method::PATCH, &path, Some(&body), args.sandbox.as_ref()).await?;
    }
    if !answer.status.is_success() {
        return Err(refused(&folder, &answer));
    }
    let done = answer.json()?;
    if args.json {
        return output::json(&done);
    }
    let sandbox = args.sandbox.as_ref().map_or("default", SandboxName::as_str);
    output::print(&if registers { registered(&done, sandbox) } else { plan(&done) })
}

/// `file:line: what is wrong; what to do`, as editors read it.
fn refused(folder: &Folder, answer: &Answer) -> Failure {
    let problem = answer.problem();
    if problem.errors.is_empty() {
        return answer.failure();
    }
    let lines: Vec<String> = problem
        .errors
        .iter()
        .map(|error| format!("{}: {}", folder.place(&error.field), error.message))
        .collect();
    let count = match lines.len() {
        1 => "1 mistake".to_owned(),
        many => format!("{many} mistakes"),
    };
    Failure::new(format!("the module was refused, {count}; nothing was changed\n{}", lines.join("\n")))
}

fn texts(value: &Value) -> Vec<&str> {
    value.as_array().into_iter().flatten().filter_map(Value::as_str).collect()
}

fn registered(module: &Value, sandbox: &str) -> String {
    let text = |member: &str| module[member].as_str().unwrap_or_default();
    let slug = text("slug");
    let mut told = format!("{} {} is registered in {sandbox}\n", text("name"), text("version"));
    for model in texts(&module["models"]) {
        told.push_str(&format!("  /api/v1/data/{slug}/{model}\n"));
    }
    told.push_str(&format!("Tenants install it with POST /api/v1/modules/{}/install\n", text("id")));
    told
}

fn plan(plan: &Value) -> String {
    let text = |member: &str| plan[member].as_str().unwrap_or_default();
    let mut told = format!("{} {}: good", text("name"), text("version"));
    told.push_str(&match (text("action"), plan["presentVersion"].as_str()) {
        ("nothing", _) => ", and registered already\n".to_owned(),
        ("update", Some(present)) => format!("; registering would update {present}\n"),
        _ => "; registering would make it known\n".to_owned(),
    });
    for migration in plan["migrations"].as_array().into_iter().flatten() {
        let runs = if migration["runs"] == true { "runs" } else { "ran before" };
        told.push_str(&format!(
            "  migration {} {runs} ({} statements)\n",
            migration["file"].as_str().unwrap_or_default(),
            migration["statements"]
        ));
    }
    for table in plan["tables"].as_array().into_iter().flatten() {
        let columns: Vec<&str> = table["columns"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|column| column["name"].as_str())
            .collect();
        told.push_str(&format!(
            "  table {} ({})\n",
            table["name"].as_str().unwrap_or_default(),
            columns.join(", ")
        ));
    }
    for (what, member) in [
        ("permission", "permissions"),
        ("route", "routes"),
        ("publishes", "publishes"),
        ("hears", "subscribes"),
    ] {
        for entry in texts(&plan[member]) {
            told.push_str(&format!("  {what} {entry}\n"));
        }
    }
    told
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use serde_json::json;

    #[test]
    fn mistakes_are_told_as_editors_read_them() {
        let temporary = tempfile::tempdir().unwrap();
        std::fs::write(
            temporary.path().join("module.manifest.json"),
            "{\n  \"name\": \"@a/b\",\n  \"version\": \"1\"\n}",
        )
        .unwrap();
        let folder = Folder::read(temporary.path()).unwrap();
        let body = json!({ "errors": [
            {"field": "00001_t.sql:12", "message": "t has no tenant_id [tenant-column]. Add it."},
            {"field": "/manifest/version", "message": "must be X.Y.Z"},
        ]});
        let answer = Answer { status: http::StatusCode::BAD_REQUEST, body: Bytes::from(body.to_string()) };
        let failure = refused(&folder, &answer);
        let lines: Vec<&str> = failure.sentence().lines().collect();
        assert_eq!(lines[0], "the module was refused, 2 mistakes; nothing was changed");
        let base = temporary.path().display().to_string();
        assert_eq!(
            lines[1],
            format!("{base}/migrations/00001_t.sql:12: t has no tenant_id [tenant-column]. Add it.")
        );
        assert_eq!(lines[2], format!("{base}/module.manifest.json:3: version: must be X.Y.Z"));
    }

    #[test]
    fn a_plan_is_told_in_lines() {
        let told = plan(&json!({
            "name": "@a/b", "version": "1.0.0", "action": "update", "presentVersion": "0.9.0",
            "migrations": [{"file": "1_t.sql", "statements": 2, "runs": true}],
            "tables": [{"name": "t", "columns": [{"name": "x"}, {"name": "y"}]}],
            "permissions": ["b.t.read"],
        }));
        assert!(told.starts_with("@a/b 1.0.0: good; registering would update 0.9.0\n"), "{told}");
        assert!(
            told.contains(
                "  migration 1_t.sql runs (2 statements)\n  table t (x, y)\n  permission b.t.read\n"
            ),
            "{told}"
        );
    }
}
