//! The server as its administrator sees it: databases and roles, nothing else.

use std::{sync::Arc, time::Instant};

use futures::future::BoxFuture;
use sqlx::{AssertSqlSafe, Connection, PgConnection, postgres::PgConnectOptions};
use tokio::sync::{Mutex, Semaphore};

use super::{
    cluster_error::ClusterError,
    fault::is_lost_connection,
    given::Given,
    logins::{Login, Logins},
    pool::{ABSENCE, LONGEST_PAUSE, single},
    scram::verifier,
};

/// A Postgres server, embedded or external, reached as the administrator.
#[derive(Clone)]
pub struct Cluster {
    admin: PgConnectOptions,
    /// In single mode the one database; then nobody is an administrator.
    given: Option<Arc<Given>>,
    /// A few connections: dropping a database takes long and must not hold up the making of another.
    idle: Arc<Mutex<Vec<PgConnection>>>,
    places: Arc<Semaphore>,
}

/// Statements that the administrator runs at once.
const PLACES: usize = 4;

/// The name of the template database of a kind (`empty`, `demo`), of this version of the schema.
pub fn template_database(kind: &str, fingerprint: &str) -> String {
    format!("pk__{kind}_{fingerprint}")
}

impl Cluster {
    /// A server; nothing is opened yet.
    pub fn new(admin: PgConnectOptions) -> Self {
        Self { admin, given: None, idle: Arc::default(), places: Arc::new(Semaphore::new(PLACES)) }
    }

    /// The one database that `user` names, which is the one sandbox; `owner` may change its tables.
    pub fn single(user: PgConnectOptions, owner: Option<PgConnectOptions>) -> Self {
        let admin = owner.clone().unwrap_or_else(|| user.clone());
        Self { given: Some(Arc::new(Given::new(user, owner))), ..Self::new(admin) }
    }

    /// Whether it is one given database, and no other can be made.
    pub fn is_single(&self) -> bool {
        self.given.is_some()
    }

    /// Whether tables can be changed: always, but in single mode without the login for it.
    pub fn has_owner(&self) -> bool {
        self.given.as_ref().is_none_or(|given| given.has_owner())
    }

    pub(super) fn given(&self) -> Option<&Given> {
        self.given.as_deref()
    }

    /// The administrator's own options.
    pub(super) fn admin(&self) -> &PgConnectOptions {
        &self.admin
    }

    /// The administrator's options, for a database.
    pub fn admin_options(&self, database: &str) -> PgConnectOptions {
        self.admin.clone().database(database)
    }

    /// Makes a database, empty or as a copy; nobody but its logins may connect.
    ///
    /// # Errors
    /// What the server says; a template that is in use is one of them.
    pub async fn create_database(&self, name: &str, template: Option<&str>) -> Result<(), ClusterError> {
        let template = template.unwrap_or("template0");
        self.run(&format!("create database {} template {} owner pk_owner", quoted(name), quoted(template)))
            .await?;
        self.run(&format!("revoke all on database {} from public", quoted(name))).await
    }

    /// Removes a database with all sessions on it; nothing happens if it is not there.
    ///
    /// # Errors
    /// What the server says.
    pub async fn drop_database(&self, name: &str) -> Result<(), ClusterError> {
        self.run(&format!("drop database if exists {} with (force)", quoted(name))).await
    }

    /// Gives a database another name.
    ///
    /// # Errors
    /// What the server says; sessions on it are one reason.
    pub async fn rename_database(&self, from: &str, to: &str) -> Result<(), ClusterError> {
        self.run(&format!("alter database {} rename to {}", quoted(from), quoted(to))).await
    }

    /// Puts one database in the place of another, which steps `aside`: both renames happen, or none.
    ///
    /// # Errors
    /// What the server says; sessions on either are one reason.
    pub async fn replace_database(&self, name: &str, by: &str, aside: &str) -> Result<(), ClusterError> {
        let (name, by, aside) = (quoted(name), quoted(by), quoted(aside));
        // Sent at once, so one transaction.
        self.run(&format!("alter database {name} rename to {aside}; alter database {by} rename to {name}"))
            .await
    }

    /// Ends every session on a database, so that it can be copied.
    ///
    /// # Errors
    /// What the server says.
    pub async fn end_sessions(&self, name: &str) -> Result<(), ClusterError> {
        self.run(&format!(
            "select pg_terminate_backend(pid) from pg_stat_activity where datname = {} and pid <> pg_backend_pid()",
            literal(name)
        ))
        .await
    }

