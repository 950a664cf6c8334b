//! The contracts, walked by a client that knows nothing but reflection.

use std::process::Command;

use serde_json::Value;
use testkit::{DEMO_OWNER, DEMO_PASSWORD, Launch};

/// The program, compiled once into the cache.
fn program() -> String {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tools/grpcurl.sh");
    let output = Command::new(script).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn grpcurl_lists_describes_and_calls() {
    let program = program();
    let binary = Launch::default().start(env!("CARGO_BIN_EXE_platform-kernel"));
    let owner = binary.api().sign_in(DEMO_OWNER, DEMO_PASSWORD).await;
    let run = |arguments: &[&str]| {
        let output = Command::new(&program).arg("-plaintext").args(arguments).output().unwrap();
        let said = [output.stdout, output.stderr].concat();
        (output.status.success(), String::from_utf8(said).unwrap())
    };
    let bearer = format!("authorization: Bearer {}", owner.token());
    for listener in ["grpc", "http", "iam"] {
        let address = format!("127.0.0.1:{}", binary.runtime()["ports"][listener].as_u64().unwrap());
        let (fine, services) = run(&[&address, "list"]);
        assert!(fine, "{services}");
        let mut known: Vec<&str> = services.lines().collect();
        known.sort_unstable();
        assert_eq!(
            known,
            [
                "grpc.health.v1.Health",
                "grpc.reflection.v1.ServerReflection",
                "grpc.reflection.v1alpha.ServerReflection",
                "platform.events.v1.EventsService",
                "platform.iam.v1.IamService"
            ]
        );
        for method in proto::METHODS {
            let name = method.path.trim_start_matches('/').replace('/', ".");
            let (fine, described) = run(&[&address, "describe", &name]);
            assert!(fine && described.contains(&format!(".{} )", method.request)), "{described}");
            let (fine, described) = run(&[&address, "describe", method.request]);
            assert!(fine, "{described}");
        }
        let (fine, health) = run(&[&address, "grpc.health.v1.Health/Check"]);
        assert!(fine && health.contains("SERVING"), "{health}");
        let users =
            ["-H", &bearer, "-d", "{\"limit\":100}", &address, "platform.iam.v1.IamService/ListUsers"];
        let (fine, users) = run(&users);
        let users: Value = serde_json::from_str(&users).unwrap_or_else(|_| panic!("{fine}: {users}"));
        assert!(users["users"].as_array().unwrap().iter().any(|user| user["email"] == DEMO_OWNER), "{users}");
    }
    let address = format!("127.0.0.1:{}", binary.runtime()["ports"]["grpc"].as_u64().unwrap());
    let event = r#"{"type":"crm.deal.won","dataJson":"{\"id\":\"d1\"}"}"#;
    let publish = ["-H", &bearer, "-d", event, &address, "platform.events.v1.EventsService/Publish"];
    let (fine, published) = run(&publish);
    assert!(fine && published.contains("platform.crm.events"), "{published}");
    let (fine, refused) = run(&[&address, "platform.iam.v1.IamService/ListUsers"]);
    assert!(!fine && refused.contains("Unauthenticated"), "{refused}");
    assert!(refused.contains("\"reason\": \"unauthorized\""), "it reads the details: {refused}");

    let folder = testkit::data_folder();
    let out = folder.path().to_str().unwrap();
    assert!(binary.verb(&["proto", "--out", out]).status.success());
    let written = folder.path().join("platform/iam/v1/iam.proto");
    assert!(std::fs::read_to_string(written).unwrap().contains("service IamService"));
    let listed = ["-import-path", out, "-proto", "platform/iam/v1/iam.proto", "list"];
    let output = Command::new(&program).args(listed).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), "platform.iam.v1.IamService");
}
