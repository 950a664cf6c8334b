use serde_json::json;
use testkit::{Api, KernelOptions};

use crate::support::{Ground, bytes, ground, ground_with, upload};

async fn id_of(ground: &Ground, sandbox: &str) -> String {
    let mut control = ground.kernel.admin_sql("pk_control").await;
    sqlx::query_scalar("select id::text from control.sandbox where name = $1")
        .bind(sandbox)
        .fetch_one(&mut control)
        .await
        .unwrap()
}

fn prefixes(blobs: &[std::path::PathBuf]) -> std::collections::BTreeSet<String> {
    blobs.iter().map(|path| path.iter().next().unwrap().to_string_lossy().into_owned()).collect()
}

async fn member(api: &Api, email: &str) -> Api {
    api.sign_in(email, "correct horse battery").await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_reads_what_its_source_wrote_and_a_prefix_goes_with_its_last_reader() {
    let ground = ground().await;
    let operator = ground.kernel.operator();
    operator.post("/api/v1/sandboxes", json!({ "name": "source", "template": "empty" })).await.expect(201);
    let source = ground.kernel.api().sandbox("source");
    let (owner, body) = source.register("Acme Tools").await;
    let email = body["user"]["email"].as_str().unwrap();
    let old = upload(&owner, "old.txt", "text/plain", b"before the copy").await.expect(201).id();
    let lost = upload(&owner, "lost.txt", "text/plain", b"removed in the source").await.expect(201).id();

    operator.post("/api/v1/sandboxes/source/fork", json!({ "name": "copy" })).await.expect(201);
    let copy = member(&ground.kernel.api().sandbox("copy"), email).await;
    let path = |id: &str| format!("/api/v1/files/{id}");
    assert_eq!(bytes(&copy, &path(&old)).await.1, b"before the copy");
    let own = upload(&copy, "own.txt", "text/plain", b"of the copy").await.expect(201).id();
    owner.get(&path(&own)).await.expect_problem(404, "not-found");

    // Gone for good in the source, and still there in the copy.
    owner.delete(&format!("{}/permanent", path(&lost))).await.expect(204);
    owner.get(&path(&lost)).await.expect_problem(404, "not-found");
    let jobs = "select count(*) from kernel.job where kind = 'files.erase' and due_at <= kernel.now()";
    let mut sql = ground.kernel.owner_sql("source").await;
    while sqlx::query_scalar::<_, i64>(jobs).fetch_one(&mut sql).await.unwrap() > 0 {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    assert_eq!(bytes(&copy, &path(&lost)).await.1, b"removed in the source");
    // The copy's own act touches nothing of the source's.
    copy.delete(&format!("{}/permanent", path(&old))).await.expect(204);
    assert_eq!(bytes(&owner, &path(&old)).await.1, b"before the copy");

    let (of_source, of_copy) = (id_of(&ground, "source").await, id_of(&ground, "copy").await);
    operator.delete("/api/v1/sandboxes/source").await.expect(204);
    assert_eq!(bytes(&copy, &path(&lost)).await.1, b"removed in the source");
    ground
        .blobs_become("the source's blobs are still read", |blobs| prefixes(blobs).contains(&of_source))
        .await;
    operator.delete("/api/v1/sandboxes/copy").await.expect(204);
    ground
        .blobs_become("both prefixes are gone", |blobs| {
            let left = prefixes(blobs);
            !left.contains(&of_source) && !left.contains(&of_copy)
        })
        .await;
    ground.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reset_begins_anew_and_the_demo_has_its_files_again() {
    let ground = ground_with(KernelOptions::default()).await;
    let operator = ground.kernel.operator();
    operator.post("/api/v1/sandboxes", json!({ "name": "acme", "template": "demo" })).await.expect(201);
    let acme = ground.kernel.api().sandbox("acme");
    let before = id_of(&ground, "acme").await;
    for round in 0..2 {
        let admin = acme.sign_in("admin@sandbox.localhost", "Sandbox2026!").await;
        let files = admin.get("/api/v1/files?limit=100").await.expect(200);
        assert_eq!(files.data().len(), 7, "{}", files.text);
        for file in files.data() {
            let path = format!("/api/v1/files/{}", file["id"].as_str().unwrap());
            assert_eq!(bytes(&admin, &path).await.1.len() as u64, file["size"].as_u64().unwrap());
            for size in file["thumbnails"].as_array().unwrap() {
                bytes(&admin, &format!("{path}/thumbnail/{}", size.as_str().unwrap())).await;
            }
        }
        assert!(files.data().iter().filter(|file| file["thumbnails"][0] == "icon_32").count() >= 4);
        if round == 0 {
            upload(&admin, "own.txt", "text/plain", b"hello").await.expect(201);
            ground
                .blobs_become("it writes under its own id", |blobs| prefixes(blobs).contains(&before))
                .await;
            operator.post("/api/v1/sandboxes/acme/reset", json!({})).await.expect(200);
        }
    }
    assert_ne!(id_of(&ground, "acme").await, before);
    ground.blobs_become("what it wrote before is gone", |blobs| !prefixes(blobs).contains(&before)).await;

    // The blobs of the template are laid down again where only its database is, as in a fresh installation.
    let data = ground.folder.path().join("data");
    ground.kernel.close().await;
    std::fs::remove_dir_all(data.join("blobs")).unwrap();
    let again = testkit::Kernel::start(KernelOptions::default().on(&data)).await;
    let admin = again.api().sign_in("admin@sandbox.localhost", "Sandbox2026!").await;
    let (_, photo) = bytes(&admin, "/api/v1/files/00000000-0000-7000-0000-0000000f0001").await;
    assert!(photo.starts_with(b"\xff\xd8\xff"));
    again.close().await;
}
