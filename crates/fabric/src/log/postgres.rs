use std::sync::Arc;

use async_trait::async_trait;
use kernel::{Ctx, Result, Timestamp};

use super::{Batch, Cursor, EventLog, Listener, News, Patterns, Read, row::EventRow};
use crate::postgres::{Database, FromRow, Reason};

/// The log in a sandbox's own database: the record on every set-up, and on the embedded one also what delivers.
pub struct PostgresLog {
    db: Database,
    news: Arc<News>,
}

/// One call passes over a bounded number of rows; this many are made for one batch.
const MOST_STEPS: usize = 50;
/// Rows that a call looks at: the first, and later ones.
const LOOK_FIRST: i32 = 500;
const LOOK_LAST: i32 = 8000;
/// Most events of one batch.
const MOST_EVENTS: usize = 1000;

#[derive(FromRow)]
struct LogRow {
    topic: String,
    partition: i16,
    place: i64,
    at_head: Option<bool>,
    #[sqlx(flatten)]
    event: EventRow,
}

impl PostgresLog {
    /// The log of `db`; `news` is told by its [`super::Relay`].
    pub fn new(db: Database, news: Arc<News>) -> Self {
        Self { db, news }
    }

    async fn step(&self, cx: &Ctx, read: Read<'_>, from: &Cursor, look: i32) -> Result<Vec<LogRow>> {
        let (topics, partitions, positions) = from.columns();
        let query = match read.tenant {
            Some(tenant) => self.db.tenant(&cx.within(tenant))?.query(crate::sql!(
                "select e.topic, e.partition, e.place, e.at_head, e.id, e.tenant_id, e.key, e.type, e.source, \
                        e.schema_version, e.data, e.trace_id, e.at \
                 from kernel.next_events($1, $2, $3, $4, $5, $6, $7) e"
            )),
            None => self.db.system(cx, Reason::Events).query(crate::sql!(
                "select e.topic, e.partition, e.place, e.at_head, e.id, e.tenant_id, e.key, e.type, e.source, \
                        e.schema_version, e.data, e.trace_id, e.at \
                 from kernel.next_events(null, $1, $2, $3, $4, $5, $6) e"
            )),
        };
        let most = i32::try_from(read.most.clamp(1, MOST_EVENTS)).unwrap_or(1);
        query
            .bind(read.patterns.as_slice())
            .bind(topics)
            .bind(partitions)
            .bind(positions)
            .bind(most)
            .bind(look)
            .all()
            .await
    }

    fn cursor(places: Vec<(String, i16, i64)>) -> Cursor {
        let mut cursor = Cursor::beginning();
        for (topic, partition, position) in places {
            cursor.set(&topic, partition, position);
        }
        cursor
    }
}

#[async_trait]
impl EventLog for PostgresLog {
    async fn read(&self, cx: &Ctx, read: Read<'_>) -> Result<Batch> {
        let mut batch = Batch { events: Vec::new(), next: read.from.clone(), more: false };
        let mut look = LOOK_FIRST;
        for _ in 0..MOST_STEPS {
            let rows = self.step(cx, read, &batch.next, look).await?;
            // Where little is wanted, further and further at a time.
            look = (look * 2).min(LOOK_LAST);
            batch.more = rows.iter().any(|row| row.at_head == Some(false));
            for row in rows {
                match row.event.event()? {
                    Some(event) => batch.events.push(event),
                    None => batch.next.set(&row.topic, row.partition, row.place),
                }
            }
            if !batch.events.is_empty() || !batch.more {
                break;
            }
        }
        Ok(batch)
    }

    async fn head(&self, cx: &Ctx, patterns: &Patterns) -> Result<Cursor> {
        let places = self
            .db
            .system(cx, Reason::Events)
            .query(crate::sql!(
                "select h.topic, h.partition, h.position from kernel.event_head h \
                 where '*' = any ($1) or h.topic = any (array(select kernel.topic_of(p) from unnest($1) p))"
            ))
            .bind(patterns.as_slice())
            .all()
            .await?;
        Ok(Self::cursor(places))
    }

    async fn at_time(&self, cx: &Ctx, patterns: &Patterns, at: Timestamp) -> Result<Cursor> {
        let places = self
            .db
            .system(cx, Reason::Events)
            .query(crate::sql!(
                "select h.topic, h.partition, kernel.place_before(h.topic, h.partition, h.position, $2) \
                 from kernel.event_head h \
                 where '*' = any ($1) or h.topic = any (array(select kernel.topic_of(p) from unnest($1) p))"
            ))
            .bind(patterns.as_slice())
            .bind(at)
            .all()
            .await?;
        Ok(Self::cursor(places))
    }

    fn listen(&self, patterns: Patterns) -> Listener {
        self.news.listen(patterns)
    }
}
