//! Files that clients bring to the store themselves.

use std::collections::BTreeMap;

use axum::extract::Request;
use futures::TryStreamExt as _;
use http::StatusCode;
use kernel::{FieldCode, Slug, Timestamp};
use ports::http::{Access, Body, Created, Cx, Operation, Path, Result, Routes, State};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Service, files::FileOut};
use crate::model::{Bucket, FileId, MOST_BROUGHT, UPLOAD_TIME};

/// A file that is to come.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct PresignIn {
    /// What it is called.
    pub filename: String,
    /// What it is.
    pub mime_type: String,
    /// Its bytes, exactly.
    #[schemars(range(min = 1, max = 5_000_000_000_i64))]
    pub size: i64,
    /// Where it belongs; `documents` unless said.
    pub bucket: Option<Bucket>,
}

/// Where to bring it.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PresignedOut {
    /// The file that it will be.
    pub id: FileId,
    /// The address.
    pub url: String,
    /// How to send its bytes there.
    pub method: String,
    /// What to send with them.
    pub headers: BTreeMap<String, String>,
    /// Until when the address works.
    pub expires_at: Timestamp,
}

const WRITE: Access = Access::Permission("files.write");

pub(super) fn add(routes: Routes<Service>) -> Routes<Service> {
    routes
        .add(
            Operation::post("/files/presign", "presignUpload", WRITE)
                .summary("Get an address to which a file can be brought without a credential")
                .description(
                    "For files of up to 5 GB. Send the bytes there with the method and the headers of the answer, then \
                     POST …/complete: the file is looked at and is to be had. Without that it is taken in within a minute \
                     or so. What has not come after 24 hours is awaited no longer.",
                )
                .body::<PresignIn>()
                .answer::<PresignedOut>(201)
                .example(r#"{"filename":"Plan.txt","mimeType":"text/plain","size":27,"bucket":"documents"}"#)
                .problems(&[Slug::PayloadTooLarge, Slug::PlanLimitExceeded, Slug::Overloaded]),
            presign,
        )
        .add(
            Operation::post("/files/{id}/complete", "completeUpload", WRITE)
                .summary("Take in a file that was brought to its signed address")
                .answers_within(UPLOAD_TIME)
                .answer::<FileOut>(201)
                .problems(&[Slug::InvalidState, Slug::FileRejected, Slug::PlanLimitExceeded]),
            complete,
        )
        .add(
            Operation::put("/signed-files/{token}", "uploadSignedFile", Access::Public)
                .summary("Bring a file to its signed address")
                .description("Where files lie in an S3 store, the signed address is one of the store itself.")
                .streams(usize::try_from(MOST_BROUGHT).unwrap_or(usize::MAX))
                .answers_within(UPLOAD_TIME)
                .problems(&[Slug::Gone, Slug::PayloadTooLarge]),
            bring,
        )
}

async fn presign(
    State(files): State<Service>,
    Cx(cx): Cx,
    Body(wish): Body<PresignIn>,
) -> Result<Created<PresignedOut>> {
    Ok(Created(files.presign(&cx, wish).await?))
}

async fn complete(
    State(files): State<Service>,
    Cx(cx): Cx,
    Path(id): Path<FileId>,
) -> Result<Created<FileOut>> {
    Ok(Created(files.complete(&cx, id).await?))
}

async fn bring(
    State(files): State<Service>,
    Cx(cx): Cx,
    Path(token): Path<String>,
    request: Request,
) -> Result<StatusCode> {
    let broken_off = |error| {
        kernel::Error::field("body", FieldCode::InvalidFormat, "broke off before its end").because(error)
    };
    let bytes = request.into_body().into_data_stream().map_err(broken_off);
    files.bring(&cx, &token, bytes).await?;
    Ok(StatusCode::OK)
}
