//! Keys with which programs act for a tenant.

use fabric::postgres::Audit;
use kernel::{ApiKeyId, Ctx, Error, FieldCode, Result, Slug, Timestamp, check::Checks};
use ports::http::{Page, Paging, page_size};

use crate::{
    Iam,
    api_key_text::NewKey,
    generations::Subject,
    http::api_keys::{ApiKeyIn, ApiKeyOut, NewApiKeyOut},
    model::{KeyState, MOST_KEYS},
    store::api_keys::{self, KeyRow},
};

const MOST_NAME: usize = 120;

impl Iam {
    /// The keys, the newest first, revoked ones too.
    ///
    /// # Errors
    /// `invalid-cursor`, `validation-error`.
    pub async fn api_keys(&self, cx: &Ctx, paging: &Paging) -> Result<Page<ApiKeyOut>> {
        let tenant = cx.tenant().ok();
        let limit = page_size(paging.limit)?;
        let after: Option<(i64, ApiKeyId)> = paging
            .cursor
            .as_deref()
            .map(|cursor| self.cursors.read(tenant, "api-keys", cursor))
            .transpose()?;
        let after = after.and_then(|(at, id)| Some((Timestamp::from_micros(at)?, id)));
        let rows = api_keys::list(&self.db.tenant(cx)?, after, limit).await?;
        let page = Page::cut(rows, limit, |last| {
            self.cursors.write(tenant, "api-keys", &(last.created_at.micros(), last.id))
        });
        Ok(page.map(ApiKeyOut::from))
    }

    /// Makes a key with permissions of its own, none of which its maker lacks. It is shown this once.
    ///
    /// # Errors
    /// `validation-error`; `forbidden` for a permission that the caller lacks; `limit-exceeded` at 200 keys.
    pub async fn create_api_key(&self, cx: &Ctx, input: ApiKeyIn) -> Result<NewApiKeyOut> {
        let now = cx.now();
        let mut permissions = input.permissions;
        permissions.sort();
        permissions.dedup();
        let mut checks = Checks::new();
        checks.length("/name", input.name.trim(), 1, MOST_NAME);
        checks.ensure(!permissions.is_empty(), "/permissions", FieldCode::Required, "must name at least one");
        let later = input.expires_at.is_none_or(|end| end > now);
        checks.ensure(later, "/expiresAt", FieldCode::OutOfRange, format!("must be later than {now}"));
        checks.finish()?;
        let giver = self.giver(cx).await?;
        giver.catalogue().check(&permissions, giver.permissions(), true)?;
        let new = NewKey::make(cx);
        let row = KeyRow {
            id: ApiKeyId::new(),
            name: input.name.trim().to_owned(),
            prefix: new.prefix,
            permissions,
            state: KeyState::Active,
            expires_at: input.expires_at,
            last_used_at: None,
            created_by: cx.actor().name(),
            created_at: now,
            revoked_at: None,
        };
        let mut tx = self.db.tenant(cx)?.begin().await?;
        if !api_keys::add(&mut tx, &row, &new.hash, MOST_KEYS).await? {
            let detail = format!("A tenant takes {MOST_KEYS} keys; revoke one that is not needed.");
            return Err(Error::new(Slug::LimitExceeded, detail));
        }
        let key = ApiKeyOut::from(row);
        tx.audit(Audit::new("apikey.created", "apikey", key.id).after(&key))?;
        tx.commit(NewApiKeyOut { key: new.text, details: key }).await
    }

    /// Ends a key, from this moment on.
    ///
    /// # Errors
    /// `not-found` when there is none that could be revoked.
    pub async fn revoke_api_key(&self, cx: &Ctx, id: ApiKeyId) -> Result<()> {
        let mut tx = self.db.tenant(cx)?.begin().await?;
        let Some(name) = api_keys::revoke(&mut tx, id, cx.now()).await? else {
            return Err(Error::not_found("API key"));
        };
        tx.audit(
            Audit::new("apikey.revoked", "apikey", id).description(format!("The key {name:?} was revoked.")),
        )?;
        tx.commit(()).await?;
        self.memory.changed(Subject::Key(id));
        Ok(())
    }
}
