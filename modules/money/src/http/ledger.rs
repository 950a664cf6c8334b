//! `/ledger`: the accounts, and whether everything adds up.

use kernel::Timestamp;
use ports::http::{Cx, One, Operation, Page, Result, Routes, State};
use schemars::JsonSchema;
use serde::Serialize;

use super::{App, READ};
use crate::model::Currency;

/// The accounts of the ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LedgerAccount {
    /// What all wallets have available.
    Wallets,
    /// What they have set aside.
    Holds,
    /// Outside: negative by what came in.
    External,
    /// What the platform has taken.
    Fees,
}

/// An account in one currency. The sum over the accounts of a currency is zero.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AccountOut {
    /// Which.
    pub account: LedgerAccount,
    /// ISO 4217.
    pub currency: Currency,
    /// Digits behind the point.
    pub exponent: u8,
    /// Minor units.
    pub balance: i64,
}

/// What adding everything up again showed.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct VerifiedOut {
    /// Everything adds up.
    pub valid: bool,
    /// When it was looked at.
    pub checked_at: Timestamp,
    /// Wallets that were looked at.
    pub wallets: i64,
    /// Transactions that were looked at.
    pub transactions: i64,
    /// Entries that were added up.
    pub entries: i64,
    /// The sum of all entries of each currency: zero.
    pub totals: Vec<TotalOut>,
    /// What does not add up, the first thousand.
    pub differences: Vec<DifferenceOut>,
}

/// The sum of all entries of a currency.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TotalOut {
    /// ISO 4217.
    pub currency: String,
    /// Minor units.
    pub sum: i64,
}

/// Something that does not add up.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DifferenceOut {
    /// `available`, `frozen` or `holds` of a wallet, an `account`, or a `transaction`.
    pub what: String,
    /// Which wallet, account or transaction.
    pub id: String,
    /// ISO 4217.
    pub currency: String,
    /// What is kept.
    pub stored: i64,
    /// What the entries add up to.
    pub counted: i64,
}

pub(super) fn add(routes: Routes<App>) -> Routes<App> {
    routes
        .add(
            Operation::get("/ledger/accounts", "listLedgerAccounts", READ)
                .summary("List the accounts of the ledger with their balances")
                .lists::<AccountOut>(),
            accounts,
        )
        .add(
            Operation::get("/ledger/verify", "verifyLedger", READ)
                .summary("Add everything up again from the entries")
                .description(
                    "Looks and changes nothing. The same is done for every tenant when the sandbox opens and daily, and \
                     then a wallet that does not add up is frozen and an alarm is told as `money.ledger.differs`.",
                )
                .answer::<VerifiedOut>(200),
            verify,
        )
}

async fn accounts(State(money): State<App>, Cx(cx): Cx) -> Result<Page<AccountOut>> {
    Ok(money.accounts(&cx).await?)
}

async fn verify(State(money): State<App>, Cx(cx): Cx) -> Result<One<VerifiedOut>> {
    Ok(One::new(money.verify(&cx).await?))
}
