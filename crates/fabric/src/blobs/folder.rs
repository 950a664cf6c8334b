//! Writes into a folder: what comes as a stream lies aside until it is whole.

use bytes::Bytes;
use futures::{Stream, StreamExt, TryStreamExt};
use kernel::Result;
use object_store::{
    CopyMode, CopyOptions, ObjectStore, ObjectStoreExt, PutMode, WriteMultipart, local::LocalFileSystem,
    path::Path,
};
use uuid::Uuid;

use super::{PART, PARTS_AT_ONCE, Put, STAGING, fault, too_large};

pub(super) async fn put(store: &LocalFileSystem, at: &Path, bytes: Bytes) -> Result<Put> {
    let size = bytes.len() as u64;
    match store.put_opts(at, bytes.into(), PutMode::Create.into()).await {
        Ok(_) => Ok(Put::Stored(size)),
        Err(object_store::Error::AlreadyExists { .. }) => Ok(Put::AlreadyThere),
        Err(error) => Err(fault(error)),
    }
}

/// See [`super::Blobs::put_stream`].
pub(super) async fn put_stream(
    store: &LocalFileSystem,
    at: &Path,
    bytes: impl Stream<Item = Result<Bytes>> + Send,
    most: u64,
) -> Result<Put> {
    let staged = Path::from(format!("{STAGING}/{}", Uuid::new_v4()));
    let size = stage(store, &staged, bytes, most).await?;
    let only_new = CopyOptions::new().with_mode(CopyMode::Create);
    let moved = store.copy_opts(&staged, at, only_new).await;
    if let Err(error) = store.delete(&staged).await {
        tracing::warn!(%error, "a staged blob was left behind; it is removed with the others at the next start");
    }
    match moved {
        Ok(()) => Ok(Put::Stored(size)),
        Err(object_store::Error::AlreadyExists { .. }) => Ok(Put::AlreadyThere),
        Err(error) => Err(fault(error)),
    }
}

async fn stage(
    store: &LocalFileSystem,
    staged: &Path,
    bytes: impl Stream<Item = Result<Bytes>> + Send,
    most: u64,
) -> Result<u64> {
    let upload = store.put_multipart(staged).await.map_err(fault)?;
    let mut upload = WriteMultipart::new_with_chunk_size(upload, PART);
    let mut bytes = std::pin::pin!(bytes);
    let mut size = 0;
    let failed = loop {
        let piece = match bytes.next().await {
            None => break None,
            Some(Err(error)) => break Some(error),
            Some(Ok(piece)) => piece,
        };
        size += piece.len() as u64;
        if size > most {
            break Some(too_large(most));
        }
        if let Err(error) = upload.wait_for_capacity(PARTS_AT_ONCE).await {
            break Some(fault(error));
        }
        upload.put(piece);
    };
    match failed {
        None => upload.finish().await.map(|_| size).map_err(fault),
        Some(error) => {
            if let Err(error) = upload.abort().await {
                tracing::warn!(%error, "the beginning of a blob was left behind");
            }
            Err(error)
        }
    }
}

pub(super) async fn clear_staging(store: &LocalFileSystem) -> Result<u64> {
    let found = store.list(Some(&Path::from(STAGING))).map_ok(|found| found.location).boxed();
    let gone = store.delete_stream(found);
    gone.try_fold(0, |count, _| std::future::ready(Ok(count + 1))).await.map_err(fault)
}
