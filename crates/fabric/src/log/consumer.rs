use std::{
    collections::{HashMap, VecDeque},
    panic::AssertUnwindSafe,
    sync::Arc,
    time::{Duration, Instant},
};

use futures::{FutureExt, future::BoxFuture};
use kernel::{Ctx, DomainEvent, Error, EventId, Result, SubscriptionId, TenantId};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::{Contexts, Delivery, EventLog, Patterns, Subscriptions, topic_of};

/// What a service does on hearing an event, in a context of its own within the event's tenant.
pub type Hear = Arc<dyn Fn(Ctx, DomainEvent) -> BoxFuture<'static, Result<()>> + Send + Sync>;

/// A service that listens: takes events of all tenants from its subscription and hands each to its handler.
///
/// Events of one key come one after the other; up to eight keys at a time go side by side. Delivery is **at least
/// once**: a handler that must not act twice notes the event in the transaction of its effect
/// ([`crate::postgres::Tx::first_time`]). An error, a panic or 20 s of silence is a failure: the event comes again after
/// 1 s, 5 s and 25 s, while later events of its key wait, and then becomes a dead letter.
pub struct Consumer {
    name: &'static str,
    patterns: Patterns,
    hear: Hear,
    at_once: usize,
}

/// Events of one key, in order, and until when they are leased.
struct Lane {
    events: VecDeque<Delivery>,
    until: Instant,
}

/// What became of events, to be said to the subscription.
#[derive(Default)]
struct Settled {
    done: Vec<EventId>,
    failed: Vec<(EventId, String)>,
    untouched: Vec<EventId>,
}

/// What the subscription gives as a lease, less what the way takes.
const LEASE: Duration = Duration::from_secs(29);
/// A handler is not begun with less than this left of the lease.
const LEAST_LEFT: Duration = Duration::from_secs(9);
/// Most events taken and not settled.
const MOST_IN_HAND: usize = 256;
/// Looks without having been woken this often: another process may have ended with events in its hands.
const LOOK: Duration = Duration::from_secs(30);
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// What runs when it is stopped still gets this long.
const LAST_CALL: Duration = Duration::from_secs(5);

impl Consumer {
    /// A listener under a lasting name, `{service}.{what}`.
    pub fn new(name: &'static str, patterns: Patterns, hear: Hear) -> Self {
        Self { name, patterns, hear, at_once: 8 }
    }

    /// Handles this many keys side by side.
    pub fn at_once(mut self, keys: usize) -> Self {
        self.at_once = keys.clamp(1, MOST_IN_HAND);
        self
    }

    /// Listens until `stop`. What runs then may end; what was not begun is given back.
    pub async fn run(
        self,
        log: Arc<dyn EventLog>,
        subscriptions: Subscriptions,
        contexts: Contexts,
        stop: CancellationToken,
    ) {
        let ear = log.listen(self.patterns.clone());
        let mut pause = Pause::new(self.name);
        let id = loop {
            match subscriptions.of_service(&contexts.own(), self.name, &self.patterns).await {
                Ok(id) => break id,
                Err(error) if pause.after(&error, &stop).await => {}
                Err(_) => return,
            }
        };
        pause.over();
        let mut work = Work {
            id,
            subscriptions,
            contexts,
            hear: self.hear,
            at_once: self.at_once,
            lanes: VecDeque::new(),
            running: JoinSet::new(),
            in_hand: 0,
            settled: Settled::default(),
            waiting: false,
            look_at: Instant::now(),
        };
        while !stop.is_cancelled() {
            if let Err(error) = work.step().await {
                if !pause.after(&error, &stop).await {
                    break;
                }
                continue;
            }
            pause.over();
            tokio::select! {
                () = stop.cancelled() => break,
                Some(outcome) = work.running.join_next() => work.note(outcome),
                () = ear.heard() => work.look_at = Instant::now(),
                () = tokio::time::sleep_until(work.look_at.into()), if work.wants_more() => {}
            }
        }
        work.end(self.name).await;
    }
}

struct Work {
    id: SubscriptionId,
    subscriptions: Subscriptions,
    contexts: Contexts,
    hear: Hear,
    at_once: usize,
    /// Not begun yet.
    lanes: VecDeque<Lane>,
    running: JoinSet<Settled>,
    in_hand: usize,
    settled: Settled,
    /// Whether events wait behind others of their key.
    waiting: bool,
    /// When to pull next.
    look_at: Instant,
}

