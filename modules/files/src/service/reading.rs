use std::{ops::Range, time::Duration};

use fabric::blobs::{Blob, Shown};
use kernel::{Caller, Ctx, Error, Result, Slug, Timestamp, check::Checks};
use ports::http::{Page, page_size};

use super::scanning::lost;
use crate::{
    Files,
    http::files::{FileOut, FilePatch, FilesQuery, SignedOut, UrlQuery},
    media,
    model::{self, FileId, FileState, ORIGINAL},
    signed::{Allowed, Grant},
    store::{self, FileRow, Wanted},
};

/// Where files lie.
const LIST: &str = "files";
/// How long a store's own address is good. It is made when a signed address of ours was found to be good still, so it
/// need not last: a tenant that is closed closes its addresses, too.
const MOMENT: Duration = Duration::from_secs(60);
/// How long a signed address is good, in seconds.
const EXPIRES: (i64, i64, i64) = (1, 3600, 7 * 86_400);

/// A file that is to be sent.
pub(crate) struct Content {
    pub name: String,
    pub media_type: String,
    /// Names these bytes and no others.
    pub tag: String,
    pub size: u64,
    pub is_inline: bool,
    link: Link,
}

/// Where its bytes are.
struct Link {
    files: std::sync::Arc<Files>,
    key: fabric::blobs::BlobKey,
}

impl Content {
    /// Where the store itself gives its bytes for a moment, if it can: in a bucket. `media_type` is what it is sent as.
    pub(crate) async fn address(&self, media_type: &str) -> Result<Option<String>> {
        let disposition = model::disposition(self.is_inline, &self.name);
        let shown = Shown { media_type, disposition: &disposition };
        self.link.files.blobs.reading_address(&self.link.key, &shown, MOMENT).await
    }

    /// Its bytes, or a part of them.
    pub(crate) async fn bytes(&self, range: Option<Range<u64>>) -> Result<Blob> {
        self.link.files.blobs.get(&self.link.key, range).await?.ok_or_else(|| lost(&self.link.key))
    }
}

impl Files {
    /// Files, the latest first; deleted ones only when asked for.
    ///
    /// Errors: invalid-cursor, validation-error.
    pub(crate) async fn list(&self, cx: &Ctx, query: &FilesQuery) -> Result<Page<FileOut>> {
        let tenant = cx.tenant()?;
        let limit = page_size(query.limit)?;
        let name = format!("{LIST}?bucket={:?}&state={:?}", query.bucket, query.state);
        let after: Option<(i64, FileId)> = query
            .cursor
            .as_deref()
            .map(|cursor| self.cursor.read(Some(tenant), &name, cursor))
            .transpose()?;
        let after = after.and_then(|(micros, id)| Some((Timestamp::from_micros(micros)?, id)));
        let there = [FileState::Available, FileState::PendingScan, FileState::Rejected];
        let one = query.state.map(|state| [state]);
        let states = one.as_ref().map_or(&there[..], |one| &one[..]);
        let handle = self.db.tenant(cx)?;
        let wanted = Wanted {
            bucket: query.bucket,
            states,
            after,
            most: i64::try_from(limit + 1).unwrap_or(i64::MAX),
        };
        let rows = store::list(&handle, &wanted).await?;
        let files = rows.into_iter().map(FileOut::of).collect::<Result<Vec<_>>>()?;
        let mut page = Page::cut(files, limit, |last| {
            self.cursor.write(Some(tenant), &name, &(last.created_at.micros(), last.id))
        });
        if query.count.unwrap_or(false) {
            page.meta.total = Some(store::count(&handle, query.bucket, states).await?);
        }
        Ok(page)
    }

    /// What is known of a file, in whatever state it is.
    ///
    /// Errors: not-found.
    pub(crate) async fn metadata(&self, cx: &Ctx, id: FileId) -> Result<FileOut> {
        FileOut::of(store::find(&self.db.tenant(cx)?, id).await?)
    }

