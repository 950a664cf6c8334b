//! Two replicas on one Postgres, with a Valkey and without: what one does holds on the other.

use std::time::{Duration, Instant};

use futures::{SinkExt as _, StreamExt as _};
use reqwest::Method;
use serde_json::{Value, json};
use testkit::{Api, DEMO_MEMBER, DEMO_OWNER, DEMO_PASSWORD, Kernel, KernelOptions, Postgres, Valkey};
use tokio_tungstenite::tungstenite::{Message, client::IntoClientRequest as _};

/// How soon it has to hold.
const SOON: Duration = Duration::from_secs(1);

pub(super) struct Replicas {
    pub one: Kernel,
    pub other: Kernel,
    _server: Postgres,
}

impl Replicas {
    pub async fn start(valkey: Option<&Valkey>) -> Self {
        let server = Postgres::bare().await;
        server.run("postgres", "create role kernel_admin login createdb createrole password 'secret'").await;
        let options = KernelOptions::default()
            .with("DATABASE_URL", &server.url("kernel_admin", "postgres"))
            .with("KERNEL_SECRET_KEY", "a key that both replicas have been given")
            .with("KERNEL_PUBLIC_URL", "http://localhost:8080");
        let options = match valkey {
            Some(valkey) => options.with("VALKEY_URL", &valkey.url()),
            None => options,
        };
        let one = Kernel::start(options.clone()).await;
        let other = Kernel::start(options).await;
        Self { one, other, _server: server }
    }

    /// The same person at both.
    pub async fn signed_in(&self, email: &str) -> (Api, Api) {
        let here = self.one.api().sign_in(email, DEMO_PASSWORD).await;
        let there = self.other.api().with(here.token());
        (here, there)
    }

    pub async fn close(self) {
        self.one.close().await;
        self.other.close().await;
    }
}

/// How long it takes until `path` is answered with this status, at most [`SOON`]; the caller never pauses, so that what is
/// remembered of them is always fresh.
async fn until(api: &Api, path: &str, status: u16) -> Duration {
    until_as(api, path, &[], status).await
}

/// The same, for who shows these headers.
async fn until_as(api: &Api, path: &str, headers: &[(&str, &str)], status: u16) -> Duration {
    let begun = Instant::now();
    loop {
        let answer = api.send(Method::GET, path, None, headers).await;
        if answer.status == status {
            return begun.elapsed();
        }
        assert!(begun.elapsed() < SOON, "{path} is still answered {}", answer.status);
    }
}

/// Uses it until both replicas remember it.
async fn warm(apis: &[&Api], path: &str) {
    for _ in 0..5 {
        for api in apis {
            api.get(path).await.expect(200);
        }
    }
}

/// Ends a session, takes a role away and makes an event on one replica; sees all of it on the other.
async fn they_behave_as_one(replicas: &Replicas) {
    const ME: &str = "/api/v1/auth/me";
    let (owner, owner_there) = replicas.signed_in(DEMO_OWNER).await;

    let (here, there) = replicas.signed_in(DEMO_MEMBER).await;
    warm(&[&here, &there], ME).await;
    here.post("/api/v1/auth/logout", json!({})).await.expect(200);
    println!("a session that ended is refused on the other replica after {:?}", until(&there, ME, 401).await);

    let (here, there) = replicas.signed_in(DEMO_MEMBER).await;
    let path = "/api/v1/data/crm/contacts?limit=1";
    warm(&[&here, &there], path).await;
    let id = here.get(ME).await.expect(200).body["user"]["id"].as_str().unwrap().to_owned();
    let role = json!({ "name": "Nothing", "permissions": ["files.read"] });
    let role = owner.post("/api/v1/roles", role).await.expect(201).id();
    let roles = format!("/api/v1/users/{id}/roles");
    let before = owner.get(&format!("/api/v1/users/{id}")).await.expect(200).body["roles"].clone();
    owner.post(&roles, json!({ "roleIds": [role] })).await.expect(200);
    println!("a right that was taken is missing on the other after {:?}", until(&there, path, 403).await);
    let before: Vec<&Value> = before.as_array().unwrap().iter().map(|role| &role["id"]).collect();
    owner_there.post(&roles, json!({ "roleIds": before })).await.expect(200);
    println!("a right that was given back is there on the first after {:?}", until(&here, path, 200).await);
    owner.delete(&format!("/api/v1/roles/{role}")).await.expect(204);

    the_operator_is_one(replicas).await;
    let took = a_socket_hears_the_other_replica(replicas, &owner, &owner_there).await;
    println!("a websocket hears an event of the other replica after {took:?}");
}

