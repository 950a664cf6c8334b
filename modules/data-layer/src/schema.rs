//! A model as JSON Schema 2020-12: what `GET /api/v1/data/{module}/{model}/schema` answers.

use serde_json::{Map, Value, json};

use crate::catalogue::{Catalogue, Column, ColumnKind, Model, RelationKind};

/// The schema of a model's records as they are read. Members that a client cannot set are `readOnly`; `required` are
/// those that a create must give. Relations, which `select` adds, stand under `x-relations`.
pub fn json_schema(catalogue: &Catalogue, model: &Model) -> Value {
    let mut properties = Map::new();
    let mut required = Vec::new();
    for column in model.visible_columns() {
        properties.insert(column.name.clone(), property(model, column));
        if model.is_writable(column) && !column.nullable && !column.has_default {
            required.push(Value::from(column.name.as_str()));
        }
    }
    let relations: Map<String, Value> = model
        .relations
        .iter()
        .map(|relation| {
            let to_many = relation.kind == RelationKind::ToMany;
            (relation.name.clone(), json!({ "model": relation.target, "many": to_many }))
        })
        .collect();
    let mut schema = Map::new();
    schema.insert("$schema".into(), "https://json-schema.org/draft/2020-12/schema".into());
    schema.insert("title".into(), format!("{}.{}", catalogue.module, model.name).into());
    if let Some(comment) = &model.comment {
        schema.insert("description".into(), comment.as_str().into());
    }
    schema.insert("type".into(), "object".into());
    schema.insert("properties".into(), properties.into());
    schema.insert("required".into(), required.into());
    schema.insert("additionalProperties".into(), false.into());
    if !relations.is_empty() {
        schema.insert("x-relations".into(), relations.into());
    }
    schema.into()
}

fn property(model: &Model, column: &Column) -> Value {
    let mut property = kind(&column.kind);
    if column.nullable {
        if let Some(name) = property.get_mut("type") {
            *name = json!([name.clone(), "null"]);
        }
        // Where values are listed the list alone decides, so null must be in it.
        if let Some(Value::Array(values)) = property.get_mut("enum") {
            values.push(Value::Null);
        }
    }
    if let Some(comment) = &column.comment {
        property.insert("description".into(), comment.as_str().into());
    }
    if !model.is_writable(column) {
        property.insert("readOnly".into(), true.into());
    }
    property.into()
}

fn kind(kind: &ColumnKind) -> Map<String, Value> {
    let schema = match kind {
        ColumnKind::Uuid => json!({ "type": "string", "format": "uuid" }),
        ColumnKind::Text | ColumnKind::Other(_) => json!({ "type": "string" }),
        ColumnKind::Varchar(length) => json!({ "type": "string", "maxLength": length }),
        ColumnKind::Int2 => json!({ "type": "integer", "minimum": i16::MIN, "maximum": i16::MAX }),
        ColumnKind::Int4 => json!({ "type": "integer", "minimum": i32::MIN, "maximum": i32::MAX }),
        ColumnKind::Int8 => json!({ "type": "integer", "minimum": i64::MIN, "maximum": i64::MAX }),
        ColumnKind::Numeric(_) | ColumnKind::Float4 | ColumnKind::Float8 => json!({ "type": "number" }),
        ColumnKind::Bool => json!({ "type": "boolean" }),
        ColumnKind::Date => json!({ "type": "string", "format": "date" }),
        ColumnKind::Time => {
            json!({ "type": "string", "pattern": "^[0-9]{2}:[0-9]{2}(:[0-9]{2}([.][0-9]+)?)?$" })
        }
        ColumnKind::Timestamp => json!({ "type": "string" }),
        ColumnKind::Timestamptz => json!({ "type": "string", "format": "date-time" }),
        ColumnKind::Interval => json!({ "type": "string", "format": "duration" }),
        ColumnKind::Json | ColumnKind::Jsonb => json!({}),
        ColumnKind::Bytea => json!({ "type": "string", "contentEncoding": "base64" }),
        ColumnKind::Enum { values, .. } => json!({ "type": "string", "enum": values }),
        ColumnKind::Array(element) => json!({ "type": "array", "items": self::kind(element) }),
    };
    match schema {
        Value::Object(members) => members,
        _ => Map::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::query::sample;

    #[test]
    fn a_schema_says_what_a_create_needs() {
        let crm = sample::crm();
        let schema = json_schema(&crm, crm.model("contacts").unwrap());
        assert_eq!(schema["title"], "crm.contacts");
        assert_eq!(schema["required"], json!(["name", "email"]));
        assert_eq!(schema["properties"]["name"], json!({ "type": "string", "maxLength": 200 }));
        assert_eq!(schema["properties"]["age"]["type"], json!(["integer", "null"]));
        assert_eq!(schema["properties"]["status"]["enum"], json!(["active", "left"]));
        assert_eq!(schema["properties"]["mood"]["enum"], json!(["active", "left", null]));
        assert_eq!(schema["properties"]["id"]["readOnly"], true);
        assert_eq!(schema["properties"]["score"]["readOnly"], true);
        assert!(schema["properties"].get("secret").is_none());
        assert_eq!(schema["x-relations"]["company"], json!({ "model": "companies", "many": false }));
    }
}
