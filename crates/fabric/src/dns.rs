//! Asking name servers for more than addresses.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use hickory_resolver::{
    TokioResolver,
    config::{ConnectionConfig, NameServerConfig, ResolveHosts, ResolverConfig, ResolverOpts},
    net::runtime::TokioRuntimeProvider,
    proto::rr::{RData, RecordType},
};
use kernel::{Error, Result, Slug};

/// The time for one question to one server, and how often it is put.
const PATIENCE: Duration = Duration::from_secs(2);
const ATTEMPTS: usize = 2;

/// Asks name servers. Nothing is remembered: what somebody enters at their provider is seen as soon as the name server
/// asked tells of it. Cheap to clone.
#[derive(Clone)]
pub struct Dns(Arc<Servers>);

enum Servers {
    Known(Box<TokioResolver>),
    /// Why there are none.
    None(String),
}

impl Dns {
    /// Asks these servers; with none given, those that the system names. That the system names none is told with the
    /// first question, for nobody may ever ask one.
    pub fn new(servers: &[SocketAddr]) -> Self {
        let made = if servers.is_empty() {
            TokioResolver::builder_tokio()
        } else {
            let servers = servers.iter().map(|server| {
                let connections = [ConnectionConfig::udp(), ConnectionConfig::tcp()].map(|mut connection| {
                    connection.port = server.port();
                    connection
                });
                NameServerConfig::new(server.ip(), true, connections.into())
            });
            let config = ResolverConfig::from_parts(None, Vec::new(), servers.collect());
            Ok(TokioResolver::builder_with_config(config, TokioRuntimeProvider::default()))
        };
        let made = made.and_then(|mut builder| {
            set(builder.options_mut());
            builder.build()
        });
        Self(Arc::new(match made {
            Ok(resolver) => Servers::Known(Box::new(resolver)),
            Err(error) => Servers::None(error.to_string()),
        }))
    }

    /// The texts (TXT) at a name; none when there are none, or no such name.
    ///
    /// # Errors
    /// `dependency-unavailable` when no server answers.
    pub async fn texts(&self, name: &str) -> Result<Vec<String>> {
        let resolver = match &*self.0 {
            Servers::Known(resolver) => resolver,
            Servers::None(why) => return Err(unavailable(why.clone())),
        };
        // The dot at its end: no domain of the system is tried behind it.
        match resolver.lookup(format!("{}.", name.trim_end_matches('.')), RecordType::TXT).await {
            Ok(found) => Ok(found
                .answers()
                .iter()
                .filter_map(|record| match &record.data {
                    RData::TXT(text) => Some(String::from_utf8_lossy(&text.txt_data.concat()).into_owned()),
                    _ => None,
                })
                .collect()),
            Err(error) if error.is_no_records_found() => Ok(Vec::new()),
            Err(error) => Err(unavailable(error.to_string())),
        }
    }
}

fn set(options: &mut ResolverOpts) {
    options.cache_size = 0;
    options.timeout = PATIENCE;
    options.attempts = ATTEMPTS;
    options.use_hosts_file = ResolveHosts::Never;
}

fn unavailable(why: String) -> Error {
    Error::new(
        Slug::DependencyUnavailable,
        "The name server does not answer; the question is put again later.",
    )
    .for_author(format!("{why}; the operator can name another one in KERNEL_DNS_RESOLVER"))
    .because(why)
}
