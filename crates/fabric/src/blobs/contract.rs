//! What every store of blobs promises, as a program: tests run it on each kind.

use bytes::Bytes;
use futures::{TryStreamExt, stream};
use kernel::{Error, Result, Slug};

use super::{Blob, BlobKey, BlobPrefix, Blobs, Entry, Put};

/// Tries every promise, under prefixes that begin with `contract-`, and leaves nothing behind.
///
/// # Errors
/// The first promise that was not kept, or what the store says.
pub async fn check(blobs: &Blobs) -> Result<()> {
    let part = |name: &str| Ok::<_, Error>(blobs.of(prefix(name)?));
    a_key_is_written_once(&part("contract-once")?).await?;
    a_stream_is_kept_whole_or_not_at_all(&part("contract-stream")?).await?;
    ranges_are_cut_at_the_end(&part("contract-range")?).await?;
    a_fork_reads_its_ancestors_and_writes_its_own(blobs).await?;
    a_folder_is_listed_and_removed_alone(&part("contract-folder")?).await
}

fn promise(kept: bool, what: &str) -> Result<()> {
    if kept { Ok(()) } else { Err(Error::internal(format!("the blobs do not keep their promise: {what}"))) }
}

fn key(text: &str) -> Result<BlobKey> {
    text.parse().map_err(Error::internal)
}

fn prefix(text: &str) -> Result<BlobPrefix> {
    text.parse().map_err(Error::internal)
}

async fn whole(blob: Option<Blob>) -> Result<Option<Bytes>> {
    match blob {
        Some(blob) => blob.bytes(100 << 20).await.map(Some),
        None => Ok(None),
    }
}

async fn a_key_is_written_once(blobs: &Blobs) -> Result<()> {
    let (a, b) = (key("folder/a")?, key("b")?);
    promise(
        blobs.size(&a).await?.is_none() && blobs.get(&a, None).await?.is_none(),
        "nothing is there at first",
    )?;
    promise(blobs.put(&a, "first").await? == Put::Stored(5), "bytes are stored")?;
    promise(blobs.put(&a, "second").await? == Put::AlreadyThere, "a key is not written again")?;
    let again = blobs.put_stream(&a, stream::iter([Ok(Bytes::from("third"))]), 100).await?;
    promise(again == Put::AlreadyThere, "nor by a stream")?;
    promise(whole(blobs.get(&a, None).await?).await?.as_deref() == Some(b"first"), "the first bytes stay")?;
    promise(blobs.put(&b, "").await? == Put::Stored(0), "no bytes are bytes, too")?;
    promise(whole(blobs.get(&b, None).await?).await?.as_deref() == Some(b""), "and come back")?;
    let c = key("c")?;
    let writers = futures::future::try_join_all((0..8).map(|n| blobs.put(&c, vec![n; 1000]))).await?;
    let stored = writers.iter().filter(|put| matches!(put, Put::Stored(_))).count();
    promise(stored == 1, "of writers at the same time exactly one is first")?;
    blobs.delete_below(None).await.map(drop)
}

async fn a_stream_is_kept_whole_or_not_at_all(blobs: &Blobs) -> Result<()> {
    let (a, b, c) = (key("a")?, key("b")?, key("c")?);
    let megabyte = Bytes::from(vec![7; 1 << 20]);
    let pieces = || stream::iter((0..12).map(|_| Ok(megabyte.clone())).collect::<Vec<_>>());
    let stored = blobs.put_stream(&a, pieces(), 12 << 20).await?;
    promise(stored == Put::Stored(12 << 20), "a stream of several parts is stored")?;
    let read = whole(blobs.get(&a, None).await?).await?;
    promise(
        read.is_some_and(|read| read.len() == 12 << 20 && read.iter().all(|b| *b == 7)),
        "and comes back",
    )?;
    let refused = blobs.put_stream(&b, pieces(), (12 << 20) - 1).await;
    promise(
        refused.is_err_and(|error| error.slug() == Slug::PayloadTooLarge),
        "a stream is stopped at its limit",
    )?;
    let broken = stream::iter([Ok(megabyte.clone()), Err(Error::not_found("rest"))]);
    let refused = blobs.put_stream(&c, broken, 100 << 20).await;
    promise(
        refused.is_err_and(|error| error.slug() == Slug::NotFound),
        "the error of a stream comes through",
    )?;
    let left = blobs.size(&b).await?.is_some() || blobs.size(&c).await?.is_some();
    promise(!left, "nothing is left of a stream that broke off")?;
    blobs.delete_below(None).await.map(drop)
}