    /// Changes what a file is called.
    ///
    /// Errors: not-found, gone, precondition-failed, validation-error.
    pub(crate) async fn rename(
        &self,
        cx: &Ctx,
        id: FileId,
        version: Option<i32>,
        patch: FilePatch,
    ) -> Result<FileOut> {
        let name = patch.name.as_deref().map(str::trim);
        let description = patch.description.as_deref().map(str::trim);
        if let Some(name) = name {
            model::check_name("/name", name)?;
        }
        if let Some(description) = description {
            Checks::new().length("/description", description, 0, model::LONGEST_DESCRIPTION).finish()?;
        }
        let mut tx = self.db.tenant(cx)?.begin().await?;
        let before = store::lock(&mut tx, id).await?;
        if before.state()? == FileState::Deleted {
            return Err(model::gone());
        }
        if version.is_some_and(|version| version != before.version) {
            let detail = format!("The file is at version {} by now.", before.version);
            return Err(Error::new(Slug::PreconditionFailed, detail));
        }
        let file = FileOut::of(store::rename(&mut tx, id, name, description).await?)?;
        let audit = fabric::postgres::Audit::new("files.file.updated", "file", id);
        tx.audit(audit.before(&FileOut::of(before)?).after(&file))?;
        tx.commit(file).await
    }

    /// A file to be sent to its tenant.
    ///
    /// Errors: not-found, file-rejected, gone.
    pub(crate) async fn content(&self, cx: &Ctx, id: FileId, inline: bool) -> Result<Content> {
        let row = store::find(&self.db.tenant(cx)?, id).await?;
        self.content_of(row, inline)
    }

    fn content_of(&self, row: FileRow, inline: bool) -> Result<Content> {
        row.state()?.readable(row.reason.as_deref())?;
        let folder = model::folder(row.tenant_id, row.bucket()?, row.id)?;
        let hex = row.sha256.iter().take(16).fold(String::new(), |text, byte| format!("{text}{byte:02x}"));
        Ok(Content {
            tag: format!("\"{hex}\""),
            size: u64::try_from(row.size).unwrap_or(0),
            is_inline: inline && media::may_be_inline(&row.media_type),
            name: row.name,
            media_type: row.media_type,
            link: Link { files: self.me()?, key: model::blob(&folder, ORIGINAL)? },
        })
    }

    /// An address under which a file is to be had for a while without a credential.
    ///
    /// Errors: not-found, file-rejected, gone, validation-error.
    pub(crate) async fn sign(&self, cx: &Ctx, id: FileId, query: &UrlQuery) -> Result<SignedOut> {
        let (least, usual, most) = EXPIRES;
        let seconds = query.expires_in.unwrap_or(usual);
        Checks::new().range("expiresIn", seconds, least, most).finish()?;
        let row = store::find(&self.db.tenant(cx)?, id).await?;
        row.state()?.readable(row.reason.as_deref())?;
        let expires_at = cx.now().plus(Duration::from_secs(seconds.unsigned_abs()));
        let allows = if query.inline.unwrap_or(false) { Allowed::Show } else { Allowed::Download };
        let grant = Grant { tenant: cx.tenant()?, file: id, expires_at, allows };
        Ok(SignedOut { url: self.signed_address(&grant), expires_at })
    }

    /// Our own address for what is granted.
    pub(super) fn signed_address(&self, grant: &Grant) -> String {
        let base = self.public_url.trim_end_matches('/');
        format!("{base}{}/signed-files/{}", ports::http::BASE, grant.sign(self.db.key()))
    }

    /// A file to be sent to whoever has its signed address: that names the tenant.
    ///
    /// Errors: not-found, file-rejected, gone.
    pub(crate) async fn signed_content(&self, cx: &Ctx, token: &str) -> Result<Content> {
        let (cx, grant) = self.granted(cx, token).await?;
        match grant.allows {
            Allowed::Download => self.content(&cx, grant.file, false).await,
            Allowed::Show => self.content(&cx, grant.file, true).await,
            Allowed::Upload => Err(Error::not_found("file")),
        }
    }

    /// What a signed address allows, in the context of the tenant that gave it.
    ///
    /// Errors: not-found, gone.
    pub(super) async fn granted(&self, cx: &Ctx, token: &str) -> Result<(Ctx, Grant)> {
        let grant = Grant::read(token, self.db.key(), cx.now())?;
        let cx = cx.with_caller(Caller::stranger()).within(grant.tenant);
        // No credential was looked at on the way here, so nobody has asked after its tenant yet.
        let tenant = self.iam.tenant(&cx, grant.tenant).await?;
        if tenant.is_none_or(|tenant| tenant.blocked) || self.billing.is_terminated(&cx).await? {
            return Err(Error::not_found("file"));
        }
        Ok((cx, grant))
    }
}
