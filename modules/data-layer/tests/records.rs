//! Records of the CRM example on a real Postgres, as module-registry sets its tables up.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says where")]

mod support;

use axum::body::Body;
use http::{Method, header};
use kernel::{FieldCode, Slug};
use serde_json::{Value, json};
use support::{Asking, Ground};
use uuid::Uuid;

#[tokio::test(flavor = "multi_thread")]
async fn records_live_as_the_interface_says() {
    let ground = Ground::start().await;
    let ada = Asking::of(ground.acme, &["crm.*"]);
    models_are_listed_to_those_who_may_see_them(&ground, &ada).await;
    a_record_lives_from_creation_to_its_removal(&ground, &ada).await;
    a_change_tells_who_asked_for_it(&ground, &ada).await;
    many_are_created_all_or_none(&ground, &ada).await;
    refusals_name_the_members(&ground, &ada).await;
    lists_go_on_where_their_cursor_says(&ground, &ada).await;
    relations_ask_for_the_right_to_read_them(&ground, &ada).await;
    a_change_of_many_stays_within_its_measure(&ground, &ada).await;
    a_repeated_request_writes_once(&ground, &ada).await;
    another_tenant_sees_and_reaches_nothing(&ground).await;
    a_list_flows_out_whole(&ground, &ada).await;
    lines_flow_in_and_bad_ones_are_named(&ground, &ada).await;
    a_repeated_import_writes_what_is_missing(&ground, &ada).await;
    ground.stop().await;
}

async fn company(ground: &Ground, who: &Asking, name: &str) -> String {
    let made = ground.post(who, "/crm/companies", json!({ "name": name })).await.expect(201);
    made.json()["id"].as_str().unwrap().to_owned()
}

async fn models_are_listed_to_those_who_may_see_them(ground: &Ground, ada: &Asking) {
    let all = ground.get(ada, "").await.expect(200).json();
    let names: Vec<&str> =
        all["data"].as_array().unwrap().iter().map(|one| one["model"].as_str().unwrap()).collect();
    assert_eq!(names, ["companies", "contacts", "deals"]);
    let reader = Asking::of(ground.acme, &["crm.deals.read"]);
    assert_eq!(
        ground.get(&reader, "").await.expect(200).json()["data"],
        json!([{ "module": "crm", "model": "deals", "description": "A sale in the making, with one company.",
                 "allowed": ["read"] }])
    );
    let schema = ground.get(ada, "/crm/deals/schema").await.expect(200).json();
    assert_eq!(schema["required"], json!(["company_id", "reference", "title"]));
    assert!(schema["properties"].get("internal_note").is_none());
    assert_eq!(schema["x-relations"]["company"], json!({ "model": "companies", "many": false }));
    for path in ["/crm/nothing", "/nothing/deals", "/crm/nothing/schema"] {
        assert_eq!(ground.get(ada, path).await.slug(), Some(Slug::NotFound), "{path}");
    }
}

