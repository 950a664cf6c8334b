use std::time::Duration;

use kernel::{Actor, Ctx, Error, EventId, Result, Slug, SubscriptionId, TenantId};

use super::{
    Cursor, Patterns,
    row::EventRow,
    subscription::{Delivery, NewSubscription, Place, Pulled, SeekTo, Statements, Subscription},
};
use crate::postgres::{Database, FromRow, Handle, Json, Reason, Tx, violated};

/// Standing wishes to be given events, each with its own places in the log, kept in Postgres.
///
/// A tenant's subscription is given that tenant's events; one of a service those of all tenants. Delivery is at least
/// once and in order per key: while an event is in somebody's hands or waits for its next try, later events of its key
/// wait and those of other keys go on.
///
/// Which kind is meant follows from the context: that of a tenant reaches this tenant's subscriptions and no other,
/// that of a service without a tenant those of services.
#[derive(Clone)]
pub struct Subscriptions {
    db: Database,
}

/// Most subscriptions of a tenant.
const MOST: i64 = 100;

#[derive(FromRow)]
struct PulledRow {
    #[sqlx(flatten)]
    event: EventRow,
    attempt: Option<i16>,
    more: Option<bool>,
    waiting: Option<bool>,
    due_in_ms: Option<i64>,
}

pub(super) fn not_found() -> Error {
    Error::not_found("subscription")
}

impl Subscriptions {
    /// The subscriptions of a sandbox.
    pub fn new(db: Database) -> Self {
        Self { db }
    }

    fn handle(&self, cx: &Ctx) -> Result<Handle> {
        match (cx.tenant(), cx.actor()) {
            (Err(_), Actor::System(_)) => Ok(self.db.system(cx, Reason::Events)),
            _ => self.db.tenant(cx),
        }
    }

    /// Makes a tenant's subscription.
    ///
    /// # Errors
    /// `already-exists` for a name that is taken; `limit-exceeded` beyond 100.
    pub async fn create(&self, tx: &mut Tx, new: NewSubscription) -> Result<Subscription> {
        let id = SubscriptionId::new();
        let made: Result<Option<Subscription>> = tx
            .query(crate::sql!(
                "with few as (select count(*) < $2 as fine from kernel.subscription s where kernel.owns($1, s.tenant_id)), \
                 made as (insert into kernel.subscription (id, tenant_id, name, module, types, target, max_retries) \
                          select $3, $1, $4, $5, $6, $7, $8 from few where fine returning *), \
                 placed as (insert into kernel.subscription_position (subscription_id, tenant_id, topic, partition, \
                                                                      position) \
                            select m.id, m.tenant_id, h.topic, h.partition, h.position \
                            from made m cross join kernel.event_head h \
                            where not $9 and ('*' = any (m.types) or h.topic = any (array( \
                                select kernel.topic_of(p) from unnest(m.types) p)))) \
                 select id, name, module, types, target, max_retries, created_at from made"
            ))
            .bind(MOST)
            .bind(id)
            .bind(new.name)
            .bind(new.module)
            .bind(new.patterns.as_slice())
            .bind(Json(new.target))
            .bind(new.max_retries)
            .bind(new.from_beginning)
            .optional()
            .await;
        match made {
            Ok(Some(made)) => Ok(made),
            Ok(None) => {
                let text = format!("A tenant has at most {MOST} subscriptions; delete one that nobody uses.");
                Err(Error::new(Slug::LimitExceeded, text))
            }
            Err(error) if violated(&error) == Some("subscription_by_name") => {
                Err(Error::new(Slug::AlreadyExists, "This consumerGroup has a subscription already.")
                    .because(error))
            }
            Err(error) => Err(error),
        }
    }

    /// The subscription of a service, made when it is not there yet. A new one begins with all that the log holds, for
    /// nothing that happened before the service first ran may be missed.
    ///
    /// # Errors
    /// What the database says.
    pub async fn of_service(&self, cx: &Ctx, name: &str, patterns: &Patterns) -> Result<SubscriptionId> {
        self.db
            .system(cx, Reason::Events)
            .query(crate::sql!(
                "insert into kernel.subscription (id, name, types, target) values ($1, $2, $3, '{\"kind\": \"service\"}') \
                 on conflict (tenant_id, module, name) do update set types = excluded.types \
                 returning id"
            ))
            .bind(SubscriptionId::new())
            .bind(name)
            .bind(patterns.as_slice())
            .value()
            .await
    }

