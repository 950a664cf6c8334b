//! Schemas of event data: JSON Schema 2020-12 without what could make a check expensive or reach outside.

use std::sync::Arc;

use jsonschema::{PatternOptions, Validator};
use kernel::{Error, FieldCode, FieldError, Result};
use moka::sync::Cache;
use serde_json::{Map, Value};
use tokio::sync::Semaphore;
use uuid::Uuid;

/// Most bytes of a schema.
const MOST_BYTES: usize = 64 * 1024;
/// Most places of a schema once every reference is followed: bounds the work of a check.
const MOST_PLACES: usize = 2000;
const MOST_DEPTH: usize = 32;
/// Bounds the memory of one compiled pattern.
const PATTERN_BYTES: usize = 1 << 20;
/// Mistakes told of one event.
const MOST_MISTAKES: usize = 10;
/// Data from this size on is checked on a thread of its own.
const LARGE: usize = 16 * 1024;

/// Says something without checking anything.
const NOTES: [&str; 10] = [
    "$schema",
    "$comment",
    "title",
    "description",
    "default",
    "examples",
    "deprecated",
    "readOnly",
    "writeOnly",
    "$defs",
];
/// Checks by themselves.
const PLAIN: [&str; 19] = [
    "type",
    "required",
    "enum",
    "const",
    "minLength",
    "maxLength",
    "pattern",
    "format",
    "minimum",
    "maximum",
    "exclusiveMinimum",
    "exclusiveMaximum",
    "multipleOf",
    "minItems",
    "maxItems",
    "uniqueItems",
    "minProperties",
    "maxProperties",
    "dependentRequired",
];
/// Hold a schema.
const HOLDS_ONE: [&str; 3] = ["items", "additionalProperties", "not"];
/// Hold a list of schemas.
const HOLDS_LIST: [&str; 4] = ["anyOf", "allOf", "oneOf", "prefixItems"];

fn refuse(at: &str, code: FieldCode, message: impl Into<String>) -> Error {
    Error::field(at, code, message)
}

/// Checks that a schema is one we take. `at` is the pointer at which it stands in the body.
///
/// # Errors
/// `validation-error` with the place in the schema.
pub fn check(at: &str, schema: &Value) -> Result<()> {
    if schema.to_string().len() > MOST_BYTES {
        return Err(refuse(at, FieldCode::TooLong, format!("takes at most {MOST_BYTES} bytes")));
    }
    if schema.get("type").and_then(Value::as_str) != Some("object") {
        let message = "describes an object: its type is \"object\"";
        return Err(refuse(&format!("{at}/type"), FieldCode::InvalidFormat, message));
    }
    let empty = Map::new();
    let mut walk =
        Walk { defs: schema.get("$defs").and_then(Value::as_object).unwrap_or(&empty), places: 0, at };
    walk.visit(schema, at, &mut Vec::new(), 0)?;
    for (name, definition) in walk.defs {
        walk.visit(definition, &format!("{at}/$defs/{}", escape(name)), &mut vec![name.as_str()], 1)?;
    }
    compile(schema).map(|_| ()).map_err(|message| refuse(at, FieldCode::InvalidFormat, message))
}

fn escape(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

struct Walk<'a> {
    defs: &'a Map<String, Value>,
    places: usize,
    at: &'a str,
}

