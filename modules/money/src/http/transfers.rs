//! `/transfers`: from wallet to wallet.

use kernel::{Slug, WalletId};
use ports::http::{Body, Created, Cx, Operation, Result, Routes, State};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::{
    App, WRITE,
    transactions::{TransactionOut, TransfersOut},
};
use crate::model::AmountIn;

/// A transfer.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TransferIn {
    /// The wallet it comes from.
    pub from: WalletId,
    /// The wallet it goes to, in the same currency.
    pub to: WalletId,
    /// How much.
    pub amount: AmountIn,
    /// A sentence, at most 500 characters.
    pub description: Option<String>,
    /// Anything, at most 4,096 bytes.
    pub metadata: Option<Map<String, Value>>,
}

/// Transfers, all or none.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TransfersIn {
    /// 1 to 1,000, done in this order.
    #[schemars(length(min = 1, max = 1_000))]
    pub transfers: Vec<TransferIn>,
}

const PROBLEMS: &[Slug] = &[
    Slug::InvalidAmount,
    Slug::EmailNotVerified,
    Slug::NotFound,
    Slug::LimitExceeded,
    Slug::InsufficientFunds,
    Slug::InvalidState,
];

pub(super) fn add(routes: Routes<App>) -> Routes<App> {
    routes
        .add(
            Operation::post("/transfers", "transfer", WRITE)
                .key_required()
                .summary("Move money from wallet to wallet")
                .description(
                    "Needs a verified e-mail address: the caller's, or, for an API key or a module that acts for \
                     nobody, that of an Owner of the tenant.",
                )
                .body::<TransferIn>()
                .answer::<TransactionOut>(201)
                .problems(PROBLEMS)
                .example(
                    r#"{"from":"01930000-0000-7000-8000-000000000001","to":"01930000-0000-7000-8000-000000000002","amount":1500,"description":"Dinner"}"#,
                ),
            one,
        )
        .add(
            Operation::post("/transfers/batch", "transferMany", WRITE)
                .key_required()
                .summary("Do up to 1,000 transfers, all or none")
                .body::<TransfersIn>()
                .answer::<TransfersOut>(201)
                .problems(PROBLEMS)
                .example(
                    r#"{"transfers":[{"from":"01930000-0000-7000-8000-000000000001","to":"01930000-0000-7000-8000-000000000002","amount":1500}]}"#,
                ),
            many,
        )
}

async fn one(
    State(money): State<App>,
    Cx(cx): Cx,
    Body(order): Body<TransferIn>,
) -> Result<Created<TransactionOut>> {
    Ok(Created(money.transfer(&cx, order).await?))
}

async fn many(
    State(money): State<App>,
    Cx(cx): Cx,
    Body(orders): Body<TransfersIn>,
) -> Result<Created<TransfersOut>> {
    Ok(Created(money.transfer_all(&cx, orders).await?))
}
