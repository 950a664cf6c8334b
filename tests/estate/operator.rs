use reqwest::{Method, header};
use serde_json::json;
use testkit::{Answer, Api, Kernel};

use crate::empty;

/// Path and query of a link.
fn path_of(url: &str) -> &str {
    let (_, rest) = url.split_once("://").unwrap();
    &rest[rest.find('/').unwrap()..]
}

async fn link(kernel: &Kernel) -> String {
    let made = kernel.operator().post("/api/v1/operator/links", json!({})).await.expect(201);
    made.body["url"].as_str().unwrap().to_owned()
}

/// The cookie of a session, as a browser sends it back.
async fn session(kernel: &Kernel) -> String {
    let opened = kernel.api().get(path_of(&link(kernel).await)).await.expect(303);
    let cookie = opened.headers[header::SET_COOKIE].to_str().unwrap();
    cookie.split(';').next().unwrap().to_owned()
}

/// A browser on this host that sends the cookie from a page of `origin`.
async fn browses(api: &Api, method: Method, path: &str, cookie: &str, origin: Option<&str>) -> Answer {
    let mut headers = vec![("cookie", cookie)];
    headers.extend(origin.map(|origin| ("origin", origin)));
    let body = (method == Method::POST).then(|| json!({}));
    api.send(method, path, body, &headers).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_opens_one_session() {
    let kernel = Kernel::start(empty()).await;
    let url = link(&kernel).await;
    assert!(url.starts_with("http://localhost:") && url.contains("/open?token="), "{url}");
    let opened = kernel.api().get(path_of(&url)).await.expect(303);
    let cookie = opened.headers[header::SET_COOKIE].to_str().unwrap();
    for part in ["pk_operator_", "HttpOnly", "SameSite=Strict", "Path=/"] {
        assert!(cookie.contains(part), "{cookie}");
    }
    let again = kernel.api().get(path_of(&url)).await.expect_problem(410, "gone");
    assert!(!again.headers.contains_key(header::SET_COOKIE));
    kernel.api().get("/open?token=made-up").await.expect_problem(410, "gone");
    kernel.api().get("/open").await.expect_problem(400, "validation-error");

    let url = link(&kernel).await;
    let browser = kernel.api();
    let both = futures::join!(browser.get(path_of(&url)), browser.get(path_of(&url)));
    let mut statuses = [both.0.status.as_u16(), both.1.status.as_u16()];
    statuses.sort_unstable();
    assert_eq!(statuses, [303, 410], "of two at once one gets the session");

    let url = link(&kernel).await;
    let old = "update control.operator_link set expires_at = clock_timestamp() - interval '1 second'";
    sqlx::query(old).execute(&mut kernel.admin_sql("pk_control").await).await.unwrap();
    kernel.api().get(path_of(&url)).await.expect_problem(410, "gone");
    kernel.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_counts_for_our_own_pages_only() {
    let kernel = Kernel::start(empty()).await;
    let cookie = session(&kernel).await;
    let own = kernel.url().replace("127.0.0.1", "localhost");
    let browser = kernel.api().on(own.trim_start_matches("http://"));
    let list = "/api/v1/sandboxes";

    browses(&browser, Method::GET, list, &cookie, Some(&own)).await.expect(200);
    browses(&browser, Method::GET, list, &cookie, None).await.expect(200);
    browses(&browser, Method::GET, "/health", &cookie, Some(&own)).await.expect(200);
    browses(&browser, Method::POST, "/api/v1/operator/links", &cookie, Some(&own)).await.expect(201);

    for foreign in ["https://evil.example", "http://localhost:1", "null", "http://acme.localhost"] {
        for path in [list, "/health"] {
            let refused = browses(&browser, Method::GET, path, &cookie, Some(foreign)).await;
            refused.expect_problem(403, "origin-not-allowed");
        }
        let refused = browses(&browser, Method::POST, "/api/v1/operator/links", &cookie, Some(foreign)).await;
        refused.expect_problem(403, "origin-not-allowed");
    }
    // A change must say which page it comes from.
    let silent = browses(&browser, Method::POST, "/api/v1/operator/links", &cookie, None).await;
    silent.expect_problem(403, "origin-not-allowed");
    // A name that another's DNS points here, with a page of that name.
    let rebound = kernel.api().on("evil.example");
    let answer = browses(&rebound, Method::GET, list, &cookie, Some("http://evil.example")).await;
    answer.expect_problem(404, "not-found");
    let answer = browses(&rebound, Method::GET, "/health", &cookie, Some("http://evil.example")).await;
    answer.expect_problem(403, "origin-not-allowed");

    let changed = format!("{cookie}x");
    browses(&browser, Method::GET, list, &changed, Some(&own)).await.expect_problem(401, "unauthorized");
    // No right follows from the loopback address.
    browser.get(list).await.expect_problem(401, "unauthorized");
    browser.get("/health").await.expect_problem(401, "unauthorized");
    kernel.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_outlives_the_process_and_ends_with_its_time() {
    let folder = testkit::data_folder();
    let data = folder.path().join("data");
    let kernel = Kernel::start(empty().on(&data)).await;
    let cookie = session(&kernel).await;
    kernel.close().await;

    let kernel = Kernel::start(empty().on(&data)).await;
    browses(&kernel.api(), Method::GET, "/api/v1/sandboxes", &cookie, None).await.expect(200);
    let over = "update control.operator_session set expires_at = clock_timestamp() - interval '1 second'";
    sqlx::query(over).execute(&mut kernel.admin_sql("pk_control").await).await.unwrap();
    kernel.close().await;

    let kernel = Kernel::start(empty().on(&data)).await;
    let over = browses(&kernel.api(), Method::GET, "/api/v1/sandboxes", &cookie, None).await;
    over.expect_problem(401, "unauthorized");
    kernel.close().await;
}
