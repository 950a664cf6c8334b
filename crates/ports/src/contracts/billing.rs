use std::sync::Arc;

use kernel::{Error, Slug, TenantId, Timestamp};
use uuid::Uuid;

use crate::contract;

/// How a tenant stands with the platform.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SubscriptionState {
    /// In the trial.
    Trialing,
    /// Paid up.
    Active,
    /// A payment is missing since less than eight days; nothing is closed yet.
    PastDue,
    /// A payment is missing since eight days: the tenant reads and moves money, and changes nothing else.
    Suspended,
    /// A payment was missing for 38 days: the tenant is closed.
    Terminated,
    /// The tenant ended it: it reads and moves money, and changes nothing else.
    Canceled,
}

impl SubscriptionState {
    /// Whether only reading and money are left.
    pub fn is_read_only(self) -> bool {
        matches!(self, Self::Suspended | Self::Canceled | Self::Terminated)
    }

    /// What a caller hears whose request the state forbids.
    pub fn refusal(self) -> Error {
        match self {
            Self::Terminated => Error::new(
                Slug::SubscriptionTerminated,
                "The subscription has ended after 38 days without payment; only signing in and billing are open.",
            ),
            Self::Canceled => Error::new(
                Slug::SubscriptionSuspended,
                "The subscription was canceled: nothing but money can be changed. POST /billing/subscriptions begins \
                 it anew.",
            ),
            _ => Error::new(
                Slug::SubscriptionSuspended,
                "The subscription is suspended because a payment is missing: nothing but money can be changed. A \
                 payment opens it at once.",
            ),
        }
    }
}

/// What a plan allows; none is unlimited.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PlanLimits {
    /// Members that are not deleted.
    pub users: Option<i64>,
    /// Records of modules that are not deleted.
    pub records: Option<i64>,
    /// Bytes in files.
    pub storage_bytes: Option<i64>,
    /// Events published in a day (UTC, on the sandbox's clock).
    pub events_per_day: Option<i64>,
    /// Installed modules.
    pub modules: Option<i64>,
    /// Requests a second.
    pub rps: Option<i64>,
    /// Requests at once.
    pub burst: Option<i64>,
}

/// A plan, as far as others need it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlanInfo {
    /// Its id.
    pub id: Uuid,
    /// Its name: `growth`.
    pub name: String,
    /// What it allows.
    pub limits: PlanLimits,
}

/// What decides whether a tenant's request may pass.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// The state of the subscription.
    pub state: SubscriptionState,
    /// Its plan.
    pub plan: PlanInfo,
    /// Limits that are reached, by name. A hint: before anything is refused for it, [`Billing::check_limit`] has the word.
    pub full: Vec<String>,
    /// Good until then, on the sandbox's clock: the next step of the subscription is due.
    pub until: Option<Timestamp>,
}

contract! {
    /// What others ask billing, always about the context's tenant. The last word on a limit is not here but in
    /// `tx.reserve`, in the transaction of the effect.
    pub trait Billing via BillingLink {
        /// How the tenant stands. A tenant without a subscription gets its trial.
        async fn standing() -> Arc<Standing>;
        /// Whether the tenant is closed. For what reaches it without a credential that the gateway looked at.
        async fn is_terminated() -> bool;
        /// `plan-limit-exceeded` when `what` (`users`, `records`, `storageBytes`, `eventsPerDay`, `modules`) is used up now.
        async fn check_limit(what: String) -> ();
        /// The tenants of the sandbox that are terminated: they may not even read.
        async fn terminated() -> Vec<TenantId>;
        /// Adds to what the tenant has used of something today.
        async fn record_usage(what: &'static str, amount: i64) -> ();
    }
}
