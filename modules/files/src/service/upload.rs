use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use fabric::crypto::sha256;
use futures::stream;
use kernel::{Ctx, Error, FieldCode, IdempotencyKey, Result, Slug};

use super::{held::Held, scanning::Outcome, tell, tell_and_keep};
use crate::{
    Files, events,
    http::files::FileOut,
    jobs::{self, ScanJob},
    media::{self, HEAD, Kind},
    model::{self, Bucket, FileState, MOST_BYTES, ORIGINAL},
    multipart::{Multipart, Part},
    scan::{Passing, Refusal},
    store::{self, Look, NewFile},
};

/// What is read on after a refusal, so that clients that send first and listen then hear it.
const PATIENCE: u64 = 16 << 20;

/// What the fields before the file say.
struct Form {
    bucket: Bucket,
    name: String,
    declared: String,
}

/// A file that was received whole.
struct Received {
    media_type: String,
    size: u64,
    digest: Vec<u8>,
}

impl Files {
    /// Receives a file. `announced` is the length of the whole body, if the client told it.
    ///
    /// Errors: validation-error, unsupported-media-type, payload-too-large, plan-limit-exceeded, file-rejected,
    /// overloaded.
    pub(crate) async fn upload(
        self: &Arc<Self>,
        cx: &Ctx,
        mut body: Multipart,
        announced: Option<u64>,
    ) -> Result<FileOut> {
        let received = self.receive(cx, &mut body, announced).await;
        if received.is_err() {
            body.drain(PATIENCE).await;
        }
        received
    }

    async fn receive(
        self: &Arc<Self>,
        cx: &Ctx,
        body: &mut Multipart,
        announced: Option<u64>,
    ) -> Result<FileOut> {
        let form = Form::read(body).await?;
        // The file is the last part, so its length follows from the body's; a line break at the end may be missing.
        let least = announced.map_or(0, |all| all.saturating_sub(body.taken() + body.closing()));
        if least > MOST_BYTES {
            return Err(too_large(MOST_BYTES));
        }
        let head = head(body).await?;
        let media_type = match media::true_type(&form.declared, &head) {
            Ok(media_type) => media_type,
            Err(reason) => {
                let seen = Received {
                    media_type: form.declared.clone(),
                    size: head.len() as u64,
                    digest: sha256(&[&head]).to_vec(),
                };
                return Err(self.refuse(cx, &form, &seen, &reason.into()).await);
            }
        };
        let kind = media::kind_of(&media_type);
        let most = if matches!(kind, Kind::Image(_)) { self.most_image_bytes } else { MOST_BYTES };
        if least > most {
            return Err(too_large(most));
        }
        let mut held = Held::begin(Arc::clone(self), cx, form.bucket, least.max(head.len() as u64)).await?;
        let key = model::blob(&held.folder, ORIGINAL)?;
        let mut intake =
            Intake { body, first: Some(head), passing: Passing::new(), held: &mut held, most, refusal: None };
        let pieces = stream::try_unfold(&mut intake, async |intake| {
            let piece = intake.next().await?;
            Ok(piece.map(|piece| (piece, intake)))
        });
        let stored = self.blobs.put_stream(&key, pieces, MOST_BYTES).await;
        let Intake { passing, refusal, .. } = intake;
        let received = Received { media_type, size: passing.size(), digest: passing.digest() };
        if let Some(refusal) = refusal {
            held.release().await;
            return Err(self.refuse(cx, &form, &received, &refusal).await);
        }
        let noted = async {
            stored?;
            if let Some(part) = body.next().await? {
                let field = format!("/{}", part.name);
                return Err(Error::field(
                    field,
                    FieldCode::NotAllowed,
                    "comes before the file, not after it",
                ));
            }
            match self.examine(&held.folder, kind).await? {
                Outcome::Clean(look) => self.note(cx, &held, &form, &received, Some(look)).await.map(Ok),
                Outcome::Later => self.note(cx, &held, &form, &received, None).await.map(Ok),
                Outcome::Refused(refusal) => Ok(Err(refusal)),
            }
        };
        match noted.await {
            Ok(Ok(file)) => {
                held.done();
                Ok(file)
            }
            Ok(Err(refusal)) => {
                held.release().await;
                Err(self.refuse(cx, &form, &received, &refusal).await)
            }
            Err(error) => {
                held.release().await;
                Err(error)
            }
        }
    }

    /// Notes a file that is kept. Without a look the scan is still to come.
    async fn note(
        &self,
        cx: &Ctx,
        held: &Held,
        form: &Form,
        received: &Received,
        look: Option<Look>,
    ) -> Result<FileOut> {
        let state = if look.is_some() { FileState::Available } else { FileState::PendingScan };
        let cx = &for_content(cx, form, received);
        let mut tx = self.db.tenant(cx)?.begin().await?;
        held.settle(&mut tx, received.size).await?;
        let row = store::insert(
            &mut tx,
            &NewFile {
                id: held.id,
                bucket: form.bucket,
                name: &form.name,
                media_type: &received.media_type,
                size: received.size,
                sha256: &received.digest,
                state,
                reason: None,
                look: look.unwrap_or_default(),
                derived_from: None,
                uploaded_by: cx.actor().user(),
                destroy_at: None,
            },
        )
        .await?;
        let file = FileOut::of(row)?;
        tell_and_keep(&mut tx, events::UPLOADED, &file)?;
        match state {
            FileState::PendingScan => jobs::enqueue_scan(&mut tx, ScanJob { id: held.id }).await?,
            _ => tell(&mut tx, events::AVAILABLE, &file)?,
        }
        tx.commit(file).await
    }

