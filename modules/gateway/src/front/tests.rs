use http_body_util::BodyExt as _;
use serde_json::json;

use super::*;
use crate::tests::{Gate, Kernel, gateway, json};

/// Two names, one gateway.
struct Estate {
    rules: HostRules,
    kernel: Kernel,
    ready: std::result::Result<(), String>,
}

#[async_trait]
impl Cells for Estate {
    fn sandbox_of_host(&self, host: &str) -> HostVerdict {
        self.rules.verdict(host)
    }
    async fn gateway(&self, name: &SandboxName) -> Result<Arc<Gateway>> {
        match name.as_str() {
            "acme" | "default" => Ok(Arc::clone(&self.kernel.gateway)),
            "broken" => panic!("the cell fell over"),
            _ => Err(Error::not_found("sandbox")),
        }
    }
    fn ready(&self) -> std::result::Result<(), String> {
        self.ready.clone()
    }
    async fn health(&self) -> serde_json::Value {
        json!({ "state": "good" })
    }
}

async fn front(ready: std::result::Result<(), String>) -> Arc<Front> {
    let cells = Estate { rules: HostRules::new(["api.example.com"]), kernel: gateway().await, ready };
    Front::new(
        Arc::new(cells),
        Arc::new(Gate),
        FrontSettings { public_url: "https://api.example.com".into() },
    )
}

