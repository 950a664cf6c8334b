//! Files that clients bring and fetch by signed addresses: the same in a folder and in a bucket.

use reqwest::{Client, Method, Response};
use serde_json::{Value, json};
use testkit::{Answer, Api, KernelOptions};
use vips::Output;

use crate::support::{Ground, bytes, ground, ground_with, image, in_bucket};

const EICAR: &[u8] = br"X5O!P%@AP[4\PZX54(P^)7CC)7}$EICAR-STANDARD-ANTIVIRUS-TEST-FILE!$H+H*";

async fn with_bucket() -> Ground {
    ground_with(in_bucket(KernelOptions::default().with("KERNEL_TEMPLATE", "empty"))).await
}

async fn presign(api: &Api, name: &str, media_type: &str, size: usize) -> Answer {
    let wish = json!({ "filename": name, "mimeType": media_type, "size": size, "bucket": "assets" });
    api.post("/api/v1/files/presign", wish).await
}

/// As a client does who has nothing but the answer.
async fn bring(presigned: &Value, content: &[u8]) -> Response {
    let method: Method = presigned["method"].as_str().unwrap().parse().unwrap();
    let mut request = Client::new().request(method, presigned["url"].as_str().unwrap());
    for (name, value) in presigned["headers"].as_object().unwrap() {
        request = request.header(name, value.as_str().unwrap());
    }
    request.body(content.to_vec()).send().await.unwrap()
}

async fn complete(api: &Api, id: &str) -> Answer {
    api.post(&format!("/api/v1/files/{id}/complete"), json!({})).await
}

async fn a_file_is_brought_looked_at_and_fetched(ground: &Ground) {
    let owner = ground.owner().await;
    let content: Vec<u8> = (0..2_000_000_u32).flat_map(|n| (n % 251).to_le_bytes()).collect();
    let presigned =
        presign(&owner, "Größe 1.bin", "application/octet-stream", content.len()).await.expect(201);
    let id = presigned.id();
    let path = format!("/api/v1/files/{id}");
    assert_eq!(ground.used().await, content.len() as i64, "storage is reserved before the first byte");
    complete(&owner, &id).await.expect_problem(409, "invalid-state");
    assert!(bring(&presigned.body, &content).await.status().is_success());
    owner.get(&path).await.expect_problem(404, "not-found");
    owner.get(&format!("{path}/metadata")).await.expect_problem(404, "not-found");

    let made = complete(&owner, &id).await.expect(201);
    assert_eq!((&made.body["state"], &made.body["name"]), (&json!("available"), &json!("Größe 1.bin")));
    assert_eq!(made.body["size"], content.len());
    assert!(bytes(&owner, &path).await.1 == content);
    assert_eq!(complete(&owner, &id).await.expect(201).body["sha256"], made.body["sha256"]);
    assert_eq!(ground.told(&id).await, ["files.file.uploaded", "files.file.available"]);
    assert_eq!(ground.used().await, content.len() as i64);

    // What is brought afterwards changes nothing, and the address is for bringing alone.
    bring(&presigned.body, b"something else").await;
    assert!(bytes(&owner, &path).await.1 == content);
    let read = Client::new().get(presigned.body["url"].as_str().unwrap()).send().await.unwrap();
    assert!(matches!(read.status().as_u16(), 403 | 404), "{}", read.status());

    let signed = owner.get(&format!("{path}/url?expiresIn=3600")).await.expect(200);
    let url = signed.body["url"].as_str().unwrap();
    let fetched = Client::new().get(url).header("range", "bytes=4-11").send().await.unwrap();
    assert_eq!(fetched.status(), 206);
    let disposition = fetched.headers()["content-disposition"].to_str().unwrap().to_owned();
    assert!(
        disposition.starts_with("attachment;") && disposition.contains("Gr%C3%B6%C3%9Fe%201.bin"),
        "{disposition}"
    );
    assert_eq!(fetched.bytes().await.unwrap(), content[4..12]);
    owner.delete(&path).await.expect(204);
    assert_eq!(Client::new().get(url).send().await.unwrap().status(), 410);
}

