//! A kernel of paper: a real HTTP server that answers the few addresses the back-end calls, and
//! writes down what it was asked.

#![allow(dead_code, missing_docs, clippy::unwrap_used)]

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use crm_example::{CrmError, ModuleKeys, Options};
use http::{HeaderMap, StatusCode};
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

pub const TENANT: &str = "00000000-0000-7000-0000-000000000001";
pub const DEAL: &str = "0198f3a0-0000-7000-8000-0000000000d1";
pub const COMPANY: &str = "0198f3a0-0000-7000-8000-0000000000c1";
pub const EVENT: &str = "0198f3a0-0000-7000-8000-0000000000e1";

/// A P-256 key pair, made for one test.
pub struct Signer {
    pair: EcdsaKeyPair,
    pub kid: String,
}

impl Signer {
    pub fn new(kid: &str) -> Self {
        let random = SystemRandom::new();
        let der = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).unwrap();
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, der.as_ref(), &random).unwrap();
        Signer { pair, kid: kid.to_owned() }
    }

    pub fn jwk(&self) -> Value {
        let point = self.pair.public_key().as_ref();
        let (x, y) = point[1..].split_at(32);
        json!({"kty": "EC", "crv": "P-256", "use": "sig", "alg": "ES256", "kid": self.kid,
               "x": URL_SAFE_NO_PAD.encode(x), "y": URL_SAFE_NO_PAD.encode(y)})
    }

    pub fn sign(&self, header: &Value, claims: &Value) -> String {
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let message = format!("{}.{}", part(header), part(claims));
        let signature = self.pair.sign(&SystemRandom::new(), message.as_bytes()).unwrap();
        format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature))
    }

    pub fn header(&self) -> Value {
        json!({"alg": "ES256", "typ": "JWT", "kid": self.kid})
    }

    /// The gateway's token for a user with these permissions.
    pub fn token(&self, issuer: &str, permissions: &[&str]) -> String {
        self.sign(&self.header(), &claims(issuer, permissions))
    }
}

pub fn claims(issuer: &str, permissions: &[&str]) -> Value {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    json!({"iss": issuer, "aud": "@example/crm", "sub": "alice", "tenantId": TENANT,
           "permissions": permissions, "iat": now, "exp": now + 60, "jti": "one", "sid": "two"})
}

/// One request the kernel got.
#[derive(Clone, Debug)]
pub struct Asked {
    pub method: String,
    pub path: String,
    pub headers: HeaderMap,
    pub body: Value,
}

impl Asked {
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

#[derive(Default)]
pub struct Script {
    /// The keys of each host; no entry is an unknown sandbox.
    pub keys: BTreeMap<String, Vec<Value>>,
    /// Answers to everything else, in order; then 404.
    pub answers: VecDeque<(StatusCode, Value)>,
    pub asked: Vec<Asked>,
    /// When set, JWKS requests get this status instead.
    pub jwks_fault: Option<StatusCode>,
}

#[derive(Clone)]
pub struct PaperKernel {
    pub address: SocketAddr,
    pub script: Arc<Mutex<Script>>,
}

impl PaperKernel {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let script = Arc::<Mutex<Script>>::default();
        let router = Router::new().fallback(answer).with_state(Arc::clone(&script));
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        PaperKernel { address, script }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub fn knows(&self, host: &str, signers: &[&Signer]) {
        let keys = signers.iter().map(|signer| signer.jwk()).collect();
        self.script.lock().unwrap().keys.insert(host.to_owned(), keys);
    }

    pub fn will_answer(&self, status: u16, body: Value) {
        self.script.lock().unwrap().answers.push_back((StatusCode::from_u16(status).unwrap(), body));
    }

    /// What was asked, but for the keys.
    pub fn asked(&self) -> Vec<Asked> {
        let script = self.script.lock().unwrap();
        script.asked.iter().filter(|asked| !asked.path.starts_with("/.well-known")).cloned().collect()
    }

