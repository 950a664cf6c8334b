//! A tenant's rows in a module's tables, when they are to go.

use std::fmt::Write as _;

use fabric::postgres::{Handle, Tx};
use kernel::{Actor, Ctx, Result};
use serde_json::json;

/// The module's tables, quoted and with their schema, from Postgres' own catalogue.
pub async fn tables(records: &Handle, slug: &str) -> Result<Vec<String>> {
    let rows: Vec<(String,)> = records
        .query(fabric::sql!(
            "select format('%I.%I', n.nspname, c.relname)
             from pg_class c join pg_namespace n on n.oid = c.relnamespace
             where $1::uuid is not null and n.nspname = 'module_' || $2 and c.relkind = 'r'
             order by c.relname"
        ))
        .bind(slug)
        .all()
        .await?;
    Ok(rows.into_iter().map(|(table,)| table).collect())
}

/// Tells the triggers of the module's tables who asked.
pub async fn introduce(tx: &mut Tx, cx: &Ctx) -> Result<()> {
    let mut personal = json!({});
    if let Actor::User { email, .. } = cx.actor() {
        personal["actorEmail"] = json!(email);
    }
    if let Some(address) = cx.client().address {
        personal["ip"] = json!(address);
    }
    let request = json!({
        "trace": cx.trace().trace_id_text(), "actorKind": cx.actor().kind(), "actor": cx.actor().name(),
        "userId": cx.actor().user(), "personal": personal,
    });
    tx.query(fabric::sql!("select set_config('kernel.request', $2, true) where $1::uuid is not null"))
        .bind(request.to_string())
        .run()
        .await
        .map(drop)
}

/// Deletes the tenant's rows from all of `tables`; answers how many.
///
/// One statement, because foreign keys are checked at its end: no order of tables would do for keys in a circle, and
/// `on delete restrict` looks at what other tables hold when all rows are gone.
pub async fn delete_all(tx: &mut Tx, tables: &[String]) -> Result<i64> {
    if tables.is_empty() {
        return Ok(0);
    }
    let mut text = String::from("with ");
    let mut sum = String::new();
    for (index, table) in tables.iter().enumerate() {
        let (comma, plus) = if index == 0 { ("", "") } else { (", ", " + ") };
        // Writing to a String can't fail.
        let _ = write!(
            text,
            "{comma}gone_{index} as (delete from {table} t where kernel.owns($1, t.tenant_id) returning 1)"
        );
        let _ = write!(sum, "{plus}(select count(*) from gone_{index})");
    }
    tx.composed(format!("{text} select {sum}")).value().await
}
