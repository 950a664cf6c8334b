//! What is under way in a sandbox, and how it is brought to an end.

use std::{
    fmt,
    pin::{Pin, pin},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    time::{Duration, Instant},
};

use axum::body::{Body, Bytes, HttpBody};
use http_body::{Frame, SizeHint};
use ports::http::OpenStream;
use tokio::{sync::Notify, time::timeout};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

use crate::visit::Response;

/// How long running requests have until their head when the sandbox drains.
const HEADS: Duration = Duration::from_secs(1);
/// How long bodies go on after that.
const BODIES: Duration = Duration::from_millis(100);
/// How long a body that was cut may take to let go.
const LETTING_GO: Duration = Duration::from_millis(250);

/// Counts requests and streams. Clones are the same.
#[derive(Clone)]
pub(crate) struct Traffic(Arc<Inner>);

struct Inner {
    born: Instant,
    last_used_millis: AtomicU64,
    requests: AtomicUsize,
    passing: AtomicUsize,
    streams: AtomicUsize,
    draining: AtomicBool,
    heads: CancellationToken,
    bodies: CancellationToken,
    /// Told when a count has come down to zero.
    quiet: Notify,
}

/// A request that has not got the head of its answer; a stream that has not ended.
pub(crate) struct UnderWay {
    traffic: Traffic,
    count: fn(&Inner) -> &AtomicUsize,
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        let inner = &self.traffic.0;
        if (self.count)(inner).fetch_sub(1, Ordering::AcqRel) == 1 {
            self.traffic.touch();
            inner.quiet.notify_waiters();
        }
    }
}

impl Traffic {
    pub(crate) fn new() -> Self {
        Self(Arc::new(Inner {
            born: Instant::now(),
            last_used_millis: AtomicU64::new(0),
            requests: AtomicUsize::new(0),
            passing: AtomicUsize::new(0),
            streams: AtomicUsize::new(0),
            draining: AtomicBool::new(false),
            heads: CancellationToken::new(),
            bodies: CancellationToken::new(),
            quiet: Notify::new(),
        }))
    }

    fn touch(&self) {
        let millis = u64::try_from(self.0.born.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.0.last_used_millis.store(millis, Ordering::Relaxed);
    }

    fn count(&self, count: fn(&Inner) -> &AtomicUsize) -> UnderWay {
        count(&self.0).fetch_add(1, Ordering::AcqRel);
        UnderWay { traffic: self.clone(), count }
    }

    /// Counts a request; none when no more are taken.
    pub(crate) fn request(&self) -> Option<UnderWay> {
        self.touch();
        // Counted first: whoever drains sets the flag and then waits for the count.
        let under_way = self.count(|inner| &inner.requests);
        (!self.is_draining()).then_some(under_way)
    }

    /// Counts a request of the operator to the process, which only passes through: draining does not wait for it.
    pub(crate) fn pass(&self) -> UnderWay {
        self.touch();
        self.count(|inner| &inner.passing)
    }

    /// Counts a stream: a body or a websocket.
    pub(crate) fn stream(&self) -> UnderWay {
        self.count(|inner| &inner.streams)
    }

    /// A stream of its own, for a connection that a service takes over.
    pub(crate) fn place(&self) -> OpenStream {
        OpenStream::new(self.stream(), self.0.bodies.clone())
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.0.draining.load(Ordering::Acquire)
    }

    pub(crate) fn requests(&self) -> usize {
        self.0.requests.load(Ordering::Acquire)
    }

    pub(crate) fn passing(&self) -> usize {
        self.0.passing.load(Ordering::Acquire)
    }

    pub(crate) fn streams(&self) -> usize {
        self.0.streams.load(Ordering::Acquire)
    }

    pub(crate) fn last_used(&self) -> Instant {
        self.0.born + Duration::from_millis(self.0.last_used_millis.load(Ordering::Relaxed))
    }

    /// Resolves when running requests must end.
    pub(crate) async fn heads_are_cut(&self) {
        self.0.heads.cancelled().await;
    }

    /// Resolves when streams must end.
    pub(crate) async fn streams_are_cut(&self) {
        self.0.bodies.cancelled().await;
    }

    /// Watches the body of an answer that flows; one that is there as a whole needs no watching.
    pub(crate) fn follow(&self, response: Response) -> Response {
        if response.body().size_hint().exact().is_some() {
            return response;
        }
        let cut = Box::pin(self.0.bodies.clone().cancelled_owned());
        let under_way = self.stream();
        response.map(|inner| Body::new(Followed { inner, cut, under_way: Some(under_way) }))
    }

    /// Resolves when nothing of the operator's passes through, after 1 s at most.
    pub(crate) async fn passed(&self) {
        self.wait_until(HEADS, Self::passing).await;
    }

    /// Takes no more requests, gives running ones 1 s until their head, then ends streams within 100 ms more.
    pub(crate) async fn drain(&self) {
        self.0.draining.store(true, Ordering::Release);
        self.wait_until(HEADS, Self::requests).await;
        self.0.heads.cancel();
        self.wait_until(LETTING_GO, Self::requests).await;
        self.wait_until(BODIES, Self::streams).await;
        self.0.bodies.cancel();
        self.wait_until(LETTING_GO, Self::streams).await;
    }

    async fn wait_until(&self, limit: Duration, count: fn(&Self) -> usize) {
        let quiet = async {
            loop {
                let mut told = pin!(self.0.quiet.notified());
                told.as_mut().enable();
                if count(self) == 0 {
                    return;
                }
                told.await;
            }
        };
        // What is left after the limit is cut by the next step.
        let _ = timeout(limit, quiet).await;
    }
}

/// A body that ends when the sandbox drains: with an error, so that nobody takes the part for the whole.
struct Followed {
    inner: Body,
    cut: Pin<Box<WaitForCancellationFutureOwned>>,
    under_way: Option<UnderWay>,
}

impl HttpBody for Followed {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        task: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let this = self.get_mut();
        if this.under_way.is_none() {
            return Poll::Ready(None);
        }
        if this.cut.as_mut().poll(task).is_ready() {
            this.inner = Body::empty();
            this.under_way = None;
            return Poll::Ready(Some(Err(axum::Error::new(Drained))));
        }
        let polled = Pin::new(&mut this.inner).poll_frame(task);
        if matches!(polled, Poll::Ready(None | Some(Err(_)))) || this.inner.is_end_stream() {
            this.under_way = None;
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.under_way.is_none() || self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

/// Why a body ended early.
#[derive(Debug)]
struct Drained;

impl fmt::Display for Drained {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the sandbox is being closed; ask again in a moment")
    }
}

impl std::error::Error for Drained {}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use futures::{StreamExt as _, stream};
    use http_body_util::BodyExt as _;

