//! A client of the running kernel, for the verbs: over loopback, with the operator's key from the data folder.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, StatusCode, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::client::legacy::{Client, connect::HttpConnector};
use hyper_util::rt::TokioExecutor;
use kernel::config::Config;
use kernel::{SandboxName, Secret};
use serde::Deserialize;
use serde_json::Value;

use crate::failure::Failure;
use crate::running::{self, Running};

/// The answer of a list or of `openapi` is far smaller.
const ANSWER_LIMIT: usize = 64 * 1024 * 1024;
/// Registering a module may take two minutes.
const PATIENCE: Duration = Duration::from_secs(150);

/// The running kernel of a data folder.
pub struct Kernel {
    running: Running,
    data_dir: PathBuf,
    address: SocketAddr,
    key: Option<Secret>,
    client: Client<HttpConnector, Full<Bytes>>,
    patience: Duration,
}

/// What it answered.
#[derive(Debug)]
pub struct Answer {
    /// The status.
    pub status: StatusCode,
    /// The body as it came.
    pub body: Bytes,
}

/// A problem (RFC 9457), as far as it is told here.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Problem {
    /// The last part of it is the slug.
    pub r#type: String,
    /// A few words.
    pub title: String,
    /// The sentence.
    pub detail: String,
    /// Finds the log lines.
    pub trace_id: String,
    /// One for each wrong field.
    pub errors: Vec<FieldProblem>,
}

/// One wrong field.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct FieldProblem {
    /// A JSON pointer.
    pub field: String,
    /// What is wrong.
    pub message: String,
}

impl Kernel {
    /// The kernel that runs on the configured data folder.
    ///
    /// # Errors
    /// Nothing runs there, or the operator's key can't be read.
    pub fn of(config: &Config) -> Result<Self, Failure> {
        let data_dir = &config.data_dir;
        let running = Running::read(data_dir).ok_or_else(|| nothing_runs(data_dir))?;
        let path = data_dir.join("operator.key");
        let key = std::fs::read_to_string(&path).map_err(|error| {
            Failure::new(format!(
                "cannot read the operator's key {}: {error}; run this as the user that runs the kernel",
                path.display()
            ))
        })?;
        let mut kernel = Self::without_key(running, data_dir)?;
        kernel.key = Some(Secret::new(key.trim()));
        Ok(kernel)
    }

    /// For what needs no right.
    ///
    /// # Errors
    /// The file names no port.
    pub fn without_key(running: Running, data_dir: &Path) -> Result<Self, Failure> {
        let address = running.socket("http").ok_or_else(|| nothing_runs(data_dir))?;
        let mut connector = HttpConnector::new();
        connector.set_connect_timeout(Some(Duration::from_secs(5)));
        let client = Client::builder(TokioExecutor::new()).build(connector);
        Ok(Self { running, data_dir: data_dir.to_owned(), address, key: None, client, patience: PATIENCE })
    }

    /// Waits no longer than this for an answer.
    #[must_use]
    pub fn within(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// What its file says.
    pub fn running(&self) -> &Running {
        &self.running
    }

    /// Calls and gives whatever is answered. `sandbox` is another one than `default`.
    ///
    /// # Errors
    /// Nobody answers.
    pub async fn call(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
        sandbox: Option<&SandboxName>,
    ) -> Result<Answer, Failure> {
        let mut request = Request::builder()
            .method(method)
            .uri(format!("http://{}{path}", self.address))
            // By name, not by address: what the CLI may do must not follow from where it calls from.
            .header(header::HOST, "localhost")
            .header(header::ACCEPT, "application/json");
        if let Some(key) = &self.key {
            request = request.header(header::AUTHORIZATION, format!("Bearer {}", key.expose()));
        }
        if let Some(sandbox) = sandbox {
            request = request.header("x-kernel-sandbox", sandbox.as_str());
        }
        let bytes = match body {
            Some(body) => {
                request = request.header(header::CONTENT_TYPE, "application/json");
                Bytes::from(body.to_string())
            }
            None => Bytes::new(),
        };
        let request = request
            .body(Full::new(bytes))
            .map_err(|error| Failure::new(format!("the call is no call: {error}")))?;
        let answered = tokio::time::timeout(self.patience, async {
            let response = self.client.request(request).await.map_err(|_| self.does_not_answer())?;
            let status = response.status();
            let body = Limited::new(response.into_body(), ANSWER_LIMIT).collect().await.map_err(|error| {
                Failure::new(format!("the answer of the kernel at {} broke off: {error}", self.address))
            })?;
            Ok(Answer { status, body: body.to_bytes() })
        });
        answered.await.unwrap_or_else(|_| {
            Err(Failure::new(format!(
                "the kernel at {} did not answer within {} s; `platform-kernel logs` may say why",
                self.address,
                self.patience.as_secs()
            )))
        })
    }

    /// Calls and gives the JSON of a successful answer; null when it has no body.
    ///
    /// # Errors
    /// As of [`call`](Self::call); a problem becomes its sentence.
    pub async fn ask(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
        sandbox: Option<&SandboxName>,
    ) -> Result<Value, Failure> {
        let answer = self.call(method, path, body, sandbox).await?;
        if !answer.status.is_success() {
            return Err(answer.failure());
        }
        answer.json()
    }

    fn does_not_answer(&self) -> Failure {
        Failure::new(format!(
            "the kernel of {} does not answer: {} names process {} at {}. If it was killed, start it again with \
             `platform-kernel`",
            self.data_dir.display(),
            running::path(&self.data_dir).display(),
            self.running.pid,
            self.address
        ))
    }
}

fn nothing_runs(data_dir: &Path) -> Failure {
    Failure::new(format!(
        "no kernel is running on {}. Start one in another terminal:\n  platform-kernel\nor name the data folder of the \
         one that runs with --data-dir",
        data_dir.display()
    ))
}

impl Answer {
    /// The body as JSON.
    ///
    /// # Errors
    /// It is something else.
    pub fn json(&self) -> Result<Value, Failure> {
        if self.body.is_empty() {
            return Ok(Value::Null);
        }
        serde_json::from_slice(&self.body).map_err(|_| {
            Failure::new(format!(
                "the answer ({}) is not JSON; does another program listen on that port?",
                self.status
            ))
        })
    }

