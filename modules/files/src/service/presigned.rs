use std::{collections::BTreeMap, sync::Arc, time::Duration};

use bytes::Bytes;
use fabric::blobs::BlobKey;
use futures::{Stream, TryStreamExt as _};
use kernel::{Ctx, Error, FieldCode, Result, Slug, check::Checks};

use super::{
    scanning::{Outcome, lost},
    tell, tell_and_keep,
};
use crate::{
    Files, events,
    http::{
        files::FileOut,
        presigned::{PresignIn, PresignedOut},
    },
    jobs::{self, ScanJob},
    media::{self, HEAD, Kind},
    model::{
        self, ADDRESS_TIME, AWAITED_FOR, FileId, FileState, MOST_AWAITED, MOST_BROUGHT, ORIGINAL, STORAGE,
    },
    scan::{Passing, Refusal},
    signed::{Allowed, Grant},
    store::{self, AwaitedRow, Look, NewFile},
};

/// How often it is looked whether a file has come that nobody said is complete.
const LOOK_EVERY: Duration = Duration::from_secs(60);

/// What was found out of a file that has come.
struct Seen {
    media_type: String,
    digest: Vec<u8>,
    /// What it looks like, if there was room for the look; or why it is refused.
    outcome: std::result::Result<Option<Look>, Refusal>,
}

impl Files {
    /// Awaits a file that its client brings to the store by itself: reserves storage for it, and signs an address.
    ///
    /// Errors: validation-error, payload-too-large, plan-limit-exceeded, overloaded.
    pub(crate) async fn presign(&self, cx: &Ctx, wish: PresignIn) -> Result<PresignedOut> {
        let name = model::base_name(&wish.filename);
        model::check_name("/filename", name)?;
        let declared = media::essence(&wish.mime_type).ok_or_else(|| {
            Error::field("/mimeType", FieldCode::InvalidFormat, "has the form type/subtype")
        })?;
        Checks::new().range("/size", wish.size, 1, i64::MAX).finish()?;
        let is_image = matches!(media::kind_of(&declared), Kind::Image(_));
        let most = if is_image { self.most_image_bytes } else { MOST_BROUGHT };
        if wish.size.unsigned_abs() > most {
            let detail = format!("It may have at most {most} bytes.");
            return Err(Error::new(Slug::PayloadTooLarge, detail));
        }
        let mut tx = self.db.tenant(cx)?.begin().await?;
        tx.reserve(STORAGE, wish.size).await?;
        let of = (name, declared.as_str(), wish.size);
        let until = cx.now().plus(AWAITED_FOR);
        let bucket = wish.bucket.unwrap_or_default();
        let awaited = store::await_file(&mut tx, bucket, of, cx.actor().user(), until).await?;
        let awaited = awaited.ok_or_else(|| {
            let detail =
                format!("A tenant has at most {MOST_AWAITED} files under way; complete some of them.");
            Error::new(Slug::Overloaded, detail)
        })?;
        jobs::enqueue_collect(&mut tx, awaited.id, cx.now().plus(LOOK_EVERY)).await?;
        let expires_at = cx.now().plus(ADDRESS_TIME);
        let staged = staged(&awaited)?;
        let url = match self.blobs.writing_address(&staged, &declared, ADDRESS_TIME).await? {
            Some(url) => url,
            None => self.signed_address(&Grant {
                tenant: awaited.tenant_id,
                file: awaited.id,
                expires_at,
                allows: Allowed::Upload,
            }),
        };
        let headers = BTreeMap::from([("Content-Type".to_owned(), declared)]);
        let method = "PUT".to_owned();
        tx.commit(PresignedOut { id: awaited.id, url, method, headers, expires_at }).await
    }

