//! `/wallets/{id}/hold`, `/confirm`, `/cancel`: money set aside, then taken or given back.

use kernel::{Slug, TransactionId, WalletId};
use ports::http::{Body, Created, Cx, Operation, Path, Result, Routes, State};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::{App, WRITE, transactions::TransactionOut};
use crate::model::AmountIn;

/// Money to be set aside.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct HoldIn {
    /// How much.
    pub amount: AmountIn,
    /// Until it returns by itself; three days unless said, at most seven.
    #[schemars(range(min = 1, max = 604_800))]
    pub ttl_seconds: Option<i64>,
    /// A sentence, at most 500 characters.
    pub description: Option<String>,
    /// Anything, at most 4,096 bytes.
    pub metadata: Option<Map<String, Value>>,
}

/// A hold to be taken.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ConfirmIn {
    /// The transaction that placed the hold.
    pub transaction_id: TransactionId,
    /// How much of it; all unless said. The rest returns.
    pub amount: Option<AmountIn>,
}

/// A hold to be given back.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CancelIn {
    /// The transaction that placed the hold.
    pub transaction_id: TransactionId,
}

pub(super) fn add(routes: Routes<App>) -> Routes<App> {
    routes
        .add(
            Operation::post("/wallets/{id}/hold", "placeHold", WRITE)
                .key_required()
                .summary("Set money aside")
                .description(
                    "The `id` of the answer is what confirming and cancelling take as `transactionId`.",
                )
                .body::<HoldIn>()
                .answer::<TransactionOut>(201)
                .problems(&[
                    Slug::InvalidAmount,
                    Slug::LimitExceeded,
                    Slug::InsufficientFunds,
                    Slug::InvalidState,
                ])
                .example(r#"{"amount":1,"ttlSeconds":3600}"#),
            hold,
        )
        .add(
            Operation::post("/wallets/{id}/confirm", "confirmHold", WRITE)
                .key_required()
                .summary("Take what was set aside, wholly or in part")
                .body::<ConfirmIn>()
                .answer::<TransactionOut>(201)
                .problems(&[Slug::InvalidAmount, Slug::InvalidState])
                .example(r#"{"transactionId":"01930000-0000-7000-8000-000000000001"}"#),
            confirm,
        )
        .add(
            Operation::post("/wallets/{id}/cancel", "cancelHold", WRITE)
                .key_required()
                .summary("Give back what was set aside")
                .body::<CancelIn>()
                .answer::<TransactionOut>(201)
                .problems(&[Slug::InvalidState])
                .example(r#"{"transactionId":"01930000-0000-7000-8000-000000000001"}"#),
            cancel,
        )
}

async fn hold(
    State(money): State<App>,
    Cx(cx): Cx,
    Path(wallet): Path<WalletId>,
    Body(body): Body<HoldIn>,
) -> Result<Created<TransactionOut>> {
    Ok(Created(money.hold(&cx, wallet, body).await?))
}

async fn confirm(
    State(money): State<App>,
    Cx(cx): Cx,
    Path(wallet): Path<WalletId>,
    Body(body): Body<ConfirmIn>,
) -> Result<Created<TransactionOut>> {
    Ok(Created(money.confirm(&cx, wallet, body).await?))
}

async fn cancel(
    State(money): State<App>,
    Cx(cx): Cx,
    Path(wallet): Path<WalletId>,
    Body(body): Body<CancelIn>,
) -> Result<Created<TransactionOut>> {
    Ok(Created(money.cancel(&cx, wallet, body).await?))
}
