use fabric::postgres::{Audit, Json};
use kernel::{Ctx, Error, FieldCode, FieldError, Result, Slug};
use ports::http::{Page, page_size};

use crate::{
    IntegrationHub, credentials, events,
    http::providers::{Circuit, CredentialsIn, ProviderIn, ProviderOut, ProviderPatch, ProvidersQuery},
    model::{AuthType, Config, ProviderId, ProviderType, Status, check_name, check_url, same_origin, settle},
    store::providers::{self as store, ProviderRow},
    vault::{self, Sealed, Vault},
};

const ENTITY: &str = "integration-provider";

/// The place of a list; also in its cursors.
const LIST: &str = "providers";

/// A provider that a seed names. It has no credentials: no template holds a secret.
#[derive(Debug, Clone)]
pub struct SeedProvider {
    /// Its name.
    pub name: String,
    /// What it is for.
    pub kind: ProviderType,
    /// Its address.
    pub base_url: String,
}

impl IntegrationHub {
    /// Adds a provider.
    ///
    /// Errors: validation-error, already-exists, limit-exceeded.
    pub(crate) async fn create_provider(&self, cx: &Ctx, new: ProviderIn) -> Result<ProviderOut> {
        let mut wrong = Vec::new();
        check_name(&new.name, &mut wrong);
        let base_url = self.url("/baseUrl", &new.base_url, &mut wrong);
        new.config.check(&mut wrong);
        let given = new.credentials.unwrap_or_default();
        let credentials = self.read_credentials(new.auth_type, given, &mut wrong);
        settle(wrong)?;

        let id = ProviderId::new();
        let mut tx = self.db.tenant(cx)?.begin().await?;
        // Every tenant with a provider has a key: dead letters are sealed, too.
        let vault = self.vault(&mut tx).await?;
        let row = ProviderRow {
            id,
            name: new.name,
            kind: new.kind,
            base_url,
            auth_type: new.auth_type,
            credentials: sealed(&vault, id, credentials.as_ref())?,
            config: Json(new.config),
            status: Status::Active,
            version: 1,
            created_at: cx.now(),
            updated_at: cx.now(),
        };
        let made = self.out(store::insert(&mut tx, &row).await?);
        tx.event(events::created(&made)?)?;
        tx.audit(Audit::new("integration.provider.created", ENTITY, id).after(&made))?;
        tx.commit(made).await
    }

    /// Adds a provider of a seed, unless there is one of that name.
    ///
    /// # Errors
    /// `validation-error`, or what the database says.
    pub async fn seed_provider(&self, cx: &Ctx, seed: SeedProvider) -> Result<()> {
        let mut tx = self.db.tenant(cx)?.begin().await?;
        if store::by_name(&mut tx, &seed.name).await?.is_some() {
            return Ok(());
        }
        tx.rollback().await;
        let new = ProviderIn {
            name: seed.name,
            kind: seed.kind,
            base_url: seed.base_url,
            auth_type: AuthType::None,
            credentials: None,
            config: Config::default(),
        };
        self.create_provider(cx, new).await.map(drop)
    }

    /// One provider.
    ///
    /// Errors: not-found.
    pub(crate) async fn provider(&self, cx: &Ctx, id: ProviderId) -> Result<ProviderOut> {
        store::get(&self.db, cx, id).await.map(|row| self.out(row))
    }

    /// Providers by name.
    ///
    /// Errors: invalid-cursor.
    pub(crate) async fn providers(&self, cx: &Ctx, query: &ProvidersQuery) -> Result<Page<ProviderOut>> {
        let most = page_size(query.limit)?;
        let tenant = cx.tenant().ok();
        let after =
            query.cursor.as_deref().map(|cursor| self.cursor.read(tenant, LIST, cursor)).transpose()?;
        let rows = store::list(&self.db, cx, after, most + 1).await?;
        let place = |last: &ProviderRow| self.cursor.write(tenant, LIST, &last.name);
        Ok(Page::cut(rows, most, place).map(|row| self.out(row)))
    }

