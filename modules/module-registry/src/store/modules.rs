//! Modules of the sandbox. Read and written by the system alone: no tenant owns them.

use std::collections::BTreeMap;

use fabric::postgres::{FromRow, Handle, Json, Tx};
use kernel::{Error, ModuleId, Result, Slug, TenantId, Timestamp};
use uuid::Uuid;

use crate::{
    manifest::Manifest,
    model::{Applied, Neighbour},
};

/// A module's row.
#[derive(FromRow)]
pub struct ModuleRow {
    pub slug: String,
    pub id: ModuleId,
    pub name: String,
    pub version: String,
    pub state: String,
    pub manifest: Json<Manifest>,
    pub backend_url: Option<String>,
    pub content_hash: Vec<u8>,
    pub revision: i64,
    pub announced: bool,
    pub registered_at: Timestamp,
    pub updated_at: Timestamp,
    pub purge_after: Option<Timestamp>,
    /// Whether the tenant asked for has it; none when it hasn't.
    pub enabled: Option<bool>,
    pub installed_at: Option<Timestamp>,
}

impl ModuleRow {
    pub fn active(&self) -> bool {
        self.state == "active"
    }
}

/// How an address names a module: by slug or by id.
pub fn key(text: &str) -> (Option<&str>, Option<Uuid>) {
    match Uuid::try_parse(text) {
        Ok(id) => (None, Some(id)),
        Err(_) => (Some(text), None),
    }
}

/// One statement, on a handle or in a transaction.
macro_rules! one_module {
    ($on:expr, $named:expr, $tenant:expr) => {{
        let (slug, id) = key($named);
        $on.query(fabric::sql!(
            "select m.slug, m.id, m.name, m.version, m.state, m.manifest, m.backend_url, m.content_hash, m.revision,
                    m.announced, m.registered_at, m.updated_at, m.purge_after, i.enabled, i.installed_at
             from registry.module m
             left join registry.installation i on i.slug = m.slug and i.tenant_id = $3
             where m.slug = $1 or m.id = $2"
        ))
        .bind(slug)
        .bind(id)
        .bind($tenant)
        .optional()
        .await
    }};
}

/// A module with what `tenant` has of it.
pub async fn find(db: &Handle, named: &str, tenant: Option<TenantId>) -> Result<Option<ModuleRow>> {
    one_module!(db, named, tenant)
}

/// The same, as a transaction sees it.
pub async fn find_in(tx: &mut Tx, named: &str, tenant: Option<TenantId>) -> Result<Option<ModuleRow>> {
    one_module!(tx, named, tenant)
}

/// Active modules after `after`, by slug.
pub async fn list(
    db: &Handle,
    after: Option<&str>,
    tenant: Option<TenantId>,
    most: i64,
) -> Result<Vec<ModuleRow>> {
    db.query(fabric::sql!(
        "select m.slug, m.id, m.name, m.version, m.state, m.manifest, m.backend_url, m.content_hash, m.revision,
                m.announced, m.registered_at, m.updated_at, m.purge_after, i.enabled, i.installed_at
         from registry.module m
         left join registry.installation i on i.slug = m.slug and i.tenant_id = $2
         where m.state = 'active' and ($1::text is null or m.slug > $1)
         order by m.slug limit $3"
    ))
    .bind(after)
    .bind(tenant)
    .bind(most)
    .all()
    .await
}

/// Takes the right to register or remove the module, for the time of the transaction; false when another has it.
pub async fn try_lock(tx: &mut Tx, slug: &str) -> Result<bool> {
    tx.query(fabric::sql!("select pg_try_advisory_xact_lock(hashtextextended('registry ' || $1, 0))"))
        .bind(slug)
        .value()
        .await
}

#[derive(FromRow)]
struct NeighbourRow {
    name: String,
    version: String,
    dependencies: Json<BTreeMap<String, String>>,
}

/// Every active module, as far as dependencies go.
pub async fn neighbours(tx: &mut Tx) -> Result<Vec<Neighbour>> {
    let rows: Vec<NeighbourRow> = tx
        .query(fabric::sql!(
            "select name, version, coalesce(manifest -> 'dependencies', '{}') as dependencies
             from registry.module where state = 'active'"
        ))
        .all()
        .await?;
    let neighbour = |NeighbourRow { name, version, dependencies: Json(dependencies) }| Neighbour {
        name,
        version,
        dependencies,
    };
    Ok(rows.into_iter().map(neighbour).collect())
}

/// What the module's schema holds.
pub async fn applied(tx: &mut Tx, slug: &str) -> Result<Vec<Applied>> {
    let rows: Vec<(i64, String, Vec<u8>)> = tx
        .query(fabric::sql!(
            "select number, file, hash from registry.applied_migration where slug = $1 order by number"
        ))
        .bind(slug)
        .all()
        .await?;
    Ok(rows.into_iter().map(|(number, file, hash)| Applied { number, file, hash }).collect())
}

/// Makes the rows under `ticket` the present, for a module without SQL.
pub async fn adopt(tx: &mut Tx, ticket: Uuid) -> Result<i64> {
    tx.query(fabric::sql!("select registry.adopt($1)")).bind(ticket).value().await
}

/// Whether the module is what this attempt made it.
pub async fn is_of_attempt(db: &Handle, slug: &str, attempt: Uuid) -> Result<bool> {
    db.query(fabric::sql!(
        "select exists (select 1 from registry.module where slug = $1 and attempt_id = $2)"
    ))
    .bind(slug)
    .bind(attempt)
    .value()
    .await
}

