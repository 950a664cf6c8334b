//! What clients do with the store themselves, and what becomes of it.

use std::time::Duration;

use http::{HeaderValue, Method, header};
use kernel::{Error, Result};
use object_store::{CopyMode, CopyOptions, ObjectStoreExt, signer::SignedUrlOptions};

use super::{BlobKey, Blobs, Place, Shown, fault};

impl Blobs {
    /// An address of the store itself under which anybody may read this for a while; none of a folder.
    ///
    /// # Errors
    /// What the store says.
    pub async fn reading_address(
        &self,
        key: &BlobKey,
        shown: &Shown<'_>,
        lifetime: Duration,
    ) -> Result<Option<String>> {
        let Place::Bucket(bucket) = &self.place else { return Ok(None) };
        let at = match self.ancestors.is_empty() {
            true => self.own.path(key),
            false => match self.find(key).await? {
                Some((at, _)) => at,
                None => return Ok(None),
            },
        };
        bucket.address(Method::GET, &at, lifetime, &shown.options()).await.map(Some)
    }

    /// An address of the store itself under which anybody may write this for a while, as often as they like; none of a
    /// folder. What comes must be sent with this `Content-Type`.
    ///
    /// # Errors
    /// What the store says.
    pub async fn writing_address(
        &self,
        key: &BlobKey,
        media_type: &str,
        lifetime: Duration,
    ) -> Result<Option<String>> {
        let Place::Bucket(bucket) = &self.place else { return Ok(None) };
        let media_type = HeaderValue::from_str(media_type).map_err(Error::internal)?;
        let options = SignedUrlOptions::new().with_signed_header(header::CONTENT_TYPE, media_type);
        bucket.address(Method::PUT, &self.own.path(key), lifetime, &options).await.map(Some)
    }

    /// Puts what lies under a key of this sandbox under another one, unless that is there already. False: nothing lies
    /// there.
    ///
    /// # Errors
    /// What the store says.
    pub async fn rename(&self, from: &BlobKey, to: &BlobKey) -> Result<bool> {
        let (from, to) = (self.own.path(from), self.own.path(to));
        let store = self.place.store();
        let only_new = CopyOptions::new().with_mode(CopyMode::Create);
        match store.copy_opts(&from, &to, only_new).await {
            Ok(()) | Err(object_store::Error::AlreadyExists { .. }) => {}
            Err(object_store::Error::NotFound { .. }) => return Ok(false),
            Err(error) => return Err(fault(error)),
        }
        store.delete(&from).await.map_err(fault)?;
        Ok(true)
    }
}
