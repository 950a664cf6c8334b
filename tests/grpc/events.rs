//! `platform.events.v1`

use std::time::{Duration, Instant};

use proto::events::v1::{
    AckRequest, Delivery, FailedEvent, PublishBatchRequest, PublishRequest, PullRequest, SubscribeRequest,
    UnsubscribeRequest, events_service_client::EventsServiceClient,
};
use serde_json::{Value, json};
use testkit::{Api, Kernel};
use tonic::{Code, Request};
use uuid::Uuid;

use crate::{Calls, events, fields, slug};

async fn acme(kernel: &Kernel) -> Api {
    let (owner, _) = kernel.api().register("Acme Tools").await;
    owner.post("/api/v1/modules/crm/install", json!({})).await.expect(200);
    owner
}

fn won(id: &str) -> PublishRequest {
    let data_json = json!({ "id": id, "amount": 9_007_199_254_740_993_i64 }).to_string();
    PublishRequest { r#type: "crm.deal.won".into(), data_json, ..Default::default() }
}

fn keyed<T>(message: T, key: Uuid) -> Request<T> {
    let mut request = Request::new(message);
    request.metadata_mut().insert("idempotency-key", key.to_string().parse().unwrap());
    request
}

/// Pulls until `count` events came: the relay gives them their places a moment after they were published.
async fn pulled(bus: &mut EventsServiceClient<Calls>, subscription: &str, count: usize) -> Vec<Delivery> {
    let give_up = Instant::now() + Duration::from_secs(20);
    let mut all = Vec::new();
    while all.len() < count {
        assert!(Instant::now() < give_up, "{} of {count} events came", all.len());
        let asked = PullRequest { subscription_id: subscription.into(), max: 10 };
        all.extend(bus.pull(asked).await.unwrap().into_inner().deliveries);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn events_are_published_pulled_and_acknowledged() {
    let kernel = Kernel::demo().await;
    let owner = acme(&kernel).await;
    let mut bus = events(&kernel, &owner);
    let wish = SubscribeRequest {
        types: vec!["crm.deal.won".into()],
        consumer_group: "ears".into(),
        max_retries: Some(0),
        ..Default::default()
    };
    let made = bus.subscribe(wish.clone()).await.unwrap().into_inner();
    assert_eq!((made.consumer_group.as_str(), made.max_retries, made.module.as_str()), ("ears", 0, ""));
    let status = bus.subscribe(wish).await.unwrap_err();
    assert_eq!((status.code(), slug(&status).as_str()), (Code::AlreadyExists, "already-exists"));
    // It is the one that HTTP shows, and it is in the audit trail.
    let shown = owner.get(&format!("/api/v1/events/subscriptions/{}", made.id)).await.expect(200);
    assert_eq!(shown.body["types"], json!(["crm.deal.won"]));

    let first = bus.publish(won("d1")).await.unwrap().into_inner();
    assert_eq!(first.topic, "platform.crm.events");
    let batch = PublishBatchRequest { events: vec![won("d2"), won("d3")] };
    assert_eq!(bus.publish_batch(batch).await.unwrap().into_inner().events.len(), 2);
    let deliveries = pulled(&mut bus, &made.id, 3).await;
    let event = deliveries.iter().filter_map(|one| one.event.as_ref()).find(|one| one.id == first.event_id);
    let event = event.expect("the first event came");
    let data: Value = serde_json::from_str(&event.data_json).unwrap();
    assert_eq!(data["amount"], 9_007_199_254_740_993_i64, "no number lost its last digits");
    assert_eq!((event.key.as_str(), event.schema_version.as_str()), ("d1", "1.0.0"));
    assert!(event.timestamp.is_some() && event.tenant_id.len() == 36 && event.trace_id.len() == 32);

    let others = deliveries.iter().filter_map(|one| one.event.as_ref()).map(|event| event.id.clone());
    let others: Vec<String> = others.filter(|id| *id != first.event_id).collect();
    let failed = vec![FailedEvent { event_id: first.event_id.clone(), error: "it would not fit".into() }];
    let said = AckRequest { subscription_id: made.id.clone(), event_ids: others, failed };
    let noted = bus.ack(said).await.unwrap().into_inner();
    assert_eq!((noted.acknowledged, noted.failed), (2, 1));
    let dead = owner.get("/api/v1/events/dlq").await.expect(200);
    assert_eq!(dead.data()[0]["error"], "it would not fit");

    bus.unsubscribe(UnsubscribeRequest { subscription_id: made.id.clone() }).await.unwrap();
    let asked = PullRequest { subscription_id: made.id, max: 1 };
    assert_eq!(bus.pull(asked).await.unwrap_err().code(), Code::NotFound);
    let give_up = Instant::now() + Duration::from_secs(20);
    loop {
        let records = owner.get("/api/v1/audit/records?limit=100").await.expect(200);
        let told = |action: &str| records.data().iter().any(|record| record["action"] == action);
        if told("event.subscription.created") && told("event.subscription.deleted") {
            break;
        }
        assert!(Instant::now() < give_up, "{}", records.text);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    kernel.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeated_publish_is_one_event() {
    let kernel = Kernel::demo().await;
    let owner = acme(&kernel).await;
    let mut bus = events(&kernel, &owner);
    let key = Uuid::now_v7();
    let first = bus.publish(keyed(won("d1"), key)).await.unwrap();
    assert!(first.metadata().get("idempotent-replayed").is_none());
    let again = bus.publish(keyed(won("d1"), key)).await.unwrap();
    assert_eq!(again.metadata().get("idempotent-replayed").unwrap(), "true");
    assert_eq!(first.into_inner(), again.into_inner());
    let status = bus.publish(keyed(won("d2"), key)).await.unwrap_err();
    assert_eq!((status.code(), slug(&status).as_str()), (Code::InvalidArgument, "idempotency-key-reused"));

    let (batch, key) = (PublishBatchRequest { events: vec![won("d3"), won("d4")] }, Uuid::now_v7());
    let first = bus.publish_batch(keyed(batch.clone(), key)).await.unwrap().into_inner();
    assert_eq!(bus.publish_batch(keyed(batch, key)).await.unwrap().into_inner(), first);
    let (wish, key) = (SubscribeRequest { types: vec!["*".into()], ..Default::default() }, Uuid::now_v7());
    let first = bus.subscribe(keyed(wish.clone(), key)).await.unwrap().into_inner();
    assert_eq!(bus.subscribe(keyed(wish, key)).await.unwrap().into_inner(), first);
    let gone = UnsubscribeRequest { subscription_id: first.id };
    let key = Uuid::now_v7();
    bus.unsubscribe(keyed(gone.clone(), key)).await.unwrap();
    let again = bus.unsubscribe(keyed(gone, key)).await.unwrap();
    assert_eq!(again.metadata().get("idempotent-replayed").unwrap(), "true");

    let give_up = Instant::now() + Duration::from_secs(20);
    loop {
        let told = owner.get("/api/v1/events/topics/platform.crm.events/messages").await.expect(200);
        let ids: Vec<&str> = told.data().iter().filter_map(|one| one["data"]["id"].as_str()).collect();
        if ids.len() >= 3 {
            assert_eq!(ids.iter().filter(|id| **id == "d1").count(), 1);
            assert_eq!(ids.len(), 3, "{ids:?}");
            break;
        }
        assert!(Instant::now() < give_up, "{ids:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    kernel.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_may_not_be_published_is_told_by_field_or_rule() {
    let kernel = Kernel::demo().await;
    let owner = acme(&kernel).await;
    let mut bus = events(&kernel, &owner);
    let cases = [
        (PublishRequest { data_json: "{".into(), ..won("d") }, "/dataJson"),
        (PublishRequest { data_json: String::new(), ..won("d") }, "/dataJson"),
        (PublishRequest { data_json: "[]".into(), ..won("d") }, "/data"),
        (PublishRequest { r#type: "Won".into(), ..won("d") }, "/type"),
        (PublishRequest { schema_version: "one".into(), ..won("d") }, "/schemaVersion"),
    ];
    for (event, field) in cases {
        let status = bus.publish(event.clone()).await.unwrap_err();
        assert_eq!(
            (status.code(), fields(&status)),
            (Code::InvalidArgument, vec![field.to_owned()]),
            "{event:?}"
        );
        let batch = PublishBatchRequest { events: vec![won("d"), event] };
        assert_eq!(fields(&bus.publish_batch(batch).await.unwrap_err()), [format!("/events/1{field}")]);
    }
    let status =
        bus.publish(PublishRequest { r#type: "auth.user.created".into(), ..won("d") }).await.unwrap_err();
    assert_eq!((status.code(), slug(&status).as_str()), (Code::PermissionDenied, "event-not-declared"));
    assert_eq!(fields(&bus.publish_batch(PublishBatchRequest::default()).await.unwrap_err()), ["/events"]);
    let said = AckRequest {
        subscription_id: Uuid::now_v7().to_string(),
        event_ids: vec!["x".into()],
        failed: vec![],
    };
    assert_eq!(fields(&bus.ack(said).await.unwrap_err()), ["/eventIds/0"]);
    let (stranger, _) = kernel.api().register("Next Door").await;
    let status = events(&kernel, &stranger).publish(won("d")).await.unwrap_err();
    assert_eq!(slug(&status), "event-not-declared", "crm is not installed there");
    kernel.close().await;
}
