use kernel::{Error, Result, Timestamp, TransactionId, WalletId};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use super::{Currency, HoldState, Kind, WalletBalance, operation::words};

words! {
    /// Where the money of an entry lies.
    Account {
        /// Available in a wallet.
        Wallet = "wallet",
        /// Set aside in a wallet.
        Holds = "holds",
        /// Outside of the platform.
        External = "external",
        /// What the platform has taken.
        Fees = "fees",
    }
}

/// One entry: an amount, negative for what leaves the account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Line {
    /// The account.
    pub account: Account,
    /// The wallet, for `wallet` and `holds`.
    pub wallet: Option<WalletId>,
    /// Minor units.
    pub amount: i64,
}

impl Line {
    pub(super) fn wallet(wallet: WalletId, amount: i64) -> Self {
        Self { account: Account::Wallet, wallet: Some(wallet), amount }
    }

    pub(super) fn held(wallet: WalletId, amount: i64) -> Self {
        Self { account: Account::Holds, wallet: Some(wallet), amount }
    }

    pub(super) fn system(account: Account, amount: i64) -> Self {
        Self { account, wallet: None, amount }
    }
}

/// What a transaction does to a hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HoldChange {
    /// The transaction is the hold.
    Placed {
        /// Until when, on the sandbox's clock.
        expires_at: Timestamp,
    },
    /// The transaction ends it.
    Settled {
        /// Which.
        hold: TransactionId,
        /// How.
        state: HoldState,
    },
}

/// A transaction with its entries, decided and not yet written.
#[derive(Debug, Clone)]
pub struct Posting {
    /// Its id.
    pub id: TransactionId,
    /// What it does.
    pub kind: Kind,
    /// Whose it is: the sender's, for a transfer.
    pub wallet: WalletId,
    /// The receiver of a transfer.
    pub counterparty: Option<WalletId>,
    /// How much.
    pub amount: i64,
    /// Of what.
    pub currency: Currency,
    /// What it does to a hold.
    pub hold: Option<HoldChange>,
    /// What it reverses.
    pub reverses: Option<TransactionId>,
    /// The name of a charge.
    pub charge_key: Option<Uuid>,
    /// A sentence.
    pub description: Option<String>,
    /// Anything.
    pub metadata: Option<Value>,
    /// When, on the sandbox's clock.
    pub at: Timestamp,
    /// The entries; their sum is zero.
    pub lines: Vec<Line>,
    /// The wallets as they are after it.
    pub balances: Vec<WalletBalance>,
}

impl Posting {
    /// What is missing to balance: zero, always.
    pub fn imbalance(&self) -> i128 {
        self.lines.iter().map(|line| i128::from(line.amount)).sum()
    }
}
