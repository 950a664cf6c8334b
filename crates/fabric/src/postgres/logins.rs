//! The login roles of one sandbox.

use kernel::SandboxName;
use sqlx::postgres::{PgConnectOptions, PgSslMode};

use super::cluster::Cluster;
use crate::crypto::RootKey;

/// The logins of one sandbox. Their passwords are derived from the sandbox's key, so none is stored.
#[derive(Clone)]
pub struct Logins {
    sandbox: String,
    key: RootKey,
}

/// What a login may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Login {
    /// Migrations of the kernel.
    Owner,
    /// Services, for a tenant.
    App,
    /// Services, across tenants.
    System,
    /// data-layer.
    Data,
    /// Reading for a person, by `psql-url`.
    Reader,
}

impl Login {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Owner, Self::App, Self::System, Self::Data, Self::Reader];

    /// The fixed role whose member it is.
    pub(super) fn group(self) -> &'static str {
        match self {
            Self::Owner => "pk_owner",
            Self::App => "pk_app",
            Self::System => "pk_system",
            Self::Data => "pk_data",
            Self::Reader => "pk_reader",
        }
    }

    fn suffix(self) -> &'static str {
        match self {
            Self::Owner => "owner",
            Self::App => "app",
            Self::System => "system",
            Self::Data => "data",
            Self::Reader => "reader",
        }
    }
}

impl Logins {
    /// The logins of `sandbox`, whose root key is `key`.
    pub fn new(sandbox: &SandboxName, key: RootKey) -> Self {
        Self { sandbox: sandbox.to_string(), key }
    }

    /// The logins of the control database.
    pub fn control(key: RootKey) -> Self {
        Self { sandbox: "_control".to_owned(), key }
    }

    /// The logins of a template while it is being made.
    pub fn template(key: RootKey) -> Self {
        Self { sandbox: "_template".to_owned(), key }
    }

    /// The role's name.
    pub fn name(&self, login: Login) -> String {
        format!("pk_{}.{}", self.sandbox, login.suffix())
    }

    /// The role's password.
    pub fn password(&self, login: Login) -> String {
        self.key
            .derive(&["login", login.suffix()])
            .iter()
            .fold(String::new(), |text, byte| format!("{text}{byte:02x}"))
    }

    /// How to reach `database` as `login`, on the server that `admin` names. In single mode there is one database, and
    /// the given logins act as the roles.
    pub fn options(&self, cluster: &Cluster, login: Login, database: &str) -> PgConnectOptions {
        if let Some(given) = cluster.given() {
            return given.options(login);
        }
        cluster
            .admin()
            .clone()
            .username(&self.name(login))
            .password(&self.password(login))
            .database(database)
            .application_name("platform-kernel")
    }
}

impl Logins {
    /// The address of `database` for `login`, as libpq reads it.
    pub fn address(&self, cluster: &Cluster, login: Login, database: &str) -> String {
        let to = cluster.admin();
        let who = format!("{}:{}", self.name(login), self.password(login));
        let is_plain = matches!(to.get_ssl_mode(), PgSslMode::Disable | PgSslMode::Allow | PgSslMode::Prefer);
        let encrypted = if is_plain { "" } else { "?sslmode=require" };
        match to.get_socket() {
            Some(folder) => {
                let folder = folder.to_string_lossy().replace('%', "%25").replace('/', "%2F");
                format!("postgresql://{who}@{folder}:{}/{database}", to.get_port())
            }
            None => format!("postgresql://{who}@{}:{}/{database}{encrypted}", to.get_host(), to.get_port()),
        }
    }
}