    /// The hosts whose keys were asked for.
    pub fn keys_asked_of(&self) -> Vec<String> {
        let script = self.script.lock().unwrap();
        let keys = script.asked.iter().filter(|asked| asked.path.starts_with("/.well-known"));
        keys.map(|asked| asked.header("host").to_owned()).collect()
    }
}

async fn answer(State(script): State<Arc<Mutex<Script>>>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let body: Bytes = axum::body::to_bytes(body, 1 << 20).await.unwrap();
    let path = head.uri.path_and_query().unwrap().to_string();
    let host = head.headers.get("host").unwrap().to_str().unwrap().to_owned();
    let mut script = script.lock().unwrap();
    script.asked.push(Asked {
        method: head.method.to_string(),
        path: path.clone(),
        headers: head.headers,
        body: serde_json::from_slice(&body).unwrap_or(Value::Null),
    });
    if path == "/.well-known/jwks.json" {
        if let Some(status) = script.jwks_fault {
            return status.into_response();
        }
        return match script.keys.get(&host) {
            Some(keys) => axum::Json(json!({ "keys": keys })).into_response(),
            None => StatusCode::NOT_FOUND.into_response(),
        };
    }
    let missing = (StatusCode::NOT_FOUND, problem("not-found", 404, "No such thing."));
    let (status, body) = script.answers.pop_front().unwrap_or(missing);
    (status, [("etag", "\"7\"")], axum::Json(body)).into_response()
}

pub fn problem(slug: &str, status: u16, detail: &str) -> Value {
    let kind = format!("http://localhost:8080/problems/{slug}");
    json!({"type": kind, "title": slug, "status": status, "detail": detail})
}

pub fn deal(stage: &str) -> Value {
    json!({"id": DEAL, "company_id": COMPANY, "reference": "D-1", "title": "A deal", "stage": stage,
           "amount": 5000, "currency": "EUR", "version": 7})
}

/// The back-end under test and a kernel to go with it.
pub struct Crm {
    pub kernel: PaperKernel,
    pub signer: Signer,
    pub address: SocketAddr,
    pub client: reqwest::Client,
    stop: Option<oneshot::Sender<()>>,
    pub running: JoinHandle<Result<(), CrmError>>,
}

pub const HOST: &str = "localhost:8080";
pub const ISSUER: &str = "http://localhost:8080";

impl Crm {
    pub async fn start() -> Self {
        Self::start_with(|options| options).await
    }

    pub async fn start_with(change: impl FnOnce(Options) -> Options) -> Self {
        let kernel = PaperKernel::start().await;
        let signer = Signer::new("first");
        kernel.knows(HOST, &[&signer]);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let options = Options::new(listener, kernel.url()).until(async move {
            let _ = stopped.await;
        });
        let running = tokio::spawn(crm_example::serve(change(options)));
        Crm { kernel, signer, address, client: reqwest::Client::new(), stop: Some(stop), running }
    }

    pub fn with_keys(text: &str) -> impl FnOnce(Options) -> Options {
        let keys = ModuleKeys::parse(text).unwrap();
        move |options| options.with_module_keys(keys)
    }

    pub fn stop(&mut self) {
        if let Some(stop) = self.stop.take() {
            let _ = stop.send(());
        }
    }

    pub fn request(&self, method: &str, path: &str) -> reqwest::RequestBuilder {
        let url = format!("http://{}{path}", self.address);
        self.client.request(method.parse().unwrap(), url)
    }

    /// A request as the gateway sends it.
    pub fn as_alice(&self, method: &str, path: &str, permissions: &[&str]) -> reqwest::RequestBuilder {
        let token = self.signer.token(ISSUER, permissions);
        self.request(method, path).header("X-Kernel-Module-Token", token)
    }

    /// The status and problem slug a token gets.
    pub async fn try_token(&self, token: &str) -> (u16, String) {
        let answer =
            self.request("GET", "/whoami").header("X-Kernel-Module-Token", token).send().await.unwrap();
        outcome(answer).await
    }
}

/// Status and the last word of the problem's type; empty when it is not a problem.
pub async fn outcome(answer: reqwest::Response) -> (u16, String) {
    let status = answer.status().as_u16();
    let kind = answer.headers().get("content-type").map(|v| v.to_str().unwrap().to_owned());
    let body: Value = answer.json().await.unwrap_or_default();
    let slug = body["type"].as_str().and_then(|kind| kind.strip_prefix("/problems/")).unwrap_or_default();
    if !slug.is_empty() {
        assert_eq!(kind.as_deref(), Some("application/problem+json"));
        assert_eq!(body["status"], status);
    }
    (status, slug.to_owned())
}
