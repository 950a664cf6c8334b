//! Transfers a second through the service, 64 callers, each with its own Idempotency-Key: on one hot wallet, and over
//! 10,000 wallets; beside the plain way in the same run on the same server: a transaction for each transfer, which keeps
//! its key, locks both wallets with `select … for update`, changes them and adds two entries (no event, no audit record,
//! which the service's transfers all have). Durable: every commit is on disk.

#![allow(clippy::unwrap_used, missing_docs, reason = "a measuring program: what it can't do ends it")]

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use kernel::{Actor, Caller, Ctx, IdempotencyKey, Permissions, SessionId, WalletId};
use money::{Currency, Money, MoveIn, TransferIn, TransfersIn, WalletIn};
use sqlx::{Connection as _, PgConnection};
use testkit::{Kernel, KernelOptions};
use uuid::Uuid;

const CALLERS: usize = 64;
const WALLETS: usize = 10_000;

fn time() -> Duration {
    let seconds = std::env::var("BENCH_SECONDS").ok().and_then(|text| text.parse().ok());
    Duration::from_secs(seconds.unwrap_or(8))
}

struct Rate {
    per_second: f64,
    p50: Duration,
    p99: Duration,
}

impl Rate {
    fn of(mut took: Vec<Duration>, over: Duration) -> Self {
        took.sort_unstable();
        let at = |part: usize| took[(took.len() * part / 100).min(took.len() - 1)];
        Self { per_second: took.len() as f64 / over.as_secs_f64(), p50: at(50), p99: at(99) }
    }

    fn show(&self, name: &str, beside: Option<&Self>) {
        let ratio =
            beside.map_or(String::new(), |plain| format!("   {:.1} x", self.per_second / plain.per_second));
        println!(
            "{name:<34} {:>8.0}/s   p50 {:>8.1?}   p99 {:>8.1?}{ratio}",
            self.per_second, self.p50, self.p99
        );
    }
}

/// Numbers in no order that can be guessed by a cache (splitmix64).
fn scattered(number: usize) -> usize {
    let mut z = (number as u64).wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    (z ^ (z >> 27)) as usize
}

/// Sender and receiver of the transfer with this number.
type Pairs = fn(usize) -> (usize, usize);

/// Every transfer is from or to the first wallet.
fn hot(number: usize) -> (usize, usize) {
    let other = 1 + scattered(number) % (WALLETS - 1);
    if number.is_multiple_of(2) { (0, other) } else { (other, 0) }
}

fn cold(number: usize) -> (usize, usize) {
    let (from, to) = (scattered(number) % WALLETS, scattered(number + WALLETS) % WALLETS);
    if from == to { (from, (to + 1) % WALLETS) } else { (from, to) }
}

#[derive(Clone)]
struct Service {
    money: Arc<Money>,
    cx: Ctx,
    wallets: Arc<Vec<WalletId>>,
}

impl Service {
    fn keyed(&self) -> Ctx {
        self.cx.with_idempotency(Some(IdempotencyKey { key: Uuid::now_v7(), fingerprint: [7; 32] }))
    }

    async fn measure(&self, pairs: Pairs) -> Rate {
        let next = Arc::new(AtomicUsize::new(0));
        let begun = Instant::now();
        let until = begun + time();
        let callers: Vec<_> = (0..CALLERS)
            .map(|_| {
                let (service, next) = (self.clone(), Arc::clone(&next));
                tokio::spawn(async move {
                    let mut took = Vec::new();
                    while Instant::now() < until {
                        let (from, to) = pairs(next.fetch_add(1, Ordering::Relaxed));
                        let body = TransferIn {
                            from: service.wallets[from],
                            to: service.wallets[to],
                            amount: 1.into(),
                            description: None,
                            metadata: None,
                        };
                        let asked = Instant::now();
                        service.money.transfer(&service.keyed(), body).await.unwrap();
                        took.push(asked.elapsed());
                    }
                    took
                })
            })
            .collect();
        let mut took = Vec::new();
        for caller in callers {
            took.extend(caller.await.unwrap());
        }
        Rate::of(took, begun.elapsed())
    }
}

const PLAIN: &str = "
    create schema plain;
    create table plain.wallet (id integer primary key, balance bigint not null check (balance >= 0)) with (fillfactor = 70);
    create table plain.entry (id bigint generated always as identity primary key, wallet integer not null, amount bigint not null);
    create index on plain.entry (wallet, id);
    create table plain.request (key uuid primary key, answer text not null);
    insert into plain.wallet select n, 1000000000 from generate_series(0, 9999) n;";

