//! The personal part of records, which alone is ever changed.

use fabric::postgres::{FromRow, Json, Tx};
use kernel::{AuditId, Result, Timestamp, UserId};
use serde_json::{Map, Value};

use super::Place;

/// A record that concerns a person, with its personal part.
#[derive(FromRow)]
pub struct Concerning {
    /// The record.
    pub id: AuditId,
    /// When.
    pub at: Timestamp,
    /// Whether the person did it.
    pub did_it: bool,
    /// Whether it was done to their account.
    pub is_about_them: bool,
    /// The personal members.
    pub personal: Json<Map<String, Value>>,
}

/// What the person did, money aside, newest first: a page. (System, bound to the tenant.)
pub async fn done_by(tx: &mut Tx, user: UserId, (micros, id): Place) -> Result<Vec<Concerning>> {
    tx.query(fabric::sql!(
        "select id, at, true as did_it, entity_type = 'user' and entity_id = $2::uuid::text as is_about_them, personal
         from kernel.audit_record
         where kernel.owns($1, tenant_id) and user_id = $2 and action not like 'money.%' and (at, id) < ($3, $4)
         order by at desc, id desc limit 1000"
    ))
    .bind(user)
    .bind(Timestamp::from_micros(micros).unwrap_or_else(Timestamp::real))
    .bind(id)
    .all()
    .await
}

/// What was done to the person's account, newest first: a page. (System, bound to the tenant.)
pub async fn done_to(tx: &mut Tx, user: UserId, (micros, id): Place) -> Result<Vec<Concerning>> {
    tx.query(fabric::sql!(
        "select id, at, user_id is not distinct from $2::uuid as did_it, true as is_about_them, personal
         from kernel.audit_record
         where kernel.owns($1, tenant_id) and entity_type = 'user' and entity_id = $2::uuid::text
           and action not like 'money.%' and (at, id) < ($3, $4)
         order by at desc, id desc limit 1000"
    ))
    .bind(user)
    .bind(Timestamp::from_micros(micros).unwrap_or_else(Timestamp::real))
    .bind(id)
    .all()
    .await
}

/// Replaces personal parts. (System, bound to the tenant.)
pub async fn replace_personal(
    tx: &mut Tx,
    ids: Vec<AuditId>,
    personal: Vec<Json<Map<String, Value>>>,
) -> Result<u64> {
    tx.query(fabric::sql!(
        "update kernel.audit_record r set personal = p.personal
         from unnest($2::uuid[], $3::jsonb[]) as p(id, personal)
         where kernel.owns($1, r.tenant_id) and r.id = p.id"
    ))
    .bind(ids)
    .bind(personal)
    .run()
    .await
}
