//! The operations on records: to write, to read, to forget.

use std::{
    sync::{Arc, Weak},
    time::{Duration, Instant},
};

use fabric::postgres::{self, Database, Json, Reason, Tx};
use kernel::{AuditId, Ctx, Error, FieldCode, Result, UserId, check::Checks};
use ports::{
    IamLink,
    http::{CursorKey, Page},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::sync::Semaphore;
use uuid::Uuid;

use crate::{
    diff::{self, FieldChange},
    model::{self, Concern, Filter, MOST_IN_BATCH, RecordIn, RecordOut},
    store,
};

/// Records of one page of an export.
const EXPORT_PAGE: i64 = 500;

/// Chains that are verified at the same time in one sandbox.
const MOST_WALKS: usize = 2;

/// What the audit service stands on.
pub struct AuditDeps {
    /// The sandbox's data.
    pub db: Database,
    /// Signs heads.
    pub iam: IamLink,
    /// Signs places in lists.
    pub cursor: CursorKey,
}

/// The audit service.
pub struct Audit {
    pub(crate) db: Database,
    pub(crate) iam: IamLink,
    pub(crate) walks: Semaphore,
    pub(crate) this: Weak<Self>,
    cursor: CursorKey,
}

/// What was taken in.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AppendedOut {
    /// The records' ids, in the order in which they came.
    pub audit_ids: Vec<AuditId>,
    /// They are kept; their places in the chain follow within a second.
    pub status: AppendStatus,
}

/// How far a record has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum AppendStatus {
    /// Kept, and waiting for its place in the chain.
    Queued,
}

/// One step in the history of a thing.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct HistoryOut {
    /// The record.
    #[serde(flatten)]
    pub record: RecordOut,
    /// What changed between `before` and `after`.
    pub changes: Vec<FieldChange>,
}

/// Whom to forget.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AnonymizeIn {
    /// The person.
    pub user_id: UserId,
}

/// What was forgotten.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AnonymizedOut {
    /// The person.
    pub user_id: UserId,
    /// Records that told something personal of them until now.
    pub records: u64,
}

impl Audit {
    /// The service; nothing runs yet.
    pub fn create(deps: AuditDeps) -> Arc<Self> {
        let AuditDeps { db, iam, cursor } = deps;
        let walks = Semaphore::new(MOST_WALKS);
        Arc::new_cyclic(|this| Self { db, iam, cursor, walks, this: Weak::clone(this) })
    }

    /// Keeps what the caller tells of. `pointer` says where a record stands in the body.
    ///
    /// # Errors
    /// `validation-error`.
    pub async fn append(
        &self,
        cx: &Ctx,
        records: Vec<RecordIn>,
        pointer: impl Fn(usize) -> String,
    ) -> Result<AppendedOut> {
        let mut checks = Checks::new();
        if !(1..=MOST_IN_BATCH).contains(&records.len()) {
            let message = format!("takes 1 to {MOST_IN_BATCH} records, got {}", records.len());
            checks.refuse("/records", FieldCode::OutOfRange, message);
        }
        for (index, record) in records.iter().enumerate().take(MOST_IN_BATCH) {
            record.check(&pointer(index), cx.actor(), &mut checks);
        }
        checks.finish()?;
        let mut tx = self.db.tenant(cx)?.begin().await?;
        let mut audit_ids = Vec::with_capacity(records.len());
        for record in records {
            let mut kept = postgres::Audit::new(record.action, record.entity_type, record.entity_id);
            if let Some(before) = &record.before {
                kept = kept.before(before);
            }
            if let Some(after) = &record.after {
                kept = kept.after(after);
            }
            if let Some(metadata) = &record.metadata {
                kept = kept.metadata(metadata);
            }
            if let Some(description) = record.description {
                kept = kept.description(description);
            }
            audit_ids.push(kept.id());
            tx.audit(kept)?;
        }
        tx.commit(AppendedOut { audit_ids, status: AppendStatus::Queued }).await
    }

    /// Records that pass the filter, newest first.
    ///
    /// # Errors
    /// `validation-error`, `invalid-cursor`.
    pub async fn list(
        &self,
        cx: &Ctx,
        filter: &Filter,
        limit: usize,
        cursor: Option<&str>,
    ) -> Result<Page<RecordOut>> {
        filter.check()?;
        let tenant = Some(cx.tenant()?);
        let name = filter.name();
        let after: Option<store::Place> =
            cursor.map(|cursor| self.cursor.read(tenant, &name, cursor)).transpose()?;
        let rows = store::page(&self.db.tenant(cx)?, filter, after, limit as i64 + 1).await?;
        Ok(Page::cut(rows, limit, |last| self.cursor.write(tenant, &name, &place(last))))
    }

