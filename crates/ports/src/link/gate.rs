use std::{
    any::Any,
    borrow::Cow,
    fmt,
    future::poll_fn,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::Poll,
    time::Instant,
};

use kernel::{Ctx, Error, Result, Slug};
use tokio::{
    sync::{Semaphore, TryAcquireError},
    task::coop::unconstrained,
    time::sleep_until,
};
use tracing::Span;

use super::{
    LinkOptions,
    meter::{End, LinkState, LinkStats, Meter, Tally},
};

/// The way in of a link: who runs, who waits, who is refused, and what became of them. Clones share it.
#[derive(Clone)]
pub struct Gate(Arc<Inner>);

struct Inner {
    name: Cow<'static, str>,
    options: LinkOptions,
    /// One permit for each call that may run; its list of waiters, first come first served, is the queue.
    places: Semaphore,
    queued: AtomicUsize,
    meter: Meter,
}

/// The right to run. Dropping it lets the next call in.
pub struct Place(Arc<Inner>);

/// Why a call may not begin.
enum Refusal {
    Full,
    Late,
    Closed,
}

struct TooLate;

impl Gate {
    /// A gate for calls of these kinds; a call names its kind by its index in `operations`.
    pub(super) fn new(
        name: Cow<'static, str>,
        options: LinkOptions,
        operations: &'static [&'static str],
    ) -> Self {
        let concurrency = options.concurrency.clamp(1, Semaphore::MAX_PERMITS);
        let options = LinkOptions { concurrency, ..options };
        let meter = Meter::new(operations);
        Self(Arc::new(Inner {
            name,
            options,
            places: Semaphore::new(concurrency),
            queued: AtomicUsize::new(0),
            meter,
        }))
    }

    /// Runs `work` when its turn has come.
    ///
    /// The future of `work` runs in the caller's task and is dropped when the deadline of `cx` passes; the place is
    /// free again when `work` lets go of it. `is_fault` tells which answers count as errors.
    ///
    /// # Errors
    /// `overloaded`, `deadline-exceeded`, `internal` after a panic, `draining` after [`Gate::close`], and what `work`
    /// answers.
    pub(super) async fn pass<T, F>(
        &self,
        cx: &Ctx,
        operation: usize,
        work: impl FnOnce(Place) -> F,
        is_fault: impl FnOnce(&T) -> bool,
    ) -> Result<T>
    where
        F: Future<Output = Result<T>>,
    {
        let arrived = Instant::now();
        let deadline = cx.deadline();
        let meter = &self.0.meter;
        let tally = meter.begin();
        // Nearly every call finds a free place: it reads the clock twice in all and arms no timer before it waits.
        let (place, begun) = match self.enter_by(arrived, deadline) {
            Ok(Some(place)) => (place, arrived),
            Ok(None) => match self.wait_in_line(deadline).await {
                Ok(place) => (place, Instant::now()),
                Err(refusal) => return Err(self.refused(refusal, tally, operation)),
            },
            Err(refusal) => return Err(self.refused(refusal, tally, operation)),
        };
        meter.waited(begun - arrived);

        let span = tracing::debug_span!(
            target: "link",
            "link",
            name = %self.0.name,
            call = meter.operation(operation),
            request = %cx.request(),
        );
        let outcome = before(deadline, caught(&span, async move { work(place).await })).await;
        meter.took(operation, begun.elapsed());
        match outcome {
            Ok(Ok(Ok(answer))) => {
                tally.end(if is_fault(&answer) { End::Error } else { End::Answered });
                Ok(answer)
            }
            Ok(Ok(Err(error))) => {
                tally.end(if error.slug().status().is_server_error() { End::Error } else { End::Answered });
                Err(error)
            }
            Ok(Err(panic)) => {
                tally.end(End::Panicked);
                Err(Error::internal(self.panicked(meter.operation(operation), &*panic)))
            }
            Err(TooLate) => {
                tally.end(End::TimedOut);
                Err(self.late(operation, "it did not answer in time and was stopped"))
            }
        }
    }

    fn enter_by(&self, now: Instant, deadline: Instant) -> Result<Option<Place>, Refusal> {
        if deadline <= now {
            return Err(Refusal::Late);
        }
        match self.0.places.try_acquire() {
            Ok(permit) => {
                permit.forget();
                Ok(Some(Place(Arc::clone(&self.0))))
            }
            Err(TryAcquireError::NoPermits) => Ok(None),
            Err(TryAcquireError::Closed) => Err(Refusal::Closed),
        }
    }

    async fn wait_in_line(&self, deadline: Instant) -> Result<Place, Refusal> {
        struct Queued<'a>(&'a AtomicUsize);
        impl Drop for Queued<'_> {
            fn drop(&mut self) {
                self.0.fetch_sub(1, Ordering::Relaxed);
            }
        }
        let ahead = self.0.queued.fetch_add(1, Ordering::Relaxed);
        let _queued = Queued(&self.0.queued);
        if ahead >= self.0.options.depth {
            return Err(Refusal::Full);
        }
        match before(deadline, self.0.places.acquire()).await {
            Ok(Ok(permit)) => {
                permit.forget();
                Ok(Place(Arc::clone(&self.0)))
            }
            Ok(Err(_closed)) => Err(Refusal::Closed),
            Err(TooLate) => Err(Refusal::Late),
        }
    }

    fn refused(&self, refusal: Refusal, tally: Tally<'_>, operation: usize) -> Error {
        match refusal {
            Refusal::Full => {
                tally.end(End::Rejected);
                let LinkOptions { depth, concurrency } = self.0.options;
                let why = format!(
                    "link {}: {concurrency} calls run and {depth} wait, there is no room",
                    self.0.name
                );
                Error::new(Slug::Overloaded, "All places of the queue are taken; try again in a moment.")
                    .because(why)
            }
            Refusal::Late => {
                tally.end(End::TimedOut);
                self.late(operation, "the time was over before its turn came")
            }
            Refusal::Closed => {
                tally.end(End::Rejected);
                let why = format!("link {} is closed", self.0.name);
                Error::new(Slug::Draining, "This part is being closed; try again in a moment.").because(why)
            }
        }
    }

    fn late(&self, operation: usize, how: &str) -> Error {
        let why = format!("link {}, {}: {how}", self.0.name, self.0.meter.operation(operation));
        Error::new(Slug::DeadlineExceeded, "The answer was not ready within the time allowed.").because(why)
    }

    /// Logs a panic and says it in one sentence.
    fn panicked(&self, place: &str, panic: &(dyn Any + Send)) -> String {
        let text = panic_text(panic);
        tracing::error!(target: "link", link = %self.0.name, call = place, panic = text, "a call panicked");
        format!("link {}, {place}: panicked: {text}", self.0.name)
    }

    /// Counts and logs a panic that came after the head of an answer.
    pub(super) fn body_panicked(&self, panic: &(dyn Any + Send)) -> String {
        self.0.meter.body_panicked();
        self.panicked("body", panic)
    }

    /// Counts a body that stood still for too long.
    pub(super) fn body_stalled(&self) {
        self.0.meter.body_stalled();
    }

    /// Takes no more calls: new and waiting ones get `draining`, running ones go on.
    pub fn close(&self) {
        self.0.places.close();
    }

    /// How the link is doing.
    pub fn stats(&self) -> LinkStats {
        let LinkOptions { depth, concurrency } = self.0.options;
        let in_flight = concurrency - self.0.places.available_permits();
        // A caller that is just being refused is counted for a moment.
        let queued = self.0.queued.load(Ordering::Relaxed).min(depth);
        let state = match queued {
            _ if self.0.places.is_closed() => LinkState::Closed,
            _ if in_flight < concurrency => LinkState::Open,
            full if full >= depth => LinkState::Full,
            _ => LinkState::Waiting,
        };
        self.0.meter.stats(self.0.name.to_string(), state, self.0.options, in_flight, queued)
    }
}

