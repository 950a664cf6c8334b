//! Requests to back-ends of modules, over real sockets.

use std::net::SocketAddr;

use axum::{Router, routing};
use http::{HeaderMap, Request, Uri};
use kernel::config::{Network, Target};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

use super::*;
use crate::door::{Connections, Mode, Shutdown, Wanted, bind, serve};

pub(super) fn loopback() -> Vec<Target> {
    ["127.0.0.0/8", "::1/128"].map(|text| Target::Network(Network::parse(text).unwrap())).to_vec()
}

/// Tells what it was sent.
async fn mirror(uri: Uri, headers: HeaderMap, body: String) -> axum::Json<serde_json::Value> {
    let headers: std::collections::BTreeMap<String, String> = headers
        .iter()
        .map(|(name, value)| (name.to_string(), value.to_str().unwrap_or("").to_owned()))
        .collect();
    axum::Json(serde_json::json!({ "uri": uri.to_string(), "headers": headers, "body": body }))
}

/// Switches to a protocol that sends back what it gets.
async fn echo(mut request: axum::extract::Request) -> Response {
    let upgrade = hyper::upgrade::on(&mut request);
    tokio::spawn(async move {
        let mut io = hyper_util::rt::TokioIo::new(upgrade.await.unwrap());
        let mut bytes = [0; 4];
        while io.read_exact(&mut bytes).await.is_ok() {
            io.write_all(&bytes).await.unwrap();
        }
    });
    http::Response::builder()
        .status(101)
        .header("connection", "upgrade")
        .header("upgrade", "echo")
        .body(Body::empty())
        .unwrap()
}

async fn backend() -> SocketAddr {
    let router = Router::new()
        .route("/base/deals/{id}/win", routing::post(mirror))
        .route("/base/deals", routing::get(mirror))
        .route(
            "/base/cookie",
            routing::get(async || ([("set-cookie", "pk_operator=forged"), ("server", "crm")], "x")),
        )
        .route("/base/busy", routing::get(async || http::StatusCode::SERVICE_UNAVAILABLE))
        .route("/base/slow", routing::get(async || std::future::pending::<()>().await))
        .route("/base/echo", routing::get(echo));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await });
    address
}

impl Kernel {
    /// Installs the module `crm` for the tenant `blue`.
    fn install(&self, url: &str, timeout_ms: u64) {
        let route = |method: &str, path: &str, permission: Option<&str>| serde_json::json!({ "method": method, "path": path, "permission": permission });
        let module: ports::ModuleInfo = serde_json::from_value(serde_json::json!({
            "slug": "crm", "name": "@example/crm", "version": "1.0.0", "models": {}, "publishes": [], "subscribes": [],
            "permissions": ["crm.deals.read", "crm.deals.write"], "revision": 1,
            "backend": { "url": url, "healthCheck": "/health", "timeoutMs": timeout_ms, "routes": [
                route("POST", "/deals/{id}/win", Some("crm.deals.read")), route("GET", "/deals", Some("crm.deals.write")),
                route("GET", "/cookie", None), route("GET", "/busy", None), route("GET", "/slow", None),
                route("GET", "/echo", None),
            ] },
        }))
        .unwrap();
        let mut snapshot = ModuleSnapshot { version: 1, ..ModuleSnapshot::default() };
        snapshot.installed.insert(self.stubs.blue, vec![module.slug.clone()]);
        snapshot.modules.insert(module.slug.clone(), Arc::new(module));
        *self.stubs.snapshot.lock().unwrap() = Arc::new(snapshot);
    }
}

fn get(path: &str, token: &str) -> Builder {
    Request::get(format!("/api/v1/m/crm{path}")).header("authorization", format!("Bearer {token}"))
}

#[tokio::test]
async fn a_request_goes_on_with_the_callers_token_and_nothing_of_the_clients() {
    let kernel = gateway().await;
    kernel.install(&format!("http://{}/base", backend().await), 5_000);
    let request = || {
        Request::post("/v1/m/crm/deals/7/win?a=b")
            .header("authorization", "Bearer good")
            .header("cookie", "a=b")
            .header("x-user-id", "forged")
            .header("x-kernel-module-token", "forged")
            .header("host", "acme.localhost:8080")
            .header("idempotency-key", "0198f0c4-7d55-7e10-8d4d-6b9c5f3e2a10")
    };
    let response = kernel.send(request(), "hello").await;
    assert_eq!(response.status(), 200);
    let id = response.headers()["x-request-id"].to_str().unwrap().to_owned();
    assert!(response.headers()["content-security-policy"].to_str().unwrap().starts_with("sandbox"));
    let seen = json(response).await;
    let headers = &seen["headers"];
    assert_eq!((seen["uri"].as_str(), seen["body"].as_str()), (Some("/base/deals/7/win?a=b"), Some("hello")));
    assert_eq!(headers["x-kernel-module-token"], "token for @example/crm with crm.deals.read");
    assert_eq!(headers["x-user-id"], kernel.stubs.user.to_string());
    assert_eq!(headers["x-tenant-id"], kernel.stubs.blue.to_string());
    assert_eq!(headers["x-request-id"], id);
    assert_eq!(headers["idempotency-key"], "0198f0c4-7d55-7e10-8d4d-6b9c5f3e2a10");
    assert_eq!(headers["x-forwarded-host"], "acme.localhost:8080");
    assert!(headers.get("authorization").is_none() && headers.get("cookie").is_none());
    kernel.send(request(), "again").await;
    assert_eq!(kernel.stubs.tokens.load(Ordering::Relaxed), 1, "a token is used again for a moment");
}