async fn a_record_lives_from_creation_to_its_removal(ground: &Ground, ada: &Asking) {
    let made =
        ground.post(ada, "/crm/companies", json!({ "name": "Lovelace", "tags": ["a"] })).await.expect(201);
    assert_eq!(made.headers[header::ETAG], "\"v1\"");
    let record = made.json();
    assert_eq!(
        (record["version"].as_i64(), &record["tags"], &record["deleted_at"]),
        (Some(1), &json!(["a"]), &Value::Null)
    );
    let at = format!("/crm/companies/{}", record["id"].as_str().unwrap());

    let read = ground.get(ada, &at).await.expect(200);
    assert_eq!(read.json(), record);
    assert_eq!(read.headers[header::ETAG], "\"v1\"");
    let changed = ground.patch(ada, &at, json!({ "city": "London" }), Some("\"v1\"")).await.expect(200);
    assert_eq!(changed.headers[header::ETAG], "\"v2\"");
    assert_eq!(changed.json()["city"], "London");
    let stale = ground.patch(ada, &at, json!({ "city": "Paris" }), Some("\"v1\"")).await.expect(412);
    assert_eq!(stale.slug(), Some(Slug::PreconditionFailed));

    assert_eq!(ground.delete(ada, &format!("{at}/permanent")).await.slug(), Some(Slug::InvalidState));
    ground.delete(ada, &at).await.expect(204);
    ground.get(ada, &at).await.expect(404);
    ground.delete(ada, &at).await.expect(404);
    ground.patch(ada, &at, json!({ "city": "Paris" }), None).await.expect(404);
    let restored = ground.post(ada, &format!("{at}/restore"), Value::Null).await.expect(200);
    assert_eq!(restored.headers[header::ETAG], "\"v4\"");
    assert_eq!(
        ground.post(ada, &format!("{at}/restore"), Value::Null).await.slug(),
        Some(Slug::InvalidState)
    );
    ground.delete(ada, &at).await.expect(204);
    ground.delete(ada, &format!("{at}/permanent")).await.expect(204);
    ground.delete(ada, &format!("{at}/permanent")).await.expect(404);
    let kinds = format!(
        "select replace(type, 'data.crm.companies.', '') as t from kernel.outbox where key = '{}' order by seq",
        record["id"].as_str().unwrap()
    );
    assert_eq!(
        ground.look(&kinds).await,
        json!(
            ["created", "updated", "deleted", "updated", "deleted", "deleted"]
                .map(|kind| json!({ "t": kind }))
        )
    );
}

/// The setting that tells the triggers is put by the very statement that writes, with and without a transaction, and is
/// gone after it.
async fn a_change_tells_who_asked_for_it(ground: &Ground, ada: &Asking) {
    let plain = company(ground, ada, "Told").await;
    let keyed = company(ground, &ada.keyed(Uuid::now_v7(), 1), "Told twice").await;
    let at = format!("/crm/companies/{plain}");
    ground.patch(ada, &at, json!({ "city": "London" }), None).await.expect(200);
    ground.patch(ada, "/crm/companies?name=eq.Told&max=5", json!({ "city": "Rome" }), None).await.expect(200);
    ground.delete(ada, &at).await.expect(204);
    ground.post(ada, &format!("{at}/restore"), Value::Null).await.expect(200);
    ground.delete(ada, &at).await.expect(204);
    ground.delete(ada, &format!("{at}/permanent")).await.expect(204);
    let batch =
        ground.post(ada, "/crm/companies", json!([{ "name": "B1" }, { "name": "B2", "tags": ["x"] }])).await;
    let batched = batch.expect(201).json()["data"][1]["id"].as_str().unwrap().to_owned();
    for (id, count) in [(plain, 7), (keyed, 1), (batched, 1)] {
        let rows = ground
            .look(&format!(
                "select actor, actor_kind, user_id, trace_id, personal -> 'ip' ->> 'value' as ip,
                        personal -> 'actorEmail' ->> 'value' as email, personal -> 'userAgent' ->> 'value' as agent
                 from kernel.audit_record where entity_id = '{id}'"
            ))
            .await;
        assert_eq!(rows.as_array().unwrap().len(), count, "{rows}");
        for row in rows.as_array().unwrap() {
            let user = ada.cx.actor().user().unwrap();
            let expected = json!({ "actor": format!("user:{user}"), "actor_kind": "user", "user_id": user,
                                   "trace_id": ada.cx.trace().trace_id_text(), "ip": "192.0.2.7",
                                   "email": "ada@example.com", "agent": "curl/8" });
            assert_eq!(*row, expected);
        }
    }
    let handle = ground.database.db.records(&ada.cx).unwrap();
    for _ in 0..6 {
        let left: Option<String> = handle
            .query("select nullif(current_setting('kernel.request', true), '') where $1::uuid is not null")
            .value()
            .await
            .unwrap();
        assert_eq!(left, None);
    }
}