impl<'a> Walk<'a> {
    fn visit(&mut self, schema: &'a Value, at: &str, inside: &mut Vec<&'a str>, depth: usize) -> Result<()> {
        self.places += 1;
        if self.places > MOST_PLACES {
            let message = format!("has more than {MOST_PLACES} places once references are followed");
            return Err(refuse(self.at, FieldCode::TooLong, message));
        }
        if depth > MOST_DEPTH {
            return Err(refuse(at, FieldCode::TooLong, format!("is nested deeper than {MOST_DEPTH} levels")));
        }
        let members = match schema {
            Value::Bool(_) => return Ok(()),
            Value::Object(members) => members,
            _ => return Err(refuse(at, FieldCode::InvalidFormat, "is not a schema: an object or a boolean")),
        };
        for (name, value) in members {
            let at = format!("{at}/{}", escape(name));
            match name.as_str() {
                "$defs" if depth > 0 => {
                    return Err(refuse(&at, FieldCode::NotAllowed, "stands at the top only"));
                }
                name if NOTES.contains(&name) || PLAIN.contains(&name) => {}
                name if HOLDS_ONE.contains(&name) => self.visit(value, &at, inside, depth + 1)?,
                name if HOLDS_LIST.contains(&name) => {
                    for (index, part) in value.as_array().into_iter().flatten().enumerate() {
                        self.visit(part, &format!("{at}/{index}"), inside, depth + 1)?;
                    }
                }
                "properties" => {
                    for (property, part) in value.as_object().into_iter().flatten() {
                        self.visit(part, &format!("{at}/{}", escape(property)), inside, depth + 1)?;
                    }
                }
                "$ref" => self.follow(value, &at, inside, depth)?,
                _ => return Err(refuse(&at, FieldCode::UnknownField, "is not a keyword that is taken here")),
            }
        }
        Ok(())
    }

    fn follow(&mut self, target: &Value, at: &str, inside: &mut Vec<&'a str>, depth: usize) -> Result<()> {
        let name = target.as_str().and_then(|text| text.strip_prefix("#/$defs/"));
        let Some((name, definition)) = name.and_then(|name| self.defs.get_key_value(name)) else {
            return Err(refuse(at, FieldCode::NotAllowed, "refers to a member of $defs: \"#/$defs/…\""));
        };
        if inside.contains(&name.as_str()) {
            return Err(refuse(at, FieldCode::NotAllowed, "refers to itself; a schema here has an end"));
        }
        inside.push(name);
        self.visit(definition, at, inside, depth + 1)?;
        inside.pop();
        Ok(())
    }
}

/// Where a newer schema would break readers of the type, or replays of what was published under the older one. Members
/// may be added that nobody must give; notes may change; all else stays.
pub fn breaks(at: &str, old: &Value, new: &Value) -> Vec<FieldError> {
    let mut found = Vec::new();
    compare(at, old, new, &mut found);
    found
}

fn compare(at: &str, old: &Value, new: &Value, found: &mut Vec<FieldError>) {
    let (Some(old), Some(new)) = (old.as_object(), new.as_object()) else {
        if old != new {
            found.push(FieldError::new(at, FieldCode::NotAllowed, "may not change under the same type"));
        }
        return;
    };
    let empty = Value::Object(Map::new());
    for keyword in ["properties", "$defs"] {
        let old_members = old.get(keyword).unwrap_or(&empty).as_object();
        let new_members = new.get(keyword).unwrap_or(&empty).as_object();
        for (name, member) in old_members.into_iter().flatten() {
            let at = format!("{at}/{keyword}/{}", escape(name));
            match new_members.and_then(|members| members.get(name)) {
                Some(now) => compare(&at, member, now, found),
                None => found.push(FieldError::new(
                    at,
                    FieldCode::Required,
                    "may not disappear under the same type",
                )),
            }
        }
    }
    if old.get("items").is_some() || new.get("items").is_some() {
        let anything = Value::Bool(true);
        let (before, now) = (old.get("items").unwrap_or(&anything), new.get("items").unwrap_or(&anything));
        compare(&format!("{at}/items"), before, now, found);
    }
    let names: std::collections::BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    for name in names {
        let elsewhere = matches!(name.as_str(), "properties" | "items") || NOTES.contains(&name.as_str());
        let same = match name.as_str() {
            // Lists whose order says nothing.
            "required" | "enum" | "type" => as_set(old.get(name)) == as_set(new.get(name)),
            _ => old.get(name) == new.get(name),
        };
        if !elsewhere && !same {
            let at = format!("{at}/{}", escape(name));
            found.push(FieldError::new(at, FieldCode::NotAllowed, "may not change under the same type"));
        }
    }
}

