//! From what was written to a [`Config`]: each setting is read once, then they are held against each other.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};

use super::form::{Form, Port, Unfit};
use super::mistake::{Mistake, Origin, name_at, quoted};
use super::settings::*;
use super::source::{Gathered, Sources, VALUE_LIMIT, Written, example_at, gather};
use super::*;

/// A configuration that can be started with, and where each part of it came from.
#[derive(Debug, Clone)]
pub struct Resolved {
    /// The values.
    pub config: Config,
    rows: Vec<Row>,
    warnings: Vec<String>,
}

/// One line of `platform-kernel config`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// The setting's name in the environment; a flag with dashes if it is only that.
    pub name: String,
    /// The effective value; `***` for a secret, words in parentheses when nothing is set.
    pub value: String,
    /// Where it came from.
    pub origin: Origin,
    /// The file that a secret was read from.
    pub secret_file: Option<PathBuf>,
}

impl Resolved {
    /// The effective values with their origin, in the order of the reference. Safe to print.
    pub fn table(&self) -> &[Row] {
        &self.rows
    }

    /// What is worth a line in the log, without being a reason not to start.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// Where a setting's value came from, by its name in the environment.
    pub fn origin(&self, name: &str) -> Option<&Origin> {
        self.rows.iter().find(|row| row.name == name).map(|row| &row.origin)
    }
}

impl Config {
    /// Brings the sources together. Errors: every mistake in them, none left for the next try.
    pub fn resolve(sources: Sources<'_>) -> Result<Resolved, Vec<Mistake>> {
        let mut reading = Reading::new(gather(&sources));
        let config = reading.config(&sources);
        rules::hold_together(&mut reading, &config);
        if reading.mistakes.is_empty() {
            let listed =
                |row: &Row| SETTINGS.iter().position(|s| name_at(s, &Origin::Default, false) == row.name);
            reading.rows.sort_by_key(listed);
            Ok(Resolved { config, rows: reading.rows, warnings: reading.warnings })
        } else {
            Err(reading.mistakes)
        }
    }
}

/// Reads setting after setting, and remembers what it found. After a mistake it goes on with the default,
/// only to find further mistakes: such a configuration never leaves [`Config::resolve`].
pub(super) struct Reading {
    written: Gathered,
    mistaken: BTreeSet<&'static str>,
    pub rows: Vec<Row>,
    pub mistakes: Vec<Mistake>,
    pub warnings: Vec<String>,
}

impl Reading {
    fn new(mut written: Gathered) -> Self {
        let mistakes = std::mem::take(&mut written.mistakes);
        let warnings = std::mem::take(&mut written.warnings);
        Self { written, mistaken: BTreeSet::new(), rows: Vec::new(), mistakes, warnings }
    }