    /// A tenant's subscriptions by id, from behind `after`; of one module only where one is named.
    ///
    /// # Errors
    /// What the database says.
    pub async fn list(
        &self,
        cx: &Ctx,
        module: Option<&str>,
        after: Option<SubscriptionId>,
        most: usize,
    ) -> Result<Vec<Subscription>> {
        self.db
            .tenant(cx)?
            .query(crate::sql!(
                "select s.id, s.name, s.module, s.types, s.target, s.max_retries, s.created_at \
                 from kernel.subscription s \
                 where kernel.owns($1, s.tenant_id) and ($2::text is null or s.module = $2) \
                   and ($3::uuid is null or s.id > $3) \
                 order by s.id limit $4"
            ))
            .bind(module)
            .bind(after)
            .bind(i64::try_from(most).unwrap_or(i64::MAX))
            .all()
            .await
    }

    /// A tenant's subscription; of one module only where one is named.
    ///
    /// # Errors
    /// `not-found`.
    pub async fn get(&self, cx: &Ctx, id: SubscriptionId, module: Option<&str>) -> Result<Subscription> {
        self.found(&mut self.db.tenant(cx)?, id, module).await
    }

    /// The same, read where other statements of the request go.
    ///
    /// # Errors
    /// `not-found`.
    pub async fn found(
        &self,
        at: &mut impl Statements,
        id: SubscriptionId,
        module: Option<&str>,
    ) -> Result<Subscription> {
        at.statement(crate::sql!(
            "select s.id, s.name, s.module, s.types, s.target, s.max_retries, s.created_at \
             from kernel.subscription s \
             where kernel.owns($1, s.tenant_id) and s.id = $2 and ($3::text is null or s.module = $3)"
        ))
        .bind(id)
        .bind(module)
        .optional()
        .await?
        .ok_or_else(not_found)
    }

    /// Ends a subscription with everything that was open in it.
    ///
    /// # Errors
    /// `not-found`.
    pub async fn delete(
        &self,
        tx: &mut Tx,
        id: SubscriptionId,
        module: Option<&str>,
    ) -> Result<Subscription> {
        tx.query(crate::sql!(
            "delete from kernel.subscription s \
             where kernel.owns($1, s.tenant_id) and s.id = $2 and ($3::text is null or s.module = $3) \
             returning s.id, s.name, s.module, s.types, s.target, s.max_retries, s.created_at"
        ))
        .bind(id)
        .bind(module)
        .optional()
        .await?
        .ok_or_else(not_found)
    }

    /// Takes up to `most` events that may be delivered now, under a lease of 30 s. One round trip; safe with any number
    /// of pullers.
    ///
    /// # Errors
    /// `not-found`.
    pub async fn pull(&self, cx: &Ctx, id: SubscriptionId, most: usize) -> Result<Pulled> {
        let handle = self.handle(cx)?;
        let query = match handle.bound_to() {
            Some(_) => handle.query(crate::sql!(
                "select id, tenant_id, key, type, source, schema_version, data, trace_id, at, attempt, more, waiting, \
                        due_in_ms \
                 from kernel.pull($1, $2, $3)"
            )),
            None => handle.query(crate::sql!(
                "select id, tenant_id, key, type, source, schema_version, data, trace_id, at, attempt, more, waiting, \
                        due_in_ms \
                 from kernel.pull(null, $1, $2)"
            )),
        };
        let rows: Vec<PulledRow> =
            query.bind(id).bind(i32::try_from(most.clamp(1, 500)).unwrap_or(1)).all().await?;
        if rows.is_empty() {
            return Err(not_found());
        }
        let mut pulled = Pulled::default();
        for row in rows {
            match row.event.event()? {
                Some(event) => pulled.deliveries.push(Delivery { event, attempt: row.attempt.unwrap_or(1) }),
                None => {
                    pulled.more = row.more.unwrap_or(false);
                    pulled.waiting = row.waiting.unwrap_or(false);
                    let wait = row.due_in_ms.map(|ms| Duration::from_millis(u64::try_from(ms).unwrap_or(0)));
                    pulled.due_in = wait;
                }
            }
        }
        Ok(pulled)
    }

    /// Says that events were dealt with; answers how many of them were still open.
    ///
    /// # Errors
    /// What the database says. An event that is not open is none: it was acknowledged before.
    pub async fn ack(&self, cx: &Ctx, id: SubscriptionId, events: &[EventId]) -> Result<u64> {
        self.ack_at(&mut self.handle(cx)?, cx.tenant().ok(), id, events).await
    }

    /// The same, where other statements of the request go.
    ///
    /// # Errors
    /// As [`Subscriptions::ack`].
    pub async fn ack_at(
        &self,
        at: &mut impl Statements,
        tenant: Option<TenantId>,
        id: SubscriptionId,
        events: &[EventId],
    ) -> Result<u64> {
        let query = match tenant {
            Some(_) => at.statement(crate::sql!(
                "delete from kernel.delivery d \
                 where kernel.owns($1, d.tenant_id) and d.subscription_id = $2 and d.event_id = any ($3) \
                   and d.attempts > 0"
            )),
            None => at.statement(crate::sql!(
                "delete from kernel.delivery d \
                 where d.tenant_id is null and d.subscription_id = $1 and d.event_id = any ($2) and d.attempts > 0"
            )),
        };
        query.bind(id).bind(events).run().await
    }

