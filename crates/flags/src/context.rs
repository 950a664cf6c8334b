use std::sync::OnceLock;

use serde_json::{Map, Value};

use crate::{jsonlogic::Node, moment::Moment};

/// Whom a flag is evaluated for: a key, and what is known beside it.
#[derive(Debug, Default)]
pub struct Context {
    key: String,
    attributes: Map<String, Value>,
    document: OnceLock<Node>,
}

/// The attribute that holds what clients tell GO Feature Flag itself.
const OWN: &str = "gofeatureflag";

impl Context {
    /// A context of this targeting key, which may be empty.
    pub fn new(key: impl Into<String>) -> Self {
        Self { key: key.into(), ..Self::default() }
    }

    /// A context as clients send it: attributes, the targeting key among them.
    pub fn of(attributes: Map<String, Value>) -> Self {
        let key = attributes.get("targetingKey").and_then(Value::as_str).unwrap_or_default().to_owned();
        Self { key, attributes, document: OnceLock::new() }
    }

    /// With one more attribute, in place of one of this name.
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.attributes.insert(name.to_owned(), value.into());
        self.document = OnceLock::new();
        self
    }

    /// Without an attribute.
    pub fn without(mut self, name: &str) -> Self {
        self.attributes.remove(name);
        self.document = OnceLock::new();
        self
    }

    /// The targeting key.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// The attributes.
    pub fn attributes(&self) -> &Map<String, Value> {
        &self.attributes
    }

    /// Whether it says that it is of nobody in particular.
    pub fn is_anonymous(&self) -> bool {
        self.attributes.get("anonymous") == Some(&Value::Bool(true))
    }

    /// The moment that the client wants to evaluate for.
    pub(crate) fn moment(&self) -> Option<Moment> {
        let text = self.attributes.get(OWN)?.get("currentDateTime")?.as_str()?;
        chrono::DateTime::parse_from_rfc3339(text).ok().map(|at| Moment(at.to_utc()))
    }

    /// The flags that a client wants of a request for all; empty: all.
    pub fn wanted(&self) -> Vec<&str> {
        let list = self.attributes.get(OWN).and_then(|own| own.get("flagList")).and_then(Value::as_array);
        list.map(|list| list.iter().filter_map(Value::as_str).collect()).unwrap_or_default()
    }

    /// Everything as JsonLogic sees it; `key`, `targetingKey` and `anonymous` are always ours.
    pub(crate) fn document(&self) -> &Node {
        self.document.get_or_init(|| {
            let mut all = self.attributes.clone();
            all.insert("key".to_owned(), self.key.clone().into());
            all.insert("targetingKey".to_owned(), self.key.clone().into());
            all.insert("anonymous".to_owned(), self.is_anonymous().into());
            Node::from(&Value::Object(all))
        })
    }
}
