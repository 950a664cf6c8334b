use kernel::{Ctx, DomainEvent, Error, EventId, Id, Result, SubscriptionId, Timestamp};

use super::row::EventRow;
use crate::postgres::{Database, FromRow, Tx};

/// Marks the ids of dead letters.
#[derive(Debug, Clone, Copy)]
pub enum DeadLetterKind {}

/// Names a dead letter.
pub type DeadLetterId = Id<DeadLetterKind>;

/// Events of a tenant's subscriptions that failed too often. They and their events are kept for 30 days.
#[derive(Clone)]
pub struct DeadLetters {
    db: Database,
}

/// An event that failed too often for one subscription.
#[derive(Debug, Clone)]
pub struct DeadLetter {
    /// Its id.
    pub id: DeadLetterId,
    /// For which subscription.
    pub subscription: SubscriptionId,
    /// That subscription's consumer group.
    pub consumer: String,
    /// The event.
    pub event: DomainEvent,
    /// What the receiver said last.
    pub error: String,
    /// How often it was tried.
    pub attempts: i16,
    /// First handed out, on the sandbox's clock.
    pub first_at: Timestamp,
    /// Last failed, on the sandbox's clock.
    pub last_at: Timestamp,
}

/// Which dead letters are meant; all of the tenant's unless narrowed.
#[derive(Debug, Clone, Copy, Default)]
pub struct Whose<'a> {
    /// Of this module's subscriptions only.
    pub module: Option<&'a str>,
    /// Of this subscription only.
    pub subscription: Option<SubscriptionId>,
}

/// What one call of [`DeadLetters::replay_all`] did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Replayed {
    /// How many were put back.
    pub queued: u64,
    /// Whether there are more.
    pub more: bool,
}

/// Most dead letters that one call puts back.
const MOST_REPLAYED: i64 = 1000;

#[derive(FromRow)]
struct LetterRow {
    letter_id: DeadLetterId,
    subscription_id: SubscriptionId,
    consumer: String,
    error: String,
    attempts: i16,
    first_at: Timestamp,
    last_at: Timestamp,
    #[sqlx(flatten)]
    event: EventRow,
}

impl LetterRow {
    fn letter(self) -> Result<DeadLetter> {
        let event = self.event.event()?.ok_or_else(|| Error::internal("a dead letter without its event"))?;
        Ok(DeadLetter {
            id: self.letter_id,
            subscription: self.subscription_id,
            consumer: self.consumer,
            event,
            error: self.error,
            attempts: self.attempts,
            first_at: self.first_at,
            last_at: self.last_at,
        })
    }
}

fn not_found() -> Error {
    Error::not_found("dead letter")
}

impl DeadLetters {
    /// The dead letters of a sandbox.
    pub fn new(db: Database) -> Self {
        Self { db }
    }

    /// The latest first, from behind `after`.
    ///
    /// # Errors
    /// What the database says.
    pub async fn list(
        &self,
        cx: &Ctx,
        whose: Whose<'_>,
        after: Option<(Timestamp, DeadLetterId)>,
        most: usize,
    ) -> Result<Vec<DeadLetter>> {
        let rows: Vec<LetterRow> = self
            .db
            .tenant(cx)?
            .query(crate::sql!(
                "select l.id as letter_id, l.subscription_id, s.name as consumer, l.error, l.attempts, l.first_at, \
                        l.last_at, e.id, e.tenant_id, e.key, e.type, e.source, e.schema_version, e.data, e.trace_id, \
                        e.at \
                 from kernel.dead_letter l \
                 join kernel.subscription s on s.id = l.subscription_id and kernel.owns($1, s.tenant_id) \
                 join kernel.event e on e.id = l.event_id and kernel.owns($1, e.tenant_id) \
                 where kernel.owns($1, l.tenant_id) and ($2::text is null or s.module = $2) \
                   and ($3::uuid is null or s.id = $3) \
                   and ($4::timestamptz is null or (l.last_at, l.id) < ($4, $5::uuid)) \
                 order by l.last_at desc, l.id desc limit $6"
            ))
            .bind(whose.module)
            .bind(whose.subscription)
            .bind(after.map(|(at, _)| at))
            .bind(after.map(|(_, id)| id))
            .bind(i64::try_from(most).unwrap_or(i64::MAX))
            .all()
            .await?;
        rows.into_iter().map(LetterRow::letter).collect()
    }