async fn what_is_refused_is_never_to_be_had(ground: &Ground) {
    let owner = ground.owner().await;
    for (name, media_type, content) in [
        ("a.txt", "text/plain", EICAR),
        ("a.png", "image/png", b"this is no picture".as_slice()),
        (
            "a.svg",
            "image/svg+xml",
            b"<svg xmlns=\"http://www.w3.org/2000/svg\"><script>x</script></svg>".as_slice(),
        ),
    ] {
        let presigned = presign(&owner, name, media_type, content.len()).await.expect(201);
        assert!(bring(&presigned.body, content).await.status().is_success());
        let id = presigned.id();
        complete(&owner, &id).await.expect_problem(422, "file-rejected");
        complete(&owner, &id).await.expect_problem(422, "file-rejected");
        owner.get(&format!("/api/v1/files/{id}")).await.expect_problem(422, "file-rejected");
        assert_eq!(ground.told(&id).await, ["files.file.uploaded", "files.file.rejected"]);
    }
    ground.used_becomes(0).await;
}

async fn a_file_has_the_size_that_was_announced(ground: &Ground) {
    let owner = ground.owner().await;
    let presigned = presign(&owner, "a.txt", "text/plain", 10).await.expect(201);
    let id = presigned.id();
    assert!(bring(&presigned.body, b"short").await.status().is_success());
    let told = complete(&owner, &id).await.expect_problem(409, "invalid-state");
    assert!(told.text.contains("5 bytes came where 10 were announced"), "{}", told.text);
    bring(&presigned.body, &[b'x'; 20]).await;
    complete(&owner, &id).await.expect_problem(409, "invalid-state");
    assert!(bring(&presigned.body, b"0123456789").await.status().is_success());
    complete(&owner, &id).await.expect(201);
    ground.allow(10).await;
    presign(&owner, "b.txt", "text/plain", 1).await.expect_problem(402, "plan-limit-exceeded");
    for (name, media_type, size, status) in [
        ("a/../..", "text/plain", 1, 400),
        ("a.txt", "text", 1, 400),
        ("a.txt", "text/plain", 0, 400),
        ("a.txt", "text/plain", 5_000_000_001, 413),
        ("a.png", "image/png", 10_000_001, 413),
    ] {
        assert_eq!(
            presign(&owner, name, media_type, size).await.status,
            status,
            "{name} {media_type} {size}"
        );
    }
}

async fn a_picture_that_is_brought_has_its_small_versions(ground: &Ground) {
    let owner = ground.owner().await;
    let content = image(Output::Png, 800, 600);
    let presigned = presign(&owner, "a.png", "image/png", content.len()).await.expect(201);
    assert!(bring(&presigned.body, &content).await.status().is_success());
    let made = complete(&owner, &presigned.id()).await.expect(201);
    assert_eq!((&made.body["width"], &made.body["height"]), (&json!(800), &json!(600)));
    let (_, small) = bytes(&owner, &format!("/api/v1/files/{}/thumbnail/card_300", made.id())).await;
    assert!(!small.is_empty());
}

async fn what_nobody_completes_is_taken_in_or_given_up(ground: &Ground) {
    let owner = ground.owner().await;
    let (brought, not_brought) = (
        presign(&owner, "a.txt", "text/plain", 5).await.expect(201),
        presign(&owner, "b.txt", "text/plain", 7).await.expect(201),
    );
    assert!(bring(&brought.body, b"hello").await.status().is_success());
    assert_eq!(ground.used().await, 12);
    ground.forward(2).await;
    ground.used_becomes(5).await;
    let owner = ground.signed_in().await;
    let path = |id: &str| format!("/api/v1/files/{id}");
    assert_eq!(bytes(&owner, &path(&brought.id())).await.1, b"hello");
    owner.get(&path(&not_brought.id())).await.expect_problem(404, "not-found");
    complete(&owner, &not_brought.id()).await.expect_problem(404, "not-found");
}

