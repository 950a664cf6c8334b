use fabric::postgres::Audit;
use kernel::{Ctx, Error, FieldCode, Result, Slug};
use ports::http::{Page, page_size};

use crate::{
    EventBus,
    http::schemas::{SchemaIn, SchemaOut, SchemasQuery},
    model, schema,
    store::{self, SchemaRow},
};

impl EventBus {
    /// Registers what the data of a type looks like from a version on.
    ///
    /// Errors: validation-error (also for what would break readers), event-not-declared, already-exists,
    /// limit-exceeded.
    pub(crate) async fn register_schema(&self, cx: &Ctx, new: SchemaIn) -> Result<SchemaOut> {
        model::check_type("", &new.kind)?;
        let version = model::version("/version", &new.version)?;
        let modules = self.modules.snapshot(cx).await?;
        model::may_publish(cx.actor(), cx.tenant()?, &modules, &new.kind)?;
        let shape = self.schemas.check("/schema", new.schema).await?;
        let mut tx = self.db.tenant(cx)?.begin().await?;
        store::take_turn(&mut tx, &new.kind).await?;
        if let Some(newest) = store::newest(&mut tx, &new.kind).await? {
            follows(&newest, &version)?;
            let breaks = schema::breaks("/schema", &newest.schema.0, &shape);
            if !breaks.is_empty() {
                let text = format!(
                    "This would break what reads {} as of version {}: publish the new shape under another type.",
                    new.kind, newest.version
                );
                return Err(Error::new(Slug::ValidationError, text).with_fields(breaks));
            }
        }
        let made = SchemaOut::from(store::insert(&mut tx, &new.kind, &version, &shape).await?);
        tx.audit(Audit::new("event.schema.registered", "event-schema", made.id).after(&made))?;
        tx.commit(made).await
    }

    /// The tenant's schemas by type and version.
    ///
    /// Errors: invalid-cursor.
    pub(crate) async fn list_schemas(&self, cx: &Ctx, query: &SchemasQuery) -> Result<Page<SchemaOut>> {
        let most = page_size(query.limit)?;
        let tenant = cx.tenant().ok();
        let kind = query.kind.as_deref();
        let list = format!("event schemas of {}", kind.unwrap_or("all"));
        let after =
            query.cursor.as_deref().map(|cursor| self.cursor.read(tenant, &list, cursor)).transpose()?;
        let rows = store::list(&self.db, cx, kind, None, after, most + 1).await?;
        let place =
            |last: &SchemaRow| self.cursor.write(tenant, &list, &(&last.kind, numbers(&last.version)));
        Ok(Page::cut(rows, most, place).map(SchemaOut::from))
    }
}

fn numbers(version: &str) -> Vec<i32> {
    version.split('.').filter_map(|number| number.parse().ok()).collect()
}

/// A new version comes behind the newest one.
fn follows(newest: &SchemaRow, version: &semver::Version) -> Result<()> {
    let last = model::version("/version", &newest.version).map_err(Error::internal)?;
    if *version == last {
        let text = format!(
            "Version {version} of {} is registered already; a version is never changed.",
            newest.kind
        );
        return Err(Error::new(Slug::AlreadyExists, text));
    }
    if *version < last {
        let message = format!("is not behind the newest version, {last}");
        return Err(Error::field("/version", FieldCode::OutOfRange, message));
    }
    Ok(())
}

impl From<SchemaRow> for SchemaOut {
    fn from(row: SchemaRow) -> Self {
        Self {
            id: row.id,
            kind: row.kind,
            version: row.version,
            schema: row.schema.0,
            created_at: row.created_at,
        }
    }
}
