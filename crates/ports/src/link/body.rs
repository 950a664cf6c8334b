use std::{
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::{Pin, pin},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Wake, Waker},
    time::{Duration, Instant},
};

use axum::{
    BoxError,
    body::{Body, Bytes, HttpBody},
};
use http_body::{Frame, SizeHint};
use tokio::{
    task::coop::unconstrained,
    time::{Sleep, sleep_until},
};

use super::{Gate, Place};

/// The body of an answer that holds its call's place until it ends, is dropped, or stands still for too long.
///
/// A client that stops reading also stops the polling of this body, so the alarm can't be left to `poll_frame`: it
/// wakes [`Hold`] itself, which frees the place there and then. Else a few hundred sleepy clients would own a service.
pub(super) struct HeldBody {
    inner: Body,
    hold: Arc<Hold>,
    alarm: Pin<Box<Sleep>>,
    idle_limit: Duration,
}

struct Hold {
    gate: Gate,
    state: Mutex<State>,
}

struct State {
    /// None when the body has ended in one way or another.
    place: Option<Place>,
    /// When it has stood still for too long.
    due: Instant,
    stalled: bool,
    reader: Option<Waker>,
}

impl HeldBody {
    pub(super) fn new(inner: Body, place: Place, idle_limit: Duration) -> Self {
        let due = Instant::now() + idle_limit;
        let gate = place.gate();
        let state = State { place: Some(place), due, stalled: false, reader: None };
        let hold = Arc::new(Hold { gate, state: Mutex::new(state) });
        let mut body = Self { inner, hold, alarm: Box::pin(sleep_until(due.into())), idle_limit };
        body.arm();
        body
    }

    /// Has the alarm wake [`Hold`] at the time it is set to.
    fn arm(&mut self) {
        let waker = Waker::from(Arc::clone(&self.hold));
        let alarm = &mut self.alarm;
        // Unconstrained: a task that has used up its budget would else be told to come back, and nobody would.
        let rung = pin!(unconstrained(alarm.as_mut())).poll(&mut Context::from_waker(&waker));
        if rung.is_ready() {
            self.hold.wake_by_ref();
        }
    }

    /// A frame came: the time begins anew.
    fn rewind(&mut self) {
        let due = Instant::now() + self.idle_limit;
        self.hold.state().due = due;
        self.alarm.as_mut().reset(due.into());
        self.arm();
    }

    fn end(&mut self) {
        let place = self.hold.state().place.take();
        drop(place);
    }
}

impl HttpBody for HeldBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        task: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let this = self.get_mut();
        {
            let mut state = this.hold.state();
            if state.stalled {
                state.stalled = false;
                drop(state);
                this.inner = Body::empty();
                return Poll::Ready(Some(Err(axum::Error::new(StoodStill(this.idle_limit)))));
            }
            // Before the poll, so that an alarm in between finds somebody to wake.
            if !state.reader.as_ref().is_some_and(|reader| reader.will_wake(task.waker())) {
                state.reader = Some(task.waker().clone());
            }
        }
        // A body that panicked is dropped at once and never polled again.
        let polled = catch_unwind(AssertUnwindSafe(|| Pin::new(&mut this.inner).poll_frame(task)));
        match polled {
            Ok(Poll::Pending) => Poll::Pending,
            Ok(Poll::Ready(Some(Ok(frame)))) => {
                if this.inner.is_end_stream() {
                    this.end()
                } else {
                    this.rewind()
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Ok(Poll::Ready(ended)) => {
                this.end();
                Poll::Ready(ended)
            }
            Err(panic) => {
                this.inner = Body::empty();
                this.end();
                let text = this.hold.gate.body_panicked(&*panic);
                Poll::Ready(Some(Err(axum::Error::new(BoxError::from(text)))))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        !self.hold.state().stalled && self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

impl Drop for HeldBody {
    fn drop(&mut self) {
        self.end();
    }
}

impl Hold {
    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing that is done under this lock can panic halfway.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Wake for Hold {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    /// The alarm rang. It may have been set to a later time just before.
    fn wake_by_ref(self: &Arc<Self>) {
        let mut state = self.state();
        if Instant::now() < state.due {
            return;
        }
        let Some(place) = state.place.take() else { return };
        state.stalled = true;
        let reader = state.reader.take();
        drop(state);
        drop(place);
        self.gate.body_stalled();
        if let Some(reader) = reader {
            reader.wake();
        }
    }
}

/// Why a body was cut.
#[derive(Debug)]
struct StoodStill(Duration);

impl fmt::Display for StoodStill {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "the body stood still for {:?}; a stream with nothing to say must send something in between",
            self.0
        )
    }
}

impl std::error::Error for StoodStill {}
