//! Requests the whole way through the layers.

use std::time::Duration;

use http::Request;
use http_body_util::BodyExt as _;

use super::*;

const GOOD: (&str, &str) = ("authorization", "Bearer good");

fn get(path: &str) -> Builder {
    Request::get(path).header("host", "acme.localhost:8080").header(GOOD.0, GOOD.1)
}

fn post(path: &str) -> Builder {
    Request::post(path).header("host", "acme.localhost:8080").header(GOOD.0, GOOD.1)
}

#[tokio::test]
async fn a_request_reaches_its_service_with_its_context() {
    let kernel = gateway().await;
    for path in ["/api/v1/things/7", "/v1/things/7"] {
        let response = kernel.send(get(path).header("accept-language", "fr"), Body::empty()).await;
        assert_eq!(response.status(), 200);
        assert!(response.headers().contains_key("x-request-id") && response.headers().contains_key("etag"));
        let body = json(response).await;
        assert_eq!(
            (body["tenant"].as_str(), body["locale"].as_str()),
            (Some(&*kernel.stubs.blue.to_string()), Some("fr"))
        );
    }
    assert_eq!(kernel.gateway.in_flight(), 0);
}

#[tokio::test]
async fn head_is_answered_like_get_without_a_body() {
    let kernel = gateway().await;
    let request = Request::head("/api/v1/things/7").header(GOOD.0, GOOD.1);
    let response = kernel.send(request, Body::empty()).await;
    assert_eq!(response.status(), 200);
    assert!(response.into_body().collect().await.unwrap().to_bytes().is_empty());
}

#[tokio::test]
async fn each_refusal_is_a_problem_with_its_place_in_the_trace() {
    let kernel = gateway().await;
    let red = || {
        Request::get("/api/v1/things/7")
            .header("host", "blue.acme.localhost")
            .header("authorization", "Bearer red")
    };
    for (request, status, slug) in [
        (Request::get("/api/v1/things/7"), 401, "unauthorized"),
        (Request::get("/api/v1/things/7").header("authorization", "Bearer bad"), 401, "unauthorized"),
        (Request::post("/api/v1/things").header("authorization", "Bearer reader"), 403, "forbidden"),
        (get("/api/v1/nowhere"), 404, "not-found"),
        (get("/nowhere"), 404, "not-found"),
        (red(), 404, "not-found"),
        (get("/api/v1/things/7").header("host", "twice"), 200, ""),
        (Request::delete("/api/v1/things/7").header(GOOD.0, GOOD.1), 405, "method-not-allowed"),
        (post("/api/v1/transfers"), 400, "idempotency-key-required"),
        (post("/api/v1/things").header("idempotency-key", "7"), 400, "validation-error"),
        (post("/api/v1/things").header("content-length", "1000001"), 413, "payload-too-large"),
        (post("/api/v1/things"), 415, "unsupported-media-type"),
        (get("/api/v1/register"), 403, "forbidden"),
        (Request::get("/metrics"), 401, "unauthorized"),
        (get("/api/v1/health/links"), 403, "forbidden"),
        (get("/api/v1/panic"), 500, "internal"),
    ] {
        let (method, path) = (request.method_ref().unwrap().clone(), request.uri_ref().unwrap().clone());
        let response = kernel.send(request, Body::empty()).await;
        assert_eq!(response.status(), status, "{method} {path}");
        if status < 400 {
            continue;
        }
        assert_eq!(response.headers()["content-type"], "application/problem+json", "{method} {path}");
        assert_eq!(response.headers()["x-content-type-options"], "nosniff");
        let body = json(response).await;
        assert_eq!(body["type"], format!("http://localhost:8080/problems/{slug}"), "{method} {path}");
        assert_eq!(body["instance"], path.path());
        assert_eq!(body["traceId"].as_str().unwrap().len(), 32);
        assert!(!body.to_string().contains("fell over"));
    }
}

#[tokio::test]
async fn a_body_and_its_key_reach_the_service() {
    let kernel = gateway().await;
    let key = "0198f0c4-7d55-7e10-8d4d-6b9c5f3e2a10";
    let request =
        post("/api/v1/things").header("content-type", "application/json").header("idempotency-key", key);
    let body = json(kernel.send(request, "[1,2,3]").await).await;
    assert_eq!((body["bytes"].as_u64(), body["key"].as_str()), (Some(7), Some(key)));
    let response = kernel.send(post("/api/v1/uploads"), vec![b'x'; 3_000_000]).await;
    assert_eq!(response.status(), 200, "a stream may be larger than what axum takes by itself");
}

#[tokio::test]
async fn an_answer_that_does_not_come_in_time_is_504() {
    let request_timeout = Duration::from_millis(30);
    let kernel = gateway_with(|settings| GatewaySettings { request_timeout, ..settings }).await;
    let response = kernel.send(get("/api/v1/slow"), Body::empty()).await;
    assert_eq!(response.status(), 504);
    assert_eq!(json(response).await["type"], "http://localhost:8080/problems/deadline-exceeded");
}

