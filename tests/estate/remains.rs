use std::{collections::BTreeSet, time::Duration};

use reqwest::Method;
use serde_json::json;
use testkit::{Api, Kernel, Launch, data_folder};

use crate::{empty, make, opens, show};

async fn names(kernel: &Kernel, database: &str, question: &'static str) -> BTreeSet<String> {
    let mut admin = kernel.admin_sql(database).await;
    sqlx::query_scalar::<_, String>(question).fetch_all(&mut admin).await.unwrap().into_iter().collect()
}

async fn databases(kernel: &Kernel) -> BTreeSet<String> {
    names(kernel, "postgres", "select datname::text from pg_database").await
}

async fn roles(kernel: &Kernel) -> BTreeSet<String> {
    names(kernel, "postgres", "select rolname::text from pg_roles").await
}

async fn rows(kernel: &Kernel) -> BTreeSet<String> {
    names(kernel, "pk_control", "select name from control.sandbox").await
}

/// No database, login, row, session, running cell or word in `/health` of a sandbox is left.
pub(crate) async fn nothing_of(kernel: &Kernel, name: &str) {
    assert!(!databases(kernel).await.contains(&format!("pk_{name}")), "the database of {name}");
    let prefix = format!("pk_{name}.");
    let roles: Vec<String> =
        roles(kernel).await.into_iter().filter(|role| role.starts_with(&prefix)).collect();
    assert!(roles.is_empty(), "{roles:?}");
    assert!(!rows(kernel).await.contains(name), "the row of {name}");
    let sessions = "select distinct datname::text from pg_stat_activity where datname is not null";
    assert!(!names(kernel, "postgres", sessions).await.contains(&format!("pk_{name}")));
    assert!(kernel.estate.open_cells().iter().all(|cell| cell.name().as_str() != name));
    let health = kernel.operator().get("/health").await.expect(200);
    assert!(!health.body["sandboxes"].as_object().unwrap().contains_key(name), "{}", health.text);
}

