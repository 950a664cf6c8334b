//! All SQL of the service.

use fabric::{
    postgres::{Database, FromRow, Tx, violated},
    sql, words,
};
use kernel::{Ctx, Error, Result, Slug, Timestamp};

use crate::registry::DomainId;

words! {
    /// How a domain stands.
    pub enum Status {
        /// The proof is looked for.
        Pending = "pending",
        /// It leads to its tenant.
        Verified = "verified",
        /// The proof did not come in time, or the name is another tenant's.
        Failed = "failed",
    }
}

/// A domain as it is kept.
#[derive(Debug, Clone, FromRow)]
pub(crate) struct DomainRow {
    pub id: DomainId,
    pub hostname: String,
    pub status: Status,
    pub token: String,
    pub seen: Option<String>,
    pub seen_at: Option<Timestamp>,
    pub created_at: Timestamp,
    pub ends_at: Timestamp,
    pub verified_at: Option<Timestamp>,
}

/// Most domains of a tenant.
const MOST_DOMAINS: i64 = 100;

/// Adds a domain.
///
/// Errors: already-exists, limit-exceeded.
pub(crate) async fn insert(
    tx: &mut Tx,
    hostname: &str,
    token: &str,
    ends_at: Timestamp,
) -> Result<DomainRow> {
    let made: Result<Option<DomainRow>> = tx
        .query(sql!(
            "insert into domain.hostname (tenant_id, id, hostname, token, ends_at) \
             select $1, $2, $3, $4, $5 \
             where (select count(*) from domain.hostname d where kernel.owns($1, d.tenant_id)) < $6 \
             returning id, hostname, status, token, seen, seen_at, created_at, ends_at, verified_at"
        ))
        .bind(DomainId::new())
        .bind(hostname)
        .bind(token)
        .bind(ends_at)
        .bind(MOST_DOMAINS)
        .optional()
        .await;
    match made {
        Ok(Some(row)) => Ok(row),
        Ok(None) => Err(Error::new(
            Slug::LimitExceeded,
            format!("A tenant has at most {MOST_DOMAINS} domains; delete one that is not used."),
        )),
        Err(error) if violated(&error) == Some("hostname_by_name") => {
            Err(Error::new(Slug::AlreadyExists, format!("{hostname} was added already.")).because(error))
        }
        Err(error) => Err(error),
    }
}

/// A domain.
pub(crate) async fn get(db: &Database, cx: &Ctx, id: DomainId) -> Result<Option<DomainRow>> {
    db.tenant(cx)?
        .query(sql!(
            "select d.id, d.hostname, d.status, d.token, d.seen, d.seen_at, d.created_at, d.ends_at, d.verified_at \
             from domain.hostname d where kernel.owns($1, d.tenant_id) and d.id = $2"
        ))
        .bind(id)
        .optional()
        .await
}

/// A domain, held until the transaction ends.
pub(crate) async fn lock(tx: &mut Tx, id: DomainId) -> Result<Option<DomainRow>> {
    tx.query(sql!(
        "select d.id, d.hostname, d.status, d.token, d.seen, d.seen_at, d.created_at, d.ends_at, d.verified_at \
         from domain.hostname d where kernel.owns($1, d.tenant_id) and d.id = $2 for update"
    ))
    .bind(id)
    .optional()
    .await
}

/// Domains by name, from behind `after`.
pub(crate) async fn list(
    db: &Database,
    cx: &Ctx,
    after: Option<String>,
    most: usize,
) -> Result<Vec<DomainRow>> {
    db.tenant(cx)?
        .query(sql!(
            "select d.id, d.hostname, d.status, d.token, d.seen, d.seen_at, d.created_at, d.ends_at, d.verified_at \
             from domain.hostname d \
             where kernel.owns($1, d.tenant_id) and ($2::text is null or d.hostname > $2) \
             order by d.hostname limit $3"
        ))
        .bind(after)
        .bind(i64::try_from(most).unwrap_or(i64::MAX))
        .all()
        .await
}

/// The hostnames that lead to the tenant; all of them, for there are few.
pub(crate) async fn verified(db: &Database, cx: &Ctx) -> Result<Vec<String>> {
    let names: Vec<(String,)> = db
        .tenant(cx)?
        .query(sql!(
            "select d.hostname from domain.hostname d \
             where kernel.owns($1, d.tenant_id) and d.status = 'verified' order by d.hostname"
        ))
        .all()
        .await?;
    Ok(names.into_iter().map(|(name,)| name).collect())
}

/// Notes what was seen, and how the domain stands for it.
pub(crate) async fn see(tx: &mut Tx, id: DomainId, status: Status, seen: Option<&str>) -> Result<DomainRow> {
    tx.query(sql!(
        "update domain.hostname d \
         set status = $3, seen = $4, seen_at = kernel.now(), \
             verified_at = case when $3 = 'verified' then coalesce(d.verified_at, kernel.now()) end \
         where kernel.owns($1, d.tenant_id) and d.id = $2 \
         returning id, hostname, status, token, seen, seen_at, created_at, ends_at, verified_at"
    ))
    .bind(id)
    .bind(status)
    .bind(seen)
    .one()
    .await
}

/// Removes a domain.
pub(crate) async fn delete(tx: &mut Tx, id: DomainId) -> Result<()> {
    tx.query(sql!("delete from domain.hostname d where kernel.owns($1, d.tenant_id) and d.id = $2"))
        .bind(id)
        .run()
        .await
        .map(drop)
}

/// Removes all domains of a tenant; says which.
pub(crate) async fn purge(tx: &mut Tx) -> Result<Vec<DomainId>> {
    let gone: Vec<(DomainId,)> = tx
        .query(sql!("delete from domain.hostname d where kernel.owns($1, d.tenant_id) returning d.id"))
        .all()
        .await?;
    Ok(gone.into_iter().map(|(id,)| id).collect())
}
