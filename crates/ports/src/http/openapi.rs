//! The API's description (OpenAPI 3.1), made from the operation table.

use std::collections::BTreeMap;

use kernel::Slug;
use schemars::{SchemaGenerator, generate::SchemaSettings};
use serde_json::{Map, Value, json};

use super::operation::{Access, Operation, Repeat};

/// Writes the document for a table of operations. `server` is the address it is served from.
pub fn document<'a>(
    operations: impl IntoIterator<Item = &'a Operation>,
    server: &str,
    version: &str,
) -> Value {
    let settings = SchemaSettings::draft2020_12().with(|settings| {
        settings.definitions_path = "/components/schemas".into();
        settings.meta_schema = None;
    });
    let mut schemas = SchemaGenerator::new(settings);
    let mut paths: BTreeMap<String, Map<String, Value>> = BTreeMap::new();
    let mut tags: Vec<&str> = Vec::new();
    // What gRPC methods are is told by their contracts, and by reflection.
    for operation in operations.into_iter().filter(|operation| operation.rpc.is_none()) {
        if !tags.contains(&operation.service) {
            tags.push(operation.service);
        }
        let entry = describe(operation, &mut schemas);
        paths
            .entry(operation.path.clone())
            .or_default()
            .insert(operation.method.as_str().to_ascii_lowercase(), entry);
    }
    let problem = problem_schema();
    let mut components: Map<String, Value> = schemas.take_definitions(true).into_iter().collect();
    components.insert("Problem".into(), problem);
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Platform Kernel",
            "version": version,
            "description": "Twelve services of a multi-tenant back-end. Errors are problems (RFC 9457); each `type` can be opened. \
                            `RateLimit-Limit`, `RateLimit-Remaining` and `RateLimit-Reset` (seconds) say what is left to \
                            your tenant, or to your address; a 429 says in `Retry-After` when to come back.",
            "license": { "name": "MIT OR Apache-2.0", "identifier": "MIT OR Apache-2.0" },
        },
        "servers": [{ "url": server }],
        "tags": tags.iter().map(|tag| json!({ "name": tag })).collect::<Vec<_>>(),
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {
                "bearer": { "type": "http", "scheme": "bearer", "description": "An access token, or a key `pk_…` or `mk_…`." },
                "operator": { "type": "http", "scheme": "bearer", "description": "The operator key, `ok_…`." },
            },
        },
    })
}

fn describe(operation: &Operation, schemas: &mut SchemaGenerator) -> Value {
    let mut entry = json!({
        "operationId": operation.id,
        "summary": operation.summary,
        "tags": [operation.service],
        "x-permission": operation.access.rule(),
        "parameters": parameters(operation),
        "responses": responses(operation, schemas),
    });
    if !operation.description.is_empty() {
        entry["description"] = json!(operation.description);
    }
    entry["security"] = match operation.access {
        Access::Public => json!([]),
        Access::Operator => json!([{ "operator": [] }]),
        Access::Platform(_) | Access::OperatorOr(_) => json!([{ "bearer": [] }, { "operator": [] }]),
        _ => json!([{ "bearer": [] }]),
    };
    if let Some(body) = operation.body {
        let mut media = json!({ "schema": body(schemas) });
        if let Some(example) = operation.example.and_then(|text| serde_json::from_str::<Value>(text).ok()) {
            media["example"] = example;
        }
        entry["requestBody"] = json!({ "required": true, "content": { "application/json": media } });
    }
    if let Some(form) = operation.form {
        let media = json!({ "schema": form(schemas) });
        entry["requestBody"] = json!({ "required": true, "content": { "multipart/form-data": media } });
    }
    if operation.streams && operation.form.is_none() && operation.body.is_none() {
        let media = json!({ "schema": { "type": "string", "format": "binary" } });
        entry["requestBody"] = json!({ "required": true, "content": { "application/octet-stream": media } });
    }
    entry
}

