//! `notify.preference`: what people want to be told.

use fabric::{
    postgres::{FromRow, Handle, Json, Tx},
    sql,
};
use kernel::{Result, Timestamp, UserId};

use crate::model::preference::{QuietHours, Rule};

/// A person's wishes.
#[derive(Debug, Clone, FromRow)]
pub struct PreferenceRow {
    pub user_id: UserId,
    pub rules: Json<Vec<Rule>>,
    pub quiet: Option<Json<QuietHours>>,
    pub version: i32,
    pub updated_at: Timestamp,
}

/// One person's.
pub async fn read(handle: &Handle, user: UserId) -> Result<Option<PreferenceRow>> {
    handle
        .query(sql!(
            "select user_id, rules, quiet, version, updated_at from notify.preference
             where kernel.owns($1, tenant_id) and user_id = $2"
        ))
        .bind(user)
        .optional()
        .await
}

/// The same, locked until the transaction ends; with nothing there, nothing is locked.
pub async fn lock(tx: &mut Tx, user: UserId) -> Result<Option<PreferenceRow>> {
    tx.query(sql!(
        "select user_id, rules, quiet, version, updated_at from notify.preference
         where kernel.owns($1, tenant_id) and user_id = $2 for update"
    ))
    .bind(user)
    .optional()
    .await
}

/// Those of several people.
pub async fn of(tx: &mut Tx, users: &[UserId]) -> Result<Vec<PreferenceRow>> {
    tx.query(sql!(
        "select user_id, rules, quiet, version, updated_at from notify.preference
         where kernel.owns($1, tenant_id) and user_id = any($2)"
    ))
    .bind(users)
    .all()
    .await
}

/// Keeps a person's wishes. None: somebody else changed them since `seen`.
pub async fn keep(
    tx: &mut Tx,
    user: UserId,
    rules: &[Rule],
    quiet: Option<&QuietHours>,
    seen: i32,
) -> Result<Option<PreferenceRow>> {
    let now = tx.cx().now();
    tx.query(sql!(
        "insert into notify.preference as p (tenant_id, user_id, rules, quiet, updated_at) values ($1, $2, $3, $4, $5)
         on conflict (tenant_id, user_id) do update
             set rules = excluded.rules, quiet = excluded.quiet, updated_at = excluded.updated_at,
                 version = p.version + 1
             where p.version = $6
         returning user_id, rules, quiet, version, updated_at"
    ))
    .bind(user)
    .bind(Json(rules))
    .bind(quiet.map(Json))
    .bind(now)
    .bind(seen)
    .optional()
    .await
}
