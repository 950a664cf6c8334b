//! The events this service tells, on `platform.notify.events`. They name things and carry no words of a message: whoever
//! may read a tenant's events must not read its people's mail.

use fabric::postgres::Event;
use kernel::{Result, UserId};
use serde::Serialize;

use crate::{NAME, NotificationId, model::Channel};

/// The type of the event that says a message lies in an inbox (or a mail was taken, for other channels it is `sent`).
pub const DELIVERED: &str = "notify.notification.delivered";
/// The type of the event that says messages were read.
pub const READ: &str = "notify.inbox.read";

/// Something happened to a notification.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Told<'a> {
    /// Which.
    pub notification_id: NotificationId,
    /// Its way.
    pub channel: Channel,
    /// What it is about.
    #[serde(rename = "type")]
    pub kind: &'a str,
    /// For whom, where it is for a person of the tenant.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user_id: Option<UserId>,
    /// Attempts made.
    pub attempts: i16,
}

/// A person has read messages of the inbox.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct InboxRead {
    /// Who.
    pub user_id: UserId,
    /// Which one; all of them where it is null.
    pub notification_id: Option<NotificationId>,
}

impl Told<'_> {
    /// `verb`: `queued`, `sent`, `delivered`, `failed`.
    ///
    /// # Errors
    /// `internal` if it can't be written as JSON.
    pub fn event(&self, verb: &str) -> Result<Event> {
        Event::new(NAME, format!("notify.notification.{verb}"), self.notification_id, self)
    }
}

impl InboxRead {
    /// In the form that a transaction takes.
    ///
    /// # Errors
    /// `internal` if it can't be written as JSON.
    pub fn event(&self) -> Result<Event> {
        Event::new(NAME, READ, self.user_id, self)
    }
}
