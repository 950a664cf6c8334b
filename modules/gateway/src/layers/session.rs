use axum::body::{Body, to_bytes};
use http::{HeaderMap, HeaderValue, Method, header};
use kernel::{Error, Result, Slug};
use ports::http::{BASE, Failure};
use serde_json::{Value, json};

use super::{Around, Onward};
use crate::{
    operator::cookie,
    origin,
    problem::refuse,
    visit::{Arrival, Response, Visit},
};

/// With `cookie` in it, the refresh token of an answer is kept in a cookie and read from there.
///
/// A page of another origin can't send it: it needs a preflight, and CORS does not list it.
const HEADER: &str = "x-kernel-session";
/// As long as a refresh token lives unused.
const MAX_AGE_SECONDS: u32 = 7 * 86_400;
/// Answers of these operations are small.
const ANSWER_LIMIT: usize = 64 * 1024;

/// Keeps a browser's refresh token where no script can read it: in a cookie that only the addresses of `/auth` get. What
/// is left to the page is an access token of 15 minutes, in its memory.
///
/// There is no second way to sign in: the operations are those of iam, and every layer applies to them as always. Only
/// the envelope differs, and only for our own page that asks for it.
#[derive(Clone, Copy)]
pub(crate) struct Session;

/// What an operation does with the refresh token.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Act {
    /// Its answer brings one.
    Begin,
    /// It takes one and brings the next.
    Renew,
    /// It takes one and ends it.
    Leave,
    /// It ends the session without being told which.
    Forget,
}

impl Act {
    fn of(visit: &Visit) -> Option<Self> {
        match visit.entry()?.operation.id {
            "login" | "register" | "setUp" | "selectTenant" | "switchTenant" => Some(Self::Begin),
            "refreshTokens" => Some(Self::Renew),
            "logout" => Some(Self::Leave),
            "logoutAll" => Some(Self::Forget),
            _ => None,
        }
    }
}

impl Around for Session {
    async fn take(self, mut arrival: Arrival, onward: impl Onward) -> Response {
        let visit = std::sync::Arc::clone(&arrival.visit);
        let asked = arrival.request.headers().get(HEADER).is_some_and(|value| value == "cookie");
        let act = Act::of(&visit).filter(|_| asked && *arrival.request.method() == Method::POST);
        let Some(act) = act else { return onward.go(arrival).await };
        if !is_our_page(&visit, arrival.request.headers()) {
            return refuse(Error::new(
                Slug::OriginNotAllowed,
                "Sessions in cookies are for the console's own pages; other clients keep the refresh token themselves.",
            ));
        }
        let jar = Jar::of(&visit);
        // A stored answer would bring the token past this layer, and signing in twice is no harm.
        arrival.request.headers_mut().remove("idempotency-key");
        if matches!(act, Act::Renew | Act::Leave) {
            let token = cookie(arrival.request.headers(), &jar.name).map(str::to_owned);
            match (token, act) {
                (Some(token), _) => put(&mut arrival, &json!({ "refreshToken": token })),
                (None, Act::Leave) => put(&mut arrival, &json!({})),
                (None, _) => return refuse(Error::unauthorized().because("no session cookie")),
            }
        }
        let mut response = onward.go(arrival).await;
        let ended = match act {
            Act::Leave | Act::Forget => true,
            _ => response.extensions().get::<Failure>().is_some_and(|Failure(error)| {
                act == Act::Renew && error.slug().status() == http::StatusCode::UNAUTHORIZED
            }),
        };
        if ended {
            jar.empty(response.headers_mut());
            return response;
        }
        match response.status().is_success() && response.extensions().get::<Failure>().is_none() {
            true => kept(&jar, response).await.unwrap_or_else(refuse),
            false => response,
        }
    }
}

/// Moves the refresh token of an answer into the cookie. A sign-in that is to choose a tenant first has none yet.
async fn kept(jar: &Jar, response: Response) -> Result<Response> {
    let (mut head, body) = response.into_parts();
    let text = to_bytes(body, ANSWER_LIMIT).await.map_err(Error::internal)?;
    let mut answer: Value = serde_json::from_slice(&text).map_err(Error::internal)?;
    head.headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    head.headers.remove(header::ETAG);
    head.headers.remove(header::CONTENT_LENGTH);
    if let Some(Value::String(token)) = answer.as_object_mut().and_then(|all| all.remove("refreshToken")) {
        jar.keep(&mut head.headers, &token)?;
    }
    Ok(Response::from_parts(head, Body::from(answer.to_string())))
}

fn put(arrival: &mut Arrival, body: &Value) {
    let text = body.to_string();
    let headers = arrival.request.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(text.len()));
    *arrival.request.body_mut() = Body::from(text);
}

fn is_our_page(visit: &Visit, headers: &HeaderMap) -> bool {
    let (https, authority) = (visit.origin().https, visit.authority());
    origin::cookie_may_count(&Method::POST, headers, https, authority, &visit.core.settings.public_url)
}

/// The cookie of one sandbox of one installation.
struct Jar {
    name: String,
    attributes: &'static str,
}

impl Jar {
    /// Browsers share cookies between the ports of a host, so the name tells installation and sandbox; and one that came
    /// over TLS can't be overwritten without, so it has a name of its own.
    fn of(visit: &Visit) -> Self {
        let (installation, sandbox) = (visit.core.operator.installation(), visit.core.sandbox.as_str());
        let (mark, attributes) = match visit.origin().https {
            true => ("s", "; Secure"),
            false => ("", ""),
        };
        Self { name: format!("pk_session{mark}_{installation}_{sandbox}"), attributes }
    }