    /// Keeps what is brought to a signed address of ours. Sent again, it takes the place of what came before.
    ///
    /// Errors: not-found, gone, payload-too-large.
    pub(crate) async fn bring(
        &self,
        cx: &Ctx,
        token: &str,
        bytes: impl Stream<Item = Result<Bytes>> + Send,
    ) -> Result<()> {
        let (cx, grant) = self.granted(cx, token).await?;
        if grant.allows != Allowed::Upload {
            return Err(Error::not_found("file"));
        }
        let awaited = store::awaited(&self.db.tenant(&cx)?, grant.file).await?;
        self.blobs.delete_below(Some(&model::staging(awaited.tenant_id, awaited.id)?)).await?;
        self.blobs.put_stream(&staged(&awaited)?, bytes, awaited.size()).await?;
        Ok(())
    }

    /// Takes in a file that was brought: from here on nobody can change it, then it is looked at, and only when nothing
    /// speaks against it is it to be had.
    ///
    /// Errors: not-found, invalid-state when it has not come or has another size, file-rejected.
    pub(crate) async fn complete(self: &Arc<Self>, cx: &Ctx, id: FileId) -> Result<FileOut> {
        let awaited = match store::awaited(&self.db.tenant(cx)?, id).await {
            Ok(awaited) => awaited,
            // It was taken in meanwhile, by the job or by this very request, whose answer was lost.
            Err(error) if error.slug() == Slug::NotFound => return self.taken_in(cx, id).await,
            Err(error) => return Err(error),
        };
        let folder = model::folder(awaited.tenant_id, awaited.bucket()?, awaited.id)?;
        self.take_over(&awaited, &folder).await?;
        let seen = self.see(&awaited, &folder).await?;
        self.note_brought(cx, &awaited, &folder, seen).await
    }

    /// Looks whether an awaited file has come, until it has or its time is over.
    pub(crate) async fn collect(self: &Arc<Self>, cx: &Ctx, id: FileId) -> Result<()> {
        let error = match self.complete(cx, id).await {
            Ok(_) => return Ok(()),
            Err(error) => error,
        };
        if !matches!(error.slug(), Slug::InvalidState) {
            // Whatever became of it was noted; what did not come to that is tried again.
            let is_over = matches!(error.slug(), Slug::FileRejected | Slug::NotFound | Slug::Gone);
            return if is_over { Ok(()) } else { Err(error) };
        }
        let mut tx = self.db.tenant(cx)?.begin().await?;
        let awaited = store::awaited(&self.db.tenant(cx)?, id).await?;
        if cx.now() < awaited.expires_at {
            jobs::enqueue_collect(&mut tx, id, cx.now().plus(LOOK_EVERY).min(awaited.expires_at)).await?;
        } else if store::end_awaiting(&mut tx, id).await? {
            tx.reserve(STORAGE, -i64::try_from(awaited.size()).unwrap_or(i64::MAX)).await?;
            let folder = model::folder(awaited.tenant_id, awaited.bucket()?, awaited.id)?;
            for gone in [model::staging(awaited.tenant_id, awaited.id)?, folder] {
                jobs::enqueue_erase(&mut tx, &gone, cx.now()).await?;
            }
        }
        tx.commit(()).await
    }

    async fn taken_in(&self, cx: &Ctx, id: FileId) -> Result<FileOut> {
        let row = store::find(&self.db.tenant(cx)?, id).await?;
        if row.state()? == FileState::Rejected {
            return Err(model::rejected(row.reason.as_deref().unwrap_or("The scan refused it.")));
        }
        FileOut::of(row)
    }

    /// Moves what came to where its file lies, which no address leads to.
    async fn take_over(&self, awaited: &AwaitedRow, folder: &BlobKey) -> Result<()> {
        let original = model::blob(folder, ORIGINAL)?;
        self.blobs.rename(&staged(awaited)?, &original).await?;
        let announced = awaited.size();
        match self.blobs.size(&original).await? {
            Some(size) if size == announced => Ok(()),
            Some(size) => {
                self.blobs.delete_below(Some(folder)).await?;
                let detail = format!("{size} bytes came where {announced} were announced; bring it again.");
                Err(Error::new(Slug::InvalidState, detail))
            }
            None => {
                let detail = "Nothing has come yet; send the bytes to the signed address first.";
                Err(Error::new(Slug::InvalidState, detail))
            }
        }
    }

