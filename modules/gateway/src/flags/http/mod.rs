//! The wire: the tenant's own flags, OFREP, the relay proxy's addresses.

pub(super) mod ofrep;
pub(super) mod own;
pub(super) mod relay;

use std::sync::Arc;

use axum::{body::Bytes, response::Response};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use ports::http::{Routes, ServiceRoutes, etag, json_bytes};
use serde::Serialize;

use super::{FeatureFlags, NAME};

type Held = Arc<FeatureFlags>;

/// Every operation.
pub(super) fn routes(flags: Held) -> ServiceRoutes {
    let routes = Routes::new(NAME, flags);
    let routes = own::add(routes);
    let routes = ofrep::add(routes);
    relay::add(routes).finish()
}

/// An answer with its tag, unless the client has it already (RFC 9110 §13.1.2).
fn tagged(answer: &impl Serialize, headers: &HeaderMap) -> kernel::Result<Response> {
    let text = Bytes::from(serde_json::to_vec(answer).map_err(kernel::Error::internal)?);
    let tag = etag(&text);
    let known = headers.get_all(header::IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    let known = known.flat_map(|value| value.split(',')).map(|value| value.trim().trim_start_matches("W/"));
    let mut response = match known.into_iter().any(|value| value == "*" || value.as_bytes() == tag.as_bytes())
    {
        true => {
            let mut response = Response::default();
            *response.status_mut() = StatusCode::NOT_MODIFIED;
            response
        }
        false => json_bytes(StatusCode::OK, text),
    };
    response.headers_mut().insert(header::ETAG, tag);
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));
    Ok(response)
}
