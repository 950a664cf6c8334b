//! Valkey (or Redis): one cache for all replicas.
//!
//! Nobody waits for a server that is away: a call fails at once while the connection is known to be lost, and within
//! [`COMMAND_TIME`] otherwise. The client connects again by itself, at least once a second.

mod address;
mod error;
mod hearing;

use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

use async_trait::async_trait;
use bytes::Bytes;
use fred::{
    clients::{Client, WithOptions},
    interfaces::{ClientLike, KeysInterface, PubsubInterface},
    types::{
        ClusterHash, ConnectHandle, CustomCommand, Expiration, InfoKind, Key, Value,
        config::{
            ConnectionConfig, Options, PerformanceConfig, ReconnectPolicy, TcpConfig, UnresponsiveConfig,
        },
        scan::Scanner,
    },
    util::{redis_keyslot, sha1_hash},
};
use futures::{StreamExt, future::try_join_all};
use kernel::{Error, Result, Secret, Slug, Timestamp, config::Config};
use tokio::sync::broadcast;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::{Counted, Heard, Store, topics::Topics};
pub use error::ValkeyError;
use hearing::Hearing;

/// How long a command may take.
const COMMAND_TIME: Duration = Duration::from_secs(1);
/// How long a connection may take, TLS included.
const CONNECT_TIME: Duration = Duration::from_secs(1);
/// A server that leaves a command unanswered for so long is taken for lost.
const SILENCE: Duration = Duration::from_secs(2);
/// Between attempts to connect, in milliseconds.
const FIRST_PAUSE_MS: u32 = 50;
const LONGEST_PAUSE_MS: u32 = 1_000;
/// Before a client that gave up is started anew.
const AGAIN: Duration = Duration::from_secs(1);
/// When a caller may come back.
const RETRY_AFTER: Duration = Duration::from_secs(1);
/// Keys that a look through the server passes at a time.
const SCAN: u32 = 1_000;
/// The longest that anything is kept: ten years. The server refuses times that overflow.
const LONGEST_MS: u64 = 315_360_000_000;
/// What the client buffers for a listener of ours that is slow.
const BACKLOG: usize = 4_096;
/// The least version of Redis: major, minor.
const LEAST_REDIS: (u32, u32) = (6, 2);

/// Counts up; the first count begins the window. By nothing it makes no counter.
const INCREMENT: &str = "\
if ARGV[2] == '0' and redis.call('exists', KEYS[1]) == 0 then
  return {0, tonumber(ARGV[1])}
end
local count = redis.call('incrby', KEYS[1], ARGV[2])
local left = redis.call('pttl', KEYS[1])
if left < 0 then
  redis.call('pexpire', KEYS[1], ARGV[1])
  left = tonumber(ARGV[1])
end
return {count, math.max(left, 1)}";

/// How the server is reached.
#[derive(Debug, Clone)]
pub struct ValkeyOptions {
    /// Its address: `redis`, `valkey`, with TLS `rediss`, `valkeys`, each also with `-cluster` or `-sentinel`.
    pub url: Secret,
    /// The password, unless the address holds it.
    pub password: Option<Secret>,
    /// A PEM file of authorities that count beside the public ones.
    pub roots: Option<PathBuf>,
}

impl ValkeyOptions {
    /// What the configuration names, if it names a server.
    pub fn of(config: &Config) -> Option<Self> {
        let valkey = config.valkey.as_ref()?;
        Some(Self {
            url: valkey.url.clone(),
            password: valkey.password.clone(),
            roots: config.more_authorities.clone(),
        })
    }
}

/// What a server says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerFacts {
    /// Hosts and ports.
    pub place: String,
    /// Name and version: “Valkey 8.1.8”; “unknown” where the user may not ask.
    pub version: String,
    /// How long it took to answer.
    pub latency: Duration,
}

