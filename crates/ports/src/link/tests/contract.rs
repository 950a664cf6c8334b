//! Typed calls.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use kernel::{Ctx, Result, Slug};

use super::{LinkOptions, LinkState, cx, options};

crate::contract! {
    /// What others ask the counter.
    pub trait Counter via CounterLink {
        /// Adds `n` and answers the sum.
        async fn add(n: usize) -> usize;
        /// The number and a text, to see that several arguments and references pass.
        async fn name(prefix: &str, n: usize,) -> Arc<str>;
        /// Panics.
        async fn fail() -> ();
    }
}

/// A service that may hold a link to another of its kind; tells when it is dropped.
struct Tally {
    sum: AtomicUsize,
    other: Option<CounterLink>,
    dropped: Arc<AtomicUsize>,
}

impl Tally {
    fn behind(other: Option<CounterLink>, dropped: &Arc<AtomicUsize>) -> Arc<dyn Counter> {
        Arc::new(Self { sum: AtomicUsize::new(0), other, dropped: Arc::clone(dropped) })
    }
}

impl Drop for Tally {
    fn drop(&mut self) {
        self.dropped.fetch_add(1, Ordering::SeqCst);
    }
}

#[async_trait::async_trait]
impl Counter for Tally {
    async fn add(&self, cx: &Ctx, n: usize) -> Result<usize> {
        let elsewhere = match &self.other {
            Some(other) if n > 0 => other.add(cx, n - 1).await?,
            _ => 0,
        };
        Ok(self.sum.fetch_add(n, Ordering::SeqCst) + n + elsewhere)
    }

    async fn name(&self, _: &Ctx, prefix: &str, n: usize) -> Result<Arc<str>> {
        Ok(format!("{prefix}{n}").into())
    }

    async fn fail(&self, _: &Ctx) -> Result<()> {
        panic!("out of fingers")
    }
}

#[tokio::test]
async fn a_contracts_link_looks_like_the_contract() {
    let dropped = Arc::default();
    let link = CounterLink::new("counter", options(1, 1), Tally::behind(None, &dropped));
    let cx = cx();
    assert_eq!(link.add(&cx, 2).await.unwrap(), 2);
    assert_eq!(&*link.name(&cx, "n", 7).await.unwrap(), "n7");
    assert!(link.fail(&cx).await.unwrap_err().causes().contains("counter, fail: panicked: out of fingers"));
    let contract: Arc<dyn Counter> = Arc::new(link.clone());
    assert_eq!(contract.add(&cx, 3).await.unwrap(), 5);

    let stats = link.stats();
    let counts: Vec<_> =
        stats.operations.iter().map(|operation| (operation.name, operation.time.count)).collect();
    assert_eq!(counts, [("add", 2), ("name", 1), ("fail", 1)]);
    assert_eq!((stats.calls, stats.answered, stats.panicked, stats.time.count), (4, 3, 1, 4));
    link.close();
    assert_eq!(contract.add(&cx, 1).await.unwrap_err().slug(), Slug::Draining);
    drop((link, contract));
    assert_eq!(dropped.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn an_unbound_link_says_so_until_it_is_bound_once() {
    let dropped = Arc::default();
    let link = CounterLink::unbound("counter", LinkOptions::default());
    let early = link.clone();
    assert_eq!(link.add(&cx(), 1).await.unwrap_err().slug(), Slug::DependencyUnavailable);
    assert_eq!(link.stats().state, LinkState::Unbound);
    let service = Tally::behind(None, &dropped);
    link.bind(&service).unwrap();
    assert_eq!(early.add(&cx(), 1).await.unwrap(), 1);
    assert_eq!(early.stats().state, LinkState::Open);
    assert!(early.bind(&Tally::behind(None, &dropped)).is_err());
    assert_eq!(early.add(&cx(), 1).await.unwrap(), 2);
}

#[tokio::test]
async fn services_that_call_each_other_are_freed_with_their_cell() {
    let dropped = Arc::default();
    let (to_left, to_right) =
        (CounterLink::unbound("left", options(4, 4)), CounterLink::unbound("right", options(4, 4)));
    let cell =
        [Tally::behind(Some(to_right.clone()), &dropped), Tally::behind(Some(to_left.clone()), &dropped)];
    to_left.bind(&cell[0]).unwrap();
    to_right.bind(&cell[1]).unwrap();
    // Down and back: right adds 0, left 1, right 2 to that, left 3 to its own 1 and what right said.
    assert_eq!(to_left.add(&cx(), 3).await.unwrap(), (1 + 3) + (2 + 1));
    drop(cell);
    assert_eq!(dropped.load(Ordering::SeqCst), 2);
    assert_eq!(to_left.add(&cx(), 1).await.unwrap_err().slug(), Slug::Draining);
    assert_eq!(to_left.stats().state, LinkState::Unbound);
}
