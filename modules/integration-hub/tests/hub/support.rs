//! A third party on loopback, and a tenant that calls it.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{
    Router,
    body::{Body, Bytes},
    extract::State,
    http::{HeaderMap, Response, StatusCode, Uri, request::Parts},
};
use serde_json::{Value, json};
use sqlx::PgConnection;
use testkit::{Answer, Api, Kernel};
use tokio::net::TcpListener;

/// A request that reached the third party.
#[derive(Debug, Clone)]
pub struct Seen {
    pub method: String,
    pub uri: Uri,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Seen {
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

/// The third party. Its paths say how it behaves.
#[derive(Clone, Default)]
pub struct ThirdParty {
    seen: Arc<Mutex<Vec<Seen>>>,
    well: Arc<Mutex<bool>>,
    tokens: Arc<Mutex<u32>>,
    pub url: String,
}

impl ThirdParty {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let this = Self { url, ..Self::default() };
        let router = Router::new().fallback(behave).with_state(this.clone());
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        this
    }

    /// The requests to a path so far.
    pub fn seen(&self, path: &str) -> Vec<Seen> {
        self.seen.lock().unwrap().iter().filter(|seen| seen.uri.path() == path).cloned().collect()
    }

    /// Whether `/moody` answers.
    pub fn set_well(&self, well: bool) {
        *self.well.lock().unwrap() = well;
    }

    /// How many tokens were fetched.
    pub fn tokens(&self) -> u32 {
        *self.tokens.lock().unwrap()
    }
}

fn answer(status: u16, body: Value) -> Response<Body> {
    Response::builder()
        .status(StatusCode::from_u16(status).unwrap())
        .header("content-type", "application/json")
        .header("set-cookie", "a=b")
        .body(Body::from(body.to_string()))
        .unwrap()
}

async fn behave(State(party): State<ThirdParty>, head: Parts, body: Bytes) -> Response<Body> {
    let path = head.uri.path().to_owned();
    let earlier = party.seen(&path).len();
    let seen = Seen {
        method: head.method.to_string(),
        uri: head.uri.clone(),
        headers: head.headers.clone(),
        body: body.clone(),
    };
    party.seen.lock().unwrap().push(seen);
    let authorization =
        head.headers.get("authorization").map_or("", |value| value.to_str().unwrap()).to_owned();
    match path.as_str() {
        "/moody" if *party.well.lock().unwrap() => answer(200, json!({ "well": true })),
        "/moody" | "/down" => answer(500, json!({ "message": "out of order" })),
        "/flaky" if earlier == 0 => answer(503, json!({})),
        "/missing" => {
            answer(404, json!({ "title": "Nope", "detail": "No such customer; you sent secret-token" }))
        }
        "/busy" if earlier == 0 => {
            let mut busy = answer(429, json!({}));
            busy.headers_mut().insert("retry-after", "1".parse().unwrap());
            busy
        }
        "/away" => {
            let to = head.uri.query().unwrap_or_default().to_owned();
            Response::builder().status(302).header("location", to).body(Body::empty()).unwrap()
        }
        "/hangs" => std::future::pending().await,
        "/token" => {
            tokio::time::sleep(Duration::from_millis(100)).await;
            let number = {
                let mut tokens = party.tokens.lock().unwrap();
                *tokens += 1;
                *tokens
            };
            answer(
                200,
                json!({ "access_token": format!("token-{number}"), "expires_in": 3600, "token_type": "Bearer" }),
            )
        }
        // The first token is taken back.
        "/guarded" if authorization == "Bearer token-1" && party.tokens() == 1 && earlier >= 10 => {
            answer(401, json!({ "error": "expired" }))
        }
        _ => answer(
            200,
            json!({ "path": path, "authorization": authorization, "sent": String::from_utf8_lossy(&body) }),
        ),
    }
}

/// Where a test's kernel and its tenant are.
pub struct Place {
    pub kernel: Kernel,
    pub party: ThirdParty,
    pub owner: Api,
    pub sql: PgConnection,
}

pub const PROVIDERS: &str = "/api/v1/integrations/providers";
pub const CALL: &str = "/api/v1/integrations/call";
pub const DLQ: &str = "/api/v1/integrations/dlq";

impl Place {
    pub async fn open() -> Self {
        let kernel = Kernel::empty().await;
        let (owner, _) = kernel.api().register("Acme").await;
        let sql = kernel.owner_sql("default").await;
        Self { party: ThirdParty::start().await, kernel, owner, sql }
    }

    /// Adds a provider at the third party and gives its id.
    pub async fn provider(&self, name: &str, config: Value) -> String {
        self.provider_with(name, json!({ "authType": "none" }), config).await
    }

    pub async fn provider_with(&self, name: &str, auth: Value, config: Value) -> String {
        let mut new = json!({ "name": name, "type": "custom", "baseUrl": self.party.url, "config": config });
        new.as_object_mut().unwrap().extend(auth.as_object().unwrap().clone());
        self.owner.post(PROVIDERS, new).await.expect(201).id()
    }

    pub async fn call(&self, provider: &str, path: &str) -> Answer {
        let wish = json!({ "providerId": provider, "method": "POST", "path": path, "body": { "n": 1 } });
        self.owner.post(CALL, wish).await
    }

    /// How often something was told.
    pub async fn told(&mut self, kind: &str) -> i64 {
        sqlx::query_scalar(
            "select count(*) from (select type from kernel.outbox union all select type from kernel.event) e
             where type = $1",
        )
        .bind(kind)
        .fetch_one(&mut self.sql)
        .await
        .unwrap()
    }

    /// What the audit trail keeps of an action, the last first.
    pub async fn audited(&mut self, action: &str) -> Vec<Value> {
        sqlx::query_scalar("select to_jsonb(r) from kernel.audit_record r where action = $1 order by id desc")
            .bind(action)
            .fetch_all(&mut self.sql)
            .await
            .unwrap()
    }
}
