//! What the cache in Valkey gets through our contract, beside `redis-benchmark` on the same server in the same run.
//!
//! `cargo bench --bench cache`, with the server of `TEST_VALKEY_ADDR` and `redis-benchmark` (apt `redis-tools`). All our
//! callers share one connection and the client pipelines by itself, so there are two to compare with: as many connections
//! as callers without pipelining, and one connection that is pipelined as deep as there are callers.

use std::{
    process::Command,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use fabric::cache::{Cache, Store, ValkeyOptions, ValkeyStore};
use kernel::Secret;

type Failure = Box<dyn std::error::Error>;

/// What is done over and over.
#[derive(Debug, Clone, Copy)]
enum Work {
    Get,
    Set,
    Increment,
}

const VALUE: [u8; 100] = [b'x'; 100];
const KEY: &str = "bench";
const TTL: Duration = Duration::from_secs(600);
/// The script of our counter, so that both sides do the same.
const COUNT: &str = "local count = redis.call('incr', KEYS[1]) local left = redis.call('pttl', KEYS[1]) if left < 0 then \
                     redis.call('pexpire', KEYS[1], ARGV[1]) left = tonumber(ARGV[1]) end return {count, math.max(left, 1)}";

impl Work {
    async fn once(self, cache: &Cache) -> kernel::Result<()> {
        match self {
            Self::Get => cache.get(KEY).await.map(drop),
            Self::Set => cache.set(KEY, Bytes::from_static(&VALUE), TTL).await,
            Self::Increment => cache.increment("bench-count", 1, TTL).await.map(drop),
        }
    }

    /// The same for `redis-benchmark`.
    fn command(self) -> Vec<String> {
        let value = String::from_utf8_lossy(&VALUE).into_owned();
        let words: Vec<&str> = match self {
            Self::Get => vec!["GET", "bench/bench"],
            Self::Set => vec!["SET", "bench/other", &value, "PX", "600000"],
            Self::Increment => vec!["EVAL", COUNT, "1", "bench/other-count", "600000"],
        };
        words.into_iter().map(str::to_owned).collect()
    }
}

/// Operations a second of `callers` together.
async fn ours(cache: &Cache, work: Work, callers: u32, each: u32) -> Result<f64, Failure> {
    let begun = Instant::now();
    let running: Vec<_> = (0..callers)
        .map(|_| {
            let cache = cache.clone();
            tokio::spawn(async move {
                for _ in 0..each {
                    work.once(&cache).await?;
                }
                Ok::<_, kernel::Error>(())
            })
        })
        .collect();
    for caller in running {
        caller.await?.map_err(|error| format!("{error:?}"))?;
    }
    Ok(f64::from(callers * each) / begun.elapsed().as_secs_f64())
}

/// Operations a second of `redis-benchmark` with so many connections, each pipelined so deep.
fn theirs(address: &str, work: Work, connections: u32, depth: u32, requests: u32) -> Result<f64, Failure> {
    let (host, port) = address.rsplit_once(':').ok_or("TEST_VALKEY_ADDR is host:port")?;
    let counts = ["-c", &connections.to_string(), "-P", &depth.to_string(), "-n", &requests.to_string()]
        .map(str::to_owned);
    let output = Command::new("redis-benchmark")
        .args(["-h", host, "-p", port, "--csv"])
        .args(counts)
        .args(work.command())
        .output()
        .map_err(|error| format!("redis-benchmark: {error}; apt-get install redis-tools"))?;
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    // "test","rps",… and a line of figures; the test's name is the command, which may hold commas.
    let line = told.lines().last().unwrap_or_default();
    let figures: Vec<&str> = line.rsplit(',').take(7).collect();
    let rate = figures.last().map(|rate| rate.trim_matches('"'));
    rate.and_then(|rate| rate.parse().ok()).ok_or_else(|| format!("redis-benchmark said {told}").into())
}

/// A run of each first, then three of which the middle one counts.
macro_rules! middle {
    ($run:expr) => {{
        let mut rates = Vec::new();
        for _ in 0..3 {
            rates.push($run?);
        }
        rates.sort_unstable_by(f64::total_cmp);
        rates[1]
    }};
}

fn main() -> Result<(), Failure> {
    let address = std::env::var("TEST_VALKEY_ADDR").map_err(
        |_| "TEST_VALKEY_ADDR is not set: run `make parts` and `source ~/.cache/platform-kernel/parts/env`",
    )?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(async {
        let url = Secret::new(format!("valkey://{address}"));
        let store = ValkeyStore::connect(&ValkeyOptions { url, password: None, roots: None }).await?;
        let version = store.health().await.map_err(|error| format!("{error:?}"))?.version;
        let cache = Cache::new(Arc::new(store) as Arc<dyn Store>).part("bench");
        println!(
            "{version}, values of {} bytes; operations a second, ratios are ours to theirs\n",
            VALUE.len()
        );
        println!(
            "  {:<10}{:>8}{:>10}{:>24}{:>7}{:>26}{:>7}",
            "", "callers", "ours", "theirs, not pipelined", "ratio", "theirs, one, pipelined", "ratio"
        );
        for work in [Work::Set, Work::Get, Work::Increment] {
            for (callers, each) in [(1, 20_000), (64, 2_000)] {
                ours(&cache, work, callers, each / 4).await?;
                let ours = middle!(ours(&cache, work, callers, each).await);
                let plain = middle!(theirs(&address, work, callers, 1, callers * each));
                let deep = middle!(theirs(&address, work, 1, 64, callers * each * 2));
                println!(
                    "  {:<10}{callers:>8}{ours:>10.0}{plain:>24.0}{:>7.2}{deep:>26.0}{:>7.2}",
                    format!("{work:?}").to_lowercase(),
                    ours / plain,
                    ours / deep
                );
            }
        }
        cache.delete_prefix("").await.map_err(|error| format!("{error:?}"))?;
        Ok::<_, Failure>(())
    })
}
