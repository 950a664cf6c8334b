use std::{panic::AssertUnwindSafe, sync::Arc};

use futures::FutureExt as _;
use kernel::Error;

use super::{Around, Onward, harden, id_header};
use crate::{
    problem,
    visit::{Arrival, Response},
};

/// A panic of any layer further in is one 500 with a line in the log. Panics of services end in their links.
#[derive(Clone, Copy)]
pub(crate) struct CatchPanic;

impl Around for CatchPanic {
    async fn take(self, arrival: Arrival, onward: impl Onward) -> Response {
        let visit = Arc::clone(&arrival.visit);
        // Nothing broken is seen afterwards: the layers keep nothing of a request that panicked.
        match AssertUnwindSafe(async move { onward.go(arrival).await }).catch_unwind().await {
            Ok(response) => response,
            Err(panic) => {
                let text = panic
                    .downcast_ref::<&str>()
                    .copied()
                    .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
                    .unwrap_or("(no text)");
                let identity = visit.identity();
                tracing::error!(
                    trace_id = %identity.trace.trace_id_text(),
                    request_id = %identity.request,
                    sandbox = %visit.core.sandbox,
                    route = visit.route(),
                    panic = text,
                    "a layer of the gateway panicked"
                );
                let mut response = problem::render(&visit.scene(), &Error::internal(text.to_owned()));
                id_header(response.headers_mut(), identity.request);
                harden(response.headers_mut(), false);
                response
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{layers::around, tests::gateway};

    #[tokio::test]
    async fn a_panic_is_one_answer() {
        let arrival = gateway().await.arrival(http::Request::get("/api/v1/things"));
        let response = around(CatchPanic, arrival, |_| panic!("the floor gave way")).await;
        assert_eq!(response.status(), 500);
        assert!(response.headers().contains_key("x-request-id"));
        let body = crate::tests::json(response).await;
        assert_eq!(body["instance"], "/api/v1/things");
        assert!(!body.to_string().contains("floor"));
    }
}
