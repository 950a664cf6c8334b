//! files: uploads, pictures, downloads. Metadata lies in Postgres, bytes in [`fabric::blobs`]; pictures go through libvips.

#![forbid(unsafe_code)]

mod events;
mod http;
mod jobs;
mod media;
mod model;
mod multipart;
mod pool;
mod scan;
mod service;
mod signed;
mod store;
mod thumbnail;

use std::sync::{Arc, Weak};

use fabric::{blobs::Blobs, postgres::Database};
use futures::future::BoxFuture;
use kernel::{Error, Result};
use ports::{
    BillingLink, IamLink, KernelService, Task,
    http::{CursorKey, ServiceRoutes},
};

pub use model::{Bucket, FileId, FileState};
pub use pool::{FilePool, FilePoolOptions};
pub use service::SeedFile;

/// The service's name.
const NAME: &str = "files";

/// Tells whether copies of this sandbox still read its blobs.
pub type ReadElsewhere = Arc<dyn Fn() -> BoxFuture<'static, Result<bool>> + Send + Sync>;

/// The service.
pub struct Files {
    me: Weak<Self>,
    db: Database,
    blobs: Blobs,
    iam: IamLink,
    billing: BillingLink,
    pool: FilePool,
    cursor: CursorKey,
    public_url: String,
    most_image_bytes: u64,
    read_elsewhere: ReadElsewhere,
}

/// What the service stands on.
pub struct FilesDeps {
    /// The sandbox's data.
    pub db: Database,
    /// Its blobs.
    pub blobs: Blobs,
    /// Which tenants there are.
    pub iam: IamLink,
    /// Which of them are closed.
    pub billing: BillingLink,
    /// Where files are decoded; one for the process.
    pub pool: FilePool,
    /// Signs places in lists.
    pub cursor: CursorKey,
    /// The address of the sandbox, for signed addresses.
    pub public_url: String,
    /// Most bytes of an image.
    pub most_image_bytes: u64,
    /// Whether copies of the sandbox still read its blobs: then none of them is removed.
    pub read_elsewhere: ReadElsewhere,
}

impl Files {
    /// The service; nothing runs yet.
    pub fn create(deps: FilesDeps) -> Arc<Self> {
        Arc::new_cyclic(|me| Self {
            me: me.clone(),
            db: deps.db,
            blobs: deps.blobs,
            iam: deps.iam,
            billing: deps.billing,
            pool: deps.pool,
            cursor: deps.cursor,
            public_url: deps.public_url,
            most_image_bytes: deps.most_image_bytes,
            read_elsewhere: deps.read_elsewhere,
        })
    }

    fn me(&self) -> Result<Arc<Self>> {
        self.me.upgrade().ok_or_else(|| Error::internal("the service was closed"))
    }
}

impl KernelService for Files {
    fn name(&self) -> &'static str {
        NAME
    }

    fn routes(&self) -> ServiceRoutes {
        let me = self.me.upgrade().expect("because `self` is borrowed from the Arc that `create` made");
        http::routes(me)
    }

    fn tasks(&self) -> Vec<Task> {
        let me = self.me.upgrade().expect("because `self` is borrowed from the Arc that `create` made");
        jobs::tasks(&me)
    }
}