fn parameters(operation: &Operation) -> Vec<Value> {
    let mut list: Vec<Value> = path_parameters(&operation.path)
        .map(|name| {
            let schema = if name == "id" || name.ends_with("Id") {
                json!({ "type": "string", "format": "uuid" })
            } else {
                json!({ "type": "string" })
            };
            json!({ "name": name, "in": "path", "required": true, "schema": schema })
        })
        .collect();
    if let Some(query) = operation.query {
        let mut own =
            SchemaGenerator::new(SchemaSettings::draft2020_12().with(|s| s.inline_subschemas = true));
        let schema = query(&mut own).to_value();
        let required: Vec<&str> =
            schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        for (name, member) in schema["properties"].as_object().into_iter().flatten() {
            let mut member = member.clone();
            let description = member.as_object_mut().and_then(|m| m.remove("description"));
            let mut parameter = json!({ "name": name, "in": "query", "required": required.contains(&name.as_str()), "schema": member });
            if let Some(description) = description {
                parameter["description"] = description;
            }
            list.push(parameter);
        }
    }
    match operation.repeat {
        Repeat::Harmless => {}
        Repeat::Welcome | Repeat::Required => list.push(json!({
            "name": "Idempotency-Key", "in": "header", "required": operation.repeat == Repeat::Required,
            "schema": { "type": "string", "format": "uuid" },
            "description": "Repeat the request with the same key to get the first answer again.",
        })),
    }
    list
}

/// The names in braces of a path.
pub fn path_parameters(path: &str) -> impl Iterator<Item = &str> {
    path.split('/')
        .filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'))
        .map(|name| name.trim_start_matches('*'))
}

fn responses(operation: &Operation, schemas: &mut SchemaGenerator) -> Value {
    let (status, answer) = operation.answer;
    let mut responses = Map::new();
    let mut success = json!({ "description": "Done." });
    if let Some(answer) = answer {
        success["content"] = json!({ "application/json": { "schema": answer(schemas) } });
    }
    responses.insert(status.to_string(), success);
    let mut slugs: Vec<Slug> = operation.problems.to_vec();
    if operation.body.is_some() {
        slugs.extend([
            Slug::ValidationError,
            Slug::MalformedJson,
            Slug::UnsupportedMediaType,
            Slug::PayloadTooLarge,
        ]);
    }
    if operation.query.is_some() {
        slugs.push(Slug::ValidationError);
    }
    match operation.access {
        Access::Public => {}
        Access::Authenticated => slugs.extend([Slug::Unauthorized, Slug::TokenExpired]),
        _ => slugs.extend([Slug::Unauthorized, Slug::TokenExpired, Slug::Forbidden]),
    }
    if operation.path.contains('{') {
        slugs.push(Slug::NotFound);
    }
    if operation.repeat != Repeat::Harmless {
        slugs.extend([Slug::IdempotencyInProgress, Slug::IdempotencyKeyReused]);
    }
    slugs.extend([Slug::RateLimited, Slug::Overloaded, Slug::DeadlineExceeded, Slug::Internal]);
    let mut by_status: BTreeMap<u16, Vec<&str>> = BTreeMap::new();
    for slug in slugs {
        let names = by_status.entry(slug.entry().status).or_default();
        if !names.contains(&slug.name()) {
            names.push(slug.name());
        }
    }
    for (status, names) in by_status {
        responses.insert(
            status.to_string(),
            json!({
                "description": names.join(", "),
                "content": { "application/problem+json": { "schema": { "$ref": "#/components/schemas/Problem" } } },
            }),
        );
    }
    Value::Object(responses)
}

fn problem_schema() -> Value {
    json!({
        "type": "object",
        "description": "What went wrong (RFC 9457).",
        "required": ["type", "title", "status", "traceId"],
        "properties": {
            "type": { "type": "string", "format": "uri" },
            "title": { "type": "string" },
            "status": { "type": "integer" },
            "detail": { "type": "string" },
            "instance": { "type": "string" },
            "traceId": { "type": "string" },
            "errors": { "type": "array", "items": {
                "type": "object",
                "required": ["field", "code", "message"],
                "properties": {
                    "field": { "type": "string" },
                    "code": { "type": "string", "enum": ["REQUIRED", "INVALID_FORMAT", "TOO_SHORT", "TOO_LONG",
                                                         "OUT_OF_RANGE", "UNKNOWN_FIELD", "NOT_ALLOWED"] },
                    "message": { "type": "string" },
                },
            } },
        },
    })
}
