//! What the tenant uses.

use std::collections::BTreeMap;

use chrono::NaiveDate;
use ports::http::{Cx, One, Operation, Query, Result, Routes, State};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Billing, VIEW};

/// The days wanted (UTC, on the sandbox's clock).
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct UsageQuery {
    /// The first day, `2026-01-31`; 29 days before the last unless said.
    pub from: Option<NaiveDate>,
    /// The last day; today unless said.
    pub to: Option<NaiveDate>,
}

/// What the tenant uses.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct UsageOut {
    /// The first day told of.
    pub from: NaiveDate,
    /// The last day told of.
    pub to: NaiveDate,
    /// What is in use at this moment.
    pub current: Vec<UseOut>,
    /// The days on which anything was counted.
    pub days: Vec<DayOut>,
}

/// What is in use of one limit.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct UseOut {
    /// `users`, `records`, `storageBytes`, `eventsPerDay` or `modules`.
    pub what: String,
    /// What is in use. Records of a plan without a limit are counted once a day only.
    pub used: i64,
    /// What the plan allows; null is unlimited.
    pub limit: Option<i64>,
}

/// A day's use.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct DayOut {
    /// The day.
    pub day: NaiveDate,
    /// `events` of the day, and `users`, `records`, `storageBytes`, `modules` as they were at its end.
    pub amounts: BTreeMap<String, i64>,
}

pub(super) fn add(routes: Routes<Billing>) -> Routes<Billing> {
    routes.add(
        Operation::get("/billing/usage", "getUsage", VIEW)
            .summary("Read what the tenant uses")
            .query::<UsageQuery>()
            .answer::<UsageOut>(200),
        read,
    )
}

async fn read(
    State(billing): State<Billing>,
    Cx(cx): Cx,
    Query(query): Query<UsageQuery>,
) -> Result<One<UsageOut>> {
    Ok(One::new(billing.usage(&cx, &query).await?))
}
