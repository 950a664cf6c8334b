//! Blobs in a bucket of an S3 store.
//!
//! Immutable there, too: what fits into one part is put with `If-None-Match: *`, what is longer becomes visible only when
//! its parts are put together, which has the same condition. Both are understood by AWS and SeaweedFS; a
//! conditional copy is not, so nothing is staged as an object and copied.

mod check;
mod error;
#[cfg(test)]
mod tests;
mod upload;
mod wire;

use std::{path::PathBuf, time::Duration};

use http::{Method, Uri};
use kernel::{Result, Secret};
use object_store::{
    BackoffConfig, ObjectStoreExt, RetryConfig,
    aws::{AmazonS3, AmazonS3Builder, S3CopyIfNotExists},
    path::Path,
    prefix::PrefixStore,
    signer::{SignedUrlOptions, Signer as _},
};
use rustls::pki_types::{CertificateDer, pem::PemObject as _};

use super::fault;
use crate::dialler::{Trust, client_tls};

pub use check::{Checked, MOST_SKEW};
pub use error::BucketError;

use wire::Wire;

/// How to reach a bucket.
#[derive(Debug, Clone)]
pub struct BucketOptions {
    /// The store's address; AWS's own of the region without one.
    pub endpoint: Option<String>,
    /// Its address as clients reach it; the same without one.
    pub public_endpoint: Option<String>,
    /// The bucket.
    pub bucket: String,
    /// Its region.
    pub region: String,
    /// The key's name.
    pub access_key_id: Secret,
    /// The key.
    pub secret_access_key: Secret,
    /// A PEM file with authorities beside the public ones.
    pub authorities: Option<PathBuf>,
    /// Below this everything lies: what else is in the bucket is not ours.
    pub root: String,
}

/// A bucket, and what of it is ours.
#[derive(Debug)]
pub(super) struct Bucket {
    s3: AmazonS3,
    /// The same, below the root.
    below: PrefixStore<AmazonS3>,
    /// Signs addresses for clients.
    signer: AmazonS3,
    wire: Wire,
    root: String,
    name: String,
    endpoint: String,
}

/// For requests that failed on the way: few, and for so long at the utmost.
const RETRIES: usize = 3;
const RETRY_TIME: Duration = Duration::from_secs(15);

/// How a store answers clients who download by a signed address.
#[derive(Debug, Clone)]
pub struct Shown<'a> {
    /// `Content-Type`.
    pub media_type: &'a str,
    /// `Content-Disposition`.
    pub disposition: &'a str,
}

impl Bucket {
    /// Reaches nothing yet: see [`Bucket::check`].
    pub(super) fn new(options: &BucketOptions) -> Result<Self, BucketError> {
        let endpoint = match &options.endpoint {
            Some(endpoint) => endpoint.clone(),
            None => format!("https://s3.{}.amazonaws.com", options.region),
        };
        let trust = match &options.authorities {
            Some(file) => Trust::And(authorities(file)?),
            None => Trust::PublicAuthorities,
        };
        let tls = client_tls(&trust).map_err(|error| BucketError::Options(error.to_string()))?;
        let wire = Wire::new(tls);
        let build = |endpoint: &str| {
            AmazonS3Builder::new()
                .with_endpoint(endpoint)
                .with_allow_http(endpoint.starts_with("http://"))
                .with_bucket_name(&options.bucket)
                .with_region(&options.region)
                .with_access_key_id(options.access_key_id.expose())
                .with_secret_access_key(options.secret_access_key.expose())
                .with_copy_if_not_exists(S3CopyIfNotExists::Multipart)
                .with_retry(RetryConfig {
                    backoff: BackoffConfig {
                        init_backoff: Duration::from_millis(50),
                        max_backoff: Duration::from_secs(2),
                        base: 2.,
                    },
                    max_retries: RETRIES,
                    retry_timeout: RETRY_TIME,
                })
                .with_http_connector(wire.clone())
                .build()
                .map_err(|error| BucketError::Options(error.to_string()))
        };
        let s3 = build(&endpoint)?;
        let signer = match &options.public_endpoint {
            Some(public) => build(public)?,
            None => s3.clone(),
        };
        Ok(Self {
            below: PrefixStore::new(s3.clone(), options.root.as_str()),
            s3,
            signer,
            wire,
            root: options.root.clone(),
            name: options.bucket.clone(),
            endpoint,
        })
    }

    /// What lies below the root.
    pub(super) fn store(&self) -> &PrefixStore<AmazonS3> {
        &self.below
    }

    /// The bucket's name and the store's address.
    pub(super) fn place(&self) -> (&str, &str) {
        (&self.name, &self.endpoint)
    }

    /// The whole path in the bucket.
    fn whole(&self, at: &Path) -> Path {
        Path::from(format!("{}/{at}", self.root))
    }

    /// An address under which anybody may do this one thing for a while.
    pub(super) async fn address(
        &self,
        method: Method,
        at: &Path,
        lifetime: Duration,
        options: &SignedUrlOptions,
    ) -> Result<String> {
        let signed = self.signer.signed_url_opts(method, &self.whole(at), lifetime, options).await;
        Ok(signed.map_err(fault)?.to_string())
    }

    /// Whether the store answers: asks after something that is not there.
    pub(super) async fn answers(&self) -> Result<(), BucketError> {
        match self.below.head(&Path::from(".answers")).await {
            Ok(_) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(BucketError::of(self, "read", &error)),
        }
    }

    fn uri(&self) -> Result<Uri, BucketError> {
        self.endpoint.parse().map_err(|error| BucketError::Options(format!("{}: {error}", self.endpoint)))
    }
}

impl Shown<'_> {
    pub(super) fn options(&self) -> SignedUrlOptions {
        SignedUrlOptions::new().with_query([
            ("response-content-type", self.media_type),
            ("response-content-disposition", self.disposition),
            ("response-cache-control", "private, no-cache"),
        ])
    }
}

fn authorities(file: &std::path::Path) -> Result<Vec<CertificateDer<'static>>, BucketError> {
    let refused = |why: String| BucketError::Authorities { file: file.display().to_string(), why };
    let read = CertificateDer::pem_file_iter(file).and_then(|found| found.collect::<Result<Vec<_>, _>>());
    match read {
        Ok(found) if found.is_empty() => Err(refused("there is no certificate in it".to_owned())),
        Ok(found) => Ok(found),
        Err(error) => Err(refused(error.to_string())),
    }
}
