//! Whose blobs are whose: a sandbox writes under its own id, and reads what its ancestors and its template wrote. A prefix
//! goes with the last sandbox that reads it.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use fabric::blobs::{BlobPrefix, Blobs};
use kernel::{Error, Result};

use crate::{control::SandboxRow, error::OpenError, estate::Estate};

/// A template is made in less; another replica may be making one that is in nobody's list yet.
const MADE_WITHIN: Duration = Duration::from_secs(3600);

impl Estate {
    /// The blobs of a sandbox.
    pub(crate) fn blobs_of(&self, row: &SandboxRow) -> Result<Blobs> {
        let ancestors = row
            .blob_prefixes
            .iter()
            .map(|prefix| prefix.parse().map_err(Error::internal))
            .collect::<Result<Vec<BlobPrefix>>>()?;
        Ok(self.blobs_under(&row.id.to_string())?.forked_from(ancestors))
    }

    /// The blobs under one prefix.
    pub(crate) fn blobs_under(&self, prefix: &str) -> Result<Blobs> {
        Ok(self.parts.blobs.of(prefix.parse().map_err(Error::internal)?))
    }

    /// Removes blobs that no sandbox and no template reads any more, in the background.
    pub(crate) fn clear_blobs_later(self: &Arc<Self>) {
        let estate = Arc::clone(self);
        tokio::spawn(async move {
            match estate.clear_blobs().await {
                Ok(0) => {}
                Ok(prefixes) => tracing::debug!(prefixes, "blobs that nobody reads are gone"),
                Err(error) => {
                    tracing::warn!(%error, "blobs that nobody reads are left; they are removed at the next start");
                }
            }
        });
    }

    async fn clear_blobs(&self) -> Result<u64, OpenError> {
        // A template that is being made is in nobody's list yet.
        let _nobody_builds = self.templates.building.lock().await;
        // In this order: what is there now and in no list afterwards has lost its last reader. (A sandbox is noted before it
        // writes anything.)
        let there = self.parts.blobs.prefixes().await?;
        let templates = self.cluster().databases("pk__").await?;
        let mut read: BTreeSet<String> = templates.into_iter().filter(|name| !self.is_stale(name)).collect();
        read.extend(self.control.blob_prefixes().await?);
        let mut gone = 0;
        for prefix in there.into_iter().filter(|prefix| !read.contains(prefix.as_str())) {
            let is_templates = prefix.as_str().starts_with("pk__");
            let blobs = self.parts.blobs.of(prefix);
            if is_templates && blobs.bucket().is_some() && blobs.written_within(MADE_WITHIN).await? {
                continue;
            }
            gone += u64::from(blobs.delete_below(None).await? > 0);
        }
        Ok(gone)
    }
}
