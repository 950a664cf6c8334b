//! Work that is done later, or again after the process has died.

use std::{sync::Arc, time::Duration};

use fabric::{
    blobs::BlobKey,
    jobs::{Jobs, NewJob, enqueue},
    postgres::Tx,
};
use kernel::{Error, Result, Timestamp};
use ports::{OnFailure, Task, When};
use serde::{Deserialize, Serialize};

use crate::{Files, model::FileId};

/// Takes in a file that its client has brought, or gives it up.
const COLLECT: &str = "files.collect";
/// Looks at a file that waits for it.
const SCAN: &str = "files.scan";
/// Removes a file whose 30 days are over.
const DESTROY: &str = "files.destroy";
/// Removes the blobs of a file that is gone.
const ERASE: &str = "files.erase";

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct ScanJob {
    pub id: FileId,
}

#[derive(Debug, Serialize, Deserialize)]
struct CollectJob {
    id: FileId,
}

#[derive(Debug, Serialize, Deserialize)]
struct DestroyJob {
    id: FileId,
}

#[derive(Debug, Serialize, Deserialize)]
struct EraseJob {
    folder: String,
}

pub(crate) async fn enqueue_scan(tx: &mut Tx, job: ScanJob) -> Result<()> {
    let job = NewJob::new(SCAN, &job, tx.cx().now())?;
    enqueue(tx, job).await.map(drop)
}

pub(crate) async fn enqueue_collect(tx: &mut Tx, id: FileId, at: Timestamp) -> Result<()> {
    enqueue(tx, NewJob::new(COLLECT, &CollectJob { id }, at)?).await.map(drop)
}

pub(crate) async fn enqueue_destroy(tx: &mut Tx, id: FileId, at: Timestamp) -> Result<()> {
    enqueue(tx, NewJob::new(DESTROY, &DestroyJob { id }, at)?).await.map(drop)
}

pub(crate) async fn enqueue_erase(tx: &mut Tx, folder: &BlobKey, at: Timestamp) -> Result<()> {
    let job = EraseJob { folder: folder.as_str().to_owned() };
    enqueue(tx, NewJob::new(ERASE, &job, at)?).await.map(drop)
}

impl Files {
    /// Adds what is done for the jobs of this service.
    pub fn jobs(self: &Arc<Self>, jobs: Jobs) -> Jobs {
        let [collects, scans, ends, erases] = [(); 4].map(|()| Arc::clone(self));
        jobs.on(COLLECT, move |cx, job| {
            let files = Arc::clone(&collects);
            async move { files.collect(&cx, job.payload::<CollectJob>()?.id).await }
        })
        .on(SCAN, move |cx, job| {
            let files = Arc::clone(&scans);
            async move { files.scan(&cx, job.payload::<ScanJob>()?.id).await }
        })
        .on(DESTROY, move |cx, job| {
            let files = Arc::clone(&ends);
            async move { files.destroy_when_due(&cx, job.payload::<DestroyJob>()?.id).await }
        })
        .on(ERASE, move |cx, job| {
            let files = Arc::clone(&erases);
            async move {
                let folder = job.payload::<EraseJob>()?.folder.parse().map_err(Error::internal)?;
                files.erase(&cx, &folder).await
            }
        })
    }
}

/// Clearing up after processes that died.
pub(crate) fn tasks(files: &Arc<Files>) -> Vec<Task> {
    let files = Arc::downgrade(files);
    vec![Task {
        name: "files.uploads",
        every: Duration::from_secs(600),
        when: When::Always,
        on_failure: OnFailure::Log,
        run: Arc::new(move |cx| {
            let files = files.upgrade();
            Box::pin(async move {
                match files {
                    Some(files) => files.clear_dead_uploads(&cx).await,
                    None => Ok(()),
                }
            })
        }),
    }]
}