/// Notes that event and audit record go with this transaction; false when they were left before.
pub async fn mark_announced(tx: &mut Tx, slug: &str) -> Result<bool> {
    let rows = tx
        .query(fabric::sql!("update registry.module set announced = true where slug = $1 and not announced"))
        .bind(slug)
        .run()
        .await?;
    Ok(rows == 1)
}

/// Modules whose registration was committed and not told of, because the process ended in between.
pub async fn unannounced(db: &Handle) -> Result<Vec<String>> {
    let rows: Vec<(String,)> = db
        .query(fabric::sql!("select slug from registry.module where not announced order by slug limit 100"))
        .all()
        .await?;
    Ok(rows.into_iter().map(|(slug,)| slug).collect())
}

/// How many tenants have it.
pub async fn installed_in(tx: &mut Tx, slug: &str) -> Result<i64> {
    tx.query(fabric::sql!("select count(*) from registry.installation where slug = $1"))
        .bind(slug)
        .value()
        .await
}

/// Takes the module out of service; its tables stay until then. Its installations end, and count no more.
pub async fn unregister(tx: &mut Tx, slug: &str, purge_after: Timestamp) -> Result<()> {
    tx.query(fabric::sql!(
        "with gone as (delete from registry.installation where slug = $1 returning tenant_id),
              returned as (update kernel.allowance a set used = greatest(a.used - 1, 0)
                           from gone where a.tenant_id = gone.tenant_id and a.name = 'modules')
         update registry.module
         set state = 'unregistered', purge_after = $2, updated_at = kernel.now(), announced = true,
             revision = nextval('registry.revision')
         where slug = $1"
    ))
    .bind(slug)
    .bind(purge_after)
    .run()
    .await
    .map(drop)
}

/// Removes the module and its tables.
pub async fn purge(tx: &mut Tx, slug: &str) -> Result<()> {
    let gone = tx.query(fabric::sql!("select registry.purge($1)")).bind(slug).run().await;
    gone.map(drop).map_err(|error| {
        if is_lock_timeout(&error) {
            return Error::new(Slug::Conflict, "The module's tables are in use; try again in a moment.")
                .because(error);
        }
        error
    })
}

/// lock_not_available: somebody works on a table for longer than the function waits.
fn is_lock_timeout(error: &Error) -> bool {
    let source = std::error::Error::source(error).and_then(|source| source.downcast_ref::<sqlx::Error>());
    source.and_then(|error| error.as_database_error()).is_some_and(|db| db.code().as_deref() == Some("55P03"))
}

/// Unregistered modules whose data have been kept long enough.
pub async fn overdue(db: &Handle, now: Timestamp) -> Result<Vec<String>> {
    let rows: Vec<(String,)> = db
        .query(fabric::sql!(
            "select slug from registry.module where state = 'unregistered' and purge_after <= $1 order by slug limit 100"
        ))
        .bind(now)
        .all()
        .await?;
    Ok(rows.into_iter().map(|(slug,)| slug).collect())
}

/// A version's row.
#[derive(FromRow)]
pub struct VersionRow {
    pub version: String,
    pub files: Json<Vec<String>>,
    pub registered_by: String,
    pub registered_at: Timestamp,
}

/// The versions that were registered, newest registration first.
pub async fn versions(
    db: &Handle,
    slug: &str,
    before: Option<(Timestamp, &str)>,
    most: i64,
) -> Result<Vec<VersionRow>> {
    let (at, version) = before.unzip();
    db.query(fabric::sql!(
        "select v.version, coalesce((select jsonb_agg(f ->> 'file') from jsonb_array_elements(v.migrations) f), '[]') as files,
                v.registered_by, v.registered_at
         from registry.module_version v
         where v.slug = $1 and ($2::timestamptz is null or (v.registered_at, v.version) < ($2, $3))
         order by v.registered_at desc, v.version desc limit $4"
    ))
    .bind(slug)
    .bind(at)
    .bind(version)
    .bind(most)
    .all()
    .await
}

/// Everything a snapshot is made of, from one look at the database.
#[derive(FromRow)]
pub struct SnapshotRow {
    pub version: i64,
    pub modules: Json<Vec<SnapshotModule>>,
    pub installed: Json<Vec<(TenantId, String)>>,
}

/// An active module in a snapshot.
#[derive(serde::Deserialize)]
pub struct SnapshotModule {
    pub slug: String,
    pub id: ModuleId,
    pub manifest: Manifest,
    pub backend_url: Option<String>,
    pub revision: i64,
}

/// The number that grows with every change.
pub async fn snapshot_version(db: &Handle) -> Result<i64> {
    db.query(fabric::sql!("select version from registry.snapshot_version")).value().await
}

/// See [`SnapshotRow`].
pub async fn snapshot(db: &Handle) -> Result<SnapshotRow> {
    db.query(fabric::sql!(
        "select v.version,
                (select coalesce(jsonb_agg(jsonb_build_object('slug', m.slug, 'id', m.id, 'manifest', m.manifest,
                                                              'backend_url', m.backend_url, 'revision', m.revision)
                                           order by m.slug), '[]')
                 from registry.module m where m.state = 'active') as modules,
                (select coalesce(jsonb_agg(jsonb_build_array(i.tenant_id, i.slug) order by i.tenant_id, i.slug), '[]')
                 from registry.installation i join registry.module m on m.slug = i.slug
                 where i.enabled and m.state = 'active') as installed
         from registry.snapshot_version v"
    ))
    .one()
    .await
}