async fn ranges_are_cut_at_the_end(blobs: &Blobs) -> Result<()> {
    let a = key("a")?;
    blobs.put(&a, "0123456789").await?;
    for (range, expected) in [(0..10, "0123456789"), (3..5, "34"), (9..10, "9"), (8..99, "89")] {
        let blob = blobs.get(&a, Some(range)).await?;
        promise(blob.as_ref().is_some_and(|blob| blob.size == 10), "a range tells the size of the whole")?;
        promise(whole(blob).await?.as_deref() == Some(expected.as_bytes()), "a range gives these bytes")?;
    }
    for range in [10..11, 5..5, 99..100] {
        let refused = blobs.get(&a, Some(range)).await;
        promise(
            refused.is_err_and(|error| error.slug() == Slug::ValidationError),
            "an empty range is refused",
        )?;
    }
    blobs.delete_below(None).await.map(drop)
}

async fn a_fork_reads_its_ancestors_and_writes_its_own(blobs: &Blobs) -> Result<()> {
    let names = [prefix("contract-root")?, prefix("contract-fork")?, prefix("contract-leaf")?];
    let root = blobs.of(names[0].clone());
    let fork = blobs.of(names[1].clone()).forked_from([names[0].clone()]);
    let leaf = blobs.of(names[2].clone()).forked_from([names[1].clone(), names[0].clone()]);
    let (a, b, c) = (key("a")?, key("b")?, key("c")?);
    root.put(&a, "root").await?;
    fork.put(&b, "fork").await?;
    promise(
        whole(leaf.get(&a, None).await?).await?.as_deref() == Some(b"root"),
        "a fork reads its ancestors",
    )?;
    promise(whole(leaf.get(&b, None).await?).await?.as_deref() == Some(b"fork"), "all of them")?;
    promise(leaf.put(&a, "other").await? == Put::AlreadyThere, "what an ancestor wrote is there")?;
    leaf.put(&c, "leaf").await?;
    let unseen = fork.size(&c).await?.is_none() && root.size(&b).await?.is_none();
    promise(unseen, "an ancestor sees nothing of a fork")?;
    let there = blobs.prefixes().await?;
    promise(names.iter().all(|name| there.contains(name)), "each prefix is known")?;
    promise(leaf.delete_below(None).await? == 1, "a fork removes its own")?;
    promise(
        leaf.size(&a).await?.is_some() && leaf.size(&c).await?.is_none(),
        "and nothing of its ancestors",
    )?;
    fork.delete_below(None).await?;
    root.delete_below(None).await.map(drop)
}

async fn a_folder_is_listed_and_removed_alone(blobs: &Blobs) -> Result<()> {
    for text in ["one/a", "one/b/c", "onetwo/a", "two"] {
        blobs.put(&key(text)?, text.to_owned()).await?;
    }
    let one = key("one")?;
    let mut found: Vec<Entry> = blobs.list(Some(&one)).try_collect().await?;
    found.sort_by(|a, b| a.key.cmp(&b.key));
    let expected = [Entry { key: key("one/a")?, size: 5 }, Entry { key: key("one/b/c")?, size: 7 }];
    promise(found == expected, "a folder is listed with everything below it, and nothing beside it")?;
    promise(blobs.delete_below(Some(&one)).await? == 2, "a folder is removed")?;
    let left: Vec<Entry> = blobs.list(None).try_collect().await?;
    promise(left.len() == 2, "and nothing beside it")?;
    promise(blobs.put(&key("one/a")?, "again").await? == Put::Stored(5), "a removed key is free")?;
    promise(blobs.delete_below(None).await? == 3, "everything is removed")?;
    promise(blobs.delete_below(None).await? == 0, "where nothing is, nothing is removed")
}
