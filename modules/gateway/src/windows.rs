//! What a tenant may ask of all replicas together: the rate of its plan.
//!
//! A sliding window in two slots: what was let through in this one, and of the one before as much as the window still
//! covers. The counts are shared through the cache, but no request waits for it: a replica says what it let through within
//! [`BEAT`], or at once when that is a tenth of what the window holds, and hears what all did. So each further replica
//! can let through a tenth too much. While the cache is away a replica knows of itself alone.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant, SystemTime},
};

use fabric::cache::Cache;
use kernel::{Ctx, Result, TenantId};
use ports::PlanLimits;
use tokio::sync::Notify;

use crate::{
    core::Core,
    rate::{Allowance, Over},
};

/// How long counts stay untold, unless they are many.
const BEAT: Duration = Duration::from_millis(100);
/// How long a plan is believed that was heard of; [`Standings`](crate::standings::Standings) tell of a change.
const BELIEVED: Duration = Duration::from_secs(1);
/// Tenants whose counts are kept at the same time, and for how long after their last request.
const WATCHED: u64 = 50_000;
const IDLE: Duration = Duration::from_secs(600);
/// Before the plan is known.
const DEFAULT: Limit = Limit { requests: 2_000, length: Duration::from_secs(2) };
/// A window whose burst takes longer than this to come back is no longer one.
const LONGEST: f64 = 3_600.0;

/// Whose requests are counted together. An administrator's have room of their own, so that neither a busy script of his
/// shuts the members out, nor they him.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Class {
    Members,
    Admins,
}

impl Class {
    const ALL: [Self; 2] = [Self::Members, Self::Admins];

    fn share(self, requests: u64) -> u64 {
        match self {
            Self::Members => requests,
            Self::Admins => requests.saturating_mul(5),
        }
    }

    fn text(self) -> &'static str {
        match self {
            Self::Members => "members",
            Self::Admins => "admins",
        }
    }
}

/// So many requests in any time of this length.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Limit {
    requests: u64,
    length: Duration,
}

impl Limit {
    /// The window in which a plan's burst comes back at its rate; none without a limit. A burst below the rate of a
    /// second is that.
    fn of(plan: &PlanLimits) -> Option<Self> {
        let rate = u64::try_from(plan.rps?).ok()?.max(1);
        let requests = plan.burst.and_then(|burst| u64::try_from(burst).ok()).unwrap_or(rate).max(rate);
        let seconds = (requests as f64 / rate as f64).clamp(1.0, LONGEST);
        Some(Self { requests, length: Duration::from_secs_f64(seconds) })
    }

    /// In which slot a moment lies, and how far into it, from 0 to 1.
    fn slot(self, now: Duration) -> (u64, f64) {
        let (now, length) = (now.as_micros(), self.length.as_micros());
        (u64::try_from(now / length).unwrap_or(u64::MAX), (now % length) as f64 / length as f64)
    }
}

#[derive(Debug, Default, Clone, Copy)]
struct Counts {
    /// Of all, in the slot before.
    before: u64,
    /// Of the other replicas, in this slot.
    others: u64,
    /// Our own in this slot, and how many of them the others were told.
    own: u64,
    told: u64,
    /// Whether it was heard what the others counted in the slot before.
    heard_before: bool,
}

impl Counts {
    fn now(&self) -> u64 {
        self.others + self.own
    }

    fn untold(&self) -> u64 {
        self.own - self.told
    }
}

#[derive(Debug)]
struct State {
    limit: Option<Limit>,
    learnt: Option<Instant>,
    slot: u64,
    counts: [Counts; 2],
    /// Whether a task is at it that tells the others.
    sharing: bool,
}

impl State {
    fn new() -> Self {
        Self { limit: Some(DEFAULT), learnt: None, slot: 0, counts: Default::default(), sharing: false }
    }

