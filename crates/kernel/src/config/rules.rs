//! Settings that exclude or need each other.

use std::time::Duration;

use super::mistake::{Mistake, name_at};
use super::resolve::Reading;
use super::settings::*;
use super::{Config, SandboxMode, Target, Template};

/// Holds the settings against each other; adds mistakes and warnings.
pub(super) fn hold_together(reading: &mut Reading, config: &Config) {
    database(reading, config);
    pairs(reading);
    kafka(reading, config);
    listeners(reading, config);
    worth_a_line(reading, config);
}

fn database(reading: &mut Reading, config: &Config) {
    let external = reading.is_given(&DATABASE_URL.setting);
    if external {
        let origin = reading.origin(&DATABASE_URL.setting);
        let text = format!(
            "this is for the embedded PostgreSQL, but DATABASE_URL ({origin}) names another server, whose own \
             setting holds; remove one of the two"
        );
        reading.refuse(&KERNEL_DURABILITY.setting, text);
        let text = format!(
            "this is for the embedded PostgreSQL, but DATABASE_URL ({origin}) names another server; remove one \
             of the two"
        );
        reading.refuse(&KERNEL_POSTGRES_PORT.setting, text);
        return;
    }
    if config.sandbox_mode == SandboxMode::Single {
        let text = "single makes the given database the one sandbox, and none is given; set DATABASE_URL";
        reading.refuse(&KERNEL_SANDBOX_MODE.setting, text);
    }
    let text = "the owner's address stands beside the administrator's; set DATABASE_URL too";
    reading.refuse(&DATABASE_OWNER_URL.setting, text);
}

/// Two settings of which one alone means nothing.
fn pairs(reading: &mut Reading) {
    let mut pair = |one: &Setting, other: &Setting, why: &str| {
        if reading.is_given(one) && !reading.is_given(other) {
            reading.refuse(one, format!("{why}; set {} too", other.name));
        }
    };
    let owner = "the owner's e-mail address and password belong together";
    let (email, password) = (&KERNEL_OWNER_EMAIL.setting, &KERNEL_OWNER_PASSWORD.setting);
    pair(password, email, owner);
    pair(email, password, &format!("{owner} (with neither, the log prints a one-time set-up link)"));
    let (chain, key) = (&GATEWAY_TLS_CERT.setting, &GATEWAY_TLS_KEY.setting);
    pair(chain, key, "a certificate needs its private key");
    pair(key, chain, "a private key needs its certificate");
    let (bucket, key_id, key) =
        (&S3_BUCKET.setting, &S3_ACCESS_KEY_ID.setting, &S3_SECRET_ACCESS_KEY.setting);
    pair(bucket, key_id, "a bucket is reached with a key");
    pair(key_id, key, "the name of the S3 key and the key belong together");
    for setting in [&S3_ENDPOINT.setting, &S3_PUBLIC_ENDPOINT.setting, key_id, key, &S3_CA_FILE.setting] {
        pair(setting, bucket, "files lie in the data folder as long as no bucket is named");
    }
    pair(&VALKEY_PASSWORD.setting, &VALKEY_URL.setting, "the password is for a server");
    let login = "the user at Kafka and the password belong together";
    let (user, password) = (&KAFKA_SASL_USERNAME.setting, &KAFKA_SASL_PASSWORD.setting);
    pair(user, password, login);
    pair(password, user, login);
}

/// What says how to reach Kafka means nothing without the way that it belongs to.
fn kafka(reading: &mut Reading, config: &Config) {
    let without_tls = config.events.kafka.as_ref().is_some_and(|kafka| kafka.tls.is_none());
    if without_tls && !reading.is_mistaken(&KAFKA_TLS.setting) {
        let text = "the authorities are for TLS, which is off; set KAFKA_TLS=true, or remove this";
        reading.refuse(&KAFKA_TLS_CA.setting, text);
    }
}

