use async_trait::async_trait;
use bytes::Bytes;
use fabric::cache::{Counted, Heard, Store};
use kernel::{Error, Slug};
use tokio::sync::broadcast;

use super::*;
use crate::tests::{Kernel, gateway_on};

const PLAN: Limit = Limit { requests: 100, length: Duration::from_secs(2) };

fn known(limit: Limit) -> State {
    State { limit: Some(limit), ..State::new() }
}

fn at(seconds: f64) -> Duration {
    Duration::from_secs(1_000_000_000) + Duration::from_secs_f64(seconds)
}

fn plan(rps: Option<i64>, burst: Option<i64>) -> PlanLimits {
    PlanLimits { rps, burst, ..PlanLimits::default() }
}

#[test]
fn a_window_is_as_long_as_the_burst_takes_to_come_back() {
    for (rps, burst, requests, seconds) in [
        (50, Some(100), 100, 2.0),
        (1_000, Some(2_000), 2_000, 2.0),
        (10, Some(1), 10, 1.0),
        (10, None, 10, 1.0),
        (1, Some(1_000_000), 1_000_000, LONGEST),
    ] {
        let limit = Limit { requests, length: Duration::from_secs_f64(seconds) };
        assert_eq!(Limit::of(&plan(Some(rps), burst)), Some(limit));
    }
    assert_eq!(Limit::of(&plan(None, Some(5))), None);
}

#[test]
fn a_burst_passes_then_the_plans_rate() {
    let mut state = known(PLAN);
    for n in 0..100 {
        let allowance = state.take(Class::Members, at(0.5)).unwrap().unwrap();
        assert_eq!((allowance.limit, allowance.remaining), (100, 99 - n));
    }
    let over = state.take(Class::Members, at(0.5)).unwrap().unwrap_err();
    assert_eq!((over.allowance.remaining, over.allowance.resets_in), (0, Duration::from_millis(3_500)));
    // A thousand a second for a minute more.
    let asked = (500..60_500).filter(|ms| state.take(Class::Members, at(*ms as f64 / 1e3)).unwrap().is_ok());
    let let_through = asked.count();
    assert!((2_850..=3_050).contains(&let_through), "{let_through} in a minute at 50 a second");
}

#[test]
fn who_is_refused_is_told_when_to_come_back() {
    for seed in 0_u32..200 {
        let mut state = known(PLAN);
        let mut now = 0.0;
        let over = loop {
            now += f64::from(seed % 37) / 1_000.0;
            match state.take(Class::Members, at(now)).unwrap() {
                Ok(_) if now < 20.0 => {}
                Ok(_) => break None,
                Err(over) => break Some(over),
            }
        };
        let Some(over) = over else { continue };
        let then = now + over.wait.as_secs_f64();
        let mut early = State { counts: state.counts, ..known(PLAN) };
        early.slot = state.slot;
        assert!(early.take(Class::Members, at(then - 0.01)).unwrap().is_err(), "{seed}: {over:?}");
        assert!(state.take(Class::Members, at(then + 0.000_01)).unwrap().is_ok(), "{seed}: {over:?}");
    }
}

#[test]
fn administrators_have_five_times_as_much_and_room_of_their_own() {
    let mut state = known(PLAN);
    let mut let_through = |class| (0..1_000).filter(|_| state.take(class, at(0.0)).unwrap().is_ok()).count();
    assert_eq!(let_through(Class::Members), 100);
    assert_eq!(let_through(Class::Admins), 500);
}

#[test]
fn another_plan_counts_on_and_none_limits_nothing() {
    let mut state = known(PLAN);
    for _ in 0..40 {
        state.take(Class::Members, at(0.0)).unwrap().unwrap();
    }
    state.learn(Some(Limit { requests: 50, ..PLAN }), at(0.1));
    assert_eq!(state.take(Class::Members, at(0.1)).unwrap().unwrap().remaining, 9);
    state.learn(Some(Limit { length: Duration::from_secs(10), ..PLAN }), at(0.2));
    assert_eq!(state.take(Class::Members, at(0.2)).unwrap().unwrap().remaining, 58);
    state.learn(None, at(0.3));
    assert!(state.take(Class::Members, at(0.3)).is_none());
    state.learn(Some(PLAN), at(7.0));
    assert_eq!(
        state.take(Class::Members, at(7.0)).unwrap().unwrap().remaining,
        99,
        "nothing is left of before"
    );
}

