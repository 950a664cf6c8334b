use std::{
    convert::Infallible,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use kernel::{Error, Result};
use tower::Service;

use crate::{
    backends,
    problem::refuse,
    table::Target,
    visit::{Arrival, Response},
};

/// The end of the way: the link to the service, or to the back-end of a module.
#[derive(Clone, Copy)]
pub(crate) struct Link;

impl Service<Arrival> for Link {
    type Response = Response;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, arrival: Arrival) -> Self::Future {
        Box::pin(async move { Ok(answer(arrival).await.unwrap_or_else(refuse)) })
    }
}

async fn answer(arrival: Arrival) -> Result<Response> {
    let Arrival { mut request, visit, room: _until_the_head_is_there, .. } = arrival;
    let cx = visit.cx.get().ok_or_else(|| Error::internal("a request reached its link without a context"))?;
    let entry = visit.operation()?;
    match entry.target {
        Target::Modules => backends::serve(&visit, cx, request).await,
        Target::Service(number) => {
            request.extensions_mut().insert(Arc::clone(&entry.operation));
            if backends::asks_to_switch(&request) {
                request.extensions_mut().insert(visit.core.traffic.place());
            }
            visit.core.links[number].call(cx, request).await
        }
    }
}
