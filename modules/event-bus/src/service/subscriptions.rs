use fabric::{
    log::{NewSubscription, Patterns, Place, Pulled, SeekTo, Subscription},
    postgres::Audit,
};
use kernel::{Ctx, EventId, FieldCode, Result, SubscriptionId, TenantId, check::Checks};
use ports::http::Page;

use super::{only_of, reading::exactly_one};
use crate::{
    EventBus,
    http::subscriptions::{
        AckIn, AckOut, PositionOut, PullIn, SeekIn, SubscriptionIn, SubscriptionOut, SubscriptionsQuery,
        TargetKind,
    },
    model, offset,
};

const ENTITY: &str = "event-subscription";
/// Most events of one acknowledgement.
const MOST_ACKS: usize = 500;

fn list_of(id: SubscriptionId) -> String {
    format!("subscriptions/{id}")
}

impl EventBus {
    /// Makes a subscription.
    ///
    /// Errors: validation-error, event-not-declared, already-exists, limit-exceeded.
    pub(crate) async fn subscribe(&self, cx: &Ctx, wish: SubscriptionIn) -> Result<SubscriptionOut> {
        let new = checked(cx, wish)?;
        let modules = self.modules.snapshot(cx).await?;
        model::may_hear(cx.actor(), cx.tenant()?, &modules, &new.patterns)?;
        let mut tx = self.db.tenant(cx)?.begin().await?;
        let made = SubscriptionOut::from(self.subscriptions.create(&mut tx, new).await?);
        tx.audit(Audit::new("event.subscription.created", ENTITY, made.id).after(&made))?;
        tx.commit(made).await
    }

    /// The tenant's subscriptions; a module's own.
    pub(crate) async fn subscriptions(
        &self,
        cx: &Ctx,
        query: &SubscriptionsQuery,
    ) -> Result<Page<SubscriptionOut>> {
        let most = ports::http::page_size(query.limit)?;
        let tenant = cx.tenant().ok();
        let list = format!("event-subscriptions of {}", only_of(cx).unwrap_or("all"));
        let after =
            query.cursor.as_deref().map(|cursor| self.cursor.read(tenant, &list, cursor)).transpose()?;
        let rows = self.subscriptions.list(cx, only_of(cx), after, most + 1).await?;
        let page = Page::cut(rows, most, |last| self.cursor.write(tenant, &list, &last.id));
        Ok(page.map(SubscriptionOut::from))
    }

    /// One of them.
    ///
    /// Errors: not-found.
    pub(crate) async fn subscription(&self, cx: &Ctx, id: SubscriptionId) -> Result<SubscriptionOut> {
        self.subscriptions.get(cx, id, only_of(cx)).await.map(SubscriptionOut::from)
    }

    /// Ends a subscription.
    ///
    /// Errors: not-found.
    pub(crate) async fn unsubscribe(&self, cx: &Ctx, id: SubscriptionId) -> Result<()> {
        let mut tx = self.db.tenant(cx)?.begin().await?;
        let gone = SubscriptionOut::from(self.subscriptions.delete(&mut tx, id, only_of(cx)).await?);
        tx.audit(Audit::new("event.subscription.deleted", ENTITY, id).before(&gone))?;
        tx.commit(()).await
    }

    /// How far a subscription is.
    ///
    /// Errors: not-found.
    pub(crate) async fn position(&self, cx: &Ctx, id: SubscriptionId) -> Result<PositionOut> {
        let mut handle = self.db.tenant(cx)?;
        self.subscriptions.found(&mut handle, id, only_of(cx)).await?;
        let place = self.subscriptions.place(&mut handle, id).await?;
        Ok(self.position_out(cx.tenant()?, id, &place))
    }

    fn position_out(&self, tenant: TenantId, id: SubscriptionId, place: &Place) -> PositionOut {
        PositionOut {
            offset: offset::seal(self.db.key(), tenant, &list_of(id), &place.cursor),
            open: place.open,
            dead_letters: place.dead_letters,
        }
    }

    /// Puts a subscription elsewhere in the log.
    ///
    /// Errors: not-found, invalid-cursor, validation-error.
    pub(crate) async fn seek(&self, cx: &Ctx, id: SubscriptionId, wish: SeekIn) -> Result<PositionOut> {
        let tenant = cx.tenant()?;
        exactly_one(wish.timestamp.is_some(), wish.offset.is_some())?;
        let to = match (wish.timestamp, wish.offset.as_deref()) {
            (Some(at), _) => SeekTo::Time(at),
            (None, Some("beginning") | None) => SeekTo::Beginning,
            (None, Some("end")) => SeekTo::End,
            (None, Some(text)) => SeekTo::Cursor(offset::open(self.db.key(), tenant, &list_of(id), text)?),
        };
        let mut tx = self.db.tenant(cx)?.begin().await?;
        self.subscriptions.found(&mut tx, id, only_of(cx)).await?;
        self.subscriptions.seek(&mut tx, id, &to).await?;
        let place = self.subscriptions.place(&mut tx, id).await?;
        let word = match to {
            SeekTo::Beginning => "beginning".to_owned(),
            SeekTo::End => "end".to_owned(),
            SeekTo::Time(at) => at.to_string(),
            SeekTo::Cursor(_) => "an offset".to_owned(),
        };
        tx.audit(Audit::new("event.subscription.sought", ENTITY, id).description(format!("to {word}")))?;
        tx.commit(self.position_out(tenant, id, &place)).await
    }

