use std::sync::Arc;

use bytes::Bytes;
use fabric::crypto::sha256;
use kernel::{Ctx, Error, Result, Slug};
use vips::{Edit, Fault, Format, Output};

use super::{held::Held, tell, tell_and_keep};
use crate::{
    Files, events,
    http::{files::FileOut, images::Change},
    media::{self, Kind},
    model::{self, FileId, FileState, ORIGINAL},
    scan::{self, Pictures, limits, refused},
    store::{self, FileRow, NewFile},
    thumbnail::{self, Preset, form, made},
};

/// A small version of a picture, to be sent.
pub(crate) struct Thumbnail {
    pub media_type: &'static str,
    pub bytes: Bytes,
    /// Names these bytes and no others.
    pub tag: String,
}

/// Most bytes of a small version.
const MOST: usize = 20_000_000;

impl Files {
    /// A small version of a picture; made and kept when it is asked for the first time.
    ///
    /// Errors: not-found, file-rejected, gone, overloaded.
    pub(crate) async fn thumbnail(&self, cx: &Ctx, id: FileId, name: &str) -> Result<Thumbnail> {
        let preset = thumbnail::named(name).ok_or_else(|| Error::not_found("size of a thumbnail"))?;
        let row = store::find(&self.db.tenant(cx)?, id).await?;
        row.state()?.readable(row.reason.as_deref())?;
        let (Some(format), Some(is_transparent)) = (format_of(&row), row.is_transparent) else {
            return Err(Error::new(Slug::NotFound, "Only pictures have thumbnails."));
        };
        let folder = model::folder(row.tenant_id, row.bucket()?, id)?;
        let (_, media_type, ending) = form(is_transparent);
        let key = model::blob(&folder, &format!("{name}.{ending}"))?;
        let bytes = match self.blobs.get(&key, None).await? {
            Some(blob) => blob.bytes(MOST).await?,
            None => {
                let original = model::blob(&folder, ORIGINAL)?;
                let work = move |bytes: Bytes| smaller(&bytes, format, preset, is_transparent);
                let bytes = self.pool.run(self.whole_image(&original), work).await??;
                self.blobs.put(&key, bytes.clone()).await?;
                bytes
            }
        };
        // A picture never changes, and its small version may be made anew by another libvips only with another kernel.
        let hex = row.sha256.iter().take(12).fold(String::new(), |text, byte| format!("{text}{byte:02x}"));
        Ok(Thumbnail { media_type, tag: format!("\"{hex}-{name}-{}\"", bytes.len()), bytes })
    }

    /// Makes another file from a picture.
    ///
    /// Errors: not-found, file-rejected, gone, invalid-state, validation-error, plan-limit-exceeded, overloaded.
    pub(crate) async fn process(self: &Arc<Self>, cx: &Ctx, id: FileId, change: Change) -> Result<FileOut> {
        let row = store::find(&self.db.tenant(cx)?, id).await?;
        row.state()?.readable(row.reason.as_deref())?;
        let (Some(format), Some(is_transparent)) = (format_of(&row), row.is_transparent) else {
            return Err(Error::new(Slug::InvalidState, "Only pictures can be worked on."));
        };
        let folder = model::folder(row.tenant_id, row.bucket()?, id)?;
        let original = model::blob(&folder, ORIGINAL)?;
        let output = change.output.unwrap_or(form(is_transparent).0);
        let Change { edit, quality, .. } = change;
        let work = move |bytes: Bytes| worked(&bytes, format, &edit, output, quality);
        let (bytes, pictures) = self.pool.run(self.whole_image(&original), work).await??;
        let held = Held::begin(Arc::clone(self), cx, row.bucket()?, bytes.len() as u64).await?;
        let noted = self.note_derived(cx, &held, &row, output, bytes, pictures).await;
        match noted {
            Ok(_) => held.done(),
            Err(_) => held.release().await,
        }
        noted
    }

    async fn note_derived(
        &self,
        cx: &Ctx,
        held: &Held,
        source: &FileRow,
        output: Output,
        bytes: Bytes,
        pictures: Pictures,
    ) -> Result<FileOut> {
        let (media_type, ending) = words(output);
        self.blobs.put(&model::blob(&held.folder, ORIGINAL)?, bytes.clone()).await?;
        let look = self.keep(&held.folder, pictures).await?;
        let mut tx = self.db.tenant(cx)?.begin().await?;
        held.settle(&mut tx, bytes.len() as u64).await?;
        let row = store::insert(
            &mut tx,
            &NewFile {
                id: held.id,
                bucket: source.bucket()?,
                name: &model::renamed(&source.name, ending),
                media_type,
                size: bytes.len() as u64,
                sha256: &sha256(&[&bytes]),
                state: FileState::Available,
                reason: None,
                look,
                derived_from: Some(source.id),
                uploaded_by: cx.actor().user(),
                destroy_at: None,
            },
        )
        .await?;
        let file = FileOut::of(row)?;
        tell(&mut tx, events::AVAILABLE, &file)?;
        tell_and_keep(&mut tx, events::PROCESSED, &file)?;
        tx.commit(file).await
    }
}

fn format_of(row: &FileRow) -> Option<Format> {
    match media::kind_of(&row.media_type) {
        Kind::Image(format) => Some(format),
        _ => None,
    }
}

/// What a format is called, and what names of its files end in.
fn words(output: Output) -> (&'static str, &'static str) {
    match output {
        Output::Jpeg => ("image/jpeg", "jpg"),
        Output::Png => ("image/png", "png"),
        Output::WebP => ("image/webp", "webp"),
        Output::Avif => ("image/avif", "avif"),
    }
}

/// A fault of an image that was found good before: its limits may be tighter now.
fn fault(fault: Fault) -> Error {
    match refused(fault) {
        Ok(refusal) => model::rejected(&refusal.0),
        Err(error) => error,
    }
}

fn smaller(original: &[u8], format: Format, preset: Preset, is_transparent: bool) -> Result<Bytes> {
    let picture = vips::thumbnail(original, format, preset.fit, &limits()).map_err(fault)?;
    Ok(made(&picture, is_transparent).map_err(fault)?.into())
}

fn worked(
    original: &[u8],
    format: Format,
    edit: &Edit,
    output: Output,
    quality: u8,
) -> Result<(Bytes, Pictures)> {
    let picture = vips::edit(original, format, edit, &limits()).map_err(|found| match found {
        Fault::Outside { width, height } => kernel::Error::field(
            "/crop",
            kernel::FieldCode::OutOfRange,
            format!("must lie within the upright image of {width} × {height} pixels"),
        ),
        found => fault(found),
    })?;
    let bytes = picture.encode(output, quality).map_err(fault)?;
    let pictures = scan::pictures_of(&picture).map_err(fault)?;
    Ok((bytes.into(), pictures))
}