    use super::*;

    fn endless() -> Response {
        let first = stream::iter([Ok::<_, Infallible>(Bytes::from_static(b"one"))]);
        Response::new(Body::from_stream(first.chain(stream::pending())))
    }

    #[tokio::test]
    async fn a_stream_counts_until_it_has_ended() {
        let traffic = Traffic::new();
        let whole = traffic.follow(Response::new(Body::from("text")));
        assert_eq!(traffic.streams(), 0);
        assert_eq!(whole.into_body().collect().await.unwrap().to_bytes(), "text");

        let flowing =
            stream::iter([Ok::<_, Infallible>(Bytes::from_static(b"a")), Ok(Bytes::from_static(b"b"))]);
        let response = traffic.follow(Response::new(Body::from_stream(flowing)));
        assert_eq!(traffic.streams(), 1);
        assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "ab");
        assert_eq!(traffic.streams(), 0);
        drop(traffic.follow(endless()));
        assert_eq!(traffic.streams(), 0);
    }

    #[tokio::test]
    async fn a_place_counts_while_it_is_held_and_is_told_when_to_end() {
        let traffic = Traffic::new();
        let place = traffic.place();
        let clone = place.clone();
        drop(place);
        assert_eq!(traffic.streams(), 1);
        let drain = tokio::spawn({
            let traffic = traffic.clone();
            async move { traffic.drain().await }
        });
        clone.is_cut().await;
        drop(clone);
        drain.await.unwrap();
        assert_eq!(traffic.streams(), 0);
    }

    #[tokio::test]
    async fn what_passes_through_is_waited_for_only_when_asked() {
        let traffic = Traffic::new();
        let passing = traffic.pass();
        let began = Instant::now();
        traffic.drain().await;
        assert!(began.elapsed() < HEADS, "{:?}", began.elapsed());
        let passed = tokio::spawn({
            let traffic = traffic.clone();
            async move { traffic.passed().await }
        });
        tokio::task::yield_now().await;
        assert!(!passed.is_finished());
        drop(passing);
        passed.await.unwrap();
        assert_eq!(traffic.passing(), 0);
    }

    #[tokio::test]
    async fn draining_refuses_waits_and_cuts() {
        let traffic = Traffic::new();
        let running = traffic.request().unwrap();
        let reading = tokio::spawn(traffic.follow(endless()).into_body().collect());
        let drain = tokio::spawn({
            let traffic = traffic.clone();
            async move { traffic.drain().await }
        });
        tokio::task::yield_now().await;
        assert!(traffic.is_draining() && traffic.request().is_none());
        let began = Instant::now();
        traffic.heads_are_cut().await;
        assert!(began.elapsed() >= Duration::from_millis(950), "{:?}", began.elapsed());
        drop(running);
        let error = reading.await.unwrap().unwrap_err();
        assert!(error.to_string().contains("closed"), "{error}");
        assert!(began.elapsed() >= Duration::from_millis(1_050), "{:?}", began.elapsed());
        drain.await.unwrap();
        assert_eq!((traffic.requests(), traffic.streams()), (0, 0));
    }

    #[tokio::test]
    async fn an_idle_sandbox_drains_at_once() {
        let traffic = Traffic::new();
        timeout(Duration::from_millis(200), traffic.drain()).await.unwrap();
        assert!(traffic.is_draining());
    }
}
