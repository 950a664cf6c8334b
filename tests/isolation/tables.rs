//! Every table with rows of tenants, asked directly as the logins that serve tenants.

use std::collections::BTreeSet;

use fabric::postgres::Login;
use serde_json::Value;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};
use uuid::Uuid;

use crate::{
    report::{Fault, Report},
    stage::{SANDBOX, Stage, quiet},
};

/// A table with rows of tenants.
#[derive(Debug, Clone)]
pub struct Table {
    /// With its schema, quoted where it must be.
    pub name: String,
    /// Row-level security is on, and binds the owner, too.
    pub guarded: bool,
    /// The columns that can be written.
    columns: Vec<String>,
}

impl Table {
    /// How many rows of a tenant there are.
    pub async fn rows_of(&self, connection: &mut PgConnection, tenant: Uuid) -> i64 {
        self.count(connection, tenant).await.unwrap()
    }

    async fn count(&self, connection: &mut PgConnection, tenant: Uuid) -> Result<i64, sqlx::Error> {
        let count = format!("select count(*) from {} where tenant_id = $1", self.name);
        sqlx::query_scalar(AssertSqlSafe(count)).bind(tenant).fetch_one(connection).await
    }
}

/// Every table with a column `tenant_id`, whichever service or module it is of.
pub async fn all(owner: &mut PgConnection) -> Vec<Table> {
    let tables = "
        select format('%I.%I', n.nspname, c.relname), c.relrowsecurity and c.relforcerowsecurity,
               array(select quote_ident(w.attname) from pg_attribute w
                     where w.attrelid = c.oid and w.attnum > 0 and not w.attisdropped and w.attgenerated = ''
                     order by w.attnum)
        from pg_class c
        join pg_namespace n on n.oid = c.relnamespace
        join pg_attribute a on a.attrelid = c.oid and a.attname = 'tenant_id' and not a.attisdropped
        where c.relkind in ('r', 'p') and n.nspname not in ('pg_catalog', 'information_schema')
        order by 1";
    let rows: Vec<(String, bool, Vec<String>)> = sqlx::query_as(tables).fetch_all(owner).await.unwrap();
    rows.into_iter().map(|(name, guarded, columns)| Table { name, guarded, columns }).collect()
}

/// The logins that serve tenants.
const LOGINS: [Login; 2] = [Login::App, Login::Data];

/// Each table: guarded, with rows of both tenants, and shut to Beta for reading and writing.
pub async fn probe(stage: &Stage, report: &mut Report) {
    let held = HeldOutbox::hold(stage).await;
    let mut owner = stage.owner().await;
    for table in &stage.tables {
        let mut fault = |case, wrong: Option<String>| {
            let told = wrong.map(|told| Fault { case, at: table.name.clone(), told, leak: false });
            report.tried(case, told);
        };
        let unguarded = (!table.guarded).then(|| "row-level security is not on and forced".to_owned());
        fault("a table is guarded", unguarded);
        let (alphas, betas) =
            (table.rows_of(&mut owner, stage.alpha.id).await, table.rows_of(&mut owner, stage.beta.id).await);
        let empty = (alphas == 0 || betas == 0).then(|| {
            format!("{alphas} rows of Alpha and {betas} of Beta prove nothing: give the POST that makes them an `.example(…)`, or say in planting.rs how rows get there")
        });
        fault("a table has rows of both tenants", empty);
        for login in LOGINS {
            for bound in [Some(stage.beta.id), None] {
                let mut connection = bound_to(stage, login, bound).await;
                let seen = readable(table, &mut connection, stage.alpha.id).await;
                let seen =
                    (seen > 0).then(|| format!("{login:?} bound to {bound:?} sees {seen} rows of Alpha"));
                fault("a table's rows are hidden", seen);
                for wrong in written(table, &mut connection, &mut owner, stage.alpha.id).await {
                    let told = wrong.map(|told| format!("{login:?} bound to {bound:?}: {told}"));
                    fault("a table's rows can't be written", told);
                }
                connection.close().await.unwrap();
            }
        }
    }
    held.release(stage).await;
}

/// All tables, and those where Beta sees rows of Alpha, with what shuts a table by grants alone taken away as well.
pub async fn open_to_another_tenant(stage: &Stage) -> (BTreeSet<String>, BTreeSet<String>) {
    let held = HeldOutbox::hold(stage).await;
    let mut admin = stage.kernel.admin_sql(&format!("pk_{SANDBOX}")).await;
    let mut open = BTreeSet::new();
    for table in &stage.tables {
        let (schema, _) = table.name.split_once('.').unwrap();
        let grant =
            format!("grant usage on schema {schema} to pk_app; grant select on {} to pk_app", table.name);
        sqlx::raw_sql(AssertSqlSafe(grant)).execute(&mut admin).await.unwrap();
        let mut connection = bound_to(stage, Login::App, Some(stage.beta.id)).await;
        if readable(table, &mut connection, stage.alpha.id).await > 0 {
            open.insert(table.name.clone());
        }
        connection.close().await.unwrap();
    }
    held.release(stage).await;
    (stage.tables.iter().map(|table| table.name.clone()).collect(), open)
}

