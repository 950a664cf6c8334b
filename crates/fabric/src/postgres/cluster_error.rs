/// Why the server can't be used or did not do as asked.
#[derive(Debug, thiserror::Error)]
pub enum ClusterError {
    /// Too old.
    #[error(
        "the Postgres server is version {0}; at least version 15 is needed: upgrade it, or leave DATABASE_URL unset to use the embedded one"
    )]
    TooOld(String),
    /// The administrator lacks a right.
    #[error(
        "the user of DATABASE_URL may not create {0}: grant it (ALTER ROLE … CREATEDB CREATEROLE), or leave DATABASE_URL \
         unset to use the embedded Postgres, or set KERNEL_SANDBOX_MODE=single to make the one given database the one \
         sandbox"
    )]
    MayNot(&'static str),
    /// The fixed roles are another administrator's.
    #[error(
        "the roles pk_owner, pk_app, pk_system, pk_data and pk_reader exist already, and the user of DATABASE_URL may not \
         use them: as the one who made them, GRANT pk_owner, pk_app, pk_system, pk_data, pk_reader TO that user WITH \
         ADMIN OPTION"
    )]
    NotAMember,
    /// Somebody else's database of that name.
    #[error("the database {0} exists and is not ours: it is left alone; rename it, or use another server")]
    NotOurs(String),
    /// In single mode, tables of somebody else.
    #[error(
        "the database {database} of DATABASE_URL holds tables that are not ours ({table}): it is left alone; name an \
         empty database, or set KERNEL_ADOPT_DATABASE=true to use it beside them"
    )]
    HoldsOthers {
        /// Which database.
        database: String,
        /// One of the tables.
        table: String,
    },
    /// In single mode, a login that no policy binds.
    #[error(
        "the user {0} of DATABASE_URL owns the tables or is above row-level security, which keeps tenants apart: give a \
         plain login there (CREATE ROLE kernel LOGIN PASSWORD '…') and the one that may change tables as DATABASE_OWNER_URL"
    )]
    TooMighty(String),
    /// In single mode, roles or rights are missing that our logins may not make.
    #[error(
        "this database is not prepared for KERNEL_SANDBOX_MODE=single. Start once with DATABASE_OWNER_URL set to a login \
         that owns the database and has CREATEROLE, or run as an administrator:\n{0}"
    )]
    NotPrepared(String),
    /// In single mode, a change of tables without the login for it.
    #[error(
        "in single mode tables are changed by the login of DATABASE_OWNER_URL, which is not set: set it for the first \
         start, for a new version and for modules with migrations"
    )]
    NoOwner,
    /// In single mode, a login that can't make the role of a module.
    #[error(
        "each module's tables belong to a role of its own, and the login {0} of DATABASE_OWNER_URL may make none: ALTER \
         ROLE … CREATEROLE, or use modules without migrations (KERNEL_TEMPLATE=empty: the demo has one with)"
    )]
    NoModuleRoles(String),
    /// Nobody answers.
    #[error(
        "PostgreSQL at {place} can't be reached: {why}; check the address in {setting}, that the server runs and listens \
         there, and the firewall"
    )]
    Unreachable {
        /// The setting with its address.
        setting: &'static str,
        /// Host and port.
        place: String,
        /// What the system says.
        why: String,
    },
    /// The server does not know the user, or not with this password.
    #[error("PostgreSQL at {place} does not let {user} in ({why}): check user and password in {setting}")]
    NotLetIn {
        /// The setting with its address.
        setting: &'static str,
        /// Host and port.
        place: String,
        /// The user.
        user: String,
        /// What the server says.
        why: String,
    },
    /// There is no such database.
    #[error("{why} at {place}: name one that is there in {setting}; `postgres` always is")]
    NoDatabase {
        /// The setting with its address.
        setting: &'static str,
        /// Host and port.
        place: String,
        /// What the server says.
        why: String,
    },
    /// No encryption that is trusted.
    #[error(
        "PostgreSQL at {place} can't be trusted: {why}; with sslmode=verify-full the name in {setting} must stand in the \
         server's certificate, and sslrootcert=/path/to/ca.pem names an authority that is not a public one"
    )]
    Untrusted {
        /// The setting with its address.
        setting: &'static str,
        /// Host and port.
        place: String,
        /// What went wrong.
        why: String,
    },
    /// It is a standby.
    #[error(
        "the PostgreSQL server of DATABASE_URL is read-only (a standby, or default_transaction_read_only is on): name the \
         primary"
    )]
    ReadOnly,
    /// Something in between mixes sessions.
    #[error(
        "{setting} leads to a connection pooler (such as PgBouncer) that does not keep sessions apart: a session is bound \
         to its tenant here, so name the PostgreSQL server itself. The kernel pools connections on its own: \
         DB_MAX_OPEN_CONNS says how many"
    )]
    Pooler {
        /// The setting with its address.
        setting: &'static str,
    },
    /// The server said no.
    #[error("Postgres: {0}")]
    Server(#[from] sqlx::Error),
}
