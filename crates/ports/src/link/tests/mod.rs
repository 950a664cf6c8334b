//! The rules of a link, one by one.

mod contract;
mod http;
mod queue;

use std::time::{Duration, Instant};

use kernel::{Clock, Ctx, SandboxName};

use super::{Call, HttpLink, Link, LinkOptions, LinkState};

fn cx() -> Ctx {
    cx_within(Duration::from_secs(30))
}

fn cx_within(time: Duration) -> Ctx {
    let sandbox = "default".parse::<SandboxName>().unwrap();
    Ctx::build(sandbox, Clock::real()).deadline(Instant::now() + time).finish()
}

fn options(concurrency: usize, depth: usize) -> LinkOptions {
    LinkOptions { depth, concurrency }
}

/// Waits for a condition, at most 5 s.
async fn until(condition: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(5);
    while !condition() {
        assert!(Instant::now() < deadline, "it did not come about within 5 s");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}
