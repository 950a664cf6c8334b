use std::{ops::Range, sync::Arc};

use bytes::Bytes;
use fabric::blobs::{BlobKey, Blobs};
use kernel::{Ctx, Error, Result, Slug};

use super::{tell, tell_and_keep};
use crate::{
    Files, events,
    http::files::FileOut,
    jobs,
    media::{self, Kind},
    model::{self, FileId, FileState, ORIGINAL, STORAGE},
    scan::{self, Pictures, Refusal, Source},
    store::{self, Look},
    thumbnail::{CARD, ICON, form},
};

/// What the scan of a file came to.
pub(super) enum Outcome {
    Clean(Look),
    Refused(Refusal),
    /// There is no room for it just now.
    Later,
}

impl Files {
    /// Looks at a stored file that has no row yet or waits for its scan; of a picture, the small versions that are made at
    /// once are stored beside it.
    pub(super) async fn examine(&self, folder: &BlobKey, kind: Kind) -> Result<Outcome> {
        let key = model::blob(folder, ORIGINAL)?;
        let looked = match kind {
            Kind::Other => return Ok(Outcome::Clean(Look::default())),
            Kind::Image(format) => {
                let work = move |bytes: Bytes| scan::look_at(&bytes, format).map(|seen| seen.map(Some));
                self.pool.run(self.whole_image(&key), work).await
            }
            Kind::Svg | Kind::Zip | Kind::Gzip => {
                let source = StoredSource::open(&self.blobs, key);
                let work = move |mut source| scan::examine(kind, &mut source).map(|seen| seen.map(|()| None));
                self.pool.run(source, work).await
            }
        };
        let seen = match looked {
            Ok(seen) => seen?,
            Err(error) if error.slug() == Slug::Overloaded => return Ok(Outcome::Later),
            Err(error) => return Err(error),
        };
        match seen {
            Err(refusal) => Ok(Outcome::Refused(refusal)),
            Ok(None) => Ok(Outcome::Clean(Look::default())),
            Ok(Some(pictures)) => self.keep(folder, pictures).await.map(Outcome::Clean),
        }
    }

    /// The bytes of an image, which are few enough to be decoded.
    pub(super) async fn whole_image(&self, key: &BlobKey) -> Result<Bytes> {
        let most = usize::try_from(self.most_image_bytes).unwrap_or(usize::MAX);
        self.stored(key).await?.bytes(most).await
    }

    /// A blob that must be there, because a row says so.
    pub(super) async fn stored(&self, key: &BlobKey) -> Result<fabric::blobs::Blob> {
        self.blobs.get(key, None).await?.ok_or_else(|| lost(key))
    }

    pub(super) async fn keep(&self, folder: &BlobKey, pictures: Pictures) -> Result<Look> {
        let Pictures { width, height, is_transparent, icon, card } = pictures;
        let (_, _, ending) = form(is_transparent);
        for (preset, made) in [(ICON, icon), (CARD, card)] {
            let key = model::blob(folder, &format!("{}.{ending}", preset.name))?;
            self.blobs.put(&key, made).await?;
        }
        let pixels = |n: u32| i32::try_from(n).ok();
        Ok(Look { width: pixels(width), height: pixels(height), is_transparent: Some(is_transparent) })
    }

    /// Looks at a file that waits for it.
    pub(crate) async fn scan(self: &Arc<Self>, cx: &Ctx, id: FileId) -> Result<()> {
        let row = match store::find(&self.db.tenant(cx)?, id).await {
            Ok(row) if row.state()? == FileState::PendingScan => row,
            Ok(_) => return Ok(()),
            // It was removed meanwhile.
            Err(error) if error.slug() == Slug::NotFound => return Ok(()),
            Err(error) => return Err(error),
        };
        let folder = model::folder(row.tenant_id, row.bucket()?, id)?;
        let outcome = self.examine(&folder, media::kind_of(&row.media_type)).await?;
        let mut tx = self.db.tenant(cx)?.begin().await?;
        let row = store::lock(&mut tx, id).await?;
        if row.state()? != FileState::PendingScan {
            return Ok(());
        }
        match outcome {
            Outcome::Later => {
                return Err(Error::new(Slug::Overloaded, "Too many files are being looked at; later again."));
            }
            Outcome::Clean(look) => {
                let row = store::scanned(&mut tx, id, FileState::Available, None, look, None).await?;
                tell(&mut tx, events::AVAILABLE, &FileOut::of(row)?)?;
            }
            Outcome::Refused(refusal) => {
                let destroy_at = model::end_of(cx.now());
                let look = Look::default();
                let reason = Some(refusal.0.as_str());
                let refused =
                    store::scanned(&mut tx, id, FileState::Rejected, reason, look, Some(destroy_at)).await?;
                tx.reserve(STORAGE, -row.size).await?;
                tell_and_keep(&mut tx, events::REJECTED, &FileOut::of(refused)?)?;
                jobs::enqueue_erase(&mut tx, &folder, cx.now()).await?;
                jobs::enqueue_destroy(&mut tx, id, destroy_at).await?;
            }
        }
        tx.commit(()).await
    }
}

pub(super) fn lost(key: &BlobKey) -> Error {
    Error::internal(format!("the blob {key} is not in the file store"))
}

/// A blob, for work on a thread that may wait.
struct StoredSource {
    blobs: Blobs,
    key: BlobKey,
    size: u64,
    runtime: tokio::runtime::Handle,
}

impl StoredSource {
    async fn open(blobs: &Blobs, key: BlobKey) -> Result<Self> {
        let size = blobs.size(&key).await?.ok_or_else(|| lost(&key))?;
        Ok(Self { blobs: blobs.clone(), key, size, runtime: tokio::runtime::Handle::current() })
    }
}

impl Source for StoredSource {
    fn size(&self) -> u64 {
        self.size
    }

    fn read(&mut self, range: Range<u64>) -> Result<Bytes> {
        let length = usize::try_from(range.end.saturating_sub(range.start)).unwrap_or(usize::MAX);
        if length == 0 {
            return Ok(Bytes::new());
        }
        self.runtime.block_on(async {
            let blob = self.blobs.get(&self.key, Some(range)).await?.ok_or_else(|| lost(&self.key))?;
            blob.bytes(length).await
        })
    }
}