/// The key of one opens the other, too, and so does a browser's session, until it ends.
async fn the_operator_is_one(replicas: &Replicas) {
    const PATH: &str = "/api/v1/sandboxes";
    let operator = replicas.one.operator();
    let (here, there) = (replicas.one.api(), replicas.other.api());
    there.with(operator.token()).get(PATH).await.expect(200);
    let link = operator.post("/api/v1/operator/links", json!({})).await.expect(201).body["url"].clone();
    let (_, link) = link.as_str().unwrap().split_once("/open").unwrap();
    let opened = there.get(&format!("/open{link}")).await.expect(303);
    let cookie = opened.headers["set-cookie"].to_str().unwrap().split(';').next().unwrap().to_owned();
    let headers = [("cookie", cookie.as_str()), ("origin", "http://localhost:8080")];
    let until = async |api: &Api, status: u16| until_as(api, PATH, &headers, status).await;
    until(&there, 200).await;
    println!("the operator's session is known to the other replica after {:?}", until(&here, 200).await);
    let out = "/api/v1/operator/sign-out";
    here.send(Method::POST, out, Some(json!({})), &headers).await.expect(204);
    println!("and is over there after {:?}", until(&there, 401).await);
}

/// The middle of some times between a write on one replica and its message on a websocket of the other.
async fn a_socket_hears_the_other_replica(replicas: &Replicas, here: &Api, there: &Api) -> Duration {
    let mut request =
        (replicas.other.url().replacen("http", "ws", 1) + "/api/v1/ws").into_client_request().unwrap();
    request.headers_mut().insert("host", "localhost".parse().unwrap());
    let (mut socket, _) = tokio_tungstenite::connect_async(request).await.unwrap();
    for message in [
        json!({ "type": "auth", "token": there.token() }),
        json!({ "type": "subscribe", "channels": ["data.crm.companies"] }),
    ] {
        socket.send(Message::text(message.to_string())).await.unwrap();
    }
    let mut hear = async |kind: &str| loop {
        let message = tokio::time::timeout(Duration::from_secs(5), socket.next()).await;
        let Message::Text(text) = message.expect("a message").unwrap().unwrap() else { continue };
        let message: Value = serde_json::from_str(&text).unwrap();
        if message["type"] == kind {
            return message;
        }
    };
    hear("subscribed").await;
    let mut times = Vec::new();
    for n in 0..9 {
        let name = format!("Company {n}");
        let begun = Instant::now();
        here.post("/api/v1/data/crm/companies", json!({ "name": name })).await.expect(201);
        // Others may write at the same time.
        while hear("data").await["record"]["name"] != name.as_str() {}
        times.push(begun.elapsed());
        // Beside the relay's own look, which comes once a second.
        tokio::time::sleep(Duration::from_millis(130)).await;
    }
    times.sort_unstable();
    assert!(times[8] < SOON, "{times:?}");
    times[4]
}

