use kernel::{DomainEvent, Error, EventId, Result, TenantId, Timestamp};

use crate::postgres::{FromRow, Json};

/// An event as the log's functions give it; without an id the row speaks of something else.
#[derive(Debug, FromRow)]
pub(super) struct EventRow {
    pub id: Option<EventId>,
    tenant_id: Option<TenantId>,
    key: Option<String>,
    #[sqlx(rename = "type")]
    kind: Option<String>,
    source: Option<String>,
    schema_version: Option<String>,
    data: Option<Json<serde_json::Value>>,
    trace_id: Option<String>,
    at: Option<Timestamp>,
}

impl EventRow {
    /// The event, if the row is one.
    pub(super) fn event(self) -> Result<Option<DomainEvent>> {
        let Some(id) = self.id else { return Ok(None) };
        let hole = || Error::internal(format!("event {id} came from the log with a hole"));
        Ok(Some(DomainEvent {
            id,
            kind: self.kind.ok_or_else(hole)?,
            source: self.source.ok_or_else(hole)?,
            tenant_id: self.tenant_id,
            key: self.key.ok_or_else(hole)?,
            data: self.data.ok_or_else(hole)?.0,
            schema_version: self.schema_version.ok_or_else(hole)?,
            timestamp: self.at.ok_or_else(hole)?,
            trace_id: self.trace_id,
        }))
    }
}
