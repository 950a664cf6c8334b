//! The parts the kernel stands on, tried for real.

use std::time::Duration;

use fabric::blobs::{BlobPrefix, Blobs, MOST_SKEW};
use fabric::cache::{ValkeyOptions, ValkeyStore};
use fabric::log::kafka::KafkaOptions;
use fabric::postgres::embedded::Payload;
use kernel::config::{Config, DatabaseServer};
use sandbox::{OpenError, bucket_options, external};

use super::ground::SKEW;
use super::{Finding, PATIENCE, State};

/// A server that is starting is waited for.
const EXAMINATION: Duration = Duration::from_secs(15);

/// The embedded server is there; an external one is asked.
pub(super) async fn postgres(config: &Config) -> Finding {
    const WHAT: &str = "PostgreSQL";
    let (url, owner_url) = match &config.database.server {
        DatabaseServer::Embedded { .. } => {
            return match Payload::find() {
                Ok(payload) if payload.has_data() => {
                    Finding::new(WHAT, State::Good, "carried, with prepared templates")
                }
                Ok(_) => Finding::new(WHAT, State::Good, "carried; the first start makes the templates"),
                Err(error) => Finding::new(WHAT, State::Bad, error),
            };
        }
        DatabaseServer::External { url, owner_url, .. } => (url, owner_url),
    };
    let asked = async {
        let cluster = external(config.sandbox_mode, url, owner_url.as_ref())?;
        let found = cluster.examine().await;
        cluster.close().await;
        found.map_err(OpenError::from)
    };
    let found = match tokio::time::timeout(EXAMINATION, asked).await {
        Ok(Ok(found)) => found,
        Ok(Err(error)) => return Finding::new(WHAT, State::Bad, error),
        Err(_) => {
            let told = format!(
                "it did not answer within {} s; check DATABASE_URL and the firewall",
                EXAMINATION.as_secs()
            );
            return Finding::new(WHAT, State::Bad, told);
        }
    };
    let wanted = config.database.max_connections;
    let (state, more) = if found.skew > SKEW {
        (
            State::Note,
            format!("; its clock is {} s from this machine's: synchronise both", found.skew.as_secs()),
        )
    } else if i64::from(found.connections) < i64::from(wanted) {
        let told = format!(
            "; it lets {} connections in, and each kernel takes up to DB_MAX_OPEN_CONNS={wanted}: raise the one \
             (max_connections) or lower the other",
            found.connections
        );
        (State::Note, told)
    } else {
        (State::Good, String::new())
    };
    let told = format!(
        "version {} can be written and read; {} databases of ours there{more}",
        found.version, found.databases
    );
    Finding::new(WHAT, state, told)
}

/// A server that is named is asked, and everything is tried that a kernel will do there.
pub(super) async fn valkey(config: &Config) -> Option<Finding> {
    const WHAT: &str = "Valkey";
    let options = ValkeyOptions::of(config)?;
    let store = match ValkeyStore::connect(&options).await {
        Ok(store) => store,
        Err(error) => return Some(Finding::new(WHAT, State::Bad, error)),
    };
    Some(match store.health().await {
        Ok(facts) => Finding::new(
            WHAT,
            State::Good,
            format!(
                "{} at {} answers in {:.1} ms; writes, reads, counts and listens",
                facts.version,
                facts.place,
                facts.latency.as_secs_f64() * 1000.0
            ),
        ),
        Err(error) => Finding::new(WHAT, State::Bad, error.detail()),
    })
}

/// A topic is made, written, read and removed, as a kernel would.
pub(super) async fn kafka(config: &Config) -> Option<Finding> {
    const WHAT: &str = "Kafka";
    let options = KafkaOptions::of(&config.events)?;
    let place = options.server.brokers.join(",");
    Some(match options.try_out(PATIENCE).await {
        Ok(probe) => {
            let brokers =
                if probe.brokers == 1 { "1 broker".to_owned() } else { format!("{} brokers", probe.brokers) };
            let version = probe
                .version
                .map_or_else(|| "of a version it does not tell".to_owned(), |v| format!("version {v}"));
            Finding::new(
                WHAT,
                State::Good,
                format!("{place} answers: {brokers}, {version}; a record was written and read"),
            )
        }
        Err(fault) => Finding::new(WHAT, State::Bad, fault),
    })
}

/// Where doctors try out a bucket.
const ROOT: &str = "platform-kernel-doctor";

/// A bucket is reached, listed, written, read and cleared again.
pub(super) async fn files(config: &Config) -> Option<Finding> {
    const WHAT: &str = "S3 store";
    let bucket = config.files.bucket.as_ref()?;
    let prefix: BlobPrefix = "none".parse().ok()?;
    let options = bucket_options(bucket, ROOT.to_owned());
    let tried = async { Blobs::in_bucket(&options, prefix)?.check().await };
    let checked = match tokio::time::timeout(PATIENCE, tried).await {
        Ok(Ok(checked)) => checked?,
        Ok(Err(error)) => return Some(Finding::new(WHAT, State::Bad, error)),
        Err(_) => {
            let told = format!(
                "it did not answer within {} s; check S3_ENDPOINT and the firewall",
                PATIENCE.as_secs()
            );
            return Some(Finding::new(WHAT, State::Bad, told));
        }
    };
    let skew = checked.skew.unwrap_or_default();
    let (state, more) = if skew > MOST_SKEW {
        (State::Bad, format!("; its clock is {} s away, and requests are refused for that", skew.as_secs()))
    } else if skew > SKEW {
        (State::Note, format!("; its clock is {} s from this machine's: synchronise both", skew.as_secs()))
    } else if !checked.writes_once {
        let told = "; it does not know If-None-Match: two writers of one key at once are not kept apart";
        (State::Note, told.to_owned())
    } else {
        (State::Good, String::new())
    };
    let told = format!("bucket {} can be listed, written, read and cleared{more}", bucket.name);
    Some(Finding::new(WHAT, state, told))
}
