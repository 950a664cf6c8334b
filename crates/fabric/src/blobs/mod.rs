//! Blobs: bytes too large for a table, under keys. They are immutable: a key is written once and never means other
//! bytes. So a fork of a sandbox copies none: it reads its ancestors' prefixes and writes its own.

mod addresses;
mod bucket;
pub mod contract;
mod folder;
mod key;

use std::{fmt, io, ops::Range, path::Path as FilePath, sync::Arc, time::Duration};

use bytes::Bytes;
use chrono::{DateTime, Utc};
use futures::{Stream, StreamExt, TryStreamExt, stream::BoxStream};
use kernel::{Error, FieldCode, Result, Slug};
use object_store::{GetOptions, GetRange, ObjectStore, ObjectStoreExt, local::LocalFileSystem, path::Path};

pub use bucket::{BucketError, BucketOptions, Checked, MOST_SKEW, Shown};
pub use key::{BlobKey, BlobPrefix};

use bucket::Bucket;

/// Where lies what is not whole yet: a folder's streams themselves, notes of a bucket's. No key begins with a dot.
const STAGING: &str = ".staging";

/// No write lasts so long: one that began earlier belongs to a process that died, on whatever machine.
const DEAD_AFTER: Duration = Duration::from_secs(24 * 3600);

/// Bytes of one part of a streamed blob; S3 takes no smaller ones.
const PART: usize = 5 << 20;

/// Parts of one stream that are written at the same time.
const PARTS_AT_ONCE: usize = 2;

/// The blobs of one sandbox. Cheap to clone.
#[derive(Clone)]
pub struct Blobs {
    place: Place,
    own: BlobPrefix,
    ancestors: Arc<[BlobPrefix]>,
}

/// Where the blobs of all sandboxes lie.
#[derive(Clone)]
enum Place {
    Folder(Arc<LocalFileSystem>),
    Bucket(Arc<Bucket>),
}

impl Place {
    fn store(&self) -> &dyn ObjectStore {
        match self {
            Self::Folder(folder) => &**folder,
            Self::Bucket(bucket) => bucket.store(),
        }
    }
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
        Ok(Self { place: Place::Folder(Arc::new(store)), own, ancestors: Arc::default() })
    }

    /// Blobs in a bucket of an S3 store. Nothing is reached yet: see [`Blobs::check`].
    ///
    /// # Errors
    /// [`BucketError`] when the options make no sense.
    pub fn in_bucket(options: &BucketOptions, own: BlobPrefix) -> Result<Self, BucketError> {
        let bucket = Bucket::new(options)?;
        Ok(Self { place: Place::Bucket(Arc::new(bucket)), own, ancestors: Arc::default() })
    }

    /// The bucket and the address of its store; nothing for a folder.
    pub fn bucket(&self) -> Option<(&str, &str)> {
        match &self.place {
            Place::Folder(_) => None,
            Place::Bucket(bucket) => Some(bucket.place()),
        }
    }

    /// Tries in the bucket what the kernel needs of it: reach, list, write, read, delete. A folder needs none: it was
    /// made or found.
    ///
    /// # Errors
    /// [`BucketError`], which says what to do.
    pub async fn check(&self) -> Result<Option<Checked>, BucketError> {
        match &self.place {
            Place::Folder(_) => Ok(None),
            Place::Bucket(bucket) => bucket.check().await.map(Some),
        }
    }

    /// Whether the place answers just now.
    ///
    /// # Errors
    /// [`BucketError`]; a folder always answers.
    pub async fn answers(&self) -> Result<(), BucketError> {
        match &self.place {
            Place::Folder(_) => Ok(()),
            Place::Bucket(bucket) => bucket.answers().await,
        }
    }

    /// The same place under another prefix: another sandbox of this process.
    pub fn of(&self, own: BlobPrefix) -> Self {
        Self { place: self.place.clone(), own, ancestors: Arc::default() }
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
        if self.is_ancestors(key).await? {
            return Ok(Put::AlreadyThere);
        }
        let at = self.own.path(key);
        match &self.place {
            Place::Folder(store) => folder::put(store, &at, bytes.into()).await,
            Place::Bucket(bucket) => bucket.put(&at, bytes.into().into()).await,
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
        if self.is_ancestors(key).await? {
            return Ok(Put::AlreadyThere);
        }
        let at = self.own.path(key);
        match &self.place {
            Place::Folder(store) => folder::put_stream(store, &at, bytes, most).await,
            Place::Bucket(bucket) => bucket.put_stream(&at, bytes, most).await,
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
        match self.place.store().get_opts(&at, options).await {
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
        self.find_in(std::iter::once(&self.own).chain(self.ancestors.iter()), key).await
    }

    /// Whether an ancestor wrote it; what is this sandbox's own shows when it is written.
    async fn is_ancestors(&self, key: &BlobKey) -> Result<bool> {
        Ok(self.find_in(self.ancestors.iter(), key).await?.is_some())
    }

    async fn find_in(
        &self,
        prefixes: impl Iterator<Item = &BlobPrefix>,
        key: &BlobKey,
    ) -> Result<Option<(Path, u64)>> {
        for prefix in prefixes {
            let at = prefix.path(key);
            match self.place.store().head(&at).await {
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
        self.place
            .store()
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
        let store = self.place.store();
        let found = store.list(Some(&self.own.folder(folder))).map_ok(|found| found.location).boxed();
        let gone = store.delete_stream(found);
        gone.try_fold(0, |count, _| std::future::ready(Ok(count + 1))).await.map_err(fault)
    }

    /// Whether anything was written here within this time.
    ///
    /// # Errors
    /// What the store says.
    pub async fn written_within(&self, time: Duration) -> Result<bool> {
        let is_old =
            |at: DateTime<Utc>| Utc::now().signed_duration_since(at).to_std().is_ok_and(|age| age > time);
        let found = self.place.store().list(Some(&self.own.folder(None)));
        found.try_any(|found| std::future::ready(!is_old(found.last_modified))).await.map_err(fault)
    }

    /// The prefixes under which anything lies, of all sandboxes of this place. Some stores (SeaweedFS) go on naming one
    /// whose last blob was removed.
    ///
    /// # Errors
    /// What the store says.
    pub async fn prefixes(&self) -> Result<Vec<BlobPrefix>> {
        let found = self.place.store().list_with_delimiter(None).await.map_err(fault)?;
        // The staging area has a name that no prefix has.
        Ok(found.common_prefixes.iter().filter_map(|path| path.as_ref().parse().ok()).collect())
    }

    /// Removes what writes that were cut short left behind. In a folder all of it: at the start nobody writes yet. In a
    /// bucket, which other replicas write to, what is older than any write lasts. Answers how many writes that were.
    ///
    /// # Errors
    /// What the store says.
    pub async fn clear_staging(&self) -> Result<u64> {
        match &self.place {
            Place::Folder(store) => folder::clear_staging(store).await,
            Place::Bucket(bucket) => bucket.clear_uploads_older_than(DEAD_AFTER).await,
        }
    }
}

impl Blob {
    /// All of it at once, if it is at most `most` bytes.
    ///
    /// # Errors
    /// `payload-too-large`, or what the store says.
    pub async fn bytes(mut self, most: usize) -> Result<Bytes> {
        let refused = || too_large(u64::try_from(most).unwrap_or(u64::MAX));
        let length = usize::try_from(self.range.end - self.range.start).map_err(|_| refused())?;
        if length > most {
            return Err(refused());
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

fn too_large(most: u64) -> Error {
    Error::new(Slug::PayloadTooLarge, format!("The file is larger than {most} bytes."))
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