    /// Says that events failed, each with its reason: they come again after 1 s, 5 s, 25 s (±10 %), then become dead
    /// letters.
    ///
    /// # Errors
    /// `not-found`.
    pub async fn nack(&self, cx: &Ctx, id: SubscriptionId, failed: &[(EventId, String)]) -> Result<()> {
        self.nack_at(&mut self.handle(cx)?, cx.tenant().ok(), id, failed).await
    }

    /// The same, where other statements of the request go.
    ///
    /// # Errors
    /// `not-found`.
    pub async fn nack_at(
        &self,
        at: &mut impl Statements,
        tenant: Option<TenantId>,
        id: SubscriptionId,
        failed: &[(EventId, String)],
    ) -> Result<()> {
        let (events, errors): (Vec<EventId>, Vec<String>) = failed.iter().cloned().unzip();
        let query = match tenant {
            Some(_) => at.statement(crate::sql!("select kernel.nack($1, $2, $3, $4)")),
            None => at.statement(crate::sql!("select kernel.nack(null, $1, $2, $3)")),
        };
        let found: bool = query.bind(id).bind(events).bind(errors).value().await?;
        if found { Ok(()) } else { Err(not_found()) }
    }

    /// Gives back what a service took and did not begin: it can be handed out at once, and did not fail.
    ///
    /// # Errors
    /// What the database says.
    pub async fn release(&self, cx: &Ctx, id: SubscriptionId, events: &[EventId]) -> Result<u64> {
        self.db
            .system(cx, Reason::Events)
            .query(crate::sql!(
                "update kernel.delivery d \
                 set leased = false, due_at = clock_timestamp(), attempts = greatest(d.attempts - 1, 0) \
                 where d.tenant_id is null and d.subscription_id = $1 and d.event_id = any ($2) and d.leased"
            ))
            .bind(id)
            .bind(events)
            .run()
            .await
    }

    /// Puts a tenant's subscription elsewhere in the log. What it had taken and not acknowledged is forgotten.
    ///
    /// # Errors
    /// `not-found`.
    pub async fn seek(&self, tx: &mut Tx, id: SubscriptionId, to: &SeekTo) -> Result<()> {
        let (word, moment, (topics, partitions, positions)) = match to {
            SeekTo::Beginning => ("beginning", None, Cursor::beginning().columns()),
            SeekTo::End => ("end", None, Cursor::beginning().columns()),
            SeekTo::Time(at) => ("moment", Some(*at), Cursor::beginning().columns()),
            SeekTo::Cursor(cursor) => ("cursor", None, cursor.columns()),
        };
        let found: bool = tx
            .query(crate::sql!("select kernel.seek($1, $2, $3, $4, $5, $6, $7)"))
            .bind(id)
            .bind(word)
            .bind(moment)
            .bind(topics)
            .bind(partitions)
            .bind(positions)
            .value()
            .await?;
        if found { Ok(()) } else { Err(not_found()) }
    }

    /// How far a tenant's subscription is.
    ///
    /// # Errors
    /// What the database says.
    pub async fn place(&self, at: &mut impl Statements, id: SubscriptionId) -> Result<Place> {
        let row: PlaceRow = at
            .statement(crate::sql!(
                "select coalesce(array_agg(p.topic), '{}') as topics, \
                        coalesce(array_agg(p.partition), '{}') as partitions, \
                        coalesce(array_agg(p.position), '{}') as positions, \
                        (select count(*) from kernel.delivery d \
                         where kernel.owns($1, d.tenant_id) and d.subscription_id = $2) as open, \
                        (select count(*) from kernel.dead_letter l \
                         where kernel.owns($1, l.tenant_id) and l.subscription_id = $2) as dead_letters \
                 from kernel.subscription_position p \
                 where kernel.owns($1, p.tenant_id) and p.subscription_id = $2"
            ))
            .bind(id)
            .one()
            .await?;
        let mut cursor = Cursor::beginning();
        for ((topic, partition), position) in row.topics.iter().zip(row.partitions).zip(row.positions) {
            cursor.set(topic, partition, position);
        }
        Ok(Place { cursor, open: row.open, dead_letters: row.dead_letters })
    }
}

#[derive(FromRow)]
struct PlaceRow {
    topics: Vec<String>,
    partitions: Vec<i16>,
    positions: Vec<i64>,
    open: i64,
    dead_letters: i64,
}
