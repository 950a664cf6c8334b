//! A whole kernel with a Kafka: its own events go out, those of outsiders come in, and what nobody can use is put aside.

use std::time::Duration;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};
use testkit::{Api, Broker, Kernel, KernelOptions};
use uuid::Uuid;

use crate::{
    clients::{read, write},
    stage::until,
};

const PATIENCE: Duration = Duration::from_secs(40);
const TOPIC: &str = "platform.crm.events";

async fn messages(owner: &Api) -> Vec<Value> {
    let answer = owner.get(&format!("/api/v1/events/topics/{TOPIC}/messages?limit=100")).await.expect(200);
    answer.body["data"].as_array().unwrap().clone()
}

async fn health(kernel: &Kernel) -> Value {
    kernel.operator().get("/health").await.expect(200).body
}

async fn kafka_says(kernel: &Kernel, member: &str, wanted: u64) {
    until(PATIENCE, async || {
        let said = health(kernel).await["kafka"].clone();
        if said[member] == json!(wanted) { Ok(()) } else { Err(said) }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_modules_events_come_in_from_outside_and_what_is_not_its_own_does_not() {
    let broker = Broker::open();
    let kernel = Kernel::start(KernelOptions::default().with("KAFKA_BROKERS", &broker.address())).await;
    let (owner, registered) = kernel.api().register("Acme Tools").await;
    let tenant = registered["tenant"]["id"].as_str().unwrap().to_owned();
    owner.post("/api/v1/modules/crm/install", json!({})).await.expect(200);
    let (stranger, other) = kernel.api().register("Other Tools").await;
    let other = other["tenant"]["id"].as_str().unwrap().to_owned();

    // Its own go out: the topic of the module is there as well, and has its partitions.
    let told = json!({ "type": "crm.deal.won", "data": { "id": "d1" } });
    let own = owner.post("/api/v1/events/publish", told).await.expect(202).body["eventId"].clone();
    let out = read(&broker.address(), TOPIC, 1).await;
    assert_eq!((&out[0]["event"]["id"], &out[0]["key"]), (&own, &json!("d1")));
    assert_eq!(
        out[0]["headers"]["generation"],
        health(&kernel).await["sandboxes"]["default"]["generation"].to_string()
    );
    let topics = broker
        .java("org.apache.kafka.tools.TopicCommand")
        .args(["--bootstrap-server", &broker.address(), "--describe", "--topic", TOPIC])
        .output()
        .unwrap();
    let described = String::from_utf8_lossy(&topics.stdout).into_owned();
    assert!(
        described.contains("PartitionCount: 12") && described.contains("retention.ms=604800000"),
        "{described}"
    );

    let id = Uuid::now_v7();
    let event = |id: Uuid, kind: &str, tenant: &str, key: &str| {
        json!({ "id": id, "type": kind, "source": "billing-bridge", "tenant_id": tenant, "key": key,
                "data_json": json!({ "id": key, "amount": 7 }).to_string() })
    };
    write(
        &broker.address(),
        TOPIC,
        &[
            json!({ "key": "d2", "raw": STANDARD.encode("this is no envelope") }),
            json!({ "key": "d2", "event": event(id, "crm.deal.won", &tenant, "d2") }),
            // The same again: one effect.
            json!({ "key": "d2", "event": event(id, "crm.deal.won", &tenant, "d2") }),
            json!({ "key": "d3", "event": event(Uuid::now_v7(), "crm.deal.invented", &tenant, "d3") }),
            json!({ "key": "d3", "event": event(Uuid::now_v7(), "crm.deal.won", &other, "d3") }),
            json!({ "key": "d3", "event": event(Uuid::now_v7(), "auth.user.created", &tenant, "d3") }),
            // Our own of another time: a restore undid it.
            json!({ "key": "d4", "headers": { "generation": "0", "type": "crm.deal.won" },
                    "event": event(Uuid::now_v7(), "crm.deal.won", &tenant, "d4") }),
            json!({ "key": "d5", "event": event(Uuid::now_v7(), "crm.deal.won", &tenant, "") }),
        ],
    )
    .await;
    kafka_says(&kernel, "takenIn", 2).await;
    kafka_says(&kernel, "deadLetters", 4).await;
    until(PATIENCE, async || {
        let found = messages(&owner).await;
        if found.len() == 3 { Ok(()) } else { Err(found) }
    })
    .await;
    let found = messages(&owner).await;
    let came: Vec<&Value> = found.iter().filter(|event| event["source"] == "kafka:billing-bridge").collect();
    assert_eq!(came.len(), 2, "{found:#?}");
    let first = came.iter().find(|event| event["id"] == json!(id)).unwrap();
    assert_eq!((&first["tenantId"], &first["data"]["amount"]), (&json!(tenant), &json!(7)));
    assert!(came.iter().any(|event| event["key"] == "d5"), "the record's key stands in: {found:#?}");
    assert_eq!(stranger.get(&format!("/api/v1/events/topics/{TOPIC}/messages")).await.status, 404);

    // Kept as they came, with the reason.
    let reasons = dead_letters(&broker, 4).await;
    for reason in ["EventEnvelope", "crm.deal.invented", "is not among", "not an event of this topic"] {
        assert!(reasons.contains(reason), "{reason}: {reasons}");
    }
    assert_eq!(health(&kernel).await["kafka"]["state"], "up");
    let metrics = kernel.operator().get("/metrics").await.expect(200).text;
    assert!(metrics.contains("kafka_events_taken_in_total 2"), "{metrics}");
    kernel.close().await;
}

async fn dead_letters(broker: &Broker, count: usize) -> String {
    let (address, count) = (broker.address(), count.to_string());
    let mut read = broker.java("org.apache.kafka.tools.consumer.ConsoleConsumer");
    read.args(["--bootstrap-server", &address, "--topic", "platform.dead-letters", "--from-beginning"])
        .args(["--max-messages", &count, "--timeout-ms", "30000", "--property", "print.headers=true"]);
    let read = tokio::task::spawn_blocking(move || read.output().unwrap()).await.unwrap();
    String::from_utf8_lossy(&read.stdout).into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn publishing_goes_on_while_the_broker_is_away_and_everything_is_carried_when_it_returns() {
    let mut broker = Broker::open();
    let kernel = Kernel::start(KernelOptions::default().with("KAFKA_BROKERS", &broker.address())).await;
    let (owner, _) = kernel.api().register("Acme Tools").await;
    owner.post("/api/v1/modules/crm/install", json!({})).await.expect(200);
    let publish = async |n: usize| {
        let event = json!({ "type": "crm.deal.won", "data": { "id": format!("d{}", n % 3), "n": n } });
        owner.post("/api/v1/events/publish", event).await.expect(202);
    };
    for n in 0..5 {
        publish(n).await;
    }
    tokio::task::block_in_place(|| broker.kill());
    for n in 5..25 {
        publish(n).await;
    }
    until(PATIENCE, async || {
        let said = health(&kernel).await["kafka"].clone();
        if said["state"] == "degraded" { Ok(()) } else { Err(said) }
    })
    .await;
    // Who listens here hears all the same.
    assert_eq!(messages(&owner).await.len(), 25);
    tokio::task::block_in_place(|| broker.start());
    until(PATIENCE, async || {
        let said = health(&kernel).await;
        if said["kafka"]["state"] == "up" && said["sandboxes"]["default"]["unfed"] == 0 {
            Ok(())
        } else {
            Err(said)
        }
    })
    .await;
    let records = read(&broker.address(), TOPIC, 25).await;
    let mut by_key = std::collections::BTreeMap::<String, Vec<i64>>::new();
    for record in &records {
        let data: Value = serde_json::from_str(record["event"]["data_json"].as_str().unwrap()).unwrap();
        by_key.entry(record["key"].to_string()).or_default().push(data["n"].as_i64().unwrap());
    }
    assert!(by_key.values().all(|numbers| numbers.is_sorted_by(|a, b| a < b)), "{by_key:?}");
    assert_eq!(by_key.values().map(Vec::len).sum::<usize>(), 25);
    kernel.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sandbox_gets_its_topics_at_its_first_event_and_takes_them_with_it() {
    let broker = Broker::open();
    let settings = KernelOptions::default()
        .with("KAFKA_BROKERS", &broker.address())
        .with("KAFKA_SANDBOX_PARTITIONS", "2")
        .with("KERNEL_TEMPLATE", "empty");
    let kernel = Kernel::start(settings).await;
    let operator = kernel.operator();
    operator.post("/api/v1/sandboxes", json!({ "name": "acme", "template": "empty" })).await.expect(201);
    kernel.cell("acme").await;
    let topics = async || {
        let mut list = broker.java("org.apache.kafka.tools.TopicCommand");
        list.args(["--bootstrap-server", &broker.address(), "--describe"]);
        let listed = tokio::task::spawn_blocking(move || list.output().unwrap()).await.unwrap();
        String::from_utf8_lossy(&listed.stdout).into_owned()
    };
    assert!(!topics().await.contains("acme."));
    Api::new(kernel.url().to_owned(), "acme.localhost").register("Acme Tools").await;
    let one = "acme.platform.auth.events";
    until(PATIENCE, async || {
        let listed = topics().await;
        let line =
            listed.lines().find(|line| line.starts_with("Topic: ") && line.contains(one)).unwrap_or("");
        if line.contains("PartitionCount: 2") { Ok(()) } else { Err(listed) }
    })
    .await;
    operator.delete("/api/v1/sandboxes/acme").await.expect(204);
    let left = topics().await;
    assert!(!left.contains("acme."), "{left}");
    assert!(left.contains("Topic: platform.auth.events"), "{left}");
    kernel.close().await;
}
