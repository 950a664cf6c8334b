use std::{
    net::{IpAddr, SocketAddr},
    ops::ControlFlow,
};

use http::HeaderMap;

use super::Step;
use crate::visit::{Arrival, Origin, Response};

/// Entries of `X-Forwarded-For` that are looked at, from the right.
const HOPS: usize = 32;

/// Finds out who is at the other end. Forwarded headers count only as far as trusted proxies wrote them.
#[derive(Clone, Copy)]
pub(crate) struct RealAddress;

impl Step for RealAddress {
    async fn enter(self, arrival: &mut Arrival) -> ControlFlow<Response> {
        let visit = &arrival.visit;
        let trusted =
            |address| visit.core.settings.trusted_proxies.iter().any(|network| network.contains(address));
        let origin = match visit.peer {
            Some(peer) if trusted(peer) => {
                let headers = arrival.request.headers();
                let address = real_address(peer, trusted, forwarded_for(headers));
                Origin { address: Some(address), https: forwarded_https(headers).unwrap_or(visit.tls) }
            }
            peer => Origin { address: peer, https: visit.tls },
        };
        visit.client.get_or_init(|| origin);
        ControlFlow::Continue(())
    }
}

/// The entries of `X-Forwarded-For`, from the proxy nearest to us to the farthest.
fn forwarded_for(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    let lines = headers.get_all("x-forwarded-for").into_iter().rev();
    lines.flat_map(|line| line.to_str().unwrap_or("?").rsplit(',')).map(str::trim)
}

/// The address that the farthest trusted proxy saw. What stands to the left of it is what the client claims.
fn real_address<'a>(
    peer: IpAddr,
    trusted: impl Fn(IpAddr) -> bool,
    forwarded: impl Iterator<Item = &'a str>,
) -> IpAddr {
    let mut address = peer;
    for entry in forwarded.take(HOPS) {
        if !trusted(address) {
            break;
        }
        // Whoever wrote something else than an address is the last one who can be believed.
        let Some(next) = read_address(entry) else { break };
        address = next;
    }
    address
}

/// An address as proxies write it: with or without port, IPv6 with or without brackets.
fn read_address(text: &str) -> Option<IpAddr> {
    let address = text
        .parse::<IpAddr>()
        .ok()
        .or_else(|| text.parse::<SocketAddr>().ok().map(|with_port| with_port.ip()));
    let address = address.or_else(|| text.strip_prefix('[')?.strip_suffix(']')?.parse().ok());
    address.map(|address| address.to_canonical())
}

/// What the nearest proxy says about the client's scheme.
fn forwarded_https(headers: &HeaderMap) -> Option<bool> {
    let last = headers.get_all("x-forwarded-proto").into_iter().next_back()?.to_str().ok()?;
    let nearest = last.rsplit(',').next()?.trim();
    Some(nearest.eq_ignore_ascii_case("https"))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use kernel::config::Network;

    use super::*;
    use crate::{layers::through, tests::gateway};

    fn seen(peer: &str, lines: &[&str]) -> String {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append("x-forwarded-for", line.parse().unwrap());
        }
        let trusted = ["10.0.0.0/8", "2001:db8::/32"].map(|text| Network::parse(text).unwrap());
        let trusts = |address| trusted.iter().any(|network| network.contains(address));
        real_address(peer.parse().unwrap(), trusts, forwarded_for(&headers)).to_string()
    }

    #[test]
    fn the_client_is_whom_the_farthest_trusted_proxy_saw() {
        assert_eq!(seen("10.0.0.1", &["192.0.2.7"]), "192.0.2.7");
        assert_eq!(seen("10.0.0.1", &["192.0.2.7, 10.0.0.9"]), "192.0.2.7");
        assert_eq!(seen("10.0.0.1", &["192.0.2.7", "10.0.0.9"]), "192.0.2.7", "two lines are one list");
        assert_eq!(seen("10.0.0.1", &["192.0.2.7:4711"]), "192.0.2.7");
        assert_eq!(seen("2001:db8::1", &["[2a00::7]:4711"]), "2a00::7");
        assert_eq!(seen("10.0.0.1", &["[2a00::7]"]), "2a00::7");
        assert_eq!(seen("10.0.0.1", &["::ffff:192.0.2.7"]), "192.0.2.7");
        assert_eq!(seen("10.0.0.1", &[]), "10.0.0.1");
    }

    #[test]
    fn a_spoofed_entry_is_not_believed() {
        assert_eq!(seen("192.0.2.66", &["127.0.0.1"]), "192.0.2.66", "the peer is no proxy of ours");
        assert_eq!(
            seen("10.0.0.1", &["127.0.0.1, 192.0.2.66"]),
            "192.0.2.66",
            "the client wrote the left one"
        );
        assert_eq!(seen("10.0.0.1", &["10.0.0.2, 192.0.2.66"]), "192.0.2.66", "also when it looks like ours");
        assert_eq!(seen("10.0.0.1", &["127.0.0.1, unknown"]), "10.0.0.1");
        assert_eq!(seen("10.0.0.1", &["127.0.0.1", ""]), "10.0.0.1");
        let long = vec!["10.0.0.3"; 200].join(",");
        assert_eq!(
            seen("10.0.0.1", &[&format!("192.0.2.7,{long}")]),
            "10.0.0.3",
            "a list without end is cut"
        );
    }

    #[tokio::test]
    async fn the_scheme_is_believed_from_trusted_proxies_only() {
        let origin = async |peer: &str| {
            let request = http::Request::get("/").header("x-forwarded-proto", "http, https");
            let mut arrival = gateway().await.arrival(request.header("x-forwarded-for", "192.0.2.7"));
            let visit = Arc::get_mut(&mut arrival.visit).unwrap();
            visit.peer = Some(peer.parse().unwrap());
            let visit = Arc::clone(&arrival.visit);
            through(RealAddress, arrival, |_| Response::default()).await;
            visit.origin()
        };
        let (proxy, stranger) = (origin("10.1.1.1").await, origin("192.0.2.1").await);
        assert_eq!(proxy, Origin { address: Some([192, 0, 2, 7].into()), https: true });
        assert_eq!(stranger, Origin { address: Some([192, 0, 2, 1].into()), https: false });
    }
}
