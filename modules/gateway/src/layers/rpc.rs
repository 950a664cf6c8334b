use std::ops::ControlFlow;

use kernel::{Error, Result, Slug};

use super::{Step, admit};
use crate::{
    rpc,
    visit::{Arrival, Response},
};

/// Content types of calls whose messages are protobuf.
const KINDS: [&str; 2] = ["application/grpc", "application/grpc+proto"];

/// Holds the form of the request against the kind of the operation: methods take gRPC calls, and nothing else does.
#[derive(Clone, Copy)]
pub(crate) struct Rpc;

impl Step for Rpc {
    async fn enter(self, arrival: &mut Arrival) -> ControlFlow<Response> {
        admit(check(arrival))
    }
}

fn check(arrival: &Arrival) -> Result<()> {
    let method = arrival.visit.operation()?.operation.rpc.is_some();
    let headers = arrival.request.headers();
    match (method, arrival.visit.rpc) {
        (false, false) => Ok(()),
        (false, true) => Err(Error::not_found("method")),
        (true, false) => Err(Error::new(
            Slug::UnsupportedMediaType,
            "This address is a gRPC method: call it over HTTP/2, with `Content-Type: application/grpc`.",
        )),
        (true, true) => {
            let kind =
                headers.get(http::header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or("");
            let essence = kind.split(';').next().unwrap_or("").trim();
            if !KINDS.contains(&essence) {
                let detail = "Messages are protobuf: send `Content-Type: application/grpc` or `application/grpc+proto`.";
                return Err(Error::new(Slug::UnsupportedMediaType, detail));
            }
            rpc::timeout(headers).map(drop)
        }
    }
}
