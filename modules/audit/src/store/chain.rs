//! The chain: its head, its records, and what waits for a place in it.

use fabric::postgres::{FromRow, Handle, Json, Tx};
use kernel::{AuditId, Result, TenantId, Timestamp, UserId};
use serde_json::Value;
use uuid::Uuid;

use crate::{
    canonical::{Hash, Hashed, VERSION},
    chain::Chained,
};

/// Number and hash of a tenant's last chained record.
#[derive(Debug, Clone, PartialEq, Eq, FromRow)]
pub struct Head {
    /// 0 when nothing is chained yet.
    pub seq: i64,
    /// SHA-256.
    pub hash: Vec<u8>,
}

/// The tenant's head.
pub async fn head(handle: &Handle) -> Result<Option<Head>> {
    handle
        .query(fabric::sql!("select seq, hash from kernel.audit_head where kernel.owns($1, tenant_id)"))
        .optional()
        .await
}

/// How many records wait for their place in the chain, counted to `most`.
pub async fn pending(handle: &Handle, most: i64) -> Result<i64> {
    handle
        .query(fabric::sql!(
            "select count(*) from (select 1 from kernel.audit_record
                                   where kernel.owns($1, tenant_id) and seq is null limit $2) waiting"
        ))
        .bind(most)
        .value()
        .await
}

/// The hash of the record at a place.
pub async fn hash_at(handle: &Handle, seq: i64) -> Result<Option<Vec<u8>>> {
    handle
        .query(fabric::sql!(
            "select hash from kernel.audit_record where kernel.owns($1, tenant_id) and seq = $2"
        ))
        .bind(seq)
        .optional_value()
        .await
}

/// Whether a record stands at a place or behind it.
pub async fn reaches(handle: &Handle, seq: i64) -> Result<bool> {
    handle
        .query(fabric::sql!(
            "select exists (select from kernel.audit_record where kernel.owns($1, tenant_id) and seq >= $2)"
        ))
        .bind(seq)
        .value()
        .await
}

/// What is hashed of a record, as it is read; `seq` and `hash` are set when it is chained.
#[derive(FromRow)]
struct HashedRow {
    seq: Option<i64>,
    hash: Option<Vec<u8>>,
    version: i16,
    id: AuditId,
    at: Timestamp,
    action: String,
    entity_type: String,
    entity_id: String,
    actor_kind: String,
    actor: String,
    user_id: Option<UserId>,
    trace_id: Option<String>,
    description: Option<String>,
    before: Option<String>,
    after: Option<String>,
    metadata: Option<String>,
    commitments: String,
    personal: Json<Value>,
}

impl HashedRow {
    fn split(self) -> Chained {
        Chained {
            seq: self.seq.unwrap_or_default(),
            hash: self.hash.unwrap_or_default(),
            version: self.version,
            personal: self.personal.0,
            hashed: Hashed {
                id: self.id,
                at: self.at,
                action: self.action,
                entity_type: self.entity_type,
                entity_id: self.entity_id,
                actor_kind: self.actor_kind,
                actor: self.actor,
                user_id: self.user_id,
                trace_id: self.trace_id,
                description: self.description,
                before: self.before,
                after: self.after,
                metadata: self.metadata,
                commitments: self.commitments,
            },
        }
    }
}

/// Chained records from one place to another, both included: a page, which is also cut at some megabytes.
pub async fn chained(handle: &Handle, from: i64, to: i64) -> Result<Vec<Chained>> {
    let rows: Vec<HashedRow> = handle
        .query(fabric::sql!(
            "select seq, hash, version, id, at, action, entity_type, entity_id, actor_kind, actor, user_id, trace_id,
                    description, before::text as before, after::text as after, metadata::text as metadata,
                    commitments::text as commitments, personal
             from (select r.*, sum(coalesce(pg_column_size(r.before), 0) + coalesce(pg_column_size(r.after), 0)
                                   + coalesce(pg_column_size(r.metadata), 0))
                               over (order by r.seq rows between unbounded preceding and 1 preceding) as before_it
                   from (select * from kernel.audit_record
                         where kernel.owns($1, tenant_id) and seq between $2 and $3
                         order by seq limit 1000) r) r
             where coalesce(r.before_it, 0) < 4000000
             order by r.seq"
        ))
        .bind(from)
        .bind(to)
        .all()
        .await?;
    Ok(rows.into_iter().map(HashedRow::split).collect())
}

/// The first tenant after `after` that has records which wait for their place. (System.)
pub async fn next_waiting(handle: &Handle, after: Uuid) -> Result<Option<TenantId>> {
    handle
        .query(fabric::sql!(
            "select tenant_id from kernel.audit_record where seq is null and tenant_id > $1
             order by tenant_id limit 1"
        ))
        .bind(after)
        .optional_value()
        .await
}

