use std::net::IpAddr;

use http::{HeaderMap, HeaderValue, header};

use super::Step;
use crate::visit::{Response, Visit};

/// Headers that every answer carries.
#[derive(Clone, Copy)]
pub(crate) struct HeadersOut;

impl Step for HeadersOut {
    fn leave(self, visit: &Visit, mut response: Response) -> Response {
        let headers = response.headers_mut();
        harden(headers, strict_transport(visit));
        // The plan's is the narrower one, where there is one.
        if let Some(allowance) = visit.of_tenant.get().or(visit.of_address.get()) {
            allowance.tell(headers);
        }
        response
    }
}

fn strict_transport(visit: &Visit) -> bool {
    let name = visit.host.get().and_then(|host| host.name.as_deref());
    visit.origin().https && name.is_some_and(may_be_strict)
}

/// Whether browsers may be told to use nothing but TLS with this host. On localhost and bare addresses that would
/// break the developer's other ports.
pub(crate) fn may_be_strict(host: &str) -> bool {
    host != "localhost" && !host.ends_with(".localhost") && host.parse::<IpAddr>().is_err()
}

/// Sets what protects the reader of an answer and takes off what tells about us.
pub(crate) fn harden(headers: &mut HeaderMap, strict: bool) {
    headers.remove(header::SERVER);
    headers.remove("x-powered-by");
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    if strict {
        headers.insert(header::STRICT_TRANSPORT_SECURITY, HeaderValue::from_static("max-age=31536000"));
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::Arc, time::Duration};

    use super::*;
    use crate::{layers::through, rate::Allowance, tests::gateway, visit::AskedHost, visit::Origin};

    async fn headers(https: bool, name: &str) -> HeaderMap {
        let arrival = gateway().await.arrival(http::Request::get("/"));
        arrival.visit.client.get_or_init(|| Origin { address: None, https });
        arrival.visit.host.get_or_init(|| AskedHost { name: Some(name.into()), ..AskedHost::default() });
        let banner = |_| {
            let mut response = Response::default();
            response.headers_mut().insert("server", HeaderValue::from_static("crm/1.0"));
            response
        };
        through(HeadersOut, arrival, banner).await.headers().clone()
    }

    #[tokio::test]
    async fn an_answer_says_what_is_left() {
        let left = |limit| Allowance { limit, remaining: 1, resets_in: Duration::from_millis(1_001) };
        let told = async |address: bool, tenant: bool| {
            let arrival = gateway().await.arrival(http::Request::get("/"));
            let visit = Arc::clone(&arrival.visit);
            address.then(|| visit.of_address.get_or_init(|| left(20)));
            tenant.then(|| visit.of_tenant.get_or_init(|| left(5)));
            let headers = through(HeadersOut, arrival, |_| Response::default()).await.headers().clone();
            ["limit", "remaining", "reset"].map(|name| {
                let value = headers.get(format!("ratelimit-{name}"));
                value.map_or_else(String::new, |value| value.to_str().unwrap().to_owned())
            })
        };
        assert_eq!(told(true, false).await, ["20", "1", "2"]);
        assert_eq!(told(true, true).await, ["5", "1", "2"], "the tenant's is what counts");
        assert_eq!(told(false, false).await, ["", "", ""]);
    }

    #[tokio::test]
    async fn no_banner_goes_out_and_nothing_is_sniffed() {
        let headers = headers(false, "api.example.com").await;
        assert!(!headers.contains_key("server") && !headers.contains_key("strict-transport-security"));
        assert_eq!(headers["x-content-type-options"], "nosniff");
    }

    #[tokio::test]
    async fn tls_is_made_strict_for_real_hosts_only() {
        assert!(headers(true, "api.example.com").await.contains_key("strict-transport-security"));
        for name in ["localhost", "acme.localhost", "127.0.0.1", "::1"] {
            assert!(!headers(true, name).await.contains_key("strict-transport-security"), "{name}");
        }
    }
}
