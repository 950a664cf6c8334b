//! Records as they are read.

use fabric::postgres::{FromRow, Handle, Json};
use kernel::{AuditId, Result, TenantId, Timestamp, UserId};
use serde_json::{Map, Value};

use super::Place;
use crate::{
    canonical::hex,
    model::{ActionFilter, Filter, RecordOut, personal_text, restore},
};

/// A record as it is read.
#[derive(FromRow)]
struct RecordRow {
    id: AuditId,
    tenant_id: TenantId,
    seq: Option<i64>,
    hash: Option<Vec<u8>>,
    at: Timestamp,
    action: String,
    entity_type: String,
    entity_id: String,
    actor_kind: String,
    actor: String,
    user_id: Option<UserId>,
    trace_id: Option<String>,
    description: Option<String>,
    before: Option<Json<Value>>,
    after: Option<Json<Value>>,
    metadata: Option<Json<Value>>,
    personal: Json<Map<String, Value>>,
}

impl From<RecordRow> for RecordOut {
    fn from(row: RecordRow) -> Self {
        let personal = row.personal.0;
        let text = |name: &str| personal.get(name).and_then(personal_text).map(str::to_owned);
        let whole = |part: &str, value: Option<Json<Value>>| {
            let mut value = value.map(|json| json.0);
            restore(part, &mut value, &personal);
            value
        };
        Self {
            audit_id: row.id,
            action: row.action,
            entity_type: row.entity_type,
            entity_id: row.entity_id,
            user_id: row.user_id,
            actor_kind: row.actor_kind,
            actor: row.actor,
            actor_email: text("actorEmail"),
            tenant_id: row.tenant_id,
            ip: text("ip"),
            user_agent: text("userAgent"),
            before: whole("before", row.before),
            after: whole("after", row.after),
            description: row.description,
            metadata: whole("metadata", row.metadata),
            trace_id: row.trace_id,
            timestamp: row.at,
            seq: row.seq,
            hash: row.hash.map(|hash| hex(&hash)),
        }
    }
}

/// Records that pass the filter, newest first.
pub async fn page(
    handle: &Handle,
    filter: &Filter,
    after: Option<Place>,
    limit: i64,
) -> Result<Vec<RecordOut>> {
    // Each set of filters is a statement of its own, so that Postgres plans it for the index that serves it.
    let mut text = String::from(
        "select id, tenant_id, seq, hash, at, action, entity_type, entity_id, actor_kind, actor, user_id, trace_id, \
         description, before, after, metadata, personal from kernel.audit_record r \
         where kernel.owns($1, r.tenant_id) and ",
    );
    let mut count = 1;
    let mut and = |shape: &str| {
        let mut clause = shape.to_owned();
        while let Some(at) = clause.find('?') {
            count += 1;
            clause.replace_range(at..=at, &format!("${count}"));
        }
        text.push_str(&clause);
        text.push_str(" and ");
    };
    match &filter.action {
        Some(ActionFilter::Exactly(_)) => and("r.action = ?"),
        Some(ActionFilter::Under(_)) => and("r.action ~>=~ ? and r.action ~<~ ?"),
        None => {}
    }
    for (given, shape) in [
        (filter.entity_type.is_some(), "r.entity_type = ?"),
        (filter.entity_id.is_some(), "r.entity_id = ?"),
        (filter.user_id.is_some(), "r.user_id = ?"),
        (filter.from.is_some(), "r.at >= ?"),
        (filter.to.is_some(), "r.at < ?"),
        (
            filter.text.is_some(),
            "concat_ws(' ', r.description, r.action, r.entity_type, r.entity_id) ilike ?",
        ),
        (after.is_some(), "(r.at, r.id) < (?, ?)"),
    ] {
        if given {
            and(shape);
        }
    }
    text.push_str(&format!("true order by r.at desc, r.id desc limit ${}", count + 1));
    let mut query = handle.composed(text);
    match &filter.action {
        Some(ActionFilter::Exactly(action)) => query = query.bind(action.clone()),
        Some(ActionFilter::Under(prefix)) => {
            let (from, to) = ActionFilter::range(prefix);
            query = query.bind(from).bind(to);
        }
        None => {}
    }
    for text in [&filter.entity_type, &filter.entity_id].into_iter().flatten() {
        query = query.bind(text.clone());
    }
    if let Some(user) = filter.user_id {
        query = query.bind(user);
    }
    for at in [filter.from, filter.to].into_iter().flatten() {
        query = query.bind(at);
    }
    if let Some(text) = &filter.text {
        query = query.bind(Filter::pattern(text));
    }
    if let Some((micros, id)) = after {
        query = query.bind(Timestamp::from_micros(micros).unwrap_or_else(Timestamp::real)).bind(id);
    }
    Ok(query.bind(limit).all::<RecordRow>().await?.into_iter().map(RecordOut::from).collect())
}

/// One record.
pub async fn record(handle: &Handle, id: AuditId) -> Result<Option<RecordOut>> {
    let row: Option<RecordRow> = handle
        .query(fabric::sql!(
            "select id, tenant_id, seq, hash, at, action, entity_type, entity_id, actor_kind, actor, user_id,
                    trace_id, description, before, after, metadata, personal
             from kernel.audit_record where kernel.owns($1, tenant_id) and id = $2"
        ))
        .bind(id)
        .optional()
        .await?;
    Ok(row.map(RecordOut::from))
}