/// Whether the server is there, as its listener last found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Presence {
    /// It answers, and is listened to.
    pub there: bool,
    /// Since when.
    pub since: Timestamp,
}

/// A store in a Valkey or Redis server, a cluster of them, or behind sentinels.
pub struct ValkeyStore {
    client: Client,
    commands: WithOptions<Client>,
    /// Names the counter's script to a server that has seen it.
    counter: String,
    hearing: Hearing,
    place: address::Place,
    /// Ends the tasks.
    _stop: DropGuard,
}

impl ValkeyStore {
    /// Connects, and tries everything that will be asked of the server.
    ///
    /// # Errors
    /// With a sentence that says what to do.
    pub async fn connect(options: &ValkeyOptions) -> Result<Self, ValkeyError> {
        let (config, place) = address::read(options)?;
        let tls = config.uses_tls();
        let sort = |error: fred::error::Error| ValkeyError::sort(&place, tls, &error);
        let client = |backlog| {
            let performance = PerformanceConfig {
                default_command_timeout: COMMAND_TIME,
                broadcast_channel_capacity: backlog,
                ..PerformanceConfig::default()
            };
            Client::new(config.clone(), Some(performance), Some(connection()), Some(policy()))
        };
        let (client, listener) = (client(32), client(BACKLOG));
        let stop = CancellationToken::new();
        let guard = stop.clone().drop_guard();
        let running = client.init().await.map_err(sort)?;
        tokio::spawn(keep(client.clone(), running, stop.clone()));
        let hearing = Hearing::begin(listener, stop).await.map_err(sort)?;
        let store = Self {
            commands: client.with_options(&at_once()),
            client,
            counter: sha1_hash(INCREMENT),
            hearing,
            place,
            _stop: guard,
        };
        let facts = store.facts().await.map_err(|error| ValkeyError::sort(&store.place, tls, &error))?;
        if is_too_old(&facts.version) {
            return Err(ValkeyError::Version { place: facts.place, version: facts.version });
        }
        store.try_everything().await.map_err(|error| ValkeyError::sort(&store.place, tls, &error))?;
        Ok(store)
    }

    /// Asks the server how it is.
    ///
    /// # Errors
    /// `dependency-unavailable`.
    pub async fn health(&self) -> Result<ServerFacts> {
        self.facts().await.map_err(|error| self.unavailable(error))
    }

    /// Whether the server is there; asks nobody.
    pub fn presence(&self) -> Presence {
        self.hearing.presence()
    }

    async fn facts(&self) -> Result<ServerFacts, fred::error::Error> {
        let asked = Instant::now();
        let version = match self.commands.info::<String>(Some(InfoKind::Server)).await {
            Ok(info) => version(&info),
            Err(error) if error.details().starts_with("NOPERM") => {
                self.commands.ping::<()>(None).await?;
                "unknown".to_owned()
            }
            Err(error) => return Err(error),
        };
        Ok(ServerFacts { place: self.place.to_string(), version, latency: asked.elapsed() })
    }

    /// A right that is missing is told at the start, not by a request.
    async fn try_everything(&self) -> Result<(), fred::error::Error> {
        let key = format!("platform-kernel-probe-{:016x}", rand::random::<u64>());
        let soon = Some(Expiration::PX(10_000));
        self.commands.set::<(), _, _>(&key, "probe", soon, None, false).await?;
        let back: Option<Bytes> = self.commands.get(&key).await?;
        if back.as_deref() != Some(b"probe") {
            let kind = fred::error::ErrorKind::Unknown;
            return Err(fred::error::Error::new(kind, "what was written does not come back"));
        }
        self.commands.unlink::<(), _>(&key).await?;
        self.count(&key, 1, Duration::from_secs(10)).await?;
        self.unlink_like(&key).await?;
        self.hearing.try_it(&key).await?;
        self.commands.publish::<(), _, _>(key.as_str(), "probe").await
    }