async fn many_are_created_all_or_none(ground: &Ground, ada: &Asking) {
    let body: Vec<Value> = (0..1_000).map(|n| json!({ "name": format!("bulk {n:04}") })).collect();
    let made = ground.post(ada, "/crm/companies", json!(body)).await.expect(201).json();
    let names: Vec<&str> =
        made["data"].as_array().unwrap().iter().map(|one| one["name"].as_str().unwrap()).collect();
    assert_eq!((names.len(), names[0], names[999]), (1_000, "bulk 0000", "bulk 0999"));

    let body = json!([{ "name": "x", "domain": "one.example" }, { "name": "y", "domain": "one.example" }]);
    let refused = ground.post(ada, "/crm/companies", body).await.expect(409);
    assert_eq!(refused.slug(), Some(Slug::AlreadyExists));
    assert!(refused.fields()[0].message.contains("domain"), "{refused:?}");
    let none = ground.get(ada, "/crm/companies?domain=eq.one.example&count=true").await.expect(200).json();
    assert_eq!(none["meta"], json!({ "cursor": null, "hasMore": false, "total": 0 }));
}

async fn refusals_name_the_members(ground: &Ground, ada: &Asking) {
    let at = |answer: &support::Answer| -> Vec<(String, FieldCode)> {
        answer.fields().into_iter().map(|field| (field.field, field.code)).collect()
    };
    let own = |field: &str, code| vec![(field.to_owned(), code)];
    let acme = company(ground, ada, "Refusals").await;
    let contact =
        |email: &str| json!({ "first_name": "A", "last_name": "B", "email": email, "company_id": acme });
    ground.post(ada, "/crm/contacts", contact("a@x.example")).await.expect(201);

    let taken = ground.post(ada, "/crm/contacts", contact("a@x.example")).await.expect(409);
    assert_eq!((taken.slug(), at(&taken)), (Some(Slug::AlreadyExists), own("/email", FieldCode::NotAllowed)));
    let rule = ground.post(ada, "/crm/contacts", contact("nobody")).await.expect(400);
    assert_eq!(at(&rule), own("/email", FieldCode::NotAllowed));
    let mut orphan = contact("b@x.example");
    orphan["company_id"] = json!(Uuid::now_v7());
    let orphan = ground.post(ada, "/crm/contacts", orphan).await.expect(400);
    assert_eq!(at(&orphan), own("/company_id", FieldCode::NotAllowed));
    let read_only = ground.post(ada, "/crm/contacts", json!({ "score": 5 })).await.expect(400);
    assert!(at(&read_only).contains(&("/score".to_owned(), FieldCode::NotAllowed)));
    let hidden = ground.post(ada, "/crm/deals", json!({ "internal_note": "x" })).await.expect(400);
    assert!(at(&hidden).contains(&("/internal_note".to_owned(), FieldCode::UnknownField)));
    let two =
        json!({ "company_id": acme, "reference": "D-0", "title": "T", "stage": "won", "lost_reason": "x" });
    let two = ground.post(ada, "/crm/deals", two).await.expect(400);
    assert_eq!(
        at(&two).iter().map(|(field, _)| field.as_str()).collect::<std::collections::BTreeSet<_>>(),
        ["/lost_reason", "/stage"].into()
    );
    let long: String = (0..250).map(|n| char::from(b'a' + (n * 7 % 26) as u8)).collect();
    ground.post(ada, "/crm/contacts", contact(&format!("{long}@b"))).await.expect(201);

    let deal = json!({ "company_id": acme, "reference": "D-1", "title": "T" });
    ground.post(ada, "/crm/deals", deal).await.expect(201);
    ground.delete(ada, &format!("/crm/companies/{acme}")).await.expect(204);
    let used = ground.delete(ada, &format!("/crm/companies/{acme}/permanent")).await.expect(409);
    assert_eq!(used.slug(), Some(Slug::Conflict));
    let detail = used.failure.as_ref().unwrap().detail().to_owned();
    assert!(detail.contains("deals") && !detail.contains("select"), "{detail}");
    ground.post(ada, &format!("/crm/companies/{acme}/restore"), Value::Null).await.expect(200);

    let wrong = ground.get(ada, "/crm/contacts?nothing=eq.1&score=eq.x").await.expect(400);
    assert_eq!(wrong.fields().len(), 2);
}

