use std::time::{Duration, Instant};

use fabric::cache::{Cache, Heard, ValkeyStore};
use kernel::Slug;
use testkit::Valkey;

use crate::{next, open, options};

const MINUTE: Duration = Duration::from_secs(60);

/// Until it answers again, at most two seconds.
async fn is_back(cache: &Cache, since: Instant) -> Duration {
    while cache.set("back", "x", MINUTE).await.is_err() {
        assert!(since.elapsed() < Duration::from_secs(2), "it is not back in time");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    since.elapsed()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_server_fails_fast_and_is_back_soon_after_its_return() {
    let mut server = Valkey::start(&[]);
    let cache = open(&options(&server.url())).await;
    cache.set("value", "x", MINUTE).await.unwrap();
    let mut returns = Vec::new();
    for away in [50, 700, 3_000] {
        server.kill();
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_millis(away) {
            let asked = Instant::now();
            let refused = cache.get("value").await;
            assert!(asked.elapsed() < Duration::from_millis(1_200), "{:?}", asked.elapsed());
            assert_eq!(refused.unwrap_err().slug(), Slug::DependencyUnavailable);
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        server.start_again();
        returns.push(is_back(&cache, Instant::now()).await);
        assert_eq!(cache.get("value").await.unwrap(), None, "it kept nothing");
    }
    println!("back after {returns:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn callers_of_a_lost_server_do_not_queue() {
    let mut server = Valkey::start(&[]);
    let cache = open(&options(&server.url())).await;
    server.kill();
    while cache.get("noticed").await.is_ok() {}
    tokio::time::sleep(Duration::from_millis(300)).await;
    let begun = Instant::now();
    let many = (0..10_000).map(|n| {
        let cache = cache.clone();
        async move { cache.set(&format!("late/{n}"), "x", MINUTE).await.is_err() }
    });
    assert!(futures::future::join_all(many).await.into_iter().all(|refused| refused));
    assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
    server.start_again();
    is_back(&cache, Instant::now()).await;
    assert_eq!(server.ask(&["DBSIZE"]), ":1\r\n", "nothing that was refused is done later");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listener_hears_of_the_loss_all_the_time_and_then_of_what_is_said() {
    let mut server = Valkey::start(&[]);
    let (cache, other) = (open(&options(&server.url())).await, options(&server.url()));
    let mut listener = cache.subscribe("topic").await.unwrap();
    server.kill();
    let begun = Instant::now();
    for _ in 0..4 {
        assert_eq!(next(&mut listener).await, Heard::Interrupted);
    }
    let told = begun.elapsed();
    assert!((Duration::from_secs(1)..Duration::from_secs(4)).contains(&told), "{told:?}");
    let mut late = cache.subscribe("of the time without").await.unwrap();
    server.start_again();
    let other = open(&other).await;
    let begun = Instant::now();
    for (topic, listener) in [("topic", &mut listener), ("of the time without", &mut late)] {
        'heard: loop {
            assert!(begun.elapsed() < Duration::from_secs(3), "it is not listened to again");
            other.publish(topic, "again").await.unwrap();
            while let Ok(heard) = tokio::time::timeout(Duration::from_millis(50), listener.next()).await {
                match heard.unwrap() {
                    Heard::Interrupted => {}
                    Heard::Message(message) => {
                        assert_eq!(message, "again");
                        break 'heard;
                    }
                }
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_is_cut_while_nobody_speaks_is_told_to_listeners() {
    let server = Valkey::start(&[]);
    let cache = open(&options(&server.url())).await;
    let mut listener = cache.subscribe("topic").await.unwrap();
    server.ask(&["CLIENT", "KILL", "TYPE", "pubsub"]);
    assert_eq!(next(&mut listener).await, Heard::Interrupted);
    cache.publish("topic", "after").await.unwrap();
    loop {
        match next(&mut listener).await {
            Heard::Interrupted => {}
            Heard::Message(message) => return assert_eq!(message, "after"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_stands_still_holds_nobody_up() {
    let server = Valkey::start(&[]);
    let cache = open(&options(&server.url())).await;
    let mut listener = cache.subscribe("topic").await.unwrap();
    server.signal("STOP");
    let begun = Instant::now();
    assert_eq!(next(&mut listener).await, Heard::Interrupted);
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
    for _ in 0..4 {
        let asked = Instant::now();
        assert!(cache.get("value").await.is_err());
        assert!(asked.elapsed() < Duration::from_millis(1_200), "{:?}", asked.elapsed());
    }
    server.signal("CONT");
    is_back(&cache, Instant::now()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_presence_of_the_server_is_known_without_asking() {
    let mut server = Valkey::start(&[]);
    let store = ValkeyStore::connect(&options(&server.url())).await.unwrap();
    let before = store.presence();
    assert!(before.there && store.health().await.unwrap().version.starts_with("Valkey 8.1"));
    server.kill();
    let begun = Instant::now();
    while store.presence().there {
        assert!(begun.elapsed() < Duration::from_secs(2));
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(store.presence().since > before.since && store.health().await.is_err());
}
