//! The one table of settings. Names, flags, file keys, defaults, the reference and the example file all
//! come from here.

use std::marker::PhantomData;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::address::{HostNames, ListenHost, MailAddress, Network, PublicUrl, Target};
use super::bucket::{BucketName, Region};
use super::form::{DatabaseUrl, Form, Hours, InstallationKey, Kind, NotYet, Port, Seconds, SmtpUrl, Unfit};
use super::kafka::{Brokers, ClientId, KafkaUser};
use super::valkey::ValkeyUrl;
use super::{Durability, LogFilter, SandboxMode, SaslMechanism, Template};
use crate::Secret;

/// What holds when a setting is not given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DefaultValue {
    /// This value.
    Fixed(&'static str),
    /// Nothing; the words say what happens then.
    Unset(&'static str),
    /// A value found at the start; the words say how.
    Computed(&'static str),
}

use DefaultValue::{Computed, Fixed, Unset};

impl DefaultValue {
    /// The value, or the words in place of one.
    pub fn text(self) -> &'static str {
        match self {
            Fixed(text) | Unset(text) | Computed(text) => text,
        }
    }
}

/// One setting: all that is known of it.
#[derive(Debug, Clone, Copy)]
pub struct Setting {
    /// Its name in the environment.
    pub name: &'static str,
    /// What holds when it is not given.
    pub default: DefaultValue,
    /// What it does, as a sentence.
    pub help: &'static str,
    /// A value that works; for a secret the path of a file with it, so that nobody copies a published one.
    pub example: &'static str,
    /// The shape of its value in words, completing "is not …".
    pub shape: &'static str,
    /// How a value is written in a file.
    pub kind: Kind,
    /// The least and the greatest value: numbers as they are, times in milliseconds.
    pub range: Option<(u64, u64)>,
    /// Never printed; may be given as a file with `…_FILE`.
    pub secret: bool,
    /// Not read from the environment or a file.
    pub flag_only: bool,
    /// Not read from a file.
    pub outside_file: bool,
    /// Whether this version has the part. If not, setting it stops the start.
    pub available: bool,
    check: fn(&Setting, &str) -> Result<String, Unfit>,
}

impl Setting {
    /// The flag without its dashes: `data-dir`, `gateway-port`.
    pub fn flag(&self) -> String {
        self.key().replace('_', "-")
    }

    /// The key in a file: `data_dir`, `gateway_port`.
    pub fn key(&self) -> String {
        self.name.strip_prefix("KERNEL_").unwrap_or(self.name).to_ascii_lowercase()
    }

    /// Checks a text without keeping it; gives the value as it would be shown.
    pub fn check(&self, text: &str) -> Result<String, Unfit> {
        (self.check)(self, text)
    }
}

/// A setting together with the type of its value.
pub(super) struct Key<T> {
    pub setting: Setting,
    form: PhantomData<fn() -> T>,
}

impl<T: Form> Key<T> {
    const fn new(
        name: &'static str,
        default: DefaultValue,
        help: &'static str,
        example: &'static str,
    ) -> Self {
        let setting = Setting {
            name,
            default,
            help,
            example,
            shape: T::SHAPE,
            kind: T::KIND,
            range: None,
            secret: false,
            flag_only: false,
            outside_file: false,
            available: true,
            check: |setting, text| parse::<T>(setting, text).map(|value| value.show()),
        };
        Self { setting, form: PhantomData }
    }

    const fn within(mut self, least: u64, most: u64) -> Self {
        self.setting.range = Some((least, most));
        self
    }

    const fn secret(mut self) -> Self {
        self.setting.secret = true;
        self
    }

    const fn flag_only(mut self) -> Self {
        self.setting.flag_only = true;
        self.setting.outside_file = true;
        self
    }

    const fn outside_file(mut self) -> Self {
        self.setting.outside_file = true;
        self
    }

    const fn not_yet(mut self) -> Self {
        self.setting.available = false;
        self
    }
}

/// Reads a text as the setting's type and holds it against the range.
pub(super) fn parse<T: Form>(setting: &Setting, text: &str) -> Result<T, Unfit> {
    let value = T::parse(text)?;
    if let (Some((least, most)), Some(measure)) = (setting.range, value.measure())
        && !(least..=most).contains(&measure)
    {
        let (least, most) = (T::show_measure(least), T::show_measure(most));
        return Err(Unfit::because(format!("it must lie between {least} and {most}")));
    }
    Ok(value)
}

const SECOND: u64 = 1_000;
const HOUR: u64 = 3_600 * SECOND;

macro_rules! settings {
    ($($name:ident: $form:ty = $default:expr, $help:literal, example $example:literal
       $(, $quality:ident $(($($argument:expr),*))?)*;)*) => {
        $(pub(super) const $name: Key<$form> =
            Key::new(stringify!($name), $default, $help, $example)$(.$quality($($($argument),*)?))*;)*

        /// Every setting, in the order of the reference.
        pub static SETTINGS: &[Setting] = &[$($name.setting),*];
    };
}

settings! {
    KERNEL_CONFIG: PathBuf = Unset("no file"), "A TOML file with settings; flags and environment go before it.",
        example "/etc/platform-kernel.toml", outside_file();
    KERNEL_DATA_DIR: PathBuf = Computed("the user's data folder; /var/lib/platform-kernel as root"),
        "The folder of the embedded PostgreSQL, files, keys and operator.key.", example "/srv/platform-kernel";
    KERNEL_TEMPLATE: Template = Fixed("demo"),
        "What the default sandbox is made from at the first start: demo, empty or a seed file.", example "empty";
    KERNEL_SANDBOX_MODE: SandboxMode = Fixed("many"),
        "Many sandboxes, a database each; or single: the given database is the one sandbox.", example "many";
    KERNEL_PUBLIC_URL: PublicUrl = Unset("follows the port really bound"),
        "The address under which the outside knows this installation: issuer, links, problem types.",
        example "https://api.example.com";
    KERNEL_HOSTS: HostNames = Fixed(""), "Further host names of the default sandbox.",
        example "api.example.com,app.example.com";
    KERNEL_TRUSTED_PROXIES: Vec<Network> = Fixed(""),
        "Proxies whose forwarded headers tell the caller's address; all others are not believed.",
        example "10.0.0.0/8";
    KERNEL_ALLOWED_TARGETS: Vec<Target> = Computed("the machine's loopback; nothing inside a container"),
        "Private hosts and networks that back-ends, webhooks and integrations may call.",
        example "crm.internal,10.20.0.0/16";
    KERNEL_DNS_RESOLVER: Vec<SocketAddr> = Unset("the system's own"),
        "Name servers that are asked whether an added domain is its tenant's.", example "9.9.9.9,127.0.0.1:5353";
    KERNEL_OWNER_EMAIL: MailAddress = Unset("a one-time set-up link in the log"),
        "The owner of a platform made from the empty template.", example "owner@example.com";
    KERNEL_OWNER_PASSWORD: Secret = Unset("a one-time set-up link in the log"),
        "The owner's first password.", example "/run/secrets/owner_password", secret();
    KERNEL_DEMO_ON_NETWORK: bool = Fixed("false"),
        "Keep the published demo passwords although others than this machine can reach the listeners.",
        example "true";
    KERNEL_SECRET_KEY: InstallationKey = Unset("a key file in the data folder"),
        "The installation key, the same on every replica; stored secrets are encrypted with it.",
        example "/run/secrets/secret_key", secret();

    GATEWAY_HOST: ListenHost = Fixed("loopback"), "The address that all listeners bind.", example "0.0.0.0";
    GATEWAY_TLS_PORT: Port = Fixed("8443"), "HTTPS of the gateway.", example "8443";
    GATEWAY_PORT: Port = Fixed("8080"), "HTTP and gRPC of the gateway.", example "8080";
    IAM_PORT: Port = Fixed("8081"), "gRPC and health of iam.", example "8081";
    GRPC_PORT: Port = Fixed("50050"), "gRPC of every service.", example "50050";
    KERNEL_PORT_OFFSET: u32 = Fixed("0"), "Added to every port that is not 0: a second copy beside the first.",
        example "100", within(0, 65_535), flag_only();
    GATEWAY_TLS_CERT: PathBuf = Unset("a local authority made at the first start"),
        "The certificate chain of the HTTPS listener, a PEM file.", example "/etc/tls/tls.crt";
    GATEWAY_TLS_KEY: PathBuf = Unset("a local authority made at the first start"),
        "The private key of that certificate, a PEM file.", example "/etc/tls/tls.key";
    GATEWAY_REQUEST_TIMEOUT: Duration = Fixed("30s"), "How long a request may take to the head of its answer.",
        example "30s", within(SECOND, HOUR);
    SHUTDOWN_GRACE: Duration = Fixed("5s"),
        "How long listeners keep answering after a stop signal, so that balancers notice.",
        example "5s", within(0, 300 * SECOND);
    GATEWAY_SHUTDOWN_TIMEOUT: Duration = Fixed("15s"), "How long requests may finish after that grace.",
        example "15s", within(0, 600 * SECOND);
    ENVOY_DRAIN_TIMEOUT_SEC: Seconds = Fixed("10"), "How long requests of a removed route may finish.",
        example "10", within(0, 600 * SECOND);
    RATE_LIMIT_RPS: u32 = Fixed("10000"), "Requests a second from one client address, before any plan counts.",
        example "10000", within(1, 10_000_000);
    RATE_LIMIT_BURST: u32 = Fixed("20000"), "Requests that one client address may send at once.",
        example "20000", within(1, 10_000_000);

    DATABASE_URL: DatabaseUrl = Unset("the embedded PostgreSQL"),
        "The administrator's address of an external PostgreSQL 17: it makes databases and roles.",
        example "/run/secrets/database_url", secret();
    DATABASE_OWNER_URL: DatabaseUrl = Unset("modules with migrations are refused in single mode"),
        "In single mode the address that may change tables.",
        example "/run/secrets/database_owner_url", secret();
    KERNEL_ADOPT_DATABASE: bool = Fixed("false"), "Use a database although it holds tables that are not ours.",
        example "true";
    DB_MAX_OPEN_CONNS: u32 = Fixed("40"), "Connections to PostgreSQL, of all sandboxes together.", example "40",
        within(4, 5_000);
    KERNEL_DURABILITY: Durability = Fixed("hybrid"),
        "What the embedded PostgreSQL keeps in a power cut: memory nothing, hybrid all but 200 ms, persistent all.",
        example "persistent";
    KERNEL_POSTGRES_PORT: Port = Unset("a socket only"),
        "Also listen with the embedded PostgreSQL on this TCP port.", example "5432";

    VALKEY_URL: ValkeyUrl = Unset("the cache in memory"),
        "A Valkey or Redis server that all replicas share: valkey://, with TLS valkeys://, also -cluster and -sentinel.",
        example "/run/secrets/valkey_url", secret();
    VALKEY_PASSWORD: Secret = Unset("the one in VALKEY_URL, if any"), "Valkey's password.",
        example "/run/secrets/valkey_password", secret();
    SSL_CERT_FILE: PathBuf = Unset("the public authorities alone"),
        "A PEM file of authorities that external parts may have their certificates from, beside the public ones.",
        example "/etc/ssl/certs/company.pem";

    KAFKA_BROKERS: Brokers = Unset("the event log in PostgreSQL alone"),
        "Kafka, as a list of brokers to begin with: events go out to it, and those of outsiders come in.",
        example "kafka-1:9092,kafka-2:9092";
    KAFKA_CLIENT_ID: ClientId = Unset("platform-kernel, and a membership that ends with the process"),
        "This replica's lasting name at Kafka, different on each: one that returns within 10 s keeps its partitions.",
        example "kernel-0";
    KAFKA_SASL_MECHANISM: SaslMechanism = Fixed("SCRAM-SHA-512"),
        "How the user signs in to Kafka.", example "SCRAM-SHA-256";
    KAFKA_SASL_USERNAME: KafkaUser = Unset("no signing in"), "The user at Kafka.", example "platform-kernel";
    KAFKA_SASL_PASSWORD: Secret = Unset("no signing in"), "That user's password.",
        example "/run/secrets/kafka_sasl_password", secret();
    KAFKA_TLS: bool = Fixed("false"), "Reach Kafka by TLS; its certificate must fit the name.", example "true";
    KAFKA_TLS_CA: PathBuf = Unset("the public authorities"),
        "The authorities that Kafka's certificate may come from, a PEM file.", example "/etc/tls/kafka-ca.crt";
    KAFKA_SANDBOX_PARTITIONS: u32 = Fixed("1"), "Partitions of the topics of sandboxes other than default.",
        example "3", within(1, 256);
    KAFKA_RETENTION_HOURS: Hours = Fixed("168"), "How long events are kept.", example "168", within(HOUR, 87_600 * HOUR);
    KAFKA_AUDIT_RETENTION_HOURS: Hours = Fixed("720"), "How long audit events are kept.", example "720",
        within(HOUR, 87_600 * HOUR);
    SANDBOX_IDLE: Duration = Fixed("15m"),
        "After this time without a request a sandbox sleeps; sooner while more are awake than half of DB_MAX_OPEN_CONNS.",
        example "15m", within(SECOND, 8_760 * HOUR);
    FILES_MAX_IMAGE_SIZE_MB: u32 = Fixed("10"), "Images of more megabytes are not taken.", example "10", within(1, 100);
    S3_BUCKET: BucketName = Unset("files in the data folder"), "The bucket of an S3 store that keeps files.",
        example "platform-kernel";
    S3_ENDPOINT: PublicUrl = Unset("AWS in the bucket's region"), "The address of the S3 store.",
        example "https://s3.example.com";
    S3_PUBLIC_ENDPOINT: PublicUrl = Unset("S3_ENDPOINT"),
        "The address of the S3 store as people reach it, for signed addresses.", example "https://files.example.com";
    S3_REGION: Region = Fixed("us-east-1"), "The region of the bucket.", example "eu-central-1";
    S3_ACCESS_KEY_ID: Secret = Unset("none"), "The name of the S3 key.", example "/run/secrets/s3_access_key_id",
        secret();
    S3_SECRET_ACCESS_KEY: Secret = Unset("none"), "The S3 key.", example "/run/secrets/s3_secret_access_key", secret();
    S3_CA_FILE: PathBuf = Unset("the public authorities"),
        "A PEM file with authorities that the S3 store's certificate may come from, too.", example "/etc/tls/s3-ca.crt";
    MODULE_INSTALL_TIMEOUT_SEC: Seconds = Fixed("120"), "How long registering a module may take.", example "120",
        within(SECOND, HOUR);
    FLAGS_FILE: PathBuf = Unset("the flags built in"),
        "A file of feature flags in the format of GO Feature Flag (YAML or JSON), read anew when it changes.",
        example "/etc/platform-kernel/flags.yaml";

    SMTP_URL: SmtpUrl = Unset("mail stays in the outbox"),
        "The mail server; ?tls=required adds STARTTLS. Forked sandboxes send nothing until they are allowed to.",
        example "/run/secrets/smtp_url", secret();
    SMTP_FROM: MailAddress = Unset("no-reply@ the public address's host"), "The sender of mails.",
        example "no-reply@example.com";
    NOTIFY_ADAPTER_TIMEOUT_SEC: Seconds = Fixed("10"), "How long an attempt to deliver a message may take.",
        example "10", within(SECOND, 120 * SECOND);

    LOG_LEVEL: LogFilter = Fixed("info"), "How much is logged, for all or by part.", example "info,iam=debug";
    LOG_JSON: bool = Computed("true unless on a terminal"), "Log one JSON object a line.", example "true";

    CLICKHOUSE_URL: NotYet = Unset("audit in PostgreSQL"), "ClickHouse.", example "/run/secrets/clickhouse_url", secret(), not_yet();
    VAULT_ADDR: NotYet = Unset("keys in the data folder"), "Vault.", example "http://vault:8200", not_yet();
    VAULT_TOKEN: NotYet = Unset("none"), "Vault's token.", example "/run/secrets/vault_token", secret(), not_yet();
    CLAMAV_ADDR: NotYet = Unset("no virus scan"), "ClamAV.", example "tcp://clamav:3310", not_yet();
    FLAGS_PORT: NotYet = Unset("off"), "The feature flag relay of its own port.", example "1031", not_yet();
    XDS_PORT: NotYet = Unset("off"), "xDS for an Envoy in front.", example "18000", not_yet();
}
