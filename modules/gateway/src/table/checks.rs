//! What an operation must say before it is served.

use std::collections::BTreeMap;

use http::Method;
use ports::http::{Access, Operation, Repeat, openapi::path_parameters};
use proto::Method as Contract;

/// Every mistake of the table, as sentences that name the operation and say what to do.
pub(super) fn mistakes(operations: &[&Operation]) -> Vec<String> {
    let mut found = Vec::new();
    let mut ids: BTreeMap<&str, &Operation> = BTreeMap::new();
    let mut addresses: BTreeMap<(&str, &str), &Operation> = BTreeMap::new();
    for operation in operations {
        found.extend(
            own_mistakes(operation).into_iter().map(|mistake| format!("{}: {mistake}", name(operation))),
        );
        if !operation.id.is_empty()
            && let Some(first) = ids.insert(operation.id, operation)
        {
            found.push(format!(
                "{} and {} have the same id {}; give each its own",
                name(first),
                name(operation),
                operation.id
            ));
        }
        if let Some(first) = addresses.insert((operation.path.as_str(), operation.method.as_str()), operation)
        {
            found.push(format!(
                "{} and {} have the same method and path; keep one",
                name(first),
                name(operation)
            ));
        }
    }
    found
}

/// How an operation is called in messages.
fn name(operation: &Operation) -> String {
    let id = if operation.id.is_empty() { "no id" } else { operation.id };
    format!("{} {} ({id}, {})", operation.method, operation.path, operation.service)
}

fn own_mistakes(operation: &Operation) -> Vec<String> {
    let mut found = Vec::new();
    let mut ensure = |fine: bool, mistake: &str| {
        if !fine {
            found.push(mistake.to_owned());
        }
    };
    let reads = operation.method == Method::GET;
    ensure(!operation.service.is_empty(), "names no service; make it with Routes::new");
    ensure(is_camel_case(operation.id), "needs an id in camelCase, like createWallet");
    ensure(!operation.summary.trim().is_empty(), "needs a summary, one line that says what it does");
    ensure(operation.path.starts_with('/'), "its path must begin with a slash");
    ensure(!operation.path.ends_with('/') || operation.path == "/", "its path must not end with a slash");
    ensure(segments_fit(&operation.path), "a part of its path must be text, {name}, or {*name} at the end");
    ensure(!has_twice(path_parameters(&operation.path)), "names a path parameter twice");
    ensure(!(reads && operation.body.is_some()), "GET takes no body; use query parameters or POST");
    ensure(
        !(reads && operation.repeat != Repeat::Harmless),
        "GET has no side effect and takes no Idempotency-Key",
    );
    ensure(
        operation.repeat != Repeat::Required
            || operation.method == Method::POST
            || operation.method == Method::PATCH,
        "an Idempotency-Key can be required of POST and PATCH only",
    );
    ensure(operation.body_limit > 0, "its body limit must be above 0");
    let fits = operation.answer.0 == 101 || (200..400).contains(&operation.answer.0);
    ensure(fits, "its status of success must be 101 or 200 to 399");
    if let Some(example) = operation.example {
        ensure(serde_json::from_str::<serde_json::Value>(example).is_ok(), "its example is not JSON");
        let takes_one = operation.body.is_some() || operation.form.is_some() || operation.rpc.is_some();
        ensure(takes_one, "has an example of a body and takes none");
    }
    match (&operation.rpc, Contract::at(&operation.path)) {
        (None, None) => {}
        (None, Some(_)) => ensure(false, "stands at a gRPC method; make it with Operation::rpc"),
        (Some(_), None) => ensure(false, "is in no contract of proto/; write it there first"),
        (Some(rpc), Some(method)) => {
            let fits = rpc.request == method.request && rpc.response == method.response;
            ensure(fits, "its handler takes or answers another message than its contract says");
            ensure(operation.method == Method::POST, "a gRPC method is a POST");
        }
    }
    match &operation.access {
        Access::Public | Access::Authenticated | Access::Operator => {}
        Access::Permission(permission) | Access::Platform(permission) | Access::OperatorOr(permission) => {
            ensure(is_permission(permission), "its permission must look like wallets.read");
        }
        Access::PathPermission(template) => {
            let names: Vec<&str> = path_parameters(&operation.path).collect();
            let placeholders =
                template.split('.').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
            let mut placeholders = placeholders.peekable();
            ensure(
                placeholders.peek().is_some(),
                "its path permission has no {parameter}; use a plain permission",
            );
            ensure(
                placeholders.all(|wanted| names.contains(&wanted)),
                "its permission uses a {parameter} that its path does not have",
            );
        }
    }
    found
}

fn is_camel_case(id: &str) -> bool {
    id.bytes().next().is_some_and(|b| b.is_ascii_lowercase()) && id.bytes().all(|b| b.is_ascii_alphanumeric())
}

