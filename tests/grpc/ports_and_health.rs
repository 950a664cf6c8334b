//! The four ports of the real binary, health that follows readiness, TLS.

use proto::{
    events::v1::{PullRequest, events_service_client::EventsServiceClient},
    iam::v1::{ListUsersRequest, iam_service_client::IamServiceClient},
};
use testkit::{Api, Binary, DEMO_OWNER, DEMO_PASSWORD, Kernel, Launch};
use tonic::{
    Code, Request,
    transport::{Certificate, Channel, ClientTlsConfig, Endpoint},
};
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};

use crate::{channel, iam_at};

pub fn url(binary: &Binary, listener: &str) -> String {
    format!("http://127.0.0.1:{}", binary.runtime()["ports"][listener].as_u64().unwrap())
}

fn health_of(service: &str) -> HealthCheckRequest {
    HealthCheckRequest { service: service.to_owned() }
}

async fn serving(channel: Channel, service: &str) -> Result<ServingStatus, Code> {
    let answer = HealthClient::new(channel).check(health_of(service)).await;
    answer.map(|answer| answer.into_inner().status()).map_err(|status| status.code())
}

#[tokio::test(flavor = "multi_thread")]
async fn each_port_answers_what_it_is_for() {
    let folder = testkit::data_folder();
    let home = folder.path().to_str().unwrap().to_owned();
    let binary = Launch::default().with("XDG_DATA_HOME", &home).start(env!("CARGO_BIN_EXE_platform-kernel"));
    let owner = binary.api().sign_in(DEMO_OWNER, DEMO_PASSWORD).await;

    let pull = || {
        let mut request = Request::new(PullRequest::default());
        let token = format!("Bearer {}", owner.token()).parse().unwrap();
        request.metadata_mut().insert("authorization", token);
        request
    };
    for (listener, iam, events) in [("http", true, true), ("grpc", true, true), ("iam", true, false)] {
        let connection = channel(&url(&binary, listener), "localhost");
        let users = iam_at(connection.clone(), owner.token()).list_users(ListUsersRequest::default()).await;
        assert_eq!(users.is_ok(), iam, "{listener}: {users:?}");
        let status = EventsServiceClient::new(connection.clone()).pull(pull()).await.unwrap_err();
        // It got as far as the message, or no further than the port.
        let expected = if events { Code::InvalidArgument } else { Code::Unimplemented };
        assert_eq!(status.code(), expected, "{listener}: {status:?}");
        for service in ["", "platform.iam.v1.IamService", "platform.events.v1.EventsService"] {
            assert_eq!(serving(connection.clone(), service).await, Ok(ServingStatus::Serving), "{service}");
        }
        assert_eq!(serving(connection.clone(), "platform.nothing").await, Err(Code::NotFound));
        // HTTP/1.1 on the same port: all of the API, or whether the process is well.
        let plain = Api::new(url(&binary, listener), "localhost").with(owner.token());
        plain.get("/health/ready").await.expect(200);
        plain.get("/api/v1/users").await.expect(if listener == "http" { 200 } else { 404 });
    }

    let pem = std::fs::read(folder.path().join("platform-kernel-ca/ca.pem")).unwrap();
    let port = binary.runtime()["ports"]["https"].as_u64().unwrap();
    let tls = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(pem)).domain_name("localhost");
    let endpoint = Endpoint::from_shared(format!("https://localhost:{port}")).unwrap();
    let secure = endpoint.tls_config(tls).unwrap().connect().await.unwrap();
    let users = iam_at(secure.clone(), owner.token()).list_users(ListUsersRequest::default()).await.unwrap();
    assert!(!users.into_inner().users.is_empty());
    let status = IamServiceClient::new(secure).list_users(ListUsersRequest::default()).await.unwrap_err();
    assert_eq!(status.code(), Code::Unauthenticated);
}

#[tokio::test(flavor = "multi_thread")]
async fn health_follows_the_shutdown_and_watchers_do_not_hold_it_up() {
    let mut binary = Launch::default()
        .with("KERNEL_TEMPLATE", "empty")
        .with("SHUTDOWN_GRACE", "1s")
        .start(env!("CARGO_BIN_EXE_platform-kernel"));
    let connection = channel(&url(&binary, "grpc"), "localhost");
    let mut client = HealthClient::new(connection.clone());
    let mut watched = client.watch(health_of("")).await.unwrap().into_inner();
    assert_eq!(watched.message().await.unwrap().unwrap().status(), ServingStatus::Serving);
    let stopping = tokio::task::spawn_blocking(move || binary.stop());
    assert_eq!(watched.message().await.unwrap().unwrap().status(), ServingStatus::NotServing);
    assert_eq!(serving(connection, "").await, Ok(ServingStatus::NotServing), "it answers during the grace");
    assert!(watched.message().await.unwrap().is_none(), "the watch ends by itself");
    assert!(stopping.await.unwrap().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn health_wakes_nobody_and_asks_for_no_host() {
    let kernel = Kernel::empty().await;
    assert_eq!(serving(channel(kernel.url(), "evil.example"), "").await, Ok(ServingStatus::Serving));
    kernel.close().await;
}
