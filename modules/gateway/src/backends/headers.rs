//! Which headers cross between a client and a back-end, and to which address a request goes on.

use http::{HeaderMap, HeaderName, HeaderValue, Uri, header, uri::PathAndQuery};
use kernel::{Ctx, Secret};

/// Headers of one connection, not of the message (RFC 9110 §7.6.1).
const HOP_BY_HOP: [&str; 9] = [
    "connection",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// What a client must not be able to tell a back-end: who it is, and by which way it came. `Expect` is answered here.
const OF_THE_CLIENT: [&str; 13] = [
    "authorization",
    "x-api-key",
    "cookie",
    "x-user-id",
    "x-tenant-id",
    "x-request-id",
    "traceparent",
    "tracestate",
    "forwarded",
    "x-real-ip",
    "via",
    "expect",
    "host",
];
const OF_THE_CLIENT_PREFIXES: [&str; 2] = ["x-kernel-", "x-forwarded-"];

/// What a back-end must not be able to set on our own host: its answers come from the console's origin.
const OF_THE_BACKEND: [&str; 8] = [
    "set-cookie",
    "strict-transport-security",
    "clear-site-data",
    "service-worker-allowed",
    "alt-svc",
    "x-request-id",
    "traceparent",
    "www-authenticate",
];
const OF_THE_BACKEND_PREFIXES: [&str; 2] = ["x-kernel-", "access-control-"];

/// Answers of a back-end that are opened in a browser run no script of this origin.
const SANDBOXED: HeaderValue =
    HeaderValue::from_static("sandbox; default-src 'none'; frame-ancestors 'self'");

/// Makes the headers of a client's request those of the request to a back-end.
pub(super) fn to_backend(headers: &mut HeaderMap, cx: &Ctx, token: &Secret, https: bool) {
    strip_hop_by_hop(headers);
    let host = headers.get(header::HOST).cloned();
    strip(headers, &OF_THE_CLIENT, &OF_THE_CLIENT_PREFIXES);
    let mut set = |name: &'static str, value: Option<HeaderValue>| {
        if let Some(value) = value {
            headers.insert(HeaderName::from_static(name), value);
        }
    };
    let text = |text: String| HeaderValue::from_str(&text).ok();
    let secret = HeaderValue::from_str(token.expose()).ok().map(|mut value| {
        value.set_sensitive(true);
        value
    });
    set("x-kernel-module-token", secret);
    set("x-user-id", cx.actor().user().and_then(|user| text(user.to_string())));
    set("x-tenant-id", cx.caller().tenant.and_then(|tenant| text(tenant.to_string())));
    set("x-request-id", text(cx.request().to_string()));
    set("traceparent", text(cx.trace().traceparent()));
    set("x-forwarded-for", cx.client().address.and_then(|address| text(address.to_string())));
    set("x-forwarded-proto", Some(HeaderValue::from_static(if https { "https" } else { "http" })));
    let host = cx.client().host.as_deref().and_then(|host| HeaderValue::from_str(host).ok()).or(host);
    set("x-forwarded-host", host);
}

/// Makes the headers of a back-end's answer those of the answer to the client.
pub(super) fn to_client(headers: &mut HeaderMap) {
    strip_hop_by_hop(headers);
    strip(headers, &OF_THE_BACKEND, &OF_THE_BACKEND_PREFIXES);
    headers.insert(header::CONTENT_SECURITY_POLICY, SANDBOXED);
}

fn strip_hop_by_hop(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    for name in named {
        headers.remove(name);
    }
    for name in HOP_BY_HOP {
        headers.remove(name);
    }
}

