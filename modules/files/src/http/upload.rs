//! Uploading.

use axum::{body::Body, extract::Request};
use futures::TryStreamExt as _;
use http::{HeaderMap, header};
use kernel::{Error, Slug};
use ports::http::{Access, Created, Cx, Operation, Result, Routes, State};
use schemars::JsonSchema;
use serde::Deserialize;

use super::{Service, files::FileOut};
use crate::{
    model::{Bucket, MOST_BYTES, UPLOAD_TIME},
    multipart::{Multipart, boundary},
};

/// What a body may have beside the file: boundaries, heads, fields.
const AROUND: usize = 64 * 1024;

/// The parts of an upload, in this order.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[expect(dead_code, reason = "the body is read as it flows in; this describes it")]
struct UploadForm {
    /// Where it belongs; `documents` unless said.
    bucket: Option<Bucket>,
    /// What it is called; the file's own name unless said.
    name: Option<String>,
    /// The file itself, as the last part.
    #[schemars(with = "String", extend("format" = "binary"))]
    file: String,
}

pub(super) fn add(routes: Routes<Service>) -> Routes<Service> {
    routes.add(
        Operation::post("/files/upload", "uploadFile", Access::Permission("files.write"))
            .summary("Upload a file")
            .description(
                "`curl -F bucket=assets -F file=@photo.jpg …`: up to 100 MB, images up to the limit of the installation. \
                 The bytes go to the file store as they come. They must fit the declared type; programs, archive bombs, \
                 drawings with scripts and broken images are refused (422). Of an image `icon_32` and `card_300` are made at \
                 once. When the answer is `pending_scan`, the file is to be had a moment later.",
            )
            .streams(MOST_BYTES as usize + AROUND)
            .form::<UploadForm>()
            .answers_within(UPLOAD_TIME)
            .answer::<FileOut>(201)
            .example(r#"{"bucket":"documents","name":"Minutes.txt","file":"Agreed: we begin on Monday."}"#)
            .problems(&[
                Slug::ValidationError,
                Slug::UnsupportedMediaType,
                Slug::PayloadTooLarge,
                Slug::PlanLimitExceeded,
                Slug::FileRejected,
            ]),
        upload,
    )
}

async fn upload(
    State(files): State<Service>,
    Cx(cx): Cx,
    headers: HeaderMap,
    request: Request,
) -> Result<Created<FileOut>> {
    let text = |name| headers.get(name).and_then(|value: &http::HeaderValue| value.to_str().ok());
    let boundary = boundary(text(header::CONTENT_TYPE))?;
    let announced = text(header::CONTENT_LENGTH).and_then(|length| length.parse().ok());
    let body = request.into_body().into_data_stream().map_err(broken_off);
    Ok(Created(files.upload(&cx, Multipart::new(&boundary, body), announced).await?))
}

/// Why a body ended early: it was over its limit, or the client went away.
fn broken_off(error: <Body as http_body::Body>::Error) -> Error {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(&error);
    while let Some(inner) = cause {
        if inner.is::<http_body_util::LengthLimitError>() {
            return Error::new(Slug::PayloadTooLarge, format!("A file may have at most {MOST_BYTES} bytes."));
        }
        cause = inner.source();
    }
    Error::field("/file", kernel::FieldCode::InvalidFormat, "broke off before its end").because(error)
}
