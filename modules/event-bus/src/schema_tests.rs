use serde_json::json;

use super::*;

fn mistake(schema: Value) -> Option<String> {
    check("/schema", &schema).err().map(|error| error.field_errors()[0].field.clone())
}

#[test]
fn a_schema_is_plain_and_has_an_end() {
    let good = json!({
        "type": "object",
        "required": ["id"],
        "properties": { "id": { "type": "string", "format": "uuid" }, "lines": { "type": "array", "items": { "$ref": "#/$defs/line" } } },
        "$defs": { "line": { "type": "object", "properties": { "sku": { "type": "string", "pattern": "^[A-Z]+$" } } } },
    });
    assert_eq!(mistake(good), None);
    assert_eq!(mistake(json!({ "type": "array" })).unwrap(), "/schema/type");
    assert_eq!(mistake(json!({ "type": "object", "$ref": "http://127.0.0.1/x" })).unwrap(), "/schema/$ref");
    assert_eq!(
        mistake(json!({ "type": "object", "patternProperties": {} })).unwrap(),
        "/schema/patternProperties"
    );
    assert_eq!(
        mistake(json!({ "type": "object", "properties": { "a": 1 } })).unwrap(),
        "/schema/properties/a"
    );
    assert_eq!(mistake(json!({ "type": "object", "required": "id" })).unwrap(), "/schema");
    assert_eq!(
        mistake(json!({ "type": "object", "properties": { "a": { "pattern": "(" } } })).unwrap(),
        "/schema"
    );
}

#[test]
fn a_schema_cannot_grow_without_end() {
    let own = json!({ "type": "object", "properties": { "a": { "$ref": "#/$defs/a" } },
                      "$defs": { "a": { "items": { "$ref": "#/$defs/a" } } } });
    assert!(mistake(own).is_some());
    let mut defs = Map::new();
    for n in 0..30 {
        let next = json!({ "$ref": format!("#/$defs/d{}", n + 1) });
        defs.insert(format!("d{n}"), json!({ "anyOf": [next.clone(), next] }));
    }
    defs.insert("d30".into(), json!({ "type": "string" }));
    assert!(
        mistake(json!({ "type": "object", "properties": { "a": { "$ref": "#/$defs/d0" } }, "$defs": defs }))
            .is_some()
    );
}

#[test]
fn under_one_type_the_shape_only_grows() {
    let old = json!({ "type": "object", "required": ["id"], "properties": {
        "id": { "type": "string" }, "tags": { "type": "array", "items": { "type": "string" } } } });
    let change = |edit: fn(&mut Value)| {
        let mut new = old.clone();
        edit(&mut new);
        breaks("/schema", &old, &new).into_iter().map(|mistake| mistake.field).collect::<Vec<_>>()
    };
    assert!(change(|s| s["properties"]["note"] = json!({ "type": "string" })).is_empty());
    assert!(change(|s| s["title"] = json!("A deal")).is_empty());
    assert_eq!(change(|s| s["required"] = json!(["id", "tags"])), ["/schema/required"]);
    assert_eq!(change(|s| s["required"] = json!([])), ["/schema/required"]);
    assert_eq!(
        change(|s| s["properties"]["id"] = json!({ "type": "integer" })),
        ["/schema/properties/id/type"]
    );
    assert_eq!(
        change(|s| s["properties"]["id"]["maxLength"] = json!(3)),
        ["/schema/properties/id/maxLength"]
    );
    let items = "/schema/properties/tags/items/type";
    assert_eq!(change(|s| s["properties"]["tags"]["items"]["type"] = json!("number")), [items]);
    assert_eq!(
        change(|s| drop(s["properties"].as_object_mut().unwrap().remove("tags"))),
        ["/schema/properties/tags"]
    );
}

#[tokio::test]
async fn data_that_does_not_fit_is_told_place_by_place() {
    let schema = json!({ "type": "object", "required": ["id"], "additionalProperties": false,
                         "properties": { "id": { "type": "string" }, "n": { "type": "integer", "maximum": 5 } } });
    let validators = Validators::new();
    let compiled = validators.keep(Uuid::nil(), schema).await.unwrap();
    assert!(validators.kept(Uuid::nil()).is_some());
    let good = validators.fit(Arc::clone(&compiled), "/data".into(), json!({ "id": "x", "n": 1 })).await;
    assert!(good.is_ok());
    let error = validators.fit(compiled, "/data".into(), json!({ "n": 9, "x": 1 })).await.unwrap_err();
    let mut found: Vec<_> = error.field_errors().iter().map(|e| (e.field.as_str(), e.code)).collect();
    found.sort_unstable_by_key(|(field, code)| (*field, format!("{code:?}")));
    assert_eq!(
        found,
        [
            ("/data", FieldCode::Required),
            ("/data", FieldCode::UnknownField),
            ("/data/n", FieldCode::OutOfRange)
        ]
    );
}
