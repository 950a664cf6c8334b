//! What HTTP adds: places that travel with bodies.

use std::{convert::Infallible, time::Duration};

use ::http::{Request, Response, StatusCode};
use axum::body::{Body, Bytes};
use futures::{StreamExt as _, stream};
use http_body_util::BodyExt as _;
use kernel::{Ctx, Slug};
use tower::service_fn;

use super::{HttpLink, LinkOptions, cx, cx_within, options, until};

/// Answers with what `answer` makes.
fn web(
    options: LinkOptions,
    idle: Duration,
    answer: impl Fn() -> Response<Body> + Clone + Send + Sync + 'static,
) -> HttpLink {
    let router = service_fn(move |request: Request<Body>| {
        assert!(request.extensions().get::<Ctx>().is_some(), "the handler finds its Ctx");
        let answer = answer();
        async move { Ok::<_, Infallible>(answer) }
    });
    HttpLink::http_with_idle_limit("web".into(), options, router, idle)
}

fn drip() -> Response<Body> {
    let first =
        stream::iter([Ok::<_, Infallible>(Bytes::from_static(b"one")), Ok(Bytes::from_static(b"two"))]);
    Response::new(Body::from_stream(first))
}

fn drip_then_silence() -> Response<Body> {
    let first = stream::iter([Ok::<_, Infallible>(Bytes::from_static(b"one"))]);
    Response::new(Body::from_stream(first.chain(stream::pending())))
}

const LONG: Duration = Duration::from_secs(30);

#[tokio::test]
async fn the_place_of_an_http_call_is_taken_until_its_body_has_ended() {
    let link = web(options(1, 0), LONG, drip);
    let answer = link.call(&cx(), Request::new(Body::empty())).await.unwrap();
    assert_eq!((link.stats().in_flight, link.stats().answered), (1, 1));
    assert_eq!(link.call(&cx(), Request::new(Body::empty())).await.unwrap_err().slug(), Slug::Overloaded);
    assert_eq!(answer.into_body().collect().await.unwrap().to_bytes(), "onetwo");
    assert_eq!(link.stats().in_flight, 0);

    let answer = link.call(&cx(), Request::new(Body::empty())).await.unwrap();
    assert_eq!(link.stats().in_flight, 1);
    drop(answer);
    assert_eq!(link.stats().in_flight, 0);
}

#[tokio::test]
async fn a_body_may_last_longer_than_the_deadline() {
    let slow = || {
        let frames = stream::iter(0..4).then(|_| async {
            tokio::time::sleep(Duration::from_millis(20)).await;
            Ok::<_, Infallible>(Bytes::from_static(b"x"))
        });
        Response::new(Body::from_stream(frames))
    };
    let link = web(options(1, 0), LONG, slow);
    let answer = link.call(&cx_within(Duration::from_millis(30)), Request::new(Body::empty())).await.unwrap();
    assert_eq!(answer.into_body().collect().await.unwrap().to_bytes(), "xxxx");
}

#[tokio::test]
async fn an_upgrade_and_an_empty_answer_leave_the_link_at_once() {
    for status in [StatusCode::SWITCHING_PROTOCOLS, StatusCode::NO_CONTENT] {
        let link = web(options(1, 0), LONG, move || {
            let mut answer =
                if status == StatusCode::NO_CONTENT { Response::default() } else { drip_then_silence() };
            *answer.status_mut() = status;
            answer
        });
        let answer = link.call(&cx(), Request::new(Body::empty())).await.unwrap();
        assert_eq!(link.stats().in_flight, 0, "{status}");
        drop(answer);
        assert_eq!(link.stats().in_flight, 0, "{status}");
    }
}

#[tokio::test]
async fn a_body_that_stands_still_is_cut() {
    let link = web(options(1, 0), Duration::from_millis(40), drip_then_silence);
    let answer = link.call(&cx(), Request::new(Body::empty())).await.unwrap();
    let error = answer.into_body().collect().await.unwrap_err();
    assert!(error.to_string().contains("stood still"), "{error}");
    let stats = link.stats();
    assert_eq!((stats.in_flight, stats.bodies_stalled), (0, 1));
}

#[tokio::test]
async fn a_client_that_does_not_read_gives_the_place_back() {
    let link = web(options(1, 0), Duration::from_millis(40), drip);
    let answer = link.call(&cx(), Request::new(Body::empty())).await.unwrap();
    assert_eq!(link.stats().in_flight, 1);
    until(|| link.stats().in_flight == 0).await;
    assert_eq!(link.stats().bodies_stalled, 1);
    assert!(answer.into_body().collect().await.is_err());
    assert_eq!(link.stats().in_flight, 0);
}

#[tokio::test]
async fn a_steady_body_is_never_cut() {
    let steady = || {
        let frames = stream::iter(0..8).then(|_| async {
            tokio::time::sleep(Duration::from_millis(100)).await;
            Ok::<_, Infallible>(Bytes::from_static(b"x"))
        });
        Response::new(Body::from_stream(frames))
    };
    let link = web(options(1, 0), Duration::from_millis(700), steady);
    let answer = link.call(&cx(), Request::new(Body::empty())).await.unwrap();
    assert_eq!(answer.into_body().collect().await.unwrap().to_bytes(), "xxxxxxxx");
    assert_eq!((link.stats().in_flight, link.stats().bodies_stalled), (0, 0));
}

#[tokio::test]
async fn a_panic_in_a_body_ends_that_body_only() {
    let torn = || {
        let frames = stream::iter(0..3).map(|n| {
            assert!(n < 1, "the page is torn");
            Ok::<_, Infallible>(Bytes::from_static(b"x"))
        });
        Response::new(Body::from_stream(frames))
    };
    let link = web(options(1, 0), LONG, torn);
    let answer = link.call(&cx(), Request::new(Body::empty())).await.unwrap();
    assert!(answer.into_body().collect().await.unwrap_err().to_string().contains("the page is torn"));
    assert_eq!((link.stats().in_flight, link.stats().panicked), (0, 1));
}

#[tokio::test]
async fn an_http_link_counts_the_faults_of_its_service() {
    let link = web(LinkOptions::default(), LONG, || {
        let mut answer = Response::default();
        *answer.status_mut() = StatusCode::BAD_GATEWAY;
        answer
    });
    assert_eq!(
        link.call(&cx(), Request::new(Body::empty())).await.unwrap().status(),
        StatusCode::BAD_GATEWAY
    );
    assert_eq!((link.stats().errors, link.stats().answered), (1, 0));
}
