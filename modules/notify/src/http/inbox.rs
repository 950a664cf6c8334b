//! A person's own inbox.

use kernel::{Slug, Timestamp};
use ports::http::{Access, Cx, One, Operation, Page, Path, Query, Result, Routes, State};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Notifier;
use crate::NotificationId;

/// A message.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct EntryOut {
    /// Its id; that of its notification.
    pub id: NotificationId,
    /// What it is about.
    #[serde(rename = "type")]
    pub kind: String,
    /// The first line.
    pub subject: String,
    /// The text.
    pub body: String,
    /// What travels with it.
    pub meta: Value,
    /// When it came.
    pub created_at: Timestamp,
    /// When it was read.
    pub read_at: Option<Timestamp>,
}

/// Which messages, and which page of them.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct InboxQuery {
    /// New ones only.
    #[serde(default)]
    pub unread: bool,
    /// Entries a page, 1 to 100; 20 unless said.
    #[schemars(range(min = 1, max = 100))]
    pub limit: Option<u16>,
    /// The `meta.cursor` of the page before.
    pub cursor: Option<String>,
}

/// How many messages are new.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct UnreadOut {
    /// Counted up to 1,000.
    pub unread: i64,
}

/// How many messages were new until now.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct ReadOut {
    /// The number.
    pub read: u64,
}

pub(super) fn add(routes: Routes<Notifier>) -> Routes<Notifier> {
    routes
        .add(
            Operation::get("/inbox", "listInbox", Access::Authenticated)
                .summary("Your messages in this tenant, newest first")
                .query::<InboxQuery>()
                .lists::<EntryOut>()
                .problems(&[Slug::Forbidden, Slug::InvalidCursor]),
            list,
        )
        .add(
            Operation::get("/inbox/unread-count", "countUnread", Access::Authenticated)
                .summary("How many of your messages are new")
                .answer::<UnreadOut>(200)
                .problems(&[Slug::Forbidden]),
            unread,
        )
        .add(
            Operation::post("/inbox/{id}/read", "markRead", Access::Authenticated)
                .summary("Say that you have read a message")
                .answer::<EntryOut>(200)
                .problems(&[Slug::Forbidden]),
            read,
        )
        .add(
            Operation::post("/inbox/read-all", "markAllRead", Access::Authenticated)
                .summary("Say that you have read all messages")
                .answer::<ReadOut>(200)
                .problems(&[Slug::Forbidden]),
            read_all,
        )
}

async fn list(
    State(notify): State<Notifier>,
    Cx(cx): Cx,
    Query(query): Query<InboxQuery>,
) -> Result<Page<EntryOut>> {
    Ok(notify.inbox(&cx, &query).await?)
}

async fn unread(State(notify): State<Notifier>, Cx(cx): Cx) -> Result<One<UnreadOut>> {
    Ok(One::new(notify.unread(&cx).await?))
}

async fn read(
    State(notify): State<Notifier>,
    Cx(cx): Cx,
    Path(id): Path<NotificationId>,
) -> Result<One<EntryOut>> {
    Ok(One::new(notify.mark_read(&cx, id).await?))
}

async fn read_all(State(notify): State<Notifier>, Cx(cx): Cx) -> Result<One<ReadOut>> {
    Ok(One::new(notify.mark_all_read(&cx).await?))
}
