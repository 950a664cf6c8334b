//! gRPC through the whole gateway: the same layers, other words.

use std::{
    convert::Infallible,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::{Duration, Instant},
};

use axum::body::Body;
use bytes::Bytes;
use http::{Version, header};
use http_body_util::BodyExt as _;
use kernel::{Error, FieldCode, Slug};
use ports::http::{Access, Operation, Routes, ServiceRoutes};
use proto::{
    events::v1::{PublishRequest, PublishResponse, events_service_client::EventsServiceClient},
    iam::v1::{
        GetUserRequest, ListUsersRequest, ListUsersResponse, User, ValidateTokenRequest,
        ValidateTokenResponse, iam_service_client::IamServiceClient,
    },
};
use tonic::{Code, Request, Status, codec::CompressionEncoding, metadata::MetadataMap};
use tonic_types::StatusExt as _;
use tower::Service;

use super::{Kernel, gateway, gateway_with};
use crate::{Gateway, GatewaySettings};

const KEY: &str = "0198f0c4-7d55-7e10-8d4d-6b9c5f3e2a10";

/// Methods of real contracts with handlers that show how the gateway treats them.
pub(super) fn methods() -> ServiceRoutes {
    let method = |path: &str, id, access| Operation::rpc(path, id, access).summary("A method");
    Routes::new("things", ())
        .rpc_query(
            method("/platform.iam.v1.IamService/ListUsers", "listRpc", Access::Permission("things.read")),
            async |(), cx, asked: ListUsersRequest| {
                if asked.limit > 100 {
                    return Err(Error::field("/limit", FieldCode::OutOfRange, "must be 1 to 100"));
                }
                let tenant = cx.tenant()?.to_string();
                let users = vec![User { email: asked.cursor, ..User::default() }];
                Ok(ListUsersResponse { users, next_cursor: tenant })
            },
        )
        .rpc_query(
            method("/platform.iam.v1.IamService/GetUser", "panicRpc", Access::Public),
            async |(), _, _: GetUserRequest| -> kernel::Result<User> { panic!("the handler fell over") },
        )
        .rpc_query(
            method("/platform.iam.v1.IamService/ValidateToken", "slowRpc", Access::Public),
            async |(), _, _: ValidateTokenRequest| -> kernel::Result<ValidateTokenResponse> {
                std::future::pending().await
            },
        )
        .rpc_command(
            method(
                "/platform.events.v1.EventsService/Publish",
                "keepRpc",
                Access::Permission("things.write"),
            ),
            async |(), cx, asked: PublishRequest| {
                // Stands for a transaction that finds the answer it kept.
                match (cx.idempotency(), asked.key.as_str()) {
                    (Some(_), "again") => Err(Error::replay(Bytes::from_static(b"\"kept\""))),
                    (Some(_), "broken") => Err(Error::replay(Bytes::from_static(b"7"))),
                    _ => Ok(asked.r#type),
                }
            },
            |event_id: String| PublishResponse { event_id, topic: String::new() },
        )
        .finish()
}

/// The gateway as what a client speaks to.
#[derive(Clone)]
struct Wire(Arc<Gateway>);

impl Service<http::Request<tonic::body::Body>> for Wire {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<http::Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<tonic::body::Body>) -> Self::Future {
        let gateway = Arc::clone(&self.0);
        let mut request = request.map(Body::new);
        *request.version_mut() = Version::HTTP_2;
        Box::pin(async move { Ok(gateway.call(request).await) })
    }
}

fn iam(kernel: &Kernel) -> IamServiceClient<Wire> {
    IamServiceClient::with_origin(Wire(Arc::clone(&kernel.gateway)), "http://localhost:8080".parse().unwrap())
}

fn events(kernel: &Kernel) -> EventsServiceClient<Wire> {
    EventsServiceClient::with_origin(
        Wire(Arc::clone(&kernel.gateway)),
        "http://localhost:8080".parse().unwrap(),
    )
}

