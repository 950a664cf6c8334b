//! Who asks, as an extractor: a handler that takes a [`Caller`] can't be reached without a
//! valid module token.

use axum::extract::FromRequestParts;
use http::request::Parts;
use http::{HeaderName, HeaderValue};
use uuid::Uuid;

use crate::http::App;
use crate::issuer::Issuer;
use crate::problem::Problem;
use crate::refusal::Refusal;
use crate::token::{Claims, Unverified, now_seconds};

/// The header in which the gateway sends the module token.
pub(crate) const TOKEN_HEADER: &str = "x-kernel-module-token";

/// Passed on with calls to the kernel, so that one trace shows the whole way.
const TRACE_HEADERS: [&str; 2] = ["x-request-id", "traceparent"];

/// A user of a tenant of a sandbox, as the gateway vouches for it.
pub(crate) struct Caller {
    issuer: Issuer,
    claims: Claims,
    token: String,
    trace: Vec<(HeaderName, HeaderValue)>,
}

impl Caller {
    pub(crate) fn issuer(&self) -> &Issuer {
        &self.issuer
    }

    pub(crate) fn user(&self) -> &str {
        &self.claims.sub
    }

    pub(crate) fn tenant(&self) -> Uuid {
        self.claims.tenant_id
    }

    pub(crate) fn permissions(&self) -> &[String] {
        &self.claims.permissions
    }

    /// The token itself, to call the kernel back with.
    pub(crate) fn token(&self) -> &str {
        &self.token
    }

    pub(crate) fn trace(&self) -> &[(HeaderName, HeaderValue)] {
        &self.trace
    }

    /// The gateway has checked the route's permission; checking again costs nothing and holds
    /// when a manifest is changed without thinking.
    pub(crate) fn needs(&self, permission: &str) -> Result<(), Problem> {
        if self.claims.grant(permission) { Ok(()) } else { Err(Problem::forbidden(permission)) }
    }
}

impl FromRequestParts<App> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        let mut tokens = parts.headers.get_all(TOKEN_HEADER).iter();
        let (Some(token), None) = (tokens.next(), tokens.next()) else { return Err(Refusal::Missing.into()) };
        let token = token.to_str().map_err(|_| Refusal::Missing)?.to_owned();
        let (issuer, claims) = believe(app, &token).await?;
        let named = |name| Some((HeaderName::from_static(name), parts.headers.get(name)?.clone()));
        let trace = TRACE_HEADERS.into_iter().filter_map(named).collect();
        Ok(Caller { issuer, claims, token, trace })
    }
}

async fn believe(app: &App, token: &str) -> Result<(Issuer, Claims), Refusal> {
    let unverified = Unverified::read(token)?;
    let issuer = unverified.issuer();
    if !app.takes(issuer) {
        return Err(Refusal::OtherIssuer(issuer.url().to_owned()));
    }
    let key = app.keys.find(issuer, unverified.key_id()).await?;
    unverified.verify(&key, now_seconds())
}
