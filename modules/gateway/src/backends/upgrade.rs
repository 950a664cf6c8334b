//! Websockets and other protocols that a client and a back-end agree upon.

use http::{HeaderMap, HeaderValue, Version, header};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use kernel::RequestId;

use crate::{traffic::Traffic, visit::Request};

/// The protocol that a request asks to switch to. Only HTTP/1.1 can.
pub(super) fn asked(request: &Request) -> Option<HeaderValue> {
    let names_upgrade = |value: &HeaderValue| {
        value
            .to_str()
            .is_ok_and(|text| text.split(',').any(|name| name.trim().eq_ignore_ascii_case("upgrade")))
    };
    let asks = request.version() == Version::HTTP_11
        && request.headers().get_all(header::CONNECTION).iter().any(names_upgrade);
    // HTTP/2 over an upgrade would go past every layer.
    let other_than_http =
        |value: &&HeaderValue| !value.to_str().is_ok_and(|text| text.to_ascii_lowercase().contains("h2c"));
    request.headers().get(header::UPGRADE).filter(|_| asks).filter(other_than_http).cloned()
}

/// Sets the two headers of a switch.
pub(super) fn ask(headers: &mut HeaderMap, protocol: Option<&HeaderValue>) {
    if let Some(protocol) = protocol {
        headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(header::UPGRADE, protocol.clone());
    }
}

/// Carries bytes between the two ends until one closes or the sandbox drains.
pub(super) fn join(client: OnUpgrade, backend: OnUpgrade, traffic: Traffic, request: RequestId) {
    let under_way = traffic.stream();
    tokio::spawn(async move {
        let _under_way = under_way;
        let carried = async {
            let (client, backend) = tokio::try_join!(client, backend).map_err(std::io::Error::other)?;
            tokio::io::copy_bidirectional(&mut TokioIo::new(client), &mut TokioIo::new(backend)).await
        };
        tokio::select! {
            ended = carried => {
                if let Err(error) = ended {
                    tracing::debug!(request_id = %request, %error, "an upgraded connection ended early");
                }
            }
            () = traffic.streams_are_cut() => {}
        }
    });
}

#[cfg(test)]
mod tests {
    use axum::body::Body;

    use super::*;

    fn request(version: Version, connection: &str, upgrade: &str) -> Request {
        let request = http::Request::get("/ws").version(version);
        request.header("connection", connection).header("upgrade", upgrade).body(Body::empty()).unwrap()
    }

    #[test]
    fn a_switch_is_asked_for_with_both_headers() {
        assert_eq!(
            asked(&request(Version::HTTP_11, "keep-alive, Upgrade", "websocket")).unwrap(),
            "websocket"
        );
        assert_eq!(asked(&request(Version::HTTP_11, "keep-alive", "websocket")), None);
        assert_eq!(asked(&request(Version::HTTP_10, "upgrade", "websocket")), None);
        assert_eq!(asked(&request(Version::HTTP_11, "upgrade", "h2c")), None);
    }
}
