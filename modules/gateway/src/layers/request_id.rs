use std::ops::ControlFlow;

use http::{HeaderMap, HeaderName, HeaderValue};
use kernel::TraceContext;
use uuid::Uuid;

use super::Step;
use crate::visit::{Arrival, Identity, Response, Visit};

/// The header in which a request's id comes and goes.
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Gives the request its id and its place in a trace, and tells the id to the client.
#[derive(Clone, Copy)]
pub(crate) struct RequestId;

impl Step for RequestId {
    async fn enter(self, arrival: &mut Arrival) -> ControlFlow<Response> {
        arrival.visit.identity.get_or_init(|| identify(arrival.request.headers()));
        ControlFlow::Continue(())
    }

    fn leave(self, visit: &Visit, mut response: Response) -> Response {
        id_header(response.headers_mut(), visit.identity().request);
        response
    }
}

/// Takes over an id that is a UUID and a trace that is well formed; makes what is missing. The span is always new:
/// it is ours, the caller's is its parent.
pub(crate) fn identify(headers: &HeaderMap) -> Identity {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let given =
        text(REQUEST_ID.as_str()).filter(|text| text.len() == 36).and_then(|text| Uuid::try_parse(text).ok());
    let fresh = TraceContext::start();
    let trace = match text("traceparent").and_then(TraceContext::parse) {
        Some(parent) => TraceContext { trace_id: parent.trace_id, span_id: fresh.span_id },
        None => fresh,
    };
    Identity { request: given.map_or_else(kernel::RequestId::new, kernel::RequestId::from_uuid), trace }
}

/// Sets the header of an answer.
pub(crate) fn id_header(headers: &mut HeaderMap, id: kernel::RequestId) {
    let mut buffer = Uuid::encode_buffer();
    let text = id.uuid().hyphenated().encode_lower(&mut buffer);
    if let Ok(value) = HeaderValue::from_str(text) {
        headers.insert(REQUEST_ID, value);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::{layers::through, tests::gateway};

    const ID: &str = "0198f0c4-7d55-7e10-8d4d-6b9c5f3e2a10";
    const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[tokio::test]
    async fn a_uuid_is_taken_over_and_echoed() {
        let request =
            http::Request::get("/").header("x-request-id", ID.to_uppercase()).header("traceparent", PARENT);
        let arrival = gateway().await.arrival(request);
        let visit = Arc::clone(&arrival.visit);
        let response = through(RequestId, arrival, |_| Response::default()).await;
        assert_eq!(response.headers()["x-request-id"], ID);
        assert_eq!(visit.identity().trace.trace_id_text(), "4bf92f3577b34da6a3ce929d0e0e4736");
        assert_ne!(visit.identity().trace.span_id, 0x00f0_67aa_0ba9_02b7, "our span is our own");
    }

    #[tokio::test]
    async fn anything_else_gets_a_new_one() {
        for text in ["", "1", "not-a-uuid-but-36-characters-long!!!", "0198f0c47d557e108d4d6b9c5f3e2a10"] {
            let arrival = gateway().await.arrival(http::Request::get("/").header("x-request-id", text));
            let response = through(RequestId, arrival, |_| Response::default()).await;
            let id = response.headers()["x-request-id"].to_str().unwrap();
            assert!(id != text && Uuid::try_parse(id).is_ok(), "{text}");
        }
    }
}
