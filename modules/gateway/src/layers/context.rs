use std::{sync::Arc, time::Instant};

use http::{HeaderMap, header};
use kernel::{Client, Ctx};
use tracing::{Instrument as _, Span};

use super::{Around, Onward};
use crate::visit::{Arrival, Identity, Response, Visit};

/// Bytes of a `User-Agent` that are kept.
const AGENT: usize = 256;

/// Makes the context: the one place at which who, where and by when become a [`Ctx`]. Links and statements keep the
/// deadline that is set here.
#[derive(Clone, Copy)]
pub(crate) struct Context;

impl Around for Context {
    async fn take(self, arrival: Arrival, onward: impl Onward) -> Response {
        let visit = Arc::clone(&arrival.visit);
        let cx = visit.cx.get_or_init(|| context(&visit, arrival.request.headers()));
        onward.go(arrival).instrument(span(&visit, cx)).await
    }
}

/// Puts the request's names on every line that is logged further in. Of the highest level, so that a quiet log has
/// them too.
fn span(visit: &Visit, cx: &Ctx) -> Span {
    tracing::error_span!(
        "request",
        service = visit.entry().map_or("gateway", |entry| entry.operation.service),
        sandbox = %cx.sandbox(),
        tenant = cx.caller().tenant.map(tracing::field::display),
        request_id = %cx.request(),
        trace_id = format_args!("{:032x}", cx.trace().trace_id),
    )
}

fn context(visit: &Visit, headers: &HeaderMap) -> Ctx {
    let Identity { request, trace } = visit.identity();
    let client = Client {
        address: visit.origin().address,
        agent: headers
            .get(header::USER_AGENT)
            .and_then(|value| value.to_str().ok())
            .map(|text| cut(text).into()),
        host: visit.host.get().and_then(|host| host.authority.clone()),
    };
    let mut building = Ctx::build(visit.core.sandbox.clone(), visit.core.clock.clone())
        .request(request)
        .trace(trace)
        .deadline(deadline(visit))
        .client(client);
    if let Some(known) = visit.known.get() {
        building = building.caller(known.caller.clone());
    }
    if let Some(locale) =
        headers.get(header::ACCEPT_LANGUAGE).and_then(|v| v.to_str().ok()).and_then(first_language)
    {
        building = building.locale(locale);
    }
    let cx = building.finish();
    match visit.idempotency.get() {
        Some(key) => cx.with_idempotency(Some(key.clone())),
        None => cx,
    }
}

/// The usual time, or what the operation asks for, because its body takes long to come.
fn deadline(visit: &Visit) -> Instant {
    let patience = visit.entry().and_then(|entry| entry.operation.patience);
    patience.map_or(visit.deadline, |patience| visit.deadline.max(visit.arrived + patience))
}

fn cut(text: &str) -> &str {
    // `to_str` lets only visible ASCII through: every byte is a character.
    text.get(..AGENT).unwrap_or(text)
}

/// The first tag of `Accept-Language`, if it looks like one (BCP 47).
fn first_language(accepted: &str) -> Option<&str> {
    let tag = accepted.split([',', ';']).next()?.trim();
    let fits = (2..=35).contains(&tag.len()) && tag.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    fits.then_some(tag)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{credentials::Known, layers::around, tests::gateway};

    #[tokio::test]
    async fn the_context_says_who_where_and_by_when() {
        let request = http::Request::get("/api/v1/things/1")
            .header("user-agent", "a".repeat(300))
            .header("accept-language", "de-CH,de;q=0.9");
        let arrival = gateway().await.found(request);
        arrival.visit.known.get_or_init(|| Arc::new(Known::operator()));
        let visit = Arc::clone(&arrival.visit);
        around(Context, arrival, |_| Response::default()).await;
        let cx = visit.cx.get().unwrap();
        assert_eq!(cx.deadline(), visit.deadline);
        assert_eq!(cx.request(), visit.identity().request);
        assert_eq!(cx.actor().kind(), "operator");
        assert_eq!(cx.locale(), "de-CH");
        assert_eq!(cx.client().agent.as_deref().map(str::len), Some(AGENT));
    }

    #[test]
    fn a_language_is_a_tag() {
        assert_eq!(first_language("en;q=0.8, de"), Some("en"));
        for bad in ["*", "", ";q=1", "e", "../../etc"] {
            assert_eq!(first_language(bad), None, "{bad}");
        }
    }
}