    /// How many sessions there are on a database.
    ///
    /// # Errors
    /// What the server says.
    pub async fn sessions(&self, name: &str) -> Result<i64, ClusterError> {
        let question = format!("select count(*) from pg_stat_activity where datname = {}", literal(name));
        let (sessions,): (i64,) = self.ask(&question).await?;
        Ok(sessions)
    }

    /// The owner of a database, if there is one of that name.
    ///
    /// # Errors
    /// What the server says.
    pub async fn owner_of(&self, database: &str) -> Result<Option<String>, ClusterError> {
        let (owner,): (Option<String>,) = self
            .ask(&format!(
                "select (select pg_get_userbyid(datdba)::text from pg_database where datname = {})",
                literal(database)
            ))
            .await?;
        Ok(owner)
    }

    /// The databases whose names start with `prefix`.
    ///
    /// # Errors
    /// What the server says.
    pub async fn databases(&self, prefix: &str) -> Result<Vec<String>, ClusterError> {
        let (names,): (Vec<String>,) = self
            .ask(&format!(
                "select coalesce(array_agg(datname::text order by datname), '{{}}') from pg_database \
                 where starts_with(datname, {})",
                literal(prefix)
            ))
            .await?;
        Ok(names)
    }

    /// The roles whose names start with `prefix`.
    ///
    /// # Errors
    /// What the server says.
    pub async fn roles(&self, prefix: &str) -> Result<Vec<String>, ClusterError> {
        let (names,): (Vec<String>,) = self
            .ask(&format!(
                "select coalesce(array_agg(rolname::text order by rolname), '{{}}') from pg_roles \
                 where starts_with(rolname, {})",
                literal(prefix)
            ))
            .await?;
        Ok(names)
    }

    /// Makes the logins of a sandbox (or gives existing ones their password again) and lets them, and no one else, into
    /// its database.
    ///
    /// # Errors
    /// What the server says.
    pub async fn let_in(&self, logins: &Logins, database: &str) -> Result<(), ClusterError> {
        let names = Login::ALL.map(|login| literal(&logins.name(login))).join(",");
        let (present,): (Vec<String>,) = self
            .ask(&format!(
                "select coalesce(array_agg(rolname::text), '{{}}') from pg_roles where rolname in ({names})"
            ))
            .await?;
        let mut batch = String::new();
        for login in Login::ALL {
            let name = logins.name(login);
            let (verb, rights) = match present.contains(&name) {
                true => ("alter", ""),
                false => ("create", "login inherit nosuperuser nocreatedb nocreaterole"),
            };
            batch += &format!(
                "{verb} role {role} {rights} password {password};",
                role = quoted(&name),
                password = literal(&verifier(&logins.password(login))),
            );
            if verb == "create" {
                // The administrator ends the login's sessions before a database is copied or dropped.
                batch += &format!(
                    "grant {} to {role}; grant {role} to current_user;",
                    login.group(),
                    role = quoted(&name)
                );
            }
            if login == Login::Owner {
                batch += &format!("alter role {} set role = 'pk_owner';", quoted(&name));
            }
            batch += &format!("grant connect on database {} to {};", quoted(database), quoted(&name));
        }
        self.run(&batch).await
    }

    /// Makes a login that acts as the module's own role (made on first use), for the time of its migrations.
    ///
    /// # Errors
    /// What the server says.
    pub async fn module_login(&self, database: &str, slug: &str) -> Result<PgConnectOptions, ClusterError> {
        if let Some(given) = &self.given {
            given.check_roles_can_be_made().await?;
        }
        let database =
            if self.is_single() { self.admin.get_database().unwrap_or(database) } else { database };
        let group = format!("pk_mod_{slug}");
        let name = format!("pk__migrate.{:016x}", rand::random::<u64>());
        let password: [u8; 32] = rand::random();
        let password = password.iter().fold(String::new(), |text, byte| format!("{text}{byte:02x}"));
        self.module_role(slug).await?;
        self.run(&format!(
            "create role {name} login inherit password {secret}; grant {group} to {name}; \
             alter role {name} set role = {group}; grant connect on database {database} to {name}",
            secret = literal(&verifier(&password)),
            group = quoted(&group),
            name = quoted(&name),
            database = quoted(database),
        ))
        .await?;
        Ok(self.admin.clone().username(&name).password(&password).database(database))
    }