async fn lists_go_on_where_their_cursor_says(ground: &Ground, ada: &Asking) {
    let (mut seen, mut cursor) = (Vec::new(), String::new());
    loop {
        let path = format!("/crm/companies?name=like.bulk*&sort=-name&limit=100&select=name{cursor}");
        let page = ground.get(ada, &path).await.expect(200).json();
        seen.extend(
            page["data"].as_array().unwrap().iter().map(|one| one["name"].as_str().unwrap().to_owned()),
        );
        match page["meta"]["cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    assert_eq!((seen.len(), seen[0].as_str(), seen[999].as_str()), (1_000, "bulk 0999", "bulk 0000"));
    for path in [
        format!("/crm/companies?name=like.b*&sort=-name&limit=100{cursor}"),
        format!("/crm/contacts?sort=-last_name{cursor}"),
        "/crm/companies?cursor=AAAA".to_owned(),
    ] {
        assert_eq!(ground.get(ada, &path).await.slug(), Some(Slug::InvalidCursor), "{path}");
    }
    let globex = Asking::of(ground.globex, &["crm.*"]);
    let path = format!("/crm/companies?name=like.bulk*&sort=-name{cursor}");
    assert_eq!(ground.get(&globex, &path).await.slug(), Some(Slug::InvalidCursor));
}

async fn relations_ask_for_the_right_to_read_them(ground: &Ground, ada: &Asking) {
    let path = "/crm/deals?reference=eq.D-1&select=title,company(name,contacts(email))";
    let page = ground.get(ada, path).await.expect(200).json();
    assert_eq!(page["data"][0]["company"]["contacts"].as_array().unwrap().len(), 2, "{page}");
    let seller = Asking::of(ground.acme, &["crm.deals.read", "crm.deals.write", "crm.companies.read"]);
    assert_eq!(ground.get(&seller, path).await.expect(403).slug(), Some(Slug::Forbidden));
    ground.get(&seller, "/crm/deals?select=title,company(name)").await.expect(200);
    ground.get(&seller, "/crm/deals?contact.email=like.a*").await.expect(403);
    ground.get(&seller, "/crm/deals/export?select=contact(email)").await.expect(403);
    ground
        .patch(&seller, "/crm/deals?contact.email=like.a*&max=1", json!({ "title": "x" }), None)
        .await
        .expect(403);
    let id = ground.get(ada, "/crm/deals?reference=eq.D-1").await.json()["data"][0]["id"]
        .as_str()
        .unwrap()
        .to_owned();
    let writer = Asking::of(ground.acme, &["crm.deals.write"]);
    ground.patch(&writer, &format!("/crm/deals/{id}"), json!({}), None).await.expect(403);
}

async fn a_change_of_many_stays_within_its_measure(ground: &Ground, ada: &Asking) {
    let many = "/crm/companies?name=like.bulk 00*&max=";
    let many = many.replace(' ', "%20");
    let over = ground.patch(ada, &format!("{many}99"), json!({ "city": "Rome" }), None).await.expect(422);
    assert_eq!(over.slug(), Some(Slug::LimitExceeded));
    let done = ground.patch(ada, &format!("{many}100"), json!({ "city": "Rome" }), None).await.expect(200);
    assert_eq!(done.json(), json!({ "changed": 100 }));
    let none = ground.get(ada, "/crm/companies?city=eq.Rome&name=like.bulk*&count=true&limit=1").await.json();
    assert_eq!(none["meta"]["total"], 100);
    ground.patch(ada, &format!("{many}100"), json!({ "city": "Rome" }), Some("\"v1\"")).await.expect(400);
    ground.patch(ada, "/crm/companies?max=5", json!({ "city": "Rome" }), None).await.expect(400);
}

/// Creates a company as soon as the key is free: a transaction that ends without a commit is rolled back, and its lock
/// given back, after its answer has gone out.
async fn once_free(ground: &Ground, who: &Asking, body: Value) -> support::Answer {
    let until = std::time::Instant::now() + std::time::Duration::from_secs(5);
    loop {
        let answer = ground.post(who, "/crm/companies", body.clone()).await;
        if answer.slug() != Some(Slug::IdempotencyInProgress) || std::time::Instant::now() > until {
            return answer;
        }
        tokio::task::yield_now().await;
    }
}

async fn a_repeated_request_writes_once(ground: &Ground, ada: &Asking) {
    let keyed = ada.keyed(Uuid::now_v7(), 7);
    let body = json!({ "name": "Once" });
    let first = ground.post(&keyed, "/crm/companies", body.clone()).await.expect(201);
    let again = ground.post(&keyed, "/crm/companies", body.clone()).await;
    let replayed = again.failure.as_ref().unwrap().replayed_answer().unwrap().clone();
    assert_eq!(replayed, first.text);
    let reused = Asking { cx: keyed.keyed(keyed.cx.idempotency().unwrap().key, 8).cx };
    assert_eq!(once_free(ground, &reused, body).await.slug(), Some(Slug::IdempotencyKeyReused));
    let count = ground.get(ada, "/crm/companies?name=eq.Once&count=true").await.json();
    assert_eq!(count["meta"]["total"], 1);

    // What is refused leaves nothing behind, so the key is free for another try.
    let keyed = ada.keyed(Uuid::now_v7(), 9);
    let bad = json!({ "name": "Bad", "country": "xx" });
    ground.post(&keyed, "/crm/companies", bad.clone()).await.expect(400);
    once_free(ground, &keyed, bad).await.expect(400);
}

async fn another_tenant_sees_and_reaches_nothing(ground: &Ground) {
    let ada = Asking::of(ground.acme, &["*"]);
    let eve = Asking::of(ground.globex, &["*"]);
    let id = company(ground, &ada, "Secret").await;
    let at = format!("/crm/companies/{id}");
    ground.get(&eve, &at).await.expect(404);
    ground.patch(&eve, &at, json!({ "city": "x" }), None).await.expect(404);
    ground.patch(&eve, &at, json!({ "city": "x" }), Some("\"v1\"")).await.expect(404);
    ground.delete(&eve, &at).await.expect(404);
    ground.post(&eve, &format!("{at}/restore"), Value::Null).await.expect(404);
    ground.delete(&eve, &format!("{at}/permanent")).await.expect(404);
    let nothing = ground.get(&eve, "/crm/companies?count=true&deleted=with").await.expect(200).json();
    assert_eq!(nothing["meta"]["total"], 0);
    assert_eq!(ground.get(&eve, "/crm/companies/export").await.expect(200).text, "");
    // A foreign id in a reference is an id that does not exist; a foreign value in a unique column is free.
    let body = json!({ "first_name": "E", "last_name": "V", "email": "a@x.example", "company_id": id });
    let refused = ground.post(&eve, "/crm/contacts", body).await.expect(400);
    assert_eq!(refused.fields()[0].field, "/company_id");
    let body = json!({ "first_name": "E", "last_name": "V", "email": "a@x.example" });
    ground.post(&eve, "/crm/contacts", body).await.expect(201);

    let bare = Asking::of(ground.bare, &["*"]);
    ground.get(&bare, &at).await.expect(404);
    ground.get(&bare, "/crm/companies").await.expect(404);
    ground.post(&bare, "/crm/companies", json!({ "name": "x" })).await.expect(404);
    assert_eq!(ground.get(&bare, "").await.expect(200).json()["data"], json!([]));
}

async fn a_list_flows_out_whole(ground: &Ground, ada: &Asking) {
    let path = "/crm/companies/export?name=like.bulk*&sort=name&select=name,tags,city";
    let lines = ground.get(ada, path).await.expect(200);
    assert_eq!(lines.headers[header::CONTENT_TYPE], "application/x-ndjson");
    let lines = lines.lines();
    assert_eq!(lines.len(), 1_000);
    assert_eq!(lines[0], json!({ "name": "bulk 0000", "tags": [], "city": "Rome" }));
    assert_eq!(lines[999]["name"], "bulk 0999");
    let table = ground.get(ada, &format!("{path}&format=csv")).await.expect(200);
    let text = std::str::from_utf8(&table.text).unwrap();
    assert!(text.starts_with("name,tags,city\r\nbulk 0000,[],Rome\r\n"), "{}", &text[..100]);
    assert_eq!(text.lines().count(), 1_001);
    assert!(text.ends_with("bulk 0999,[],\r\n"));
    ground.get(ada, "/crm/companies/export?limit=5").await.expect(400);
}

async fn send_lines(ground: &Ground, who: &Asking, model: &str, kind: &str, text: String) -> support::Answer {
    let headers = [(header::CONTENT_TYPE.as_str(), kind)];
    // In pieces, so that lines are cut in the middle.
    let pieces: Vec<Result<_, std::io::Error>> =
        text.into_bytes().chunks(1_000).map(|piece| Ok(bytes::Bytes::copy_from_slice(piece))).collect();
    let body = Body::from_stream(futures::stream::iter(pieces));
    ground.send(who, Method::POST, &format!("/crm/{model}/import"), &headers, body).await
}

async fn lines_flow_in_and_bad_ones_are_named(ground: &Ground, ada: &Asking) {
    let mut text = String::new();
    for n in 1..=2_500 {
        text += &match n {
            7 => "{\"name\":".to_owned(),
            300 => json!({ "name": "dup", "domain": "import.example" }).to_string(),
            301 => json!({ "name": "dup", "domain": "import.example" }).to_string(),
            777 => json!({ "name": "x", "employees": -1 }).to_string(),
            n => json!({ "name": format!("line {n}"), "tags": ["imported"] }).to_string(),
        };
        text.push('\n');
    }
    let report = send_lines(ground, ada, "companies", "application/x-ndjson", text).await.expect(200).lines();
    let bad: Vec<(i64, &str)> = report
        .iter()
        .filter_map(|line| Some((line["line"].as_i64()?, line["errors"][0]["field"].as_str()?)))
        .collect();
    assert_eq!(bad, [(7, ""), (301, "/domain"), (777, "/employees")]);
    assert_eq!(*report.last().unwrap(), json!({ "imported": 2_497, "failed": 3 }));
    let count = ground.get(ada, "/crm/companies?name=like.line*&count=true&limit=1").await.json();
    assert_eq!(count["meta"]["total"], 2_496);

    let text = "name,tags,employees,notes\r\n\"A, \"\"B\"\"\",\"[\"\"x\"\"]\",5,\"two\nlines\"\r\nC,,,\"\"\r\nD,[,,\r\nE,,x,\r\nF\r\n";
    let report = send_lines(ground, ada, "companies", "text/csv", text.to_owned()).await.expect(200).lines();
    let bad: Vec<(i64, &str)> = report
        .iter()
        .filter_map(|line| Some((line["line"].as_i64()?, line["errors"][0]["field"].as_str()?)))
        .collect();
    assert_eq!(bad, [(5, "/tags"), (6, "/employees"), (7, "")]);
    assert_eq!(*report.last().unwrap(), json!({ "imported": 2, "failed": 3 }));
    let page =
        ground.get(ada, "/crm/companies?name=eq.A,%20%22B%22&select=tags,employees,notes").await.json();
    assert_eq!(page["data"], json!([{ "tags": ["x"], "employees": 5, "notes": "two\nlines" }]));
    let header =
        send_lines(ground, ada, "companies", "text/csv", "name,id,nothing\n".to_owned()).await.expect(400);
    assert_eq!(header.fields().len(), 2);
    send_lines(ground, ada, "companies", "text/plain", String::new()).await.expect(415);
}

async fn a_repeated_import_writes_what_is_missing(ground: &Ground, ada: &Asking) {
    let keyed = ada.keyed(Uuid::now_v7(), 1);
    let lines =
        |count: i32| (0..count).map(|n| json!({ "name": format!("again {n}") }).to_string() + "\n").collect();
    for count in [250, 250, 260] {
        let report =
            send_lines(ground, &keyed, "companies", "application/x-ndjson", lines(count)).await.lines();
        assert_eq!(*report.last().unwrap(), json!({ "imported": count, "failed": 0 }));
    }
    let count = ground.get(ada, "/crm/companies?name=like.again*&count=true&limit=1").await.json();
    assert_eq!(count["meta"]["total"], 260);
}
