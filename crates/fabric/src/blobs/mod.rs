//! Blobs: bytes too large for a table, under keys. They are immutable: a key is written once and never means other
//! bytes. So a fork of a sandbox copies none: it reads its ancestors' prefixes and writes its own.

pub mod contract;
mod key;

use std::{fmt, io, ops::Range, path::Path as FilePath, sync::Arc};

use bytes::Bytes;
use futures::{Stream, StreamExt, TryStreamExt, stream::BoxStream};
use kernel::{Error, FieldCode, Result, Slug};
use object_store::{
    CopyMode, CopyOptions, GetOptions, GetRange, ObjectStore, ObjectStoreExt, PutMode, WriteMultipart,
    local::LocalFileSystem, path::Path,
};
use uuid::Uuid;

pub use key::{BlobKey, BlobPrefix};

/// Where streams lie until they are whole. No key begins with a dot.
const STAGING: &str = ".staging";

/// Bytes of one part of a streamed blob; S3 takes no smaller ones.
const PART: usize = 5 << 20;

/// Parts of one stream that are written at the same time.
const PARTS_AT_ONCE: usize = 2;

/// The blobs of one sandbox. Cheap to clone.
#[derive(Clone)]
pub struct Blobs {
    store: Arc<dyn ObjectStore>,
    own: BlobPrefix,
    ancestors: Arc<[BlobPrefix]>,
}

/// What became of a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Put {
    /// It is kept, this many bytes.
    Stored(u64),
    /// The key was there already, here or in an ancestor; nothing was written.
    AlreadyThere,
}

/// Bytes on their way.
pub struct Blob {
    /// Bytes of the whole blob.
    pub size: u64,
    /// Which of them come.
    pub range: Range<u64>,
    /// They, in pieces.
    pub body: BoxStream<'static, Result<Bytes>>,
}

/// A blob in a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its key.
    pub key: BlobKey,
    /// Its bytes.
    pub size: u64,
}

impl Blobs {
    /// Blobs in a folder, which is made if need be. `durable`: a write has reached the disk when it returns.
    ///
    /// # Errors
    /// What the system says of the folder.
    pub fn in_folder(folder: &FilePath, durable: bool, own: BlobPrefix) -> io::Result<Self> {
        std::fs::create_dir_all(folder)?;
        let store = LocalFileSystem::new_with_prefix(folder).map_err(io::Error::other)?;
        let store = store.with_automatic_cleanup(true).with_fsync(durable);
        Ok(Self { store: Arc::new(store), own, ancestors: Arc::default() })
    }

    /// The same place under another prefix: another sandbox of this process.
    pub fn of(&self, own: BlobPrefix) -> Self {
        Self { store: Arc::clone(&self.store), own, ancestors: Arc::default() }
    }

    /// Reads also what the sandboxes wrote from which this one was forked; the nearest first.
    pub fn forked_from(mut self, ancestors: impl Into<Arc<[BlobPrefix]>>) -> Self {
        self.ancestors = ancestors.into();
        self
    }

    /// Keeps bytes under a key, unless the key is there.
    ///
    /// # Errors
    /// What the store says.
    pub async fn put(&self, key: &BlobKey, bytes: impl Into<Bytes>) -> Result<Put> {
        if self.size(key).await?.is_some() {
            return Ok(Put::AlreadyThere);
        }
        let bytes = bytes.into();
        let size = bytes.len() as u64;
        let at = self.own.path(key);
        match self.store.put_opts(&at, bytes.into(), PutMode::Create.into()).await {
            Ok(_) => Ok(Put::Stored(size)),
            Err(object_store::Error::AlreadyExists { .. }) => Ok(Put::AlreadyThere),
            Err(error) => Err(fault(error)),
        }
    }

    /// Keeps a stream of at most `most` bytes under a key, unless the key is there. It is seen whole or not at all, and
    /// only a few megabytes of it are in memory at a time.
    ///
    /// # Errors
    /// `payload-too-large`, an error of the stream, or what the store says; nothing is kept then.
    pub async fn put_stream(
        &self,
        key: &BlobKey,
        bytes: impl Stream<Item = Result<Bytes>> + Send,
        most: u64,
    ) -> Result<Put> {
        if self.size(key).await?.is_some() {
            return Ok(Put::AlreadyThere);
        }
        let staged = Path::from(format!("{STAGING}/{}", Uuid::new_v4()));
        let size = self.stage(&staged, bytes, most).await?;
        let only_new = CopyOptions::new().with_mode(CopyMode::Create);
        let moved = self.store.copy_opts(&staged, &self.own.path(key), only_new).await;
        if let Err(error) = self.store.delete(&staged).await {
            tracing::warn!(%error, "a staged blob was left behind; it is removed with the others at the next start");
        }
        match moved {
            Ok(()) => Ok(Put::Stored(size)),
            Err(object_store::Error::AlreadyExists { .. }) => Ok(Put::AlreadyThere),
            Err(error) => Err(fault(error)),
        }
    }

