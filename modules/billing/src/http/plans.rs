//! Plans.

use kernel::{Slug, Timestamp};
use ports::http::{
    Access, Body, Created, Cx, IfMatch, One, Operation, Page, Path, Query, Result, Routes, State,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{Billing, PLATFORM};
use crate::model::plan::{Interval, Limits, Plan};

/// A plan to be made.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct PlanIn {
    /// Lower-case letters, digits and hyphens; unique.
    pub name: String,
    /// How often it is paid.
    pub interval: Interval,
    /// Minor units of the currency for an interval.
    #[schemars(range(min = 0))]
    pub price: i64,
    /// ISO 4217.
    pub currency: String,
    /// What it allows; 0 is unlimited.
    pub limits: Limits,
    /// What it promises, in words.
    #[serde(default)]
    pub features: Vec<String>,
    /// Whether tenants may choose it themselves; true unless said.
    #[serde(default = "offered")]
    pub offered: bool,
}

fn offered() -> bool {
    true
}

/// What is to change about a plan. Its interval and currency never do.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct PlanPatch {
    /// Its name.
    pub name: Option<String>,
    /// Its price, from the next invoice on.
    #[schemars(range(min = 0))]
    pub price: Option<i64>,
    /// All of what it allows, at once for everybody who has it.
    pub limits: Option<Limits>,
    /// All of what it promises.
    pub features: Option<Vec<String>>,
    /// Whether tenants may choose it themselves.
    pub offered: Option<bool>,
}

/// A plan.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PlanOut {
    /// Its id.
    pub id: Uuid,
    /// Its name.
    pub name: String,
    /// How often it is paid.
    pub interval: Interval,
    /// Minor units of the currency for an interval.
    pub price: i64,
    /// ISO 4217.
    pub currency: String,
    /// What it allows; 0 is unlimited.
    pub limits: Limits,
    /// What it promises, in words.
    pub features: Vec<String>,
    /// Whether tenants may choose it themselves; others are given by the platform.
    pub offered: bool,
    /// When it was made.
    pub created_at: Timestamp,
    /// The last change.
    pub updated_at: Timestamp,
    /// Grows with each change.
    pub version: i32,
}

impl From<Plan> for PlanOut {
    fn from(plan: Plan) -> Self {
        Self {
            id: plan.id,
            name: plan.name,
            interval: plan.every,
            price: plan.price,
            currency: plan.currency,
            limits: plan.limits.0,
            features: plan.features,
            offered: plan.offered,
            created_at: plan.created_at,
            updated_at: plan.updated_at,
            version: plan.version,
        }
    }
}

/// The page wanted.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PlansQuery {
    /// Entries a page, 1 to 100; 20 unless said.
    #[schemars(range(min = 1, max = 100))]
    pub limit: Option<u16>,
    /// The `meta.cursor` of the page before.
    pub cursor: Option<String>,
}

pub(super) fn add(routes: Routes<Billing>) -> Routes<Billing> {
    routes
        .add(
            Operation::get("/billing/plans", "listPlans", Access::Public)
                .summary("List the plans")
                .description("Those that can be chosen; the platform sees the others, too.")
                .query::<PlansQuery>()
                .lists::<PlanOut>()
                .problems(&[Slug::InvalidCursor]),
            list,
        )
        .add(
            Operation::post("/billing/plans", "createPlan", PLATFORM)
                .summary("Make a plan")
                .body::<PlanIn>()
                .answer::<PlanOut>(201)
                .problems(&[Slug::AlreadyExists])
                .example(
                    r#"{"name":"team","interval":"monthly","price":9900,"currency":"USD","limits":{"users":50,"records":500000,"storageBytes":50000000000,"eventsPerDay":500000,"modules":10,"rps":1000,"burst":2000},"features":["Support on working days"]}"#,
                ),
            create,
        )
        .add(
            Operation::get("/billing/plans/{id}", "getPlan", Access::Public)
                .summary("Read a plan")
                .answer::<PlanOut>(200)
                .problems(&[Slug::NotFound]),
            read,
        )
        .add(
            Operation::patch("/billing/plans/{id}", "updatePlan", PLATFORM)
                .summary("Change a plan")
                .description(
                    "A price counts from the next invoice of each tenant on. Limits count at once for every tenant \
                     that has the plan: what exceeds them stays, and nothing new fits.",
                )
                .body::<PlanPatch>()
                .answer::<PlanOut>(200)
                .problems(&[Slug::NotFound, Slug::AlreadyExists, Slug::PreconditionFailed])
                .example(r#"{"price":10900}"#),
            update,
        )
}

async fn list(
    State(billing): State<Billing>,
    Cx(cx): Cx,
    Query(query): Query<PlansQuery>,
) -> Result<Page<PlanOut>> {
    Ok(billing.list_plans(&cx, &query).await?)
}

async fn create(
    State(billing): State<Billing>,
    Cx(cx): Cx,
    Body(new): Body<PlanIn>,
) -> Result<Created<PlanOut>> {
    Ok(Created(billing.create_plan(&cx, new).await?))
}

async fn read(State(billing): State<Billing>, Cx(cx): Cx, Path(id): Path<Uuid>) -> Result<One<PlanOut>> {
    Ok(versioned(billing.plan(&cx, id).await?))
}

async fn update(
    State(billing): State<Billing>,
    Cx(cx): Cx,
    Path(id): Path<Uuid>,
    IfMatch(seen): IfMatch,
    Body(patch): Body<PlanPatch>,
) -> Result<One<PlanOut>> {
    Ok(versioned(billing.change_plan(&cx, id, patch, seen).await?))
}

fn versioned(plan: PlanOut) -> One<PlanOut> {
    let version = plan.version;
    One::versioned(plan, version)
}