fn strip(headers: &mut HeaderMap, names: &[&'static str], prefixes: &[&str]) {
    for name in names {
        headers.remove(*name);
    }
    let begins = |name: &HeaderName| prefixes.iter().any(|prefix| name.as_str().starts_with(prefix));
    let found: Vec<HeaderName> = headers.keys().filter(|name| begins(name)).cloned().collect();
    for name in found {
        headers.remove(name);
    }
}

/// The address on the back-end: its base, then the path, then the query.
pub(super) fn target(base: &Uri, path: &str, query: Option<&str>) -> Option<Uri> {
    let mut parts = base.clone().into_parts();
    let mut text = format!("{}{path}", base.path().trim_end_matches('/'));
    if let Some(query) = query {
        text.push('?');
        text.push_str(query);
    }
    parts.path_and_query = Some(text.parse::<PathAndQuery>().ok()?);
    Uri::from_parts(parts).ok()
}

#[cfg(test)]
mod tests {
    use std::{net::IpAddr, sync::Arc};

    use kernel::{Actor, Caller, Client, Clock, SandboxName, SessionId, TenantId, UserId};

    use super::*;

    fn cx(user: UserId, tenant: TenantId) -> Ctx {
        let actor = Actor::User { id: user, session: SessionId::new(), email: "ada@example.com".into() };
        let address = Some(IpAddr::from([192, 0, 2, 7]));
        Ctx::build(SandboxName::default_sandbox(), Clock::real())
            .caller(Caller { tenant: Some(tenant), actor, permissions: Arc::default() })
            .client(Client { address, agent: None, host: Some("acme.localhost:8080".into()) })
            .finish()
    }

    fn map(pairs: &[(&str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(name.parse::<HeaderName>().unwrap(), value.parse().unwrap());
        }
        headers
    }

    #[test]
    fn a_client_can_not_say_who_it_is() {
        let mut headers = map(&[
            ("authorization", "Bearer secret"),
            ("cookie", "pk_operator=secret"),
            ("x-user-id", "somebody else"),
            ("x-user-id", "twice"),
            ("x-tenant-id", "another"),
            ("x-request-id", "mine"),
            ("x-kernel-module-token", "forged"),
            ("x-kernel-sandbox", "other"),
            ("x-forwarded-for", "127.0.0.1"),
            ("x-forwarded-prefix", "/x"),
            ("forwarded", "for=127.0.0.1"),
            ("traceparent", "00-1-1-01"),
            ("tracestate", "a=b"),
            ("host", "acme.localhost:8080"),
            ("connection", "keep-alive, X-Secret-Hop"),
            ("x-secret-hop", "1"),
            ("te", "trailers"),
            ("transfer-encoding", "chunked"),
            ("upgrade", "websocket"),
            ("proxy-authorization", "Basic x"),
            ("content-type", "application/json"),
            ("idempotency-key", "k"),
            ("if-match", "\"v1\""),
        ]);
        let (user, tenant) = (UserId::new(), TenantId::new());
        let cx = cx(user, tenant);
        to_backend(&mut headers, &cx, &Secret::new("token"), true);
        let mut left: Vec<_> =
            headers.iter().map(|(n, v)| (n.as_str(), v.to_str().unwrap().to_owned())).collect();
        left.sort();
        let expected = [
            ("content-type", "application/json".to_owned()),
            ("idempotency-key", "k".to_owned()),
            ("if-match", "\"v1\"".to_owned()),
            ("traceparent", cx.trace().traceparent()),
            ("x-forwarded-for", "192.0.2.7".to_owned()),
            ("x-forwarded-host", "acme.localhost:8080".to_owned()),
            ("x-forwarded-proto", "https".to_owned()),
            ("x-kernel-module-token", "token".to_owned()),
            ("x-request-id", cx.request().to_string()),
            ("x-tenant-id", tenant.to_string()),
            ("x-user-id", user.to_string()),
        ];
        assert_eq!(left, expected);
        assert!(headers["x-kernel-module-token"].is_sensitive());
    }

    #[test]
    fn a_backend_can_not_act_for_our_host() {
        let mut headers = map(&[
            ("set-cookie", "pk_operator=mine"),
            ("set-cookie", "b=c"),
            ("strict-transport-security", "max-age=1"),
            ("access-control-allow-origin", "*"),
            ("content-security-policy", "default-src *"),
            ("content-security-policy", "script-src *"),
            ("connection", "close"),
            ("content-type", "text/html"),
            ("etag", "\"v1\""),
        ]);
        to_client(&mut headers);
        let mut names: Vec<_> = headers.keys().map(HeaderName::as_str).collect();
        names.sort_unstable();
        assert_eq!(names, ["content-security-policy", "content-type", "etag"]);
        let policies: Vec<_> = headers.get_all("content-security-policy").iter().collect();
        assert!(policies.len() == 1 && policies[0].to_str().unwrap().starts_with("sandbox"));
    }

    #[test]
    fn a_path_is_put_behind_the_base() {
        let uri = |base: &str, path: &str, query| {
            target(&base.parse().unwrap(), path, query).map(|uri| uri.to_string())
        };
        assert_eq!(uri("http://127.0.0.1:8095", "/a/b", None).as_deref(), Some("http://127.0.0.1:8095/a/b"));
        assert_eq!(
            uri("https://crm.internal/base/", "/a", Some("x=1")).as_deref(),
            Some("https://crm.internal/base/a?x=1")
        );
        assert_eq!(
            uri("http://127.0.0.1:8095", "/a//evil.example", None).as_deref(),
            Some("http://127.0.0.1:8095/a//evil.example")
        );
    }
}
