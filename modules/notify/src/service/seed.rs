//! What a sandbox's seed makes of this service. Called by code, not over HTTP.

use std::time::Duration;

use kernel::{Ctx, Result, UserId, check::Checks};
use serde_json::json;

use crate::{
    NotificationId, Notify,
    model::{MOST_INBOX_BODY, check_line, check_type},
    store::inbox::{self, NewEntry},
};

/// A message to lie in an inbox.
#[derive(Debug, Clone)]
pub struct SeedMessage {
    /// What it is about.
    pub kind: String,
    /// Its first line.
    pub subject: String,
    /// Its words.
    pub body: String,
    /// Whether the person has read it already.
    pub read: bool,
}

impl Notify {
    /// Puts messages, the newest first, into the inbox of a person of the context's tenant; none where one has any.
    /// Answers how many.
    ///
    /// # Errors
    /// `validation-error` for words that do not fit.
    pub async fn seed_inbox(&self, cx: &Ctx, user: UserId, messages: &[SeedMessage]) -> Result<usize> {
        let mut checks = Checks::new();
        for message in messages {
            check_type(&mut checks, "/type", &message.kind);
            check_line(&mut checks, "/subject", &message.subject, 1);
            checks.length("/body", &message.body, 1, MOST_INBOX_BODY);
        }
        checks.finish()?;
        let mut tx = self.db.tenant(cx)?.begin().await?;
        if inbox::any(&mut tx, user).await? {
            return Ok(0);
        }
        let (now, meta) = (cx.now(), json!({}));
        for (message, seconds) in messages.iter().rev().zip(0..) {
            let entry = NewEntry {
                id: NotificationId::new(),
                user,
                kind: &message.kind,
                subject: &message.subject,
                body: &message.body,
                meta: &meta,
                created_at: now.plus(Duration::from_millis(seconds)),
                read_at: message.read.then_some(now),
            };
            inbox::insert(&mut tx, &entry).await?;
        }
        tx.commit(messages.len()).await
    }
}