    async fn count(&self, key: &str, by: u64, window: Duration) -> Result<Counted, fred::error::Error> {
        let (count, left) = match self.run("EVALSHA", &self.counter, key, by, window).await {
            Err(error) if error.details().starts_with("NOSCRIPT") => {
                self.run("EVAL", INCREMENT, key, by, window).await?
            }
            counted => counted?,
        };
        Ok(Counted { count, resets_in: Duration::from_millis(left) })
    }

    /// The client's own calls of scripts can't be told to fail fast.
    async fn run(
        &self,
        how: &'static str,
        script: &str,
        key: &str,
        by: u64,
        window: Duration,
    ) -> Result<(u64, u64), fred::error::Error> {
        let slot = ClusterHash::Custom(redis_keyslot(key.as_bytes()));
        // The server counts in signed numbers.
        let by = i64::try_from(by).unwrap_or(i64::MAX);
        let arguments: Vec<Value> =
            vec![script.into(), 1.into(), key.into(), millis(window).into(), by.into()];
        self.commands.custom(CustomCommand::new_static(how, slot, false), arguments).await
    }

    /// Page by page, on every node.
    async fn unlink_like(&self, prefix: &str) -> Result<(), fred::error::Error> {
        if !self.client.is_connected() {
            return Err(fred::error::Error::new(fred::error::ErrorKind::IO, "the connection is lost"));
        }
        let pattern = format!("{}*", literally(prefix));
        let mut pages = match self.client.is_clustered() {
            true => self.client.scan_cluster(pattern, Some(SCAN), None).boxed(),
            false => self.client.scan(pattern, Some(SCAN), None).boxed(),
        };
        // The client's own limit does not hold for its streams.
        while let Some(page) = tokio::time::timeout(COMMAND_TIME, pages.next()).await.map_err(|_| {
            fred::error::Error::new(fred::error::ErrorKind::Timeout, "the server does not answer")
        })? {
            let mut page = page?;
            let keys: Vec<Key> = page.take_results().unwrap_or_default();
            if self.client.is_clustered() {
                try_join_all(keys.into_iter().map(|key| self.commands.unlink::<(), _>(key))).await?;
            } else if !keys.is_empty() {
                self.commands.unlink::<(), _>(keys).await?;
            }
            page.next();
        }
        Ok(())
    }

    fn unavailable(&self, error: fred::error::Error) -> Error {
        Error::new(Slug::DependencyUnavailable, "The cache does not answer.")
            .retry_after(RETRY_AFTER)
            .because(format!("Valkey at {}: {error}", self.place))
    }
}

#[async_trait]
impl Store for ValkeyStore {
    async fn get(&self, key: &str) -> Result<Option<Bytes>> {
        self.commands.get(key).await.map_err(|error| self.unavailable(error))
    }

    async fn set(&self, key: &str, value: Bytes, ttl: Duration) -> Result<()> {
        let ttl = Some(Expiration::PX(millis(ttl)));
        self.commands.set(key, value, ttl, None, false).await.map_err(|error| self.unavailable(error))
    }

    async fn delete(&self, key: &str) -> Result<()> {
        self.commands.unlink(key).await.map_err(|error| self.unavailable(error))
    }

    async fn delete_prefix(&self, prefix: &str) -> Result<()> {
        self.unlink_like(prefix).await.map_err(|error| self.unavailable(error))
    }

    async fn increment(&self, key: &str, by: u64, window: Duration) -> Result<Counted> {
        self.count(key, by, window).await.map_err(|error| self.unavailable(error))
    }

    async fn publish(&self, topic: &str, message: Bytes) -> Result<()> {
        self.commands.publish(topic, message).await.map_err(|error| self.unavailable(error))
    }

    async fn subscribe(&self, topic: &str) -> Result<broadcast::Receiver<Heard>> {
        self.hearing.subscribe(topic).await.map_err(|error| self.unavailable(error))
    }
}

