use fabric::cache::{Heard, ValkeyOptions, contract};
use testkit::{Valkey, shared_redis, shared_valkey};

use crate::{next, open, options};

#[tokio::test(flavor = "multi_thread")]
async fn the_shared_servers_keep_the_contract() {
    let (redis, authority) = shared_redis();
    for options in [options(&shared_valkey()), ValkeyOptions { roots: Some(authority), ..options(&redis) }] {
        let cache = open(&options).await.part(&format!("test-{}", uuid::Uuid::new_v4()));
        contract::check(&cache).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn valkey_with_a_password_and_a_database_keeps_the_contract() {
    let server = Valkey::start(&["--requirepass", "a secret: with/every@thing%"]);
    let url = format!("redis://:a%20secret%3A%20with%2Fevery%40thing%25@127.0.0.1:{}/5", server.port());
    contract::check(&open(&options(&url)).await).await.unwrap();
    assert!(server.ask(&["INFO", "server"]).contains("valkey_version:8.1"));
}

#[tokio::test(flavor = "multi_thread")]
async fn redis_over_tls_with_a_user_keeps_the_contract() {
    let user = ["--user", "kernel", "on", ">secret", "~*", "&*", "+@all", "-@dangerous", "+info"];
    let server = Valkey::redis_with_tls(&user);
    for host in ["localhost", "127.0.0.1"] {
        let options = ValkeyOptions {
            password: Some(kernel::Secret::new("secret")),
            roots: Some(server.authority()),
            ..options(&format!("rediss://kernel@{host}:{}", server.port()))
        };
        contract::check(&open(&options).await).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_keeps_the_contract_and_deletes_on_every_node() {
    let nodes = Valkey::cluster();
    let [one, two, _] = &nodes;
    let url = format!("valkey-cluster://127.0.0.1:{}?node=127.0.0.1:{}", one.port(), two.port());
    let cache = open(&options(&url)).await;
    contract::check(&cache).await.unwrap();
    for n in 0..3_000 {
        cache.set(&format!("many/{n}"), "x", std::time::Duration::from_secs(60)).await.unwrap();
    }
    assert!(nodes.iter().all(|node| node.ask(&["DBSIZE"]) != ":0\r\n"), "the keys lie on every node");
    cache.delete_prefix("many/").await.unwrap();
    let left: Vec<String> = nodes.iter().map(|node| node.ask(&["DBSIZE"])).collect();
    assert!(left.iter().all(|size| size == ":0\r\n"), "{left:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn sentinels_lead_to_the_primary() {
    let primary = Valkey::start(&[]);
    let sentinel = Valkey::sentinel(&primary);
    let url = format!("valkey-sentinel://127.0.0.1:{}?sentinelServiceName=cache", sentinel.port());
    contract::check(&open(&options(&url)).await).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn stores_of_two_processes_hear_and_see_each_other() {
    let server = Valkey::start(&[]);
    let (here, there) = (open(&options(&server.url())).await, open(&options(&server.url())).await);
    let (mut of_here, mut of_there) =
        (here.subscribe("topic").await.unwrap(), there.subscribe("topic").await.unwrap());
    here.publish("topic", "from here").await.unwrap();
    there.publish("topic", "from there").await.unwrap();
    for listener in [&mut of_here, &mut of_there] {
        let mut heard = [next(listener).await, next(listener).await];
        heard.sort_by_key(|heard| format!("{heard:?}"));
        assert_eq!(heard, ["from here", "from there"].map(|text| Heard::Message(text.into())));
    }
    let minute = std::time::Duration::from_secs(60);
    here.set("value", "of all", minute).await.unwrap();
    assert_eq!(there.get("value").await.unwrap().as_deref(), Some(&b"of all"[..]));
    assert_eq!(here.increment("count", 1, minute).await.unwrap().count, 1);
    assert_eq!(there.increment("count", 1, minute).await.unwrap().count, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_nobody_listens_to_any_more_is_not_asked_for() {
    let server = Valkey::start(&[]);
    let cache = open(&options(&server.url())).await;
    for n in 0..20 {
        drop(cache.subscribe(&format!("t{n}")).await.unwrap());
    }
    let _listener = cache.subscribe("last").await.unwrap();
    // The server's count of channels, of which one may be on its way out.
    let told = server.ask(&["PUBSUB", "CHANNELS"]);
    assert!(told.starts_with("*1\r\n") || told.starts_with("*2\r\n"), "{told}");
}