/// One transaction for each transfer, each caller on a connection of its own, as most programs do it.
async fn plain(kernel: &Kernel, pairs: Pairs) -> Rate {
    let next = Arc::new(AtomicUsize::new(0));
    let mut connections: Vec<PgConnection> = Vec::new();
    for _ in 0..CALLERS {
        connections.push(kernel.admin_sql("pk_default").await);
    }
    let begun = Instant::now();
    let until = begun + time();
    let callers: Vec<_> = connections
        .into_iter()
        .map(|mut sql| {
            let next = Arc::clone(&next);
            tokio::spawn(async move {
                let mut took = Vec::new();
                while Instant::now() < until {
                    let (from, to) = pairs(next.fetch_add(1, Ordering::Relaxed));
                    let asked = Instant::now();
                    let (from, to) = (i32::try_from(from).unwrap(), i32::try_from(to).unwrap());
                    let mut tx = sql.begin().await.unwrap();
                    let key = sqlx::query("insert into plain.request values ($1, 'done')").bind(Uuid::now_v7());
                    key.execute(&mut *tx).await.unwrap();
                    for statement in [
                        "select balance from plain.wallet where id in ($1, $2) order by id for update",
                        "update plain.wallet set balance = balance + case id when $1 then -1 else 1 end where id in ($1, $2)",
                        "insert into plain.entry (wallet, amount) values ($1, -1), ($2, 1)",
                    ] {
                        sqlx::query(statement).bind(from).bind(to).execute(&mut *tx).await.unwrap();
                    }
                    tx.commit().await.unwrap();
                    took.push(asked.elapsed());
                }
                sql.close().await.unwrap();
                took
            })
        })
        .collect();
    let mut took = Vec::new();
    for caller in callers {
        took.extend(caller.await.unwrap());
    }
    Rate::of(took, begun.elapsed())
}

/// 10,000 wallets of one tenant with money in each.
async fn filled(kernel: &Kernel) -> Service {
    let (_, body) = kernel.api().register("Bench").await;
    let text = |pointer: &str| body.pointer(pointer).and_then(|v| v.as_str()).unwrap().to_owned();
    let (user, email) = (text("/user/id").parse().unwrap(), text("/user/email"));
    let mut sql = kernel.owner_sql("default").await;
    sqlx::query("update iam.user_account set email_verified_at = kernel.now()")
        .execute(&mut sql)
        .await
        .unwrap();
    let cell = kernel.cell("default").await;
    let caller = Caller {
        tenant: Some(text("/tenant/id").parse().unwrap()),
        actor: Actor::User { id: user, session: SessionId::new(), email: email.into() },
        permissions: Arc::new(Permissions::new(["*"])),
    };
    let money = Arc::clone(&cell.services().money);
    let fresh = || Ctx::build(cell.name().clone(), cell.clock().clone()).caller(caller.clone()).finish();
    let wish = WalletIn { user_id: None, currency: Currency::USD, label: None };
    let source = money.create_wallet(&fresh(), wish).await.unwrap().id;
    let rest = "insert into money.wallet (id, tenant_id, kind, user_id, currency)
                select kernel.new_id(), $1, 'user', $2, 'USD' from generate_series(2, $3) returning id";
    let rest: Vec<(Uuid,)> = sqlx::query_as(rest)
        .bind(caller.tenant.unwrap().uuid())
        .bind(user.uuid())
        .bind(i32::try_from(WALLETS).unwrap())
        .fetch_all(&mut sql)
        .await
        .unwrap();
    let mut wallets = vec![source];
    wallets.extend(rest.into_iter().map(|(id,)| WalletId::from_uuid(id)));
    let credit = |amount: i64| MoveIn { amount: amount.into(), description: None, metadata: None };
    for _ in 0..12 {
        money.credit(&fresh(), source, credit(10_000_000)).await.unwrap();
    }
    for some in wallets[1..].chunks(1_000) {
        let transfers = some.iter().map(|to| TransferIn {
            from: source,
            to: *to,
            amount: 10_000.into(),
            description: None,
            metadata: None,
        });
        money.transfer_all(&fresh(), TransfersIn { transfers: transfers.collect() }).await.unwrap();
    }
    // The context outlives the measurement: the writer takes no operation whose time is over.
    let cx = Ctx::build(cell.name().clone(), cell.clock().clone())
        .caller(caller)
        .deadline(Instant::now() + Duration::from_secs(600))
        .finish();
    Service { money, cx, wallets: Arc::new(wallets) }
}

#[tokio::main]
async fn main() {
    // Tests keep their data in memory; here a commit must reach a disk.
    let folder = tempfile::Builder::new().prefix("pk").tempdir_in("/var/tmp").unwrap();
    let options = KernelOptions::default()
        .with("KERNEL_TEMPLATE", "empty")
        .with("KERNEL_DURABILITY", "persistent")
        .on(&folder.path().join("data"));
    let kernel = Kernel::start(options).await;
    let service = filled(&kernel).await;
    let mut admin = kernel.admin_sql("pk_default").await;
    sqlx::raw_sql(PLAIN).execute(&mut admin).await.unwrap();
    sqlx::raw_sql("vacuum analyze").execute(&mut admin).await.unwrap();

    println!("{CALLERS} callers, {:?} each, commits on disk", time());
    let plain_hot = plain(&kernel, hot).await;
    plain_hot.show("one transaction each, hot wallet", None);
    let service_hot = service.measure(hot).await;
    service_hot.show("the service, hot wallet", Some(&plain_hot));
    let plain_cold = plain(&kernel, cold).await;
    plain_cold.show("one transaction each, 10,000", None);
    let service_cold = service.measure(cold).await;
    service_cold.show("the service, 10,000 wallets", Some(&plain_cold));

    let checked = service.money.verify(&service.cx).await.unwrap();
    assert!(checked.valid, "{:?}", checked.differences);
    println!("{} transactions, {} entries: everything adds up", checked.transactions, checked.entries);
    drop(service);
    drop(admin);
    kernel.close().await;
}
