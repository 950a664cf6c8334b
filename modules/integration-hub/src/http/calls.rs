//! Calls, and the log of them.

use std::collections::BTreeMap;

use kernel::{Slug, Timestamp};
use ports::http::{Access, Body, Cx, One, Operation, Page, Query, Result, Routes, State};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Hub;
use crate::{
    answer::Encoding,
    model::{CallId, CallState, Origin, ProviderId},
    outward::Method,
};

/// A request to a provider.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct CallIn {
    /// Which provider.
    pub provider_id: ProviderId,
    /// What to do.
    pub method: Method,
    /// Below the provider's address, with its query: `/v1/charges?limit=3`.
    pub path: String,
    /// Headers beside those of the provider's config.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// The body: text is sent as it is, everything else as JSON.
    pub body: Option<Value>,
}

/// What the provider answered.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct CallOut {
    /// The call, in the log.
    pub id: CallId,
    /// The provider's status: a success or a redirect.
    pub status: u16,
    /// Its headers.
    pub headers: BTreeMap<String, String>,
    /// Its body.
    pub body: Value,
    /// How the body is told.
    pub body_encoding: Encoding,
    /// How often it was asked.
    pub attempts: u32,
    /// How long all of it took.
    pub duration_ms: u64,
}

/// A call in the log. Secrets are masked in it, and long bodies cut.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct LoggedOut {
    /// Its id.
    pub id: CallId,
    /// To which provider.
    pub provider_id: ProviderId,
    /// What that was called then.
    pub provider: String,
    /// Where it came from.
    pub origin: Origin,
    /// How it stands.
    pub state: CallState,
    /// Who called: `user:…`, `key:…`, `module:…`.
    pub actor: String,
    /// What was asked.
    pub method: Method,
    /// Where.
    pub path: String,
    /// With which headers.
    pub request_headers: BTreeMap<String, String>,
    /// With which body.
    pub request_body: Option<String>,
    /// The provider's last status.
    pub status: Option<i16>,
    /// What kind of body it answered.
    pub answer_type: Option<String>,
    /// Its body.
    pub answer_body: Option<String>,
    /// How long that was, in bytes.
    pub answer_bytes: Option<i64>,
    /// How often it was asked.
    pub attempts: i16,
    /// What went wrong.
    pub error: Option<String>,
    /// How long it took.
    pub duration_ms: Option<i32>,
    /// The trace it belongs to.
    pub trace_id: String,
    /// When it began.
    pub at: Timestamp,
}

/// The page wanted.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct CallsQuery {
    /// Entries a page, 1 to 100; 20 unless said.
    #[schemars(range(min = 1, max = 100))]
    pub limit: Option<u16>,
    /// The `meta.cursor` of the page before.
    pub cursor: Option<String>,
    /// To one provider only.
    pub provider_id: Option<ProviderId>,
    /// In one state only.
    pub state: Option<CallState>,
}

pub(super) fn add(routes: Routes<Hub>) -> Routes<Hub> {
    routes
        .add(
            Operation::post("/integrations/call", "callProvider", Access::Permission("integrations.call"))
                .summary("Send a request to a provider")
                .description(
                    "Answers with what the provider answered. A failure (5xx, 429, no answer) is tried again after 1, 2, \
                     4, 8 and 8 s, as long as the deadline of this request (30 s) and the provider's breaker allow; all \
                     attempts carry one `Idempotency-Key`, that of this request if it has one. Then the call becomes a \
                     dead letter and this is 502 `upstream-failed`. A 4xx of the provider is 502 with its words, at once.",
                )
                .body::<CallIn>()
                .answer::<CallOut>(200)
                .problems(&[
                    Slug::NotFound,
                    Slug::InvalidState,
                    Slug::RateLimited,
                    Slug::UpstreamFailed,
                    Slug::CircuitOpen,
                    Slug::Overloaded,
                ])
                .example(
                    r#"{"providerId":"0190a1b2-0000-7000-8000-000000000000","method":"POST","path":"/v1/messages","headers":{"Accept":"application/json"},"body":{"to":"Ada","text":"Hello"}}"#,
                ),
            call,
        )
        .add(
            Operation::get("/integrations/calls", "listCalls", Access::Permission("integrations.read"))
                .summary("List the calls of the last 30 days, the latest first")
                .query::<CallsQuery>()
                .lists::<LoggedOut>()
                .problems(&[Slug::InvalidCursor]),
            list,
        )
}

async fn call(State(hub): State<Hub>, Cx(cx): Cx, Body(wish): Body<CallIn>) -> Result<One<CallOut>> {
    Ok(One::new(hub.call(&cx, wish).await?))
}

async fn list(
    State(hub): State<Hub>,
    Cx(cx): Cx,
    Query(query): Query<CallsQuery>,
) -> Result<Page<LoggedOut>> {
    Ok(hub.calls(&cx, &query).await?)
}
