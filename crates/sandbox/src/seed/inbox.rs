//! What people were told.

use std::collections::BTreeMap;

use kernel::{Ctx, TenantId, TenantSlug, UserId};
use notify::SeedMessage;

use super::{Seed, SeedError, named};
use crate::cell::Cell;

impl Seed {
    pub(super) async fn plant_inboxes(
        &self,
        cell: &Cell,
        cx: &Ctx,
        tenants: &BTreeMap<&TenantSlug, TenantId>,
        people: &BTreeMap<&str, UserId>,
    ) -> Result<(), SeedError> {
        for inbox in &self.inbox {
            let what = format!("the inbox of {}", inbox.user);
            let user = people.get(inbox.user.as_str()).copied();
            let user =
                user.ok_or_else(|| SeedError::Unknown(format!("{what}: the seed names no such user")))?;
            let cx = cx.within(named(tenants, &inbox.tenant)?);
            let messages: Vec<SeedMessage> = inbox
                .messages
                .iter()
                .map(|message| SeedMessage {
                    kind: message.kind.clone(),
                    subject: message.subject.clone(),
                    body: message.body.clone(),
                    read: message.read,
                })
                .collect();
            let planted = cell.services().notify.seed_inbox(&cx, user, &messages).await;
            planted.map_err(|source| SeedError::Refused { what, source })?;
        }
        Ok(())
    }
}
