//! The operation table: every address of the sandbox, found by one look-up.

mod checks;

use std::sync::Arc;

use http::{HeaderValue, Method};
use ports::http::{Access, Operation};

use crate::{
    boot::BootError,
    metrics::{GRPC, Metrics, Series},
};

/// What answers an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Target {
    /// The service behind the link of this number.
    Service(usize),
    /// The back-end of the module that the path names.
    Modules,
}

/// One entry.
pub(crate) struct Entry {
    pub operation: Arc<Operation>,
    pub target: Target,
    pub series: Arc<Series>,
}

/// What stands at an address.
#[derive(Debug)]
pub(crate) enum Found {
    Operation(Matched),
    /// The address takes these methods.
    OtherMethods(HeaderValue),
    Nothing,
}

/// An operation that was found.
#[derive(Debug)]
pub(crate) struct Matched {
    /// Its number in the table.
    pub entry: usize,
    /// The permission that its path makes, for [`Access::PathPermission`].
    pub permission: Option<Box<str>>,
    /// What the `Allow` header of its address says.
    pub allow: HeaderValue,
}

/// All operations by address.
pub(crate) struct RouteTable {
    router: matchit::Router<Endpoint>,
    entries: Vec<Entry>,
    unmatched: Arc<Series>,
}

/// One address; the numbers of its operations by method.
struct Endpoint {
    get: Option<usize>,
    post: Option<usize>,
    put: Option<usize>,
    patch: Option<usize>,
    delete: Option<usize>,
    allow: HeaderValue,
}

impl RouteTable {
    /// Checks the operations and makes the table.
    ///
    /// # Errors
    /// Every mistake, naming the operations.
    pub(crate) fn create(
        operations: Vec<(Arc<Operation>, Target)>,
        metrics: &Metrics,
    ) -> Result<Self, BootError> {
        let bare: Vec<&Operation> = operations.iter().map(|(operation, _)| &**operation).collect();
        let mut mistakes = checks::mistakes(&bare);
        let mut router = matchit::Router::new();
        for (path, endpoint) in endpoints(&bare) {
            if let Err(error) = router.insert(path, endpoint) {
                mistakes.push(format!("{path} can't be routed: {error}; give one of them another path"));
            }
        }
        if !mistakes.is_empty() {
            return Err(BootError::new(mistakes));
        }
        let entries = operations.into_iter().map(|(operation, target)| {
            let method = if operation.rpc.is_some() { GRPC } else { operation.method.as_str() };
            let series = metrics.series(operation.service, method, &operation.path);
            Entry { operation, target, series }
        });
        let unmatched = metrics.series("gateway", "any", "unmatched");
        Ok(Self { router, entries: entries.collect(), unmatched })
    }

    pub(crate) fn entry(&self, number: usize) -> &Entry {
        &self.entries[number]
    }

    /// The counters of requests to addresses that are not in the table.
    pub(crate) fn unmatched(&self) -> &Series {
        &self.unmatched
    }

    pub(crate) fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// What stands at an address. HEAD is answered by GET.
    pub(crate) fn find(&self, method: &Method, path: &str) -> Found {
        let Ok(hit) = self.router.at(path) else { return Found::Nothing };
        let endpoint = hit.value;
        let Some(entry) = endpoint.number(method) else { return Found::OtherMethods(endpoint.allow.clone()) };
        let permission = match self.entries[entry].operation.access {
            Access::PathPermission(template) => match filled(template, |name| hit.params.get(name)) {
                Some(permission) => Some(permission),
                None => return Found::Nothing,
            },
            _ => None,
        };
        Found::Operation(Matched { entry, permission, allow: endpoint.allow.clone() })
    }
}

impl Endpoint {
    fn number(&self, method: &Method) -> Option<usize> {
        match *method {
            Method::GET | Method::HEAD => self.get,
            Method::POST => self.post,
            Method::PUT => self.put,
            Method::PATCH => self.patch,
            Method::DELETE => self.delete,
            _ => None,
        }
    }
}

