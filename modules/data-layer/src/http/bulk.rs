use std::sync::Arc;

use axum::{
    body::Body,
    extract::{RawQuery, Request},
    response::Response,
};
use futures::StreamExt as _;
use http::{HeaderValue, header};
use kernel::{Error, Slug};
use ports::http::{Cx, Path, Result, State};

use crate::{DataLayer, import::ImportFormat, query::ExportFormat, service::Place};

const NDJSON: &str = "application/x-ndjson";

pub(super) async fn export(
    State(data): State<Arc<DataLayer>>,
    Cx(cx): Cx,
    Path((module, model)): Path<(String, String)>,
    RawQuery(raw): RawQuery,
) -> Result<Response> {
    // A model's name is an identifier of Postgres and may hold anything; a file's name should not.
    let name: String = model
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() || matches!(c, '_' | '-') { c } else { '_' })
        .collect();
    let (format, pages) = data.export(&cx, &Place { module, model }, raw.unwrap_or_default()).await?;
    let (kind, ending) = match format {
        ExportFormat::Ndjson => (NDJSON, "ndjson"),
        ExportFormat::Csv => ("text/csv; charset=utf-8; header=present", "csv"),
    };
    let mut response = stream(kind, Body::from_stream(pages));
    let file = HeaderValue::from_str(&format!("attachment; filename=\"{name}.{ending}\""));
    response.headers_mut().insert(header::CONTENT_DISPOSITION, file.map_err(Error::internal)?);
    Ok(response)
}

pub(super) async fn import(
    State(data): State<Arc<DataLayer>>,
    Cx(cx): Cx,
    Path((module, model)): Path<(String, String)>,
    request: Request,
) -> Result<Response> {
    let kind =
        request.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or("");
    let format = match kind.split(';').next().unwrap_or("").trim().to_ascii_lowercase().as_str() {
        "application/x-ndjson" | "application/ndjson" | "application/jsonl" => ImportFormat::Ndjson,
        "text/csv" => ImportFormat::Csv,
        _ => {
            let detail = "Send the lines with `Content-Type: application/x-ndjson` or `text/csv`.";
            return Err(Error::new(Slug::UnsupportedMediaType, detail).into());
        }
    };
    let pieces = request.into_body().into_data_stream().map(|piece| {
        piece.map_err(|error| Error::new(Slug::ValidationError, "The body broke off.").because(error))
    });
    let report = data.import(&cx, &Place { module, model }, format, pieces.boxed()).await?;
    Ok(stream(NDJSON, Body::from_stream(report)))
}

fn stream(kind: &'static str, body: Body) -> Response {
    let mut response = Response::new(body);
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}
