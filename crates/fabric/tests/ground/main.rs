//! The ground on a real Postgres: roles, bound connections, row-level security, transactions with what they leave behind.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    missing_docs,
    reason = "a test: what fails here fails the test"
)]

mod jobs;

use std::{path::Path, sync::Arc, time::Duration};

use fabric::{
    crypto::RootKey,
    postgres::{
        Audit, Budget, Cluster, Database, DatabaseOptions, Event, Login, Logins, Migration, Migrations,
        PgConnectOptions, Reason,
        embedded::{Durability, EmbeddedOptions, EmbeddedPostgres},
    },
};
use kernel::{Clock, Ctx, Error, IdempotencyKey, Result, SandboxName, Slug, TenantId};
use serde_json::json;
use uuid::Uuid;

struct Ground {
    server: EmbeddedPostgres,
    cluster: Cluster,
    logins: Logins,
    db: Database,
    budget: Arc<Budget>,
    _folder: tempfile::TempDir,
}

const NOTE: &str = "
create schema note;
grant usage on schema note to pk_app, pk_system;
create table note.page (id uuid primary key, tenant_id uuid not null, text text not null, unique (tenant_id, text));
call kernel.protect('note.page');";

async fn ground() -> Ground {
    let place = if Path::new("/dev/shm").is_dir() { "/dev/shm" } else { "/tmp" };
    let folder = tempfile::Builder::new().prefix("pk-ground").tempdir_in(place).unwrap();
    let server = EmbeddedPostgres::start(EmbeddedOptions {
        data_dir: folder.path().to_owned(),
        durability: Durability::Hybrid,
        tcp_port: None,
        max_connections: 60,
    })
    .await
    .unwrap();
    let at = server.connection();
    let admin = PgConnectOptions::new_without_pgpass()
        .socket(&at.socket_dir)
        .port(at.port)
        .username(&at.user)
        .password(&at.password)
        .database("postgres");
    let cluster = Cluster::new(admin);
    cluster.prepare(false).await.unwrap();
    let key = RootKey::new(&[1; 32]);
    let logins = Logins::new(&SandboxName::default_sandbox(), key.clone());
    cluster.create_database("pk_default", None).await.unwrap();
    cluster.let_in(&logins, "pk_default").await.unwrap();
    let mut files: Vec<Migration> =
        Migrations::sandbox().iter().filter(|file| file.name.contains("_kernel_")).cloned().collect();
    files.push(Migration { number: 9000, name: "9000_note_page.sql".into(), sql: NOTE.into() });
    let series = Migrations::from_files(files);
    let owner = logins.options(&cluster, Login::Owner, "pk_default");
    assert!(series.apply(&owner).await.unwrap() >= 2);
    assert_eq!(series.apply(&owner).await.unwrap(), 0);
    let budget = Budget::new(12);
    let options = |login| logins.options(&cluster, login, "pk_default");
    let db = Database::new(DatabaseOptions {
        app: options(Login::App),
        system: options(Login::System),
        data: options(Login::Data),
        budget: Arc::clone(&budget),
        pool_size: 4,
        key,
    });
    Ground { server, cluster, logins, db, budget, _folder: folder }
}

fn cx() -> Ctx {
    Ctx::system(SandboxName::default_sandbox(), Clock::real(), "test").within(TenantId::new())
}

async fn write(db: &Database, cx: &Ctx, text: &str) -> Result<String> {
    let mut tx = db.tenant(cx)?.begin().await?;
    let id = Uuid::now_v7();
    tx.query(fabric::sql!("insert into note.page (tenant_id, id, text) values ($1, $2, $3)"))
        .bind(id)
        .bind(text.to_owned())
        .run()
        .await?;
    tx.event(Event::new("note", "note.page.written", id, &json!({ "text": text }))?)?;
    tx.audit(Audit::new("note.page.written", "page", id).after(&json!({ "text": text, "password": "x" })))?;
    tx.commit(text.to_owned()).await
}

