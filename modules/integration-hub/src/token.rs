//! Tokens of OAuth 2.0 client credentials (RFC 6749 §4.4): fetched by one, used by all.

use std::time::{Duration, Instant};

use bytes::Bytes;
use fabric::dialler::{Dialler, read_body};
use http::{HeaderValue, Request, header};
use serde::Deserialize;
use tokio::sync::Mutex;

use crate::{
    answer::Answer,
    credentials::{Client, basic},
    sending::Miss,
};

/// A token is used until this long before its end.
const MARGIN: Duration = Duration::from_secs(30);

/// How long a token is used whose server does not say how long it lasts.
const UNLESS_SAID: Duration = Duration::from_secs(300);

/// Longest answer of a token address.
const MOST_BYTES: usize = 64_000;

/// The token of one provider.
#[derive(Default)]
pub(crate) struct Tokens(Mutex<Slot>);

#[derive(Default)]
struct Slot {
    token: Option<Token>,
    /// When fetching failed last, and how: who waited meanwhile need not try for himself.
    failed: Option<(Instant, Miss)>,
}

#[derive(Clone)]
struct Token {
    text: String,
    good_until: Instant,
}

#[derive(Deserialize)]
struct TokenAnswer {
    access_token: String,
    expires_in: Option<u64>,
}

impl Tokens {
    /// The token; one of those who wait for it fetches it, within `limit`.
    pub(crate) async fn get(
        &self,
        dialler: &Dialler,
        client: &Client,
        limit: Duration,
    ) -> Result<String, Miss> {
        let asked = Instant::now();
        let late = || Miss::Late { what: "the token address", limit };
        let waited = tokio::time::timeout(limit, self.0.lock()).await;
        let mut slot = waited.map_err(|_| late())?;
        if let Some(token) = slot.token.as_ref().filter(|token| token.good_until > Instant::now()) {
            return Ok(token.text.clone());
        }
        if let Some((_, miss)) = slot.failed.as_ref().filter(|(at, _)| *at >= asked) {
            return Err(miss.clone());
        }
        let left = limit.saturating_sub(asked.elapsed());
        let fetched = tokio::time::timeout(left, fetch(dialler, client, left)).await;
        match fetched.unwrap_or_else(|_| Err(late())) {
            Ok(token) => {
                let text = token.text.clone();
                *slot = Slot { token: Some(token), failed: None };
                Ok(text)
            }
            Err(miss) => {
                slot.failed = Some((Instant::now(), miss.clone()));
                Err(miss)
            }
        }
    }

    /// The provider did not take this token: the next caller fetches another, unless one did already.
    pub(crate) async fn forget(&self, refused: &str) {
        let mut slot = self.0.lock().await;
        if slot.token.as_ref().is_some_and(|token| token.text == refused) {
            slot.token = None;
        }
    }
}

async fn fetch(dialler: &Dialler, client: &Client, limit: Duration) -> Result<Token, Miss> {
    // RFC 6749 §2.3.1: both parts are form-encoded before they are put together.
    let coded = |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
    let credentials = basic(&coded(&client.id), &kernel::Secret::new(coded(client.secret.expose())));
    let mut authorization = HeaderValue::try_from(format!("Basic {credentials}"))
        .map_err(|_| Miss::Refused("the client's credentials make no header".to_owned()))?;
    authorization.set_sensitive(true);
    let request = Request::post(client.token_url.as_str())
        .header(header::AUTHORIZATION, authorization)
        .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
        .header(header::ACCEPT, "application/json")
        .body(Bytes::from(form(client)))
        .map_err(|_| Miss::Refused("the token address is none".to_owned()))?;
    let asked = Instant::now();
    let response = dialler.request_following(request, 0, limit).await.map_err(Miss::from)?;
    let (head, body) = response.into_parts();
    let answer = Answer::new(head, read_body(body, MOST_BYTES, limit).await.map_err(Miss::from)?);
    if !answer.status.is_success() {
        let secrets = [client.secret.expose().to_owned(), credentials];
        let told = format!("the token address {}", answer.clause(&secrets));
        return Err(if answer.status.is_server_error() { Miss::Unwell(told) } else { Miss::Refused(told) });
    }
    let token: TokenAnswer = serde_json::from_slice(&answer.body)
        .map_err(|_| Miss::Refused("the token address answered something else than a token".to_owned()))?;
    if HeaderValue::from_str(&token.access_token).is_err() {
        return Err(Miss::Refused("the token does not fit into a header".to_owned()));
    }
    // Real time: it is the other end's clock that counts.
    let lasts = token.expires_in.map_or(UNLESS_SAID, Duration::from_secs).min(Duration::from_secs(86_400));
    // One that ends sooner than the margin is used once.
    Ok(Token { text: token.access_token, good_until: asked + lasts.saturating_sub(MARGIN) })
}

fn form(client: &Client) -> String {
    let mut form = form_urlencoded::Serializer::new(String::new());
    form.append_pair("grant_type", "client_credentials");
    for (name, value) in [("scope", &client.scope), ("audience", &client.audience)] {
        if let Some(value) = value {
            form.append_pair(name, value);
        }
    }
    form.finish()
}
