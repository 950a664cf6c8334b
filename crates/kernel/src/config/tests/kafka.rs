use super::*;

#[test]
fn kafka_is_a_list_of_brokers() {
    assert_eq!(env("KAFKA_RETENTION_HOURS", "24").config().events.kafka, None);
    let kafka = env("KAFKA_BROKERS", "kafka-1:9093, kafka-2,[::1]:9094,").config().events.kafka.unwrap();
    assert_eq!(kafka.brokers, ["kafka-1:9093", "kafka-2:9092", "[::1]:9094"]);
    assert_eq!((kafka.login, kafka.tls, kafka.sandbox_partitions), (None, None, 1));
    for (wrong, why) in [
        ("kafka://kafka:9092", "has no scheme"),
        ("user@kafka:9092", "KAFKA_SASL_USERNAME"),
        ("kafka:0", "from 1 to 65535"),
        ("kafka:", "the port is missing"),
        ("ka fka:9092", "is not one"),
        (",", "names no broker"),
    ] {
        let told = env("KAFKA_BROKERS", wrong).mistake();
        assert!(told.contains(why) && told.contains("for example KAFKA_BROKERS="), "{wrong}: {told}");
    }
}

#[test]
fn a_user_at_kafka_has_a_name_and_a_password() {
    let brokers = || env("KAFKA_BROKERS", "kafka:9092");
    let told = brokers().env("KAFKA_SASL_USERNAME", "kernel").mistake();
    assert!(told.contains("set KAFKA_SASL_PASSWORD too"), "{told}");
    let told = brokers().env("KAFKA_SASL_PASSWORD", "secret").mistake();
    assert!(told.contains("set KAFKA_SASL_USERNAME too") && !told.contains("secret"), "{told}");
    let told = brokers().env("KAFKA_SASL_MECHANISM", "GSSAPI").mistake();
    assert!(told.contains("SCRAM-SHA-512 or PLAIN"), "{told}");
    let both = brokers().env("KAFKA_SASL_USERNAME", "kernel").env("KAFKA_SASL_PASSWORD", "secret");
    let resolved = both.env("KAFKA_SASL_MECHANISM", "scram-sha-256").resolved();
    assert!(resolved.warnings()[0].contains("without KAFKA_TLS"), "{:?}", resolved.warnings());
    let login = resolved.config.events.kafka.unwrap().login.unwrap();
    assert_eq!((login.mechanism, login.user.as_str()), (SaslMechanism::ScramSha256, "kernel"));
}

#[test]
fn authorities_are_for_tls() {
    let given = env("KAFKA_BROKERS", "kafka:9092").env("KAFKA_TLS_CA", "/ca.crt");
    assert!(given.mistake().contains("set KAFKA_TLS=true"));
    let given = env("KAFKA_BROKERS", "kafka:9092").env("KAFKA_TLS_CA", "/ca.crt").env("KAFKA_TLS", "true");
    let tls = given.config().events.kafka.unwrap().tls;
    assert_eq!(tls, Some(KafkaTls { authorities: Some("/ca.crt".into()) }));
    let idle = env("KAFKA_CLIENT_ID", "kernel-0").resolved();
    assert_eq!(idle.warnings(), ["KAFKA_CLIENT_ID has no effect without KAFKA_BROKERS"]);
}