/// Asks until `enough` were refused in a row at this replica.
async fn let_through(kernels: &[&Kernel], tenant: TenantId) -> u64 {
    let (mut passed, mut refused) = (0, 0);
    while refused < 50 {
        for kernel in kernels {
            match Windows::take(&kernel.core, tenant, || Class::Members) {
                Some(Ok(_)) => (passed, refused) = (passed + 1, 0),
                Some(Err(_)) => refused += 1,
                None => panic!("the plan has a limit"),
            }
            tokio::task::yield_now().await;
        }
    }
    passed
}

/// A replica whose tenants have a plan of 1,000 requests in 100 seconds.
async fn replica(cache: &Cache) -> Kernel {
    let kernel = gateway_on(cache.clone(), |settings| settings).await;
    kernel.stubs.standing.lock().unwrap().plan.limits = plan(Some(10), Some(1_000));
    kernel
}

async fn learns_the_plan(kernel: &Kernel, tenant: TenantId) {
    let begun = Instant::now();
    loop {
        let taken = Windows::take(&kernel.core, tenant, || Class::Members);
        if let Some(Ok(allowance) | Err(Over { allowance, .. })) = taken
            && allowance.limit == 1_000
        {
            return;
        }
        assert!(begun.elapsed() < Duration::from_secs(5), "the plan is never learnt");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn replicas_count_together() {
    let cache = Cache::in_memory(1 << 20);
    let (one, two) = (replica(&cache).await, replica(&cache).await);
    let tenant = one.stubs.blue;
    learns_the_plan(&one, tenant).await;
    learns_the_plan(&two, tenant).await;
    let together = let_through(&[&one, &two], tenant).await;
    // A tenth too much for the other replica; half of that again, should a slot end meanwhile.
    assert!((950..=1_160).contains(&together), "{together}");
    let third = replica(&cache).await;
    learns_the_plan(&third, tenant).await;
    tokio::time::sleep(BEAT * 2).await;
    let more = let_through(&[&third], tenant).await;
    assert!(more < 60, "one that joins is told what was let through: {more}");
    assert!(let_through(&[&one], one.stubs.red).await >= 900, "another tenant has its own");
}

/// A cache that is away.
struct Away;

#[async_trait]
impl Store for Away {
    async fn get(&self, _: &str) -> Result<Option<Bytes>> {
        Err(Error::new(Slug::DependencyUnavailable, "away"))
    }
    async fn set(&self, _: &str, _: Bytes, _: Duration) -> Result<()> {
        Err(Error::new(Slug::DependencyUnavailable, "away"))
    }
    async fn delete(&self, _: &str) -> Result<()> {
        Err(Error::new(Slug::DependencyUnavailable, "away"))
    }
    async fn delete_prefix(&self, _: &str) -> Result<()> {
        Err(Error::new(Slug::DependencyUnavailable, "away"))
    }
    async fn increment(&self, _: &str, _: u64, _: Duration) -> Result<Counted> {
        Err(Error::new(Slug::DependencyUnavailable, "away"))
    }
    async fn publish(&self, _: &str, _: Bytes) -> Result<()> {
        Err(Error::new(Slug::DependencyUnavailable, "away"))
    }
    async fn subscribe(&self, _: &str) -> Result<broadcast::Receiver<Heard>> {
        Err(Error::new(Slug::DependencyUnavailable, "away"))
    }
}

#[tokio::test]
async fn without_the_cache_each_replica_counts_for_itself_and_that_is_counted() {
    let cache = Cache::new(Arc::new(Away));
    let (one, two) = (replica(&cache).await, replica(&cache).await);
    let tenant = one.stubs.blue;
    for kernel in [&one, &two] {
        learns_the_plan(kernel, tenant).await;
        let alone = let_through(&[kernel], tenant).await;
        assert!((900..=1_010).contains(&alone), "{alone}");
        let metrics = kernel.core.metrics.text(|_| {});
        let line = metrics.lines().find(|line| line.starts_with("rate_window_unshared_total")).unwrap();
        assert!(line.rsplit_once(' ').unwrap().1.parse::<u64>().unwrap() > 0, "{line}");
    }
}