#[tokio::test(flavor = "multi_thread")]
async fn replicas_with_a_valkey_behave_as_one() {
    let valkey = Valkey::start(&[]);
    let replicas = Replicas::start(Some(&valkey)).await;
    they_behave_as_one(&replicas).await;
    replicas.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn replicas_without_a_valkey_behave_as_one() {
    let replicas = Replicas::start(None).await;
    they_behave_as_one(&replicas).await;
    replicas.close().await;
}

/// Both change one sandbox at the same time, again and again, while both use it. Each change is made or refused as a
/// whole; afterwards both have the same sandbox.
#[tokio::test(flavor = "multi_thread")]
async fn a_sandbox_is_changed_by_one_replica_at_a_time() {
    let replicas = Replicas::start(None).await;
    let (one, other) = (replicas.one.operator(), replicas.other.operator());
    one.post("/api/v1/sandboxes", json!({ "name": "shared", "template": "demo" })).await.expect(201);
    let people = [&replicas.one, &replicas.other].map(|kernel| kernel.api().sandbox("shared"));
    let login = json!({ "email": DEMO_OWNER, "password": DEMO_PASSWORD });
    let stop = tokio_util::sync::CancellationToken::new();
    let load = people.clone().map(|api| {
        let (login, stop) = (login.clone(), stop.clone());
        tokio::spawn(async move {
            let mut kinds = std::collections::BTreeMap::<u16, usize>::new();
            while !stop.is_cancelled() {
                let answer = api.post("/api/v1/auth/login", login.clone()).await;
                assert!(matches!(answer.status.as_u16(), 200 | 401 | 503), "{answer:?}");
                *kinds.entry(answer.status.as_u16()).or_default() += 1;
            }
            kinds
        })
    });
    for round in 0..4 {
        let copy = |n: usize| json!({ "name": format!("copy-{round}-{n}") });
        let done = futures::join!(
            one.post("/api/v1/sandboxes/shared/reset", json!({})),
            other.post("/api/v1/sandboxes/shared/fork", copy(0)),
            other.post("/api/v1/sandboxes/shared/snapshots", json!({ "label": format!("s{round}") })),
            one.post("/api/v1/sandboxes/shared/fork", copy(1)),
        );
        for answer in [done.0, done.1, done.2, done.3] {
            assert!(answer.status.is_success(), "{answer:?}");
        }
    }
    stop.cancel();
    let said = futures::future::join_all(load).await;
    let said: Vec<_> = said.into_iter().map(|kinds| kinds.expect("nothing else is said")).collect();
    println!("sign-ins meanwhile, by their status: {said:?}");
    let here = people[0].sign_in(DEMO_OWNER, DEMO_PASSWORD).await;
    let there = people[1].with(here.token());
    let company = here.post("/api/v1/data/crm/companies", json!({ "name": "Both" })).await.expect(201).id();
    there.get(&format!("/api/v1/data/crm/companies/{company}")).await.expect(200);
    one.post("/api/v1/sandboxes/shared/clock", json!({ "mode": "advance", "seconds": 86_400 }))
        .await
        .expect(200);
    let moved = until(&people[1].with(here.token()), "/api/v1/auth/me", 401).await;
    println!("the clock is put forward on the other replica after {moved:?}");
    other.delete("/api/v1/sandboxes/shared").await.expect(204);
    println!(
        "a deleted sandbox is gone from the other after {:?}",
        until(&people[0], "/api/v1/auth/me", 404).await
    );
    replicas.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_valkey_that_goes_under_load_costs_no_request_and_no_revocation() {
    let mut valkey = Valkey::start(&[]);
    let replicas = Replicas::start(Some(&valkey)).await;
    let (owner, owner_there) = replicas.signed_in(DEMO_OWNER).await;
    let stop = tokio_util::sync::CancellationToken::new();
    let load: Vec<_> = [&owner, &owner_there]
        .into_iter()
        .cycle()
        .take(8)
        .enumerate()
        .map(|(n, api)| {
            let (api, stop) = (api.clone(), stop.clone());
            tokio::spawn(async move {
                let (mut asked, mut slowest) = (0_u32, Duration::ZERO);
                while !stop.is_cancelled() {
                    let begun = Instant::now();
                    let answer = match asked % 4 {
                        0 => {
                            api.post("/api/v1/data/crm/companies", json!({ "name": format!("{n} {asked}") }))
                                .await
                        }
                        1 => api.get("/api/v1/auth/me").await,
                        2 => api.sign_in(DEMO_MEMBER, DEMO_PASSWORD).await.get("/api/v1/auth/sessions").await,
                        _ => api.get("/api/v1/data/crm/contacts?limit=5").await,
                    };
                    assert!(answer.status.is_success(), "{answer:?}");
                    (asked, slowest) = (asked + 1, slowest.max(begun.elapsed()));
                }
                (asked, slowest)
            })
        })
        .collect();
    tokio::time::sleep(Duration::from_secs(1)).await;
    valkey.kill();
    let operator = replicas.other.operator();
    for _ in 0..3 {
        let (here, there) = replicas.signed_in(DEMO_MEMBER).await;
        warm(&[&here, &there], "/api/v1/auth/me").await;
        here.post("/api/v1/auth/logout", json!({})).await.expect(200);
        let took = until(&there, "/api/v1/auth/me", 401).await;
        println!("without Valkey a session that ended is refused on the other replica after {took:?}");
        let cache = operator.get("/health").await.expect(200).body["cache"].clone();
        assert_eq!((&cache["kind"], &cache["state"]), (&json!("valkey"), &json!("down")), "{cache}");
    }
    valkey.start_again();
    let begun = Instant::now();
    while operator.get("/health").await.expect(200).body["cache"]["state"] != "up" {
        assert!(begun.elapsed() < Duration::from_secs(2), "it is not back");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    println!("Valkey is back after {:?}", begun.elapsed());
    tokio::time::sleep(Duration::from_secs(1)).await;
    they_behave_as_one(&replicas).await;
    stop.cancel();
    let done = futures::future::join_all(load).await;
    let (asked, slowest) = done
        .into_iter()
        .map(|done| done.expect("no request fails"))
        .fold((0, Duration::ZERO), |(asked, slowest), (more, slow)| (asked + more, slowest.max(slow)));
    println!("{asked} requests, none failed, the slowest took {slowest:?}");
    replicas.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sandbox_opens_while_valkey_is_away() {
    let mut valkey = Valkey::start(&[]);
    let options = KernelOptions::default().with("KERNEL_TEMPLATE", "empty").with("VALKEY_URL", &valkey.url());
    let kernel = Kernel::start(options).await;
    valkey.kill();
    let body = json!({ "name": "late", "template": "empty" });
    kernel.operator().post("/api/v1/sandboxes", body).await.expect(201);
    let (owner, _) = kernel.api().sandbox("late").register("Acme").await;
    owner.get("/api/v1/auth/me").await.expect(200);
    kernel.close().await;
}