    /// Goes on to the slot in which `now` lies; answers how far into it.
    fn turn(&mut self, limit: Limit, now: Duration) -> f64 {
        let (slot, into) = limit.slot(now);
        if slot != self.slot {
            let follows = slot == self.slot + 1;
            for counts in &mut self.counts {
                *counts = Counts { before: if follows { counts.now() } else { 0 }, ..Counts::default() };
            }
            self.slot = slot;
        }
        into
    }

    /// Counts a request if there is room for it; none where there is no limit.
    fn take(&mut self, class: Class, now: Duration) -> Option<Result<Allowance, Over>> {
        let limit = self.limit?;
        let into = self.turn(limit, now);
        let most = class.share(limit.requests);
        let counts = &mut self.counts[class as usize];
        let used = counts.before as f64 * (1.0 - into) + counts.now() as f64;
        let room = most as f64 - used;
        let admitted = room >= 1.0;
        if admitted {
            counts.own += 1;
        }
        let slots = if counts.now() > 0 { 2.0 } else { 1.0 };
        let allowance = Allowance {
            limit: most,
            remaining: if admitted { (room - 1.0) as u64 } else { 0 },
            resets_in: limit.length.mul_f64(slots - into),
        };
        Some(match admitted {
            true => Ok(allowance),
            false => Err(Over { allowance, wait: limit.length.mul_f64(room_after(*counts, into, most)) }),
        })
    }

    /// Another plan counts on with what was counted in this slot.
    fn learn(&mut self, limit: Option<Limit>, now: Duration) {
        self.learnt = Some(Instant::now());
        if self.limit == limit {
            return;
        }
        let same_slots = self.limit.map(|old| old.length) == limit.map(|new| new.length);
        self.limit = limit;
        match limit {
            None => self.counts = Default::default(),
            Some(_) if same_slots => {}
            Some(limit) => {
                let own = self.counts.map(|counts| counts.own);
                self.turn(limit, now);
                self.counts = own.map(|own| Counts { own, ..Counts::default() });
            }
        }
    }

    /// Whether somebody must see to it that the others are told, or that the plan is known.
    fn needs_sharing(&self) -> bool {
        !self.sharing
            && (self.learnt.is_none_or(|learnt| learnt.elapsed() > BELIEVED)
                || self.limit.is_some() && self.counts.iter().any(|counts| counts.untold() > 0))
    }

    fn is_urgent(&self, class: Class) -> bool {
        self.limit.is_some_and(|limit| {
            self.counts[class as usize].untold() >= class.share(limit.requests).div_ceil(10)
        })
    }
}

/// In how much of a window's length there is room for one more.
fn room_after(counts: Counts, into: f64, most: u64) -> f64 {
    let (before, now, fits) = (counts.before as f64, counts.now() as f64, most.saturating_sub(1) as f64);
    let at = match now <= fits {
        // As soon as enough of the slot before has passed.
        true => 1.0 - (fits - now) / before.max(1.0),
        // In the next slot, as soon as enough of this one has.
        false => 2.0 - fits / now,
    };
    (at - into).max(0.0)
}

struct Window {
    state: Mutex<State>,
    hurry: Notify,
}

/// What is told of one slot.
struct Word {
    slot: u64,
    length: Duration,
    counts: [u64; 2],
    asks_before: [bool; 2],
}

