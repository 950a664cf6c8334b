//! Delivery: durable jobs that bring what is due to where it belongs.
//!
//! Notifications wait in their table, in order of priority; a job of the tenant says only that something is due there, and
//! whoever does it takes all that is. A notification is sent under a lease in real time; one whose worker died is taken
//! again. The kernel's mails are jobs of their own.

mod mails;
mod notifications;

use std::sync::Weak;

use fabric::{
    jobs::{Jobs, NewJob},
    postgres::Tx,
};
use kernel::{Ctx, Error, Result, Timestamp};
use ports::{MAIL_JOB, PRIVATE_MAIL_JOB};
use serde_json::json;

use crate::{Notify, store::outbox};

/// Something of the tenant is due.
const DELIVER_JOB: &str = "notify.deliver";
/// A mail of the kernel whose server did not take it.
const MAIL_AGAIN_JOB: &str = "notify.mail-again";

/// When something is due.
#[derive(Debug, Clone, Copy)]
pub(crate) enum When {
    /// At once.
    Now,
    /// Then, on the sandbox's clock.
    At(Timestamp),
}

/// Has what is due then delivered, if and when the transaction commits. Of many that are due within the same second one
/// job waits.
pub(crate) async fn enqueue(tx: &mut Tx, when: When) -> Result<()> {
    let (name, due_at) = match when {
        When::Now => ("now".to_owned(), tx.cx().now()),
        When::At(at) => (format!("at {}", at.unix_seconds()), at),
    };
    let job = NewJob::new(DELIVER_JOB, &json!({}), due_at)?.named(name);
    fabric::jobs::enqueue(tx, job).await.map(drop)
}

/// Adds this service's handlers.
pub(crate) fn jobs(notify: &Weak<Notify>, jobs: Jobs) -> Jobs {
    let ended = || Error::internal("the service has ended");
    let (deliver, mail, private, again) = (notify.clone(), notify.clone(), notify.clone(), notify.clone());
    jobs.on(DELIVER_JOB, move |cx, _| {
        let notify = deliver.upgrade();
        async move { notify.ok_or_else(ended)?.deliver_due(&cx).await }
    })
    .on(MAIL_JOB, move |cx, job| {
        let notify = mail.upgrade();
        async move { notify.ok_or_else(ended)?.mail(&cx, &job).await }
    })
    .on(PRIVATE_MAIL_JOB, move |cx, job| {
        let notify = private.upgrade();
        async move { notify.ok_or_else(ended)?.private_mail(&cx, &job).await }
    })
    .on(MAIL_AGAIN_JOB, move |cx, job| {
        let notify = again.upgrade();
        async move { notify.ok_or_else(ended)?.mail_again(&cx, &job).await }
    })
}

impl Notify {
    /// The server, if mail leaves this sandbox now.
    async fn server(&self, cx: &Ctx) -> Result<Option<&crate::mail::smtp::Smtp>> {
        match &self.smtp {
            Some(server) if outbox::outbound_allowed(&self.db, cx).await? => Ok(Some(server)),
            _ => Ok(None),
        }
    }

    /// The date of a mail: of the world where it leaves, of the sandbox where it stays.
    fn date(cx: &Ctx, leaves: bool) -> Timestamp {
        if leaves { Timestamp::real() } else { cx.now() }
    }
}