#[tokio::test]
async fn a_module_is_there_for_its_tenants_routes_and_permissions_only() {
    let kernel = gateway().await;
    kernel.install(&format!("http://{}/base", backend().await), 5_000);
    for (path, token, status) in [
        ("/deals", "red", 404),
        ("/deals", "good", 403),
        ("/nowhere", "good", 404),
        ("/deals/7/win", "good", 404),
        ("/deals/../cookie", "good", 404),
        ("/cookie", "good", 200),
        ("/cookie", "bad", 401),
        ("/cookie", "ok_right", 403),
    ] {
        assert_eq!(kernel.send(get(path, token), Body::empty()).await.status(), status, "{path} {token}");
    }
    let response = kernel.send(get("/cookie", "good"), Body::empty()).await;
    assert!(!response.headers().contains_key("set-cookie") && !response.headers().contains_key("server"));
    let other = Request::get("/api/v1/m/sales/deals").header("authorization", "Bearer good");
    assert_eq!(kernel.send(other, Body::empty()).await.status(), 404);
}

#[tokio::test]
async fn a_backend_that_is_down_is_503_and_authors_read_why() {
    let kernel = gateway().await;
    let unused = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    kernel.install(&format!("http://{unused}"), 5_000);
    let response = kernel.send(get("/cookie", "good"), Body::empty()).await;
    assert_eq!((response.status().as_u16(), response.headers().contains_key("retry-after")), (503, true));
    let body = json(response).await;
    assert_eq!(body["type"], "http://localhost:8080/problems/dependency-unavailable");
    assert!(!body.to_string().contains("127.0.0.1"), "{body}");
    let body = json(kernel.send(get("/cookie", "author"), Body::empty()).await).await;
    assert!(body["detail"].as_str().unwrap().contains(&unused.to_string()), "{body}");
    for _ in 0..3 {
        assert_eq!(kernel.send(get("/cookie", "good"), Body::empty()).await.status(), 503);
    }
    let response = kernel.send(get("/cookie", "good"), Body::empty()).await;
    assert_eq!(response.headers()["retry-after"], "60");
    assert_eq!(json(response).await["type"], "http://localhost:8080/problems/circuit-open");
}

#[tokio::test]
async fn a_slow_backend_is_504_and_a_busy_ones_answer_passes() {
    let kernel = gateway().await;
    kernel.install(&format!("http://{}/base", backend().await), 40);
    let response = kernel.send(get("/slow", "good"), Body::empty()).await;
    assert_eq!(response.status(), 504);
    assert_eq!(kernel.send(get("/busy", "good"), Body::empty()).await.status(), 503);
}

/// Reads a head of HTTP/1.1.
async fn head(stream: &mut TcpStream) -> String {
    let mut text = Vec::new();
    while !text.ends_with(b"\r\n\r\n") {
        text.push(stream.read_u8().await.unwrap());
    }
    String::from_utf8(text).unwrap()
}

#[tokio::test]
async fn an_upgrade_passes_through_and_ends_with_the_sandbox() {
    let kernel = gateway().await;
    kernel.install(&format!("http://{}/base", backend().await), 5_000);
    let mut bound =
        bind("127.0.0.1".parse().ok(), &[Wanted { name: "http", port: 0, env: "GATEWAY_PORT" }]).unwrap();
    let (port, shutdown) = (bound.port("http").unwrap(), Shutdown::new());
    let gateway = Arc::clone(&kernel.gateway);
    let service = tower::service_fn(move |request| {
        let gateway = Arc::clone(&gateway);
        async move { Ok::<_, std::convert::Infallible>(gateway.call(request).await) }
    });
    serve(bound.take("http").unwrap(), Mode::Plain, service, &Connections::default(), &shutdown);
    let mut client = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    let request = "GET /api/v1/m/crm/echo HTTP/1.1\r\nHost: acme.localhost\r\nAuthorization: Bearer good\r\n\
                   Connection: Upgrade\r\nUpgrade: echo\r\n\r\n";
    client.write_all(request.as_bytes()).await.unwrap();
    let answer = head(&mut client).await;
    assert!(answer.starts_with("HTTP/1.1 101") && answer.contains("upgrade: echo"), "{answer}");
    for _ in 0..3 {
        client.write_all(b"ping").await.unwrap();
        let mut bytes = [0; 4];
        client.read_exact(&mut bytes).await.unwrap();
        assert_eq!(&bytes, b"ping");
    }
    assert_eq!((kernel.gateway.open_streams(), kernel.gateway.in_flight()), (1, 0));
    kernel.gateway.drain().await;
    assert_eq!(client.read(&mut [0; 4]).await.unwrap_or(0), 0, "the connection has ended");
    assert_eq!(kernel.gateway.open_streams(), 0);
}
