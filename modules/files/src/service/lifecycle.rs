use std::{sync::Arc, time::Duration};

use fabric::{
    blobs::BlobKey,
    postgres::{Reason, Tx},
};
use kernel::{Ctx, Result, Slug};

use super::{held::give_back, tell_and_keep};
use crate::{
    Files, events,
    http::files::FileOut,
    jobs,
    model::{self, Bucket, FileId, FileState, STORAGE},
    store::{self, FileRow},
};

/// An upload that began earlier than this has ended, one way or another.
const DEAD_AFTER: Duration = Duration::from_secs(2 * 15 * 60);
/// When what copies of the sandbox still read is looked at again.
const AGAIN: Duration = Duration::from_secs(86_400);

impl Files {
    /// Deletes a file; for 30 days it can be brought back. What was refused, or was not looked at yet, goes at once.
    ///
    /// Errors: not-found, gone.
    pub(crate) async fn delete(&self, cx: &Ctx, id: FileId) -> Result<()> {
        let mut tx = self.db.tenant(cx)?.begin().await?;
        let row = store::lock(&mut tx, id).await?;
        match row.state()? {
            FileState::Deleted => return Err(model::gone()),
            FileState::PendingScan | FileState::Rejected => self.destroy_row(&mut tx, row).await?,
            FileState::Available => {
                let (now, end) = (cx.now(), model::end_of(cx.now()));
                let row = store::set_deleted(&mut tx, id, Some((now, end))).await?;
                tell_and_keep(&mut tx, events::DELETED, &FileOut::of(row)?)?;
                jobs::enqueue_destroy(&mut tx, id, end).await?;
            }
        }
        tx.commit(()).await
    }

    /// Brings a deleted file back.
    ///
    /// Errors: not-found, invalid-state.
    pub(crate) async fn restore(&self, cx: &Ctx, id: FileId) -> Result<FileOut> {
        let mut tx = self.db.tenant(cx)?.begin().await?;
        let row = store::lock(&mut tx, id).await?;
        if row.state()? != FileState::Deleted {
            return Err(model::wrong_state("a deleted file can be brought back", row.state()?));
        }
        let file = FileOut::of(store::set_deleted(&mut tx, id, None).await?)?;
        tell_and_keep(&mut tx, events::RESTORED, &file)?;
        tx.commit(file).await
    }

    /// Removes a file for good, whatever its state.
    ///
    /// Errors: not-found.
    pub(crate) async fn destroy(&self, cx: &Ctx, id: FileId) -> Result<()> {
        let mut tx = self.db.tenant(cx)?.begin().await?;
        let row = store::lock(&mut tx, id).await?;
        self.destroy_row(&mut tx, row).await?;
        tx.commit(()).await
    }

    /// Removes a file whose time is over; one that was brought back stays.
    pub(crate) async fn destroy_when_due(&self, cx: &Ctx, id: FileId) -> Result<()> {
        let mut tx = self.db.tenant(cx)?.begin().await?;
        let row = match store::lock(&mut tx, id).await {
            Err(error) if error.slug() == Slug::NotFound => return Ok(()),
            row => row?,
        };
        // Deleted a second time, it has a second job at a later time.
        if row.destroy_at.is_none_or(|at| at > cx.now()) {
            return Ok(());
        }
        self.destroy_row(&mut tx, row).await?;
        tx.commit(()).await
    }

    async fn destroy_row(&self, tx: &mut Tx, row: FileRow) -> Result<()> {
        let folder = model::folder(row.tenant_id, row.bucket()?, row.id)?;
        store::remove(tx, row.id).await?;
        if row.state()?.counts() {
            tx.reserve(STORAGE, -row.size).await?;
        }
        let now = tx.cx().now();
        jobs::enqueue_erase(tx, &folder, now).await?;
        tell_and_keep(tx, events::DESTROYED, &FileOut::of(row)?)
    }

    /// Removes the blobs of a file whose row is gone. Copies of the sandbox that were made while it was there still read
    /// them; then they stay until those are gone, too.
    pub(crate) async fn erase(&self, cx: &Ctx, folder: &BlobKey) -> Result<()> {
        if !(self.read_elsewhere)().await? {
            self.blobs.delete_below(Some(folder)).await?;
            return Ok(());
        }
        let mut tx = self.db.tenant(cx)?.begin().await?;
        jobs::enqueue_erase(&mut tx, folder, cx.now().plus(AGAIN)).await?;
        tx.commit(()).await
    }

    /// Clears away uploads of processes that died: what they stored, and what they had reserved.
    pub(crate) async fn clear_dead_uploads(self: &Arc<Self>, cx: &Ctx) -> Result<()> {
        let system = self.db.system(cx, Reason::Jobs);
        for (tenant, id, bucket) in store::dead_uploads(&system, DEAD_AFTER.as_secs_f64()).await? {
            let folder = model::folder(tenant, Bucket::parse("bucket", &bucket)?, id)?;
            tracing::info!(%id, "clearing an upload whose process has died");
            give_back(self, &cx.within(tenant), id, &folder).await;
        }
        Ok(())
    }
}
