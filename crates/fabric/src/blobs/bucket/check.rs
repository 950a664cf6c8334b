//! Everything the kernel needs of a bucket, tried for real.

use std::time::{Duration, SystemTime};

use chrono::DateTime;
use http::header;
use object_store::{ObjectStore, ObjectStoreExt, PutMode, PutPayload, multipart::MultipartStore, path::Path};
use uuid::Uuid;

use super::{Bucket, BucketError, error::with_causes};

/// Stores refuse requests whose time is further away (AWS, "RequestTimeTooSkewed").
pub const MOST_SKEW: Duration = Duration::from_secs(15 * 60);

/// Where trials lie. No key begins with a dot.
const TRIALS: &str = ".check";

/// What a bucket is like that can be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Checked {
    /// How far the store's clock is from this machine's, if it told.
    pub skew: Option<Duration>,
    /// Whether the store itself keeps a key from being written twice. Where it does not, two writers at the same moment
    /// could; the keys of files are never used twice.
    pub writes_once: bool,
}

impl Bucket {
    /// Reaches the store, lists, writes, reads and deletes.
    pub(in crate::blobs) async fn check(&self) -> Result<Checked, BucketError> {
        let skew = self.reach().await?;
        // Before anything is written: some stores make a bucket that is missing with the first write.
        let listed = ObjectStore::list_with_delimiter(self.store(), Some(&Path::from(TRIALS))).await;
        listed.map_err(|error| BucketError::of(self, "list", &error))?;
        let at = Path::from(format!("{TRIALS}/{}", Uuid::new_v4()));
        let tried = self.try_out(&at).await;
        let removed = self.store().delete(&at).await;
        let writes_once = tried?;
        removed.map_err(|error| BucketError::of(self, "delete", &error))?;
        Ok(Checked { skew, writes_once })
    }

    async fn reach(&self) -> Result<Option<Duration>, BucketError> {
        let endpoint = || self.endpoint.clone();
        let answer = self.wire.knock(&self.uri()?).await.map_err(|error| {
            let why = with_causes(&error);
            match why.contains("certificate") {
                true => BucketError::Untrusted { endpoint: endpoint(), why },
                false => BucketError::Unreachable { endpoint: endpoint(), why },
            }
        })?;
        let date = answer.headers().get(header::DATE).and_then(|date| date.to_str().ok());
        let there = date.and_then(|date| DateTime::parse_from_rfc2822(date).ok()).map(SystemTime::from);
        let here = SystemTime::now();
        Ok(there.map(|there| here.duration_since(there).unwrap_or_else(|ahead| ahead.duration())))
    }

    /// Says whether a second write was refused.
    async fn try_out(&self, at: &Path) -> Result<bool, BucketError> {
        let put =
            |text: &'static str| self.store().put_opts(at, PutPayload::from(text), PutMode::Create.into());
        put("first").await.map_err(|error| BucketError::of(self, "write", &error))?;
        let whole = match put("second").await {
            Err(object_store::Error::AlreadyExists { .. }) => true,
            Ok(_) => false,
            Err(error) => return Err(BucketError::of(self, "write", &error)),
        };
        let in_parts = whole && self.refuses_parts(at).await?;
        let read = async { self.store().get(at).await?.bytes().await };
        let read = read.await.map_err(|error| BucketError::of(self, "read", &error))?;
        if in_parts && read != "first" {
            return Err(BucketError::Unsound {
                endpoint: self.endpoint.clone(),
                told: "it says that a second write was refused, and has its bytes",
            });
        }
        Ok(in_parts)
    }

    async fn refuses_parts(&self, at: &Path) -> Result<bool, BucketError> {
        let at = &self.whole(at);
        let refused = |error| BucketError::of(self, "write", &error);
        let id = self.s3.create_multipart(at).await.map_err(refused)?;
        let sent = async {
            let part = self.s3.put_part(at, &id, 0, PutPayload::from("third")).await?;
            self.s3.complete_multipart(at, &id, vec![part]).await
        };
        match sent.await {
            Ok(_) => Ok(false),
            Err(error) => {
                // Some stores end the upload themselves with the refusal.
                if let Err(error) = self.s3.abort_multipart(at, &id).await {
                    tracing::debug!(%error, "an upload that was tried out ended by itself");
                }
                match error {
                    object_store::Error::Precondition { .. } | object_store::Error::AlreadyExists { .. } => {
                        Ok(true)
                    }
                    error => Err(refused(error)),
                }
            }
        }
    }
}
