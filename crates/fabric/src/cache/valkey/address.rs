//! From an address to a client's settings: what it reads, it reads in full or refuses.

use std::{path::Path, sync::Arc};

use fred::types::{
    RespVersion,
    config::{Config, Server, ServerConfig, TlsConfig, TlsConnector, TlsHostMapping},
};
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, pem::PemObject},
};

use super::{ValkeyError, ValkeyOptions};

/// Where the server is, for people: hosts and ports, nothing secret.
pub(super) type Place = Arc<str>;

/// Reads the address.
pub(super) fn read(options: &ValkeyOptions) -> Result<(Config, Place), ValkeyError> {
    let refused = |why: &str| ValkeyError::Address(why.to_owned());
    let (scheme, rest) =
        options.url.expose().trim().split_once("://").ok_or_else(|| refused("it has no scheme"))?;
    let (plain, tls) = without_tls(scheme)
        .ok_or_else(|| refused("it begins with none of redis://, rediss://, valkey://, valkeys://"))?;
    // The client would look for the system's authorities, which a lean container does not have.
    let mut config = Config::from_url(&format!("{plain}://{rest}")).map_err(|e| refused(e.details()))?;
    bare_hosts(&mut config.server);
    if config.server.hosts().iter().any(|server| server.host.is_empty()) {
        return Err(refused("it names no host"));
    }
    if let Some(password) = &options.password {
        if config.password.is_some() {
            return Err(refused("it holds a password, and VALKEY_PASSWORD is set too: keep one of the two"));
        }
        config.password = Some(password.expose().to_owned());
    }
    if config.username.is_some() && config.password.is_none() {
        return Err(refused("it names a user without a password: set VALKEY_PASSWORD"));
    }
    // The client writes the third version's greeting as one line, which a password with a space in it breaks.
    config.version = RespVersion::RESP2;
    if tls {
        config.tls = Some(TlsConfig {
            connector: client_tls(options.roots.as_deref())?,
            hostnames: host_mapping(&config.server),
        });
    }
    let hosts = config.server.hosts();
    let places: Vec<String> = hosts.iter().map(|server| format!("{}:{}", server.host, server.port)).collect();
    Ok((config, places.join(", ").into()))
}

/// The scheme as it is without TLS, and whether it asks for TLS.
fn without_tls(scheme: &str) -> Option<(String, bool)> {
    let (name, kind) = match scheme.split_once('-') {
        Some((name, kind @ ("cluster" | "sentinel"))) => (name, format!("-{kind}")),
        Some(_) => return None,
        None => (scheme, String::new()),
    };
    match name {
        "redis" | "valkey" => Some((format!("{name}{kind}"), false)),
        "rediss" => Some((format!("redis{kind}"), true)),
        "valkeys" => Some((format!("valkey{kind}"), true)),
        _ => None,
    }
}

/// IPv6 addresses without the brackets that belong to the notation alone.
fn bare_hosts(server: &mut ServerConfig) {
    let bare = |server: &mut Server| {
        if let Some(host) = server.host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
            server.host = host.to_owned().into();
        }
    };
    match server {
        ServerConfig::Centralized { server } => bare(server),
        ServerConfig::Clustered { hosts, .. } | ServerConfig::Sentinel { hosts, .. } => {
            hosts.iter_mut().for_each(bare);
        }
    }
}

/// The nodes of a cluster announce themselves by IP address; a certificate mostly carries the name that was asked for.
fn host_mapping(server: &ServerConfig) -> TlsHostMapping {
    let named = |server: &Server| server.host.parse::<std::net::IpAddr>().is_err();
    match server {
        ServerConfig::Clustered { hosts, .. } if hosts.iter().all(named) => TlsHostMapping::DefaultHost,
        _ => TlsHostMapping::None,
    }
}

