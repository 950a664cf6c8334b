//! What every cache promises, as a program: tests run it on each kind.

use std::time::{Duration, Instant};

use kernel::{Error, Result};

use super::{Cache, Heard, Subscription};

const LONG: Duration = Duration::from_secs(60);

/// Tries every promise on a cache. It works in parts of its own and leaves nothing behind.
///
/// # Errors
/// The first promise that was not kept, or what the server says.
pub async fn check(cache: &Cache) -> Result<()> {
    values_come_back_until_they_are_deleted(&cache.part("contract-values")).await?;
    parts_do_not_see_each_other(cache).await?;
    a_value_ends_with_its_time(&cache.part("contract-time")).await?;
    counters_count_within_their_window(&cache.part("contract-counters")).await?;
    counts_are_not_lost_between_callers(&cache.part("contract-callers")).await?;
    listeners_hear_what_is_said_while_they_listen(cache).await
}

fn promise(kept: bool, what: &str) -> Result<()> {
    if kept { Ok(()) } else { Err(Error::internal(format!("the cache does not keep its promise: {what}"))) }
}

async fn values_come_back_until_they_are_deleted(cache: &Cache) -> Result<()> {
    promise(cache.get("a").await?.is_none(), "what was never set is not there")?;
    for value in [&b""[..], b"text", &[0, 255, 10, 13]] {
        cache.set("a", value.to_vec(), LONG).await?;
        promise(cache.get("a").await?.as_deref() == Some(value), "a value comes back byte for byte")?;
    }
    for key in ["a", "ab", "ab/c", "b", "a*", "%"] {
        cache.set(key, key.as_bytes().to_vec(), LONG).await?;
    }
    cache.delete_prefix("ab").await?;
    promise(cache.get("ab").await?.is_none() && cache.get("ab/c").await?.is_none(), "a prefix is deleted")?;
    cache.delete_prefix("a*").await?;
    let kept = cache.get("a").await?.is_some() && cache.get("b").await?.is_some();
    promise(kept, "a prefix is no pattern, and nothing else is deleted")?;
    cache.delete("a").await?;
    cache.delete("never-there").await?;
    promise(cache.get("a").await?.is_none(), "a deleted value is gone")?;
    cache.delete_prefix("").await?;
    promise(cache.get("b").await?.is_none(), "the empty prefix is everything of the part")
}

async fn parts_do_not_see_each_other(cache: &Cache) -> Result<()> {
    let (one, other) = (cache.part("contract-a"), cache.part("contract-a/b"));
    one.set("b/key", "one", LONG).await?;
    promise(other.get("key").await?.is_none(), "a name with a slash reaches into no other part")?;
    other.set("key", "other", LONG).await?;
    one.delete_prefix("").await?;
    promise(other.get("key").await?.is_some(), "a part is emptied alone")?;
    other.delete_prefix("").await
}

async fn a_value_ends_with_its_time(cache: &Cache) -> Result<()> {
    cache.set("short", "x", Duration::from_millis(30)).await?;
    cache.set("renewed", "x", Duration::from_millis(30)).await?;
    cache.set("renewed", "x", LONG).await?;
    let begun = Instant::now();
    while cache.get("short").await?.is_some() {
        promise(begun.elapsed() < Duration::from_secs(5), "a value is gone when its time is over")?;
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    promise(cache.get("renewed").await?.is_some(), "setting a value again gives it new time")?;
    cache.delete_prefix("").await
}

async fn counters_count_within_their_window(cache: &Cache) -> Result<()> {
    for expected in 1..=3 {
        let counted = cache.increment("a", 1, LONG).await?;
        promise(counted.count == expected, "a counter counts")?;
        promise(!counted.resets_in.is_zero() && counted.resets_in <= LONG, "a counter says when it resets")?;
    }
    promise(cache.increment("b", 1, LONG).await?.count == 1, "each counter counts for itself")?;
    promise(cache.increment("b", 41, LONG).await?.count == 42, "a counter counts by more than one")?;
    promise(cache.increment("b", 0, LONG).await?.count == 42, "a counter can be looked at")?;
    cache.delete("a").await?;
    promise(cache.increment("a", 1, LONG).await?.count == 1, "a deleted counter starts anew")?;
    promise(cache.increment("unmade", 0, LONG).await?.count == 0, "what nobody counted is nothing")?;
    let window = Duration::from_millis(40);
    let unmade = cache.increment("unmade", 1, window).await?;
    promise(unmade.resets_in <= window, "a look begins no window")?;
    cache.increment("short", 1, window).await?;
    let begun = Instant::now();
    // Counting on does not lengthen the window.
    while cache.increment("short", 1, window).await?.count > 1 {
        promise(begun.elapsed() < Duration::from_secs(5), "a counter starts anew after its window")?;
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    cache.delete_prefix("").await
}

async fn counts_are_not_lost_between_callers(cache: &Cache) -> Result<()> {
    let callers = (0..8).map(|_| async {
        for _ in 0..25 {
            cache.increment("shared", 1, LONG).await?;
        }
        Ok::<_, Error>(())
    });
    futures::future::try_join_all(callers).await?;
    promise(cache.increment("shared", 1, LONG).await?.count == 201, "no count is lost between callers")?;
    cache.delete_prefix("").await
}

async fn next(listener: &mut Subscription) -> Option<Heard> {
    tokio::time::timeout(Duration::from_secs(5), listener.next()).await.ok().flatten()
}

async fn listeners_hear_what_is_said_while_they_listen(cache: &Cache) -> Result<()> {
    let (part, other) = (cache.part("contract-said"), cache.part("contract-unsaid"));
    part.publish("topic", "before").await?;
    let (mut one, mut two) = (part.subscribe("topic").await?, part.subscribe("topic").await?);
    other.publish("topic", "elsewhere").await?;
    part.publish("another", "elsewhere").await?;
    part.publish("topic", "first").await?;
    part.publish("topic", "second").await?;
    for listener in [&mut one, &mut two] {
        for expected in ["first", "second"] {
            let mut heard = next(listener).await;
            // The nodes of a cluster pass on to each other what is said, and that takes a moment.
            if heard == Some(Heard::Message("before".into())) && expected == "first" {
                heard = next(listener).await;
            }
            let what = format!("each listener hears its topic, in order: {expected}, not {heard:?}");
            promise(heard == Some(Heard::Message(expected.into())), &what)?;
        }
    }
    Ok(())
}
