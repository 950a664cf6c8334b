//! Sending one request until it is answered, or given up.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use fabric::{
    breaker::{Change, Outcome},
    dialler::{DialError, Dialler, MOST_REDIRECTS, read_body},
};
use http::{HeaderName, HeaderValue, Request, StatusCode, header};
use uuid::Uuid;

use crate::{
    admission::Door, answer::Answer, auth, credentials::Credentials, model::Config, outward::Outward, retry,
};

/// Longest body that is read.
const MOST_BYTES: usize = 10_000_000;

/// What the kernel calls itself.
const AGENT: &str = concat!("platform-kernel/", env!("CARGO_PKG_VERSION"));

/// Where a request goes.
pub(crate) struct Target {
    /// The address, without a slash at its end.
    pub base: String,
    pub config: Config,
    pub credentials: Option<Credentials>,
    pub door: Arc<Door>,
}

/// What all attempts have in common.
#[derive(Debug, Clone)]
pub(crate) struct Marks {
    /// The Idempotency-Key: the same for all, so that a provider that knows such keys does it once.
    pub key: Uuid,
    /// W3C trace context.
    pub traceparent: String,
}

/// How often and until when.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Patience {
    /// Attempts after a failed one.
    pub retries: u32,
    pub until: Instant,
}

/// How it ended.
pub(crate) struct Sent {
    pub end: End,
    pub attempts: u32,
    /// What it did to the provider's breaker.
    pub change: Change,
    /// What of the answer must not be repeated.
    pub secrets: Vec<String>,
}

/// Ends of a call.
pub(crate) enum End {
    /// The provider answered.
    Answered(Answer),
    /// The provider refused the request (4xx): sending it again changes nothing.
    Rejected(Answer),
    /// It was not sent, or its answer is of no use; sending it again changes nothing. As a clause.
    Refused(String),
    /// The provider failed, in every attempt that there was time for. As a clause, with the last status.
    Failed(String, Option<StatusCode>),
    /// The provider gets a pause.
    Open(Duration),
}

/// Why an attempt brought no answer.
#[derive(Debug, Clone)]
pub(crate) enum Miss {
    /// By rule or by mistake: another attempt changes nothing. As a clause.
    Refused(String),
    /// Nobody answered, or it broke off. As a clause.
    Network(String),
    /// A server on the way says that it can't just now. As a clause.
    Unwell(String),
    /// It took too long.
    Late {
        /// Who was waited for.
        what: &'static str,
        /// How long.
        limit: Duration,
    },
}

impl Miss {
    fn told(&self) -> String {
        match self {
            Self::Refused(told) | Self::Network(told) | Self::Unwell(told) => told.clone(),
            Self::Late { what, limit } => format!("{what} did not answer within {} ms", limit.as_millis()),
        }
    }
}

impl From<DialError> for Miss {
    fn from(error: DialError) -> Self {
        match error {
            // Not which address it is: names of the operator's own network are not the tenant's to explore.
            DialError::Refused { host, .. } => Self::Refused(format!(
                "{host} is not on the public internet; if it may be called, the operator adds it to KERNEL_ALLOWED_TARGETS"
            )),
            DialError::BadAddress { .. } | DialError::TooLong { .. } | DialError::TooManyRedirects { .. } => {
                Self::Refused(error.to_string())
            }
            other => Self::Network(other.to_string()),
        }
    }
}

/// Sends a request, and again after a pause while the provider fails (5xx, 429, network) and there is time.
pub(crate) async fn send(
    dialler: &Dialler,
    target: &Target,
    request: &Outward,
    marks: &Marks,
    patience: Patience,
) -> Sent {
    let mut sender = Sender { dialler, target, request, marks, secrets: Vec::new() };
    sender.secrets.extend(target.credentials.iter().flat_map(Credentials::secrets));
    let (mut attempts, mut change) = (0, Change::None);
    let end = loop {
        let begun = Instant::now();
        let ticket = match target.door.breaker.enter(begun) {
            Ok(ticket) => ticket,
            Err(wait) => break End::Open(wait),
        };
        let limit = Duration::from_millis(target.config.timeout_ms.into())
            .min(patience.until.saturating_duration_since(begun));
        let met = sender.attempt(limit).await;
        attempts += 1;
        let (failure, asked) = match met {
            Ok(answer)
                if answer.status.is_server_error() || answer.status == StatusCode::TOO_MANY_REQUESTS =>
            {
                // A provider that asks for patience is well.
                let unwell = answer.status.is_server_error();
                change = note(
                    change,
                    ticket.end(Instant::now(), if unwell { Outcome::Failed } else { Outcome::Answered }),
                );
                let failure = End::Failed(answer.clause(&sender.secrets), Some(answer.status));
                (failure, answer.retry_after().map(Duration::from_secs))
            }
            Ok(answer) => {
                change = note(change, ticket.end(Instant::now(), Outcome::Answered));
                break if answer.status.is_client_error() {
                    End::Rejected(answer)
                } else {
                    End::Answered(answer)
                };
            }
            Err(miss @ Miss::Refused(_)) => {
                change = note(change, ticket.end(Instant::now(), Outcome::Unknown));
                break End::Refused(miss.told());
            }
            Err(miss) => {
                change = note(change, ticket.end(Instant::now(), Outcome::Failed));
                (End::Failed(miss.told(), None), None)
            }
        };
        let (now, until) = (Instant::now(), patience.until);
        let next = retry::next(attempts, patience.retries, asked, rand::random(), now, until);
        // Who waits for a provider that gets a pause waits for nothing.
        let Some(wait) = next.filter(|_| target.door.breaker.refuses(now).is_none()) else { break failure };
        tokio::time::sleep(wait).await;
        if !keep_pace(&target.door, until).await || target.door.breaker.refuses(Instant::now()).is_some() {
            break failure;
        }
    };
    Sent { end, attempts, change, secrets: sender.secrets }
}