/// The operations by path, in order of appearance.
fn endpoints<'a>(operations: &[&'a Operation]) -> Vec<(&'a str, Endpoint)> {
    let mut found: Vec<(&str, [Option<usize>; 5])> = Vec::new();
    for (number, operation) in operations.iter().enumerate() {
        let place = match operation.method {
            Method::GET => 0,
            Method::POST => 1,
            Method::PUT => 2,
            Method::PATCH => 3,
            _ => 4,
        };
        let at = found.iter().position(|(path, _)| *path == operation.path).unwrap_or_else(|| {
            found.push((&operation.path, [None; 5]));
            found.len() - 1
        });
        found[at].1[place] = Some(number);
    }
    let made = found.into_iter().map(|(path, [get, post, put, patch, delete])| {
        let names = [
            (get, "GET, HEAD"),
            (post, "POST"),
            (put, "PUT"),
            (patch, "PATCH"),
            (delete, "DELETE"),
            (Some(0), "OPTIONS"),
        ];
        let names: Vec<&str> =
            names.iter().filter(|(number, _)| number.is_some()).map(|(_, name)| *name).collect();
        let allow = HeaderValue::from_str(&names.join(", ")).unwrap_or(HeaderValue::from_static("OPTIONS"));
        (path, Endpoint { get, post, put, patch, delete, allow })
    });
    made.collect()
}

/// A permission out of a template and the parts of a path; none when a part can't stand in a permission: it must not
/// bring dots or wildcards of its own.
fn filled<'a>(template: &str, part: impl Fn(&str) -> Option<&'a str>) -> Option<Box<str>> {
    let mut text = String::with_capacity(template.len() + 16);
    let mut rest = template;
    while let Some((before, after)) = rest.split_once('{') {
        let (name, after) = after.split_once('}')?;
        let value = part(name)?;
        let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-');
        if value.is_empty() || !value.bytes().all(plain) {
            return None;
        }
        text.push_str(before);
        text.push_str(value);
        rest = after;
    }
    text.push_str(rest);
    Some(text.into_boxed_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> RouteTable {
        let operations = [
            Operation::get("/wallets/{id}", "getWallet", Access::Permission("wallets.read")).summary("a"),
            Operation::patch("/wallets/{id}", "updateWallet", Access::Permission("wallets.write"))
                .summary("a"),
            Operation::get(
                "/data/{module}/{model}",
                "listRecords",
                Access::PathPermission("{module}.{model}.read"),
            )
            .summary("a"),
            Operation::get("/data/{module}/{model}/schema", "getSchema", Access::Authenticated).summary("a"),
            Operation::get("/data/{module}/{model}/{id}", "getRecord", Access::Authenticated).summary("a"),
        ];
        let operations = operations
            .map(|operation| (Arc::new(Operation { service: "money", ..operation }), Target::Service(0)));
        RouteTable::create(operations.to_vec(), &Metrics::new()).unwrap()
    }

    fn id(table: &RouteTable, found: &Found) -> &'static str {
        match found {
            Found::Operation(matched) => table.entry(matched.entry).operation.id,
            Found::OtherMethods(_) => "other methods",
            Found::Nothing => "nothing",
        }
    }

    #[test]
    fn an_address_is_found_by_method_and_template() {
        let table = table();
        let find = |method: Method, path: &str| id(&table, &table.find(&method, path));
        assert_eq!(find(Method::GET, "/api/v1/wallets/7"), "getWallet");
        assert_eq!(find(Method::HEAD, "/api/v1/wallets/7"), "getWallet");
        assert_eq!(find(Method::PATCH, "/api/v1/wallets/7"), "updateWallet");
        assert_eq!(find(Method::GET, "/api/v1/data/crm/deals/schema"), "getSchema");
        assert_eq!(find(Method::GET, "/api/v1/data/crm/deals/1"), "getRecord");
        assert_eq!(find(Method::GET, "/api/v1/wallets/7/"), "nothing");
        assert_eq!(find(Method::GET, "/api/v1/nowhere"), "nothing");
        let Found::OtherMethods(allow) = table.find(&Method::PUT, "/api/v1/wallets/7") else {
            panic!("PUT is taken")
        };
        assert_eq!(allow, "GET, HEAD, PATCH, OPTIONS");
    }

    #[test]
    fn a_path_makes_a_permission_and_brings_no_wildcard() {
        let table = table();
        let permission = |path: &str| match table.find(&Method::GET, path) {
            Found::Operation(matched) => matched.permission.map(String::from),
            _ => None,
        };
        assert_eq!(permission("/api/v1/data/crm/deals").as_deref(), Some("crm.deals.read"));
        for path in
            ["/api/v1/data/*/deals", "/api/v1/data/crm.deals/x", "/api/v1/data/crm/%2A", "/api/v1/data/crm/ä"]
        {
            assert_eq!(permission(path), None, "{path}");
        }
    }
}
