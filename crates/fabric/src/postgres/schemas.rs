//! Connections that change the schema of one sandbox: as its owner, and as a module's own role.

use sqlx::{Connection, PgConnection, postgres::PgConnectOptions};

use super::{
    cluster::Cluster,
    cluster_error::ClusterError,
    logins::{Login, Logins},
    pool::single,
};

/// What module-registry needs to install SQL in a sandbox's database.
#[derive(Clone)]
pub struct Schemas {
    cluster: Cluster,
    logins: Logins,
    database: String,
}

/// A connection logged in as a module's own role, for the time of its migrations.
pub struct ModuleConnection {
    /// The connection; `search_path` is the module's schema, then `pg_catalog`.
    pub connection: PgConnection,
    login: PgConnectOptions,
    cluster: Cluster,
}

impl Schemas {
    /// The schema changes of `database`.
    pub fn new(cluster: Cluster, logins: Logins, database: impl Into<String>) -> Self {
        Self { cluster, logins, database: database.into() }
    }

    /// A connection as the owner of everything but the modules' tables, whose roles it is a member of.
    ///
    /// # Errors
    /// What the server says.
    pub async fn owner(&self) -> Result<PgConnection, ClusterError> {
        let options = self.logins.options(&self.cluster, Login::Owner, &self.database);
        Ok(single(&options.options([("search_path", "pg_catalog")])).await?)
    }

    /// Makes the role `pk_mod_{slug}`, which owns the module's tables, if it is not there.
    ///
    /// # Errors
    /// What the server says.
    pub async fn module_role(&self, slug: &str) -> Result<(), ClusterError> {
        self.cluster.module_role(slug).await
    }

    /// A connection as the module's own role: it owns nothing but the module's schema, and can't become another role.
    ///
    /// # Errors
    /// What the server says.
    pub async fn module(&self, slug: &str) -> Result<ModuleConnection, ClusterError> {
        let login = self.cluster.module_login(&self.database, slug).await?;
        let options = login.clone().options([
            ("search_path", format!("module_{slug},pg_catalog")),
            ("statement_timeout", "110s".to_owned()),
            ("lock_timeout", "20s".to_owned()),
            ("idle_in_transaction_session_timeout", "120s".to_owned()),
        ]);
        match single(&options).await {
            Ok(connection) => Ok(ModuleConnection { connection, login, cluster: self.cluster.clone() }),
            Err(error) => {
                self.cluster.drop_module_login(&login).await?;
                Err(error.into())
            }
        }
    }
}

impl ModuleConnection {
    /// Closes the connection and removes its login. To be called on every path; a login that stays behind can do no more
    /// than the module's own role and is removed at the next start.
    ///
    /// # Errors
    /// What the server says.
    pub async fn close(self) -> Result<(), ClusterError> {
        let closed = self.connection.close().await;
        self.cluster.drop_module_login(&self.login).await?;
        Ok(closed?)
    }
}