    fn config(&mut self, sources: &Sources<'_>) -> Config {
        self.refuse_parts_not_here_yet();
        self.config_file(sources);
        let data_dir = self.or_else(KERNEL_DATA_DIR, |reading| reading.default_data_dir(sources));
        let offset = self.value(KERNEL_PORT_OFFSET);
        Config {
            data_dir,
            template: self.value(KERNEL_TEMPLATE),
            sandbox_mode: self.value(KERNEL_SANDBOX_MODE),
            owner: self.owner(),
            demo_on_network: self.value(KERNEL_DEMO_ON_NETWORK),
            secret_key: self.optional(KERNEL_SECRET_KEY).map(|key| key.0),
            public_url: self.optional(KERNEL_PUBLIC_URL),
            hosts: self.value(KERNEL_HOSTS).0,
            listen: Listen {
                host: self.value(GATEWAY_HOST),
                tls_port: self.port(GATEWAY_TLS_PORT, offset),
                http_port: self.port(GATEWAY_PORT, offset),
                iam_port: self.port(IAM_PORT, offset),
                grpc_port: self.port(GRPC_PORT, offset),
                certificate: self.certificate(),
                trusted_proxies: self.value(KERNEL_TRUSTED_PROXIES),
            },
            database: Database {
                server: self.database_server(offset),
                max_connections: self.value(DB_MAX_OPEN_CONNS),
            },
            valkey: self.valkey(),
            more_authorities: self.optional(SSL_CERT_FILE),
            limits: Limits {
                request_timeout: self.value(GATEWAY_REQUEST_TIMEOUT),
                requests_per_second: self.value(RATE_LIMIT_RPS),
                burst: self.value(RATE_LIMIT_BURST),
                route_drain: self.value(ENVOY_DRAIN_TIMEOUT_SEC).0,
            },
            shutdown: Shutdown {
                grace: self.value(SHUTDOWN_GRACE),
                requests: self.value(GATEWAY_SHUTDOWN_TIMEOUT),
            },
            events: Events {
                kafka: self.kafka(),
                retention: self.value(KAFKA_RETENTION_HOURS).0,
                audit_retention: self.value(KAFKA_AUDIT_RETENTION_HOURS).0,
            },
            files: Files {
                max_image_bytes: u64::from(self.value(FILES_MAX_IMAGE_SIZE_MB)) * 1_000_000,
                bucket: self.bucket(),
            },
            sandboxes: Sandboxes { idle: self.value(SANDBOX_IDLE) },
            modules: Modules { install_timeout: self.value(MODULE_INSTALL_TIMEOUT_SEC).0 },
            flags: Flags { file: self.optional(FLAGS_FILE) },
            outbound: Outbound {
                allowed_targets: self
                    .or_else(KERNEL_ALLOWED_TARGETS, |_| default_targets(sources.in_container)),
                name_servers: self.optional(KERNEL_DNS_RESOLVER).unwrap_or_default(),
            },
            mail: Mail {
                server: self.optional(SMTP_URL).map(|url| url.0),
                from: self.optional(SMTP_FROM).map(|from| from.0),
                timeout: self.value(NOTIFY_ADAPTER_TIMEOUT_SEC).0,
            },
            logging: Logging {
                level: self.value(LOG_LEVEL),
                json: self.or_else(LOG_JSON, |_| !sources.on_terminal),
            },
        }
    }

    fn refuse_parts_not_here_yet(&mut self) {
        for setting in SETTINGS.iter().filter(|setting| !setting.available) {
            let without = setting.default.text();
            let text = format!("this version does not have that part yet; remove it (without it: {without})");
            self.refuse(setting, text);
        }
    }

    fn config_file(&mut self, sources: &Sources<'_>) {
        if self.optional(KERNEL_CONFIG).is_some() && sources.file.is_none() {
            self.refuse(&KERNEL_CONFIG.setting, "the file was not read; check that it exists");
        }
    }

    /// The XDG base directory specification: a relative `XDG_DATA_HOME` is to be ignored.
    fn default_data_dir(&mut self, sources: &Sources<'_>) -> PathBuf {
        if sources.is_root {
            return PathBuf::from("/var/lib/platform-kernel");
        }
        let xdg =
            sources.env.iter().find(|(name, _)| name == "XDG_DATA_HOME").map(|(_, value)| Path::new(value));
        let folder = match (xdg.filter(|path| path.is_absolute()), &sources.home) {
            (Some(xdg), _) => xdg.to_owned(),
            (None, Some(home)) => home.join(".local/share"),
            (None, None) => {
                let text = "this user has no home folder to put the data in; say where, for example";
                let text = format!("{text} KERNEL_DATA_DIR={}", KERNEL_DATA_DIR.setting.example);
                self.mistakes.push(Mistake::new(KERNEL_DATA_DIR.setting.name, None, text));
                PathBuf::new()
            }
        };
        folder.join("platform-kernel")
    }

    fn owner(&mut self) -> Option<Owner> {
        let (email, password) = (self.optional(KERNEL_OWNER_EMAIL), self.optional(KERNEL_OWNER_PASSWORD));
        Some(Owner { email: email?.0, password: password? })
    }

    fn certificate(&mut self) -> Option<CertificateFiles> {
        let (chain, key) = (self.optional(GATEWAY_TLS_CERT), self.optional(GATEWAY_TLS_KEY));
        Some(CertificateFiles { chain: chain?, key: key? })
    }

