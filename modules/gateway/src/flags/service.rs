use fabric::postgres::{Audit, Event, Json, violated};
use flags::{Definition, Effective, Flag};
use kernel::{Ctx, Error, FieldCode, FieldError, Result, Slug};
use ports::http::{Page, page_size};
use serde::Serialize;
use serde_json::Value;
use uuid::Uuid;

use super::{
    FeatureFlags, NAME,
    http::own::{FlagIn, FlagOut, FlagPatch, FlagsQuery},
    store::{self, FlagRow},
};

/// Flags of its own that a tenant may have.
const MOST_FLAGS: i64 = 200;
/// Characters of a key.
const MOST_KEY: usize = 100;
/// Bytes of a definition.
const MOST_DEFINITION: usize = 64 * 1024;

const LIST: &str = "flags";
const ENTITY: &str = "flag";

/// `flags.flag.changed`: a tenant's own flag was made, changed or removed.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct FlagChanged<'a> {
    flag_id: Uuid,
    key: &'a str,
    change: &'static str,
}

impl FeatureFlags {
    /// What holds for the caller's tenant.
    ///
    /// # Errors
    /// What the database says.
    pub(super) async fn effective(&self, cx: &Ctx) -> Result<Effective> {
        self.flags.of(cx).await
    }

    /// The tenant's own flags by key.
    ///
    /// # Errors
    /// `invalid-cursor`, `validation-error`.
    pub(super) async fn own_flags(&self, cx: &Ctx, query: &FlagsQuery) -> Result<Page<FlagOut>> {
        let tenant = cx.tenant().ok();
        let limit = page_size(query.limit)?;
        let list = format!("{LIST} {}", query.key.as_deref().unwrap_or_default());
        let after =
            query.cursor.as_deref().map(|cursor| self.cursor.read(tenant, &list, cursor)).transpose()?;
        let rows = store::list(&self.db.tenant(cx)?, query.key.as_deref(), after, limit).await?;
        let page = Page::cut(rows, limit, |last| self.cursor.write(tenant, &list, &last.key));
        Ok(page.map(|row| self.shown(row)))
    }

    /// One of them.
    ///
    /// # Errors
    /// `not-found`.
    pub(super) async fn own_flag(&self, cx: &Ctx, id: Uuid) -> Result<FlagOut> {
        let row = store::read(&self.db.tenant(cx)?, id).await?;
        row.map(|row| self.shown(row)).ok_or_else(|| Error::not_found(ENTITY))
    }

    /// Gives the tenant a flag of its own; it goes before the installation's flag of this key.
    ///
    /// # Errors
    /// `validation-error`, `already-exists`, `limit-exceeded`.
    pub(super) async fn create_flag(&self, cx: &Ctx, new: FlagIn) -> Result<FlagOut> {
        check_key(&new.key)?;
        let row = FlagRow {
            id: Uuid::now_v7(),
            key: new.key,
            definition: Json(checked(new.definition)?),
            created_at: cx.now(),
            updated_at: cx.now(),
            version: 1,
        };
        let mut tx = self.db.tenant(cx)?.begin().await?;
        if !store::add(&mut tx, &row, MOST_FLAGS).await.map_err(key_taken)? {
            let detail = format!("A tenant has at most {MOST_FLAGS} flags of its own; remove one.");
            return Err(Error::new(Slug::LimitExceeded, detail));
        }
        tx.event(changed(&row, "created")?)?;
        let out = self.shown(row);
        tx.audit(Audit::new("flag.created", ENTITY, out.id).after(&out))?;
        let out = tx.commit(out).await?;
        self.tenants.forget();
        Ok(out)
    }

