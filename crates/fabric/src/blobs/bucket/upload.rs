//! Streams into a bucket.

use std::{sync::Arc, time::Duration};

use bytes::{Bytes, BytesMut};
use chrono::{DateTime, Utc};
use futures::{Stream, StreamExt, TryStreamExt, stream::FuturesUnordered};
use kernel::{Error, Result, Slug};
use object_store::{
    MultipartId, ObjectStore, ObjectStoreExt, PutMode, PutPayload,
    multipart::{MultipartStore, PartId},
    path::Path,
};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::Bucket;
use crate::blobs::{PART, PARTS_AT_ONCE, Put, STAGING, fault, too_large};

/// What is noted of an upload in parts while it lasts, so that it can be given up when its process has died: until its
/// parts are put together nobody sees them, but they are paid for.
#[derive(Serialize, Deserialize)]
struct Noted {
    path: String,
    upload: MultipartId,
}

/// An upload under way. Unless it is done, its parts are removed.
pub(super) struct Underway {
    bucket: Arc<Bucket>,
    at: Path,
    upload: MultipartId,
    note: Path,
    is_open: bool,
}

impl Bucket {
    /// Keeps bytes under a key, unless there are some.
    pub(in crate::blobs) async fn put(&self, at: &Path, bytes: PutPayload) -> Result<Put> {
        let size = bytes.content_length() as u64;
        match self.store().put_opts(at, bytes, PutMode::Create.into()).await {
            Ok(_) => Ok(Put::Stored(size)),
            Err(error) => self.was_there(at, error).await,
        }
    }

    /// See [`crate::blobs::Blobs::put_stream`]. What fits into one part is one request.
    pub(in crate::blobs) async fn put_stream(
        self: &Arc<Self>,
        at: &Path,
        bytes: impl Stream<Item = Result<Bytes>> + Send,
        most: u64,
    ) -> Result<Put> {
        let mut parts = Parts { bytes: Box::pin(bytes.fuse()), size: 0, most, rest: BytesMut::new() };
        let first = parts.next().await?.unwrap_or_default();
        if first.len() < PART {
            return self.put(at, first.into()).await;
        }
        let upload = self.begin(at).await?;
        let sent = upload.send(first, &mut parts).await;
        let put = match sent {
            Ok(sent) => match self.s3.complete_multipart(&upload.at, &upload.upload, sent).await {
                Ok(_) => Ok(Put::Stored(parts.size)),
                Err(error) => self.was_there(at, error).await,
            },
            Err(error) => Err(error),
        };
        upload.end(matches!(put, Ok(Put::Stored(_)))).await;
        put
    }

    /// Whether a write failed because the key is there. Stores say 412, 409 when two write at the same moment, and 404 when
    /// the parts were put together by a request whose answer was lost.
    async fn was_there(&self, at: &Path, error: object_store::Error) -> Result<Put> {
        use object_store::Error::{AlreadyExists, NotFound, Precondition};
        if matches!(error, AlreadyExists { .. } | Precondition { .. } | NotFound { .. })
            && self.store().head(at).await.is_ok()
        {
            return Ok(Put::AlreadyThere);
        }
        Err(match error {
            AlreadyExists { .. } | Precondition { .. } => {
                let told = "Somebody writes the same file at this moment; try again.";
                Error::new(Slug::DependencyUnavailable, told).because(error)
            }
            // Not of the key: of the bucket, or of the upload.
            NotFound { .. } => {
                Error::new(Slug::DependencyUnavailable, "The file store does not take files just now.")
                    .because(error)
            }
            error => fault(error),
        })
    }

    pub(super) async fn begin(self: &Arc<Self>, at: &Path) -> Result<Underway> {
        let whole = self.whole(at);
        let upload = self.s3.create_multipart(&whole).await.map_err(fault)?;
        let note = Path::from(format!("{STAGING}/{}", Uuid::new_v4()));
        let underway = Underway {
            bucket: Arc::clone(self),
            at: whole,
            upload: upload.clone(),
            note: note.clone(),
            is_open: true,
        };
        let noted = Noted { path: underway.at.to_string(), upload };
        let noted = serde_json::to_vec(&noted).map_err(Error::internal)?;
        self.store().put(&note, noted.into()).await.map_err(fault)?;
        Ok(underway)
    }