/// Rows in the outbox stay there only while the relay is kept from its work.
struct HeldOutbox {
    relay: PgConnection,
}

impl HeldOutbox {
    async fn hold(stage: &Stage) -> Self {
        let mut relay = stage.owner().await;
        quiet(&stage.kernel, &mut relay).await;
        sqlx::raw_sql("begin; select pg_advisory_xact_lock(hashtext('kernel.relay'))")
            .execute(&mut relay)
            .await
            .unwrap();
        let mut owner = stage.owner().await;
        for tenant in [&stage.alpha, &stage.beta] {
            let row = "insert into kernel.outbox (id, tenant_id, topic, partition, key, type, source, data)
                       values (kernel.new_id(), $1, 'platform.crm.events', 0, $2, 'crm.deal.planted', 'crm', '{}')";
            sqlx::query(row).bind(tenant.id).bind(tenant.mark).execute(&mut owner).await.unwrap();
        }
        Self { relay }
    }

    async fn release(mut self, stage: &Stage) {
        let mut owner = stage.owner().await;
        sqlx::raw_sql("delete from kernel.outbox where type = 'crm.deal.planted'")
            .execute(&mut owner)
            .await
            .unwrap();
        sqlx::raw_sql("rollback").execute(&mut self.relay).await.unwrap();
    }
}

async fn bound_to(stage: &Stage, login: Login, tenant: Option<Uuid>) -> PgConnection {
    let mut connection = stage.kernel.sql(SANDBOX, login).await;
    let text = tenant.map(|id| id.to_string()).unwrap_or_default();
    sqlx::query("select set_config('kernel.tenant', $1, false)")
        .bind(text)
        .execute(&mut connection)
        .await
        .unwrap();
    connection
}

/// Rows of a tenant that a login sees; none where it may not even ask.
async fn readable(table: &Table, connection: &mut PgConnection, tenant: Uuid) -> i64 {
    match table.count(connection, tenant).await {
        Ok(count) => count,
        Err(error) if refused(&error) => 0,
        Err(error) => panic!("{}: {error}", table.name),
    }
}

/// Changes, takes away and adds rows of a tenant; what went through.
async fn written(
    table: &Table,
    connection: &mut PgConnection,
    owner: &mut PgConnection,
    tenant: Uuid,
) -> [Option<String>; 3] {
    let Table { name, columns, .. } = table;
    let columns = columns.join(", ");
    let one = format!("select to_jsonb(t) from {name} t where tenant_id = $1 limit 1");
    let row: Option<Value> =
        sqlx::query_scalar(AssertSqlSafe(one)).bind(tenant).fetch_optional(owner).await.unwrap();
    let attempts = [
        ("changes", format!("update {name} set tenant_id = tenant_id where tenant_id = $1 and $2::jsonb is not null")),
        ("deletes", format!("delete from {name} where tenant_id = $1 and $2::jsonb is not null")),
        (
            "adds",
            format!(
                "insert into {name} ({columns}) overriding system value
                 select {columns} from jsonb_populate_record(null::{name}, $2::jsonb || jsonb_build_object('tenant_id', $1))"
            ),
        ),
    ];
    let mut told = [None, None, None];
    for (place, (verb, statement)) in told.iter_mut().zip(attempts) {
        sqlx::raw_sql("begin").execute(&mut *connection).await.unwrap();
        let done =
            sqlx::query(AssertSqlSafe(statement)).bind(tenant).bind(&row).execute(&mut *connection).await;
        sqlx::raw_sql("rollback").execute(&mut *connection).await.unwrap();
        *place = match done {
            Ok(done) if done.rows_affected() == 0 => None,
            Ok(done) => Some(format!("{verb} {} rows of Alpha", done.rows_affected())),
            Err(error) if refused(&error) => None,
            Err(error) => Some(format!("{verb}: stopped by something else than the guard: {error}")),
        };
    }
    told
}

/// Insufficient privilege: by a grant that is missing or by a policy.
fn refused(error: &sqlx::Error) -> bool {
    error.as_database_error().and_then(|error| error.code()).is_some_and(|code| code == "42501")
}