impl Window {
    fn new() -> Self {
        Self { state: Mutex::new(State::new()), hurry: Notify::new() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the others are to be told now. With nothing, the sharing is over.
    fn word(&self) -> Option<Word> {
        let mut state = self.state();
        if let Some(limit) = state.limit {
            state.turn(limit, since_epoch());
            let counts = state.counts.map(|counts| counts.untold());
            if counts != [0, 0] {
                for counts in &mut state.counts {
                    counts.told = counts.own;
                }
                return Some(Word {
                    slot: state.slot,
                    length: limit.length,
                    counts,
                    asks_before: state.counts.map(|counts| !counts.heard_before),
                });
            }
        }
        state.sharing = false;
        None
    }

    /// What all replicas counted, in the slot of the word and in the one before it.
    fn hear(&self, word: &Word, class: Class, all: u64, before: Option<u64>) {
        let mut state = self.state();
        if state.slot != word.slot {
            return;
        }
        let counts = &mut state.counts[class as usize];
        counts.heard_before |= before.is_some();
        counts.others = all.saturating_sub(counts.told);
        counts.before = counts.before.max(before.unwrap_or(0));
    }

    /// It was not heard.
    fn take_back(&self, word: &Word, class: Class) {
        let mut state = self.state();
        if state.slot == word.slot {
            let counts = &mut state.counts[class as usize];
            counts.told = counts.told.saturating_sub(word.counts[class as usize]);
        }
    }
}

/// The windows of a sandbox's tenants.
pub(crate) struct Windows {
    cache: Cache,
    open: moka::sync::Cache<TenantId, Arc<Window>>,
}

impl Windows {
    pub(crate) fn new(cache: Cache) -> Self {
        let open = moka::sync::Cache::builder().max_capacity(WATCHED).time_to_idle(IDLE).build();
        Self { cache, open }
    }

    /// Counts a request of a tenant if there is room for it; none where the plan has no limit.
    pub(crate) fn take(
        core: &Arc<Core>,
        tenant: TenantId,
        class: impl FnOnce() -> Class,
    ) -> Option<Result<Allowance, Over>> {
        let window = core.windows.open.get_with(tenant, || Arc::new(Window::new()));
        let (taken, share) = {
            let mut state = window.state();
            let class = state.limit.is_some().then(class);
            let taken = class.and_then(|class| state.take(class, since_epoch()));
            if class.is_some_and(|class| state.is_urgent(class)) {
                window.hurry.notify_one();
            }
            let share = state.needs_sharing();
            state.sharing |= share;
            (taken, share)
        };
        if share {
            tokio::spawn(share_counts(Arc::clone(core), tenant, window));
        }
        taken
    }

    /// Adds to what all replicas counted; answers that, and on the first word of a slot what they counted in the one before.
    async fn tell(&self, tenant: TenantId, class: Class, word: &Word) -> Result<(u64, Option<u64>)> {
        let key = |slot: u64| format!("rate/{tenant}/{}/{slot}", class.text());
        // A slot is asked about until the one after it has passed.
        let kept = word.length * 2;
        let all = self.cache.increment(&key(word.slot), word.counts[class as usize], kept).await?.count;
        if !word.asks_before[class as usize] {
            return Ok((all, None));
        }
        let before = self.cache.increment(&key(word.slot.saturating_sub(1)), 0, kept).await?.count;
        Ok((all, Some(before)))
    }
}

/// Learns the tenant's plan and tells the other replicas what was let through, for as long as there is something to tell.
async fn share_counts(core: Arc<Core>, tenant: TenantId, window: Arc<Window>) {
    loop {
        let now = core.clock.now();
        let asking = Ctx::system(core.sandbox.clone(), core.clock.clone(), "gateway").within(tenant);
        let standing = core.standings.of(tenant, now, async { core.billing.standing(&asking).await }).await;
        {
            let mut state = window.state();
            // Who can't be asked has said what he said.
            let limit = standing.map_or(state.limit, |standing| Limit::of(&standing.plan.limits));
            state.learn(limit, since_epoch());
        }
        let Some(word) = window.word() else { return };
        let mut was_heard = true;
        for class in Class::ALL.into_iter().filter(|class| word.counts[*class as usize] > 0) {
            match core.windows.tell(tenant, class, &word).await {
                Ok((all, before)) => window.hear(&word, class, all, before),
                Err(error) => {
                    tracing::debug!(%tenant, ?error, "requests are counted by this replica alone");
                    core.metrics.count_unshared();
                    window.take_back(&word, class);
                    was_heard = false;
                }
            }
        }
        tokio::select! {
            () = tokio::time::sleep(BEAT) => {}
            // What nobody hears has no hurry: it would be said again at every request.
            () = window.hurry.notified(), if was_heard => {}
        }
    }
}

fn since_epoch() -> Duration {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default()
}

#[cfg(test)]
mod tests;