    /// Takes events under a lease of 30 s.
    ///
    /// Errors: not-found, validation-error.
    pub(crate) async fn pull(&self, cx: &Ctx, id: SubscriptionId, wish: PullIn) -> Result<Pulled> {
        let most = wish.max.unwrap_or(20);
        Checks::new().range("/max", i64::from(most), 1, 100).finish()?;
        if only_of(cx).is_some() {
            // Whose the subscription is, its id does not tell.
            self.subscriptions.get(cx, id, only_of(cx)).await?;
        }
        self.subscriptions.pull(cx, id, usize::from(most)).await
    }

    /// Says what became of events.
    ///
    /// Errors: not-found, validation-error.
    pub(crate) async fn ack(&self, cx: &Ctx, id: SubscriptionId, said: AckIn) -> Result<AckOut> {
        let count = said.event_ids.len() + said.failed.len();
        let mut checks = Checks::new();
        checks.ensure(count > 0, "/eventIds", FieldCode::TooShort, "names at least one event");
        let most = format!("takes at most {MOST_ACKS} events");
        checks.ensure(count <= MOST_ACKS, "/eventIds", FieldCode::TooLong, most);
        for (index, failed) in said.failed.iter().enumerate() {
            checks.length(&format!("/failed/{index}/error"), &failed.error, 1, 1000);
        }
        checks.finish()?;
        let failed: Vec<(EventId, String)> = said.failed.into_iter().map(|f| (f.event_id, f.error)).collect();
        let tenant = Some(cx.tenant()?);
        let mut out = AckOut { acknowledged: 0, failed: failed.len() };
        if cx.idempotency().is_none() && failed.is_empty() {
            // One statement, and nothing to be kept with it: no transaction is needed.
            let mut handle = self.db.tenant(cx)?;
            self.subscriptions.found(&mut handle, id, only_of(cx)).await?;
            out.acknowledged = self.subscriptions.ack_at(&mut handle, tenant, id, &said.event_ids).await?;
            return Ok(out);
        }
        let mut tx = self.db.tenant(cx)?.begin().await?;
        self.subscriptions.found(&mut tx, id, only_of(cx)).await?;
        if !said.event_ids.is_empty() {
            out.acknowledged = self.subscriptions.ack_at(&mut tx, tenant, id, &said.event_ids).await?;
        }
        if !failed.is_empty() {
            self.subscriptions.nack_at(&mut tx, tenant, id, &failed).await?;
        }
        tx.commit(out).await
    }
}

fn checked(cx: &Ctx, wish: SubscriptionIn) -> Result<NewSubscription> {
    let patterns = Patterns::new(wish.types)?;
    let mut checks = Checks::new();
    if let Some(target) = &wish.target {
        let pull = target.kind == TargetKind::Pull;
        let message = "is not available yet; use \"pull\" and fetch with POST …/pull";
        checks.ensure(pull, "/target/kind", FieldCode::NotAllowed, message);
        let message = "belongs to a webhook; events of a pull subscription are fetched";
        checks.ensure(!pull || target.url.is_none(), "/target/url", FieldCode::NotAllowed, message);
    }
    let max_retries = wish.max_retries.unwrap_or(3);
    checks.range("/maxRetries", i64::from(max_retries), 0, 10);
    if let Some(group) = &wish.consumer_group {
        let message = "takes 1 to 80 letters, digits, dots, hyphens and underscores";
        checks.ensure(model::is_group(group), "/consumerGroup", FieldCode::InvalidFormat, message);
    }
    checks.finish()?;
    Ok(NewSubscription {
        name: wish.consumer_group.unwrap_or_else(|| SubscriptionId::new().to_string()),
        module: only_of(cx).map(str::to_owned),
        patterns,
        target: serde_json::json!({ "kind": TargetKind::Pull }),
        max_retries,
        from_beginning: wish.from_beginning,
    })
}

impl From<Subscription> for SubscriptionOut {
    fn from(row: Subscription) -> Self {
        Self {
            id: row.id,
            types: row.types,
            target: crate::http::subscriptions::TargetOut { kind: TargetKind::Pull },
            consumer_group: row.name,
            module: row.module,
            max_retries: row.max_retries,
            created_at: row.created_at,
        }
    }
}

#[cfg(test)]
mod tests {
    use kernel::{Clock, Error, SandboxName};

    use super::*;

    fn wish(json: serde_json::Value) -> Result<NewSubscription> {
        let cx = Ctx::system(SandboxName::default_sandbox(), Clock::real(), "test");
        checked(&cx, serde_json::from_value(json).map_err(Error::internal)?)
    }

    #[test]
    fn a_subscription_is_pulled_for_now_and_says_so() {
        let made = wish(serde_json::json!({ "types": ["crm.*"], "consumerGroup": "search-index" })).unwrap();
        assert_eq!((made.name.as_str(), made.max_retries, made.from_beginning), ("search-index", 3, false));
        let hook = serde_json::json!({ "types": ["crm.*"], "target": { "kind": "webhook", "url": "https://x.test" } });
        let error = wish(hook).unwrap_err();
        assert_eq!(error.field_errors()[0].field, "/target/kind");
        assert_eq!(error.field_errors()[0].code, FieldCode::NotAllowed);
        assert!(wish(serde_json::json!({ "types": ["crm.*"], "maxRetries": 11 })).is_err());
        assert!(wish(serde_json::json!({ "types": [], "consumerGroup": "a" })).is_err());
        assert!(wish(serde_json::json!({ "types": ["crm.*"], "consumerGroup": "a b" })).is_err());
    }
}