impl Work {
    /// Says what is settled, takes what is due, begins what there is room for.
    async fn step(&mut self) -> Result<()> {
        while let Some(outcome) = self.running.try_join_next() {
            self.note(outcome);
        }
        self.settle().await?;
        while self.wants_more() && self.look_at <= Instant::now() {
            let taken_at = Instant::now();
            let pulled =
                self.subscriptions.pull(&self.contexts.own(), self.id, MOST_IN_HAND - self.in_hand).await?;
            self.waiting = pulled.waiting;
            if !pulled.more {
                self.look_at = taken_at + pulled.due_in.unwrap_or(LOOK).min(LOOK);
            }
            let taken = pulled.deliveries.len();
            self.in_hand += taken;
            self.lanes.extend(lanes(pulled.deliveries, taken_at + LEASE));
            self.begin();
            if taken == 0 {
                break;
            }
        }
        self.begin();
        Ok(())
    }

    /// There is room, and soon nothing left to begin. A pull for every event that ends would cost more than it brings.
    fn wants_more(&self) -> bool {
        self.in_hand < MOST_IN_HAND && self.lanes.len() < self.at_once
    }

    fn begin(&mut self) {
        while self.running.len() < self.at_once {
            let Some(lane) = self.lanes.pop_front() else { return };
            self.running.spawn(handle(lane, Arc::clone(&self.hear), self.contexts.clone()));
        }
    }

    fn note(&mut self, outcome: std::result::Result<Settled, tokio::task::JoinError>) {
        match outcome {
            Ok(settled) => {
                self.settled.done.extend(settled.done);
                self.settled.failed.extend(settled.failed);
                self.settled.untouched.extend(settled.untouched);
            }
            // A handler's panic is caught where it happens; this is a task that was aborted. Its leases run out.
            Err(error) => tracing::error!(%error, "a consumer's task ended early"),
        }
    }

    async fn settle(&mut self) -> Result<()> {
        let cx = self.contexts.own();
        if !self.settled.done.is_empty() {
            self.subscriptions.ack(&cx, self.id, &self.settled.done).await?;
            self.in_hand = self.in_hand.saturating_sub(self.settled.done.len());
            self.settled.done.clear();
            if self.waiting {
                self.look_at = Instant::now();
            }
        }
        if !self.settled.failed.is_empty() {
            self.subscriptions.nack(&cx, self.id, &self.settled.failed).await?;
            self.in_hand = self.in_hand.saturating_sub(self.settled.failed.len());
            self.settled.failed.clear();
            // To learn when the next try is due, or what goes on behind a dead letter.
            self.look_at = Instant::now();
        }
        if !self.settled.untouched.is_empty() {
            self.subscriptions.release(&cx, self.id, &self.settled.untouched).await?;
            self.in_hand = self.in_hand.saturating_sub(self.settled.untouched.len());
            self.settled.untouched.clear();
            self.look_at = Instant::now();
        }
        Ok(())
    }

    async fn end(mut self, name: &str) {
        let lanes = std::mem::take(&mut self.lanes);
        self.settled.untouched.extend(lanes.into_iter().flat_map(|lane| lane.events).map(|d| d.event.id));
        let running = async {
            while let Some(outcome) = self.running.join_next().await {
                match outcome {
                    Ok(settled) => {
                        self.settled.done.extend(settled.done);
                        self.settled.failed.extend(settled.failed);
                        self.settled.untouched.extend(settled.untouched);
                    }
                    Err(error) => tracing::error!(%error, "a consumer's task ended early"),
                }
            }
        };
        let _ = tokio::time::timeout(LAST_CALL, running).await;
        if let Err(error) = self.settle().await {
            tracing::info!(consumer = name, %error, "events in hand come again when their lease has ended");
        }
    }
}

/// Groups deliveries by what must stay in order.
fn lanes(deliveries: Vec<Delivery>, until: Instant) -> Vec<Lane> {
    let mut places: HashMap<(String, Option<TenantId>, String), usize> = HashMap::new();
    let mut lanes: Vec<Lane> = Vec::new();
    for delivery in deliveries {
        let event = &delivery.event;
        let place =
            *places.entry((topic_of(&event.kind), event.tenant_id, event.key.clone())).or_insert_with(|| {
                lanes.push(Lane { events: VecDeque::new(), until });
                lanes.len() - 1
            });
        lanes[place].events.push_back(delivery);
    }
    lanes
}