    async fn see(self: &Arc<Self>, awaited: &AwaitedRow, folder: &BlobKey) -> Result<Seen> {
        let original = model::blob(folder, ORIGINAL)?;
        let head = self.blobs.get(&original, Some(0..HEAD as u64)).await?.ok_or_else(|| lost(&original))?;
        let head = head.bytes(HEAD).await?;
        let mut passing = Passing::new();
        let mut body = self.stored(&original).await?.body;
        let mut refusal = None;
        while let Some(piece) = body.try_next().await? {
            // What is refused is read to its end, too: its digest is told.
            refusal = refusal.or(passing.see(&piece).err());
        }
        let (media_type, refusal) = match (media::true_type(&awaited.media_type, &head), refusal) {
            (Ok(media_type), refusal) => (media_type, refusal),
            (Err(reason), _) => (awaited.media_type.clone(), Some(reason.into())),
        };
        let kind = media::kind_of(&media_type);
        let too_large = matches!(kind, Kind::Image(_)) && passing.size() > self.most_image_bytes;
        let outcome = match refusal {
            Some(refusal) => Err(refusal),
            None if too_large => {
                Err(format!("An image may have at most {} bytes.", self.most_image_bytes).into())
            }
            None => match self.examine(folder, kind).await? {
                Outcome::Clean(look) => Ok(Some(look)),
                Outcome::Later => Ok(None),
                Outcome::Refused(refusal) => Err(refusal),
            },
        };
        Ok(Seen { media_type, digest: passing.digest(), outcome })
    }

    async fn note_brought(
        &self,
        cx: &Ctx,
        awaited: &AwaitedRow,
        folder: &BlobKey,
        seen: Seen,
    ) -> Result<FileOut> {
        let (state, reason, look) = match &seen.outcome {
            Ok(Some(look)) => (FileState::Available, None, *look),
            Ok(None) => (FileState::PendingScan, None, Look::default()),
            Err(refusal) => (FileState::Rejected, Some(refusal.0.as_str()), Look::default()),
        };
        // A refusal is no answer that is kept for the request.
        let cx = &if reason.is_some() { cx.with_idempotency(None) } else { cx.clone() };
        let destroy_at = reason.map(|_| model::end_of(cx.now()));
        let mut tx = self.db.tenant(cx)?.begin().await?;
        if !store::end_awaiting(&mut tx, awaited.id).await? {
            tx.rollback().await;
            return self.taken_in(cx, awaited.id).await;
        }
        let new = NewFile {
            id: awaited.id,
            bucket: awaited.bucket()?,
            name: &awaited.name,
            media_type: &seen.media_type,
            size: awaited.size(),
            sha256: &seen.digest,
            state,
            reason,
            look,
            derived_from: None,
            uploaded_by: awaited.uploaded_by,
            destroy_at,
        };
        let file = FileOut::of(store::insert(&mut tx, &new).await?)?;
        tell_and_keep(&mut tx, events::UPLOADED, &file)?;
        // Whoever has the address can bring something to it until its time is over.
        let staging = model::staging(awaited.tenant_id, awaited.id)?;
        jobs::enqueue_erase(&mut tx, &staging, awaited.expires_at).await?;
        match (state, destroy_at) {
            (FileState::PendingScan, _) => jobs::enqueue_scan(&mut tx, ScanJob { id: file.id }).await?,
            (_, Some(destroy_at)) => {
                tell_and_keep(&mut tx, events::REJECTED, &file)?;
                tx.reserve(STORAGE, -file.size).await?;
                jobs::enqueue_erase(&mut tx, folder, cx.now()).await?;
                jobs::enqueue_destroy(&mut tx, file.id, destroy_at).await?;
            }
            _ => tell(&mut tx, events::AVAILABLE, &file)?,
        }
        let file = tx.commit(file).await?;
        match seen.outcome {
            Ok(_) => Ok(file),
            Err(refusal) => Err(model::rejected(&refusal.0)),
        }
    }
}

/// Where a client lays an awaited file.
fn staged(awaited: &AwaitedRow) -> Result<BlobKey> {
    model::blob(&model::staging(awaited.tenant_id, awaited.id)?, ORIGINAL)
}
