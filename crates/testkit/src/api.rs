use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use reqwest::{Method, StatusCode, header};
use serde_json::{Value, json};
use tonic::transport::Channel;

use crate::{Recording, rpc};

/// A client of one sandbox's API, with or without a credential.
#[derive(Clone)]
pub struct Api {
    http: reqwest::Client,
    /// Asked in turn.
    bases: Arc<[String]>,
    turn: Arc<AtomicUsize>,
    host: String,
    token: Option<String>,
    recording: Option<Arc<Recording>>,
    /// Connections for gRPC by host, shared by all clones.
    channels: Arc<Mutex<HashMap<String, Channel>>>,
}

/// What came back.
#[derive(Debug)]
pub struct Answer {
    /// What was asked, for messages.
    pub asked: String,
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: header::HeaderMap,
    /// The body as JSON; null when there is none.
    pub body: Value,
    /// The body as text.
    pub text: String,
}

impl Api {
    /// A stranger at `base` (`http://127.0.0.1:port`), asking for `host`.
    pub fn new(base: impl Into<String>, host: impl Into<String>) -> Self {
        Self::of_replicas([base.into()], host)
    }

    /// A stranger who asks several replicas of one kernel in turn, a request each.
    pub fn of_replicas(bases: impl IntoIterator<Item = String>, host: impl Into<String>) -> Self {
        let http = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .build()
            .expect("a client");
        Self {
            http,
            bases: bases.into_iter().collect(),
            turn: Arc::default(),
            host: host.into(),
            token: None,
            recording: None,
            channels: Arc::default(),
        }
    }

    /// The same client, whose answers are noted.
    pub fn recorded(&self, recording: &Arc<Recording>) -> Self {
        Self { recording: Some(Arc::clone(recording)), ..self.clone() }
    }

    /// The same client, of whom nothing is noted: for what is asked until it is so.
    pub fn aside(&self) -> Self {
        Self { recording: None, ..self.clone() }
    }

    fn base(&self) -> &str {
        &self.bases[self.turn.fetch_add(1, Ordering::Relaxed) % self.bases.len()]
    }

    /// The same client asking for another host.
    pub fn on(&self, host: &str) -> Self {
        Self { host: host.to_owned(), ..self.clone() }
    }

    /// The same client for the sandbox of that name.
    pub fn sandbox(&self, name: &str) -> Self {
        self.on(&format!("{name}.localhost"))
    }

    /// The same client with a credential.
    pub fn with(&self, token: &str) -> Self {
        Self { token: Some(token.to_owned()), ..self.clone() }
    }

    /// The same client without a credential.
    pub fn stranger(&self) -> Self {
        Self { token: None, ..self.clone() }
    }

    /// The credential.
    pub fn token(&self) -> &str {
        self.token.as_deref().unwrap_or_default()
    }

    /// Signs in.
    pub async fn sign_in(&self, email: &str, password: &str) -> Self {
        let answer = self
            .stranger()
            .post("/api/v1/auth/login", json!({ "email": email, "password": password }))
            .await
            .expect(200);
        self.with(answer.body["accessToken"].as_str().expect("an access token"))
    }

    /// Registers a tenant with its Owner; the client is signed in as that Owner.
    pub async fn register(&self, organization: &str) -> (Self, Value) {
        let email = format!(
            "owner-{}@{}.example",
            uuid::Uuid::now_v7().simple(),
            organization.to_lowercase().replace(' ', "-")
        );
        let answer = self
            .stranger()
            .post(
                "/api/v1/auth/register",
                json!({ "email": email, "password": "correct horse battery", "name": "Olga Owner",
                        "organization": organization }),
            )
            .await
            .expect(201);
        (self.with(answer.body["accessToken"].as_str().expect("an access token")), answer.body)
    }

    /// `GET`.
    pub async fn get(&self, path: &str) -> Answer {
        self.send(Method::GET, path, None, &[]).await
    }

    /// `POST`.
    pub async fn post(&self, path: &str, body: Value) -> Answer {
        self.send(Method::POST, path, Some(body), &[]).await
    }

    /// `PATCH`.
    pub async fn patch(&self, path: &str, body: Value) -> Answer {
        self.send(Method::PATCH, path, Some(body), &[]).await
    }

