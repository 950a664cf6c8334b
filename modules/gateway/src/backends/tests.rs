use std::sync::Arc;

use super::*;

#[test]
fn a_path_that_could_mean_another_is_none() {
    assert_eq!(split("/api/v1/m/crm/deals/7/win"), Some(("crm", "/deals/7/win")));
    assert_eq!(split("/api/v1/m/crm/a%20b"), Some(("crm", "/a%20b")));
    for path in [
        "/api/v1/m/crm",
        "/api/v1/m/crm/",
        "/api/v1/m/crm/../x",
        "/api/v1/m/crm/a/./b",
        "/api/v1/m/crm/a/%2e%2E/b",
        "/api/v1/m/crm/.%2e/b",
        "/api/v1/m/crm/a%2Fb",
        "/api/v1/m/crm/a%5cb",
        "/api/v1/m/crm/a\\b",
        "/api/v1/m/crm//a",
        "/api/v1/m/crm/a%00",
        "/api/v1/m/crm/%252e%252e/a",
        "/api/v1/m/crm/..;/a",
    ] {
        assert_eq!(split(path), None, "{path}");
    }
}

#[test]
fn only_failures_to_answer_count_against_a_backend() {
    let status = |status: u16| {
        let mut response = Response::default();
        *response.status_mut() = http::StatusCode::from_u16(status).unwrap();
        Ok(response)
    };
    for (answer, expected) in [
        (status(200), Outcome::Answered),
        (status(404), Outcome::Answered),
        (status(500), Outcome::Answered),
        (status(503), Outcome::Failed),
        (Err(Error::new(Slug::DeadlineExceeded, "")), Outcome::Failed),
        (Err(Error::new(Slug::Overloaded, "")), Outcome::Unknown),
        (Ok(crate::problem::refuse(Error::new(Slug::DependencyUnavailable, ""))), Outcome::Failed),
    ] {
        assert_eq!(outcome(&answer), expected, "{answer:?}");
    }
}

/// A module as the registry tells of it.
fn module(revision: i64, url: &str) -> ModuleInfo {
    serde_json::from_value(serde_json::json!({
        "slug": "crm", "name": "@example/crm", "version": "1.0.0", "models": {}, "permissions": ["crm.deals.read"],
        "publishes": [], "subscribes": [], "revision": revision,
        "backend": { "url": url, "healthCheck": null, "timeoutMs": 1000,
                     "routes": [{ "method": "GET", "path": format!("/r{revision}"), "permission": null }] },
    }))
    .unwrap()
}

#[tokio::test]
async fn a_new_revision_keeps_the_breaker_of_the_same_address() {
    let backends = Backends::new(Dialler::new(fabric::dialler::DiallerOptions::default()).unwrap());
    let info = module(1, "http://127.0.0.1:1");
    let mut snapshot = ModuleSnapshot::default();
    snapshot.modules.insert(info.slug.clone(), Arc::new(info.clone()));
    let traffic = Traffic::new();
    let first = backends.upstream(&info, &snapshot, &traffic).unwrap();
    assert!(Arc::ptr_eq(&first, &backends.upstream(&info, &snapshot, &traffic).unwrap()));
    let second = backends.upstream(&module(2, "http://127.0.0.1:1"), &snapshot, &traffic).unwrap();
    assert!(Arc::ptr_eq(&first.address, &second.address));
    assert!(second.routes.find(&http::Method::GET, "/r2").is_some());
    let moved = backends.upstream(&module(3, "http://127.0.0.1:2"), &snapshot, &traffic).unwrap();
    assert!(!Arc::ptr_eq(&first.address, &moved.address));
    assert_eq!(backends.breakers(), [(info.slug, 0)]);
}
