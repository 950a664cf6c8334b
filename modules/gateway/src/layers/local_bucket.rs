use std::ops::ControlFlow;

use super::{Step, admit_within};
use crate::visit::{Arrival, Response};

/// Takes one out of the bucket of the client's address.
#[derive(Clone, Copy)]
pub(crate) struct LocalBucket;

impl Step for LocalBucket {
    async fn enter(self, arrival: &mut Arrival) -> ControlFlow<Response> {
        let visit = &arrival.visit;
        let (Some(buckets), Some(address)) = (&visit.core.buckets, visit.origin().address) else {
            return ControlFlow::Continue(());
        };
        let taken = buckets.take(address, visit.arrived);
        admit_within(taken, &visit.of_address, |_| "Too many requests from your address.".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{GatewaySettings, RateLimit, layers::through, tests::gateway_with, visit::Origin};

    #[tokio::test]
    async fn an_empty_bucket_is_429() {
        let rate = Some(RateLimit { per_second: 1, burst: 1 });
        let kernel = gateway_with(|settings| GatewaySettings { rate, ..settings }).await;
        let from = |last| {
            let arrival = kernel.arrival(http::Request::get("/"));
            arrival
                .visit
                .client
                .get_or_init(|| Origin { address: Some([192, 0, 2, last].into()), https: false });
            through(LocalBucket, arrival, |_| Response::default())
        };
        assert_eq!(from(1).await.status(), 200);
        assert_eq!(from(1).await.status(), 429);
        assert_eq!(from(2).await.status(), 200);
    }
}