fn as_set(list: Option<&Value>) -> std::collections::BTreeSet<String> {
    match list {
        Some(Value::Array(items)) => items.iter().map(Value::to_string).collect(),
        Some(other) => [other.to_string()].into(),
        None => [].into(),
    }
}

fn compile(schema: &Value) -> std::result::Result<Validator, String> {
    // `regex` takes time linear in the text, whatever the pattern.
    let patterns = PatternOptions::regex().size_limit(PATTERN_BYTES).dfa_size_limit(PATTERN_BYTES);
    let options =
        jsonschema::draft202012::options().with_pattern_options(patterns).should_validate_formats(true);
    options.build(schema).map_err(|error| format!("is not a JSON Schema: {error}"))
}

/// Compiled schemas. A version never changes, so what is kept stays right.
pub struct Validators {
    kept: Cache<Uuid, Arc<Validator>>,
    /// Threads that compile or check large data at a time.
    threads: Semaphore,
}

impl Validators {
    /// None yet; a thousand are kept.
    pub fn new() -> Self {
        Self { kept: Cache::new(1000), threads: Semaphore::new(2) }
    }

    /// The compiled schema, if it is kept.
    pub fn kept(&self, id: Uuid) -> Option<Arc<Validator>> {
        self.kept.get(&id)
    }

    /// Compiles a schema and keeps it.
    ///
    /// # Errors
    /// `internal`: it was checked when it was registered.
    pub async fn keep(&self, id: Uuid, schema: Value) -> Result<Arc<Validator>> {
        let compiled = self.aside(move || compile(&schema)).await?.map_err(Error::internal)?;
        let compiled = Arc::new(compiled);
        self.kept.insert(id, Arc::clone(&compiled));
        Ok(compiled)
    }

    /// Checks that a schema is one we take, where the time that needs hinders nobody.
    ///
    /// # Errors
    /// As [`check`].
    pub async fn check(&self, at: &'static str, schema: Value) -> Result<Value> {
        self.aside(move || check(at, &schema).map(|()| schema)).await?
    }

    /// Checks data; `at` is the pointer at which it stands in the body. Gives the data back.
    ///
    /// # Errors
    /// `validation-error` with up to ten places.
    pub async fn fit(&self, validator: Arc<Validator>, at: String, data: Value) -> Result<Value> {
        if data.to_string().len() < LARGE {
            return fit(&validator, &at, data);
        }
        self.aside(move || fit(&validator, &at, data)).await?
    }

    async fn aside<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T> {
        let _place = self.threads.acquire().await.map_err(Error::internal)?;
        tokio::task::spawn_blocking(work).await.map_err(Error::internal)
    }
}

fn fit(validator: &Validator, at: &str, data: Value) -> Result<Value> {
    let mistakes: Vec<FieldError> = validator
        .iter_errors(&data)
        .take(MOST_MISTAKES)
        .map(|error| {
            let code = match error.kind().keyword() {
                "required" => FieldCode::Required,
                "additionalProperties" => FieldCode::UnknownField,
                "enum" | "const" | "not" => FieldCode::NotAllowed,
                "minLength" | "minItems" | "minProperties" => FieldCode::TooShort,
                "maxLength" | "maxItems" | "maxProperties" => FieldCode::TooLong,
                "minimum" | "maximum" | "exclusiveMinimum" | "exclusiveMaximum" => FieldCode::OutOfRange,
                _ => FieldCode::InvalidFormat,
            };
            let message: String = error.masked().to_string().chars().take(300).collect();
            FieldError::new(format!("{at}{}", error.instance_path()), code, message)
        })
        .collect();
    if mistakes.is_empty() { Ok(data) } else { Err(Error::fields(mistakes)) }
}

#[cfg(test)]
#[path = "schema_tests.rs"]
mod tests;
