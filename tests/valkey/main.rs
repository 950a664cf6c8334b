//! The cache in a real Valkey: what it promises, what it does when the server goes, what it says when it can't begin.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    missing_docs,
    reason = "a test: what fails here fails the test"
)]

mod contract;
mod loss;
mod program;
mod rates;
mod refusals;
mod replicas;

use std::{sync::Arc, time::Duration};

use fabric::cache::{Cache, Heard, Store, Subscription, ValkeyOptions, ValkeyStore};
use kernel::Secret;

fn options(url: &str) -> ValkeyOptions {
    ValkeyOptions { url: Secret::new(url), password: None, roots: None }
}

async fn open(options: &ValkeyOptions) -> Cache {
    let store = ValkeyStore::connect(options).await.unwrap_or_else(|error| panic!("{error}"));
    Cache::new(Arc::new(store) as Arc<dyn Store>)
}

/// What a listener hears next, at once or nearly.
async fn next(listener: &mut Subscription) -> Heard {
    let heard = tokio::time::timeout(Duration::from_secs(5), listener.next()).await;
    heard.expect("something to hear").expect("a store that lives")
}
