use fabric::log::{Delivery, envelope};
use kernel::{Ctx, Result, Slug};
use ports::{
    http::{Access, Routes},
    rpc::{given, id, time},
};
use proto::events::v1::{
    self as wire, AckRequest, AckResponse, PullRequest, PullResponse, SubscribeRequest, UnsubscribeRequest,
    UnsubscribeResponse,
};

use super::method;
use crate::http::{
    Bus,
    subscriptions::{AckIn, AckOut, FailedIn, PullIn, SubscriptionIn, SubscriptionOut},
};

const READ: Access = Access::Permission("events.read");

pub(super) fn add(routes: Routes<Bus>) -> Routes<Bus> {
    routes
        .rpc_command(
            method("Subscribe", "subscribeRpc", READ)
                .summary("Subscribe to events")
                .problems(&[Slug::EventNotDeclared, Slug::AlreadyExists, Slug::LimitExceeded])
                .example(r#"{"types":["crm.*"],"consumerGroup":"search-index-rpc"}"#),
            subscribe,
            wire::Subscription::from,
        )
        .rpc_command(
            method("Unsubscribe", "unsubscribeRpc", READ)
                .summary("End a subscription, with its open deliveries and dead letters")
                .problems(&[Slug::NotFound]),
            unsubscribe,
            |()| UnsubscribeResponse {},
        )
        // As over HTTP, no Idempotency-Key is kept: when an answer is lost, its events come again by themselves.
        .rpc_query(
            method("Pull", "pullEventsRpc", READ).summary("Take events").problems(&[Slug::NotFound]),
            pull,
        )
        .rpc_command(
            method("Ack", "ackEventsRpc", READ)
                .summary("Say what became of events")
                .problems(&[Slug::NotFound]),
            ack,
            AckResponse::from,
        )
}

async fn subscribe(bus: Bus, cx: Ctx, wish: SubscribeRequest) -> Result<SubscriptionOut> {
    let wish = SubscriptionIn {
        types: wish.types,
        target: None,
        consumer_group: given(wish.consumer_group),
        from_beginning: wish.from_beginning,
        max_retries: wish.max_retries.map(|most| i16::try_from(most).unwrap_or(i16::MAX)),
    };
    bus.subscribe(&cx, wish).await
}

async fn unsubscribe(bus: Bus, cx: Ctx, asked: UnsubscribeRequest) -> Result<()> {
    bus.unsubscribe(&cx, id("/subscriptionId", &asked.subscription_id)?).await
}

async fn pull(bus: Bus, cx: Ctx, asked: PullRequest) -> Result<PullResponse> {
    let max = (asked.max > 0).then(|| u16::try_from(asked.max).unwrap_or(u16::MAX));
    let pulled = bus.pull(&cx, id("/subscriptionId", &asked.subscription_id)?, PullIn { max }).await?;
    Ok(PullResponse {
        deliveries: pulled.deliveries.into_iter().map(delivered).collect(),
        has_more: pulled.more,
    })
}

async fn ack(bus: Bus, cx: Ctx, said: AckRequest) -> Result<AckOut> {
    let subscription = id("/subscriptionId", &said.subscription_id)?;
    let done = said.event_ids.iter().enumerate();
    let event_ids = done.map(|(index, text)| id(&format!("/eventIds/{index}"), text));
    let failed = said.failed.into_iter().enumerate().map(|(index, failed)| {
        let event_id = id(&format!("/failed/{index}/eventId"), &failed.event_id)?;
        Ok(FailedIn { event_id, error: failed.error })
    });
    let said = AckIn { event_ids: event_ids.collect::<Result<_>>()?, failed: failed.collect::<Result<_>>()? };
    bus.ack(&cx, subscription, said).await
}

impl From<SubscriptionOut> for wire::Subscription {
    fn from(made: SubscriptionOut) -> Self {
        Self {
            id: made.id.to_string(),
            types: made.types,
            consumer_group: made.consumer_group,
            module: made.module.unwrap_or_default(),
            max_retries: u32::try_from(made.max_retries).unwrap_or(0),
            created_at: Some(time(made.created_at)),
        }
    }
}

fn delivered(delivery: Delivery) -> wire::Delivery {
    wire::Delivery {
        event: Some(envelope(delivery.event)),
        attempt: u32::try_from(delivery.attempt).unwrap_or(0),
    }
}

impl From<AckOut> for AckResponse {
    fn from(noted: AckOut) -> Self {
        Self { acknowledged: noted.acknowledged, failed: u32::try_from(noted.failed).unwrap_or(u32::MAX) }
    }
}
