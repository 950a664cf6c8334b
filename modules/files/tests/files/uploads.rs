use futures::{StreamExt as _, stream};
use reqwest::Method;
use testkit::KernelOptions;
use vips::Output;

use crate::support::{FORM, UPLOAD, bytes, form, ground, ground_with, image, sent, upload};

#[tokio::test(flavor = "multi_thread")]
async fn a_file_comes_and_goes_whole_or_in_part() {
    let ground = ground().await;
    let owner = ground.owner().await;
    let content: Vec<u8> = (0..300_000_u32).flat_map(|n| (n % 251).to_le_bytes()).collect();
    let made =
        upload(&owner, "C:\\data\\Größe 1.bin", "application/octet-stream", &content).await.expect(201);
    assert_eq!(made.body["name"], "Größe 1.bin");
    assert_eq!(made.body["state"], "available");
    assert_eq!(made.body["bucket"], "assets");
    assert_eq!(made.body["size"], content.len());
    let id = made.id();
    let path = format!("/api/v1/files/{id}");
    let (headers, whole) = bytes(&owner, &path).await;
    assert!(whole == content, "the bytes that came are the bytes that went");
    assert_eq!(headers["content-length"], content.len().to_string());
    assert_eq!(headers["accept-ranges"], "bytes");
    assert_eq!(headers["x-content-type-options"], "nosniff");
    assert!(headers["content-security-policy"].to_str().unwrap().contains("sandbox"));
    let disposition = headers["content-disposition"].to_str().unwrap();
    assert!(
        disposition.starts_with("attachment;") && disposition.contains("Gr%C3%B6%C3%9Fe%201.bin"),
        "{disposition}"
    );

    let part = owner.raw(Method::GET, &path).header("range", "bytes=100-199").send().await.unwrap();
    assert_eq!(
        (part.status().as_u16(), &part.headers()["content-range"]),
        (206, &format!("bytes 100-199/{}", content.len()).parse().unwrap())
    );
    assert_eq!(part.bytes().await.unwrap(), content[100..200]);
    let behind = owner.raw(Method::GET, &path).header("range", "bytes=99999999-");
    sent(behind).await.expect_problem(416, "range-not-satisfiable");
    let tag = headers["etag"].to_str().unwrap();
    let again = owner.raw(Method::GET, &path).header("if-none-match", tag).send().await.unwrap();
    assert_eq!(again.status(), 304);
    let head = owner.raw(Method::HEAD, &path).send().await.unwrap();
    assert_eq!(
        (head.status().as_u16(), &head.headers()["content-length"]),
        (200, &headers["content-length"])
    );

    assert_eq!(ground.told(&id).await, ["files.file.uploaded", "files.file.available"]);
    assert_eq!(ground.audited(&id).await, ["files.file.uploaded"]);
    assert_eq!(ground.used().await, content.len() as i64);
    let listed = owner.get("/api/v1/files?count=true").await.expect(200);
    assert_eq!((listed.data().len(), &listed.body["meta"]["total"]), (1, &1.into()));
    ground.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_plan_is_kept_to_the_byte_by_uploads_side_by_side() {
    let ground = ground().await;
    let owner = ground.owner().await;
    let size = 100_000;
    ground.allow(3 * size as i64).await;
    let answers: Vec<u16> = stream::iter(0..12)
        .map(|n| {
            let owner = owner.clone();
            async move {
                let content = vec![n as u8 + 200; size];
                upload(&owner, "a.bin", "application/octet-stream", &content).await.status.as_u16()
            }
        })
        .buffer_unordered(12)
        .collect()
        .await;
    let kept = answers.iter().filter(|status| **status == 201).count();
    assert_eq!((kept, answers.iter().filter(|status| **status == 402).count()), (3, 9), "{answers:?}");
    assert_eq!(ground.used().await, 3 * size as i64);
    assert_eq!(ground.blobs().len(), 3, "of what was refused nothing is kept");
    upload(&owner, "a.txt", "text/plain", b"x").await.expect_problem(402, "plan-limit-exceeded");

    // What goes for good makes room, to the byte.
    let first = owner.get("/api/v1/files").await.expect(200).data()[0]["id"].as_str().unwrap().to_owned();
    owner.delete(&format!("/api/v1/files/{first}/permanent")).await.expect(204);
    upload(&owner, "a.bin", "application/octet-stream", &vec![0xfe; size + 1]).await.expect(402);
    upload(&owner, "a.bin", "application/octet-stream", &vec![0xfe; size]).await.expect(201);
    assert_eq!(ground.used().await, 3 * size as i64);
    ground.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_without_a_length_is_counted_as_it_comes() {
    let ground = ground().await;
    let owner = ground.owner().await;
    ground.allow(3_000_000).await;
    let chunked = |bytes: usize| {
        let body = form("a.bin", "application/octet-stream", &vec![0xfe; bytes]);
        let pieces: Vec<Result<Vec<u8>, std::io::Error>> =
            body.chunks(50_000).map(|piece| Ok(piece.to_vec())).collect();
        let request = owner.raw(Method::POST, UPLOAD).header("content-type", FORM);
        sent(request.body(reqwest::Body::wrap_stream(stream::iter(pieces))))
    };
    chunked(3_000_001).await.expect_problem(402, "plan-limit-exceeded");
    assert_eq!(ground.used().await, 0);
    chunked(3_000_000).await.expect(201);
    assert_eq!(ground.used().await, 3_000_000);
    ground.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_that_breaks_off_leaves_nothing() {
    let ground = ground().await;
    let owner = ground.owner().await;
    let body = form("a.bin", "application/octet-stream", &vec![0xfe; 3_000_000]);
    let half = body[..1_500_000].to_vec();
    let pieces = stream::iter([Ok(half)]).chain(stream::once(async {
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
        Err(std::io::Error::other("the client goes away"))
    }));
    let request = owner.raw(Method::POST, UPLOAD).header("content-type", FORM);
    let gone = request.body(reqwest::Body::wrap_stream(pieces)).send().await;
    assert!(gone.is_err() || !gone.unwrap().status().is_success());
    ground.used_becomes(0).await;
    ground.blobs_become("nothing is stored", <[_]>::is_empty).await;
    let mut sql = ground.kernel.owner_sql("default").await;
    let open: i64 =
        sqlx::query_scalar("select count(*) from files.upload").fetch_one(&mut sql).await.unwrap();
    assert_eq!(open, 0);
    assert!(owner.get("/api/v1/files").await.expect(200).data().is_empty());
    ground.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn with_a_key_the_same_file_is_uploaded_once() {
    let ground = ground().await;
    let owner = ground.owner().await;
    let key = "0198f0c4-7d55-7e10-8d4d-6b9c5f3e2a10";
    let send = |content: &'static [u8]| {
        let request =
            owner.raw(Method::POST, UPLOAD).header("content-type", FORM).header("idempotency-key", key);
        sent(request.body(form("a.txt", "text/plain", content)))
    };
    let first = send(b"hello").await.expect(201);
    let second = send(b"hello").await.expect(201);
    assert_eq!((first.id(), &second.headers["idempotent-replayed"]), (second.id(), &"true".parse().unwrap()));
    send(b"other").await.expect_problem(422, "idempotency-key-reused");
    assert_eq!((ground.used().await, ground.blobs().len()), (5, 1));
    assert_eq!(ground.told(&first.id()).await.len(), 2);
    ground.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_does_not_fit_says_what_is_wrong() {
    let ground = ground_with(
        KernelOptions::default().with("KERNEL_TEMPLATE", "empty").with("FILES_MAX_IMAGE_SIZE_MB", "1"),
    )
    .await;
    let owner = ground.owner().await;
    owner
        .post(UPLOAD, serde_json::json!({ "name": "x" }))
        .await
        .expect_problem(415, "unsupported-media-type");
    let fields = |text: &str| {
        let body = format!("{text}--bound--\r\n").replace('\n', "\r\n").replace("\r\r", "\r");
        sent(owner.raw(Method::POST, UPLOAD).header("content-type", FORM).body(body))
    };
    let part = |name: &str, value: &str| {
        format!("--bound\nContent-Disposition: form-data; name=\"{name}\"\n\n{value}\n")
    };
    for (body, field) in [
        (part("bucket", "assets"), "/file"),
        (part("bucket", "attic"), "/bucket"),
        (part("colour", "red"), "/colour"),
        (format!("{}{}", part("name", "a/b"), part("file", "x")), "/name"),
        (part("file", "x"), "/file"),
        (format!("{}{}{}", part("name", "a"), part("file", "x"), part("bucket", "assets")), "/bucket"),
    ] {
        let answer = fields(&body).await.expect_problem(400, "validation-error");
        assert_eq!(answer.body["errors"][0]["field"], field, "{}", answer.text);
    }
    let noise: Vec<u8> = (0..1_000_000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let photo = [&image(Output::Jpeg, 64, 48)[..], &noise].concat();
    upload(&owner, "a.jpg", "image/jpeg", &photo).await.expect_problem(413, "payload-too-large");
    assert_eq!((ground.used().await, ground.blobs().len()), (0, 0));
    ground.close().await;
}