/// The public authorities, and those of a PEM file.
fn client_tls(more: Option<&Path>) -> Result<TlsConnector, ValkeyError> {
    let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    if let Some(path) = more {
        let refused = |why: String| ValkeyError::Roots { path: path.display().to_string(), why };
        let authorities = CertificateDer::pem_file_iter(path).map_err(|e| refused(e.to_string()))?;
        let mut found = 0;
        for authority in authorities {
            let authority = authority.map_err(|e| refused(e.to_string()))?;
            roots.add(authority).map_err(|e| refused(e.to_string()))?;
            found += 1;
        }
        if found == 0 {
            return Err(refused("there is no certificate in it".to_owned()));
        }
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let tls = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|e| ValkeyError::Address(e.to_string()))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(tls.into())
}

#[cfg(test)]
mod tests {
    use kernel::Secret;

    use super::*;

    fn options(url: &str) -> ValkeyOptions {
        ValkeyOptions { url: Secret::new(url), password: None, roots: None }
    }

    fn why(url: &str) -> String {
        read(&options(url)).unwrap_err().to_string()
    }

    #[test]
    fn an_address_says_who_where_and_how() {
        let (config, place) = read(&options("valkeys://kernel:p%40ss@cache.example.com:6380/3")).unwrap();
        assert_eq!((config.username.as_deref(), config.password.as_deref()), (Some("kernel"), Some("p@ss")));
        assert_eq!((config.database, config.uses_tls()), (Some(3), true));
        assert_eq!(&*place, "cache.example.com:6380");
        let (config, place) = read(&options("redis://[::1]")).unwrap();
        assert_eq!((&*place, config.uses_tls(), config.password), ("::1:6379", false, None));
    }

    #[test]
    fn a_cluster_and_sentinels_have_several_addresses() {
        let (config, place) = read(&options("rediss-cluster://a.example:7001?node=b.example:7002")).unwrap();
        assert!(config.server.is_clustered() && config.uses_tls());
        assert_eq!(config.tls.unwrap().hostnames, TlsHostMapping::DefaultHost);
        assert_eq!(&*place, "b.example:7002, a.example:7001");
        let (config, _) = read(&options(
            "redis-sentinel://:secret@one:26379/2?node=two:26379&sentinelServiceName=cache&sentinelPassword=other",
        ))
        .unwrap();
        let ServerConfig::Sentinel { hosts, service_name, password, .. } = config.server else {
            panic!("no sentinels")
        };
        assert_eq!((hosts.len(), service_name.as_str(), password.as_deref()), (2, "cache", Some("other")));
        assert_eq!((config.database, config.password.as_deref()), (Some(2), Some("secret")));
    }

    #[test]
    fn a_password_beside_the_address_counts_and_two_are_refused() {
        let beside = |url| ValkeyOptions { password: Some(Secret::new("beside")), ..options(url) };
        assert_eq!(read(&beside("redis://kernel@h")).unwrap().0.password.as_deref(), Some("beside"));
        assert!(read(&beside("redis://:in@h")).unwrap_err().to_string().contains("keep one of the two"));
        assert!(why("redis://kernel@h").contains("set VALKEY_PASSWORD"));
    }

    #[test]
    fn what_is_no_address_is_refused_with_an_example_and_without_its_password() {
        for url in
            ["cache:6379", "http://h", "redis-ring://h", "redis://:hunter2@h:99999", "redis-sentinel://h"]
        {
            let told = why(url);
            assert!(told.starts_with("VALKEY_URL can't be read: ") && told.contains("valkeys://"), "{told}");
            assert!(!told.contains("hunter2"), "{told}");
        }
    }

    #[test]
    fn a_file_of_roots_that_holds_none_is_refused() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let with = |path: &Path| ValkeyOptions { roots: Some(path.into()), ..options("rediss://h") };
        assert!(read(&with(file.path())).unwrap_err().to_string().contains("there is no certificate in it"));
        assert!(read(&with(Path::new("/nowhere.pem"))).unwrap_err().to_string().contains("/nowhere.pem"));
    }
}
