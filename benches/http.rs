//! Read by id and list over HTTP with a valid token, 64 connections, beside `pgbench` running the same select and a bare
//! axum route with the same answer, in the same run. Needs `wrk` and `pgbench` (packages wrk, postgresql-contrib); says so
//! and skips what is not there.

#![allow(clippy::unwrap_used, missing_docs, reason = "a measuring program: what it can't do ends it")]

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use axum::{Router, http::header, routing::get};
use testkit::{DEMO_OWNER, DEMO_PASSWORD, Launch};

const SECONDS: &str = "8";
const CONNECTIONS: &str = "64";
/// The plan of the demo's tenant.
const PRO: &str = "00000000-0000-7000-8050-000000000003";

fn program() -> PathBuf {
    let named = std::env::var("PLATFORM_KERNEL_BIN").map(PathBuf::from);
    named.unwrap_or_else(|_| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("dist/platform-kernel"))
}

struct Rate {
    per_second: f64,
    p50: String,
    p99: String,
    errors: bool,
}

fn wrk(url: &str, headers: &[String]) -> Option<Rate> {
    let mut command = Command::new("wrk");
    command.args(["-t", "2", "-c", CONNECTIONS, "-d", SECONDS, "--latency"]);
    for one in headers {
        command.args(["-H", one]);
    }
    let output = command.arg(url).output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let after = |word: &str| {
        let line = text.lines().find(|line| line.trim_start().starts_with(word))?;
        line.split_whitespace().nth(1).map(str::to_owned)
    };
    Some(Rate {
        per_second: after("Requests/sec:")?.parse().ok()?,
        p50: after("50%")?,
        p99: after("99%")?,
        errors: text.contains("Non-2xx") || text.contains("Socket errors"),
    })
}

fn pgbench(url: &str, tenant: &str, script: &str) -> Option<f64> {
    let file = std::env::temp_dir().join(format!("pk-bench-{}.sql", std::process::id()));
    std::fs::write(&file, script).unwrap();
    let found =
        ["/usr/lib/postgresql/15/bin/pgbench", "/usr/lib/postgresql/17/bin/pgbench", "/usr/bin/pgbench"];
    let tool = found.into_iter().find(|path| Path::new(path).exists())?;
    let output = Command::new(tool)
        .env("PGOPTIONS", format!("-c kernel.tenant={tenant}"))
        .args(["-n", "-M", "prepared", "-c", "16", "-j", "2", "-T", SECONDS, "-f"])
        .arg(&file)
        .arg(url)
        .output()
        .ok()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let line = text.lines().find(|line| line.starts_with("tps"))?;
    line.split_whitespace().nth(2)?.parse().ok()
}

fn show(name: &str, rate: &Option<Rate>, bare: &Option<Rate>, database: Option<f64>) {
    let Some(rate) = rate else {
        println!("{name:<26} wrk is not installed (apt-get install wrk)");
        return;
    };
    let to_bare =
        bare.as_ref().map_or("-".to_owned(), |bare| format!("{:.2}", rate.per_second / bare.per_second));
    let to_database = database.map_or("-".to_owned(), |tps| format!("{:.2}", rate.per_second / tps));
    let errors = if rate.errors { "  with errors!" } else { "" };
    println!(
        "{name:<26} {:>9.0}/s  p50 {:>8}  p99 {:>8}   to bare axum {to_bare:>5}   to pgbench {to_database:>5}{errors}",
        rate.per_second, rate.p50, rate.p99
    );
}

#[tokio::main]
async fn main() {
    let kernel = Launch::default()
        .with("RATE_LIMIT_RPS", "1000000")
        .with("RATE_LIMIT_BURST", "1000000")
        .start(program());
    let api = kernel.api().sign_in(DEMO_OWNER, DEMO_PASSWORD).await;
    let operator = kernel.operator();
    let listed = api.get("/api/v1/data/crm/contacts?limit=20&sort=last_name").await.expect(200);
    let id = listed.data()[0]["id"].as_str().unwrap().to_owned();
    let one = api.get(&format!("/api/v1/data/crm/contacts/{id}")).await.expect(200);
    let me = api.get("/api/v1/auth/me").await.expect(200);
    let tenant = me.body["tenant"]["id"].as_str().unwrap().to_owned();

    let json =
        |text: String| get(move || async move { ([(header::CONTENT_TYPE, "application/json")], text) });
    let bare = Router::new().route("/one", json(one.text.clone())).route("/list", json(listed.text.clone()));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let bare_url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, bare).await.unwrap() });

    let reader = operator
        .post("/api/v1/sandboxes/default/psql-url", serde_json::json!({}))
        .await
        .expect(200)
        .body["url"]
        .as_str()
        .unwrap()
        .to_owned();
    let by_id = format!("select row_to_json(c)::text from module_crm.contacts c where id = '{id}';\n");
    let list = "select json_agg(row_to_json(c))::text from (select * from module_crm.contacts \
                order by last_name limit 20) c;\n";
    // Measured is the program, not the plan of the demo's tenant.
    let unlimited = serde_json::json!({ "limits": {
        "users": 0, "records": 0, "storageBytes": 0, "eventsPerDay": 0, "modules": 0, "rps": 0, "burst": 0,
    } });
    operator.patch(&format!("/api/v1/billing/plans/{PRO}"), unlimited).await.expect(200);
    let authorization = format!("Authorization: Bearer {}", api.token());
    let measured = tokio::task::spawn_blocking(move || {
        let headers = [authorization, "Host: localhost".to_owned()];
        let url = kernel.url();
        let rows = [
            ("read by id", format!("{url}/api/v1/data/crm/contacts/{id}"), "/one", by_id),
            (
                "list of 20, sorted",
                format!("{url}/api/v1/data/crm/contacts?limit=20&sort=last_name"),
                "/list",
                list.to_owned(),
            ),
        ];
        println!("{CONNECTIONS} connections, {SECONDS} s each, load generator on the same machine");
        for (name, address, same, script) in rows {
            let bare = wrk(&format!("{bare_url}{same}"), &[]);
            let database = pgbench(&reader, &tenant, &script);
            let ours = wrk(&address, &headers);
            show("bare axum, same answer", &bare, &bare, None);
            if let Some(tps) = database {
                println!("{:<26} {tps:>9.0}/s", "pgbench, same select");
            }
            show(name, &ours, &bare, database);
        }
        drop(kernel);
    });
    measured.await.unwrap();
}
