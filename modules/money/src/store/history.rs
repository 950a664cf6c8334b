use fabric::{
    postgres::{Database, FromRow, Handle, Json},
    sql,
};
use kernel::{Ctx, Error, Result, Timestamp, TransactionId, WalletId};
use serde::Deserialize;
use serde_json::Value;

use crate::model::Currency;

/// A transaction with what became of it.
#[derive(Debug, FromRow)]
pub struct TransactionRow {
    pub id: TransactionId,
    pub kind: String,
    pub wallet_id: WalletId,
    pub counterparty_id: Option<WalletId>,
    pub amount: i64,
    pub currency: Currency,
    pub hold_id: Option<TransactionId>,
    pub reverses: Option<TransactionId>,
    pub reversed_by: Option<TransactionId>,
    pub hold_state: Option<String>,
    pub expires_at: Option<Timestamp>,
    pub description: Option<String>,
    pub metadata: Option<Json<Value>>,
    pub at: Timestamp,
    pub entries: Json<Vec<EntryRow>>,
    /// Its place in the wallet's list.
    pub place: i64,
}

/// An entry of it.
#[derive(Debug, Deserialize)]
pub struct EntryRow {
    pub account: String,
    pub wallet: Option<WalletId>,
    pub amount: i64,
}

/// A transaction.
pub async fn transaction(db: &Database, cx: &Ctx, id: TransactionId) -> Result<TransactionRow> {
    let found = db
        .tenant(cx)?
        .query(sql!(
            "select t.id, t.kind, t.wallet_id, t.counterparty_id, t.amount, t.currency, t.hold_id, t.reverses,
                    r.id as reversed_by,
                    case when h.state = 'held' and h.expires_at <= $3 then 'expired' else h.state end as hold_state,
                    h.expires_at, t.description, t.metadata, t.at,
                    (select jsonb_agg(jsonb_build_object('account', e.account, 'wallet', e.wallet_id,
                                                         'amount', e.amount) order by e.line)
                     from money.entry e where kernel.owns($1, e.tenant_id) and e.transaction_id = t.id) as entries,
                    0::bigint as place
             from money.transaction t
             left join money.transaction r on kernel.owns($1, r.tenant_id) and r.reverses = t.id
             left join money.hold h on kernel.owns($1, h.tenant_id) and h.id = t.id
             where kernel.owns($1, t.tenant_id) and t.id = $2"
        ))
        .bind(id)
        .bind(cx.now())
        .optional()
        .await?;
    found.ok_or_else(|| Error::not_found("transaction"))
}

/// A wallet's transactions, the latest first, from behind `before`.
pub async fn of_wallet(
    db: &Database,
    cx: &Ctx,
    wallet: WalletId,
    before: Option<(Timestamp, i64)>,
    most: usize,
) -> Result<Vec<TransactionRow>> {
    let (before_at, before_place) = before.unzip();
    db.tenant(cx)?
        .query(sql!(
            "select t.id, t.kind, t.wallet_id, t.counterparty_id, t.amount, t.currency, t.hold_id, t.reverses,
                    r.id as reversed_by,
                    case when h.state = 'held' and h.expires_at <= $6 then 'expired' else h.state end as hold_state,
                    h.expires_at, t.description, t.metadata, t.at,
                    (select jsonb_agg(jsonb_build_object('account', e.account, 'wallet', e.wallet_id,
                                                         'amount', e.amount) order by e.line)
                     from money.entry e where kernel.owns($1, e.tenant_id) and e.transaction_id = t.id) as entries,
                    own.place
             from (
                 select e.transaction_id, e.at, e.place from money.entry e
                 where kernel.owns($1, e.tenant_id) and e.wallet_id = $2 and e.leads
                   and ($3::timestamptz is null or (e.at, e.place) < ($3, $4))
                 order by e.at desc, e.place desc limit $5
             ) own
             join money.transaction t on kernel.owns($1, t.tenant_id) and t.id = own.transaction_id
             left join money.transaction r on kernel.owns($1, r.tenant_id) and r.reverses = t.id
             left join money.hold h on kernel.owns($1, h.tenant_id) and h.id = t.id
             order by own.at desc, own.place desc"
        ))
        .bind(wallet)
        .bind(before_at)
        .bind(before_place)
        .bind(i64::try_from(most).unwrap_or(i64::MAX))
        .bind(cx.now())
        .all()
        .await
}

/// One change of what a wallet has available.
#[derive(Debug, Clone, FromRow)]
pub struct LineRow {
    pub transaction_id: TransactionId,
    pub kind: String,
    pub counterparty: Option<WalletId>,
    pub amount: i64,
    pub description: Option<String>,
    pub at: Timestamp,
    pub place: i64,
}

/// Changes of what a wallet has available, from `from` on and before `to`, the oldest first, from behind `after`.
pub async fn lines(
    tenant: &Handle,
    wallet: WalletId,
    (from, to): (Timestamp, Timestamp),
    after: Option<(Timestamp, i64)>,
    most: i64,
) -> Result<Vec<LineRow>> {
    let (after_at, after_place) = after.unzip();
    tenant
        .query(sql!(
            "select t.id as transaction_id, t.kind, own.amount, t.description, t.at, own.place,
                    case when t.wallet_id = $2 then t.counterparty_id else t.wallet_id end as counterparty
             from (
                 select e.transaction_id, e.amount, e.at, e.place from money.entry e
                 where kernel.owns($1, e.tenant_id) and e.wallet_id = $2 and e.account = 'wallet'
                   and e.at >= $3 and e.at < $4
                   and ($5::timestamptz is null or (e.at, e.place) > ($5, $6))
                 order by e.at, e.place limit $7
             ) own
             join money.transaction t on kernel.owns($1, t.tenant_id) and t.id = own.transaction_id
             order by own.at, own.place"
        ))
        .bind(wallet)
        .bind(from)
        .bind(to)
        .bind(after_at)
        .bind(after_place)
        .bind(most)
        .all()
        .await
}

/// What a wallet had available before `moment`, by its entries.
pub async fn available_before(tenant: &Handle, wallet: WalletId, moment: Timestamp) -> Result<i64> {
    tenant
        .query(sql!(
            "select coalesce(sum(e.amount), 0)::bigint from money.entry e
             where kernel.owns($1, e.tenant_id) and e.wallet_id = $2 and e.account = 'wallet' and e.at < $3"
        ))
        .bind(wallet)
        .bind(moment)
        .value()
        .await
}