    /// `DELETE`.
    pub async fn delete(&self, path: &str) -> Answer {
        self.send(Method::DELETE, path, None, &[]).await
    }

    /// Any request, with more headers.
    pub async fn send(
        &self,
        method: Method,
        path: &str,
        body: Option<Value>,
        headers: &[(&str, &str)],
    ) -> Answer {
        let asked = format!("{method} {path} on {}", self.host);
        let mut request = self
            .http
            .request(method.clone(), format!("{}{path}", self.base()))
            .header(header::HOST, &self.host);
        if let Some(token) = &self.token {
            request = request.bearer_auth(token);
        }
        if let Some(body) = body {
            request = request.json(&body);
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.answer(&method, path, asked, request).await
    }

    async fn answer(
        &self,
        method: &Method,
        path: &str,
        asked: String,
        request: reqwest::RequestBuilder,
    ) -> Answer {
        let response = request.send().await.unwrap_or_else(|error| panic!("{asked}: {error:?}"));
        let (status, headers) = (response.status(), response.headers().clone());
        let text = response.text().await.unwrap_or_else(|error| panic!("{asked}: {error:?}"));
        let body = serde_json::from_str(&text).unwrap_or(Value::Null);
        let answer = Answer { asked, status, headers, body, text };
        if let Some(recording) = &self.recording {
            recording.note(method, path, &self.host, &answer);
        }
        answer
    }

    /// Sends a form with one file in it.
    pub async fn upload(&self, path: &str, name: &str, kind: &str, bytes: &[u8]) -> Answer {
        let head = format!(
            "--bound\r\nContent-Disposition: form-data; name=\"file\"; filename=\"{name}\"\r\nContent-Type: {kind}\r\n\r\n"
        );
        let body = [head.as_bytes(), bytes, b"\r\n--bound--\r\n"].concat();
        let request = self.raw(Method::POST, path).body(body);
        let request = request.header(header::CONTENT_TYPE, "multipart/form-data; boundary=bound");
        let asked = format!("POST {path} on {}", self.host);
        self.answer(&Method::POST, path, asked, request).await
    }

    /// Calls the gRPC method at `path` (`/platform.iam.v1.IamService/GetUser`) with a message in protobuf's JSON form;
    /// members that the message does not have are left out. The answer reads like one over HTTP: a problem has the
    /// status of its slug.
    pub async fn rpc(&self, path: &str, message: &Value) -> Answer {
        let channel = {
            let mut channels = self.channels.lock().unwrap();
            channels
                .entry(self.host.clone())
                .or_insert_with(|| rpc::channel(&self.bases[0], &self.host))
                .clone()
        };
        rpc::call(channel, &self.host, self.token.as_deref(), path, message).await
    }

    /// The bare client, for what the others can't say.
    pub fn raw(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        let request =
            self.http.request(method, format!("{}{path}", self.base())).header(header::HOST, &self.host);
        match &self.token {
            Some(token) => request.bearer_auth(token),
            None => request,
        }
    }
}

impl Answer {
    /// The answer, if it has this status; else the test fails with what came.
    #[track_caller]
    pub fn expect(self, status: u16) -> Self {
        assert_eq!(self.status.as_u16(), status, "{}: {}", self.asked, self.text);
        self
    }

    /// The answer, if it is this problem.
    #[track_caller]
    pub fn expect_problem(self, status: u16, slug: &str) -> Self {
        let answer = self.expect(status);
        let kind = answer.body["type"].as_str().unwrap_or_default();
        assert!(kind.ends_with(&format!("/problems/{slug}")), "{}: {}", answer.asked, answer.text);
        assert!(answer.body["traceId"].as_str().is_some_and(|id| id.len() == 32), "{}", answer.text);
        answer
    }

    /// The `id` of what came.
    #[track_caller]
    pub fn id(&self) -> String {
        self.body["id"]
            .as_str()
            .unwrap_or_else(|| panic!("{}: no id in {}", self.asked, self.text))
            .to_owned()
    }

    /// The `data` of a list.
    #[track_caller]
    pub fn data(&self) -> &Vec<Value> {
        self.body["data"].as_array().unwrap_or_else(|| panic!("{}: no list in {}", self.asked, self.text))
    }
}
