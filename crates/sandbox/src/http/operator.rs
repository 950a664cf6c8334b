//! How a browser becomes the operator's.

use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use kernel::{Error, Slug};
use ports::http::{Access, Created, Cx, Operation, Query, Result, Routes, State};
use schemars::JsonSchema;
use serde::Deserialize;

use super::{Held, UrlOut, estate};

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct OpenIn {
    token: String,
}

pub(super) fn add(routes: Routes<Held>) -> Routes<Held> {
    routes
        .add(
            Operation::post("/operator/links", "createOperatorLink", Access::Operator)
                .summary("A single-use link that signs a browser in as the operator")
                .answer::<UrlOut>(201),
            link,
        )
        .add(
            Operation::post("/operator/sign-out", "signOperatorOut", Access::Operator)
                .summary("End the operator's session of this browser")
                .status(204)
                .harmless(),
            sign_out,
        )
        .add(
            Operation::protocol("/open", "openOperatorLink", Access::Public)
                .summary("Use an operator link")
                .query::<OpenIn>()
                .status(303),
            open,
        )
}

async fn link(State(held): State<Held>, Cx(cx): Cx) -> Result<Created<UrlOut>> {
    let estate = estate(&held)?;
    let token = estate.operator().link(&cx).await?;
    Ok(Created(UrlOut {
        url: format!("{}/open?token={token}", estate.options.public_url.trim_end_matches('/')),
    }))
}

async fn sign_out(State(held): State<Held>, headers: HeaderMap) -> Result<Response> {
    use gateway::OperatorGate as _;
    let estate = estate(&held)?;
    let name = estate.operator().cookie_name();
    let cookies = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut values =
        cookies.flat_map(|v| v.split(';')).filter_map(|c| c.trim().strip_prefix(name)?.strip_prefix('='));
    if let Some(session) = values.next() {
        estate.operator().sign_out(session).await?;
        estate.tell_sessions().await;
    }
    let mut response = StatusCode::NO_CONTENT.into_response();
    let cookie = format!("{name}=; Path=/; HttpOnly; SameSite=Strict; Max-Age=0");
    let cookie = HeaderValue::from_str(&cookie).map_err(Error::internal)?;
    response.headers_mut().insert(header::SET_COOKIE, cookie);
    Ok(response)
}

async fn open(State(held): State<Held>, Cx(cx): Cx, Query(query): Query<OpenIn>) -> Result<Response> {
    let estate = estate(&held)?;
    let Some(session) = estate.operator().sign_in(&cx, &query.token).await? else {
        return Err(Error::new(
            Slug::Gone,
            "This link was used or is older than 10 minutes; get a fresh one with `platform-kernel open`.",
        )
        .into());
    };
    estate.tell_sessions().await;
    use gateway::OperatorGate as _;
    let secure = if estate.options.public_url.starts_with("https") { "; Secure" } else { "" };
    let cookie = format!(
        "{}={session}; Path=/; HttpOnly; SameSite=Strict; Max-Age=43200{secure}",
        estate.operator().cookie_name()
    );
    let mut response = StatusCode::SEE_OTHER.into_response();
    response.headers_mut().insert(header::LOCATION, HeaderValue::from_static("/"));
    let cookie = HeaderValue::from_str(&cookie).map_err(Error::internal)?;
    response.headers_mut().insert(header::SET_COOKIE, cookie);
    Ok(response)
}
