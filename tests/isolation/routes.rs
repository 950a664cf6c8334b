//! From the operation table to addresses that can be asked.

use std::{collections::BTreeMap, sync::Arc};

use axum::http::Method;
use ports::http::{Access, Operation, Repeat};
use serde_json::Value;

use crate::{crm, messages};

/// One operation at one address: words such as a model's name are filled in, ids are open.
#[derive(Clone)]
pub struct Address {
    pub operation: Arc<Operation>,
    /// The path; ids still stand as `{name}`.
    template: String,
    /// A body that the operation takes.
    pub body: Option<Value>,
    /// Names of query parameters; true: it must be there.
    pub parameters: Vec<(String, bool)>,
}

/// An id that an address leaves open.
#[derive(Debug, Clone)]
pub struct Hole {
    /// The segment before it: `users` in `/users/{id}`.
    pub after: String,
}

/// The words that path parameters stand for, where they are no ids.
pub type Words = BTreeMap<String, Vec<String>>;

impl Address {
    /// As it is called in reports.
    pub fn label(&self) -> String {
        format!("{} {}", self.operation.method, self.template)
    }

    /// The path with its ids open.
    pub fn template(&self) -> &str {
        &self.template
    }

    pub fn is_get(&self) -> bool {
        self.operation.method == Method::GET
    }

    /// Whether it is a gRPC method.
    pub fn is_rpc(&self) -> bool {
        self.operation.rpc.is_some()
    }

    /// Whether it only tells: a GET, or a gRPC method that keeps no Idempotency-Key.
    pub fn only_tells(&self) -> bool {
        self.is_get() || (self.is_rpc() && self.operation.repeat == Repeat::Harmless)
    }

    /// Whether a role of the tenant decides.
    pub fn is_by_permission(&self) -> bool {
        matches!(
            self.operation.access,
            Access::Permission(_) | Access::PathPermission(_) | Access::OperatorOr(_)
        )
    }

    /// Whether no role of a tenant reaches it.
    pub fn is_above_tenants(&self) -> bool {
        matches!(self.operation.access, Access::Platform(_) | Access::Operator)
    }

    pub fn is_public(&self) -> bool {
        matches!(self.operation.access, Access::Public)
    }

    /// Whether any column can be asked for in the query.
    pub fn filters_columns(&self) -> bool {
        matches!(self.operation.access, Access::PathPermission(_))
            && self.parameters.iter().any(|(name, _)| name == "or")
    }

    /// The ids it leaves open, in order.
    pub fn holes(&self) -> Vec<Hole> {
        let mut before = "";
        let mut holes = Vec::new();
        for segment in self.template.split('/') {
            match parameter(segment) {
                Some(_) => holes.push(Hole { after: before.to_owned() }),
                None => before = segment,
            }
        }
        holes
    }

    /// The path with its ids filled in, one for each hole.
    pub fn filled<T: ToString>(&self, ids: &[T]) -> String {
        let mut ids = ids.iter();
        let segments = self.template.split('/').map(|segment| match parameter(segment) {
            Some(_) => ids.next().expect("an id for each hole").to_string(),
            None => segment.to_owned(),
        });
        segments.collect::<Vec<_>>().join("/")
    }

    /// The query without which the operation refuses at once.
    pub fn needed(&self) -> String {
        let needed = self.parameters.iter().filter(|(_, needed)| *needed);
        needed.map(|(name, _)| format!("{name}=10")).collect::<Vec<_>>().join("&")
    }
}

fn parameter(segment: &str) -> Option<&str> {
    segment.strip_prefix('{')?.strip_suffix('}').map(|name| name.trim_start_matches('*'))
}

/// Every operation at every address that the words make of it. `document` is the API's description.
pub fn addresses(operations: &[Arc<Operation>], words: &Words, document: &Value) -> Vec<Address> {
    let mut found = Vec::new();
    for operation in operations {
        let parameters = parameters(operation, document);
        for template in templates(&operation.path, words) {
            let example =
                operation.example.map(|text| serde_json::from_str(text).expect("examples are JSON"));
            let body = match &operation.rpc {
                Some(_) => Some(messages::body(&template, operation.example)),
                None => crm::body_for(operation, &template).or(example),
            };
            found.push(Address {
                operation: Arc::clone(operation),
                template,
                body,
                parameters: parameters.clone(),
            });
        }
    }
    found
}

fn templates(path: &str, words: &Words) -> Vec<String> {
    let mut made = vec![Vec::new()];
    for segment in path.split('/') {
        let choices = match parameter(segment).and_then(|name| words.get(name)) {
            Some(words) => words.clone(),
            None => vec![segment.to_owned()],
        };
        made = made
            .into_iter()
            .flat_map(|start| {
                choices.iter().map(move |choice| {
                    let mut longer = start.clone();
                    longer.push(choice.clone());
                    longer
                })
            })
            .collect();
    }
    made.into_iter().map(|segments| segments.join("/")).collect()
}

fn parameters(operation: &Operation, document: &Value) -> Vec<(String, bool)> {
    let path = operation.path.replace("{*", "{");
    let described = &document["paths"][path][operation.method.as_str().to_ascii_lowercase()]["parameters"];
    let listed = described.as_array().map(Vec::as_slice).unwrap_or_default();
    let in_query = listed.iter().filter(|parameter| parameter["in"] == "query");
    let named = in_query.map(|parameter| {
        let name = parameter["name"].as_str().expect("parameters have names").to_owned();
        (name, parameter["required"] == true)
    });
    named.collect()
}
