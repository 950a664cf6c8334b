use std::time::Duration;

/// How long a client gets to end.
const PATIENCE: Duration = Duration::from_secs(5);

/// Drops a client of librdkafka on a thread of its own: ending one waits for its threads and brokers, and can hang for
/// ever when records were not read. After 5 s nobody waits for it any more.
pub(super) async fn close<T: Send + 'static>(what: &'static str, client: T) {
    let (ended, end) = tokio::sync::oneshot::channel();
    let thread = std::thread::Builder::new().name("kafka-closing".to_owned()).spawn(move || {
        drop(client);
        let _ = ended.send(());
    });
    let waited = match thread {
        Ok(_) => tokio::time::timeout(PATIENCE, end).await.is_ok(),
        Err(_) => false,
    };
    if !waited {
        tracing::warn!(what, "a client of Kafka does not end; it is left behind");
    }
}
