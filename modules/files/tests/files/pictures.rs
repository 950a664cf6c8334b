use serde_json::json;
use std::time::{Duration, Instant};
use vips::{Format, Limits, Output};

use crate::support::{bytes, ground, image, upload};

fn size(file: &[u8], format: Format) -> (u32, u32) {
    let limits = Limits { pixels: 50_000_000, deadline: Instant::now() + Duration::from_secs(30) };
    let header = vips::inspect(file, format, &limits).unwrap();
    (header.width, header.height)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_photo_of_twelve_megapixels_comes_and_its_small_versions_go() {
    let ground = ground().await;
    let owner = ground.owner().await;
    let photo = image(Output::Jpeg, 4000, 3000);
    assert!(photo.len() < 10_000_000, "{}", photo.len());
    let begun = Instant::now();
    let made = upload(&owner, "IMG_0001.JPG", "image/jpeg", &photo).await.expect(201);
    println!("a photo of {} KB: {:?}", photo.len() / 1000, begun.elapsed());
    assert_eq!((&made.body["width"], &made.body["height"]), (&4000.into(), &3000.into()));
    assert_eq!(made.body["thumbnails"].as_array().unwrap().len(), 5);
    let id = made.id();
    let stored = ground.blobs().iter().filter(|path| path.to_string_lossy().contains(&id)).count();
    assert_eq!(stored, 3, "the original, and the two that are made at once");
    for (name, wide, high) in [
        ("icon_32", 32, 32),
        ("avatar_64", 64, 64),
        ("card_300", 300, 225),
        ("preview_600", 600, 450),
        ("full_1200", 1200, 900),
    ] {
        let path = format!("/api/v1/files/{id}/thumbnail/{name}");
        let (headers, file) = bytes(&owner, &path).await;
        assert_eq!(headers["content-type"], "image/webp");
        assert_eq!(size(&file, Format::WebP), (wide, high), "{name}");
        let again = owner
            .raw(reqwest::Method::GET, &path)
            .header("if-none-match", &headers["etag"])
            .send()
            .await
            .unwrap();
        assert_eq!(again.status(), 304, "{name}");
    }
    owner.get(&format!("/api/v1/files/{id}/thumbnail/huge_9000")).await.expect_problem(404, "not-found");
    ground.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_shows_through_stays_so_and_texts_have_no_pictures() {
    let ground = ground().await;
    let owner = ground.owner().await;
    let pixels = [200, 40, 40, 90].repeat(400 * 300);
    let logo = vips::Picture::from_pixels(400, 300, &pixels).unwrap().encode(Output::Png, 90).unwrap();
    let id = upload(&owner, "logo.png", "image/png", &logo).await.expect(201).id();
    let (headers, file) = bytes(&owner, &format!("/api/v1/files/{id}/thumbnail/card_300")).await;
    assert_eq!(
        (headers["content-type"].to_str().unwrap(), size(&file, Format::Png)),
        ("image/png", (300, 225))
    );
    let (headers, _) = bytes(&owner, &format!("/api/v1/files/{id}?inline")).await;
    assert!(headers["content-disposition"].to_str().unwrap().starts_with("inline"));

    let text = upload(&owner, "a.html", "text/html", b"<html><script>1</script></html>").await.expect(201);
    assert_eq!(text.body["thumbnails"], json!([]));
    let text = text.id();
    owner.get(&format!("/api/v1/files/{text}/thumbnail/card_300")).await.expect_problem(404, "not-found");
    owner
        .post(&format!("/api/v1/files/{text}/process"), json!({ "rotate": 90 }))
        .await
        .expect_problem(409, "invalid-state");
    let (headers, _) = bytes(&owner, &format!("/api/v1/files/{text}?inline=true")).await;
    assert!(
        headers["content-disposition"].to_str().unwrap().starts_with("attachment"),
        "a page is not shown in place"
    );
    ground.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_picture_is_made_of_one() {
    let ground = ground().await;
    let owner = ground.owner().await;
    let photo = upload(&owner, "street.jpeg", "image/jpeg", &image(Output::Jpeg, 800, 600)).await.expect(201);
    let path = format!("/api/v1/files/{}/process", photo.id());
    for (wish, media_type, format, wide, high, name) in [
        (
            json!({ "resize": { "width": 400, "height": 400 } }),
            "image/webp",
            Format::WebP,
            400,
            300,
            "street.webp",
        ),
        (json!({ "rotate": 90, "format": "png" }), "image/png", Format::Png, 600, 800, "street.png"),
        (
            json!({ "crop": { "left": 700, "top": 0, "width": 100, "height": 50 }, "format": "jpeg", "quality": 60 }),
            "image/jpeg",
            Format::Jpeg,
            100,
            50,
            "street.jpg",
        ),
        (
            json!({ "resize": { "width": 60, "height": 60, "fit": "cover" }, "format": "avif" }),
            "image/avif",
            Format::Heif,
            60,
            60,
            "street.avif",
        ),
    ] {
        let made = owner.post(&path, wish).await.expect(201);
        assert_eq!((&made.body["mimeType"], &made.body["name"]), (&media_type.into(), &name.into()));
        assert_eq!(made.body["derivedFrom"], photo.body["id"]);
        let (_, file) = bytes(&owner, &format!("/api/v1/files/{}", made.id())).await;
        assert_eq!(size(&file, format), (wide, high), "{name}");
        assert_eq!(ground.told(&made.id()).await, ["files.file.available", "files.image.processed"]);
        assert_eq!(ground.audited(&made.id()).await, ["files.image.processed"]);
        bytes(&owner, &format!("/api/v1/files/{}/thumbnail/icon_32", made.id())).await;
    }
    let outside = json!({ "crop": { "left": 701, "top": 0, "width": 100, "height": 50 } });
    let refused = owner.post(&path, outside).await.expect_problem(400, "validation-error");
    assert_eq!(refused.body["errors"][0]["field"], "/crop");
    let sizes: i64 = owner
        .get("/api/v1/files")
        .await
        .expect(200)
        .data()
        .iter()
        .map(|file| file["size"].as_i64().unwrap())
        .sum();
    assert_eq!(ground.used().await, sizes);
    ground.allow(sizes).await;
    owner.post(&path, json!({ "rotate": 180 })).await.expect_problem(402, "plan-limit-exceeded");
    ground.close().await;
}
