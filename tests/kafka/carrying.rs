//! From the log to Kafka: everything, in order per key, with what readers need to know.

use std::{sync::Arc, time::Duration};

use fabric::log::{
    contract,
    kafka::{Carried, Kafka, TopicName},
};
use sqlx::{Connection as _, PgConnection};
use tokio_util::sync::CancellationToken;

use crate::stage::{Ear, Stage, database, is, member, options, sandbox, shared, until};

const PATIENCE: Duration = Duration::from_secs(30);

#[tokio::test(flavor = "multi_thread")]
async fn the_log_keeps_its_contract_while_everything_is_carried_to_kafka() {
    let database = database().await;
    let kafka = Kafka::open(options(&shared())).unwrap();
    let stage = Stage::on(&database.db, &kafka, sandbox(), 1);
    let stop = CancellationToken::new();
    let ear = Arc::new(Ear::default());
    let hearing = member(&kafka, &stage.sandbox, stage.sandbox.as_str(), None, ear.clone(), &stop);
    let working = stage.work(&stop);

    let writer = contract::OutboxWriter { db: database.db.clone(), relay: Arc::clone(&stage.relay) };
    contract::check(&*stage.log, &writer, &stage.contexts.own()).await.unwrap();

    let mut owner = PgConnection::connect_with(&database.owner).await.unwrap();
    let logged: (i64,) =
        sqlx::query_as("select count(*) from kernel.event").fetch_one(&mut owner).await.unwrap();
    until(PATIENCE, async || is(i64::try_from(ear.count()).unwrap(), logged.0)).await;
    for (key, numbers) in ear.numbers.lock().unwrap().iter().filter(|(key, _)| key.starts_with("key ")) {
        assert!(numbers.len() > 1, "{key}: {numbers:?}");
    }
    assert_eq!(stage.unfed().await, 0);
    stop.cancel();
    working.join_all().await;
    hearing.await.unwrap();
    kafka.remove_topics(&stage.sandbox).await.unwrap();
    kafka.close().await;
    database.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_events_of_a_key_come_in_order_under_load_and_carry_what_readers_need() {
    let database = database().await;
    let kafka = Kafka::open(options(&shared())).unwrap();
    let stage = Arc::new(Stage::on(&database.db, &kafka, sandbox(), 7));
    let stop = CancellationToken::new();
    let ear = Arc::new(Ear::default());
    let hearing = member(&kafka, &stage.sandbox, stage.sandbox.as_str(), None, ear.clone(), &stop);
    let working = stage.work(&stop);

    let (writers, rounds, keys) = (4, 40, 25);
    let mut writing = tokio::task::JoinSet::new();
    for writer in 0..writers {
        let stage = Arc::clone(&stage);
        writing.spawn(async move {
            for round in 0..rounds {
                let names: Vec<String> = (0..keys).map(|key| format!("{writer}/{key}")).collect();
                stage.publish(&names, round * keys).await;
            }
        });
    }
    writing.join_all().await;
    until(PATIENCE, async || is(ear.count(), writers * rounds * keys)).await;

    for (key, numbers) in ear.numbers.lock().unwrap().iter() {
        assert!(numbers.len() == rounds && numbers.is_sorted_by(|a, b| a < b), "{key}: {numbers:?}");
    }
    let record = ear.records.lock().unwrap()[0].clone();
    let event = ear.events().swap_remove(0);
    assert_eq!(record.topic, TopicName::new(stage.sandbox.clone(), "platform.test.events"));
    assert_eq!(record.key.as_deref(), Some(event.key.as_bytes()));
    assert_eq!(record.generation(), Some(7));
    assert_eq!(record.kind(), Some("test.thing.made"));
    let id = event.id.to_string();
    assert_eq!(record.header("id"), Some(id.as_str()));
    assert_eq!(record.header("tenant"), Some(stage.tenant.to_string().as_str()));
    let trace = format!("00-{}-", event.trace_id.unwrap());
    assert!(record.header("traceparent").unwrap().starts_with(&trace));
    assert!(record.header("content-type").unwrap().contains("platform.events.v1.EventEnvelope"));
    assert_eq!(event.tenant_id, Some(stage.tenant));

    stop.cancel();
    working.join_all().await;
    hearing.await.unwrap();
    assert_eq!(kafka.remove_topics(&stage.sandbox).await, Ok(1));
    kafka.close().await;
    database.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_feed_that_was_overtaken_moves_nothing_and_one_gives_way_to_the_other() {
    let database = database().await;
    let kafka = Kafka::open(options(&shared())).unwrap();
    let name = sandbox();
    let (one, other) =
        (Stage::on(&database.db, &kafka, name.clone(), 1), Stage::on(&database.db, &kafka, name.clone(), 1));
    one.publish(&["a".to_owned()], 1).await;
    one.relay.carry().await.unwrap();

    // Somebody has it, and did not give it back: it was killed.
    let mut owner = PgConnection::connect_with(&database.owner).await.unwrap();
    let take = "select kernel.take_feed('00000000-0000-0000-0000-000000000001')";
    let (fence,): (i64,) = sqlx::query_as(take).fetch_one(&mut owner).await.unwrap();
    let stop = CancellationToken::new();
    assert_eq!(one.feed.carry(&stop).await.unwrap(), Carried::Elsewhere);
    assert_eq!(one.unfed().await, 1);

    sqlx::raw_sql("update kernel.event_feed set leased_until = clock_timestamp() - interval '1 second'")
        .execute(&mut owner)
        .await
        .unwrap();
    assert_eq!(other.feed.carry(&stop).await.unwrap(), Carried::All);
    assert_eq!(other.unfed().await, 0);
    let late = "select kernel.move_feed($1, array['platform.test.events'], array[0::smallint], array[99::bigint], true)";
    let (moved,): (bool,) = sqlx::query_as(late).bind(fence).fetch_one(&mut owner).await.unwrap();
    assert!(!moved);
    assert_eq!(one.feed.carry(&stop).await.unwrap(), Carried::All);

    kafka.remove_topics(&name).await.unwrap();
    kafka.close().await;
    database.stop().await;
}
