//! The life of a subscription: trialing → active → past_due → suspended → terminated, or canceled.

use std::time::Duration;

use fabric::postgres::FromRow;
use kernel::{Error, FieldCode, Result, Slug, Timestamp};
use ports::SubscriptionState;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{
    invoice::{Line, LineKind, prorated},
    period::{days, end_after},
    plan::{Interval, Plan},
};

/// How long a trial is.
pub(crate) const TRIAL_DAYS: u64 = 30;
/// Days after a failed payment on which the owners are told, the day itself included.
pub(crate) const NOTICE_DAYS: [i16; 5] = [0, 2, 4, 6, 7];
/// The day from which a tenant without payment only reads.
pub(crate) const SUSPENDED_DAY: i16 = 8;
/// The day from which it is closed.
pub(crate) const TERMINATED_DAY: i16 = 38;

/// Where a subscription is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema, sqlx::Type)]
#[serde(rename_all = "snake_case")]
#[sqlx(type_name = "text", rename_all = "snake_case")]
pub(crate) enum State {
    /// In the trial.
    Trialing,
    /// Paid up.
    Active,
    /// A payment is missing; nothing is closed yet.
    PastDue,
    /// A payment is missing since eight days: reading and money only.
    Suspended,
    /// A payment was missing for 38 days: closed.
    Terminated,
    /// Ended by the tenant: reading and money only.
    Canceled,
}

impl State {
    pub fn told(self) -> SubscriptionState {
        match self {
            Self::Trialing => SubscriptionState::Trialing,
            Self::Active => SubscriptionState::Active,
            Self::PastDue => SubscriptionState::PastDue,
            Self::Suspended => SubscriptionState::Suspended,
            Self::Terminated => SubscriptionState::Terminated,
            Self::Canceled => SubscriptionState::Canceled,
        }
    }

    /// As it stands on the wire and in the table.
    pub fn word(self) -> &'static str {
        match self {
            Self::Trialing => "trialing",
            Self::Active => "active",
            Self::PastDue => "past_due",
            Self::Suspended => "suspended",
            Self::Terminated => "terminated",
            Self::Canceled => "canceled",
        }
    }
}

/// A tenant's subscription.
#[derive(Debug, Clone, PartialEq, Eq, FromRow)]
pub(crate) struct Subscription {
    pub id: Uuid,
    pub plan_id: Uuid,
    pub state: State,
    pub anchor: Timestamp,
    pub period_start: Timestamp,
    pub period_end: Timestamp,
    /// What the running period was billed at, in minor units: a plan's price may change meanwhile.
    pub period_price: i64,
    pub next_plan_id: Option<Uuid>,
    pub cancel_at_period_end: bool,
    pub past_due_since: Option<Timestamp>,
    /// The day of dunning up to which everything was done.
    pub dunning_day: i16,
    pub tax_basis_points: i32,
    pub credit: i64,
    pub pays: bool,
    pub ended_at: Option<Timestamp>,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
    pub version: i32,
}

/// What time alone does to a subscription.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// The period is over: the next one begins, or the subscription ends.
    PeriodEnd,
    /// The owners are told on this day.
    Notice(i16),
    Suspend,
    Terminate,
}

/// What becomes of the wish for another plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum PlanChange {
    /// At once; a new period begins.
    Anew(Vec<Line>),
    /// At once; the period goes on.
    Within(Vec<Line>),
    /// When the period ends.
    Later,
}

impl Subscription {
    /// A subscription whose first period begins now: a trial, or a period of a plan.
    pub fn new(plan: &Plan, state: State, now: Timestamp) -> Self {
        let mut new = Self {
            id: Uuid::now_v7(),
            plan_id: plan.id,
            state,
            anchor: now,
            period_start: now,
            period_end: now,
            period_price: 0,
            next_plan_id: None,
            cancel_at_period_end: false,
            past_due_since: None,
            dunning_day: 0,
            tax_basis_points: 0,
            credit: 0,
            pays: true,
            ended_at: None,
            created_at: now,
            updated_at: now,
            version: 1,
        };
        new.begin(plan, now);
        if state == State::Trialing {
            new.period_end = now.plus(days(TRIAL_DAYS));
            new.period_price = 0;
        }
        new
    }

    /// A new row of periods of `plan` begins.
    pub fn begin(&mut self, plan: &Plan, at: Timestamp) {
        self.plan_id = plan.id;
        self.anchor = at;
        self.period_start = at;
        self.period_end = end_after(at, plan.every, at);
        self.period_price = plan.price;
        self.next_plan_id = None;
        self.cancel_at_period_end = false;
    }

    /// The period that follows the one which ends; `from` is the plan that held until then.
    pub fn renew(&mut self, from: Interval, plan: &Plan) {
        let at = self.period_end;
        if self.state == State::Trialing || from != plan.every {
            self.begin(plan, at);
        } else {
            let anchor = self.anchor;
            self.begin(plan, at);
            self.anchor = anchor;
            self.period_end = end_after(anchor, plan.every, at);
        }
        if self.state == State::Trialing {
            self.state = State::Active;
        }
    }

