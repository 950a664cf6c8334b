use std::ops::ControlFlow;

use http::header;
use kernel::{Error, Slug};

use super::{Step, admit};
use crate::visit::{Arrival, Response};

/// Longest path with its query.
const ADDRESS: usize = 8 * 1024;

/// Refuses what says of itself that it is too large, before anything is read. Number and bytes of headers are limited
/// by the door, what a body really has by the layer that reads it.
#[derive(Clone, Copy)]
pub(crate) struct Limits;

impl Step for Limits {
    async fn enter(self, arrival: &mut Arrival) -> ControlFlow<Response> {
        admit(check(arrival))
    }
}

fn check(arrival: &Arrival) -> kernel::Result<()> {
    let request = &arrival.request;
    if request.uri().path_and_query().is_some_and(|path| path.as_str().len() > ADDRESS) {
        let detail = format!("The address is over its limit of {ADDRESS} bytes.");
        return Err(Error::new(Slug::PayloadTooLarge, detail));
    }
    let Some(length) = request.headers().get(header::CONTENT_LENGTH) else { return Ok(()) };
    let limit = arrival.visit.operation()?.operation.body_limit;
    let length = length.to_str().ok().and_then(|text| text.parse::<u64>().ok()).unwrap_or(u64::MAX);
    if length > limit as u64 { Err(too_large(limit)) } else { Ok(()) }
}

/// A body over the limit of its operation.
pub(super) fn too_large(limit: usize) -> Error {
    Error::new(Slug::PayloadTooLarge, format!("The body is over the limit of {limit} bytes."))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{layers::through, tests::gateway};

    #[tokio::test]
    async fn a_body_that_announces_too_much_is_not_read() {
        let kernel = gateway().await;
        for (length, status) in
            [("2", 200), ("1000000", 200), ("1000001", 413), ("99999999999999999999999", 413)]
        {
            let request = http::Request::post("/api/v1/things").header("content-length", length);
            let response = through(Limits, kernel.found(request), |_| Response::default()).await;
            assert_eq!(response.status(), status, "{length}");
        }
    }

    #[tokio::test]
    async fn an_address_without_end_is_refused() {
        let request = http::Request::get(format!("/api/v1/things/1?{}", "a".repeat(ADDRESS)));
        let response = through(Limits, gateway().await.found(request), |_| Response::default()).await;
        assert_eq!(response.status(), 413);
    }
}
