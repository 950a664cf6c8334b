//! Messages for gRPC methods, made from their descriptors: a new method is in the suite without anyone adding it.

use prost_reflect::{Kind, MessageDescriptor};
use serde_json::{Map, Value, json};

/// An id that is nobody's.
const NOBODYS: &str = "00000000-0000-7000-8000-00000000000f";
/// How deep messages in messages are filled.
const DEPTH: usize = 3;

/// A message that a method takes, in protobuf's JSON form: every reference has an id, every list an entry. What the
/// method needs beyond that, its example says.
pub fn body(path: &str, example: Option<&str>) -> Value {
    let mut body = filled(&testkit::method(path).input(), DEPTH);
    if let Some(example) = example {
        let example: Map<String, Value> = serde_json::from_str(example).expect("examples are JSON objects");
        body.extend(example);
    }
    Value::Object(body)
}

fn filled(message: &MessageDescriptor, depth: usize) -> Map<String, Value> {
    let mut members = Map::new();
    for field in message.fields().filter(|field| !field.is_map()) {
        let reference = ["id", "ids"].iter().any(|end| field.name().rsplit('_').next() == Some(end));
        let value = match field.kind() {
            Kind::String if reference => json!(NOBODYS),
            Kind::String if field.is_list() => json!("things.read"),
            Kind::Message(inner) if depth > 0 && !inner.full_name().starts_with("google.") => {
                Value::Object(filled(&inner, depth - 1))
            }
            _ => continue,
        };
        let value = if field.is_list() { json!([value]) } else { value };
        members.insert(field.json_name().to_owned(), value);
    }
    members
}