    /// One record.
    ///
    /// # Errors
    /// `not-found`.
    pub async fn record(&self, cx: &Ctx, id: AuditId) -> Result<RecordOut> {
        store::record(&self.db.tenant(cx)?, id).await?.ok_or_else(|| Error::not_found("audit record"))
    }

    /// What happened to a thing, newest first, with what changed each time.
    ///
    /// # Errors
    /// `not-found` when the trail knows nothing of it, `invalid-cursor`.
    pub async fn history(
        &self,
        cx: &Ctx,
        entity_type: String,
        entity_id: String,
        limit: usize,
        cursor: Option<&str>,
    ) -> Result<Page<HistoryOut>> {
        let filter =
            Filter { entity_type: Some(entity_type), entity_id: Some(entity_id), ..Filter::default() };
        // What can't be an entity's name is a name that the trail does not know.
        filter.check().map_err(|_| Error::not_found("entity"))?;
        let page = self.list(cx, &filter, limit, cursor).await?;
        if page.data.is_empty() && cursor.is_none() {
            return Err(Error::not_found("entity"));
        }
        Ok(page.map(|record| {
            let changes = diff::between(record.before.as_ref(), record.after.as_ref());
            HistoryOut { record, changes }
        }))
    }

    /// The next page of an export after a place; each has its own time, for the whole may take longer than a request.
    ///
    /// # Errors
    /// What the database says.
    pub(crate) async fn export_page(
        &self,
        cx: &Ctx,
        filter: &Filter,
        after: Option<store::Place>,
    ) -> Result<(Vec<RecordOut>, Option<store::Place>)> {
        let cx = with_time(cx, PAGE_TIME);
        let rows = store::page(&self.db.tenant(&cx)?, filter, after, EXPORT_PAGE).await?;
        let next = rows.last().filter(|_| rows.len() as i64 == EXPORT_PAGE).map(place);
        Ok((rows, next))
    }

    /// Empties what the trail keeps of a person: their e-mail, name, address and agent. What they did stays, and so does
    /// all of money. That it was done is recorded.
    ///
    /// # Errors
    /// What the database says; nothing is changed then.
    pub async fn anonymize(&self, cx: &Ctx, user: UserId) -> Result<AnonymizedOut> {
        let mut tx = self.db.system_of_tenant(cx, Reason::AuditChain)?.begin().await?;
        let mut records = 0;
        for side in [Side::Actor, Side::Subject] {
            records += empty(&mut tx, user, side).await?;
        }
        let done = postgres::Audit::new("audit.anonymized", "user", user)
            .description("What the trail kept of a person was emptied.")
            .metadata(&json!({ "records": records }));
        tx.audit(done)?;
        tx.commit(AnonymizedOut { user_id: user, records }).await
    }
}

#[derive(Clone, Copy)]
enum Side {
    Actor,
    Subject,
}

/// Later than every record (the end of the year 9999), and greater than every id.
const BEGINNING: store::Place = (253_402_300_799_999_999, Uuid::max());

async fn empty(tx: &mut Tx, user: UserId, side: Side) -> Result<u64> {
    let mut place = BEGINNING;
    let mut emptied = 0;
    loop {
        let page = match side {
            Side::Actor => store::done_by(tx, user, place).await?,
            Side::Subject => store::done_to(tx, user, place).await?,
        };
        let Some(last) = page.last() else { return Ok(emptied) };
        place = (last.at.micros(), last.id.uuid());
        let (ids, parts): (Vec<_>, Vec<_>) = page
            .iter()
            .filter_map(|record| {
                let concern = Concern { did_it: record.did_it, is_about_them: record.is_about_them };
                model::emptied(&record.personal, concern).map(|rest| (record.id, Json(rest)))
            })
            .unzip();
        if !ids.is_empty() {
            emptied += store::replace_personal(tx, ids, parts).await?;
        }
    }
}

fn place(record: &RecordOut) -> store::Place {
    (record.timestamp.micros(), record.audit_id.uuid())
}

/// The time that a page of a stream, or a step in the background, has.
pub(crate) const PAGE_TIME: Duration = Duration::from_secs(30);

/// The same caller with a deadline of its own: for pages that are read after the head of the answer is out, and for work
/// in the background. It is no request any more, so it carries no key under which it could be repeated.
pub(crate) fn with_time(cx: &Ctx, time: Duration) -> Ctx {
    Ctx::build(cx.sandbox().clone(), cx.clock().clone())
        .caller(cx.caller().clone())
        .request(cx.request())
        .trace(cx.trace())
        .locale(cx.locale())
        .client(cx.client().clone())
        .deadline(Instant::now() + time)
        .finish()
}