/// A command is not sent while the connection is lost, and not again when its answer is lost with the connection. More
/// attempts than one are left to it all the same: following a cluster's redirection is one.
fn at_once() -> Options {
    Options { timeout: Some(COMMAND_TIME), fail_fast: true, ..Options::default() }
}

fn connection() -> ConnectionConfig {
    ConnectionConfig {
        connection_timeout: CONNECT_TIME,
        internal_command_timeout: CONNECT_TIME,
        unresponsive: UnresponsiveConfig { max_timeout: Some(SILENCE), interval: SILENCE / 4 },
        // A password may change while we run: the next attempt may have luck.
        reconnect_on_auth_error: true,
        tcp: TcpConfig { nodelay: Some(true), ..TcpConfig::default() },
        ..ConnectionConfig::default()
    }
}

fn policy() -> ReconnectPolicy {
    ReconnectPolicy::new_exponential(0, FIRST_PAUSE_MS, LONGEST_PAUSE_MS, 2)
}

/// Starts a client anew that has given up for good, as it does at an answer that it takes for a wrong configuration.
async fn keep(client: Client, mut running: ConnectHandle, stop: CancellationToken) {
    loop {
        tokio::select! {
            () = stop.cancelled() => {
                running.abort();
                return;
            }
            ended = &mut running => tracing::warn!(?ended, "the client of Valkey has given up; it is started anew"),
        }
        running = loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(AGAIN) => {}
            }
            if let Ok(again) = client.init().await {
                break again;
            }
        };
    }
}

/// At least one, and nothing that overflows.
fn millis(time: Duration) -> i64 {
    let bounded = u64::try_from(time.as_millis()).unwrap_or(LONGEST_MS).clamp(1, LONGEST_MS);
    i64::try_from(bounded).unwrap_or(1)
}

/// A pattern that matches this text alone.
fn literally(text: &str) -> String {
    let mut pattern = String::with_capacity(text.len());
    for c in text.chars() {
        if matches!(c, '*' | '?' | '[' | ']' | '\\') {
            pattern.push('\\');
        }
        pattern.push(c);
    }
    pattern
}

/// Name and version out of `INFO server`. Valkey tells the version of Redis that it stands for, too.
fn version(info: &str) -> String {
    let told = |name: &str| info.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
    match (told("valkey_version:"), told("redis_version:")) {
        (Some(version), _) => format!("Valkey {version}"),
        (None, Some(version)) => format!("Redis {version}"),
        (None, None) => "unknown".to_owned(),
    }
}

fn is_too_old(version: &str) -> bool {
    let Some(redis) = version.strip_prefix("Redis ") else { return false };
    let mut numbers = redis.split('.').map(|number| number.parse::<u32>().unwrap_or(0));
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0)) < LEAST_REDIS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_is_no_pattern() {
        assert_eq!(literally(r"a*b?[c]\d/ä"), r"a\*b\?\[c\]\\d/ä");
    }

    #[test]
    fn times_are_at_least_a_millisecond_and_never_overflow() {
        assert_eq!([Duration::ZERO, Duration::from_secs(2)].map(millis), [1, 2_000]);
        assert_eq!(millis(Duration::MAX), 315_360_000_000);
    }

    #[test]
    fn a_server_is_told_by_name_and_version() {
        let valkey = "# Server\r\nredis_version:7.2.4\r\nserver_name:valkey\r\nvalkey_version:8.1.8\r\n";
        assert_eq!(version(valkey), "Valkey 8.1.8");
        assert_eq!(version("redis_version:6.0.16\r\n"), "Redis 6.0.16");
        let old = ["Redis 6.0.16", "Redis 5.0.0"].map(is_too_old);
        let new = ["Redis 6.2.0", "Redis 7.0.15", "Redis 10.1.0", "Valkey 8.1.8", "unknown"].map(is_too_old);
        assert_eq!((old, new), ([true; 2], [false; 5]));
    }
}