    fn bucket(&mut self) -> Option<Bucket> {
        let name = self.optional(S3_BUCKET);
        let (endpoint, public_endpoint) = (self.optional(S3_ENDPOINT), self.optional(S3_PUBLIC_ENDPOINT));
        let region = self.value(S3_REGION).0;
        let (key_id, key) = (self.optional(S3_ACCESS_KEY_ID), self.optional(S3_SECRET_ACCESS_KEY));
        let ca_file = self.optional(S3_CA_FILE);
        Some(Bucket {
            name: name?.0,
            endpoint,
            public_endpoint,
            region,
            access_key_id: key_id?,
            secret_access_key: key?,
            ca_file,
        })
    }

    fn valkey(&mut self) -> Option<Valkey> {
        let (url, password) = (self.optional(VALKEY_URL), self.optional(VALKEY_PASSWORD));
        Some(Valkey { url: url?.0, password })
    }

    fn database_server(&mut self, offset: u32) -> DatabaseServer {
        let url = self.optional(DATABASE_URL).map(|url| url.0);
        let owner_url = self.optional(DATABASE_OWNER_URL).map(|url| url.0);
        let adopt = self.value(KERNEL_ADOPT_DATABASE);
        let durability = self.value(KERNEL_DURABILITY);
        let tcp_port = self.optional_port(KERNEL_POSTGRES_PORT, offset);
        match url {
            Some(url) => DatabaseServer::External { url, owner_url, adopt },
            None => DatabaseServer::Embedded { durability, tcp_port },
        }
    }

    fn kafka(&mut self) -> Option<Kafka> {
        let brokers = self.optional(KAFKA_BROKERS);
        let client_id = self.optional(KAFKA_CLIENT_ID).map(|id| id.0);
        let mechanism = self.value(KAFKA_SASL_MECHANISM);
        let user = self.optional(KAFKA_SASL_USERNAME);
        let password = self.optional(KAFKA_SASL_PASSWORD);
        let tls = self.value(KAFKA_TLS);
        let authorities = self.optional(KAFKA_TLS_CA);
        let sandbox_partitions = self.value(KAFKA_SANDBOX_PARTITIONS);
        let login =
            user.zip(password).map(|(user, password)| KafkaLogin { mechanism, user: user.0, password });
        let tls = tls.then_some(KafkaTls { authorities });
        Some(Kafka { brokers: brokers?.0, client_id, login, tls, sandbox_partitions })
    }

    /// A setting with a fixed default.
    fn value<T: Form>(&mut self, key: Key<T>) -> T {
        let setting = key.setting;
        self.or_else(key, |_| fixed(setting))
    }

    /// A setting whose default is found now.
    fn or_else<T: Form>(&mut self, key: Key<T>, default: impl FnOnce(&mut Self) -> T) -> T {
        let value = self.read(&key);
        let value = match value {
            Some(value) => value,
            None => default(self),
        };
        self.record(&key.setting, value.show());
        value
    }

    /// A setting that may be left out.
    fn optional<T: Form>(&mut self, key: Key<T>) -> Option<T> {
        let value = self.read(&key);
        let unset = || format!("({})", key.setting.default.text());
        self.record(&key.setting, value.as_ref().map_or_else(unset, Form::show));
        value
    }

    fn port(&mut self, key: Key<Port>, offset: u32) -> u16 {
        let port = self.read(&key).unwrap_or_else(|| fixed(key.setting));
        self.shifted(&key.setting, port, offset)
    }

    fn optional_port(&mut self, key: Key<Port>, offset: u32) -> Option<u16> {
        match self.read(&key) {
            Some(port) => Some(self.shifted(&key.setting, port, offset)),
            None => {
                self.record(&key.setting, format!("({})", key.setting.default.text()));
                None
            }
        }
    }

    /// The port with the offset; 0 stays any free one.
    fn shifted(&mut self, setting: &Setting, port: Port, offset: u32) -> u16 {
        let shifted = match port.0 {
            0 => Some(0),
            port => u32::from(port).checked_add(offset).and_then(|sum| u16::try_from(sum).ok()),
        };
        let shifted = shifted.unwrap_or_else(|| {
            let text =
                format!("{} + {offset} of --port-offset is beyond 65535; choose a smaller offset", port.0);
            let origin = self.origin(setting);
            self.mistakes.push(Mistake::new(name_at(setting, &origin, false), Some(origin), text));
            self.mistaken.insert(setting.name);
            port.0
        });
        self.record(setting, shifted.to_string());
        shifted
    }

