//! The first contact with a server that is somebody else's.

use std::time::{Duration, Instant};

use sqlx::{Connection, PgConnection, postgres::PgConnectOptions};

use super::{cluster_error::ClusterError, pool::single};

/// The time for a connection.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long a server that is starting is waited for.
const STARTING: Duration = Duration::from_secs(30);
const PAUSE: Duration = Duration::from_millis(200);

/// Connects twice, and sees that each connection is a session of its own that was begun as it was asked for: row-level
/// security relies on what is set in a session.
pub(super) async fn reach(setting: &'static str, options: &PgConnectOptions) -> Result<(), ClusterError> {
    let mark = format!("{:016x}", rand::random::<u64>());
    let marked = options.clone().options([("kernel.mark", mark.as_str())]);
    let mut first = connect(setting, &marked).await?;
    let (kept, one) = session(&mut first).await?;
    let mut second = connect(setting, &marked).await?;
    let (_, other) = session(&mut second).await?;
    if kept.as_deref() != Some(mark.as_str()) || one == other {
        return Err(ClusterError::Pooler { setting });
    }
    first.close().await?;
    Ok(second.close().await?)
}

/// The mark that the connection was begun with, and the process that serves it.
async fn session(connection: &mut PgConnection) -> Result<(Option<String>, i32), ClusterError> {
    // In one message, so that a pooler can't refuse it for being prepared.
    let row = sqlx::raw_sql("select current_setting('kernel.mark', true), pg_backend_pid()");
    let row = row.fetch_one(connection).await?;
    Ok(sqlx::FromRow::from_row(&row)?)
}

async fn connect(setting: &'static str, options: &PgConnectOptions) -> Result<PgConnection, ClusterError> {
    let until = Instant::now() + STARTING;
    loop {
        let error = match tokio::time::timeout(PATIENCE, single(options)).await {
            Ok(Ok(connection)) => return Ok(connection),
            Ok(Err(error)) => error,
            Err(_) => sqlx::Error::PoolTimedOut,
        };
        // cannot_connect_now: it is starting.
        let is_starting =
            error.as_database_error().is_some_and(|error| error.code().as_deref() == Some("57P03"));
        if !is_starting || Instant::now() > until {
            return Err(refused(setting, options, error));
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// What a failed connection means, with what to do.
fn refused(setting: &'static str, options: &PgConnectOptions, error: sqlx::Error) -> ClusterError {
    let place = match options.get_socket() {
        Some(folder) => folder.display().to_string(),
        None => format!("{}:{}", options.get_host(), options.get_port()),
    };
    let unreachable = |why: String, place| ClusterError::Unreachable { setting, place, why };
    match &error {
        // What TLS says of a certificate comes as an error of reading.
        sqlx::Error::Io(source) if source.kind() == std::io::ErrorKind::InvalidData => {
            ClusterError::Untrusted { setting, place, why: source.to_string() }
        }
        sqlx::Error::Io(source) => unreachable(source.to_string(), place),
        sqlx::Error::PoolTimedOut => unreachable(format!("no answer within {} s", PATIENCE.as_secs()), place),
        sqlx::Error::Tls(source) => ClusterError::Untrusted { setting, place, why: source.to_string() },
        sqlx::Error::Database(said) => {
            let why = said.message().to_owned();
            match said.code().as_deref() {
                // invalid_password, invalid_authorization_specification
                Some("28P01" | "28000") => {
                    let user = options.get_username().to_owned();
                    ClusterError::NotLetIn { setting, place, user, why }
                }
                // invalid_catalog_name
                Some("3D000") => ClusterError::NoDatabase { setting, place, why },
                // protocol_violation: PgBouncer, of a start-up option that it does not pass on
                Some("08P01") if why.contains("startup parameter") => ClusterError::Pooler { setting },
                _ => error.into(),
            }
        }
        _ => error.into(),
    }
}
