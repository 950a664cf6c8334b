//! `/wallets/{id}/credit`, `/debit`, `/reversal`: money in, out, and back.

use kernel::{Slug, TransactionId, WalletId};
use ports::http::{Body, Created, Cx, Operation, Path, Result, Routes, State};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::{App, WRITE, transactions::TransactionOut};
use crate::model::AmountIn;

/// Money to be moved.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct MoveIn {
    /// How much.
    pub amount: AmountIn,
    /// A sentence, at most 500 characters.
    pub description: Option<String>,
    /// Anything, at most 4,096 bytes.
    pub metadata: Option<Map<String, Value>>,
}

/// A transaction to be reversed.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ReversalIn {
    /// Which; one of this wallet.
    pub transaction_id: TransactionId,
    /// Why, 1 to 500 characters.
    pub reason: String,
}

pub(super) fn add(routes: Routes<App>) -> Routes<App> {
    routes
        .add(
            Operation::post("/wallets/{id}/credit", "creditWallet", WRITE)
                .key_required()
                .summary("Bring money into a wallet from outside")
                .body::<MoveIn>()
                .answer::<TransactionOut>(201)
                .problems(&[Slug::InvalidAmount, Slug::LimitExceeded, Slug::InvalidState])
                .example(r#"{"amount":5000,"description":"Top-up"}"#),
            credit,
        )
        .add(
            Operation::post("/wallets/{id}/debit", "debitWallet", WRITE)
                .key_required()
                .summary("Take money out of a wallet")
                .body::<MoveIn>()
                .answer::<TransactionOut>(201)
                .problems(&[
                    Slug::InvalidAmount,
                    Slug::LimitExceeded,
                    Slug::InsufficientFunds,
                    Slug::InvalidState,
                ])
                .example(r#"{"amount":1,"description":"Payout"}"#),
            debit,
        )
        .add(
            Operation::post("/wallets/{id}/reversal", "reverseTransaction", WRITE)
                .key_required()
                .summary("Undo a transaction by its opposite")
                .description(
                    "A credit, debit, transfer, charge or confirmed hold, once, within 365 days. What came in by it must \
                     still be there.",
                )
                .body::<ReversalIn>()
                .answer::<TransactionOut>(201)
                .problems(&[Slug::InsufficientFunds, Slug::InvalidState])
                .example(
                    r#"{"transactionId":"01930000-0000-7000-8000-000000000001","reason":"Sent to the wrong person"}"#,
                ),
            reverse,
        )
}

async fn credit(
    State(money): State<App>,
    Cx(cx): Cx,
    Path(wallet): Path<WalletId>,
    Body(body): Body<MoveIn>,
) -> Result<Created<TransactionOut>> {
    Ok(Created(money.credit(&cx, wallet, body).await?))
}

async fn debit(
    State(money): State<App>,
    Cx(cx): Cx,
    Path(wallet): Path<WalletId>,
    Body(body): Body<MoveIn>,
) -> Result<Created<TransactionOut>> {
    Ok(Created(money.debit(&cx, wallet, body).await?))
}

async fn reverse(
    State(money): State<App>,
    Cx(cx): Cx,
    Path(wallet): Path<WalletId>,
    Body(body): Body<ReversalIn>,
) -> Result<Created<TransactionOut>> {
    Ok(Created(money.reverse(&cx, wallet, body).await?))
}
