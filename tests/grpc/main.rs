//! gRPC as clients use it: tonic over h2c and TLS, grpcurl by reflection, on every port.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    missing_docs,
    reason = "a test: what fails here fails the test"
)]

mod events;
mod grpcurl;
mod iam;
mod ports_and_health;

use std::collections::BTreeSet;

use proto::{
    events::v1::events_service_client::EventsServiceClient, iam::v1::iam_service_client::IamServiceClient,
};
use testkit::{Api, Kernel};
use tonic::{
    Request, Status,
    service::{Interceptor, interceptor::InterceptedService},
    transport::{Channel, Endpoint, Uri},
};
use tonic_types::StatusExt as _;

/// Shows a credential with each call.
#[derive(Clone)]
struct Bearer(String);

impl Interceptor for Bearer {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if !self.0.is_empty() {
            let value = format!("Bearer {}", self.0).parse().unwrap();
            request.metadata_mut().insert("authorization", value);
        }
        Ok(request)
    }
}

type Calls = InterceptedService<Channel, Bearer>;

fn channel(url: &str, host: &str) -> Channel {
    let origin: Uri = format!("http://{host}").parse().unwrap();
    Endpoint::from_shared(url.to_owned()).unwrap().origin(origin).connect_lazy()
}

fn iam_at(channel: Channel, token: &str) -> IamServiceClient<Calls> {
    IamServiceClient::with_interceptor(channel, Bearer(token.to_owned()))
}

fn iam(kernel: &Kernel, api: &Api) -> IamServiceClient<Calls> {
    iam_at(channel(kernel.url(), "localhost"), api.token())
}

fn events(kernel: &Kernel, api: &Api) -> EventsServiceClient<Calls> {
    EventsServiceClient::with_interceptor(channel(kernel.url(), "localhost"), Bearer(api.token().to_owned()))
}

/// The slug of a problem.
fn slug(status: &Status) -> String {
    let details = status.get_error_details();
    details.error_info().unwrap_or_else(|| panic!("{status:?}")).reason.clone()
}

/// The fields that a problem names.
fn fields(status: &Status) -> Vec<String> {
    let details = status.get_error_details();
    let request = details.bad_request().unwrap_or_else(|| panic!("{status:?}"));
    request.field_violations.iter().map(|one| one.field.clone()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_method_of_every_contract_is_served_and_openapi_lists_none() {
    let kernel = Kernel::empty().await;
    let operations = kernel.cell("default").await.gateway().operations();
    let served: BTreeSet<&str> =
        operations.iter().filter(|one| one.rpc.is_some()).map(|one| one.path.as_str()).collect();
    let written: BTreeSet<&str> = proto::METHODS.iter().map(|method| method.path).collect();
    assert_eq!(served, written);
    let document = kernel.api().get("/openapi.json").await.expect(200);
    assert!(!document.text.contains("/platform."), "gRPC methods are told by reflection");
    kernel.close().await;
}
