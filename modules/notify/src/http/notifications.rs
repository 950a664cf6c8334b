//! Notifications: sending them, and what became of them.

use kernel::{Slug, Timestamp, UserId};
use ports::http::{Accepted, Access, Body, Cx, One, Operation, Page, Path, Query, Result, Routes, State};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::Notifier;
use crate::{
    NotificationId,
    model::{self, Channel, Priority},
};

/// Somebody to be told something.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct NotificationIn {
    /// `email` or `in_app`.
    pub channel: String,
    /// For whom.
    pub recipient: RecipientIn,
    /// What it is about, as preferences name it: `orders.shipped`; `general` unless said.
    #[serde(rename = "type")]
    pub kind: Option<String>,
    /// One line, at most 200 characters; a mail needs one.
    pub subject: Option<String>,
    /// Text: at most 100,000 characters in a mail, 10,000 in the inbox.
    pub body: String,
    /// What goes first; `normal` unless said.
    pub priority: Option<Priority>,
    /// Anything that travels with it, at most 8,000 bytes.
    pub meta: Option<Value>,
}

/// For whom a notification is: exactly one of these.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct RecipientIn {
    /// A member of the tenant.
    pub user_id: Option<UserId>,
    /// An address; for mail.
    pub email: Option<String>,
    /// For channels of a later version.
    pub phone: Option<String>,
    /// For channels of a later version.
    pub address: Option<String>,
}

/// Several notifications.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct BatchIn {
    /// 1 to 100.
    #[schemars(length(min = 1, max = 100))]
    pub notifications: Vec<NotificationIn>,
}

/// Somebody to be told something in the words of a template.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct SendTemplateIn {
    /// The template's key.
    pub template: String,
    /// `email` or `in_app`.
    pub channel: String,
    /// For whom.
    pub recipient: RecipientIn,
    /// The language wanted; that of the request unless said. What is not there is looked for in its stem and in English.
    pub locale: Option<String>,
    /// What stands for the template's variables.
    pub variables: Option<Map<String, Value>>,
    /// What it is about; the template's key unless said.
    #[serde(rename = "type")]
    pub kind: Option<String>,
    /// What goes first; `normal` unless said.
    pub priority: Option<Priority>,
    /// Anything that travels with it, at most 8,000 bytes.
    pub meta: Option<Value>,
}

/// A notification that was taken.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SentOut {
    /// Its id.
    pub notification_id: NotificationId,
    /// `queued`, or `suppressed` where the recipient does not want it.
    pub status: model::State,
    /// Variables of the template that had no value, and are empty.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub missing: Option<Vec<String>>,
}

/// Several that were taken, in order.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct SentBatchOut {
    /// One for each.
    pub notifications: Vec<SentOut>,
}

/// A notification.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct NotificationOut {
    /// Its id.
    pub id: NotificationId,
    /// Its way.
    pub channel: Channel,
    /// What it is about.
    #[serde(rename = "type")]
    pub kind: String,
    /// What goes first.
    pub priority: Priority,
    /// The recipient, where it is a member.
    pub user_id: Option<UserId>,
    /// The address of a mail.
    pub address: Option<String>,
    /// The first line.
    pub subject: String,
    /// The text.
    pub body: String,
    /// What travels with it.
    pub meta: Value,
    /// The key of the template that it was made from.
    pub template: Option<String>,
    /// What became of it.
    pub status: model::State,
    /// When the next attempt is made.
    pub due_at: Option<Timestamp>,
    /// What the last attempt failed by.
    pub error: Option<String>,
    /// Who sent it.
    pub created_by: String,
    /// When.
    pub created_at: Timestamp,
    /// When it came to where it is.
    pub settled_at: Option<Timestamp>,
    /// The attempts, where one notification was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attempts: Option<Vec<AttemptOut>>,
}

/// An attempt to deliver.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct AttemptOut {
    /// Which, from 1.
    pub number: i16,
    /// When it ended.
    pub at: Timestamp,
    /// How long it took.
    pub took_ms: i32,
    /// What it failed by; null when it was accepted.
    pub error: Option<String>,
}

/// Which notifications, and which page of them.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NotificationsQuery {
    /// Of this state only.
    #[serde(rename = "status")]
    pub state: Option<model::State>,
    /// Of this channel only.
    pub channel: Option<Channel>,
    /// Entries a page, 1 to 100; 20 unless said.
    #[schemars(range(min = 1, max = 100))]
    pub limit: Option<u16>,
    /// The `meta.cursor` of the page before.
    pub cursor: Option<String>,
}

const READ: Access = Access::Permission("notifications.read");
const SEND: Access = Access::Permission("notifications.send");

