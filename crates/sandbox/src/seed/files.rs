//! Files: those that the program carries, and those that a seed writes out.

use bytes::Bytes;
use fabric::blobs::Blobs;
use files::SeedFile;

use super::{Seed, SeedError, form::File};

/// Files that the program carries for its demo.
pub(super) const CARRIED: [(&str, &[u8]); 5] = [
    ("offsite.jpg", include_bytes!("files/offsite.jpg")),
    ("harbour.webp", include_bytes!("files/harbour.webp")),
    ("dunes.jpg", include_bytes!("files/dunes.jpg")),
    ("logo.png", include_bytes!("files/logo.png")),
    ("brochure.pdf", include_bytes!("files/brochure.pdf")),
];

impl Seed {
    /// Puts the bytes of its files where their rows look for them. Rows of tenants whose ids are made at planting look for
    /// theirs where they were planted, and nowhere else.
    pub(crate) async fn lay_files(&self, blobs: &Blobs) -> Result<(), SeedError> {
        for file in &self.files {
            let tenant = self.tenants.iter().find(|tenant| tenant.slug == file.tenant);
            let Some(id) = tenant.and_then(|tenant| tenant.id) else { continue };
            let laid = file.seed()?.lay(blobs, id).await;
            laid.map_err(|source| SeedError::Refused { what: format!("file {}", file.name), source })?;
        }
        Ok(())
    }
}

impl File {
    pub(super) fn seed(&self) -> Result<SeedFile, SeedError> {
        let wrong = |what: String| SeedError::Unknown(format!("file {}: {what}", self.name));
        let bytes = match (&self.text, &self.carried) {
            (Some(text), None) => Bytes::copy_from_slice(text.as_bytes()),
            (None, Some(name)) => {
                let carried = CARRIED.iter().find(|(carried, _)| carried == name);
                Bytes::from_static(carried.ok_or_else(|| wrong(format!("this program carries no {name}")))?.1)
            }
            _ => return Err(wrong("it has either a text or a carried file".to_owned())),
        };
        Ok(SeedFile {
            id: self.id,
            name: self.name.clone(),
            bucket: self.bucket,
            media_type: self.media_type.clone(),
            bytes,
        })
    }
}