    /// Changes a provider.
    ///
    /// Errors: not-found, precondition-failed, validation-error (also for credentials that would go to another server),
    /// already-exists.
    pub(crate) async fn update_provider(
        &self,
        cx: &Ctx,
        id: ProviderId,
        version: Option<i32>,
        patch: ProviderPatch,
    ) -> Result<ProviderOut> {
        let mut tx = self.db.tenant(cx)?.begin().await?;
        let before = store::lock(&mut tx, id).await?;
        if version.is_some_and(|version| version != before.version) {
            return Err(Error::new(
                Slug::PreconditionFailed,
                "The provider was changed in the meantime; read it again.",
            ));
        }
        let mut wrong = Vec::new();
        let mut row = before.clone();
        if let Some(name) = patch.name {
            check_name(&name, &mut wrong);
            row.name = name;
        }
        if let Some(base_url) = patch.base_url {
            row.base_url = self.url("/baseUrl", &base_url, &mut wrong);
        }
        if let Some(config) = patch.config {
            config.check(&mut wrong);
            row.config = Json(config);
        }
        row.kind = patch.kind.unwrap_or(row.kind);
        row.status = patch.status.unwrap_or(row.status);
        row.auth_type = patch.auth_type.unwrap_or(row.auth_type);
        let moved = row.auth_type != before.auth_type
            || (row.base_url != before.base_url && !same_origin(&row.base_url, &before.base_url));
        match patch.credentials {
            Some(given) => {
                let read = self.read_credentials(row.auth_type, given, &mut wrong);
                let vault = self.vault(&mut tx).await?;
                row.credentials = sealed(&vault, id, read.as_ref())?;
            }
            None if row.auth_type == AuthType::None => row.credentials = None,
            None if moved => {
                let message =
                    "are needed anew with another authType or another server: the old ones stay behind";
                wrong.push(FieldError::new("/credentials", FieldCode::Required, message));
            }
            None => {}
        }
        settle(wrong)?;
        let (before, after) = (self.out(before), self.out(store::update(&mut tx, &row).await?));
        tx.event(events::updated(&after)?)?;
        tx.audit(Audit::new("integration.provider.updated", ENTITY, id).before(&before).after(&after))?;
        tx.commit(after).await
    }

    /// Removes a provider with its credentials and dead letters.
    ///
    /// Errors: not-found.
    pub(crate) async fn delete_provider(&self, cx: &Ctx, id: ProviderId) -> Result<()> {
        let mut tx = self.db.tenant(cx)?.begin().await?;
        let gone = self.out(store::lock(&mut tx, id).await?);
        store::delete(&mut tx, id).await?;
        tx.event(events::deleted(id, &gone.name)?)?;
        tx.audit(Audit::new("integration.provider.deleted", ENTITY, id).before(&gone))?;
        tx.commit(()).await
    }

    /// An address in the form in which it is kept; what is wrong with it is noted.
    fn url(&self, field: &str, text: &str, wrong: &mut Vec<FieldError>) -> String {
        check_url(&self.dialler, field, text).unwrap_or_else(|error| {
            wrong.push(error);
            text.to_owned()
        })
    }

    fn read_credentials(
        &self,
        kind: AuthType,
        given: CredentialsIn,
        wrong: &mut Vec<FieldError>,
    ) -> Option<credentials::Credentials> {
        let check = |url: &str| check_url(&self.dialler, "/credentials/tokenUrl", url);
        credentials::read(kind, given, check, wrong)
    }

    /// The tenant's vault; the key is made with the first use.
    pub(super) async fn vault(&self, tx: &mut fabric::postgres::Tx) -> Result<Vault> {
        let tenant = tx.cx().tenant()?;
        let wrapped = store::data_key(tx, vault::fresh(self.db.key(), tenant)).await?;
        Vault::open(self.db.key(), tenant, &wrapped)
    }

    fn out(&self, row: ProviderRow) -> ProviderOut {
        ProviderOut {
            credentials_set: row.auth_type == AuthType::None || row.credentials.is_some(),
            circuit_breaker_state: match self.doors.state(row.id, row.version) {
                0 => Circuit::Closed,
                1 => Circuit::HalfOpen,
                _ => Circuit::Open,
            },
            id: row.id,
            name: row.name,
            kind: row.kind,
            base_url: row.base_url,
            auth_type: row.auth_type,
            config: row.config.0,
            status: row.status,
            version: row.version,
            created_at: row.created_at,
            updated_at: row.updated_at,
        }
    }
}

fn sealed(
    vault: &Vault,
    id: ProviderId,
    credentials: Option<&credentials::Credentials>,
) -> Result<Option<Vec<u8>>> {
    let Some(credentials) = credentials else { return Ok(None) };
    let plain = serde_json::to_vec(credentials).map_err(Error::internal)?;
    Ok(Some(vault.seal(Sealed::Credentials(id.uuid()), &plain)))
}
