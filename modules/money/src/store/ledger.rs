use fabric::{
    postgres::{Database, FromRow, Handle, Reason},
    sql,
};
use kernel::{Ctx, Result, TenantId};

use crate::model::Currency;

/// An account of the ledger and what is on it; `wallets` is all that wallets have available.
#[derive(Debug, Clone, FromRow)]
pub struct AccountRow {
    pub account: String,
    pub currency: Currency,
    pub balance: i64,
}

/// The accounts of the tenant: what wallets have, and the accounts that are nobody's.
pub async fn accounts(db: &Database, cx: &Ctx) -> Result<Vec<AccountRow>> {
    db.tenant(cx)?
        .query(sql!(
            "select 'wallets' as account, w.currency, sum(w.available)::bigint as balance
             from money.wallet w where kernel.owns($1, w.tenant_id) group by w.currency
             union all
             select a.account, a.currency, a.balance from money.account a where kernel.owns($1, a.tenant_id)
             order by 2, 1"
        ))
        .all()
        .await
}

/// Something that does not add up, or (`wallets`, `transactions`, `entries`, `total`) how much was looked at.
#[derive(Debug, Clone, FromRow)]
pub struct FindingRow {
    pub what: String,
    pub id: Option<String>,
    pub currency: Option<String>,
    pub stored: i64,
    pub counted: i64,
}

/// Adds everything up again from the entries, in one statement and so at one moment.
pub async fn check(tenant: &Handle) -> Result<Vec<FindingRow>> {
    tenant
        .query(sql!(
            "with entries as materialized (
                 select e.transaction_id, e.account, e.wallet_id, e.currency, e.amount
                 from money.entry e where kernel.owns($1, e.tenant_id)
             ), wallets as (
                 select w.id, w.currency, w.available, w.frozen, w.open_holds
                 from money.wallet w where kernel.owns($1, w.tenant_id)
             ), by_wallet as (
                 select e.wallet_id, e.currency,
                        coalesce(sum(e.amount) filter (where e.account = 'wallet'), 0) as available,
                        coalesce(sum(e.amount) filter (where e.account = 'holds'), 0) as frozen
                 from entries e where e.wallet_id is not null group by e.wallet_id, e.currency
             ), held as (
                 select h.wallet_id, sum(h.amount) as amount, count(*) as holds
                 from money.hold h where kernel.owns($1, h.tenant_id) and h.state = 'held' group by h.wallet_id
             ), by_account as (
                 select e.account, e.currency, sum(e.amount) as balance
                 from entries e where e.account <> 'wallet' group by e.account, e.currency
             ), accounts as (
                 select a.account, a.currency, a.balance from money.account a where kernel.owns($1, a.tenant_id)
             ), transactions as (
                 select t.id, t.currency from money.transaction t where kernel.owns($1, t.tenant_id)
             ), by_transaction as (
                 select e.transaction_id, e.currency, sum(e.amount) as amount
                 from entries e group by e.transaction_id, e.currency
             ), found as (
                 select 'available' as what, coalesce(w.id, b.wallet_id)::text as id,
                        coalesce(w.currency, b.currency) as currency, coalesce(w.available, 0)::bigint as stored,
                        coalesce(b.available, 0)::bigint as counted
                 from wallets w full join by_wallet b on b.wallet_id = w.id and b.currency = w.currency
                 where coalesce(w.available, 0) <> coalesce(b.available, 0)
                 union all
                 select 'frozen', coalesce(w.id, b.wallet_id)::text, coalesce(w.currency, b.currency),
                        coalesce(w.frozen, 0), coalesce(b.frozen, 0)::bigint
                 from wallets w full join by_wallet b on b.wallet_id = w.id and b.currency = w.currency
                 where coalesce(w.frozen, 0) <> coalesce(b.frozen, 0)
                 union all
                 select 'holds', w.id::text, w.currency, w.frozen, coalesce(h.amount, 0)::bigint
                 from wallets w left join held h on h.wallet_id = w.id
                 where w.frozen <> coalesce(h.amount, 0) or w.open_holds <> coalesce(h.holds, 0)
                 union all
                 select 'account', coalesce(a.account, b.account), coalesce(a.currency, b.currency),
                        coalesce(a.balance, 0), coalesce(b.balance, 0)::bigint
                 from accounts a full join by_account b on b.account = a.account and b.currency = a.currency
                 where coalesce(a.balance, 0) <> coalesce(b.balance, 0)
                 union all
                 select 'transaction', coalesce(t.id, b.transaction_id)::text, coalesce(t.currency, b.currency), 0,
                        coalesce(b.amount, 0)::bigint
                 from transactions t
                 full join by_transaction b on b.transaction_id = t.id and b.currency = t.currency
                 where t.id is null or b.transaction_id is null or b.amount <> 0
             )
             (select f.what, f.id, f.currency, f.stored, f.counted from found f order by f.what, f.id limit 1000)
             union all
             select 'wallets', null, null, 0, (select count(*) from wallets)
             union all
             select 'transactions', null, null, 0, (select count(*) from transactions)
             union all
             select 'entries', null, null, 0, (select count(*) from entries)
             union all
             select 'total', null, e.currency, 0, sum(e.amount)::bigint from entries e group by e.currency"
        ))
        .all()
        .await
}

/// The tenants that have wallets.
pub async fn tenants(db: &Database, cx: &Ctx) -> Result<Vec<TenantId>> {
    let rows: Vec<(TenantId,)> = db
        .system(cx, Reason::Ledger)
        .query(sql!("select distinct w.tenant_id from money.wallet w"))
        .all()
        .await?;
    Ok(rows.into_iter().map(|(id,)| id).collect())
}
