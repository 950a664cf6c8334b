//! A group's members: they share the partitions, and what one can't use keeps nobody else waiting.

use std::{
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use async_trait::async_trait;
use fabric::log::{
    kafka::{Heard, Hearer, Kafka, Record},
    open_envelope,
};
use kernel::{Error, Result, Slug};
use tokio_util::sync::CancellationToken;

use crate::stage::{Ear, Stage, database, is, member, options, sandbox, shared, until};

const PATIENCE: Duration = Duration::from_secs(60);

/// Fails for one key, for ever or for some time.
struct Picky {
    ear: Ear,
    tries: Mutex<Vec<Instant>>,
}

#[async_trait]
impl Hearer for Picky {
    async fn hear(&self, record: &Record) -> Result<Heard> {
        let event = open_envelope(&record.payload, record.key.as_deref()).unwrap();
        if event.key == "poison" && event.data == 0 {
            self.tries.lock().unwrap().push(Instant::now());
            return Err(Error::new(Slug::Conflict, "not this one"));
        }
        self.ear.hear(record).await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_poisoned_record_becomes_a_dead_letter_after_three_retries_and_only_its_key_waits() {
    let database = database().await;
    let kafka = Kafka::open(options(&shared())).unwrap();
    let stage = Stage::on(&database.db, &kafka, sandbox(), 1);
    let stop = CancellationToken::new();
    let picky = Arc::new(Picky { ear: Ear::default(), tries: Mutex::default() });
    let hearing = member(&kafka, &stage.sandbox, stage.sandbox.as_str(), None, picky.clone(), &stop);
    let working = stage.work(&stop);
    let since = Instant::now();
    stage.publish(&["poison".to_owned()], 0).await;
    stage.publish(&["poison".to_owned()], 1).await;
    let others: Vec<String> = (0..200).map(|n| format!("key {}", n % 50)).collect();
    stage.publish(&others, 0).await;

    until(PATIENCE, async || is(picky.ear.count(), 200)).await;
    assert!(since.elapsed() < Duration::from_secs(20), "others waited: {:?}", since.elapsed());
    assert!(!picky.ear.numbers.lock().unwrap().contains_key("poison"));
    // What comes behind the poison goes on when the poison has become a dead letter.
    until(PATIENCE, async || is(picky.ear.count(), 201)).await;
    let tries = picky.tries.lock().unwrap().clone();
    let pauses: Vec<f64> = tries.windows(2).map(|two| (two[1] - two[0]).as_secs_f64()).collect();
    assert!(pauses.len() == 3 && pauses[0] >= 0.9 && pauses[1] >= 4.5 && pauses[2] >= 22.5, "{pauses:?}");
    assert_eq!(kafka.figures().counted().dead_letters, 1);

    stop.cancel();
    working.join_all().await;
    hearing.await.unwrap();
    assert_eq!(kafka.remove_topics(&stage.sandbox).await, Ok(2));
    kafka.close().await;
    database.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn members_share_the_partitions_and_one_that_returns_under_its_name_goes_on_where_it_was() {
    let database = database().await;
    let (first, second) =
        (Kafka::open(options(&shared())).unwrap(), Kafka::open(options(&shared())).unwrap());
    let stage = Stage::on(&database.db, &first, sandbox(), 1);
    let (stop, leaving) = (CancellationToken::new(), CancellationToken::new());
    let working = stage.work(&stop);
    let keys: Vec<String> = (0..60).map(|n| format!("key {n}")).collect();
    stage.publish(&keys, 0).await;
    until(PATIENCE, async || is(stage.unfed().await, 0)).await;

    let group = stage.sandbox.as_str();
    let (one, two) = (Arc::new(Ear::default()), Arc::new(Ear::default()));
    let staying = member(&first, &stage.sandbox, group, Some("one"), one.clone(), &stop);
    until(PATIENCE, async || is(first.figures().counted().partitions, 3)).await;
    let coming = member(&second, &stage.sandbox, group, Some("two"), two.clone(), &leaving);
    let share = |kafka: &Arc<Kafka>| kafka.figures().counted().partitions;
    until(PATIENCE, async || {
        let shares = (share(&first), share(&second));
        if shares.0 + shares.1 == 3 && shares.1 > 0 { Ok(()) } else { Err(shares) }
    })
    .await;
    let (before, kept) = (first.figures().counted().rebalances, share(&first));
    until(PATIENCE, async || is(one.count() + two.count(), 60)).await;

    // It goes and comes back within the time that the group waits for it: nothing moves, and nothing is read twice.
    leaving.cancel();
    coming.await.unwrap();
    stage.publish(&keys, 60).await;
    let again = CancellationToken::new();
    let coming = member(&second, &stage.sandbox, group, Some("two"), two.clone(), &again);
    until(PATIENCE, async || is(one.count() + two.count(), 120)).await;
    assert_eq!((first.figures().counted().rebalances, share(&first)), (before, kept));

    again.cancel();
    stop.cancel();
    coming.await.unwrap();
    staying.await.unwrap();
    working.join_all().await;
    first.remove_topics(&stage.sandbox).await.unwrap();
    first.close().await;
    second.close().await;
    database.stop().await;
}