#[tokio::test]
async fn a_sandbox_that_drains_ends_everything_within_its_time() {
    let kernel = gateway().await;
    let slow = tokio::spawn({
        let gateway = Arc::clone(&kernel.gateway);
        async move { gateway.call(get("/api/v1/slow").body(Body::empty()).unwrap()).await }
    });
    let stream = kernel.send(get("/api/v1/stream"), Body::empty()).await;
    assert_eq!(kernel.gateway.open_streams(), 1);
    let reading = tokio::spawn(stream.into_body().collect());
    while kernel.gateway.in_flight() == 0 {
        tokio::task::yield_now().await;
    }
    let begun = std::time::Instant::now();
    kernel.gateway.drain().await;
    assert!(
        (Duration::from_secs(1)..Duration::from_millis(1_600)).contains(&begun.elapsed()),
        "{:?}",
        begun.elapsed()
    );
    assert_eq!(slow.await.unwrap().status(), 503);
    assert!(reading.await.unwrap().is_err());
    let response = kernel.send(get("/api/v1/things/7"), Body::empty()).await;
    assert_eq!((response.status().as_u16(), response.headers()["retry-after"].to_str().unwrap()), (503, "1"));
    assert_eq!((kernel.gateway.in_flight(), kernel.gateway.open_streams()), (0, 0));
}

#[tokio::test]
async fn the_description_tells_of_every_operation() {
    let kernel = gateway().await;
    let response = kernel.send(Request::get("/openapi.json"), Body::empty()).await;
    let tag = response.headers()["etag"].clone();
    let description = json(response).await;
    assert_eq!(description["openapi"], "3.1.0");
    for operation in kernel.gateway.operations() {
        let path = operation.path.replace("{*", "{");
        let told = &description["paths"][&path][operation.method.as_str().to_ascii_lowercase()];
        if operation.rpc.is_some() {
            assert!(told.is_null(), "{path}: gRPC methods are told by reflection");
            continue;
        }
        assert_eq!(told["operationId"], operation.id, "{path}");
        assert_eq!(told["x-permission"], operation.access.rule());
    }
    let again = kernel.send(Request::get("/openapi.json").header("if-none-match", tag), Body::empty()).await;
    assert_eq!(again.status(), 304);
}

#[tokio::test]
async fn pages_are_read_by_browsers_and_programs() {
    let kernel = gateway().await;
    let docs = kernel.send(Request::get("/docs"), Body::empty()).await;
    assert!(docs.headers()["content-security-policy"].to_str().unwrap().contains("script-src 'sha256-"));
    for (accept, kind) in
        [("text/html", "text/html; charset=utf-8"), ("application/json", "application/json")]
    {
        for path in ["/problems", "/problems/not-found"] {
            let response = kernel.send(Request::get(path).header("accept", accept), Body::empty()).await;
            assert_eq!(response.headers()["content-type"], kind, "{path}");
        }
    }
    let entry = json(kernel.send(Request::get("/problems/not-found"), Body::empty()).await).await;
    assert_eq!((entry["slug"].as_str(), entry["status"].as_u64()), (Some("not-found"), Some(404)));
    assert_eq!(kernel.send(Request::get("/problems/never-heard"), Body::empty()).await.status(), 404);
}

#[tokio::test]
async fn the_operator_sees_counters_and_links() {
    let kernel = gateway().await;
    kernel.send(get("/api/v1/things/7"), Body::empty()).await;
    let operator = |path: &str| Request::get(path).header("authorization", "Bearer ok_right");
    let response = kernel.send(operator("/metrics"), Body::empty()).await;
    let text = response.into_body().collect().await.unwrap().to_bytes();
    let text = std::str::from_utf8(&text).unwrap();
    assert!(text.contains("route=\"/api/v1/things/{id}\",status_code=\"200\"} 1"), "{text}");
    assert!(text.contains("link_calls_total{sandbox=\"acme\",link=\"things\"} 1"), "{text}");
    let links = json(kernel.send(operator("/api/v1/health/links"), Body::empty()).await).await;
    let names: Vec<_> =
        links["data"].as_array().unwrap().iter().map(|link| link["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["things", "money", "iam", "gateway", "iam", "modules", "domains", "billing"]);
}

#[tokio::test]
async fn a_table_with_mistakes_is_refused_with_all_of_them() {
    let wrong = Routes::new("money", ())
        .add(Operation::get("/things", "listThings", Access::Public).summary("Again"), async || NoContent)
        .add(Operation::get("/wallets", "", Access::Public).body::<Vec<u8>>(), async || NoContent)
        .finish();
    let kernel = gateway().await;
    let core = &kernel.core;
    let deps = GatewayDeps {
        sandbox: core.sandbox.clone(),
        clock: Clock::real(),
        services: vec![things(), wrong],
        iam: core.iam.clone(),
        modules: core.modules.clone(),
        domains: core.domains.clone(),
        billing: core.billing.clone(),
        operator: Arc::new(Gate),
        cache: Cache::in_memory(1 << 20),
        dialler: Dialler::new(DiallerOptions::default()).unwrap(),
        settings: GatewaySettings::default(),
        metrics: Arc::new(Metrics::new()),
        flag_uses: FlagUses::default(),
    };
    let told = Gateway::create(deps).unwrap_err().to_string();
    for words in
        ["same id listThings", "same method and path", "needs an id", "GET takes no body", "needs a summary"]
    {
        assert!(told.contains(words), "{words}: {told}");
    }
    assert!(told.contains("GET /api/v1/wallets (no id, money)"), "{told}");
}
