use fabric::{
    postgres::{Database, FromRow, Tx},
    sql,
};
use kernel::{Ctx, Result, Timestamp, TransactionId, WalletId};

use crate::model::{HoldRow, HoldState};

#[derive(FromRow)]
struct Row {
    id: TransactionId,
    wallet_id: WalletId,
    amount: i64,
    expires_at: Timestamp,
    state: String,
}

/// The holds named, and of these wallets up to `most` whose time is over at `now`, the oldest first.
pub async fn needed(
    tx: &mut Tx,
    named: Vec<TransactionId>,
    wallets: &[WalletId],
    now: Timestamp,
    most: i64,
) -> Result<Vec<HoldRow>> {
    let rows: Vec<Row> = tx
        .query(sql!(
            "select h.id, h.wallet_id, h.amount, h.expires_at, h.state from money.hold h
             where kernel.owns($1, h.tenant_id) and h.id = any ($2)
             union
             (select h.id, h.wallet_id, h.amount, h.expires_at, h.state from money.hold h
              where kernel.owns($1, h.tenant_id) and h.wallet_id = any ($3) and h.state = 'held'
                and h.expires_at <= $4
              order by h.expires_at, h.id limit $5)"
        ))
        .bind(named)
        .bind(wallets)
        .bind(now)
        .bind(most)
        .all()
        .await?;
    let read = |row: Row| {
        Ok(HoldRow {
            id: row.id,
            wallet: row.wallet_id,
            amount: row.amount,
            expires_at: row.expires_at,
            state: HoldState::read(&row.state)?,
        })
    };
    rows.into_iter().map(read).collect()
}

/// Wallets of the tenant with holds whose time is over.
pub async fn wallets_due(db: &Database, cx: &Ctx, most: i64) -> Result<Vec<WalletId>> {
    let rows: Vec<(WalletId,)> = db
        .tenant(cx)?
        .query(sql!(
            "select distinct h.wallet_id from money.hold h
             where kernel.owns($1, h.tenant_id) and h.state = 'held' and h.expires_at <= $2 limit $3"
        ))
        .bind(cx.now())
        .bind(most)
        .all()
        .await?;
    Ok(rows.into_iter().map(|(id,)| id).collect())
}
