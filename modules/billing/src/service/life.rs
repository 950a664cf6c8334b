//! What time does to subscriptions.

use fabric::jobs::NewJob;
use kernel::{Ctx, Error, Result, Slug, Timestamp};
use serde::{Deserialize, Serialize};

use crate::{
    Billing,
    model::subscription::{SUSPENDED_DAY, State, Step, Subscription, TERMINATED_DAY},
};

/// The kind of the job that takes a subscription's next step.
pub(crate) const STEP_JOB: &str = "billing.step";

#[derive(Serialize, Deserialize)]
struct StepDue {
    due: Timestamp,
}

/// The job for what is due next. Its name holds the moment: a change that brings the next step forward is not swallowed
/// by the job that waits for the old one, and that one will find nothing to do.
pub(super) fn next_job(subscription: &Subscription) -> Result<Option<NewJob>> {
    let Some((due, _)) = subscription.next_step() else { return Ok(None) };
    Ok(Some(NewJob::new(STEP_JOB, &StepDue { due }, due)?.named(due.micros().to_string())))
}

impl Billing {
    /// Takes the next step of the tenant's subscription if it is due. One at a time and each at its own moment, so that a
    /// clock which jumped a month is followed through every state in order.
    pub(crate) async fn take_step(&self, cx: &Ctx) -> Result<()> {
        let Some(mut change) = self.begin_change(cx).await? else { return Ok(()) };
        let due = change.now.next_step().filter(|(due, _)| *due <= cx.now());
        let Some((at, step)) = due else { return Ok(()) };
        change.at = at;
        let action = match step {
            Step::PeriodEnd => {
                change.end_period().await?;
                "subscription.period_ended"
            }
            Step::Notice(day) => {
                change.notice(day).await?;
                "subscription.notice_sent"
            }
            Step::Suspend => {
                change.now.state = State::Suspended;
                change.now.dunning_day = SUSPENDED_DAY;
                "subscription.suspended"
            }
            Step::Terminate => {
                change.now.state = State::Terminated;
                change.now.dunning_day = TERMINATED_DAY;
                change.now.ended_at = Some(at);
                "subscription.terminated"
            }
        };
        change.finish(action).await.map(drop)
    }
}

/// Compares `If-Match` with the version of a resource.
pub(super) fn expect_version(what: &str, seen: Option<i32>, version: i32) -> Result<()> {
    match seen {
        Some(seen) if seen != version => Err(Error::new(
            Slug::PreconditionFailed,
            format!("The {what} is in version {version} now; read it again and apply your change to that."),
        )),
        _ => Ok(()),
    }
}

/// An amount for people: `49.00 USD`. Currencies without a minor unit, or with a thousandth (ISO 4217), are written so.
pub(super) fn money(minor: i64, currency: &str) -> String {
    let digits = match currency {
        "BIF" | "CLP" | "DJF" | "GNF" | "ISK" | "JPY" | "KMF" | "KRW" | "PYG" | "RWF" | "UGX" | "UYI"
        | "VND" | "VUV" | "XAF" | "XOF" | "XPF" => 0,
        "BHD" | "IQD" | "JOD" | "KWD" | "LYD" | "OMR" | "TND" => 3,
        _ => 2,
    };
    let unit = 10_i64.pow(digits);
    match digits {
        0 => format!("{minor} {currency}"),
        _ => format!("{}.{:0width$} {currency}", minor / unit, minor % unit, width = digits as usize),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_written_with_the_digits_of_their_currency() {
        assert_eq!(money(4_905, "USD"), "49.05 USD");
        assert_eq!(money(4_900, "JPY"), "4900 JPY");
        assert_eq!(money(4_900, "KWD"), "4.900 KWD");
    }
}