async fn pages(db: &Database, cx: &Ctx) -> Vec<String> {
    let rows: Vec<(String,)> = db
        .tenant(cx)
        .unwrap()
        .query("select text from note.page where $1::uuid is not null")
        .all()
        .await
        .unwrap();
    rows.into_iter().map(|(text,)| text).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_ground_holds() {
    let ground = ground().await;
    tenants_see_only_their_own_rows(&ground).await;
    many_tenants_share_few_connections_and_never_a_binding(&ground).await;
    a_repeated_request_gets_the_first_answer(&ground).await;
    what_rolls_back_leaves_nothing(&ground).await;
    a_tenant_leaves_nothing_for_another(&ground).await;
    the_relay_gives_positions_in_order(&ground).await;
    exactly_one_takes_the_last_unit(&ground).await;
    jobs::two_workers_do_each_job_once(&ground).await;
    nobody_but_the_sandboxes_logins_may_connect(&ground).await;
    the_pool_outlives_the_server(&ground).await;
    ground.db.close();
    ground.server.stop().await.unwrap();
}

/// The statements here have no filter of their own: row-level security alone holds.
async fn tenants_see_only_their_own_rows(ground: &Ground) {
    let (one, two) = (cx(), cx());
    write(&ground.db, &one, "mine").await.unwrap();
    write(&ground.db, &two, "mine").await.unwrap();
    assert_eq!(pages(&ground.db, &one).await, ["mine"]);
    let moved = ground
        .db
        .tenant(&one)
        .unwrap()
        .query("update note.page set tenant_id = $2 where $1::uuid is not null")
        .bind(two.tenant().unwrap())
        .run()
        .await;
    assert_eq!(moved.unwrap_err().slug(), Slug::Internal);
    let stranger = Ctx::system(SandboxName::default_sandbox(), Clock::real(), "test");
    assert_eq!(ground.db.tenant(&stranger).err().unwrap().slug(), Slug::Unauthorized);
}

async fn many_tenants_share_few_connections_and_never_a_binding(ground: &Ground) {
    let tasks = (0..24).map(|n| {
        let db = ground.db.clone();
        tokio::spawn(async move {
            let cx = cx();
            for round in 0..10 {
                write(&db, &cx, &format!("{n}/{round}")).await.unwrap();
                let seen = pages(&db, &cx).await;
                assert_eq!(seen.len(), round + 1);
                assert!(seen.iter().all(|text| text.starts_with(&format!("{n}/"))));
            }
        })
    });
    for task in futures::future::join_all(tasks).await {
        task.unwrap();
    }
    assert!(ground.budget.left() >= 12 - 4 - 1, "a pool of four holds four connections");
}

async fn a_repeated_request_gets_the_first_answer(ground: &Ground) {
    let key = Uuid::new_v4();
    let base = cx();
    let asked = |print: u8| base.with_idempotency(Some(IdempotencyKey { key, fingerprint: [print; 32] }));
    assert_eq!(write(&ground.db, &asked(1), "once").await.unwrap(), "once");
    let replay = write(&ground.db, &asked(1), "once").await.unwrap_err();
    assert_eq!(replay.replayed_answer().unwrap().as_ref(), b"\"once\"");
    assert_eq!(write(&ground.db, &asked(2), "other").await.unwrap_err().slug(), Slug::IdempotencyKeyReused);
    assert_eq!(pages(&ground.db, &base).await, ["once"]);
    // Another caller's key of the same value is another key.
    assert_eq!(
        write(&ground.db, &cx().with_idempotency(asked(3).idempotency().cloned()), "x").await.unwrap(),
        "x"
    );

    let held = cx().with_idempotency(Some(IdempotencyKey { key: Uuid::new_v4(), fingerprint: [0; 32] }));
    let running = ground.db.tenant(&held).unwrap().begin().await.unwrap();
    let second = ground.db.tenant(&held).unwrap().begin().await.unwrap_err();
    assert_eq!(second.slug(), Slug::IdempotencyInProgress);
    drop(running);
    let mut tries = 0;
    while let Err(error) = write(&ground.db, &held, "after").await {
        assert_eq!(error.slug(), Slug::IdempotencyInProgress);
        tries += 1;
        assert!(tries < 1000, "a dropped transaction gives its lock back");
        tokio::task::yield_now().await;
    }
}

async fn what_rolls_back_leaves_nothing(ground: &Ground) {
    let cx = cx();
    write(&ground.db, &cx, "taken").await.unwrap();
    let told = count(ground, "select count(*) from kernel.outbox").await;
    assert_eq!(write(&ground.db, &cx, "taken").await.unwrap_err().slug(), Slug::AlreadyExists);
    assert_eq!(count(ground, "select count(*) from kernel.outbox").await, told);
    let kept: Vec<(Option<String>,)> = ground
        .db
        .tenant(&cx)
        .unwrap()
        .query("select after ->> 'password' from kernel.audit_record where tenant_id = $1")
        .all()
        .await
        .unwrap();
    assert_eq!(kept, [(Some("***".to_owned()),)]);
}

async fn a_tenant_leaves_nothing_for_another(ground: &Ground) {
    let (one, two) = (cx(), cx());
    let mut tx = ground.db.tenant(&one).unwrap().begin().await.unwrap();
    tx.audit(Audit::new("a.b.c", "page", "1").of(two.tenant().unwrap())).unwrap();
    let refused: Result<()> = tx.commit(()).await;
    assert!(refused.is_err());
}

async fn the_relay_gives_positions_in_order(ground: &Ground) {
    let system = ground.db.system(&cx(), Reason::Events);
    let waiting = count(ground, "select count(*) from kernel.outbox").await;
    let mut moved = 0;
    while i64::from(moved) < waiting {
        moved += system.query("select moved from kernel.relay($1)").bind(50).value::<i32>().await.unwrap();
    }
    let gaps = count(
        ground,
        "select count(*) from (select position, row_number() over (partition by topic, partition order by position) n
                               from kernel.event) e where position <> n",
    )
    .await;
    assert_eq!(gaps, 0);
    assert_eq!(count(ground, "select count(*) from kernel.event").await, waiting);
}

