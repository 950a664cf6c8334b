use reqwest::Method;
use serde_json::json;

use crate::support::{bytes, ground, sent, upload};

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_file_can_be_brought_back_for_thirty_days() {
    let ground = ground().await;
    let owner = ground.owner().await;
    let id = upload(&owner, "a.txt", "text/plain", b"hello").await.expect(201).id();
    let path = format!("/api/v1/files/{id}");
    owner.delete(&path).await.expect(204);
    owner.get(&path).await.expect_problem(410, "gone");
    owner.delete(&path).await.expect_problem(410, "gone");
    owner.patch(&path, json!({ "name": "b" })).await.expect_problem(410, "gone");
    assert!(owner.get("/api/v1/files").await.expect(200).data().is_empty());
    assert_eq!(owner.get("/api/v1/files?state=deleted").await.expect(200).data().len(), 1);
    assert_eq!(ground.used().await, 5, "it counts as long as it can be brought back");
    owner.post(&format!("{path}/restore"), json!({})).await.expect(200);
    assert_eq!(bytes(&owner, &path).await.1, b"hello");
    owner.post(&format!("{path}/restore"), json!({})).await.expect_problem(409, "invalid-state");

    // The first deletion's end has no meaning for the second.
    owner.delete(&path).await.expect(204);
    ground.forward(29).await;
    ground.signed_in().await.get(&path).await.expect_problem(410, "gone");
    ground.forward(31).await;
    ground.used_becomes(0).await;
    ground.blobs_become("its blob goes", <[_]>::is_empty).await;
    ground.signed_in().await.get(&path).await.expect_problem(404, "not-found");
    let told = ["uploaded", "available", "deleted", "restored", "deleted", "destroyed"];
    assert_eq!(ground.told(&id).await, told.map(|word| format!("files.file.{word}")));
    let kept = ["uploaded", "deleted", "restored", "deleted", "destroyed"];
    assert_eq!(ground.audited(&id).await, kept.map(|word| format!("files.file.{word}")));
    ground.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signed_address_is_good_for_one_file_until_its_time() {
    let ground = ground().await;
    let owner = ground.owner().await;
    let id = upload(&owner, "a.txt", "text/plain", b"hello").await.expect(201).id();
    let answer = owner.get(&format!("/api/v1/files/{id}/url?expiresIn=86400&inline=true")).await.expect(200);
    let url = answer.body["url"].as_str().unwrap();
    let path = &url[url.find("/api").unwrap()..];
    let stranger = ground.kernel.api();
    let (headers, content) = bytes(&stranger, path).await;
    assert_eq!(
        (content, headers["content-disposition"].to_str().unwrap().starts_with("inline")),
        (b"hello".to_vec(), true)
    );
    let part = stranger.raw(Method::GET, path).header("range", "bytes=1-2").send().await.unwrap();
    assert_eq!((part.status().as_u16(), &part.bytes().await.unwrap()[..]), (206, &b"el"[..]));
    let mut bent = path.to_owned();
    let last = if bent.ends_with('A') { "B" } else { "A" };
    bent.replace_range(bent.len() - 5..bent.len() - 4, last);
    stranger.get(&bent).await.expect_problem(404, "not-found");
    stranger.get("/api/v1/signed-files/x").await.expect_problem(404, "not-found");
    for bad in ["0", "604801", "x"] {
        owner
            .get(&format!("/api/v1/files/{id}/url?expiresIn={bad}"))
            .await
            .expect_problem(400, "validation-error");
    }
    ground
        .kernel
        .operator()
        .post("/api/v1/sandboxes", json!({ "name": "other", "template": "empty" }))
        .await
        .expect(201);
    stranger.sandbox("other").get(path).await.expect_problem(404, "not-found");
    // Nobody asks the gateway here whether the tenant is still open.
    let mut admin = ground.kernel.admin_sql("pk_default").await;
    let states = [
        "state = 'terminated', past_due_since = kernel.now(), ended_at = kernel.now()",
        "state = 'active', past_due_since = null, ended_at = null",
    ];
    for (set, status) in states.into_iter().zip([404, 200]) {
        let set = format!("update billing.subscription set {set}");
        sqlx::raw_sql(sqlx::AssertSqlSafe(set)).execute(&mut admin).await.unwrap();
        assert_eq!(stranger.get(path).await.status, status);
    }
    ground.forward(2).await;
    stranger.get(path).await.expect_problem(410, "gone");
    ground.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_known_of_a_file_changes_in_turn() {
    let ground = ground().await;
    let owner = ground.owner().await;
    let id = upload(&owner, "a.txt", "text/plain", b"hello").await.expect(201).id();
    let path = format!("/api/v1/files/{id}");
    let known = owner.get(&format!("{path}/metadata")).await.expect(200);
    assert_eq!(known.headers["etag"], "\"v1\"");
    let patch = json!({ "name": "b.txt", "description": "Draft" });
    let rename =
        async |tag: &str| owner.send(Method::PATCH, &path, Some(patch.clone()), &[("if-match", tag)]).await;
    let changed = rename("\"v1\"").await.expect(200);
    assert_eq!((&changed.body["name"], &changed.body["description"]), (&"b.txt".into(), &"Draft".into()));
    rename("\"v1\"").await.expect_problem(412, "precondition-failed");
    owner.patch(&path, json!({ "name": "a/b" })).await.expect_problem(400, "validation-error");
    owner.patch(&path, json!({ "bucket": "assets" })).await.expect_problem(400, "validation-error");
    let taken = owner.patch(&path, json!({ "description": "" })).await.expect(200);
    assert!(taken.body["description"].is_null());
    assert_eq!(
        ground.audited(&id).await,
        ["files.file.uploaded", "files.file.updated", "files.file.updated"]
    );
    ground.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_waits_for_its_scan_is_looked_at_later() {
    let ground = ground().await;
    let owner = ground.owner().await;
    let good = upload(&owner, "a.svg", "image/svg+xml", b"<svg xmlns='http://www.w3.org/2000/svg'/>")
        .await
        .expect(201)
        .id();
    let bad = upload(&owner, "b.svg", "image/svg+xml", b"<svg xmlns='http://www.w3.org/2000/svg'></svg>")
        .await
        .expect(201)
        .id();
    // As a busy scanner, or a process that died, leaves them; the one with other bytes than were looked at.
    let mut admin = ground.kernel.admin_sql("pk_default").await;
    for blob in ground.blobs().iter().filter(|path| path.to_string_lossy().contains(&bad)) {
        std::fs::write(
            ground.folder.path().join("data/blobs").join(blob),
            b"<svg><script>alert(1)</script></svg>",
        )
        .unwrap();
    }
    sqlx::query("update files.file set state = 'pending_scan'").execute(&mut admin).await.unwrap();
    owner.get(&format!("/api/v1/files/{good}")).await.expect_problem(404, "not-found");
    let again = "insert into kernel.job (id, tenant_id, kind, payload, due_at)
                 select kernel.new_id(), tenant_id, 'files.scan', jsonb_build_object('id', id), kernel.now() from files.file";
    sqlx::query(again).execute(&mut admin).await.unwrap();
    let give_up = std::time::Instant::now() + std::time::Duration::from_secs(30);
    while owner.get(&format!("/api/v1/files/{good}")).await.status != 200
        || owner.get(&format!("/api/v1/files/{bad}")).await.status != 422
    {
        assert!(std::time::Instant::now() < give_up, "they still wait");
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    owner.get(&format!("/api/v1/files/{bad}")).await.expect_problem(422, "file-rejected");
    assert_eq!(ground.told(&bad).await.last().unwrap(), "files.file.rejected");
    ground.used_becomes(41).await;
    ground.blobs_become("the refused one is erased", |blobs| blobs.len() == 1).await;
    sent(owner.raw(Method::DELETE, &format!("/api/v1/files/{bad}"))).await.expect(204);
    ground.close().await;
}
