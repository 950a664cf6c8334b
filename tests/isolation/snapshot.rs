//! A tenant's data as they are: to see that nobody changed them.

use std::collections::{BTreeMap, BTreeSet};

use sqlx::{AssertSqlSafe, PgConnection};

use crate::{
    report::{Fault, Report},
    stage::{Stage, quiet},
};

/// Columns that move without anyone changing anything.
const RESTLESS: &str = "'{last_used_at, published_seq}'::text[]";

/// Alpha's rows of each table, as JSON.
pub struct Snapshot(BTreeMap<String, BTreeSet<String>>);

impl Snapshot {
    pub async fn of(stage: &Stage) -> Self {
        let mut owner = stage.owner().await;
        quiet(&stage.kernel, &mut owner).await;
        let mut tables = BTreeMap::new();
        for table in &stage.tables {
            let restless = match table.name.as_str() {
                // The kernel itself tells of the audit trail's head from time to time.
                "kernel.event" => " and type not like 'audit.%'",
                // Events are counted some time after they were told.
                "billing.usage" => " and what <> 'events'",
                _ => "",
            };
            let rows = format!("tenant_id = '{}'{restless}", stage.alpha.id);
            tables.insert(table.name.clone(), rows_of(&mut owner, &table.name, &rows).await);
        }
        for name in without_tenant(&mut owner).await {
            let rows = format!(
                "to_jsonb(t)::text like '%{}%' or to_jsonb(t)::text like '%{}%'",
                stage.alpha.id, stage.alpha.mark
            );
            tables.insert(name.clone(), rows_of(&mut owner, &name, &rows).await);
        }
        Self(tables)
    }

    pub fn expect_same(&self, after: &Self, report: &mut Report) {
        const CASE: &str = "a table's rows of Alpha are as before";
        for (table, before) in &self.0 {
            let now = &after.0[table];
            let (gone, new) = (before.difference(now).next(), now.difference(before).next());
            let told = format!(
                "there were {} rows, now {}; before: {gone:?}; now: {new:?}",
                before.len(),
                now.len()
            );
            report.tried(
                CASE,
                (before != now).then(|| Fault { case: CASE, at: table.clone(), told, leak: false }),
            );
        }
    }
}

async fn rows_of(owner: &mut PgConnection, table: &str, rows: &str) -> BTreeSet<String> {
    let rows = format!("select (to_jsonb(t) - {RESTLESS})::text from {table} t where {rows}");
    let rows: Vec<String> = sqlx::query_scalar(AssertSqlSafe(rows)).fetch_all(owner).await.unwrap();
    rows.into_iter().collect()
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