/// Hands the events of a lane to the handler, one after the other, until one fails or the lease nears its end.
async fn handle(mut lane: Lane, hear: Hear, contexts: Contexts) -> Settled {
    let mut settled = Settled::default();
    while lane.until.saturating_duration_since(Instant::now()) >= LEAST_LEFT {
        let Some(Delivery { event, attempt }) = lane.events.pop_front() else { break };
        let id = event.id;
        let kind = event.kind.clone();
        let cx = contexts.of(&event).until(lane.until);
        let heard = AssertUnwindSafe(async { hear(cx, event).await }).catch_unwind();
        let failure = match tokio::time::timeout_at(lane.until.into(), heard).await {
            Ok(Ok(Ok(()))) => None,
            Ok(Ok(Err(error))) => {
                tracing::warn!(%id, %kind, ?error, attempt, "an event was not dealt with");
                Some(error.to_string())
            }
            Ok(Err(_)) => {
                tracing::error!(%id, %kind, attempt, "a handler of events panicked");
                Some("internal: the handler panicked".to_owned())
            }
            Err(_) => {
                tracing::warn!(%id, %kind, attempt, "a handler of events took too long");
                Some("deadline-exceeded: the handler took too long".to_owned())
            }
        };
        match failure {
            None => settled.done.push(id),
            Some(text) => {
                settled.failed.push((id, text));
                break;
            }
        }
    }
    settled.untouched.extend(lane.events.into_iter().map(|delivery| delivery.event.id));
    settled
}

/// A pause after a failure that grows from 100 ms to 5 s, told once.
struct Pause {
    name: &'static str,
    next: Duration,
}

impl Pause {
    fn new(name: &'static str) -> Self {
        Self { name, next: FIRST_PAUSE }
    }

    /// Waits; false when it is time to stop.
    async fn after(&mut self, error: &Error, stop: &CancellationToken) -> bool {
        if self.next == FIRST_PAUSE {
            tracing::warn!(
                consumer = self.name,
                ?error,
                "a consumer cannot reach its subscription; it goes on trying"
            );
        }
        let wait = self.next;
        self.next = (self.next * 2).min(LONGEST_PAUSE);
        stop.run_until_cancelled(tokio::time::sleep(wait)).await.is_some()
    }

    fn over(&mut self) {
        if self.next > FIRST_PAUSE {
            tracing::info!(consumer = self.name, "the consumer goes on");
        }
        self.next = FIRST_PAUSE;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use kernel::{Clock, SandboxName, Slug, Timestamp};

    use super::*;

    fn delivery(key: &str, n: i64) -> Delivery {
        let event = DomainEvent {
            id: EventId::new(),
            kind: "crm.deal.won".into(),
            source: "crm".into(),
            tenant_id: None,
            key: key.into(),
            data: n.into(),
            schema_version: "1.0.0".into(),
            timestamp: Timestamp::real(),
            trace_id: None,
        };
        Delivery { event, attempt: 1 }
    }

    fn contexts() -> Contexts {
        Contexts::new(SandboxName::default_sandbox(), Clock::real(), "test")
    }

    #[test]
    fn a_lane_holds_the_events_of_one_key_in_order() {
        let all = vec![delivery("a", 1), delivery("b", 2), delivery("a", 3)];
        let lanes = lanes(all, Instant::now());
        let data: Vec<Vec<i64>> = lanes
            .iter()
            .map(|lane| lane.events.iter().filter_map(|d| d.event.data.as_i64()).collect())
            .collect();
        assert_eq!(data, [vec![1, 3], vec![2]]);
    }

    #[tokio::test]
    async fn what_follows_a_failure_in_its_lane_is_given_back_untouched() {
        let heard = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&heard);
        let hear: Hear = Arc::new(move |_, event| {
            let n = event.data.as_i64().unwrap();
            seen.lock().unwrap().push(n);
            Box::pin(async move {
                match n {
                    2 => Err(Error::new(Slug::Conflict, "not now")),
                    9 => panic!("on purpose"),
                    _ => Ok(()),
                }
            })
        });
        let all = vec![delivery("a", 1), delivery("a", 2), delivery("a", 3)];
        let lane = lanes(all, Instant::now() + LEASE).remove(0);
        let settled = handle(lane, Arc::clone(&hear), contexts()).await;
        assert_eq!((settled.done.len(), settled.failed.len(), settled.untouched.len()), (1, 1, 1));
        assert_eq!(settled.failed[0].1, "conflict: not now");
        assert_eq!(*heard.lock().unwrap(), [1, 2]);

        let lane = lanes(vec![delivery("a", 9)], Instant::now() + LEASE).remove(0);
        assert_eq!(handle(lane, hear, contexts()).await.failed.len(), 1);
    }

    #[tokio::test]
    async fn nothing_is_begun_near_the_end_of_its_lease() {
        let hear: Hear = Arc::new(|_, _| Box::pin(async { Ok(()) }));
        let lane = lanes(vec![delivery("a", 1)], Instant::now() + Duration::from_secs(3)).remove(0);
        let settled = handle(lane, hear, contexts()).await;
        assert_eq!((settled.done.len(), settled.untouched.len()), (0, 1));
    }
}