    async fn stage(
        &self,
        staged: &Path,
        bytes: impl Stream<Item = Result<Bytes>> + Send,
        most: u64,
    ) -> Result<u64> {
        let upload = self.store.put_multipart(staged).await.map_err(fault)?;
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
                let detail = format!("The file is larger than {most} bytes.");
                break Some(Error::new(Slug::PayloadTooLarge, detail));
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

    /// The bytes under a key, or a range of them; a range that goes beyond the end is cut there.
    ///
    /// # Errors
    /// `validation-error` for a range that is empty or begins behind the end, or what the store says.
    pub async fn get(&self, key: &BlobKey, range: Option<Range<u64>>) -> Result<Option<Blob>> {
        let Some((at, size)) = self.find(key).await? else { return Ok(None) };
        if let Some(range) = &range
            && (range.start >= range.end || range.start >= size)
        {
            let message = format!("there are {size} bytes");
            return Err(Error::field("Range", FieldCode::OutOfRange, message));
        }
        let options = GetOptions { range: range.map(GetRange::Bounded), ..GetOptions::default() };
        match self.store.get_opts(&at, options).await {
            Ok(found) => Ok(Some(Blob {
                size: found.meta.size,
                range: found.range.clone(),
                body: found.into_stream().map_err(fault).boxed(),
            })),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(fault(error)),
        }
    }

    /// How many bytes lie under a key; `None` when there are none.
    ///
    /// # Errors
    /// What the store says.
    pub async fn size(&self, key: &BlobKey) -> Result<Option<u64>> {
        Ok(self.find(key).await?.map(|(_, size)| size))
    }

    async fn find(&self, key: &BlobKey) -> Result<Option<(Path, u64)>> {
        for prefix in std::iter::once(&self.own).chain(self.ancestors.iter()) {
            let at = prefix.path(key);
            match self.store.head(&at).await {
                Ok(found) => return Ok(Some((at, found.size))),
                Err(object_store::Error::NotFound { .. }) => {}
                Err(error) => return Err(fault(error)),
            }
        }
        Ok(None)
    }

    /// What this sandbox itself wrote below `folder` (all of it without one), in no order. Ancestors' blobs are theirs.
    pub fn list(&self, folder: Option<&BlobKey>) -> BoxStream<'static, Result<Entry>> {
        let own = self.own.clone();
        self.store
            .list(Some(&self.own.folder(folder)))
            .map_err(fault)
            .try_filter_map(move |found| {
                let entry = own.key(&found.location).map(|key| Entry { key, size: found.size });
                std::future::ready(Ok(entry))
            })
            .boxed()
    }

    /// Removes what this sandbox itself wrote below `folder`; everything of it without one. Answers how many blobs that
    /// were. Not for a sandbox that has descendants: they still read it.
    ///
    /// # Errors
    /// What the store says; some are gone by then.
    pub async fn delete_below(&self, folder: Option<&BlobKey>) -> Result<u64> {
        let found = self.store.list(Some(&self.own.folder(folder))).map_ok(|found| found.location).boxed();
        let gone = self.store.delete_stream(found);
        gone.try_fold(0, |count, _| std::future::ready(Ok(count + 1))).await.map_err(fault)
    }

    /// The prefixes under which anything lies, of all sandboxes of this place.
    ///
    /// # Errors
    /// What the store says.
    pub async fn prefixes(&self) -> Result<Vec<BlobPrefix>> {
        let found = self.store.list_with_delimiter(None).await.map_err(fault)?;
        // The staging area has a name that no prefix has.
        Ok(found.common_prefixes.iter().filter_map(|path| path.as_ref().parse().ok()).collect())
    }

    /// Removes what writes that were cut short left behind: at the start, when nobody writes yet.
    ///
    /// # Errors
    /// What the store says.
    pub async fn clear_staging(&self) -> Result<u64> {
        let found = self.store.list(Some(&Path::from(STAGING))).map_ok(|found| found.location).boxed();
        let gone = self.store.delete_stream(found);
        gone.try_fold(0, |count, _| std::future::ready(Ok(count + 1))).await.map_err(fault)
    }
}

impl Blob {
    /// All of it at once, if it is at most `most` bytes.
    ///
    /// # Errors
    /// `payload-too-large`, or what the store says.
    pub async fn bytes(mut self, most: usize) -> Result<Bytes> {
        let too_large =
            || Error::new(Slug::PayloadTooLarge, format!("The file is larger than {most} bytes."));
        let length = usize::try_from(self.range.end - self.range.start).map_err(|_| too_large())?;
        if length > most {
            return Err(too_large());
        }
        let mut whole = Vec::with_capacity(length);
        while let Some(piece) = self.body.try_next().await? {
            whole.extend_from_slice(&piece);
        }
        Ok(whole.into())
    }
}

impl fmt::Debug for Blob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Blob").field("size", &self.size).field("range", &self.range).finish_non_exhaustive()
    }
}

impl fmt::Debug for Blobs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Blobs")
            .field("own", &self.own)
            .field("ancestors", &self.ancestors)
            .finish_non_exhaustive()
    }
}

/// What a store's error means to a caller; the error itself, with its path, goes to the log.
fn fault(error: object_store::Error) -> Error {
    match error {
        object_store::Error::NotFound { .. } => Error::not_found("file").because(error),
        object_store::Error::AlreadyExists { .. } => {
            Error::new(Slug::AlreadyExists, "There is a file of that name.").because(error)
        }
        error => {
            Error::new(Slug::DependencyUnavailable, "The file store does not answer just now.").because(error)
        }
    }
}

#[cfg(test)]
mod tests;