impl fmt::Debug for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gate")
            .field("name", &self.0.name)
            .field("options", &self.0.options)
            .finish_non_exhaustive()
    }
}

impl Place {
    /// The gate that this place belongs to.
    pub(super) fn gate(&self) -> Gate {
        Gate(Arc::clone(&self.0))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.places.add_permits(1);
    }
}

impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Place").field(&self.0.name).finish()
    }
}

/// Waits for `work`, but not beyond `deadline`. Unlike tokio's timeout it makes no timer for work that is ready at
/// once, and one that a busy task can't starve for the rest.
async fn before<F: Future>(deadline: Instant, work: F) -> Result<F::Output, TooLate> {
    let mut work = pin!(work);
    let mut alarm = pin!(None);
    poll_fn(|task| {
        if let Poll::Ready(output) = work.as_mut().poll(task) {
            return Poll::Ready(Ok(output));
        }
        if alarm.is_none() {
            alarm.set(Some(unconstrained(sleep_until(deadline.into()))));
        }
        match alarm.as_mut().as_pin_mut() {
            Some(alarm) => alarm.poll(task).map(|()| Err(TooLate)),
            None => Poll::Pending,
        }
    })
    .await
}

/// Runs `work` inside the span; a panic becomes a value.
async fn caught<F: Future>(span: &Span, work: F) -> Result<F::Output, Box<dyn Any + Send>> {
    let mut work = pin!(work);
    poll_fn(|task| {
        let _entered = span.enter();
        // Nothing broken is seen afterwards: a future that panicked is never polled again, only dropped.
        match catch_unwind(AssertUnwindSafe(|| work.as_mut().poll(task))) {
            Ok(Poll::Pending) => Poll::Pending,
            Ok(Poll::Ready(output)) => Poll::Ready(Ok(output)),
            Err(panic) => Poll::Ready(Err(panic)),
        }
    })
    .await
}

/// What a panic said.
fn panic_text(panic: &(dyn Any + Send)) -> &str {
    panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("(no text)")
}