    /// Gives up uploads that began this long ago; answers how many. Those of living replicas are younger.
    pub(in crate::blobs) async fn clear_uploads_older_than(&self, age: Duration) -> Result<u64> {
        let notes = self.store().list(Some(&Path::from(STAGING)));
        let is_dead = |began: DateTime<Utc>| {
            Utc::now().signed_duration_since(began).to_std().is_ok_and(|old| old >= age)
        };
        let mut count = 0;
        let mut notes = std::pin::pin!(notes);
        while let Some(note) = notes.try_next().await.map_err(fault)? {
            if !is_dead(note.last_modified) {
                continue;
            }
            match self.store().get(&note.location).await {
                Ok(found) => self.give_up(&found.bytes().await.map_err(fault)?).await,
                Err(object_store::Error::NotFound { .. }) => continue,
                Err(error) => return Err(fault(error)),
            }
            self.store().delete(&note.location).await.map_err(fault)?;
            count += 1;
        }
        Ok(count)
    }

    async fn give_up(&self, note: &[u8]) {
        let Ok(noted) = serde_json::from_slice::<Noted>(note) else { return };
        if let Err(error) = self.s3.abort_multipart(&Path::from(noted.path), &noted.upload).await {
            tracing::debug!(%error, "the parts of a dead upload were gone");
        }
    }
}

impl Underway {
    /// Sends the parts, a few at the same time.
    async fn send<S>(&self, first: Bytes, parts: &mut Parts<S>) -> Result<Vec<PartId>>
    where
        S: Stream<Item = Result<Bytes>> + Send,
    {
        let mut sent: Vec<(usize, PartId)> = Vec::new();
        let mut sending = FuturesUnordered::new();
        let mut next = Some(first);
        let mut number = 0;
        while let Some(part) = next {
            if sending.len() >= PARTS_AT_ONCE {
                sent.extend(sending.try_next().await?);
            }
            let index = number;
            sending.push(async move {
                let kept = self.bucket.s3.put_part(&self.at, &self.upload, index, part.into()).await;
                kept.map(|id| (index, id)).map_err(fault)
            });
            number += 1;
            // The parts under way move on while the next one comes in.
            next = loop {
                tokio::select! {
                    biased;
                    Some(done) = sending.next(), if !sending.is_empty() => sent.push(done?),
                    part = parts.next() => break part?,
                }
            };
        }
        while let Some(done) = sending.try_next().await? {
            sent.push(done);
        }
        sent.sort_by_key(|(index, _)| *index);
        Ok(sent.into_iter().map(|(_, id)| id).collect())
    }

    /// The note goes; so do the parts, unless they were put together.
    async fn end(mut self, is_whole: bool) {
        self.is_open = false;
        end(&self.bucket, &self.at, &self.upload, &self.note, is_whole).await;
    }
}

impl Drop for Underway {
    /// The upload was given up.
    fn drop(&mut self) {
        if !self.is_open {
            return;
        }
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        let (bucket, at) = (Arc::clone(&self.bucket), self.at.clone());
        let (upload, note) = (self.upload.clone(), self.note.clone());
        runtime.spawn(async move { end(&bucket, &at, &upload, &note, false).await });
    }
}

async fn end(bucket: &Bucket, at: &Path, upload: &MultipartId, note: &Path, is_whole: bool) {
    if !is_whole && let Err(error) = bucket.s3.abort_multipart(at, upload).await {
        tracing::debug!(%error, "the parts of an upload could not be removed, or were gone");
    }
    if let Err(error) = bucket.store().delete(note).await {
        tracing::warn!(%error, "the note of an upload was left behind; it is removed after a day");
    }
}

/// A stream cut into parts.
struct Parts<S: Stream> {
    bytes: std::pin::Pin<Box<futures::stream::Fuse<S>>>,
    size: u64,
    most: u64,
    rest: BytesMut,
}

impl<S: Stream<Item = Result<Bytes>> + Send> Parts<S> {
    /// The next part; a shorter one is the last. May be dropped and asked again: what came in is kept.
    async fn next(&mut self) -> Result<Option<Bytes>> {
        while self.rest.len() < PART
            && let Some(piece) = self.bytes.next().await
        {
            let piece = piece?;
            self.size += piece.len() as u64;
            if self.size > self.most {
                return Err(too_large(self.most));
            }
            self.rest.extend_from_slice(&piece);
        }
        let length = self.rest.len().min(PART);
        Ok((length > 0).then(|| self.rest.split_to(length).freeze()))
    }
}
