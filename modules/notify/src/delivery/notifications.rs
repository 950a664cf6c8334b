//! What tenants tell people.

use std::time::{Duration, Instant};

use futures::StreamExt as _;
use kernel::{Ctx, Error, Result};

use super::{When, enqueue};
use crate::{
    Notify, OutboxMailId,
    events::Told,
    mail::{Envelope, Words, compose, html_of_text, keep},
    model::{Channel, OutboxState, State, schedule::pause_after},
    store::{
        inbox::{self, NewEntry},
        notifications::{self, LEASE_SECONDS, NotificationRow},
        outbox::{self, NewOutboxMail},
    },
};

/// Taken at a time: few, so that what is urgent and comes meanwhile does not wait long.
const BATCH: usize = 20;
/// On their way at the same time.
const AT_ONCE: usize = 8;
/// A job hands over to the next one when less than this is left of its time.
const LEAST_LEFT: Duration = Duration::from_secs(90);
/// The time for the statements of one delivery, beside what its server takes.
const STATEMENTS: Duration = Duration::from_secs(15);
/// Most of an error's text that is kept.
const MOST_ERROR: usize = 500;

/// What an attempt came to.
enum Outcome {
    /// It is where it belongs, and noted so.
    Done,
    /// It was not taken.
    Failed { for_good: bool, why: String },
}

impl Notify {
    /// Delivers all that is due of the job's tenant, the urgent first.
    pub(super) async fn deliver_due(&self, cx: &Ctx) -> Result<()> {
        let tenant = cx.tenant()?;
        loop {
            if cx.time_left() < LEAST_LEFT {
                return self.go_on(cx, When::Now).await;
            }
            let batch = notifications::take(&self.db, &fresh(cx, STATEMENTS), BATCH).await?;
            if batch.is_empty() {
                break;
            }
            tokio::time::sleep(self.pace.take(tenant, batch.len())).await;
            futures::stream::iter(batch)
                .for_each_concurrent(AT_ONCE, |row| async move {
                    if let Err(error) = self.attempt(cx, &row).await {
                        tracing::warn!(notification = %row.id, ?error, "an attempt can't be noted; it is made again");
                    }
                })
                .await;
        }
        if notifications::any_leased(&self.db, cx).await? {
            // In the hands of somebody who may have died: looked at when the lease is over.
            let later = cx.now().plus(Duration::from_secs(LEASE_SECONDS + 1));
            self.go_on(cx, When::At(later)).await?;
        }
        Ok(())
    }

    async fn go_on(&self, cx: &Ctx, when: When) -> Result<()> {
        let mut tx = self.db.tenant(cx)?.begin().await?;
        enqueue(&mut tx, when).await?;
        tx.commit(()).await
    }

    async fn attempt(&self, cx: &Ctx, row: &NotificationRow) -> Result<()> {
        let began = Instant::now();
        let outcome = match row.channel {
            Channel::InApp => self.to_inbox(cx, row, began).await,
            Channel::Email => self.to_mail(cx, row, began).await,
        };
        let (for_good, why) = match outcome {
            Ok(Outcome::Done) => return Ok(()),
            Ok(Outcome::Failed { for_good, why }) => (for_good, why),
            Err(error) => (false, error.detail().to_owned()),
        };
        let round = row.attempts.saturating_sub(row.attempts_before);
        let pause = pause_after(round, rand::random()).filter(|_| !for_good);
        let why: String = why.replace('\0', "\u{fffd}").chars().take(MOST_ERROR).collect();
        let cx = fresh(cx, STATEMENTS);
        let mut tx = self.db.tenant(&cx)?.begin().await?;
        let (state, due_at) = match pause {
            Some(pause) => (State::Queued, cx.now().plus(pause)),
            None => (State::Failed, row.due_at),
        };
        if !notifications::settle(&mut tx, row, state, due_at, millis(began), Some(&why)).await? {
            return Ok(());
        }
        match state {
            State::Queued => enqueue(&mut tx, When::At(due_at)).await?,
            _ => tx.event(Told::of(row).event("failed")?)?,
        }
        tx.commit(()).await
    }

    async fn to_inbox(&self, cx: &Ctx, row: &NotificationRow, began: Instant) -> Result<Outcome> {
        let cx = fresh(cx, STATEMENTS);
        let user = row.user_id.ok_or_else(|| Error::internal("a message for an inbox is for nobody"))?;
        let entry = NewEntry {
            id: row.id,
            user,
            kind: &row.kind,
            subject: &row.subject,
            body: &row.body,
            meta: &row.meta.0,
            created_at: cx.now(),
            read_at: None,
        };
        let mut tx = self.db.tenant(&cx)?.begin().await?;
        if notifications::settle(&mut tx, row, State::Delivered, row.due_at, millis(began), None).await? {
            inbox::insert(&mut tx, &entry).await?;
            tx.event(Told::of(row).event("delivered")?)?;
            tx.commit(()).await?;
        }
        Ok(Outcome::Done)
    }

    async fn to_mail(&self, cx: &Ctx, row: &NotificationRow, began: Instant) -> Result<Outcome> {
        let address = row.address.as_deref().unwrap_or_default();
        let server = self.server(&fresh(cx, STATEMENTS)).await?;
        let id = OutboxMailId::from_uuid(row.id.uuid());
        let words = Words {
            subject: row.subject.clone(),
            html: row.html.clone().unwrap_or_else(|| html_of_text(&row.body)),
            text: row.body.clone(),
        };
        let envelope = Envelope {
            from: self.from.clone(),
            to: address.to_owned(),
            name: None,
            id: id.uuid(),
            date: Self::date(cx, server.is_some()),
        };
        let message = match compose(&envelope, &words) {
            Ok(message) => message,
            Err(error) => {
                let why = format!("the mail can't be written: {}", error.causes());
                return Ok(Outcome::Failed { for_good: true, why });
            }
        };
        let content = self.sealed(id, &keep(&message, &words))?;
        if let Some(server) = server
            && let Err(refused) = server.send(message).await
        {
            return Ok(Outcome::Failed { for_good: refused.for_good, why: refused.why });
        }
        let cx = fresh(cx, STATEMENTS);
        let mut tx = self.db.tenant(&cx)?.begin().await?;
        if notifications::settle(&mut tx, row, State::Sent, row.due_at, millis(began), None).await? {
            let mail = NewOutboxMail {
                id,
                tenant: None,
                private: false,
                reader: None,
                address,
                subject: &row.subject,
                template: row.template.as_deref(),
                state: if server.is_some() { OutboxState::Sent } else { OutboxState::Captured },
                attempts: if server.is_some() { row.attempts } else { 0 },
                error: None,
                content: &content,
            };
            outbox::keep_for_tenant(&mut tx, &mail).await?;
            tx.event(Told::of(row).event("sent")?)?;
            tx.commit(()).await?;
        }
        Ok(Outcome::Done)
    }
}

/// The job's context with a deadline of its own: the job's is for all it does.
fn fresh(cx: &Ctx, time: Duration) -> Ctx {
    cx.until(Instant::now() + time)
}

fn millis(began: Instant) -> i32 {
    i32::try_from(began.elapsed().as_millis()).unwrap_or(i32::MAX)
}