fn with<T>(message: T, metadata: &[(&'static str, &str)]) -> Request<T> {
    let mut request = Request::new(message);
    for (name, value) in metadata {
        request.metadata_mut().insert(*name, value.parse().unwrap());
    }
    request
}

const GOOD: (&str, &str) = ("authorization", "Bearer good");

fn reason(status: &Status) -> String {
    status.get_error_details().error_info().map(|info| info.reason.clone()).unwrap_or_default()
}

fn text(metadata: &MetadataMap, name: &str) -> String {
    metadata.get(name).map(|value| value.to_str().unwrap().to_owned()).unwrap_or_default()
}

#[tokio::test]
async fn a_call_goes_through_the_same_layers() {
    let kernel = gateway().await;
    let asked = with(ListUsersRequest::default(), &[GOOD, ("x-request-id", KEY)]);
    let response = iam(&kernel).list_users(asked).await.unwrap();
    assert_eq!(text(response.metadata(), "x-request-id"), KEY);
    assert_eq!(response.into_inner().next_cursor, kernel.stubs.blue.to_string());

    let codes = [
        (vec![], Code::Unauthenticated, "unauthorized"),
        (vec![("authorization", "Bearer bad")], Code::Unauthenticated, "unauthorized"),
        (vec![("authorization", "Bearer author")], Code::PermissionDenied, "forbidden"),
    ];
    for (metadata, code, slug) in codes {
        let status = iam(&kernel).list_users(with(ListUsersRequest::default(), &metadata)).await.unwrap_err();
        assert_eq!((status.code(), reason(&status).as_str()), (code, slug), "{metadata:?}");
        assert_eq!(text(status.metadata(), "x-request-id").len(), 36);
        assert!(status.get_error_details().request_info().is_some_and(|info| info.serving_data.len() == 32));
    }
    let counted = kernel.core.metrics.text(|_| {});
    let route = "service=\"things\",method=\"gRPC\",route=\"/platform.iam.v1.IamService/ListUsers\"";
    for (status, count) in [(200, 1), (401, 2), (403, 1)] {
        let line = format!("grpc_server_requests_total{{{route},status_code=\"{status}\"}} {count}");
        assert!(counted.contains(&line), "{line}\n{counted}");
    }
}

#[tokio::test]
async fn a_mistake_names_its_field() {
    let kernel = gateway().await;
    let asked = with(ListUsersRequest { limit: 500, ..Default::default() }, &[GOOD]);
    let status = iam(&kernel).list_users(asked).await.unwrap_err();
    assert_eq!((status.code(), reason(&status).as_str()), (Code::InvalidArgument, "validation-error"));
    let details = status.get_error_details();
    let field = &details.bad_request().unwrap().field_violations[0];
    assert_eq!((field.field.as_str(), field.description.as_str()), ("/limit", "must be 1 to 100"));
    let info = details.error_info().unwrap();
    assert_eq!(info.metadata["type"], "http://localhost:8080/problems/validation-error");

    let asked = with(ListUsersRequest::default(), &[GOOD, ("grpc-timeout", "soon")]);
    let status = iam(&kernel).list_users(asked).await.unwrap_err();
    assert_eq!(status.get_error_details().bad_request().unwrap().field_violations[0].field, "grpc-timeout");
}

#[tokio::test]
async fn a_panic_is_one_internal() {
    let kernel = gateway().await;
    for _ in 0..2 {
        let status = iam(&kernel).get_user(GetUserRequest::default()).await.unwrap_err();
        assert_eq!((status.code(), reason(&status).as_str()), (Code::Internal, "internal"));
        assert!(!status.message().contains("fell over"), "{status:?}");
    }
    assert!(iam(&kernel).list_users(with(ListUsersRequest::default(), &[GOOD])).await.is_ok());
}

#[tokio::test]
async fn the_callers_deadline_is_kept_and_never_longer_than_ours() {
    let slow = |kernel: &Kernel, timeout: &str| {
        let mut client = iam(kernel);
        let asked = with(ValidateTokenRequest::default(), &[("grpc-timeout", timeout)]);
        async move {
            let began = Instant::now();
            (client.validate_token(asked).await.unwrap_err().code(), began.elapsed())
        }
    };
    let (code, took) = slow(&gateway().await, "50m").await;
    assert_eq!(code, Code::DeadlineExceeded);
    assert!(took >= Duration::from_millis(50) && took < Duration::from_secs(10), "{took:?}");
    let request_timeout = Duration::from_millis(50);
    let kernel = gateway_with(|settings| GatewaySettings { request_timeout, ..settings }).await;
    let (code, took) = slow(&kernel, "1H").await;
    assert_eq!(code, Code::DeadlineExceeded);
    assert!(took < Duration::from_secs(10), "{took:?}");
}

#[tokio::test]
async fn a_message_has_a_limit_also_when_it_is_compressed() {
    let kernel = gateway().await;
    let asked =
        |bytes: usize| with(ListUsersRequest { cursor: "a".repeat(bytes), ..Default::default() }, &[GOOD]);
    let mut client = iam(&kernel).max_decoding_message_size(8 * 1024 * 1024);
    let echoed = client.list_users(asked(4_000_000)).await.unwrap().into_inner();
    assert_eq!(echoed.users[0].email.len(), 4_000_000);
    let status = client.list_users(asked(4_200_000)).await.unwrap_err();
    assert_eq!((status.code(), reason(&status).as_str()), (Code::ResourceExhausted, "payload-too-large"));

    let mut client = client.send_compressed(CompressionEncoding::Gzip);
    assert!(client.list_users(asked(4_000_000)).await.is_ok());
    let status = client.list_users(asked(100_000_000)).await.unwrap_err();
    assert_eq!((status.code(), reason(&status).as_str()), (Code::ResourceExhausted, "payload-too-large"));
}

#[tokio::test]
async fn a_repeated_call_gets_the_first_answer() {
    let kernel = gateway().await;
    let asked = |key: &str| PublishRequest { r#type: "first".into(), key: key.into(), ..Default::default() };
    let mut client = events(&kernel);
    let first = client.publish(with(asked("again"), &[GOOD])).await.unwrap();
    assert_eq!(text(first.metadata(), "idempotent-replayed"), "");
    assert_eq!(first.into_inner().event_id, "first");
    let again = client.publish(with(asked("again"), &[GOOD, ("idempotency-key", KEY)])).await.unwrap();
    assert_eq!(text(again.metadata(), "idempotent-replayed"), "true");
    assert_eq!(again.into_inner().event_id, "kept");
    let status = client.publish(with(asked("broken"), &[GOOD, ("idempotency-key", KEY)])).await.unwrap_err();
    assert_eq!(status.code(), Code::Internal);
    let status = client.publish(with(asked(""), &[GOOD, ("idempotency-key", "one")])).await.unwrap_err();
    assert_eq!(
        status.get_error_details().bad_request().unwrap().field_violations[0].field,
        "Idempotency-Key"
    );
}

#[tokio::test]
async fn what_is_no_method_is_not_implemented() {
    let kernel = gateway().await;
    let called = |path: &'static str, kind: &'static str, version: Version| {
        let request = http::Request::post(path)
            .version(version)
            .header("content-type", kind)
            .header("authorization", "Bearer good")
            .body(Body::from(vec![0; 5]))
            .unwrap();
        kernel.gateway.call(request)
    };
    let grpc = "application/grpc";
    for path in ["/platform.iam.v1.IamService/Nothing", "/nothing", "/api/v1/things"] {
        let response = called(path, grpc, Version::HTTP_2).await;
        assert_eq!(response.status(), 200, "{path}");
        assert_eq!(response.headers()["grpc-status"], "12", "{path}");
        assert_eq!(response.headers()[header::CONTENT_TYPE], grpc, "{path}");
        assert!(response.into_body().collect().await.unwrap().to_bytes().is_empty());
    }
    let known = "/platform.iam.v1.IamService/ListUsers";
    let response = called(known, "application/grpc+json", Version::HTTP_2).await;
    assert_eq!(
        (response.status().as_u16(), &response.headers()["grpc-status"]),
        (200, &"3".parse().unwrap())
    );
    for (kind, version) in [(grpc, Version::HTTP_11), ("application/json", Version::HTTP_2)] {
        let response = called(known, kind, version).await;
        assert_eq!(response.status(), Slug::UnsupportedMediaType.status(), "{kind} {version:?}");
        assert!(!response.headers().contains_key("grpc-status"));
    }
    let response = kernel.send(http::Request::get(known), Body::empty()).await;
    assert_eq!(
        (response.status().as_u16(), &response.headers()["allow"]),
        (405, &"POST, OPTIONS".parse().unwrap())
    );
}

#[tokio::test]
async fn bytes_that_are_no_message_are_told_so() {
    let kernel = gateway().await;
    let called = |body: Vec<u8>| {
        let request = http::Request::post("/platform.iam.v1.IamService/ListUsers")
            .version(Version::HTTP_2)
            .header("content-type", "application/grpc")
            .header("authorization", "Bearer good")
            .body(Body::from(body))
            .unwrap();
        kernel.gateway.call(request)
    };
    for body in
        [vec![], vec![0], vec![0, 0, 0, 0, 9, 1], vec![9; 64], vec![0, 0, 0, 0, 1, 255], vec![1, 0, 0, 0, 0]]
    {
        let response = called(body.clone()).await;
        assert_eq!(response.headers()["grpc-status"], "3", "{body:?}: {:?}", response.headers());
    }
    assert_eq!(called(vec![0; 5]).await.headers().get("grpc-status"), None, "an empty message is one");
}
