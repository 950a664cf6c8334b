//! What the writer reads and writes for a batch, set-wise.

use fabric::{
    postgres::{FromRow, Json, Tx},
    sql,
};
use kernel::{Result, Timestamp, TransactionId, WalletId};
use serde::{Serialize, Serializer};
use serde_json::Value;
use uuid::Uuid;

use crate::model::{Currency, HoldChange, Kind, Original, Posting};

/// A wallet that is locked until the transaction ends.
#[derive(Debug, Clone, Copy, FromRow)]
pub struct LockedWallet {
    pub id: WalletId,
    pub currency: Currency,
    pub available: i64,
    pub frozen: i64,
    pub open_holds: i16,
    pub is_frozen: bool,
    /// What one operation of this tenant may move; none: the plan says nothing.
    pub most: Option<i64>,
}

/// Locks wallets in ascending order of their ids.
pub async fn lock(tx: &mut Tx, ids: &[WalletId]) -> Result<Vec<LockedWallet>> {
    tx.query(sql!(
        "select w.id, w.currency, w.available, w.frozen, w.open_holds, w.state = 'frozen' as is_frozen,
                (select coalesce(a.most, 9007199254740991) from kernel.allowance a
                 where kernel.owns($1, a.tenant_id) and a.name = 'moneyPerOperation') as most
         from money.wallet w
         where kernel.owns($1, w.tenant_id) and w.id = any ($2)
         order by w.id
         for no key update of w"
    ))
    .bind(ids)
    .all()
    .await
}

#[derive(FromRow)]
struct OriginalRow {
    id: TransactionId,
    kind: String,
    wallet_id: WalletId,
    counterparty_id: Option<WalletId>,
    amount: i64,
    at: Timestamp,
}

/// Transactions that are to be reversed. They never change, so this may be read before their wallets are locked;
/// whether they were reversed is told by [`reversed`] afterwards.
pub async fn originals(tx: &mut Tx, ids: Vec<TransactionId>) -> Result<Vec<Original>> {
    let rows: Vec<OriginalRow> = tx
        .query(sql!(
            "select t.id, t.kind, t.wallet_id, t.counterparty_id, t.amount, t.at from money.transaction t
             where kernel.owns($1, t.tenant_id) and t.id = any ($2)"
        ))
        .bind(ids)
        .all()
        .await?;
    let read = |row: OriginalRow| {
        Ok(Original {
            id: row.id,
            kind: Kind::read(&row.kind)?,
            wallet: row.wallet_id,
            counterparty: row.counterparty_id,
            amount: row.amount,
            at: row.at,
            reversed: false,
        })
    };
    rows.into_iter().map(read).collect()
}

/// Which of these transactions were reversed.
pub async fn reversed(tx: &mut Tx, ids: Vec<TransactionId>) -> Result<Vec<TransactionId>> {
    let rows: Vec<(TransactionId,)> = tx
        .query(sql!(
            "select t.reverses from money.transaction t where kernel.owns($1, t.tenant_id) and t.reverses = any ($2)"
        ))
        .bind(ids)
        .all()
        .await?;
    Ok(rows.into_iter().map(|(id,)| id).collect())
}

/// A charge that was made.
#[derive(Debug, Clone, Copy, FromRow)]
pub struct ChargeRow {
    pub charge_key: Uuid,
    pub id: TransactionId,
    pub wallet_id: WalletId,
    pub amount: i64,
}

/// The charges that were made under these keys.
pub async fn charges(tx: &mut Tx, keys: Vec<Uuid>) -> Result<Vec<ChargeRow>> {
    tx.query(sql!(
        "select t.charge_key, t.id, t.wallet_id, t.amount from money.transaction t
         where kernel.owns($1, t.tenant_id) and t.charge_key = any ($2)"
    ))
    .bind(keys)
    .all()
    .await
}

#[derive(Serialize)]
struct TransactionRow<'a> {
    id: TransactionId,
    kind: &'static str,
    wallet: WalletId,
    counterparty: Option<WalletId>,
    amount: i64,
    currency: Currency,
    hold: Option<TransactionId>,
    reverses: Option<TransactionId>,
    charge: Option<Uuid>,
    description: Option<&'a str>,
    metadata: Option<&'a Value>,
    at: Micros,
}

#[derive(Serialize)]
struct EntryRow {
    transaction: TransactionId,
    line: usize,
    account: &'static str,
    wallet: Option<WalletId>,
    amount: i64,
    currency: Currency,
    leads: bool,
    at: Micros,
}

#[derive(Serialize)]
struct PlacedRow {
    id: TransactionId,
    wallet: WalletId,
    amount: i64,
    currency: Currency,
    expires_at: Micros,
}

#[derive(Serialize)]
struct SettledRow {
    id: TransactionId,
    state: &'static str,
    by: TransactionId,
}

/// A moment with all its microseconds; on the wire there are milliseconds.
struct Micros(Timestamp);

impl Serialize for Micros {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        self.0.datetime().serialize(s)
    }
}

/// Writes transactions with all that belongs to them, in one statement.
pub async fn post<'a>(tx: &mut Tx, postings: impl Iterator<Item = &'a Posting>) -> Result<()> {
    let (mut transactions, mut entries) = (Vec::new(), Vec::new());
    let (mut placed, mut settled) = (Vec::new(), Vec::new());
    for posting in postings {
        let (id, currency) = (posting.id, posting.currency);
        let mut hold = None;
        match posting.hold {
            Some(HoldChange::Placed { expires_at }) => placed.push(PlacedRow {
                id,
                wallet: posting.wallet,
                amount: posting.amount,
                currency,
                expires_at: Micros(expires_at),
            }),
            Some(HoldChange::Settled { hold: settles, state }) => {
                hold = Some(settles);
                settled.push(SettledRow { id: settles, state: state.word(), by: id });
            }
            None => {}
        }
        transactions.push(TransactionRow {
            id,
            kind: posting.kind.word(),
            wallet: posting.wallet,
            counterparty: posting.counterparty,
            amount: posting.amount,
            currency,
            hold,
            reverses: posting.reverses,
            charge: posting.charge_key,
            description: posting.description.as_deref(),
            metadata: posting.metadata.as_ref(),
            at: Micros(posting.at),
        });
        for (number, line) in posting.lines.iter().enumerate() {
            let told = posting.lines[..number].iter().any(|earlier| earlier.wallet == line.wallet);
            entries.push(EntryRow {
                transaction: id,
                line: number + 1,
                account: line.account.word(),
                wallet: line.wallet,
                amount: line.amount,
                currency,
                leads: !told,
                at: Micros(posting.at),
            });
        }
    }
    tx.query(sql!("select money.post($1, $2, $3, $4, $5)"))
        .bind(Json(transactions))
        .bind(Json(entries))
        .bind(Json(placed))
        .bind(Json(settled))
        .run()
        .await?;
    Ok(())
}