    /// Why a kernel is not ready.
    pub fn reason(&self) -> String {
        let told: Value = serde_json::from_slice(&self.body).unwrap_or_default();
        match told["reason"].as_str() {
            Some(reason) => reason.to_owned(),
            None => self.failure().into_sentence(),
        }
    }

    /// The problem, as far as the body tells one.
    pub fn problem(&self) -> Problem {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    /// The sentence of a problem, with its wrong fields and where the log has more.
    pub fn failure(&self) -> Failure {
        let problem = self.problem();
        let mut told = match (problem.detail.as_str(), problem.title.as_str()) {
            ("", "") => format!("the kernel answered {}", self.status),
            ("", title) => title.to_owned(),
            (detail, _) => detail.to_owned(),
        };
        if let [only] = problem.errors.as_slice()
            && told.contains(&only.message)
        {
            // The sentence is that field's already.
            told = format!("{}: {}", only.field.trim_start_matches('/'), only.message);
        } else {
            for error in &problem.errors {
                told.push_str(&format!("\n  {}: {}", error.field.trim_start_matches('/'), error.message));
            }
        }
        if self.status == StatusCode::UNAUTHORIZED {
            told.push_str(
                "\nThe key in the data folder is not this kernel's: was it started on another folder?",
            );
        }
        if self.status.is_server_error() && !problem.trace_id.is_empty() {
            told.push_str(&format!("\nMore: platform-kernel logs --trace {}", problem.trace_id));
        }
        Failure::new(told)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, body: &str) -> Answer {
        Answer { status: StatusCode::from_u16(status).unwrap(), body: Bytes::from(body.to_owned()) }
    }

    #[test]
    fn a_problem_becomes_a_sentence_with_its_fields() {
        let told = answer(
            400,
            r#"{"title":"Bad","detail":"It won't do.","errors":[{"field":"/name","message":"is too long"}]}"#,
        );
        assert_eq!(told.failure().sentence(), "It won't do.\n  name: is too long");
        let told = answer(
            400,
            r#"{"detail":"/name: is too long","errors":[{"field":"/name","message":"is too long"}]}"#,
        );
        assert_eq!(told.failure().sentence(), "name: is too long");
    }

    #[test]
    fn a_fault_names_the_trace() {
        let told = answer(500, r#"{"title":"Internal","traceId":"abc"}"#).failure();
        assert_eq!(told.sentence(), "Internal\nMore: platform-kernel logs --trace abc");
        assert_eq!(answer(502, "<html>").failure().sentence(), "the kernel answered 502 Bad Gateway");
    }

    #[test]
    fn an_empty_body_is_null() {
        assert_eq!(answer(204, "").json().unwrap(), Value::Null);
        assert!(answer(200, "hello").json().is_err());
    }

    #[test]
    fn where_nothing_runs_the_next_line_is_told() {
        assert!(nothing_runs(Path::new("/data")).sentence().contains("\n  platform-kernel\n"));
    }
}