/// What was done last counts, unless it was nothing.
fn note(before: Change, now: Change) -> Change {
    if now == Change::None { before } else { now }
}

/// Waits for a place in the provider's pace; false when there is none in time.
pub(crate) async fn keep_pace(door: &Door, until: Instant) -> bool {
    while let Err(wait) = door.pace.take(Instant::now()) {
        if Instant::now() + wait >= until {
            return false;
        }
        tokio::time::sleep(wait).await;
    }
    true
}

struct Sender<'a> {
    dialler: &'a Dialler,
    target: &'a Target,
    request: &'a Outward,
    marks: &'a Marks,
    secrets: Vec<String>,
}

impl Sender<'_> {
    /// One attempt, within `limit` from the first byte to the last.
    async fn attempt(&mut self, limit: Duration) -> Result<Answer, Miss> {
        let until = Instant::now() + limit;
        let late = Miss::Late { what: "the provider", limit };
        let (answer, token) = self.exchange(until, late.clone()).await?;
        match token {
            // A token may be taken back before its time: one more try with a fresh one.
            Some(refused) if answer.status == StatusCode::UNAUTHORIZED => {
                self.target.door.tokens.forget(&refused).await;
                self.exchange(until, late).await.map(|(answer, _)| answer)
            }
            _ => Ok(answer),
        }
    }

    async fn exchange(&mut self, until: Instant, late: Miss) -> Result<(Answer, Option<String>), Miss> {
        let left = || until.saturating_duration_since(Instant::now());
        let mut request = self.whole()?;
        let mut fetched = None;
        if let Some(credentials) = &self.target.credentials {
            if let Credentials::OAuth2(client) = credentials {
                let token = self.target.door.tokens.get(self.dialler, client, left()).await?;
                self.secrets.push(token.clone());
                fetched = Some(token);
            }
            auth::sign(&mut request, credentials, fetched.as_deref())
                .map_err(|_| Miss::Refused("its credentials make no request".to_owned()))?;
        }
        let exchange = async {
            let response = self.dialler.request_following(request, MOST_REDIRECTS, left()).await?;
            let (head, body) = response.into_parts();
            let body = read_body(body, MOST_BYTES, left()).await?;
            Ok::<_, DialError>(Answer::new(head, body))
        };
        match tokio::time::timeout(left(), exchange).await {
            Ok(Ok(answer)) => Ok((answer, fetched)),
            Ok(Err(DialError::Late { .. })) | Err(_) => Err(late),
            Ok(Err(error)) => Err(error.into()),
        }
    }

    /// The request without credentials.
    fn whole(&self) -> Result<Request<Bytes>, Miss> {
        let nowhere = || Miss::Refused("path and address make no address".to_owned());
        let uri = self.request.uri(&self.target.base).ok_or_else(nowhere)?;
        let (body, _) = self.request.payload();
        let mut request = Request::new(body);
        *request.method_mut() = self.request.method.http();
        *request.uri_mut() = uri;
        let headers = request.headers_mut();
        headers.insert(header::USER_AGENT, HeaderValue::from_static(AGENT));
        for (name, value) in self.target.config.headers.iter().chain(&self.request.headers) {
            let name = HeaderName::try_from(name.as_str());
            if let (Ok(name), Ok(value)) = (name, HeaderValue::from_str(value)) {
                headers.insert(name, value);
            }
        }
        let ours = [
            (header::CONTENT_TYPE, self.request.content_type().map(str::to_owned)),
            (HeaderName::from_static("idempotency-key"), Some(self.marks.key.to_string())),
            (HeaderName::from_static("traceparent"), Some(self.marks.traceparent.clone())),
        ];
        for (name, value) in ours {
            if let Some(Ok(value)) = value.map(HeaderValue::try_from) {
                headers.insert(name, value);
            }
        }
        Ok(request)
    }
}
