//! One database that somebody gave us, with a login or two: no other database and no login is made there.

use sqlx::{AssertSqlSafe, PgConnection, postgres::PgConnectOptions};

use super::{
    cluster::quoted, cluster_error::ClusterError, logins::Login, pool::single, prepare::OLDEST, reach::reach,
};

/// The given database, and how it is reached.
#[derive(Clone)]
pub(super) struct Given {
    user: PgConnectOptions,
    owner: Option<PgConnectOptions>,
}

/// What the owner's login is and may.
#[derive(sqlx::FromRow)]
struct Owner {
    number: i32,
    version: String,
    name: String,
    creates_roles: bool,
    roles: Vec<String>,
}

/// What the login for tenants' work is.
#[derive(sqlx::FromRow)]
struct User {
    name: String,
    above_policies: bool,
    is_owner: bool,
    missing: Vec<String>,
}

const GROUPS: &str = "array['pk_owner', 'pk_app', 'pk_system', 'pk_data', 'pk_reader']";

impl Given {
    pub(super) fn new(user: PgConnectOptions, owner: Option<PgConnectOptions>) -> Self {
        Self { user, owner }
    }

    /// Reaches the database as `login`: the given login, acting as the fixed role from its first moment, so that RESET
    /// leads back to that role.
    pub(super) fn options(&self, login: Login) -> PgConnectOptions {
        let who = match login {
            Login::Owner => self.owner.as_ref().unwrap_or(&self.user),
            _ => &self.user,
        };
        who.clone().application_name("platform-kernel").options([("role", login.group())])
    }

    pub(super) fn has_owner(&self) -> bool {
        self.owner.is_some()
    }

    /// See [`super::Cluster::reach`].
    pub(super) async fn reach(&self) -> Result<(), ClusterError> {
        reach("DATABASE_URL", &self.user).await?;
        match &self.owner {
            Some(owner) => reach("DATABASE_OWNER_URL", owner).await,
            None => Ok(()),
        }
    }

    /// Whether the owner's login can make the role that each module's tables belong to.
    pub(super) async fn check_roles_can_be_made(&self) -> Result<(), ClusterError> {
        let Some(owner) = &self.owner else { return Err(ClusterError::NoOwner) };
        let mut connection = single(owner).await?;
        let owner = Owner::of(&mut connection).await?;
        if owner.creates_roles { Ok(()) } else { Err(ClusterError::NoModuleRoles(owner.name)) }
    }

    /// Checks version and rights, makes the fixed roles where they are missing, and lets the login for tenants' work act
    /// as them. Without an owner's login everything must have been made before.
    pub(super) async fn prepare(&self, adopt: bool) -> Result<(), ClusterError> {
        let mut user = single(&self.user).await?;
        if let Some(owner) = &self.owner {
            let mut owner = single(owner).await?;
            let who = Owner::of(&mut owner).await?;
            if who.number < OLDEST {
                return Err(ClusterError::TooOld(who.version));
            }
            if !adopt {
                nothing_of_others(&mut owner).await?;
            }
            who.make_roles(&mut owner).await?;
            let missing = User::of(&mut user).await?;
            who.grant(&mut owner, &missing).await?;
        } else if !is_laid_out(&mut user).await? {
            return Err(ClusterError::NoOwner);
        }
        let user = User::of(&mut user).await?;
        if user.above_policies || user.is_owner {
            return Err(ClusterError::TooMighty(user.name));
        }
        if !user.missing.is_empty() {
            return Err(ClusterError::NotPrepared(setup_sql(&user.name)));
        }
        Ok(())
    }
}

impl Owner {
    async fn of(connection: &mut PgConnection) -> Result<Self, ClusterError> {
        let question = format!(
            "select current_setting('server_version_num')::int as number, current_setting('server_version') as version,
                    rolname::text as name, rolsuper or rolcreaterole as creates_roles,
                    array(select g from unnest({GROUPS}) g where exists (select from pg_roles where rolname = g)) as roles
             from pg_roles where rolname = session_user"
        );
        Ok(sqlx::query_as(AssertSqlSafe(question)).persistent(false).fetch_one(connection).await?)
    }

