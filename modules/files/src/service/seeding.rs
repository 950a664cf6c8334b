use std::sync::Arc;

use bytes::Bytes;
use fabric::{blobs::Blobs, crypto::sha256};
use kernel::{Ctx, Result, Slug, TenantId};

use super::{scanning::Outcome, tell, tell_and_keep};
use crate::{
    Files, events,
    http::files::FileOut,
    media,
    model::{self, Bucket, FileId, FileState, ORIGINAL, STORAGE},
    scan::Passing,
    store::{self, NewFile},
};

/// A file that a sandbox holds from the start.
#[derive(Debug, Clone)]
pub struct SeedFile {
    /// Its id; always the same, so that its bytes can be laid down again where only its row is.
    pub id: FileId,
    /// Its name.
    pub name: String,
    /// Its shelf.
    pub bucket: Bucket,
    /// Its declared type.
    pub media_type: String,
    /// Its bytes.
    pub bytes: Bytes,
}

impl SeedFile {
    /// Puts the bytes where the row of this file looks for them, if they are not there yet.
    ///
    /// # Errors
    /// What the store says.
    pub async fn lay(&self, blobs: &Blobs, tenant: TenantId) -> Result<()> {
        let folder = model::folder(tenant, self.bucket, self.id)?;
        blobs.put(&model::blob(&folder, ORIGINAL)?, self.bytes.clone()).await.map(drop)
    }
}

impl Files {
    /// Plants a file for the tenant of the context, unless it is there. It is looked at like every other.
    ///
    /// # Errors
    /// `file-rejected`, or what the database says.
    pub async fn seed(self: &Arc<Self>, cx: &Ctx, file: &SeedFile) -> Result<()> {
        match store::find(&self.db.tenant(cx)?, file.id).await {
            Ok(_) => return Ok(()),
            Err(error) if error.slug() == Slug::NotFound => {}
            Err(error) => return Err(error),
        }
        model::check_name("name", &file.name)?;
        let head = &file.bytes[..file.bytes.len().min(media::HEAD)];
        let media_type =
            media::true_type(&file.media_type, head).map_err(|reason| model::rejected(&reason))?;
        let mut passing = Passing::new();
        passing.see(&file.bytes).map_err(|refusal| model::rejected(&refusal.0))?;
        file.lay(&self.blobs, cx.tenant()?).await?;
        let folder = model::folder(cx.tenant()?, file.bucket, file.id)?;
        let look = match self.examine(&folder, media::kind_of(&media_type)).await? {
            Outcome::Clean(look) => look,
            Outcome::Refused(refusal) => return Err(model::rejected(&refusal.0)),
            Outcome::Later => {
                return Err(kernel::Error::new(Slug::Overloaded, "Too many files are looked at."));
            }
        };
        let size = file.bytes.len() as u64;
        let mut tx = self.db.tenant(cx)?.begin().await?;
        tx.reserve(STORAGE, i64::try_from(size).unwrap_or(i64::MAX)).await?;
        let row = store::insert(
            &mut tx,
            &NewFile {
                id: file.id,
                bucket: file.bucket,
                name: &file.name,
                media_type: &media_type,
                size,
                sha256: &sha256(&[&file.bytes]),
                state: FileState::Available,
                reason: None,
                look,
                derived_from: None,
                uploaded_by: None,
                destroy_at: None,
            },
        )
        .await?;
        let out = FileOut::of(row)?;
        tell_and_keep(&mut tx, events::UPLOADED, &out)?;
        tell(&mut tx, events::AVAILABLE, &out)?;
        tx.commit(()).await
    }
}