    /// The value that was written, if one was and it reads well.
    fn read<T: Form>(&mut self, key: &Key<T>) -> Option<T> {
        let setting = &key.setting;
        let written = self.written.values.get(setting.name)?;
        match read_text::<T>(setting, written) {
            Ok(value) => Some(match &written.origin {
                Origin::File { path, .. } => value.anchored(path.parent().unwrap_or(Path::new(""))),
                _ => value,
            }),
            Err(text) => {
                self.refuse(setting, text);
                None
            }
        }
    }

    fn record(&mut self, setting: &Setting, value: String) {
        let written = self.written.values.get(setting.name);
        self.rows.push(Row {
            name: name_at(setting, &Origin::Default, false),
            value: if value.is_empty() { "(none)".to_owned() } else { value },
            origin: written.map_or(Origin::Default, |written| written.origin.clone()),
            secret_file: written.and_then(|written| written.secret_file.clone()),
        });
    }

    /// A mistake about a value that was written; nothing when it was not.
    pub fn refuse(&mut self, setting: &Setting, text: impl Into<String>) {
        if let Some(written) = self.written.values.get(setting.name) {
            let name = name_at(setting, &written.origin, written.secret_file.is_some());
            self.mistakes.push(Mistake::new(name, Some(written.origin.clone()), text));
            self.mistaken.insert(setting.name);
        }
    }

    /// Whether somebody set it, well or badly.
    pub fn is_given(&self, setting: &Setting) -> bool {
        self.written.values.contains_key(setting.name) || self.written.spoiled.contains_key(setting.name)
    }

    /// Whether its value itself, not the name of a file with it, stands in a flag.
    pub fn is_written_out_in_a_flag(&self, setting: &Setting) -> bool {
        let written = self.written.values.get(setting.name);
        written.is_some_and(|written| written.origin == Origin::Flag && written.secret_file.is_none())
    }

    /// Whether a mistake about its value was told already, so that what follows from it is not told too.
    pub fn is_mistaken(&self, setting: &Setting) -> bool {
        self.mistaken.contains(setting.name) || self.written.spoiled.contains_key(setting.name)
    }

    /// Where its value came from.
    pub fn origin(&self, setting: &Setting) -> Origin {
        let written = self.written.values.get(setting.name).map(|written| &written.origin);
        written.or_else(|| self.written.spoiled.get(setting.name)).cloned().unwrap_or(Origin::Default)
    }
}

/// Reads one written value; the error is the sentence behind the name.
fn read_text<T: Form>(setting: &Setting, written: &Written) -> Result<T, String> {
    let text = if setting.secret { written.text.as_str() } else { written.text.trim() };
    if text.len() > VALUE_LIMIT {
        return Err(format!("the value is {} bytes long, at most {VALUE_LIMIT}", text.len()));
    }
    let example = || example_at(setting, &written.origin);
    if !setting.secret && text.chars().any(char::is_control) {
        return Err(format!("{} contains a control character; {}", quoted(text), example()));
    }
    settings::parse::<T>(setting, text).map_err(|Unfit(reason)| {
        let value = if setting.secret { "the value (not shown)".to_owned() } else { quoted(text) };
        let reason = reason.map(|reason| format!(": {reason}")).unwrap_or_default();
        format!("{value} is not {}{reason}; {}", setting.shape, example())
    })
}

/// The fixed default of a setting.
fn fixed<T: Form>(setting: Setting) -> T {
    T::parse(setting.default.text()).expect("a fixed default parses because a test reads every one of them")
}

/// A developer's own machine may be called; inside a container loopback is the container's.
fn default_targets(in_container: bool) -> Vec<Target> {
    if in_container {
        return Vec::new();
    }
    let loopback = [(Ipv4Addr::new(127, 0, 0, 0).into(), 8), (Ipv6Addr::LOCALHOST.into(), 128)];
    loopback.into_iter().map(|(address, prefix)| Target::Network(Network::known(address, prefix))).collect()
}
