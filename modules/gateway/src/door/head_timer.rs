//! How long an HTTP/1.1 connection may take for the head of a request.
//!
//! hyper knows one time limit, from the end of the last answer to the end of the next head: with 10 s, idle
//! connections of balancers would be closed under requests on their way. Here the limit for a head counts from its
//! first byte, and an idle connection has a longer one of its own. hyper asks its timer for a sleep exactly when it
//! begins to wait for a head; the stream reports the first byte.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use hyper::rt::{Sleep, Timer};

use super::connection::Limits;

/// Shared by a stream, which reports bytes, and the timer of the connection on it.
#[derive(Clone, Debug)]
pub(super) struct FirstByte(Arc<Clock>);

#[derive(Debug)]
struct Clock {
    started: Instant,
    /// Milliseconds from `started` to the first byte of the head that is being waited for, plus one; 0 is none yet.
    at: AtomicU64,
}

impl FirstByte {
    pub(super) fn new() -> Self {
        Self(Arc::new(Clock { started: Instant::now(), at: AtomicU64::new(0) }))
    }

    /// Some bytes came in. Only the first ones since the last `forget` count.
    pub(super) fn seen(&self) {
        if self.0.at.load(Ordering::Relaxed) == 0 {
            let millis = u64::try_from(self.0.started.elapsed().as_millis()).unwrap_or(u64::MAX - 1);
            self.0.at.store(millis + 1, Ordering::Relaxed);
        }
    }

    fn forget(&self) {
        self.0.at.store(0, Ordering::Relaxed);
    }

    fn at(&self) -> Option<Instant> {
        let millis = self.0.at.load(Ordering::Relaxed).checked_sub(1)?;
        self.0.started.checked_add(Duration::from_millis(millis))
    }
}

/// hyper's timer for one HTTP/1.1 connection.
pub(super) struct HeadTimer {
    first_byte: FirstByte,
    limits: Limits,
    greeted: AtomicBool,
}

impl HeadTimer {
    pub(super) fn new(first_byte: FirstByte, limits: Limits) -> Self {
        Self { first_byte, limits, greeted: AtomicBool::new(false) }
    }
}

impl Timer for HeadTimer {
    fn sleep(&self, _: Duration) -> Pin<Box<dyn Sleep>> {
        self.first_byte.forget();
        let fresh = !self.greeted.swap(true, Ordering::Relaxed);
        let patience = if fresh { self.limits.first_request } else { self.limits.idle };
        Box::pin(HeadSleep {
            sleep: Box::pin(tokio::time::sleep(patience)),
            first_byte: self.first_byte.clone(),
            head: self.limits.head,
            in_head: false,
        })
    }

    fn sleep_until(&self, _: Instant) -> Pin<Box<dyn Sleep>> {
        self.sleep(Duration::ZERO)
    }
}

struct HeadSleep {
    sleep: Pin<Box<tokio::time::Sleep>>,
    first_byte: FirstByte,
    head: Duration,
    in_head: bool,
}

impl Sleep for HeadSleep {}

impl Future for HeadSleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if !self.in_head
            && let Some(began) = self.first_byte.at()
        {
            self.in_head = true;
            let deadline = began + self.head;
            self.sleep.as_mut().reset(deadline.into());
        }
        self.sleep.as_mut().poll(cx)
    }
}
