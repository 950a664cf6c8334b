//! The log's contract, on the log that the product uses and on one that interleaves its partitions at random: what a
//! Kafka may do, readers must bear.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    missing_docs,
    reason = "a test: what fails here fails the test"
)]

use std::sync::Arc;

use fabric::log::{Contexts, EventLog, InterleavedLog, News, PostgresLog, Relay, contract};
use testkit::Kernel;

#[tokio::test(flavor = "multi_thread")]
async fn the_embedded_log_keeps_the_contract_also_when_partitions_interleave() {
    let kernel = Kernel::empty().await;
    let cell = kernel.cell("default").await;
    let news = News::new();
    let log: Arc<dyn EventLog> = Arc::new(PostgresLog::new(cell.db().clone(), Arc::clone(&news)));
    let contexts = Contexts::new(cell.name().clone(), cell.clock().clone(), "event-bus");
    let relay = Relay::new(cell.db().clone(), news, contexts.clone());
    let writer = contract::OutboxWriter { db: cell.db().clone(), relay };
    contract::check(&*log, &writer, &contexts.own()).await.unwrap();
    let interleaved = InterleavedLog::over(log);
    contract::check(&*interleaved, &writer, &contexts.own()).await.unwrap();
    kernel.close().await;
}
