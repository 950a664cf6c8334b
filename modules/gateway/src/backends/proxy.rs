use std::{
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use axum::body::Body;
use fabric::dialler::{DialError, Dialler};
use http::{StatusCode, Uri, header};
use hyper::upgrade::OnUpgrade;
use kernel::{Ctx, Error, Result, Secret, Slug};
use tower::Service;

use super::{headers, upgrade};
use crate::{
    problem::refuse,
    traffic::Traffic,
    visit::{Request, Response},
};

/// Where a request goes on to; travels as an extension of it.
#[derive(Clone)]
pub(super) struct Forward {
    pub uri: Uri,
    pub token: Secret,
    /// Whether the client spoke TLS.
    pub https: bool,
    /// To the head of the back-end's answer.
    pub timeout: Duration,
}

/// What stands behind a back-end's link.
#[derive(Clone)]
pub(super) struct Proxy {
    pub dialler: Dialler,
    pub traffic: Traffic,
}

impl Service<Request> for Proxy {
    type Response = Response;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request) -> Self::Future {
        let proxy = self.clone();
        Box::pin(async move { Ok(proxy.forward(request).await.unwrap_or_else(refuse)) })
    }
}

impl Proxy {
    async fn forward(self, mut request: Request) -> Result<Response> {
        let extensions = request.extensions_mut();
        let (Some(to), Some(cx)) = (extensions.remove::<Forward>(), extensions.remove::<Ctx>()) else {
            return Err(Error::internal("a request to a back-end came without its address or context"));
        };
        let client = extensions.remove::<OnUpgrade>();
        let protocol = upgrade::asked(&request);
        headers::to_backend(request.headers_mut(), &cx, &to.token, to.https);
        upgrade::ask(request.headers_mut(), protocol.as_ref());

        let mut onward = http::Request::new(std::mem::take(request.body_mut()));
        *onward.method_mut() = request.method().clone();
        *onward.headers_mut() = std::mem::take(request.headers_mut());
        *onward.uri_mut() = to.uri;
        let mut answer =
            self.dialler.request(onward, to.timeout).await.map_err(|error| failed(error, to.timeout))?;

        if answer.status() == StatusCode::SWITCHING_PROTOCOLS {
            let (Some(client), Some(protocol)) = (client, protocol) else {
                return Err(Error::new(Slug::UpstreamFailed, "The module's back-end gave no usable answer.")
                    .for_author("It switched protocols without being asked to."));
            };
            let backend = hyper::upgrade::on(&mut answer);
            headers::to_client(answer.headers_mut());
            answer.headers_mut().remove(header::CONTENT_SECURITY_POLICY);
            upgrade::ask(answer.headers_mut(), Some(&protocol));
            upgrade::join(client, backend, self.traffic, cx.request());
            return Ok(answer.map(|_| Body::empty()));
        }
        headers::to_client(answer.headers_mut());
        Ok(answer.map(Body::new))
    }
}

/// What the caller is told when a back-end gave no answer; authors read the address and the reason.
fn failed(error: DialError, timeout: Duration) -> Error {
    match &error {
        DialError::Late { limit, .. } if *limit == timeout => {
            Error::new(Slug::DeadlineExceeded, "The module's back-end did not answer within its time.")
                .for_author(error.to_string())
                .because(error)
        }
        _ => Error::from(error),
    }
}
