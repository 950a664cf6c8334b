//! What is known of files.

use kernel::{Result as KernelResult, Slug, Timestamp, UserId};
use ports::http::{
    Access, Body, Cx, IfMatch, NoContent, One, Operation, Page, Path, Query, Result, Routes, State,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Service;
use crate::{
    model::{Bucket, FileId, FileState},
    store::FileRow,
    thumbnail::PRESETS,
};

/// A file.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct FileOut {
    /// Its id.
    pub id: FileId,
    /// What it is called.
    pub name: String,
    /// What it is about.
    pub description: Option<String>,
    /// Where it belongs.
    pub bucket: Bucket,
    /// What it is.
    pub mime_type: String,
    /// Bytes.
    pub size: i64,
    /// SHA-256 of its bytes, in hexadecimal.
    pub sha256: String,
    /// Where it is in its life.
    pub state: FileState,
    /// Why it was rejected.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Pixels; of images only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub width: Option<i32>,
    /// Pixels; of images only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub height: Option<i32>,
    /// The sizes that `…/thumbnail/{size}` gives; none but for images.
    pub thumbnails: Vec<&'static str>,
    /// The image it was made from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub derived_from: Option<FileId>,
    /// Who uploaded it; null for programs.
    pub uploaded_by: Option<UserId>,
    /// Counts its changes.
    pub version: i32,
    /// When it came.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
    /// When it was deleted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deleted_at: Option<Timestamp>,
    /// When it goes for good.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub destroy_at: Option<Timestamp>,
}

impl FileOut {
    pub(crate) fn of(row: FileRow) -> KernelResult<Self> {
        let is_picture = row.is_transparent.is_some();
        Ok(Self {
            id: row.id,
            bucket: row.bucket()?,
            state: row.state()?,
            name: row.name,
            description: row.description,
            mime_type: row.media_type,
            size: row.size,
            sha256: row.sha256.iter().fold(String::new(), |text, byte| format!("{text}{byte:02x}")),
            reason: row.reason,
            width: row.width,
            height: row.height,
            thumbnails: if is_picture { PRESETS.map(|preset| preset.name).to_vec() } else { Vec::new() },
            derived_from: row.derived_from,
            uploaded_by: row.uploaded_by,
            version: row.version,
            created_at: row.created_at,
            updated_at: row.updated_at,
            deleted_at: row.deleted_at,
            destroy_at: row.destroy_at,
        })
    }
}

/// The page wanted.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct FilesQuery {
    /// Entries a page, 1 to 100; 20 unless said.
    #[schemars(range(min = 1, max = 100))]
    pub limit: Option<u16>,
    /// The `meta.cursor` of the page before.
    pub cursor: Option<String>,
    /// Of one bucket only.
    pub bucket: Option<Bucket>,
    /// Of one state only; all but deleted ones unless said.
    pub state: Option<FileState>,
    /// Count the whole list, too.
    pub count: Option<bool>,
}

/// What to change.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct FilePatch {
    /// Another name.
    pub name: Option<String>,
    /// What it is about; an empty text takes it away.
    pub description: Option<String>,
}

/// For how long, and how.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct UrlQuery {
    /// Seconds until the address is of no use, up to a week; 3600 unless said.
    #[schemars(range(min = 1, max = 604_800))]
    pub expires_in: Option<i64>,
    /// To be shown in place instead of downloaded.
    pub inline: Option<bool>,
}

/// An address that works without a credential.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SignedOut {
    /// The address.
    pub url: String,
    /// Until when it works.
    pub expires_at: Timestamp,
}

const READ: Access = Access::Permission("files.read");
const WRITE: Access = Access::Permission("files.write");
const DELETE: Access = Access::Permission("files.delete");

pub(super) fn add(routes: Routes<Service>) -> Routes<Service> {
    routes
        .add(
            Operation::get("/files", "listFiles", READ)
                .summary("List files, the latest first")
                .query::<FilesQuery>()
                .lists::<FileOut>()
                .problems(&[Slug::InvalidCursor]),
            list,
        )
        .add(
            Operation::get("/files/{id}/metadata", "getFileMetadata", READ)
                .summary("Get what is known of a file, whatever its state")
                .answer::<FileOut>(200),
            metadata,
        )
        .add(
            Operation::patch("/files/{id}", "updateFile", WRITE)
                .summary("Change what a file is called")
                .body::<FilePatch>()
                .answer::<FileOut>(200)
                .problems(&[Slug::Gone, Slug::PreconditionFailed])
                .example(r#"{"name":"Minutes of Monday.txt","description":"Draft"}"#),
            rename,
        )
        .add(
            Operation::get("/files/{id}/url", "signFileUrl", READ)
                .summary("Get an address under which the file is to be had for a while without a credential")
                .query::<UrlQuery>()
                .answer::<SignedOut>(200)
                .problems(&[Slug::FileRejected, Slug::Gone]),
            sign,
        )
        .add(
            Operation::delete("/files/{id}", "deleteFile", DELETE)
                .summary("Delete a file; for 30 days it can be brought back")
                .problems(&[Slug::Gone]),
            delete,
        )
        .add(
            Operation::delete("/files/{id}/permanent", "destroyFile", DELETE)
                .summary("Remove a file for good, deleted or not"),
            destroy,
        )
        .add(
            Operation::post("/files/{id}/restore", "restoreFile", DELETE)
                .summary("Bring a deleted file back")
                .answer::<FileOut>(200)
                .problems(&[Slug::InvalidState]),
            restore,
        )
}

async fn list(
    State(files): State<Service>,
    Cx(cx): Cx,
    Query(query): Query<FilesQuery>,
) -> Result<Page<FileOut>> {
    Ok(files.list(&cx, &query).await?)
}

async fn metadata(State(files): State<Service>, Cx(cx): Cx, Path(id): Path<FileId>) -> Result<One<FileOut>> {
    let file = files.metadata(&cx, id).await?;
    let version = file.version;
    Ok(One::versioned(file, version))
}

async fn rename(
    State(files): State<Service>,
    Cx(cx): Cx,
    Path(id): Path<FileId>,
    IfMatch(version): IfMatch,
    Body(patch): Body<FilePatch>,
) -> Result<One<FileOut>> {
    let file = files.rename(&cx, id, version, patch).await?;
    let version = file.version;
    Ok(One::versioned(file, version))
}

async fn sign(
    State(files): State<Service>,
    Cx(cx): Cx,
    Path(id): Path<FileId>,
    Query(query): Query<UrlQuery>,
) -> Result<One<SignedOut>> {
    Ok(One::new(files.sign(&cx, id, &query).await?))
}

async fn delete(State(files): State<Service>, Cx(cx): Cx, Path(id): Path<FileId>) -> Result<NoContent> {
    files.delete(&cx, id).await?;
    Ok(NoContent)
}

async fn destroy(State(files): State<Service>, Cx(cx): Cx, Path(id): Path<FileId>) -> Result<NoContent> {
    files.destroy(&cx, id).await?;
    Ok(NoContent)
}

async fn restore(State(files): State<Service>, Cx(cx): Cx, Path(id): Path<FileId>) -> Result<One<FileOut>> {
    let file = files.restore(&cx, id).await?;
    let version = file.version;
    Ok(One::versioned(file, version))
}
