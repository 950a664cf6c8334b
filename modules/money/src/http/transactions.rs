//! `/transactions`: what the ledger holds.

use kernel::{Slug, Timestamp, TransactionId, WalletId};
use ports::http::{Cx, One, Operation, Page, Paging, Path, Query, Result, Routes, State};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use super::{App, READ};
use crate::model::{Account, Currency, HoldChange, HoldState, Kind, Posting};

/// How a transaction stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TransactionState {
    /// Done.
    Completed,
    /// Done, and undone by its opposite.
    Reversed,
    /// A hold: still set aside.
    Held,
    /// A hold: taken, wholly or in part.
    Confirmed,
    /// A hold: given back.
    Canceled,
    /// A hold: given back because its time was over.
    Expired,
}

impl From<HoldState> for TransactionState {
    fn from(state: HoldState) -> Self {
        match state {
            HoldState::Held => Self::Held,
            HoldState::Confirmed => Self::Confirmed,
            HoldState::Canceled => Self::Canceled,
            HoldState::Expired => Self::Expired,
        }
    }
}

/// A transaction of the ledger with its entries, whose sum is zero.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TransactionOut {
    /// Its id.
    pub id: TransactionId,
    /// What it did.
    pub kind: Kind,
    /// How it stands.
    pub state: TransactionState,
    /// Whose it is: the sender's, for a transfer.
    pub wallet_id: WalletId,
    /// The receiver of a transfer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub counterparty_id: Option<WalletId>,
    /// How much, in minor units; of a confirmation, what was taken.
    pub amount: i64,
    /// ISO 4217.
    pub currency: Currency,
    /// Digits behind the point.
    pub exponent: u8,
    /// The hold that it ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hold_id: Option<TransactionId>,
    /// When the hold returns by itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
    /// The transaction that it undid.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reverses: Option<TransactionId>,
    /// The transaction that undid it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reversed_by: Option<TransactionId>,
    /// A sentence.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// What the caller added.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metadata: Option<Value>,
    /// When, on the sandbox's clock.
    pub created_at: Timestamp,
    /// The entries.
    pub entries: Vec<EntryOut>,
}

/// One entry: negative for what left the account.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct EntryOut {
    /// The account.
    pub account: Account,
    /// The wallet, for `wallet` and `holds`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wallet_id: Option<WalletId>,
    /// Minor units.
    pub amount: i64,
}

/// What a list of transfers made, in its order.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TransfersOut {
    /// The transactions.
    pub transactions: Vec<TransactionOut>,
}

impl TransactionOut {
    /// As it is when it has just been written.
    pub(crate) fn of(posting: &Posting) -> Self {
        let (state, hold_id, expires_at) = match posting.hold {
            Some(HoldChange::Placed { expires_at }) => (TransactionState::Held, None, Some(expires_at)),
            Some(HoldChange::Settled { hold, .. }) => (TransactionState::Completed, Some(hold), None),
            None => (TransactionState::Completed, None, None),
        };
        Self {
            id: posting.id,
            kind: posting.kind,
            state,
            wallet_id: posting.wallet,
            counterparty_id: posting.counterparty,
            amount: posting.amount,
            currency: posting.currency,
            exponent: posting.currency.exponent(),
            hold_id,
            expires_at,
            reverses: posting.reverses,
            reversed_by: None,
            description: posting.description.clone(),
            metadata: posting.metadata.clone(),
            created_at: posting.at,
            entries: posting
                .lines
                .iter()
                .map(|line| EntryOut { account: line.account, wallet_id: line.wallet, amount: line.amount })
                .collect(),
        }
    }
}

pub(super) fn add(routes: Routes<App>) -> Routes<App> {
    routes
        .add(
            Operation::get("/wallets/{id}/transactions", "listWalletTransactions", READ)
                .summary("List the transactions of a wallet, the latest first")
                .query::<Paging>()
                .lists::<TransactionOut>()
                .problems(&[Slug::InvalidCursor]),
            of_wallet,
        )
        .add(
            Operation::get("/transactions/{id}", "getTransaction", READ)
                .summary("Read a transaction with its entries")
                .answer::<TransactionOut>(200),
            read,
        )
}

async fn of_wallet(
    State(money): State<App>,
    Cx(cx): Cx,
    Path(wallet): Path<WalletId>,
    Query(paging): Query<Paging>,
) -> Result<Page<TransactionOut>> {
    Ok(money.transactions(&cx, wallet, &paging).await?)
}

async fn read(
    State(money): State<App>,
    Cx(cx): Cx,
    Path(id): Path<TransactionId>,
) -> Result<One<TransactionOut>> {
    Ok(One::new(money.transaction(&cx, id).await?))
}
