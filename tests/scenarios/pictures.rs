use serde_json::json;
use testkit::until;

use crate::stage::Stage;

/// The smallest picture there is: one red pixel.
const PIXEL: &[u8] = &[
    0x89, b'P', b'N', b'G', 13, 10, 26, 10, 0, 0, 0, 13, b'I', b'H', b'D', b'R', 0, 0, 0, 1, 0, 0, 0, 1, 8,
    2, 0, 0, 0, 0x90, 0x77, 0x53, 0xde, 0, 0, 0, 12, b'I', b'D', b'A', b'T', 8, 0xd7, 0x63, 0xf8, 0xcf, 0xc0,
    0, 0, 3, 1, 1, 0, 0x18, 0xdd, 0x8d, 0xb0, 0, 0, 0, 0, b'I', b'E', b'N', b'D', 0xae, 0x42, 0x60, 0x82,
];

/// Files: brought, read, renamed, worked on, taken away.
pub async fn play(stage: &Stage) {
    let (owner, _) = stage.stranger().register("Paper Mill").await;
    let upload = "/api/v1/files/upload";
    let note = owner.upload(upload, "note.txt", "text/plain", b"hello").await.expect(201).id();
    owner.get(&format!("/api/v1/files/{note}")).await.expect(200);
    owner.get(&format!("/api/v1/files/{note}/metadata")).await.expect(200);
    owner.patch(&format!("/api/v1/files/{note}"), json!({ "name": "letter.txt" })).await.expect(200);
    owner.upload(upload, "run.png", "image/png", b"MZ this is no picture").await;
    owner.upload(upload, "", "text/plain", b"").await;

    let picture = owner.upload(upload, "pixel.png", "image/png", PIXEL).await.expect(201).id();
    let aside = owner.aside();
    until("a picture that is looked through", async || {
        let seen = aside.get(&format!("/api/v1/files/{picture}/metadata")).await.expect(200);
        (seen.body["state"] == "available").then_some(())
    })
    .await;
    owner.get(&format!("/api/v1/files/{picture}/thumbnail/card_300")).await.expect(200);
    owner.get(&format!("/api/v1/files/{picture}/thumbnail/no_such_size")).await;
    owner.post(&format!("/api/v1/files/{picture}/process"), json!({ "format": "webp", "quality": 80 })).await;
    owner.get(&format!("/api/v1/files/{note}/thumbnail/card_300")).await;

    let signed = owner.get(&format!("/api/v1/files/{note}/url?expiresIn=60")).await.expect(200);
    assert!(signed.body["url"].is_string());
    owner.delete(&format!("/api/v1/files/{note}")).await.expect(204);
    owner.get(&format!("/api/v1/files/{note}")).await.expect(410);
    owner.post(&format!("/api/v1/files/{note}/restore"), json!({})).await.expect(200);
    owner.delete(&format!("/api/v1/files/{note}")).await.expect(204);
    owner.delete(&format!("/api/v1/files/{note}/permanent")).await.expect(204);
    owner.get("/api/v1/files?limit=10&count=true").await.expect(200);
    let (other, _) = stage.stranger().register("Other Mill").await;
    other.get(&format!("/api/v1/files/{picture}")).await.expect(404);
    other.get("/api/v1/files").await.expect(200);
}