    async fn make_roles(&self, connection: &mut PgConnection) -> Result<(), ClusterError> {
        for group in Login::ALL.map(Login::group) {
            if !self.roles.iter().any(|role| role == group) {
                if !self.creates_roles {
                    return Err(ClusterError::NotPrepared(setup_sql("the login of DATABASE_URL")));
                }
                let make = format!(
                    "create role {group} nologin noinherit nosuperuser nocreatedb nocreaterole nobypassrls"
                );
                sqlx::raw_sql(AssertSqlSafe(make)).execute(&mut *connection).await?;
            }
        }
        Ok(())
    }

    /// Lets both logins act as the fixed roles, and the owner's role make schemas here.
    async fn grant(&self, connection: &mut PgConnection, user: &User) -> Result<(), ClusterError> {
        let name = quoted(&user.name);
        let mut wanted = vec![
            // Who made a role may grant it, but does not act as it by that alone. Granting again what an administrator
            // granted may be refused; what counts is whether it works.
            "do $$ begin grant pk_owner to session_user; exception when insufficient_privilege then null; end $$"
                .to_owned(),
            "set role pk_owner; reset role".to_owned(),
            "do $$ begin if not has_database_privilege('pk_owner', current_database(), 'create') \
             then execute format('grant create on database %I to pk_owner', current_database()); end if; end $$"
                .to_owned(),
        ];
        wanted.extend(user.missing.iter().map(|group| format!("grant {group} to {name}")));
        for statement in wanted {
            if let Err(error) = sqlx::raw_sql(AssertSqlSafe(statement)).execute(&mut *connection).await {
                tracing::debug!(%error, "the owner may not do this");
                return Err(ClusterError::NotPrepared(setup_sql(&user.name)));
            }
        }
        Ok(())
    }
}

impl User {
    async fn of(connection: &mut PgConnection) -> Result<Self, ClusterError> {
        let question = format!(
            "select rolname::text as name, rolsuper or rolbypassrls as above_policies,
                    exists (select from pg_roles where rolname = 'pk_owner')
                        and pg_has_role(session_user, (select oid from pg_roles where rolname = 'pk_owner'), 'member')
                        as is_owner,
                    array(select g from unnest({GROUPS}) g
                          where g <> 'pk_owner'
                            and not coalesce((select pg_has_role(session_user, r.oid, 'member')
                                              from pg_roles r where r.rolname = g), false)) as missing
             from pg_roles where rolname = session_user"
        );
        Ok(sqlx::query_as(AssertSqlSafe(question)).persistent(false).fetch_one(connection).await?)
    }
}

/// Whether our tables are there.
async fn is_laid_out(connection: &mut PgConnection) -> Result<bool, ClusterError> {
    let (there,): (bool,) = sqlx::query_as(
        "select exists (select from pg_class c join pg_namespace n on n.oid = c.relnamespace
                        where n.nspname = 'control' and c.relname = 'sandbox')",
    )
    .persistent(false)
    .fetch_one(connection)
    .await?;
    Ok(there)
}

/// A database that holds tables which are not ours is never touched.
async fn nothing_of_others(connection: &mut PgConnection) -> Result<(), ClusterError> {
    let (database, other): (String, Option<String>) = sqlx::query_as(
        "select current_database()::text,
                (select format('%I.%I', n.nspname, c.relname)
                 from pg_class c join pg_namespace n on n.oid = c.relnamespace
                 where c.relkind in ('r', 'p') and n.nspname !~ '^pg_' and n.nspname <> 'information_schema'
                   and not exists (select from pg_depend d where d.objid = c.oid and d.deptype = 'e')
                   and to_regnamespace('kernel_migrations') is null
                 order by 1 limit 1)",
    )
    .persistent(false)
    .fetch_one(connection)
    .await?;
    match other {
        Some(table) => Err(ClusterError::HoldsOthers { database, table }),
        None => Ok(()),
    }
}

/// What an administrator runs once where our logins may not.
fn setup_sql(user: &str) -> String {
    let user = quoted(user);
    format!(
        "  create role pk_owner nologin; create role pk_app nologin; create role pk_system nologin;\n  \
           create role pk_data nologin; create role pk_reader nologin;\n  \
           grant pk_app, pk_system, pk_data, pk_reader to {user};\n  \
           grant pk_owner to <the login of DATABASE_OWNER_URL>;\n  \
           grant create on database <the database> to pk_owner;"
    )
}