macro_rules! on_both {
    ($($story:ident: $in_folder:ident, $in_bucket:ident;)*) => {
        $(
            #[tokio::test(flavor = "multi_thread")]
            async fn $in_folder() {
                let ground = ground().await;
                $story(&ground).await;
                ground.close().await;
            }

            #[tokio::test(flavor = "multi_thread")]
            async fn $in_bucket() {
                let ground = with_bucket().await;
                $story(&ground).await;
                ground.close().await;
            }
        )*
    };
}

on_both! {
    a_file_is_brought_looked_at_and_fetched: brought_to_a_folder, brought_to_a_bucket;
    what_is_refused_is_never_to_be_had: refused_in_a_folder, refused_in_a_bucket;
    a_file_has_the_size_that_was_announced: sized_in_a_folder, sized_in_a_bucket;
    a_picture_that_is_brought_has_its_small_versions: pictured_in_a_folder, pictured_in_a_bucket;
    what_nobody_completes_is_taken_in_or_given_up: awaited_in_a_folder, awaited_in_a_bucket;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_store_itself_sends_the_bytes_and_a_closed_tenant_closes_its_addresses() {
    let ground = with_bucket().await;
    let owner = ground.owner().await;
    let id = crate::support::upload(&owner, "a.txt", "text/plain", b"hello").await.expect(201).id();
    assert!(ground.blobs().is_empty(), "nothing lies on disk");
    let signed = owner.get(&format!("/api/v1/files/{id}/url")).await.expect(200);
    let url = signed.body["url"].as_str().unwrap();
    let stays = Client::builder().redirect(reqwest::redirect::Policy::none()).build().unwrap();
    let answer = stays.get(url).send().await.unwrap();
    let to = answer.headers()["location"].to_str().unwrap();
    assert_eq!(answer.status(), 302);
    assert_eq!(answer.headers()["cache-control"], "no-store");
    assert!(to.contains("X-Amz-Signature=") && to.contains("X-Amz-Expires=60"), "{to}");
    let head = stays.head(url).send().await.unwrap();
    assert_eq!(head.status(), 200);
    assert_eq!(head.headers()["content-length"], "5");
    assert_eq!(Client::new().get(url).send().await.unwrap().text().await.unwrap(), "hello");
    let mut admin = ground.kernel.admin_sql("pk_default").await;
    let closed = "update billing.subscription set state = 'terminated', past_due_since = kernel.now(), ended_at = kernel.now()";
    sqlx::raw_sql(closed).execute(&mut admin).await.unwrap();
    assert_eq!(stays.get(url).send().await.unwrap().status(), 404);
    ground.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_reads_its_sources_files_in_the_bucket() {
    let ground = with_bucket().await;
    let operator = ground.kernel.operator();
    operator.post("/api/v1/sandboxes", json!({ "name": "source", "template": "empty" })).await.expect(201);
    let (owner, body) = ground.kernel.api().sandbox("source").register("Acme Tools").await;
    let email = body["user"]["email"].as_str().unwrap();
    let id = crate::support::upload(&owner, "a.txt", "text/plain", b"before").await.expect(201).id();
    operator.post("/api/v1/sandboxes/source/fork", json!({ "name": "copy" })).await.expect(201);
    let copy = ground.kernel.api().sandbox("copy").sign_in(email, "correct horse battery").await;
    let path = format!("/api/v1/files/{id}");
    operator.delete("/api/v1/sandboxes/source").await.expect(204);
    assert_eq!(bytes(&copy, &path).await.1, b"before");
    let signed = copy.get(&format!("{path}/url")).await.expect(200);
    let url = signed.body["url"].as_str().unwrap();
    let local = &url[url.find("/api").unwrap()..];
    let led = ground.kernel.api().sandbox("copy").raw(Method::GET, local).send().await.unwrap();
    let to = led.headers()["location"].to_str().unwrap();
    assert_eq!(Client::new().get(to).send().await.unwrap().text().await.unwrap(), "before");
    operator.delete("/api/v1/sandboxes/copy").await.expect(204);
    ground.close().await;
}
