use std::sync::Arc;

use kernel::{Error, Slug};
use ports::http::Access;

use super::{Around, Onward};
use crate::{
    problem::refuse,
    visit::{Arrival, Response},
};

/// Counts what is in flight. When the sandbox drains, new requests are refused, running ones stopped after their time,
/// and bodies that flow are ended.
#[derive(Clone, Copy)]
pub(crate) struct Draining;

impl Around for Draining {
    async fn take(self, mut arrival: Arrival, onward: impl Onward) -> Response {
        let visit = Arc::clone(&arrival.visit);
        let place = arrival.place.take();
        // What the operator asks of the process only passes through here: resetting the very sandbox whose host was asked
        // must not wait for itself.
        if visit.entry().is_some_and(|entry| entry.operation.access == Access::Operator) {
            let _passing = visit.core.traffic.pass();
            drop(place);
            return onward.go(arrival).await;
        }
        let traffic = &visit.core.traffic;
        let Some(_under_way) = place.or_else(|| traffic.request()) else { return refuse(closing()) };
        tokio::select! {
            biased;
            response = onward.go(arrival) => traffic.follow(response),
            () = traffic.heads_are_cut() => refuse(closing().because("the request was running when the sandbox was closed")),
        }
    }
}

fn closing() -> Error {
    Error::new(Slug::Draining, "The sandbox is being closed for a moment; try again.")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{layers::around, tests::gateway};

    #[tokio::test]
    async fn a_closed_sandbox_takes_no_more() {
        let kernel = gateway().await;
        let arrival = kernel.arrival(http::Request::get("/"));
        assert_eq!(
            around(Draining, arrival, |arrival| {
                assert_eq!(arrival.visit.core.traffic.requests(), 1);
                Response::default()
            })
            .await
            .status(),
            200
        );
        assert_eq!(kernel.core.traffic.requests(), 0);
        kernel.core.traffic.drain().await;
        let arrival = kernel.arrival(http::Request::get("/"));
        assert_eq!(around(Draining, arrival, |_| Response::default()).await.status(), 503);
    }

    #[tokio::test]
    async fn who_came_in_before_it_closed_is_answered() {
        let kernel = gateway().await;
        let place = kernel.core.traffic.request();
        let traffic = kernel.core.traffic.clone();
        let draining = tokio::spawn(async move { traffic.drain().await });
        while !kernel.core.traffic.is_draining() {
            tokio::task::yield_now().await;
        }
        let arrival = Arrival { place, ..kernel.arrival(http::Request::get("/")) };
        assert_eq!(around(Draining, arrival, |_| Response::default()).await.status(), 200);
        draining.await.unwrap();
    }
}