pub(super) fn add(routes: Routes<Notifier>) -> Routes<Notifier> {
    const HOW: &str = "Channels in this version: `email` and `in_app`. Delivery is tried five times, at 0, 30, 60, 120 and \
                       240 s; the urgent goes first. What the recipient switched off is `suppressed`; mail in their quiet \
                       hours waits, unless it is critical.";
    routes
        .add(
            Operation::post("/notifications", "sendNotification", SEND)
                .summary("Tell somebody something")
                .description(HOW)
                .body::<NotificationIn>()
                .answer::<SentOut>(202)
                .problems(&[Slug::LimitExceeded])
                .example(
                    r#"{"channel":"email","recipient":{"email":"ada@example.com"},"subject":"Your order","body":"It was shipped today."}"#,
                ),
            send,
        )
        .add(
            Operation::post("/notifications/batch", "sendNotifications", SEND)
                .summary("Tell up to 100 people something; all or nobody")
                .description(HOW)
                .body::<BatchIn>()
                .answer::<SentBatchOut>(202)
                .problems(&[Slug::LimitExceeded])
                .example(
                    r#"{"notifications":[{"channel":"email","recipient":{"email":"ada@example.com"},"subject":"Your order","body":"It was shipped today."}]}"#,
                ),
            send_batch,
        )
        .add(
            Operation::post("/notifications/send-template", "sendTemplate", SEND)
                .summary("Tell somebody something in the words of a template")
                .description("A variable without a value is empty and listed in `missing`.")
                .body::<SendTemplateIn>()
                .answer::<SentOut>(202)
                .problems(&[Slug::LimitExceeded])
                .example(
                    r#"{"template":"orders.shipped","channel":"email","recipient":{"email":"ada@example.com"},"variables":{"name":"Ada"}}"#,
                ),
            send_template,
        )
        .add(
            Operation::get("/notifications", "listNotifications", READ)
                .summary("List notifications, newest first")
                .query::<NotificationsQuery>()
                .lists::<NotificationOut>()
                .problems(&[Slug::InvalidCursor]),
            list,
        )
        .add(
            Operation::get("/notifications/failed", "listFailedNotifications", READ)
                .summary("List notifications that failed, newest first")
                .query::<ports::http::Paging>()
                .lists::<NotificationOut>()
                .problems(&[Slug::InvalidCursor]),
            failed,
        )
        .add(
            Operation::get("/notifications/{id}", "getNotification", READ)
                .summary("Get a notification with its attempts")
                .answer::<NotificationOut>(200),
            get,
        )
        .add(
            Operation::post("/notifications/{id}/retry", "retryNotification", SEND)
                .summary("Try a failed notification again, five times at most")
                .answer::<NotificationOut>(202)
                .problems(&[Slug::InvalidState]),
            retry,
        )
}

async fn send(
    State(notify): State<Notifier>,
    Cx(cx): Cx,
    Body(wish): Body<NotificationIn>,
) -> Result<Accepted<SentOut>> {
    Ok(Accepted(notify.send(&cx, wish).await?))
}

async fn send_batch(
    State(notify): State<Notifier>,
    Cx(cx): Cx,
    Body(batch): Body<BatchIn>,
) -> Result<Accepted<SentBatchOut>> {
    Ok(Accepted(notify.send_batch(&cx, batch).await?))
}

async fn send_template(
    State(notify): State<Notifier>,
    Cx(cx): Cx,
    Body(wish): Body<SendTemplateIn>,
) -> Result<Accepted<SentOut>> {
    Ok(Accepted(notify.send_template(&cx, wish).await?))
}

async fn list(
    State(notify): State<Notifier>,
    Cx(cx): Cx,
    Query(query): Query<NotificationsQuery>,
) -> Result<Page<NotificationOut>> {
    Ok(notify.notifications(&cx, &query).await?)
}

async fn failed(
    State(notify): State<Notifier>,
    Cx(cx): Cx,
    Query(paging): Query<ports::http::Paging>,
) -> Result<Page<NotificationOut>> {
    let query = NotificationsQuery {
        state: Some(model::State::Failed),
        channel: None,
        limit: paging.limit,
        cursor: paging.cursor,
    };
    Ok(notify.notifications(&cx, &query).await?)
}

async fn get(
    State(notify): State<Notifier>,
    Cx(cx): Cx,
    Path(id): Path<NotificationId>,
) -> Result<One<NotificationOut>> {
    Ok(One::new(notify.notification(&cx, id).await?))
}

async fn retry(
    State(notify): State<Notifier>,
    Cx(cx): Cx,
    Path(id): Path<NotificationId>,
) -> Result<Accepted<NotificationOut>> {
    Ok(Accepted(notify.retry(&cx, id).await?))
}
