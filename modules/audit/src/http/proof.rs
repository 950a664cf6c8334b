use std::sync::Arc;

use kernel::Slug;
use ports::http::{Access, Cx, One, Operation, Query, Result, Routes, State};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::{Audit, HeadOut, VerifiedOut};

pub(super) fn add(routes: Routes<Arc<Audit>>) -> Routes<Arc<Audit>> {
    routes
        .add(
            Operation::get("/audit/verify", "verifyAuditTrail", Access::Permission("audit.read"))
                .summary("Check that the audit trail is what it was")
                .description(
                    "Walks the hash chain and names the first record that was changed, removed, reordered or cut \
                     off. A long trail that can't be checked in one request answers `complete: false`.",
                )
                .query::<VerifyQuery>()
                .answer::<VerifiedOut>(200)
                .problems(&[Slug::Overloaded]),
            verify,
        )
        .add(
            Operation::get("/audit/head", "getAuditHead", Access::Permission("audit.read"))
                .summary("Get the signed end of the audit trail")
                .description("Keep it: it proves later that nothing up to there was cut off or written anew.")
                .answer::<HeadOut>(200),
            head,
        )
}

/// Which part of the chain.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct VerifyQuery {
    /// The first place to check; 1 unless said.
    #[schemars(range(min = 1))]
    from: Option<i64>,
    /// The last place to check; the end of the chain unless said.
    #[schemars(range(min = 1))]
    to: Option<i64>,
}

async fn verify(
    State(audit): State<Arc<Audit>>,
    Cx(cx): Cx,
    Query(query): Query<VerifyQuery>,
) -> Result<One<VerifiedOut>> {
    Ok(One::new(audit.verify(&cx, query.from, query.to).await?))
}

async fn head(State(audit): State<Arc<Audit>>, Cx(cx): Cx) -> Result<One<HeadOut>> {
    Ok(One::new(audit.head(&cx).await?))
}
