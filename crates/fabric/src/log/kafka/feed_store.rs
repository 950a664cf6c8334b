//! All SQL of the feed.

use kernel::{Ctx, EventId, Result, TenantId, Timestamp};
use uuid::Uuid;

use crate::{
    log::Cursor,
    postgres::{Database, FromRow, Reason},
};

/// An event as it is fed, its data as the text that it stays; without an id the row speaks of a place.
#[derive(FromRow)]
pub(super) struct FeedRow {
    pub topic: String,
    pub partition: i16,
    pub place: i64,
    pub at_head: Option<bool>,
    pub id: Option<EventId>,
    pub tenant_id: Option<TenantId>,
    pub key: Option<String>,
    #[sqlx(rename = "type")]
    pub kind: Option<String>,
    pub source: Option<String>,
    pub schema_version: Option<String>,
    pub data: Option<String>,
    pub trace_id: Option<String>,
    pub at: Option<Timestamp>,
}

/// Takes the feed, unless somebody else has it.
pub(super) async fn take(db: &Database, cx: &Ctx, taker: Uuid) -> Result<Option<i64>> {
    let query = db.system(cx, Reason::Events).query(crate::sql!("select kernel.take_feed($1)"));
    query.bind(taker).value().await
}

/// How far Kafka was fed.
pub(super) async fn fed(db: &Database, cx: &Ctx) -> Result<Cursor> {
    let places: Vec<(String, i16, i64)> = db
        .system(cx, Reason::Events)
        .query(crate::sql!("select topic, partition, position from kernel.event_fed"))
        .all()
        .await?;
    let mut cursor = Cursor::beginning();
    for (topic, partition, position) in places {
        cursor.set(&topic, partition, position);
    }
    Ok(cursor)
}

/// What comes behind a place.
pub(super) async fn next(db: &Database, cx: &Ctx, from: &Cursor, most: i32) -> Result<Vec<FeedRow>> {
    let (topics, partitions, positions) = from.columns();
    db.system(cx, Reason::Events)
        .query(crate::sql!(
            "select e.topic, e.partition, e.place, e.at_head, e.id, e.tenant_id, e.key, e.type, e.source, \
                    e.schema_version, e.data::text as data, e.trace_id, e.at \
             from kernel.next_events(null, array['*'], $1, $2, $3, $4, $4 * 2) e"
        ))
        .bind(topics)
        .bind(partitions)
        .bind(positions)
        .bind(most)
        .all()
        .await
}

/// Notes how far Kafka was fed, and keeps the feed or gives it back. False: somebody else has it by now.
pub(super) async fn moved(db: &Database, cx: &Ctx, fence: i64, to: &Cursor, keep: bool) -> Result<bool> {
    let (topics, partitions, positions) = to.columns();
    db.system(cx, Reason::Events)
        .query(crate::sql!("select kernel.move_feed($1, $2, $3, $4, $5)"))
        .bind(fence)
        .bind(topics)
        .bind(partitions)
        .bind(positions)
        .bind(keep)
        .value()
        .await
}

/// How many events wait to be fed.
pub(super) async fn waiting(db: &Database, cx: &Ctx) -> Result<u64> {
    let query = db.system(cx, Reason::Events).query(crate::sql!("select kernel.unfed()"));
    let waiting: i64 = query.value().await?;
    Ok(u64::try_from(waiting).unwrap_or(0))
}