/// The databases and logins of sandboxes are exactly those of the rows.
async fn agrees(kernel: &Kernel) {
    let rows = rows(kernel).await;
    let of_sandboxes: BTreeSet<String> = databases(kernel)
        .await
        .into_iter()
        .filter_map(|name| name.strip_prefix("pk_").map(str::to_owned))
        .filter(|name| !name.starts_with('_') && name != "control")
        .collect();
    assert_eq!(of_sandboxes, rows, "databases and rows");
    let mut logins: BTreeSet<String> = roles(kernel)
        .await
        .into_iter()
        .filter_map(|role| Some(role.strip_prefix("pk_")?.split_once('.')?.0.to_owned()))
        .collect();
    logins.remove("_control");
    assert_eq!(logins, rows, "logins and rows");
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_deleted_sandbox_nothing_remains() {
    let kernel = Kernel::start(empty()).await;
    make(&kernel, "acme").await;
    let (owner, _) = kernel.api().sandbox("acme").register("Acme Tools").await;
    kernel.operator().post("/api/v1/sandboxes/acme/fork", json!({ "name": "copy" })).await.expect(201);
    make(&kernel, "never-opened").await;
    for name in ["acme", "copy", "never-opened"] {
        kernel.operator().delete(&format!("/api/v1/sandboxes/{name}")).await.expect(204);
        nothing_of(&kernel, name).await;
        show(&kernel, name).await.expect_problem(404, "not-found");
    }
    owner.get("/api/v1/auth/me").await.expect_problem(404, "not-found");
    agrees(&kernel).await;

    // A new one of the same name is another one: old tokens are noise in it.
    make(&kernel, "acme").await;
    owner.get("/api/v1/auth/me").await.expect_problem(401, "unauthorized");
    kernel.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_that_come_while_a_sandbox_is_deleted_leave_nothing_behind() {
    let kernel = Kernel::start(empty()).await;
    for round in 0..4 {
        let name = format!("busy{round}");
        make(&kernel, &name).await;
        let (owner, _) = kernel.api().sandbox(&name).register("Acme Tools").await;
        let flood: Vec<_> = (0..8)
            .map(|_| {
                let owner = owner.clone();
                tokio::spawn(async move {
                    loop {
                        let status = owner.get("/api/v1/auth/me").await.status.as_u16();
                        assert!(matches!(status, 200 | 401 | 404 | 503), "{status}");
                        if status == 404 {
                            return;
                        }
                    }
                })
            })
            .collect();
        let at = format!("/api/v1/sandboxes/{name}");
        let operator = kernel.operator();
        let (first, second) = futures::join!(operator.delete(&at), operator.delete(&at));
        let mut statuses = [first.status.as_u16(), second.status.as_u16()];
        statuses.sort_unstable();
        assert_eq!(statuses, [204, 404], "{} {}", first.text, second.text);
        for client in flood {
            client.await.unwrap();
        }
        nothing_of(&kernel, &name).await;
    }
    kernel.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_killed_process_left_in_each_state_is_put_right_at_the_next_start() {
    let folder = data_folder();
    let data = folder.path().join("data");
    let kernel = Kernel::start(empty().on(&data)).await;
    let states = ["creating", "deleting", "changing"];
    for state in states {
        make(&kernel, state).await;
        make(&kernel, &format!("{state}-bare")).await;
    }
    make(&kernel, "whole").await;
    let (_, registered) = kernel.api().sandbox("changing").register("Acme Tools").await;
    let email = registered["user"]["email"].as_str().unwrap();
    kernel.estate.put_to_sleep(&"changing".parse().unwrap()).await.unwrap();
    let mut admin = kernel.admin_sql("pk_control").await;
    for state in states {
        let marked = "update control.sandbox set state = $1 where name in ($1, $1 || '-bare')";
        sqlx::query(marked).bind(state).execute(&mut admin).await.unwrap();
    }
    // Cut off before the database was made, or after it had gone.
    for gone in [
        "drop database \"pk_creating-bare\" with (force)",
        "drop database \"pk_deleting-bare\" with (force)",
        "drop database \"pk_changing-bare\" with (force)",
    ] {
        sqlx::raw_sql(gone).execute(&mut admin).await.unwrap();
    }
    drop(admin);
    kernel.close().await;

    let kernel = Kernel::start(empty().on(&data)).await;
    for name in ["creating", "creating-bare", "deleting", "deleting-bare"] {
        nothing_of(&kernel, name).await;
        kernel.api().sandbox(name).get("/api/v1/auth/me").await.expect_problem(404, "not-found");
    }
    for name in ["changing", "changing-bare", "whole"] {
        assert_eq!(show(&kernel, name).await.expect(200).body["state"], "ready");
        opens(&kernel, name).await;
    }
    let sign_in = json!({ "email": email, "password": "correct horse battery" });
    let reset = kernel.api().sandbox("changing").post("/api/v1/auth/login", sign_in).await;
    reset.expect_problem(401, "invalid-credentials");
    agrees(&kernel).await;
    make(&kernel, "creating").await;
    kernel.close().await;
}

/// Asks for all verbs at once and does not wait for the answers.
fn all_verbs(operator: &Api, round: usize) {
    let verbs = [
        (
            Method::POST,
            "/api/v1/sandboxes".to_owned(),
            json!({ "name": format!("new{round}"), "template": "empty" }),
        ),
        (Method::POST, "/api/v1/sandboxes/kept/fork".to_owned(), json!({ "name": format!("copy{round}") })),
        (Method::POST, "/api/v1/sandboxes/kept/reset".to_owned(), json!({})),
        (Method::DELETE, format!("/api/v1/sandboxes/spare{round}"), json!(null)),
    ];
    for (method, path, body) in verbs {
        let asked = operator.raw(method, &path).json(&body);
        tokio::spawn(asked.send());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_killed_in_the_middle_of_verbs_leaves_whole_sandboxes_only() {
    let folder = data_folder();
    let data = folder.path().join("data");
    let start = || {
        let launch = Launch::default().with("KERNEL_TEMPLATE", "empty").on(&data);
        launch.start(env!("CARGO_BIN_EXE_platform-kernel"))
    };
    let mut kernel = start();
    let empty_one = |name: String| json!({ "name": name, "template": "empty" });
    let made = kernel.operator().post("/api/v1/sandboxes", empty_one("kept".to_owned())).await;
    made.expect(201);
    for (round, delay) in [10, 30, 60, 120].into_iter().enumerate() {
        let spare = empty_one(format!("spare{round}"));
        kernel.operator().post("/api/v1/sandboxes", spare).await.expect(201);
        all_verbs(&kernel.operator(), round);
        tokio::time::sleep(Duration::from_millis(delay)).await;
        kernel.kill();
        kernel = start();
        let all = kernel.operator().get("/api/v1/sandboxes?limit=100").await.expect(200);
        for sandbox in all.data() {
            assert_eq!(sandbox["state"], "ready", "{sandbox}");
            let stranger = kernel.api().sandbox(sandbox["name"].as_str().unwrap());
            stranger.get("/api/v1/auth/me").await.expect_problem(401, "unauthorized");
        }
        assert!(all.data().iter().any(|sandbox| sandbox["name"] == "kept"), "{}", all.text);
    }
    kernel.stop();

    let kernel = Kernel::start(empty().on(&data)).await;
    agrees(&kernel).await;
    let left: Vec<String> =
        databases(&kernel).await.into_iter().filter(|name| name.starts_with("pk__gone")).collect();
    assert!(left.is_empty(), "{left:?}");
    kernel.close().await;
}