    /// Keeps the memory of a file that was refused; gives the refusal as an error.
    async fn refuse(&self, cx: &Ctx, form: &Form, seen: &Received, refusal: &Refusal) -> Error {
        // No answer is kept for the request: sent again, the file is looked at again.
        let cx = &cx.with_idempotency(None);
        let noted = async {
            let mut tx = self.db.tenant(cx)?.begin().await?;
            let destroy_at = model::end_of(cx.now());
            let row = store::insert(
                &mut tx,
                &NewFile {
                    id: model::FileId::new(),
                    bucket: form.bucket,
                    name: &form.name,
                    media_type: &seen.media_type,
                    size: seen.size,
                    sha256: &seen.digest,
                    state: FileState::Rejected,
                    reason: Some(&refusal.0),
                    look: Look::default(),
                    derived_from: None,
                    uploaded_by: cx.actor().user(),
                    destroy_at: Some(destroy_at),
                },
            )
            .await?;
            let file = FileOut::of(row)?;
            tell_and_keep(&mut tx, events::UPLOADED, &file)?;
            tell_and_keep(&mut tx, events::REJECTED, &file)?;
            jobs::enqueue_destroy(&mut tx, file.id, destroy_at).await?;
            tx.commit(()).await
        };
        match noted.await {
            Ok(()) => model::rejected(&refusal.0),
            Err(error) => error,
        }
    }
}

impl Form {
    /// Reads the fields; afterwards the body stands at the first byte of the file.
    async fn read(body: &mut Multipart) -> Result<Self> {
        let (mut bucket, mut name) = (None, None);
        while let Some(part) = body.next().await? {
            let field = format!("/{}", part.name);
            match part.name.as_str() {
                "file" => return Self::with_file(part, bucket.unwrap_or_default(), name),
                "bucket" if bucket.is_none() => {
                    bucket = Some(Bucket::parse(&field, body.text(&field, 100).await?.trim())?);
                }
                "name" if name.is_none() => name = Some(body.text(&field, 1000).await?),
                "bucket" | "name" => {
                    return Err(Error::field(field, FieldCode::NotAllowed, "is there twice"));
                }
                _ => {
                    let message =
                        "there is no such field; expected bucket, name, and the file as the last one";
                    return Err(Error::field(field, FieldCode::UnknownField, message));
                }
            }
        }
        Err(Error::field("/file", FieldCode::Required, "is needed: the file itself, as the last part"))
    }

    fn with_file(part: Part, bucket: Bucket, name: Option<String>) -> Result<Self> {
        let (field, name) = match (name, part.filename) {
            (Some(name), _) => ("/name", name.trim().to_owned()),
            (None, Some(filename)) => ("/file", model::base_name(&filename).to_owned()),
            (None, None) => {
                let message = "has no filename: send it as a file, or a field `name` before it";
                return Err(Error::field("/file", FieldCode::Required, message));
            }
        };
        model::check_name(field, &name)?;
        let declared = part.content_type.as_deref().unwrap_or(media::UNKNOWN);
        let declared = media::essence(declared).ok_or_else(|| {
            Error::field("/file", FieldCode::InvalidFormat, "its Content-Type has the form type/subtype")
        })?;
        Ok(Self { bucket, name, declared })
    }
}

/// The first bytes of the file, at least as many as tell its type.
async fn head(body: &mut Multipart) -> Result<Bytes> {
    let mut head = BytesMut::new();
    while head.len() < HEAD
        && let Some(piece) = body.chunk().await?
    {
        head.extend_from_slice(&piece);
    }
    Ok(head.freeze())
}

/// The file as it flows from the connection into the store.
struct Intake<'a> {
    body: &'a mut Multipart,
    first: Option<Bytes>,
    passing: Passing,
    held: &'a mut Held,
    most: u64,
    refusal: Option<Refusal>,
}

impl Intake<'_> {
    async fn next(&mut self) -> Result<Option<Bytes>> {
        let piece = match self.first.take() {
            Some(first) => first,
            None => match self.body.chunk().await? {
                Some(piece) => piece,
                None => return Ok(None),
            },
        };
        if let Err(refusal) = self.passing.see(&piece) {
            let error = model::rejected(&refusal.0);
            self.refusal = Some(refusal);
            return Err(error);
        }
        if self.passing.size() > self.most {
            return Err(too_large(self.most));
        }
        self.held.cover(self.passing.size()).await?;
        Ok(Some(piece))
    }
}

fn too_large(most: u64) -> Error {
    let what = if most < MOST_BYTES { "An image" } else { "A file" };
    Error::new(Slug::PayloadTooLarge, format!("{what} may have at most {most} bytes."))
}

/// The context of a request whose content is part of what makes it the same: the gateway, past which it flowed, could not
/// look at it.
fn for_content(cx: &Ctx, form: &Form, received: &Received) -> Ctx {
    let key = cx.idempotency().map(|given| IdempotencyKey {
        key: given.key,
        fingerprint: sha256(&[
            &given.fingerprint,
            form.bucket.text().as_bytes(),
            &sha256(&[form.name.as_bytes()]),
            &sha256(&[form.declared.as_bytes()]),
            &received.digest,
        ]),
    });
    cx.with_idempotency(key)
}