    /// Makes the fixed role that owns the tables of a module, if it is not there.
    ///
    /// # Errors
    /// What the server says.
    pub async fn module_role(&self, slug: &str) -> Result<(), ClusterError> {
        let group = format!("pk_mod_{slug}");
        let (exists,): (bool,) = self
            .ask(&format!("select exists (select 1 from pg_roles where rolname = {})", literal(&group)))
            .await?;
        if exists {
            return Ok(());
        }
        self.run(&format!(
            "create role {group} nologin nosuperuser nocreatedb nocreaterole nobypassrls; \
             grant {group} to pk_owner",
            group = quoted(&group)
        ))
        .await
    }

    /// Removes a login made by [`Cluster::module_login`].
    ///
    /// # Errors
    /// What the server says.
    pub async fn drop_module_login(&self, login: &PgConnectOptions) -> Result<(), ClusterError> {
        let name = quoted(login.get_username());
        let database = quoted(login.get_database().unwrap_or("postgres"));
        self.run(&format!("revoke connect on database {database} from {name}; drop role {name}")).await
    }

    /// Takes from the logins the right to connect to a database, so that they can be removed while it stays.
    ///
    /// # Errors
    /// What the server says.
    pub async fn shut_out(&self, logins: &Logins, database: &str) -> Result<(), ClusterError> {
        let names = Login::ALL.map(|login| quoted(&logins.name(login))).join(", ");
        self.run(&format!("revoke all on database {} from {names}", quoted(database))).await
    }

    /// Removes the logins of a sandbox whose database is gone.
    ///
    /// # Errors
    /// What the server says.
    pub async fn drop_logins(&self, logins: &Logins) -> Result<(), ClusterError> {
        let names = Login::ALL.map(|login| quoted(&logins.name(login))).join(", ");
        self.run(&format!("drop role if exists {names}")).await
    }

    /// Runs statements of our own making; names in them are quoted by this file.
    pub(super) async fn run(&self, statements: &str) -> Result<(), ClusterError> {
        self.with_connection(|connection| {
            let sent = sqlx::raw_sql(AssertSqlSafe(statements.to_owned())).execute(connection);
            Box::pin(async { sent.await.map(|_| ()) })
        })
        .await
    }

    pub(super) async fn ask<R>(&self, question: &str) -> Result<R, ClusterError>
    where
        R: for<'r> sqlx::FromRow<'r, sqlx::postgres::PgRow> + Send + Unpin + 'static,
    {
        self.with_connection(|connection| {
            Box::pin(
                sqlx::query_as(AssertSqlSafe(question.to_owned())).persistent(false).fetch_one(connection),
            )
        })
        .await
    }

    /// Works on an idle connection, or on a new one if there is none or it has died.
    async fn with_connection<T>(
        &self,
        work: impl for<'c> Fn(&'c mut PgConnection) -> BoxFuture<'c, Result<T, sqlx::Error>>,
    ) -> Result<T, ClusterError> {
        let _place = self.places.acquire().await.map_err(|_| sqlx::Error::PoolClosed)?;
        let idle = self.idle.lock().await.pop();
        if let Some(mut connection) = idle {
            match work(&mut connection).await {
                Err(error) if is_lost_connection(&error) => {}
                done => {
                    self.idle.lock().await.push(connection);
                    return Ok(done?);
                }
            }
        }
        let mut connection = self.open().await?;
        let done = work(&mut connection).await;
        self.idle.lock().await.push(connection);
        Ok(done?)
    }

    /// Waits for a server that is away for a moment.
    async fn open(&self) -> Result<PgConnection, sqlx::Error> {
        let until = Instant::now() + ABSENCE;
        loop {
            match single(&self.admin).await {
                Err(error) if is_lost_connection(&error) && Instant::now() < until => {
                    tokio::time::sleep(LONGEST_PAUSE).await;
                }
                opened => return opened,
            }
        }
    }

    /// Closes the administrator's connections.
    pub async fn close(&self) {
        for connection in self.idle.lock().await.drain(..) {
            let _ = connection.close().await;
        }
    }
}

/// An identifier, quoted.
pub(super) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A string literal.
fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}
