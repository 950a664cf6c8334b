//! What a socket is told.

use std::time::Instant;

use kernel::{Ctx, Error, Result};
use serde_json::Value;

use super::{
    Sockets,
    channel::{Channel, record},
    protocol::{Close, Says},
    ring::Entry,
    socket::{AGAIN, Connection, Step},
};
use crate::{NotificationId, http::inbox::EntryOut, store::inbox};

/// Entries taken from the ring in one go; in between, the client is heard.
const BATCH: usize = 64;

impl Connection {
    /// Tells what came since the socket last looked.
    pub(super) async fn tell_news(&mut self) -> Step {
        (self.eager, self.not_before) = (false, None);
        let Some(known) = &mut self.known else { return Ok(()) };
        known.ear.mark_unchanged();
        let Some(at) = known.at else { return Ok(()) };
        let taken = self.sockets.ring.after(at, known.tenant, BATCH).map_err(|_| Close::TooSlow)?;
        for entry in &taken.entries {
            let Some(known) = &mut self.known else { return Ok(()) };
            known.at = Some(entry.before(taken.at));
            let takes: Vec<Channel> = known
                .channels
                .iter()
                .filter(|channel| channel.takes(&entry.event, known.user))
                .cloned()
                .collect();
            if takes.is_empty() {
                continue;
            }
            // For this very message: rights may have changed with the one before.
            let Some(cx) = self.current().await? else { return Ok(()) };
            for channel in takes {
                match self.sockets.may_hear(&cx, &channel).await {
                    Ok(()) => {
                        if !self.tell(&cx, &channel, entry).await? {
                            return Ok(());
                        }
                    }
                    Err(error) => self.drop_channel(&channel, &error).await?,
                }
            }
        }
        if let Some(known) = &mut self.known {
            known.at = Some(taken.at);
        }
        self.eager = taken.more;
        Ok(())
    }

    async fn drop_channel(&mut self, channel: &Channel, error: &Error) -> Step {
        if let Some(known) = &mut self.known {
            known.channels.remove(channel);
        }
        let reason = Some(error.slug().name());
        self.say(&Says::Unsubscribed { channels: vec![channel.to_string()], reason }).await
    }

    /// Tells one message. False: it is told later, the house can't just now.
    async fn tell(&mut self, cx: &Ctx, channel: &Channel, entry: &Entry) -> std::result::Result<bool, Close> {
        let (event, event_id, at) = (&entry.event, entry.place.as_str(), entry.event.timestamp);
        match channel {
            Channel::Data { .. } => {
                let (action, record) = record(event);
                let truncated = event.data["truncated"] == true;
                let (channel, id) = (channel.to_string(), event.key.as_str());
                self.say(&Says::Data { channel, action, id, record, truncated, event_id, at }).await?;
            }
            Channel::Events => self.say(&Says::Event { channel: "events", event, event_id }).await?,
            Channel::Notifications => {
                let id = &event.data["notificationId"];
                let looked = self.sockets.look_at_inbox(cx, id).await;
                let Ok((notification, unread)) = looked else {
                    self.not_before = Some(Instant::now() + AGAIN);
                    self.eager = true;
                    return Ok(false);
                };
                let read = event.kind == crate::events::READ;
                let (action, id) = if read { ("read", Some(id)) } else { ("created", None) };
                let notification = notification.filter(|_| !read);
                let channel = "notifications";
                self.say(&Says::Notification { channel, action, id, notification, unread, event_id, at })
                    .await?;
            }
        }
        Ok(true)
    }
}

impl Sockets {
    /// The message as it lies in the inbox, and how many are new.
    async fn look_at_inbox(&self, cx: &Ctx, id: &Value) -> Result<(Option<EntryOut>, i64)> {
        let user = crate::service::person(cx)?;
        let handle = self.db.tenant(cx)?;
        let id = id.as_str().and_then(|id| id.parse::<NotificationId>().ok());
        let entry = match id {
            Some(id) => inbox::read(&handle, user, id).await?.map(EntryOut::from),
            None => None,
        };
        Ok((entry, inbox::unread(&handle, user).await?))
    }
}
