//! What a hop over a link costs, beside a direct call, a channel by hand and tower's own stack, all in one run.
//!
//! `cargo bench --bench link`. Budget of the house: p50 ≤ 2 µs and p99 ≤ 50 µs with one caller.

use std::{
    hint::black_box,
    sync::Arc,
    time::{Duration, Instant},
};

use kernel::{Clock, Ctx, Result, SandboxName};
use ports::{
    contract,
    link::{Call, Link, LinkOptions},
};
use tokio::sync::{mpsc, oneshot};
use tower::{ServiceBuilder, ServiceExt as _, service_fn};

contract! {
    /// The least that a service can do.
    pub trait Echo via EchoLink {
        /// The same number.
        async fn echo(n: u64) -> u64;
    }
}

/// Answers at once, or after it has let others run.
struct Mirror {
    waits: bool,
}

impl Mirror {
    async fn answer(&self, n: u64) -> u64 {
        if self.waits {
            tokio::task::yield_now().await;
        }
        black_box(n)
    }
}

#[async_trait::async_trait]
impl Echo for Mirror {
    async fn echo(&self, _: &Ctx, n: u64) -> Result<u64> {
        Ok(self.answer(n).await)
    }
}

/// One way from caller to service.
trait Way: Clone + Send + Sync + 'static {
    fn ask(&mut self, cx: &Ctx, n: u64) -> impl Future<Output = u64> + Send;
}

#[derive(Clone)]
struct Direct(Arc<dyn Echo>);

impl Way for Direct {
    async fn ask(&mut self, cx: &Ctx, n: u64) -> u64 {
        self.0.echo(cx, n).await.unwrap_or_default()
    }
}

#[derive(Clone)]
struct Contract(EchoLink);

impl Way for Contract {
    async fn ask(&mut self, cx: &Ctx, n: u64) -> u64 {
        self.0.echo(cx, n).await.unwrap_or_default()
    }
}

#[derive(Clone)]
struct OverTower(Link<u64, u64>);

impl Way for OverTower {
    async fn ask(&mut self, cx: &Ctx, n: u64) -> u64 {
        self.0.call(cx, n).await.unwrap_or_default()
    }
}

/// What one would write by hand: a message with a way back, and a task for each.
#[derive(Clone)]
struct ByHand(mpsc::Sender<(Ctx, u64, oneshot::Sender<u64>)>);

impl ByHand {
    fn new(target: Arc<dyn Echo>) -> Self {
        let (sender, mut inbox) = mpsc::channel::<(Ctx, u64, oneshot::Sender<u64>)>(1024);
        tokio::spawn(async move {
            while let Some((cx, n, back)) = inbox.recv().await {
                let target = Arc::clone(&target);
                tokio::spawn(async move {
                    // A caller that has gone needs no answer.
                    let _ = back.send(target.echo(&cx, n).await.unwrap_or_default());
                });
            }
        });
        Self(sender)
    }
}

impl Way for ByHand {
    async fn ask(&mut self, cx: &Ctx, n: u64) -> u64 {
        let (back, answer) = oneshot::channel();
        match self.0.send((cx.clone(), n, back)).await {
            Ok(()) => answer.await.unwrap_or_default(),
            Err(_closed) => 0,
        }
    }
}

/// tower's load shed, buffer, concurrency limit and timeout, as they come.
#[derive(Clone)]
struct TowersOwn<S>(S);

impl<S> Way for TowersOwn<S>
where
    S: tower::Service<(Ctx, u64), Response = u64, Future: Send> + Clone + Send + Sync + 'static,
    S::Error: Send,
{
    async fn ask(&mut self, cx: &Ctx, n: u64) -> u64 {
        self.0.clone().oneshot((cx.clone(), n)).await.unwrap_or_default()
    }
}

/// Percentiles with one caller, and what 64 callers get through together.
struct Figures {
    name: &'static str,
    p50: Duration,
    p99: Duration,
    rate_of_one: f64,
    rate_of_64: f64,
}

/// What the ratios are against.
const BY_HAND: &str = "mpsc + oneshot by hand";
const TYPED: &str = "link, typed contract";

const WARM_UP: u64 = 20_000;
const SINGLE: u64 = 100_000;
const CALLERS: u64 = 64;
const EACH: u64 = 5_000;