/// All listeners share one address, so a port can serve only one of them.
fn listeners(reading: &mut Reading, config: &Config) {
    let listen = &config.listen;
    let tcp_port = match config.database.server {
        super::DatabaseServer::Embedded { tcp_port, .. } => tcp_port,
        super::DatabaseServer::External { .. } => None,
    };
    let ports = [
        (GATEWAY_TLS_PORT.setting, listen.tls_port),
        (GATEWAY_PORT.setting, listen.http_port),
        (IAM_PORT.setting, listen.iam_port),
        (GRPC_PORT.setting, listen.grpc_port),
        (KERNEL_POSTGRES_PORT.setting, tcp_port.unwrap_or(0)),
    ];
    for (at, (second, port)) in ports.iter().enumerate() {
        let Some((first, _)) = ports[..at].iter().find(|(first, taken)| {
            *port != 0 && taken == port && !reading.is_mistaken(first) && !reading.is_mistaken(second)
        }) else {
            continue;
        };
        // The one that somebody wrote is the one to change.
        let (wrong, other) = if reading.is_given(second) { (second, first) } else { (first, second) };
        let (origin, other_origin) = (reading.origin(wrong), reading.origin(other));
        let name = name_at(wrong, &origin, false);
        let text =
            format!("port {port} is also {} ({other_origin}); give each listener its own, or 0", other.name);
        reading.mistakes.push(Mistake::new(name, Some(origin), text));
    }
}

fn worth_a_line(reading: &mut Reading, config: &Config) {
    let mut lines = Vec::new();
    let adopt =
        reading.rows.iter().any(|row| row.name == KERNEL_ADOPT_DATABASE.setting.name && row.value == "true");
    if adopt && !reading.is_given(&DATABASE_URL.setting) {
        lines.push("KERNEL_ADOPT_DATABASE has no effect without DATABASE_URL".to_owned());
    }
    if config.sandbox_mode == SandboxMode::Many && reading.is_given(&DATABASE_OWNER_URL.setting) {
        lines.push("DATABASE_OWNER_URL has no effect unless KERNEL_SANDBOX_MODE=single".to_owned());
    }
    let of_kafka = [KAFKA_CLIENT_ID.setting, KAFKA_SASL_USERNAME.setting, KAFKA_TLS_CA.setting];
    if !reading.is_given(&KAFKA_BROKERS.setting)
        && let Some(idle) = of_kafka.iter().find(|setting| reading.is_given(setting))
    {
        lines.push(format!("{} has no effect without KAFKA_BROKERS", idle.name));
    }
    if config.events.kafka.as_ref().is_some_and(|kafka| kafka.login.is_some() && kafka.tls.is_none()) {
        lines.push("KAFKA_SASL_USERNAME without KAFKA_TLS: whoever can listen reads all events".to_owned());
    }
    if config.template != Template::Empty && config.owner.is_some() {
        lines.push("KERNEL_OWNER_EMAIL has no effect unless KERNEL_TEMPLATE=empty".to_owned());
    }
    if config.listen.trusted_proxies.iter().any(super::Network::is_everything) {
        lines.push("KERNEL_TRUSTED_PROXIES trusts everybody: any caller can claim any address".to_owned());
    }
    let everything = |target: &Target| matches!(target, Target::Network(network) if network.is_everything());
    if config.outbound.allowed_targets.iter().any(everything) {
        lines.push(
            "KERNEL_ALLOWED_TARGETS opens every address: tenants can reach this machine and the cloud's metadata"
                .to_owned(),
        );
    }
    // Kubernetes and `docker stop` kill what has not gone in time; 25 s leave room for PostgreSQL's own end.
    let going = config.shutdown.grace.saturating_add(config.shutdown.requests);
    if going > Duration::from_secs(25) {
        lines.push(format!(
            "SHUTDOWN_GRACE and GATEWAY_SHUTDOWN_TIMEOUT add up to {} s; raise terminationGracePeriodSeconds (30 s \
             by default) with them",
            going.as_secs()
        ));
    }
    for setting in
        SETTINGS.iter().filter(|setting| setting.secret && reading.is_written_out_in_a_flag(setting))
    {
        let flag = setting.flag();
        lines.push(format!("--{flag} shows the secret to every user of this machine; use --{flag}-file"));
    }
    reading.warnings.extend(lines);
}
