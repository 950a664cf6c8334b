use std::sync::Arc;

use fabric::{blobs::BlobKey, postgres::Tx};
use kernel::{Ctx, Error, Result, Slug};

use crate::{
    Files, jobs,
    model::{self, Bucket, FileId, MOST_UPLOADS, STORAGE},
    store,
};

/// How far ahead storage is reserved for an upload that does not say how long it is.
const STEP: u64 = 4 << 20;

/// Storage that is reserved for a file on its way. Unless it is settled, it goes back, and what was stored goes too.
pub(super) struct Held {
    files: Arc<Files>,
    /// The caller's, without the key of the request: what happens here is no answer to it.
    cx: Ctx,
    pub(super) id: FileId,
    pub(super) folder: BlobKey,
    reserved: u64,
    is_open: bool,
}

impl Held {
    /// Reserves at least `bytes` for a new file.
    ///
    /// # Errors
    /// `plan-limit-exceeded`; `overloaded` when the tenant has too many uploads under way.
    pub(super) async fn begin(files: Arc<Files>, cx: &Ctx, bucket: Bucket, bytes: u64) -> Result<Self> {
        let cx = cx.with_idempotency(None);
        let id = FileId::new();
        let folder = model::folder(cx.tenant()?, bucket, id)?;
        let mut tx = files.db.tenant(&cx)?.begin().await?;
        tx.reserve(STORAGE, signed(bytes)).await?;
        if !store::begin_upload(&mut tx, id, bucket, signed(bytes)).await? {
            let detail =
                format!("A tenant has at most {MOST_UPLOADS} uploads under way; try again in a moment.");
            return Err(Error::new(Slug::Overloaded, detail));
        }
        tx.commit(()).await?;
        Ok(Self { files, cx, id, folder, reserved: bytes, is_open: true })
    }

    /// Sees to it that `bytes` are reserved.
    ///
    /// # Errors
    /// `plan-limit-exceeded`.
    pub(super) async fn cover(&mut self, bytes: u64) -> Result<()> {
        if bytes <= self.reserved {
            return Ok(());
        }
        let needed = bytes - self.reserved;
        let mut tx = self.files.db.tenant(&self.cx)?.begin().await?;
        let mut taken = needed.max(STEP);
        match tx.reserve(STORAGE, signed(taken)).await {
            Err(error) if error.slug() == Slug::PlanLimitExceeded && needed < taken => {
                taken = needed;
                tx.reserve(STORAGE, signed(taken)).await?;
            }
            done => done?,
        }
        if !store::grow_upload(&mut tx, self.id, signed(taken)).await? {
            return Err(ended());
        }
        tx.commit(()).await?;
        self.reserved += taken;
        Ok(())
    }

    /// Turns the reservation into what the file really has, in the transaction that notes the file.
    ///
    /// # Errors
    /// `plan-limit-exceeded`; `deadline-exceeded` when the upload was taken for dead meanwhile.
    pub(super) async fn settle(&self, tx: &mut Tx, bytes: u64) -> Result<()> {
        let reserved = store::end_upload(tx, self.id).await?.ok_or_else(ended)?;
        match signed(bytes) - reserved {
            0 => Ok(()),
            rest => tx.reserve(STORAGE, rest).await,
        }
    }

    /// The file is noted: nothing goes back.
    pub(super) fn done(mut self) {
        self.is_open = false;
    }

    /// Gives everything back, before the caller hears of it.
    pub(super) async fn release(mut self) {
        self.is_open = false;
        give_back(&self.files, &self.cx, self.id, &self.folder).await;
    }
}

impl Drop for Held {
    /// The request was given up. (A process that dies leaves a row behind, by which the next one clears up.)
    fn drop(&mut self) {
        if !self.is_open {
            return;
        }
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        let (files, id, folder) = (Arc::clone(&self.files), self.id, self.folder.clone());
        let cx = self.cx.clone();
        runtime.spawn(async move { give_back(&files, &fresh(&cx), id, &folder).await });
    }
}

/// The same caller with time for a few statements.
fn fresh(cx: &Ctx) -> Ctx {
    Ctx::build(cx.sandbox().clone(), cx.clock().clone()).caller(cx.caller().clone()).finish()
}

/// What a file that never was had reserved goes back, and what was stored of it goes. Nothing happens to a file that was
/// noted after all: when the connection to the database broke just then, nobody here knows.
pub(super) async fn give_back(files: &Files, cx: &Ctx, id: FileId, folder: &BlobKey) {
    let done = async {
        let mut tx = files.db.tenant(cx)?.begin().await?;
        let Some(reserved) = store::end_upload(&mut tx, id).await? else { return Ok(()) };
        tx.reserve(STORAGE, -reserved).await?;
        // For a process that dies now, and for what the store still had under way when the upload was given up.
        jobs::enqueue_erase(&mut tx, folder, cx.now()).await?;
        tx.commit(()).await?;
        // No copy of the sandbox knows the file: no row of it was ever there.
        files.blobs.delete_below(Some(folder)).await.map(drop)
    };
    if let Err(error) = done.await {
        tracing::warn!(%id, ?error, "an upload that ended could not be cleared; it is tried again later");
    }
}

fn ended() -> Error {
    Error::new(Slug::DeadlineExceeded, "The upload took too long.")
}

fn signed(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}