    /// A day of dunning.
    fn day(&self, number: i16) -> Option<Timestamp> {
        self.past_due_since.map(|since| since.plus(days(u64::from(number.unsigned_abs()))))
    }

    /// When the tenant is suspended if nothing is paid.
    pub fn suspends_at(&self) -> Option<Timestamp> {
        if self.state == State::PastDue { self.day(SUSPENDED_DAY) } else { None }
    }

    /// When the tenant is closed if nothing is paid.
    pub fn terminates_at(&self) -> Option<Timestamp> {
        if matches!(self.state, State::PastDue | State::Suspended) { self.day(TERMINATED_DAY) } else { None }
    }

    /// What happens next if nobody does anything, and when.
    pub fn next_step(&self) -> Option<(Timestamp, Step)> {
        match self.state {
            State::Trialing | State::Active => Some((self.period_end, Step::PeriodEnd)),
            State::PastDue => match NOTICE_DAYS.iter().find(|day| **day > self.dunning_day) {
                Some(day) => Some((self.day(*day)?, Step::Notice(*day))),
                None => Some((self.day(SUSPENDED_DAY)?, Step::Suspend)),
            },
            State::Suspended => Some((self.day(TERMINATED_DAY)?, Step::Terminate)),
            State::Terminated | State::Canceled => None,
        }
    }

    /// A charge did not go through. The first time begins the days of dunning.
    pub fn payment_failed(&mut self, at: Timestamp) {
        if !matches!(self.state, State::PastDue | State::Suspended) {
            self.state = State::PastDue;
            self.past_due_since = Some(at);
            self.dunning_day = 0;
        }
    }

    /// Everything that was open is paid.
    pub fn paid(&mut self) {
        if matches!(self.state, State::PastDue | State::Suspended) {
            self.state = State::Active;
        }
        self.past_due_since = None;
        self.dunning_day = 0;
    }

    /// It is over, by the tenant's own wish.
    pub fn cancel(&mut self, at: Timestamp) {
        self.state = State::Canceled;
        self.past_due_since = None;
        self.dunning_day = 0;
        self.next_plan_id = None;
        self.cancel_at_period_end = false;
        self.ended_at = Some(at);
    }

    /// What the wish for `wanted` comes to, now.
    ///
    /// Errors: invalid-state while a payment is missing or after the end, and for the plan that holds anyway;
    /// validation-error for a plan in another currency while money of this one is at stake.
    pub fn change(&self, plan: &Plan, wanted: &Plan, now: Timestamp) -> Result<PlanChange> {
        match self.state {
            State::Trialing | State::Active => {}
            State::PastDue | State::Suspended => {
                return Err(invalid("A payment is missing; pay before you change the plan."));
            }
            State::Terminated | State::Canceled => {
                return Err(invalid("It has ended; POST /billing/subscriptions begins a canceled one anew."));
            }
        }
        let free = self.period_price == 0;
        if wanted.id == plan.id {
            return Err(invalid(match self.next_plan_id {
                Some(_) => "This is the plan now; withdraw the coming change with cancelDowngrade.",
                None => "This is the plan already.",
            }));
        }
        if wanted.currency != plan.currency && (!free || self.credit > 0) {
            let message = format!("is paid in {}, and the plan now in {}", wanted.currency, plan.currency);
            return Err(Error::field("/plan", FieldCode::NotAllowed, message));
        }
        let dearer = wanted.yearly_price() > plan.yearly_price();
        if !dearer {
            return Ok(PlanChange::Later);
        }
        if free {
            return Ok(PlanChange::Anew(vec![whole(wanted)]));
        }
        let (left, period) = self.remaining(now);
        let unused = Line::new(
            LineKind::Unused,
            format!("{}, the part of the period that is left", plan.name),
            -prorated(self.period_price, left, period),
        );
        if wanted.every != plan.every {
            return Ok(PlanChange::Anew(vec![unused, whole(wanted)]));
        }
        let rest = Line::new(
            LineKind::Proration,
            format!("{}, until the period ends", wanted.name),
            prorated(wanted.price, left, period),
        );
        Ok(PlanChange::Within(vec![unused, rest]))
    }

    /// How much of the period is left, and how long it is.
    fn remaining(&self, now: Timestamp) -> (Duration, Duration) {
        (self.period_end.since(now.max(self.period_start)), self.period_end.since(self.period_start))
    }
}

/// The line for a whole period.
pub(crate) fn whole(plan: &Plan) -> Line {
    let period = match plan.every {
        Interval::Monthly => "a month",
        Interval::Yearly => "a year",
    };
    Line::new(LineKind::Plan, format!("{}, {period}", plan.name), plan.price)
}

pub(crate) fn invalid(why: &'static str) -> Error {
    Error::new(Slug::InvalidState, why)
}

#[cfg(test)]
#[path = "subscription_tests.rs"]
mod tests;