async fn ask(front: &Arc<Front>, path: &str, headers: &[(&str, &str)]) -> Response<Body> {
    let mut request = Request::get(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let mut service = front.service();
    match service.call(request.body(Body::empty()).unwrap()).await {
        Ok(response) => response,
        Err(never) => match never {},
    }
}

#[tokio::test]
async fn a_host_leads_to_its_sandbox_and_others_to_none() {
    let front = front(Ok(())).await;
    let host = |host| [("host", host), ("authorization", "Bearer good")];
    for (name, status) in [
        ("localhost:8080", 200),
        ("acme.localhost", 200),
        ("blue.acme.localhost", 200),
        ("red.acme.localhost", 404),
        ("api.example.com", 200),
        ("beta.localhost", 404),
        ("evil.example", 404),
        ("broken.localhost", 500),
    ] {
        let response = ask(&front, "/api/v1/things/7", &host(name)).await;
        assert_eq!(response.status(), status, "{name}");
        assert!(response.headers().contains_key("x-request-id"));
        if status != 200 {
            assert_eq!(response.headers()["content-type"], "application/problem+json", "{name}");
        }
    }
    assert_eq!(ask(&front, "/api/v1/things/7", &[]).await.status(), 404, "no host at all");
    assert_eq!(front.in_flight(), 0);
}

#[tokio::test]
async fn a_header_names_a_sandbox_where_the_host_does_not() {
    let front = front(Ok(())).await;
    for (host, header, status) in [
        ("localhost", "acme", 200),
        ("api.example.com", "acme", 200),
        ("acme.localhost", "acme", 200),
        ("localhost", "beta", 404),
        ("acme.localhost", "default", 404),
        ("evil.example", "acme", 404),
        ("localhost", "no such name!", 404),
    ] {
        let headers = [("host", host), ("x-kernel-sandbox", header), ("authorization", "Bearer good")];
        assert_eq!(ask(&front, "/api/v1/things/7", &headers).await.status(), status, "{host} {header}");
    }
}

#[tokio::test]
async fn life_and_readiness_are_told_on_every_host() {
    let front = front(Ok(())).await;
    for path in ["/live", "/health/live", "/ready", "/health/ready"] {
        assert_eq!(ask(&front, path, &[("host", "10.1.2.3:8080")]).await.status(), 200, "{path}");
    }
    front.begin_shutdown();
    assert_eq!(ask(&front, "/live", &[]).await.status(), 200);
    let response = ask(&front, "/health/ready", &[]).await;
    assert_eq!((response.status().as_u16(), response.headers()["retry-after"].to_str().unwrap()), (503, "1"));
    assert_eq!(json(response).await["reason"], "the process is being stopped");
}

#[tokio::test]
async fn what_is_missing_is_said() {
    let front = front(Err("PostgreSQL does not answer".into())).await;
    assert_eq!(json(ask(&front, "/ready", &[]).await).await["reason"], "PostgreSQL does not answer");
    let request = Request::post("/ready").body(Body::empty()).unwrap();
    assert_eq!(front.call(request).await.status(), 405);
}

#[tokio::test]
async fn the_tree_of_parts_is_for_the_operator() {
    let front = front(Ok(())).await;
    for (headers, status) in [
        (vec![], 401),
        (vec![("authorization", "Bearer good")], 401),
        (vec![("authorization", "Bearer ok_right")], 200),
        (vec![("cookie", "pk_operator=session"), ("host", "localhost")], 200),
        (vec![("cookie", "pk_operator=session"), ("host", "evil.example")], 403),
        (
            vec![("cookie", "pk_operator=session"), ("host", "localhost"), ("sec-fetch-site", "cross-site")],
            403,
        ),
    ] {
        let response = ask(&front, "/health", &headers).await;
        assert_eq!(response.status(), status, "{headers:?}");
        let body = response.into_body().collect().await.unwrap().to_bytes();
        assert!(status != 200 || body.as_ref() == b"{\"state\":\"good\"}");
    }
}

async fn call(front: &Arc<Front>, listener: &'static str, path: &str, body: Body) -> Response<Body> {
    let request = Request::post(path)
        .version(http::Version::HTTP_2)
        .header("content-type", "application/grpc")
        .header("host", "localhost")
        .extension(crate::door::Listener(listener));
    front.call(request.body(body).unwrap()).await
}

#[tokio::test]
async fn a_port_takes_the_calls_that_it_is_for() {
    let front = front(Ok(())).await;
    let (iam, events) =
        ("/platform.iam.v1.IamService/ListUsers", "/platform.events.v1.EventsService/Publish");
    // 16 is the gateway's: there is no credential. 12: not on this port.
    for (listener, path, status) in [
        ("http", iam, "16"),
        ("http", events, "16"),
        ("grpc", iam, "16"),
        ("grpc", events, "16"),
        ("iam", iam, "16"),
        ("iam", events, "12"),
        ("grpc", "/nothing", "12"),
    ] {
        let response = call(&front, listener, path, Body::from(vec![0; 5])).await;
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["grpc-status"], status, "{listener} {path}");
        assert!(response.headers().contains_key("x-request-id"));
    }
    for (listener, path, status) in
        [("grpc", "/openapi.json", 404), ("iam", "/openapi.json", 404), ("iam", "/ready", 200)]
    {
        let request = Request::get(path).header("host", "localhost");
        let request = request.extension(crate::door::Listener(listener)).body(Body::empty()).unwrap();
        assert_eq!(front.call(request).await.status(), status, "{listener} {path}");
    }
}

#[tokio::test]
async fn health_answers_while_the_process_stops_also_when_the_question_is_slow() {
    let front = front(Ok(())).await;
    let asked = async || {
        let late = futures::stream::once(async {
            tokio::time::sleep(Duration::from_millis(50)).await;
            Ok::<_, Infallible>(bytes::Bytes::from_static(&[0; 5]))
        });
        let response = call(&front, "grpc", "/grpc.health.v1.Health/Check", Body::from_stream(late)).await;
        response.into_body().collect().await.unwrap().to_bytes()
    };
    // A frame of two bytes: the member `status` is 1 (SERVING), then 2 (NOT_SERVING).
    assert_eq!(asked().await.as_ref(), [0, 0, 0, 0, 2, 8, 1]);
    front.begin_shutdown();
    assert_eq!(asked().await.as_ref(), [0, 0, 0, 0, 2, 8, 2]);
}
