use std::{borrow::Cow, convert::Infallible, time::Duration};

use ::http::{Method, Request, Response, StatusCode};
use axum::body::{Body, HttpBody as _};
use futures::future::BoxFuture;
use kernel::Result;
use tower::{Service, ServiceExt as _};

use super::{Call, Link, LinkOptions, Place, Target, body::HeldBody};

/// How long the body of an answer may stand still, waiting for the service or for the client to read on. A stream
/// that has nothing to say for longer sends something in between (a comment in server-sent events).
pub const BODY_IDLE_LIMIT: Duration = Duration::from_secs(30);

/// A link that carries HTTP. The deadline bounds the time to the head of the answer; the place of the call is taken
/// until the body has ended, is dropped, or has stood still for [`BODY_IDLE_LIMIT`]. After an upgrade (101, or a
/// CONNECT that was accepted, as websockets over HTTP/2 are) the connection leaves the link.
pub type HttpLink = Link<Request<Body>, Response<Body>>;

impl HttpLink {
    /// Puts a queue in front of a router. Its handlers find the [`Ctx`](kernel::Ctx) in the request's extensions.
    pub fn http<S>(name: impl Into<Cow<'static, str>>, options: LinkOptions, router: S) -> Self
    where
        S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>
            + Clone
            + Send
            + Sync
            + 'static,
        S::Future: Send,
    {
        Self::http_with_idle_limit(name.into(), options, router, BODY_IDLE_LIMIT)
    }

    pub(super) fn http_with_idle_limit<S>(
        name: Cow<'static, str>,
        options: LinkOptions,
        router: S,
        idle_limit: Duration,
    ) -> Self
    where
        S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>
            + Clone
            + Send
            + Sync
            + 'static,
        S::Future: Send,
    {
        Self::to(name, options, Http { router, idle_limit })
    }
}

struct Http<S> {
    router: S,
    idle_limit: Duration,
}

impl<S> Target<Request<Body>, Response<Body>> for Http<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible> + Clone + Send + Sync + 'static,
    S::Future: Send,
{
    fn serve(&self, call: Call<Request<Body>>, place: Place) -> BoxFuture<'static, Result<Response<Body>>> {
        let (router, idle_limit) = (self.router.clone(), self.idle_limit);
        let Call { cx, mut request } = call;
        let connects = request.method() == Method::CONNECT;
        request.extensions_mut().insert(cx);
        Box::pin(async move {
            let answer = router.oneshot(request).await.unwrap_or_else(|never| match never {});
            let upgraded = answer.status() == StatusCode::SWITCHING_PROTOCOLS
                || (connects && answer.status().is_success());
            if upgraded || answer.body().is_end_stream() {
                drop(place);
                return Ok(answer);
            }
            Ok(answer.map(|body| Body::new(HeldBody::new(body, place, idle_limit))))
        })
    }

    fn is_fault(&self, answer: &Response<Body>) -> bool {
        answer.status().is_server_error()
    }
}