async fn exactly_one_takes_the_last_unit(ground: &Ground) {
    let cx = cx();
    let tenant = cx.tenant().unwrap();
    ground
        .db
        .tenant(&cx)
        .unwrap()
        .query("insert into kernel.allowance (tenant_id, name, most) values ($1, 'users', 1)")
        .run()
        .await
        .unwrap();
    let take = || async {
        let mut tx = ground.db.tenant(&cx)?.begin().await?;
        tx.reserve("users", 1).await?;
        tx.commit(()).await
    };
    let (a, b) = tokio::join!(take(), take());
    let refused: Vec<Error> = [a, b].into_iter().filter_map(Result::err).collect();
    assert_eq!(refused.len(), 1, "{refused:?}");
    assert_eq!(refused[0].slug(), Slug::PlanLimitExceeded);
    assert_eq!(cx.tenant().unwrap(), tenant);
}

async fn nobody_but_the_sandboxes_logins_may_connect(ground: &Ground) {
    use sqlx::Connection as _;
    let other = Logins::new(&"other".parse().unwrap(), RootKey::new(&[2; 32]));
    ground.cluster.create_database("pk_other", None).await.unwrap();
    ground.cluster.let_in(&other, "pk_other").await.unwrap();
    let across = other.options(&ground.cluster, Login::App, "pk_default");
    let refused = sqlx::PgConnection::connect_with(&across).await.unwrap_err().to_string();
    assert!(refused.contains("permission denied for database"), "{refused}");
    let home = ground.logins.options(&ground.cluster, Login::App, "pk_default");
    let mut connection = sqlx::PgConnection::connect_with(&home).await.unwrap();
    for forbidden in
        ["set role pk_system", "set role pk_owner", "alter table note.page disable row level security"]
    {
        let refused = sqlx::raw_sql(forbidden).execute(&mut connection).await;
        assert!(refused.is_err(), "{forbidden}");
    }
    ground.cluster.drop_database("pk_other").await.unwrap();
    ground.cluster.drop_logins(&other).await.unwrap();
    assert!(ground.cluster.roles("pk_other").await.unwrap().is_empty());
}

async fn the_pool_outlives_the_server(ground: &Ground) {
    let cx = cx();
    write(&ground.db, &cx, "before").await.unwrap();
    let pid = ground.server.pid().unwrap();
    std::process::Command::new("kill").args(["-9", &pid.to_string()]).status().unwrap();
    let give_up = std::time::Instant::now() + Duration::from_secs(30);
    // Its backends live on for a moment; what is asked of them in that time proves nothing.
    while ground.server.pid().is_none_or(|now| now == pid) {
        assert!(std::time::Instant::now() < give_up, "the server was not started again");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    loop {
        match write(&ground.db, &cx, "after").await {
            Ok(_) => break,
            Err(error) => {
                assert!(matches!(error.slug(), Slug::DependencyUnavailable | Slug::Overloaded), "{error:?}");
                assert!(std::time::Instant::now() < give_up, "the server did not come back: {error:?}");
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
    }
    assert!(pages(&ground.db, &cx).await.contains(&"after".to_owned()));
}

async fn count(ground: &Ground, text: &'static str) -> i64 {
    ground.db.system(&cx(), Reason::Events).query(text).value().await.unwrap()
}