/// Takes the tenant's head, and with it the right to chain, until the transaction ends. (System.)
pub async fn lock_head(tx: &mut Tx, genesis: &Hash) -> Result<Head> {
    tx.query(fabric::sql!(
        "insert into kernel.audit_head as head (tenant_id, seq, hash) values ($1, 0, $2)
         on conflict (tenant_id) do update set seq = head.seq
         returning head.seq, head.hash"
    ))
    .bind(genesis.to_vec())
    .one()
    .await
}

/// The tenant's records that wait for their place, in order of arrival: a page. (System.)
pub async fn waiting(tx: &mut Tx) -> Result<Vec<Hashed>> {
    let rows: Vec<HashedRow> = tx
        .query(fabric::sql!(
            "select seq, hash, version, id, at, action, entity_type, entity_id, actor_kind, actor, user_id, trace_id,
                    description, before::text as before, after::text as after, metadata::text as metadata,
                    commitments::text as commitments, personal
             from (select r.*, sum(coalesce(pg_column_size(r.before), 0) + coalesce(pg_column_size(r.after), 0)
                                   + coalesce(pg_column_size(r.metadata), 0))
                               over (order by r.arrival rows between unbounded preceding and 1 preceding) as before_it
                   from (select * from kernel.audit_record
                         where kernel.owns($1, tenant_id) and seq is null and version = $2
                         order by arrival limit 1000) r) r
             where coalesce(r.before_it, 0) < 4000000
             order by r.arrival"
        ))
        .bind(VERSION)
        .all()
        .await?;
    Ok(rows.into_iter().map(|row| row.split().hashed).collect())
}

/// Gives records their places, moves the head behind them, and tells of them; answers how many got one. (System.)
pub async fn chain(tx: &mut Tx, ids: Vec<AuditId>, seqs: Vec<i64>, hashes: Vec<Vec<u8>>) -> Result<i64> {
    tx.query(fabric::sql!(
        "with chained as (
             update kernel.audit_record r set seq = c.seq, hash = c.hash
             from unnest($2::uuid[], $3::bigint[], $4::bytea[]) as c(id, seq, hash)
             where kernel.owns($1, r.tenant_id) and r.id = c.id and r.seq is null
             returning r.*
         ), head as (
             update kernel.audit_head h set seq = c.seq, hash = c.hash
             from (select seq, hash from chained order by seq desc limit 1) c
             where kernel.owns($1, h.tenant_id)
         ), told as (
             insert into kernel.outbox (id, tenant_id, topic, partition, key, type, source, data, trace_id, at)
             select kernel.new_id(), r.tenant_id, kernel.topic_of('audit.record.appended'),
                    kernel.partition_of(r.entity_id), r.entity_id, 'audit.record.appended', 'audit',
                    jsonb_build_object(
                        'auditId', r.id, 'action', r.action, 'entityType', r.entity_type, 'entityId', r.entity_id,
                        'userId', r.user_id, 'actorKind', r.actor_kind, 'actor', r.actor,
                        'description', r.description, 'traceId', r.trace_id,
                        'timestamp', to_char(r.at at time zone 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"'),
                        'seq', r.seq, 'hash', encode(r.hash, 'hex'))
                    || case when coalesce(pg_column_size(r.before), 0) + coalesce(pg_column_size(r.after), 0)
                                 + coalesce(pg_column_size(r.metadata), 0) > 900000
                            then jsonb_build_object('truncated', true)
                            else jsonb_build_object('before', r.before, 'after', r.after, 'metadata', r.metadata)
                       end,
                    r.trace_id, r.at
             from chained r order by r.seq
         )
         select count(*) from chained"
    ))
        .bind(ids)
    .bind(seqs)
    .bind(hashes)
    .value()
    .await
}

/// A head that was not told to the outside yet.
#[derive(Debug, Clone, FromRow)]
pub struct NewHead {
    /// Whose.
    pub tenant_id: TenantId,
    /// Its number.
    pub seq: i64,
    /// Its hash.
    pub hash: Vec<u8>,
}

/// Heads that moved since they were last told of, by tenant: a page. (System.)
pub async fn new_heads(handle: &Handle, after: Uuid) -> Result<Vec<NewHead>> {
    handle
        .query(fabric::sql!(
            "select tenant_id, seq, hash from kernel.audit_head where seq > published_seq and tenant_id > $1
             order by tenant_id limit 100"
        ))
        .bind(after)
        .all()
        .await
}

/// Notes that heads are told of; answers those tenants for which nobody did so before. (System.)
pub async fn note_published(tx: &mut Tx, tenants: Vec<TenantId>, seqs: Vec<i64>) -> Result<Vec<TenantId>> {
    let noted: Vec<(TenantId,)> = tx
        .query(fabric::sql!(
            "update kernel.audit_head h set published_seq = p.seq
             from unnest($1::uuid[], $2::bigint[]) as p(tenant_id, seq)
             where h.tenant_id = p.tenant_id and h.published_seq < p.seq
             returning h.tenant_id"
        ))
        .bind(tenants)
        .bind(seqs)
        .all()
        .await?;
    Ok(noted.into_iter().map(|(tenant,)| tenant).collect())
}
