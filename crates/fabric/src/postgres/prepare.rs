//! Before a server is used: that it can be reached, is new enough and lets us do our work.

use std::time::{Duration, SystemTime};

use chrono::{DateTime, Utc};

use super::{cluster::Cluster, cluster_error::ClusterError, reach::reach};

/// The fixed roles: owners and grantees of everything, so that a copy of a database needs no re-owning.
const GROUPS: [&str; 5] = ["pk_owner", "pk_app", "pk_system", "pk_data", "pk_reader"];

/// The oldest version that has what we use, as `server_version_num`.
pub(super) const OLDEST: i32 = 150_000;

/// What a server is like that can be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Examined {
    /// Its version.
    pub version: String,
    /// How far its clock is from this machine's.
    pub skew: Duration,
    /// Connections that it lets others than superusers have.
    pub connections: i32,
    /// Databases of ours.
    pub databases: i64,
}

/// What a running server says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerStatus {
    /// Its version.
    pub version: String,
    /// Whether a commit waits for the disk.
    pub synchronous_commit: String,
}

impl Cluster {
    /// Reaches a server that is somebody else's for the first time: that it lets us in, and keeps sessions apart.
    ///
    /// # Errors
    /// [`ClusterError::Unreachable`] and its like, each with what to do, or [`ClusterError::Pooler`].
    pub async fn reach(&self) -> Result<(), ClusterError> {
        match self.given() {
            Some(given) => given.reach().await,
            None => reach("DATABASE_URL", self.admin()).await,
        }
    }

    /// Checks version and rights, and makes the fixed roles where they are missing. `adopt`: in single mode, also use a
    /// database that holds tables of others.
    ///
    /// # Errors
    /// [`ClusterError::TooOld`], [`ClusterError::MayNot`], in single mode what keeps that from working, or what the
    /// server says.
    pub async fn prepare(&self, adopt: bool) -> Result<(), ClusterError> {
        if let Some(given) = self.given() {
            return given.prepare(adopt).await;
        }
        self.check_rights().await?;
        let groups = format!("unnest('{{{}}}'::name[]) g", GROUPS.join(","));
        let (missing,): (Vec<String>,) = self
            .ask(&format!(
                "select coalesce(array_agg(g::text), '{{}}') from {groups}
                 where not exists (select 1 from pg_roles where rolname = g)"
            ))
            .await?;
        for group in missing {
            self.run(&format!(
                "create role {group} nologin noinherit nosuperuser nocreatedb nocreaterole nobypassrls; \
                 grant {group} to current_user"
            ))
            .await?;
        }
        let (member,): (bool,) = self
            .ask(&format!("select bool_and(pg_has_role(current_user, g, 'member')) from {groups}"))
            .await?;
        if !member {
            return Err(ClusterError::NotAMember);
        }
        Ok(())
    }

    async fn check_rights(&self) -> Result<(), ClusterError> {
        let (number, version, creates_databases, creates_roles, superuser): (i32, String, bool, bool, bool) =
            self.ask(
                "select current_setting('server_version_num')::int, current_setting('server_version'),
                        rolcreatedb, rolcreaterole, rolsuper
                 from pg_roles where rolname = current_user",
            )
            .await?;
        if number < OLDEST {
            return Err(ClusterError::TooOld(version));
        }
        if !superuser && !creates_databases {
            return Err(ClusterError::MayNot("databases"));
        }
        if !superuser && !creates_roles {
            return Err(ClusterError::MayNot("roles"));
        }
        Ok(())
    }

    /// Looks at a server without changing it: reaches it, writes and reads what is gone with its transaction, compares
    /// clocks, and sees that the rights are there.
    ///
    /// # Errors
    /// What keeps a kernel from using it, with what to do.
    pub async fn examine(&self) -> Result<Examined, ClusterError> {
        self.reach().await?;
        if self.is_single() {
            let (number, version): (i32, String) = self
                .ask("select current_setting('server_version_num')::int, current_setting('server_version')")
                .await?;
            if number < OLDEST {
                return Err(ClusterError::TooOld(version));
            }
        } else {
            self.check_rights().await?;
        }
        self.write_and_read().await?;
        let before = SystemTime::now();
        let (there, version, connections, databases): (DateTime<Utc>, String, i32, i64) = self
            .ask(
                "select clock_timestamp(), current_setting('server_version'),
                        current_setting('max_connections')::int
                            - current_setting('superuser_reserved_connections')::int,
                        (select count(*) from pg_database where starts_with(datname, 'pk_'))",
            )
            .await?;
        let here = before + before.elapsed().unwrap_or_default() / 2;
        let there = SystemTime::from(there);
        let skew = here.duration_since(there).unwrap_or_else(|ahead| ahead.duration());
        Ok(Examined { version, skew, connections, databases })
    }

    async fn write_and_read(&self) -> Result<(), ClusterError> {
        let written = self.run(
            "begin; create temporary table doctor (said text) on commit drop; \
             insert into doctor values ('written'); \
             do $$ begin if (select said from doctor) <> 'written' then raise 'it does not come back'; end if; end $$; \
             rollback",
        );
        match written.await {
            Err(ClusterError::Server(sqlx::Error::Database(said)))
                if said.code().as_deref() == Some("25006") =>
            {
                Err(ClusterError::ReadOnly)
            }
            written => written,
        }
    }

    /// What the server says of itself, asked on a connection of the administrator.
    ///
    /// # Errors
    /// What the server says; that it is away, too.
    pub async fn status(&self) -> Result<ServerStatus, ClusterError> {
        let (version, synchronous_commit): (String, String) = self
            .ask("select current_setting('server_version'), current_setting('synchronous_commit')")
            .await?;
        Ok(ServerStatus { version, synchronous_commit })
    }
}