    fn keep(&self, headers: &mut HeaderMap, token: &str) -> Result<()> {
        self.set(headers, token, MAX_AGE_SECONDS)
            .ok_or_else(|| Error::internal("a refresh token that fits no cookie"))
    }

    fn empty(&self, headers: &mut HeaderMap) {
        // The name and an empty value always fit.
        let _ = self.set(headers, "", 0);
    }

    fn set(&self, headers: &mut HeaderMap, value: &str, max_age: u32) -> Option<()> {
        let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b'=');
        if !value.bytes().all(plain) {
            return None;
        }
        let Self { name, attributes } = self;
        let text = format!(
            "{name}={value}; Path={BASE}/auth; Max-Age={max_age}; HttpOnly; SameSite=Strict{attributes}"
        );
        headers.append(header::SET_COOKIE, HeaderValue::from_str(&text).ok()?);
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;

    use super::*;
    use crate::{layers::around, tests::gateway, tests::json, visit::AskedHost, visit::Origin};

    const OWN: &str = "http://localhost:8080";

    async fn arrival(path: &str, headers: &[(&str, &str)], https: bool) -> Arrival {
        let mut request = http::Request::post(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let arrival = gateway().await.found(request);
        let authority = Some("localhost:8080".into());
        arrival.visit.host.get_or_init(|| AskedHost { authority, ..AskedHost::default() });
        arrival.visit.client.get_or_init(|| Origin { address: None, https });
        arrival
    }

    fn tokens(_: Arrival) -> Response {
        Response::new(Body::from(r#"{"accessToken":"at","refreshToken":"rt_1","user":{"name":"Ada"}}"#))
    }

    async fn text(arrival: Arrival) -> String {
        let bytes = arrival.request.into_body().collect().await.unwrap().to_bytes();
        String::from_utf8(bytes.to_vec()).unwrap()
    }

    #[tokio::test]
    async fn a_sign_in_of_our_page_keeps_the_refresh_token_in_a_cookie() {
        let headers = [(HEADER, "cookie"), ("origin", OWN)];
        let response = around(Session, arrival("/api/v1/auth/login", &headers, false).await, tokens).await;
        assert_eq!(
            response.headers()[header::SET_COOKIE],
            "pk_session_0a0b0c0d_acme=rt_1; Path=/api/v1/auth; Max-Age=604800; HttpOnly; SameSite=Strict"
        );
        assert_eq!(response.headers()[header::CACHE_CONTROL], "no-store");
        let body = json(response).await;
        assert_eq!((&body["accessToken"], body.get("refreshToken")), (&json!("at"), None));
        let tls = [(HEADER, "cookie"), ("origin", "https://localhost:8080")];
        let response = around(Session, arrival("/api/v1/auth/login", &tls, true).await, tokens).await;
        let cookie = response.headers()[header::SET_COOKIE].to_str().unwrap().to_owned();
        assert!(cookie.starts_with("pk_sessions_0a0b0c0d_acme=") && cookie.ends_with("; Secure"), "{cookie}");
    }

    #[tokio::test]
    async fn others_get_the_answer_as_it_is_and_other_origins_none() {
        let plain = arrival("/api/v1/auth/login", &[("origin", OWN)], false).await;
        let response = around(Session, plain, tokens).await;
        assert!(!response.headers().contains_key(header::SET_COOKIE));
        assert_eq!(json(response).await["refreshToken"], "rt_1");
        for origin in
            [&[(HEADER, "cookie"), ("origin", "https://evil.example")][..], &[(HEADER, "cookie")][..]]
        {
            let other = arrival("/api/v1/auth/login", origin, false).await;
            let response = around(Session, other, |_| unreachable!("it is not passed on")).await;
            assert_eq!(response.status(), 403);
        }
    }

    #[tokio::test]
    async fn the_cookie_is_exchanged_for_the_next_one() {
        let cookies = "a=b; pk_session_0a0b0c0d_other=rt_x; pk_session_0a0b0c0d_acme=rt_0";
        let headers = [(HEADER, "cookie"), ("origin", OWN), ("cookie", cookies)];
        let sent = std::sync::Arc::new(std::sync::Mutex::new(None));
        let seen = std::sync::Arc::clone(&sent);
        let with = arrival("/api/v1/auth/refresh", &headers, false).await;
        let response = around(Session, with, move |arrival| {
            *seen.lock().unwrap() = Some(arrival);
            let visit = seen.lock().unwrap().as_ref().unwrap().visit.clone();
            tokens(Arrival::new(http::Request::default(), visit))
        })
        .await;
        let arrived = sent.lock().unwrap().take().unwrap();
        assert_eq!(text(arrived).await, r#"{"refreshToken":"rt_0"}"#);
        assert!(response.headers()[header::SET_COOKIE].to_str().unwrap().contains("_acme=rt_1;"));
        let without = arrival("/api/v1/auth/refresh", &headers[..2], false).await;
        let response = around(Session, without, |_| unreachable!("there is nothing to exchange")).await;
        assert_eq!(response.status(), 401);
    }

    #[tokio::test]
    async fn leaving_and_a_session_that_has_ended_empty_the_cookie() {
        let headers = [(HEADER, "cookie"), ("origin", OWN), ("cookie", "pk_session_0a0b0c0d_acme=rt_0")];
        let ended = |_| refuse(Error::unauthorized());
        let renewed = around(Session, arrival("/api/v1/auth/refresh", &headers, false).await, ended).await;
        let left = arrival("/api/v1/auth/logout", &headers, false).await;
        let left = around(Session, left, |_| Response::new(Body::from("{}"))).await;
        for response in [renewed, left] {
            let cookie = response.headers()[header::SET_COOKIE].to_str().unwrap();
            assert!(cookie.contains("_acme=; ") && cookie.contains("Max-Age=0"), "{cookie}");
        }
    }
}
