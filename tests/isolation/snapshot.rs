//! A tenant's data as they are: to see that nobody changed them.

use std::collections::BTreeMap;

use sqlx::{AssertSqlSafe, PgConnection};

use crate::{
    report::{Fault, Report},
    stage::{Stage, quiet},
};

/// Columns that move without anyone changing anything.
const RESTLESS: &str = "'{last_used_at, published_seq}'::text[]";

/// How many rows of Alpha each table has, and a hash over them.
pub struct Snapshot(BTreeMap<String, (i64, String)>);

impl Snapshot {
    pub async fn of(stage: &Stage) -> Self {
        let mut owner = stage.owner().await;
        quiet(&mut owner).await;
        let mut tables = BTreeMap::new();
        for table in &stage.tables {
            // The kernel itself tells of the audit trail's head from time to time.
            let restless = if table.name == "kernel.event" { " and type not like 'audit.%'" } else { "" };
            let rows = format!("tenant_id = '{}'{restless}", stage.alpha.id);
            tables.insert(table.name.clone(), summary(&mut owner, &table.name, &rows).await);
        }
        for name in without_tenant(&mut owner).await {
            let rows = format!("to_jsonb(t)::text like '%{}%' or to_jsonb(t)::text like '%{}%'", stage.alpha.id, stage.alpha.mark);
            tables.insert(name.clone(), summary(&mut owner, &name, &rows).await);
        }
        Self(tables)
    }

    pub fn expect_same(&self, after: &Self, report: &mut Report) {
        const CASE: &str = "a table's rows of Alpha are as before";
        for (table, before) in &self.0 {
            let now = &after.0[table];
            let told = format!("there were {} rows, now {}, or their content changed", before.0, now.0);
            report.tried(CASE, (before != now).then(|| Fault { case: CASE, at: table.clone(), told, leak: false }));
        }
    }
}

async fn summary(owner: &mut PgConnection, table: &str, rows: &str) -> (i64, String) {
    let summary = format!(
        "select count(*), coalesce(md5(string_agg(row, '|' order by row)), '')
         from (select (to_jsonb(t) - {RESTLESS})::text as row from {table} t where {rows}) r"
    );
    sqlx::query_as(AssertSqlSafe(summary)).fetch_one(owner).await.unwrap()
}

/// Tables that belong to no tenant as a whole, but may hold something of one: accounts, the tree of tenants.
async fn without_tenant(owner: &mut PgConnection) -> Vec<String> {
    let tables = "
        select format('%I.%I', n.nspname, c.relname)
        from pg_class c join pg_namespace n on n.oid = c.relnamespace
        where c.relkind in ('r', 'p') and n.nspname not in ('pg_catalog', 'information_schema')
          and not exists (select from pg_attribute a
                          where a.attrelid = c.oid and a.attname = 'tenant_id' and not a.attisdropped)
        order by 1";
    sqlx::query_scalar(tables).fetch_all(owner).await.unwrap()
}
