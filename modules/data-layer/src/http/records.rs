use std::sync::Arc;

use axum::{extract::RawQuery, response::Response};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use kernel::{Error, FieldCode};
use ports::http::{Body, Cx, IfMatch, NoContent, One, Path, Result, State, json_bytes};
use serde_json::Value;
use uuid::Uuid;

use crate::{
    DataLayer,
    service::{ChangedOut, Place, Versioned},
    store::JsonText,
};

type OfModel = Path<(String, String)>;
type OfRecord = Path<(String, String, Uuid)>;

pub(super) async fn list(
    State(data): State<Arc<DataLayer>>,
    Cx(cx): Cx,
    Path((module, model)): OfModel,
    RawQuery(raw): RawQuery,
) -> Result<Response> {
    let page = data.list(&cx, &Place { module, model }, &raw.unwrap_or_default()).await?;
    Ok(json_bytes(StatusCode::OK, page))
}

pub(super) async fn create(
    State(data): State<Arc<DataLayer>>,
    Cx(cx): Cx,
    Path((module, model)): OfModel,
    Body(body): Body<Value>,
) -> Result<Response> {
    let (text, version) = data.create_records(&cx, &Place { module, model }, body).await?;
    Ok(answer(StatusCode::CREATED, text, version))
}

pub(super) async fn change_matching(
    State(data): State<Arc<DataLayer>>,
    Cx(cx): Cx,
    Path((module, model)): OfModel,
    RawQuery(raw): RawQuery,
    headers: HeaderMap,
    Body(body): Body<Value>,
) -> Result<One<ChangedOut>> {
    if headers.contains_key(header::IF_MATCH) {
        let message = "A version is of one record; say in a filter which records to change.";
        return Err(Error::field("If-Match", FieldCode::NotAllowed, message).into());
    }
    let place = Place { module, model };
    Ok(One::new(data.change_matching(&cx, &place, &raw.unwrap_or_default(), body).await?))
}

pub(super) async fn read(
    State(data): State<Arc<DataLayer>>,
    Cx(cx): Cx,
    Path((module, model, id)): OfRecord,
    RawQuery(raw): RawQuery,
) -> Result<Response> {
    Ok(one(data.read(&cx, &Place { module, model }, id, &raw.unwrap_or_default()).await?))
}

pub(super) async fn change(
    State(data): State<Arc<DataLayer>>,
    Cx(cx): Cx,
    Path((module, model, id)): OfRecord,
    IfMatch(version): IfMatch,
    Body(body): Body<Value>,
) -> Result<Response> {
    Ok(one(data.change(&cx, &Place { module, model }, id, body, version.map(i64::from)).await?))
}

pub(super) async fn delete(
    State(data): State<Arc<DataLayer>>,
    Cx(cx): Cx,
    Path((module, model, id)): OfRecord,
    IfMatch(version): IfMatch,
) -> Result<NoContent> {
    data.delete(&cx, &Place { module, model }, id, version.map(i64::from)).await?;
    Ok(NoContent)
}

pub(super) async fn restore(
    State(data): State<Arc<DataLayer>>,
    Cx(cx): Cx,
    Path((module, model, id)): OfRecord,
    IfMatch(version): IfMatch,
) -> Result<Response> {
    Ok(one(data.restore(&cx, &Place { module, model }, id, version.map(i64::from)).await?))
}

pub(super) async fn delete_for_ever(
    State(data): State<Arc<DataLayer>>,
    Cx(cx): Cx,
    Path((module, model, id)): OfRecord,
    IfMatch(version): IfMatch,
) -> Result<NoContent> {
    data.delete_for_ever(&cx, &Place { module, model }, id, version.map(i64::from)).await?;
    Ok(NoContent)
}

fn one(record: Versioned) -> Response {
    answer(StatusCode::OK, record.text, Some(record.version))
}

fn answer(status: StatusCode, JsonText(text): JsonText, version: Option<i64>) -> Response {
    let mut response = json_bytes(status, text);
    // The form that `If-Match` takes.
    let tag = version.and_then(|version| HeaderValue::from_str(&format!("\"v{version}\"")).ok());
    if let Some(tag) = tag {
        response.headers_mut().insert(header::ETAG, tag);
    }
    response
}