async fn measure<W: Way>(name: &'static str, way: W, cx: &Ctx) -> Figures {
    // In a task of its own: the thread that blocks on the runtime is none of its workers.
    let (mut one, cx_of_one) = (way.clone(), cx.clone());
    let single = tokio::spawn(async move {
        let mut times = Vec::with_capacity(SINGLE as usize);
        for n in 0..WARM_UP {
            one.ask(&cx_of_one, n).await;
        }
        let begun = Instant::now();
        for n in 0..SINGLE {
            let asked = Instant::now();
            black_box(one.ask(&cx_of_one, n).await);
            times.push(asked.elapsed());
        }
        let rate = SINGLE as f64 / begun.elapsed().as_secs_f64();
        times.sort_unstable();
        (times[times.len() / 2], times[times.len() * 99 / 100], rate)
    });
    let (p50, p99, rate_of_one) = single.await.unwrap_or_default();

    let begun = Instant::now();
    let callers: Vec<_> = (0..CALLERS)
        .map(|_| {
            let (mut way, cx) = (way.clone(), cx.clone());
            tokio::spawn(async move {
                for n in 0..EACH {
                    black_box(way.ask(&cx, n).await);
                }
            })
        })
        .collect();
    for caller in callers {
        // A caller that failed would show as a rate too good to be true, so it ends the run.
        assert!(caller.await.is_ok(), "a caller panicked");
    }
    let rate_of_64 = (CALLERS * EACH) as f64 / begun.elapsed().as_secs_f64();
    Figures { name, p50, p99, rate_of_one, rate_of_64 }
}

async fn all_ways(waits: bool, cx: &Ctx) -> Vec<Figures> {
    let mirror: Arc<dyn Echo> = Arc::new(Mirror { waits });
    let options = LinkOptions::default();
    let contract = EchoLink::new("echo", options, Arc::clone(&mirror));
    let service = {
        let mirror = Arc::new(Mirror { waits });
        service_fn(move |call: Call<u64>| {
            let mirror = Arc::clone(&mirror);
            async move { Ok::<_, kernel::Error>(mirror.answer(call.request).await) }
        })
    };
    let towers_own = {
        let mirror = Arc::clone(&mirror);
        ServiceBuilder::new()
            .load_shed()
            .buffer(options.depth)
            .concurrency_limit(options.concurrency)
            .timeout(Duration::from_secs(30))
            .service(service_fn(move |(cx, n): (Ctx, u64)| {
                let mirror = Arc::clone(&mirror);
                async move { mirror.echo(&cx, n).await }
            }))
    };
    let figures = vec![
        measure("direct call", Direct(Arc::clone(&mirror)), cx).await,
        measure(TYPED, Contract(contract.clone()), cx).await,
        measure("link, tower service", OverTower(Link::new("echo", options, service)), cx).await,
        measure(BY_HAND, ByHand::new(mirror), cx).await,
        measure("tower shed+buffer+limit", TowersOwn(towers_own), cx).await,
    ];
    let stats = contract.stats();
    assert_eq!(stats.answered, WARM_UP + SINGLE + CALLERS * EACH, "every call over the link was answered");
    figures
}

fn print(title: &str, figures: &[Figures]) {
    println!("{title}");
    println!(
        "  {:<26}{:>9}{:>9}{:>14}{:>16}{:>11}{:>12}",
        "", "p50 µs", "p99 µs", "1 caller /s", "64 callers /s", "p50 ratio", "rate ratio"
    );
    let by_hand = figures.iter().find(|row| row.name == BY_HAND);
    let by_hand = by_hand.map_or((1.0, 1.0), |row| (row.p50.as_secs_f64(), row.rate_of_64));
    for row in figures {
        println!(
            "  {:<26}{:>9.2}{:>9.2}{:>14.0}{:>16.0}{:>11.2}{:>12.2}",
            row.name,
            row.p50.as_secs_f64() * 1e6,
            row.p99.as_secs_f64() * 1e6,
            row.rate_of_one,
            row.rate_of_64,
            row.p50.as_secs_f64() / by_hand.0,
            row.rate_of_64 / by_hand.1,
        );
    }
    println!();
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(async {
        let cx = Ctx::build(SandboxName::default_sandbox(), Clock::real())
            .deadline(Instant::now() + Duration::from_secs(300))
            .finish();
        println!("a hop in process, 2 workers; a clock read of about 0.03 µs is in every time; ratios are to {BY_HAND:?}\n");
        let at_once = all_ways(false, &cx).await;
        print("the service answers at once", &at_once);
        let waiting = all_ways(true, &cx).await;
        print("the service lets others run before it answers", &waiting);

        let hop = at_once.iter().find(|row| row.name == TYPED);
        if let Some(hop) = hop {
            let kept = hop.p50 <= Duration::from_micros(2) && hop.p99 <= Duration::from_micros(50);
            let verdict = if kept { "kept" } else { "NOT KEPT" };
            println!(
                "budget p50 ≤ 2 µs, p99 ≤ 50 µs with one caller: {verdict} ({:?}, {:?})",
                hop.p50, hop.p99
            );
        }
    });
    Ok(())
}
