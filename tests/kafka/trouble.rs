//! TLS, passwords and rights; and what is said when they are wrong.

use std::time::Duration;

use fabric::log::kafka::{Kafka, KafkaFault, KafkaOptions, TopicName};
use kernel::{
    Secret,
    config::{KafkaLogin, KafkaTls, SaslMechanism},
};
use testkit::{Broker, KAFKA_PASSWORD, KAFKA_STRANGER, KAFKA_USER, Kernel, KernelOptions};

use crate::stage::{Stage, database, is, options, sandbox, until};

const PATIENCE: Duration = Duration::from_secs(8);

fn login(mechanism: SaslMechanism, user: &str, password: &str) -> Option<KafkaLogin> {
    Some(KafkaLogin { mechanism, user: user.to_owned(), password: Secret::new(password) })
}

fn by_tls(broker: &Broker) -> KafkaOptions {
    let mut options = options(&broker.tls_address());
    options.server.tls = Some(KafkaTls { authorities: Some(broker.authority()) });
    options
}

fn by_password(broker: &Broker, mechanism: SaslMechanism, user: &str, password: &str) -> KafkaOptions {
    let mut options = by_tls(broker);
    options.server.brokers = vec![broker.sasl_address()];
    options.server.login = login(mechanism, user, password);
    options
}

async fn fault(options: &KafkaOptions) -> KafkaFault {
    options.try_out(PATIENCE).await.expect_err("it must not work")
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_and_passwords_are_used_and_each_mistake_is_told_with_its_remedy() {
    let broker = Broker::secured();
    for good in [
        options(&broker.address()),
        by_password(&broker, SaslMechanism::ScramSha256, KAFKA_USER, KAFKA_PASSWORD),
        by_password(&broker, SaslMechanism::ScramSha512, KAFKA_USER, KAFKA_PASSWORD),
    ] {
        let probe = good.try_out(PATIENCE).await.unwrap();
        assert_eq!(probe.brokers, 1);
        assert!(probe.version.as_deref().is_some_and(|version| version.starts_with("3.9")), "{probe:?}");
    }
    assert_eq!(by_tls(&broker).look(PATIENCE).await.unwrap().brokers, 1);

    let told = fault(&by_password(&broker, SaslMechanism::ScramSha512, KAFKA_USER, "wrong")).await;
    assert!(matches!(told, KafkaFault::Login { .. }), "{told}");
    assert!(
        told.to_string().contains("KAFKA_SASL_PASSWORD") && !told.to_string().contains("wrong\""),
        "{told}"
    );

    let mut foreign = by_tls(&broker);
    foreign.server.tls = Some(KafkaTls { authorities: None });
    let told = fault(&foreign).await;
    assert!(matches!(told, KafkaFault::Tls { .. }) && told.to_string().contains("KAFKA_TLS_CA"), "{told}");

    let plain_to_tls = options(&broker.tls_address());
    let told = fault(&plain_to_tls).await;
    assert!(told.to_string().contains("KAFKA_TLS=true"), "{told}");

    let mut nowhere = options("kafka.invalid:9092");
    let told = fault(&nowhere).await;
    assert!(matches!(told, KafkaFault::Name { .. }), "{told}");
    nowhere.server.brokers = vec!["localhost:1".to_owned()];
    let told = fault(&nowhere).await;
    assert!(
        matches!(told, KafkaFault::Unreachable { .. }) && told.to_string().contains("localhost:1"),
        "{told}"
    );

    let told = fault(&by_password(&broker, SaslMechanism::ScramSha512, KAFKA_STRANGER, KAFKA_PASSWORD)).await;
    assert!(matches!(told, KafkaFault::Permission { .. }) && told.to_string().contains("Create"), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn events_are_carried_over_tls_with_a_password_and_a_topic_that_may_not_be_written_waits() {
    let broker = Broker::secured();
    let database = database().await;
    let good = by_password(&broker, SaslMechanism::ScramSha512, KAFKA_USER, KAFKA_PASSWORD);
    let stranger = by_password(&broker, SaslMechanism::ScramSha512, KAFKA_STRANGER, KAFKA_PASSWORD);
    let (kafka, shut_out) = (Kafka::open(good).unwrap(), Kafka::open(stranger).unwrap());
    let name = sandbox();
    let without = Stage::on(&database.db, &shut_out, name.clone(), 1);
    without.publish(&["a".to_owned(), "b".to_owned()], 0).await;
    without.relay.carry().await.unwrap();
    let never = tokio_util::sync::CancellationToken::new();
    assert_eq!(without.feed.carry(&never).await.unwrap(), fabric::log::kafka::Carried::Waiting);
    let counted = shut_out.figures().counted();
    assert_eq!((counted.state, counted.fed), ("degraded", 0));
    assert!(counted.fault.as_deref().is_some_and(|fault| fault.contains("does not allow")), "{counted:?}");

    let with = Stage::on(&database.db, &kafka, name.clone(), 1);
    with.feed.carry(&never).await.unwrap();
    until(PATIENCE, async || is(with.unfed().await, 0)).await;
    assert_eq!(kafka.figures().counted().fed, 2);
    kafka.make_topics(&[TopicName::new(name.clone(), "platform.test.events")]).await.unwrap();
    kafka.remove_topics(&name).await.unwrap();
    for kafka in [kafka, shut_out] {
        kafka.close().await;
    }
    database.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kernel_is_not_started_with_a_wrong_password_and_is_without_a_broker() {
    let broker = Broker::secured();
    let settings = |password: &str| {
        KernelOptions::default()
            .with("KERNEL_TEMPLATE", "empty")
            .with("KAFKA_BROKERS", &broker.sasl_address())
            .with("KAFKA_TLS", "true")
            .with("KAFKA_TLS_CA", broker.authority().to_str().unwrap())
            .with("KAFKA_SASL_USERNAME", KAFKA_USER)
            .with("KAFKA_SASL_PASSWORD", password)
    };
    let told = match Kernel::try_start(settings("wrong")).await {
        Ok(_) => panic!("it started"),
        Err(error) => error.to_string(),
    };
    assert!(told.contains("KAFKA_SASL_PASSWORD"), "{told}");
    let kernel = Kernel::start(settings(KAFKA_PASSWORD)).await;
    let said = kernel.operator().get("/health").await.expect(200).body["kafka"].clone();
    assert_eq!(said["state"], "up", "{said}");
    kernel.close().await;

    let away = KernelOptions::default().with("KERNEL_TEMPLATE", "empty").with("KAFKA_BROKERS", "localhost:1");
    let kernel = Kernel::start(away).await;
    until(PATIENCE, async || {
        let said = kernel.operator().get("/health").await.expect(200).body["kafka"].clone();
        if said["state"] == "degraded" { Ok(()) } else { Err(said) }
    })
    .await;
    kernel.close().await;
}
