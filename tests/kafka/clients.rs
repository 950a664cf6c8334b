//! A client of Kafka in another language reads what is carried out, and writes what comes in.

use std::{path::Path, process::Stdio, time::Duration};

use fabric::log::kafka::{Kafka, TopicName};
use serde_json::{Value, json};
use tokio::{io::AsyncWriteExt as _, process::Command};
use tokio_util::sync::CancellationToken;

use crate::stage::{Stage, database, is, options, sandbox, shared, until};

fn client(arguments: &[&str]) -> Command {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut command = Command::new(root.join("tools/with-kafka-client.sh"));
    command.arg("python3").arg(root.join("tests/kafka/client.py")).args(arguments);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

async fn run(arguments: &[&str], input: &str) -> String {
    let mut child = client(arguments).spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).await.unwrap();
    let done = child.wait_with_output().await.unwrap();
    let said = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "{said}");
    String::from_utf8(done.stdout).unwrap()
}

/// Writes records as an outsider does.
pub async fn write(brokers: &str, topic: &str, records: &[Value]) {
    let lines: String = records.iter().map(|record| format!("{record}\n")).collect();
    run(&["write", brokers, topic], &lines).await;
}

/// Reads so many records of a topic, as an outsider does.
pub async fn read(brokers: &str, topic: &str, count: usize) -> Vec<Value> {
    let said = run(&["read", brokers, topic, &count.to_string()], "").await;
    said.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_python_program_reads_the_envelopes() {
    let database = database().await;
    let kafka = Kafka::open(options(&shared())).unwrap();
    let stage = Stage::on(&database.db, &kafka, sandbox(), 4);
    let stop = CancellationToken::new();
    let working = stage.work(&stop);
    let keys: Vec<String> = (0..40).map(|n| format!("key ä {}", n % 8)).collect();
    stage.publish(&keys, 100).await;
    until(Duration::from_secs(30), async || is(stage.unfed().await, 0)).await;

    let topic = TopicName::new(stage.sandbox.clone(), "platform.test.events").to_string();
    let records = read(&shared(), &topic, 40).await;
    assert_eq!(records.len(), 40);
    let mut last = std::collections::BTreeMap::new();
    for record in &records {
        let event = &record["event"];
        assert_eq!(event["type"], "test.thing.made", "{record}");
        assert_eq!(event["tenant_id"], json!(stage.tenant));
        assert_eq!((&event["key"], &event["source"]), (&record["key"], &json!("test")));
        assert_eq!(record["headers"]["generation"], "4");
        assert_eq!(record["headers"]["id"], event["id"]);
        assert!(event["timestamp"].as_str().unwrap().ends_with('Z'), "{event}");
        let n: i64 = event["data_json"].as_str().unwrap().parse().unwrap();
        let before = last.insert(event["key"].to_string(), n);
        assert!(before.is_none_or(|before| before < n), "{event}");
    }
    assert_eq!(last.len(), 8);

    stop.cancel();
    working.join_all().await;
    kafka.remove_topics(&stage.sandbox).await.unwrap();
    kafka.close().await;
    database.stop().await;
}