fn is_permission(text: &str) -> bool {
    text.contains('.')
        && text.split('.').all(|part| {
            !part.is_empty()
                && part.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
        })
}

fn segments_fit(path: &str) -> bool {
    let mut segments = path.split('/').skip(1).peekable();
    while let Some(segment) = segments.next() {
        let plain = !segment.contains(['{', '}']);
        let parameter = segment.strip_prefix('{').and_then(|rest| rest.strip_suffix('}'));
        let fits = match parameter {
            _ if plain => !segment.is_empty() || segments.peek().is_none(),
            Some(name) => match name.strip_prefix('*') {
                Some(rest) => is_parameter(rest) && segments.peek().is_none(),
                None => is_parameter(name),
            },
            None => false,
        };
        if !fits {
            return false;
        }
    }
    true
}

fn is_parameter(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

fn has_twice<'a>(names: impl Iterator<Item = &'a str>) -> bool {
    let mut seen = Vec::new();
    names.into_iter().any(|name| {
        let again = seen.contains(&name);
        seen.push(name);
        again
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wallet() -> Operation {
        let operation = Operation::get("/wallets/{id}", "getWallet", Access::Permission("wallets.read"));
        Operation { service: "money", ..operation.summary("A wallet") }
    }

    fn told(operations: &[Operation]) -> String {
        mistakes(&operations.iter().collect::<Vec<_>>()).join("\n")
    }

    #[test]
    fn a_complete_operation_is_served() {
        assert_eq!(told(&[wallet()]), "");
    }

    #[test]
    fn two_with_one_id_or_one_address_are_both_named() {
        let other = Operation { path: "/api/v1/purses".into(), service: "billing", ..wallet() };
        let text = told(&[wallet(), other]);
        assert!(
            text.contains("same id getWallet") && text.contains("/api/v1/purses") && text.contains("billing"),
            "{text}"
        );
        let text = told(&[wallet(), Operation { id: "readWallet", ..wallet() }]);
        assert!(text.contains("same method and path") && text.contains("readWallet"), "{text}");
    }

    #[test]
    fn each_mistake_is_told_with_the_operation() {
        let post = Operation { method: Method::POST, ..wallet() };
        let with_body = wallet().body::<Vec<u8>>();
        for (operation, words) in [
            (Operation { id: "", ..wallet() }, "needs an id"),
            (Operation { id: "get_wallet", ..wallet() }, "camelCase"),
            (Operation { summary: " ", ..wallet() }, "needs a summary"),
            (Operation { service: "", ..wallet() }, "names no service"),
            (with_body, "GET takes no body"),
            (wallet().key_required(), "takes no Idempotency-Key"),
            (Operation { method: Method::DELETE, ..wallet() }.key_required(), "POST and PATCH only"),
            (Operation { path: "/api/v1/wallets/".into(), ..wallet() }, "must not end with a slash"),
            (Operation { path: "/api/v1/a-{id}".into(), ..wallet() }, "a part of its path"),
            (Operation { path: "/api/v1/{*all}/x".into(), ..wallet() }, "a part of its path"),
            (Operation { path: "/api/v1/{id}/{id}".into(), ..wallet() }, "twice"),
            (Operation { access: Access::Permission("wallets"), ..wallet() }, "must look like"),
            (Operation { access: Access::PathPermission("{module}.read"), ..wallet() }, "does not have"),
            (Operation { access: Access::PathPermission("wallets.read"), ..wallet() }, "no {parameter}"),
            (post.clone().body::<Vec<u8>>().example("{"), "not JSON"),
            (post.example("{}"), "takes none"),
            (Operation { body_limit: 0, ..wallet() }, "above 0"),
            (wallet().status(404), "200 to 399"),
            (Operation { rpc: Some(ports::http::Rpc::default()), ..wallet() }, "in no contract"),
        ] {
            let text = told(&[operation]);
            assert!(text.contains(words), "{words}: {text}");
            assert!(text.contains("/api/v1/"), "the operation is named: {text}");
        }
    }

    #[test]
    fn a_method_is_what_its_contract_says() {
        let method = |request: &str, response: &str| {
            let path = "/platform.iam.v1.IamService/GetUser";
            let operation = Operation::rpc(path, "getUserRpc", Access::Authenticated).summary("A user");
            let rpc = ports::http::Rpc { request: request.into(), response: response.into() };
            Operation { service: "iam", rpc: Some(rpc), ..operation }
        };
        let (request, response) = ("platform.iam.v1.GetUserRequest", "platform.iam.v1.User");
        assert_eq!(told(&[method(request, response)]), "");
        assert!(told(&[method(request, request)]).contains("another message"));
        assert!(told(&[method("", "")]).contains("another message"));
        assert!(told(&[Operation { rpc: None, ..method("", "") }]).contains("stands at a gRPC method"));
    }
}