    /// Gives a flag another definition.
    ///
    /// # Errors
    /// `not-found`, `precondition-failed`, `validation-error`.
    pub(super) async fn update_flag(
        &self,
        cx: &Ctx,
        id: Uuid,
        patch: FlagPatch,
        seen: Option<i32>,
    ) -> Result<FlagOut> {
        let definition = patch.definition.map(checked).transpose()?;
        let mut tx = self.db.tenant(cx)?.begin().await?;
        let mut row = store::lock(&mut tx, id).await?.ok_or_else(|| Error::not_found(ENTITY))?;
        expect_version(seen, row.version)?;
        let before = self.shown(row.clone());
        if let Some(definition) = definition {
            row.definition = Json(definition);
        }
        row.version += 1;
        row.updated_at = cx.now();
        store::change(&mut tx, &row).await?;
        tx.event(changed(&row, "updated")?)?;
        let out = self.shown(row);
        tx.audit(Audit::new("flag.updated", ENTITY, id).before(&before).after(&out))?;
        let out = tx.commit(out).await?;
        self.tenants.forget();
        Ok(out)
    }

    /// Takes a flag away; the installation's flag of this key holds again.
    ///
    /// # Errors
    /// `not-found`, `precondition-failed`.
    pub(super) async fn delete_flag(&self, cx: &Ctx, id: Uuid, seen: Option<i32>) -> Result<()> {
        let mut tx = self.db.tenant(cx)?.begin().await?;
        let row = store::lock(&mut tx, id).await?.ok_or_else(|| Error::not_found(ENTITY))?;
        expect_version(seen, row.version)?;
        store::remove(&mut tx, id).await?;
        tx.event(changed(&row, "deleted")?)?;
        tx.audit(Audit::new("flag.deleted", ENTITY, id).before(&self.shown(row)))?;
        tx.commit(()).await?;
        self.tenants.forget();
        Ok(())
    }

    fn shown(&self, row: FlagRow) -> FlagOut {
        FlagOut {
            overrides: self.flags.file().flags().get(&row.key).is_some(),
            id: row.id,
            key: row.key,
            definition: row.definition.0,
            created_at: row.created_at,
            updated_at: row.updated_at,
            version: row.version,
        }
    }
}

fn changed(row: &FlagRow, change: &'static str) -> Result<Event> {
    Event::new(NAME, "flags.flag.changed", row.id, &FlagChanged { flag_id: row.id, key: &row.key, change })
}

fn check_key(key: &str) -> Result<()> {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | ':');
    if (1..=MOST_KEY).contains(&key.len()) && key.chars().all(fits) {
        return Ok(());
    }
    let message = format!("takes 1 to {MOST_KEY} letters, digits, hyphens, underscores, dots and colons");
    Err(Error::field("/key", FieldCode::InvalidFormat, message))
}

/// A definition that can be evaluated.
fn checked(definition: Definition) -> Result<Value> {
    let flag = Flag::new(definition).map_err(|faults| {
        let fields = faults.into_iter().take(50).map(|fault| {
            FieldError::new(format!("/definition{}", fault.pointer), FieldCode::NotAllowed, fault.message)
        });
        Error::new(Slug::ValidationError, "The flag can't be evaluated as it is.")
            .with_fields(fields.collect())
    })?;
    let definition = serde_json::to_value(flag.definition()).map_err(Error::internal)?;
    if definition.to_string().len() > MOST_DEFINITION {
        let message = format!("takes at most {} KB", MOST_DEFINITION / 1024);
        return Err(Error::field("/definition", FieldCode::TooLong, message));
    }
    Ok(definition)
}

fn expect_version(seen: Option<i32>, version: i32) -> Result<()> {
    match seen {
        Some(seen) if seen != version => Err(Error::new(
            Slug::PreconditionFailed,
            format!("The flag is at version {version} by now; read it again before you change it."),
        )),
        _ => Ok(()),
    }
}

fn key_taken(error: Error) -> Error {
    if violated(&error) == Some("flag_by_key") {
        let field =
            FieldError::new("/key", FieldCode::NotAllowed, "is the key of another flag of the tenant");
        return Error::new(Slug::AlreadyExists, "The tenant has a flag of this key; change that one.")
            .with_fields(vec![field])
            .because(error);
    }
    error
}