    /// One of them.
    ///
    /// # Errors
    /// `not-found`.
    pub async fn get(&self, cx: &Ctx, id: DeadLetterId, module: Option<&str>) -> Result<DeadLetter> {
        let row: Option<LetterRow> = self
            .db
            .tenant(cx)?
            .query(crate::sql!(
                "select l.id as letter_id, l.subscription_id, s.name as consumer, l.error, l.attempts, l.first_at, \
                        l.last_at, e.id, e.tenant_id, e.key, e.type, e.source, e.schema_version, e.data, e.trace_id, \
                        e.at \
                 from kernel.dead_letter l \
                 join kernel.subscription s on s.id = l.subscription_id and kernel.owns($1, s.tenant_id) \
                 join kernel.event e on e.id = l.event_id and kernel.owns($1, e.tenant_id) \
                 where kernel.owns($1, l.tenant_id) and l.id = $2 and ($3::text is null or s.module = $3)"
            ))
            .bind(id)
            .bind(module)
            .optional()
            .await?;
        row.ok_or_else(not_found)?.letter()
    }

    /// Puts one back: it is delivered as if for the first time, before later events of its key that still wait.
    ///
    /// # Errors
    /// `not-found`.
    pub async fn retry(&self, tx: &mut Tx, id: DeadLetterId, module: Option<&str>) -> Result<EventId> {
        let event: Option<EventId> = tx
            .query(crate::sql!(
                "with letter as ( \
                     delete from kernel.dead_letter l using kernel.subscription s \
                     where kernel.owns($1, l.tenant_id) and l.id = $2 and s.id = l.subscription_id \
                       and kernel.owns($1, s.tenant_id) and ($3::text is null or s.module = $3) \
                     returning l.subscription_id, l.tenant_id, l.event_id), \
                 opened as ( \
                     insert into kernel.delivery (subscription_id, tenant_id, event_id, topic, partition, position, lane) \
                     select l.subscription_id, l.tenant_id, e.id, e.topic, e.partition, e.position, \
                            coalesce(e.tenant_id::text, '') || '/' || e.key \
                     from letter l join kernel.event e on e.id = l.event_id and kernel.owns($1, e.tenant_id) \
                     on conflict (subscription_id, event_id) do nothing) \
                 select event_id from letter"
            ))
            .bind(id)
            .bind(module)
            .optional_value()
            .await?;
        event.ok_or_else(not_found)
    }

    /// Puts the oldest 1,000 of those that are meant back.
    ///
    /// # Errors
    /// What the database says.
    pub async fn replay_all(&self, tx: &mut Tx, whose: Whose<'_>) -> Result<Replayed> {
        let queued: i64 = tx
            .query(crate::sql!(
                "with meant as ( \
                     select l.id from kernel.dead_letter l \
                     join kernel.subscription s on s.id = l.subscription_id and kernel.owns($1, s.tenant_id) \
                     where kernel.owns($1, l.tenant_id) and ($2::text is null or s.module = $2) \
                       and ($3::uuid is null or s.id = $3) \
                     order by l.last_at, l.id limit $4), \
                 letter as ( \
                     delete from kernel.dead_letter l using meant m \
                     where kernel.owns($1, l.tenant_id) and l.id = m.id \
                     returning l.subscription_id, l.tenant_id, l.event_id), \
                 opened as ( \
                     insert into kernel.delivery (subscription_id, tenant_id, event_id, topic, partition, position, lane) \
                     select l.subscription_id, l.tenant_id, e.id, e.topic, e.partition, e.position, \
                            coalesce(e.tenant_id::text, '') || '/' || e.key \
                     from letter l join kernel.event e on e.id = l.event_id and kernel.owns($1, e.tenant_id) \
                     on conflict (subscription_id, event_id) do nothing) \
                 select count(*) from letter"
            ))
            .bind(whose.module)
            .bind(whose.subscription)
            .bind(MOST_REPLAYED)
            .value()
            .await?;
        Ok(Replayed { queued: u64::try_from(queued).unwrap_or(0), more: queued == MOST_REPLAYED })
    }

    /// Gives one up for good.
    ///
    /// # Errors
    /// `not-found`.
    pub async fn delete(&self, tx: &mut Tx, id: DeadLetterId, module: Option<&str>) -> Result<EventId> {
        let event: Option<EventId> = tx
            .query(crate::sql!(
                "delete from kernel.dead_letter l using kernel.subscription s \
                 where kernel.owns($1, l.tenant_id) and l.id = $2 and s.id = l.subscription_id \
                   and kernel.owns($1, s.tenant_id) and ($3::text is null or s.module = $3) \
                 returning l.event_id"
            ))
            .bind(id)
            .bind(module)
            .optional_value()
            .await?;
        event.ok_or_else(not_found)
    }
}
