//! The SQL of providers and of the tenants' keys.

use fabric::{
    postgres::{Database, FromRow, Json, Tx, violated},
    sql,
};
use kernel::{Ctx, Error, Result, Slug, Timestamp};

use crate::model::{AuthType, Config, ProviderId, ProviderType, Status};

/// A provider as it is kept.
#[derive(Debug, Clone, FromRow)]
pub(crate) struct ProviderRow {
    pub id: ProviderId,
    pub name: String,
    #[sqlx(rename = "type")]
    pub kind: ProviderType,
    pub base_url: String,
    pub auth_type: AuthType,
    /// Sealed.
    pub credentials: Option<Vec<u8>>,
    pub config: Json<Config>,
    pub status: Status,
    pub version: i32,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

/// A provider with what a call needs beside it.
#[derive(Debug, Clone, FromRow)]
pub(crate) struct CallableRow {
    #[sqlx(flatten)]
    pub provider: ProviderRow,
    /// The tenant's wrapped key.
    pub wrapped: Option<Vec<u8>>,
    /// Whether this sandbox may speak outward.
    pub may_speak: bool,
}

/// Most providers of a tenant.
pub(crate) const MOST_PROVIDERS: i64 = 200;

/// The tenant's wrapped key; `fresh` becomes it if there is none yet.
pub(crate) async fn data_key(tx: &mut Tx, fresh: Vec<u8>) -> Result<Vec<u8>> {
    // The update changes nothing; it makes the row that is there come back, also one that was made meanwhile.
    tx.query(sql!(
        "insert into integration.data_key as k (tenant_id, wrapped) values ($1, $2) \
         on conflict (tenant_id) do update set wrapped = k.wrapped returning wrapped"
    ))
    .bind(fresh)
    .value()
    .await
}

/// Adds a provider.
///
/// Errors: already-exists, limit-exceeded.
pub(crate) async fn insert(tx: &mut Tx, row: &ProviderRow) -> Result<ProviderRow> {
    let made: Result<Option<ProviderRow>> = tx
        .query(sql!(
            "insert into integration.provider (tenant_id, id, name, type, base_url, auth_type, credentials, config, status) \
             select $1, $2, $3, $4, $5, $6, $7, $8, $9 \
             where (select count(*) from integration.provider p where kernel.owns($1, p.tenant_id)) < $10 \
             returning id, name, type, base_url, auth_type, credentials, config, status, version, created_at, updated_at"
        ))
        .bind(row.id)
        .bind(row.name.clone())
        .bind(row.kind)
        .bind(row.base_url.clone())
        .bind(row.auth_type)
        .bind(row.credentials.clone())
        .bind(row.config.clone())
        .bind(row.status)
        .bind(MOST_PROVIDERS)
        .optional()
        .await;
    match made {
        Ok(Some(row)) => Ok(row),
        Ok(None) => {
            let text =
                format!("A tenant has at most {MOST_PROVIDERS} providers; delete one that is not used.");
            Err(Error::new(Slug::LimitExceeded, text))
        }
        Err(error) => Err(named(&row.name, error)),
    }
}

/// Says which name is taken.
fn named(name: &str, error: Error) -> Error {
    if violated(&error) == Some("provider_by_name") {
        let text = format!("There is a provider \u{201c}{name}\u{201d} already; choose another name.");
        return Error::new(Slug::AlreadyExists, text).because(error);
    }
    error
}

/// A provider, held until the transaction ends.
pub(crate) async fn lock(tx: &mut Tx, id: ProviderId) -> Result<ProviderRow> {
    tx.query(sql!(
        "select p.id, p.name, p.type, p.base_url, p.auth_type, p.credentials, p.config, p.status, p.version, \
                p.created_at, p.updated_at \
         from integration.provider p where kernel.owns($1, p.tenant_id) and p.id = $2 for update"
    ))
    .bind(id)
    .optional()
    .await?
    .ok_or_else(|| Error::not_found("provider"))
}

/// Writes a changed provider.
///
/// Errors: already-exists.
pub(crate) async fn update(tx: &mut Tx, row: &ProviderRow) -> Result<ProviderRow> {
    tx.query(sql!(
        "update integration.provider p \
         set name = $3, type = $4, base_url = $5, auth_type = $6, credentials = $7, config = $8, status = $9, \
             version = p.version + 1, updated_at = kernel.now() \
         where kernel.owns($1, p.tenant_id) and p.id = $2 \
         returning id, name, type, base_url, auth_type, credentials, config, status, version, created_at, updated_at"
    ))
    .bind(row.id)
    .bind(row.name.clone())
    .bind(row.kind)
    .bind(row.base_url.clone())
    .bind(row.auth_type)
    .bind(row.credentials.clone())
    .bind(row.config.clone())
    .bind(row.status)
    .one()
    .await
    .map_err(|error| named(&row.name, error))
}

/// Removes a provider and its dead letters.
pub(crate) async fn delete(tx: &mut Tx, id: ProviderId) -> Result<()> {
    tx.query(sql!("delete from integration.provider p where kernel.owns($1, p.tenant_id) and p.id = $2"))
        .bind(id)
        .run()
        .await
        .map(drop)
}

/// A provider.
pub(crate) async fn get(db: &Database, cx: &Ctx, id: ProviderId) -> Result<ProviderRow> {
    db.tenant(cx)?
        .query(sql!(
            "select p.id, p.name, p.type, p.base_url, p.auth_type, p.credentials, p.config, p.status, p.version, \
                    p.created_at, p.updated_at \
             from integration.provider p where kernel.owns($1, p.tenant_id) and p.id = $2"
        ))
        .bind(id)
        .optional()
        .await?
        .ok_or_else(|| Error::not_found("provider"))
}

/// A provider with what a call needs.
pub(crate) async fn callable(tx: &mut Tx, id: ProviderId) -> Result<CallableRow> {
    tx.query(sql!(
        "select p.id, p.name, p.type, p.base_url, p.auth_type, p.credentials, p.config, p.status, p.version, \
                p.created_at, p.updated_at, \
                (select k.wrapped from integration.data_key k where kernel.owns($1, k.tenant_id)) as wrapped, \
                kernel.may_speak() as may_speak \
         from integration.provider p where kernel.owns($1, p.tenant_id) and p.id = $2"
    ))
    .bind(id)
    .optional()
    .await?
    .ok_or_else(|| Error::not_found("provider"))
}

/// Providers by name, from behind `after`.
pub(crate) async fn list(
    db: &Database,
    cx: &Ctx,
    after: Option<String>,
    most: usize,
) -> Result<Vec<ProviderRow>> {
    db.tenant(cx)?
        .query(sql!(
            "select p.id, p.name, p.type, p.base_url, p.auth_type, p.credentials, p.config, p.status, p.version, \
                    p.created_at, p.updated_at \
             from integration.provider p \
             where kernel.owns($1, p.tenant_id) and ($2::text is null or p.name > $2) order by p.name limit $3"
        ))
        .bind(after)
        .bind(i64::try_from(most).unwrap_or(i64::MAX))
        .all()
        .await
}

/// A provider by its name.
pub(crate) async fn by_name(tx: &mut Tx, name: &str) -> Result<Option<ProviderId>> {
    tx.query(sql!(
        "select p.id from integration.provider p where kernel.owns($1, p.tenant_id) and p.name = $2"
    ))
    .bind(name.to_owned())
    .optional_value()
    .await
}
