use serde_json::json;

use crate::{main_job::install_crm, stage::Stage};

/// Records of a module: filters, sorting, joins, pages, what is refused, and a module that comes and goes.
pub async fn play(stage: &Stage) {
    let demo = stage.demo_owner().await;
    let contacts = "/api/v1/data/crm/contacts";
    for query in [
        "?sort=last_name,first_name&limit=5",
        "?sort=-last_name,first_name&limit=5&select=first_name,last_name",
        "?last_name=like.A*&sort=last_name,first_name&limit=20",
        "?select=email,company(name,country)&sort=email&limit=4",
        "?company.country=eq.AT&sort=email&limit=3&count=true",
        "?or=(first_name.eq.Ada,last_name.like.B*)&sort=email&limit=5",
        "?limit=1&count=true&deleted=true",
    ] {
        demo.get(&format!("{contacts}{query}")).await;
    }
    let first = demo.get(&format!("{contacts}?sort=email&limit=2")).await.expect(200);
    let cursor = first.body["meta"]["cursor"].as_str().or(first.body["meta"]["nextCursor"].as_str()).unwrap();
    demo.aside().get(&format!("{contacts}?sort=email&limit=2&cursor={cursor}")).await.expect(200);
    for wrong in [
        "?last_name=foo.x",
        "?nothing=eq.1",
        "?sort=nothing",
        "?limit=0",
        "?limit=1000000",
        "?cursor=made-up",
        "?select=nothing",
        "/019a0000-0000-7000-8000-000000000001",
        "/no-id",
    ] {
        let answer = demo.get(&format!("{contacts}{wrong}")).await;
        assert!(answer.status.is_client_error(), "{wrong}: {}", answer.text);
    }
    demo.post(contacts, json!({ "first_name": 7 })).await.expect(400);
    demo.post(contacts, json!({ "nothing": "x" })).await.expect(400);
    let made = demo
        .post(contacts, json!({ "first_name": "Ada", "last_name": "Lovelace", "email": "ada@x.example" }))
        .await;
    let id = made.expect(201).id();
    let one = format!("{contacts}/{id}");
    demo.get(&one).await.expect(200);
    demo.patch(&one, json!({ "last_name": "King" })).await.expect(200);
    demo.delete(&one).await.expect(204);
    demo.get(&one).await.expect(404);
    demo.post(&format!("{one}/restore"), json!({})).await.expect(200);
    demo.get(&format!("{contacts}/schema")).await;
    demo.get("/api/v1/data/crm/contacts/schema").await.expect(200);
    demo.get("/api/v1/data/nothing/at-all").await.expect(404);
    demo.get("/api/v1/data").await.expect(200);

    let (owner, _) = stage.stranger().register("Come And Go").await;
    install_crm(stage, &owner).await;
    owner.post("/api/v1/data/crm/companies", json!({ "name": "Short Lived" })).await.expect(201);
    let modules = owner.get("/api/v1/modules").await.expect(200);
    let crm = modules.data().iter().find(|module| module["name"] == "@example/crm").unwrap();
    let crm = format!("/api/v1/modules/{}", crm["id"].as_str().unwrap());
    owner.post(&format!("{crm}/disable"), json!({})).await;
    stage.settle().await;
    owner.get("/api/v1/data/crm/companies").await;
    owner.post(&format!("{crm}/enable"), json!({})).await;
    stage.settle().await;
    owner.get("/api/v1/data/crm/companies").await;
    owner.post(&format!("{crm}/uninstall"), json!({})).await;
    stage.settle().await;
    owner.get("/api/v1/data/crm/companies").await.expect(404);
}
