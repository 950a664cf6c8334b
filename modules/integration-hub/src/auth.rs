//! Proving to a provider who sends a request.

use std::time::{SystemTime, UNIX_EPOCH};

use http::{HeaderName, HeaderValue, Request, Uri, header};
use kernel::{Error, Result};
use ring::{digest, hmac};

use crate::credentials::{Credentials, Place, basic};

/// The headers of a signed request.
const KEY_ID: HeaderName = HeaderName::from_static("x-key-id");
const TIMESTAMP: HeaderName = HeaderName::from_static("x-timestamp");
const SIGNATURE: HeaderName = HeaderName::from_static("x-signature");

/// Adds what the credentials say; `token` is the one that was fetched, if they say to fetch one.
pub(crate) fn sign(
    request: &mut Request<bytes::Bytes>,
    credentials: &Credentials,
    token: Option<&str>,
) -> Result<()> {
    match credentials {
        Credentials::ApiKey { key, name, place: Place::Header } => {
            let name = HeaderName::try_from(name.as_str()).map_err(Error::internal)?;
            request.headers_mut().insert(name, secret(key.expose())?);
        }
        Credentials::ApiKey { key, name, place: Place::Query } => {
            *request.uri_mut() = with_parameter(request.uri(), name, key.expose())?;
        }
        Credentials::Bearer { token } => authorize(request, &format!("Bearer {}", token.expose()))?,
        Credentials::OAuth2(_) => authorize(request, &format!("Bearer {}", token.unwrap_or_default()))?,
        Credentials::Basic { username, password } => {
            authorize(request, &format!("Basic {}", basic(username, password)))?;
        }
        Credentials::Hmac { key_id, secret: key } => {
            // The other end compares with its own clock: real time.
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
            let signature = signature(key.expose(), now, request);
            let headers = request.headers_mut();
            if let Some(id) = key_id {
                headers.insert(KEY_ID, HeaderValue::from_str(id).map_err(Error::internal)?);
            }
            headers.insert(TIMESTAMP, HeaderValue::from(now));
            headers.insert(SIGNATURE, secret(&signature)?);
        }
    }
    Ok(())
}

fn authorize(request: &mut Request<bytes::Bytes>, value: &str) -> Result<()> {
    request.headers_mut().insert(header::AUTHORIZATION, secret(value)?);
    Ok(())
}

/// A header's value that the dialler takes off when a redirect leads to another host.
fn secret(text: &str) -> Result<HeaderValue> {
    let mut value = HeaderValue::from_str(text).map_err(Error::internal)?;
    value.set_sensitive(true);
    Ok(value)
}

fn with_parameter(uri: &Uri, name: &str, value: &str) -> Result<Uri> {
    let pair = form_urlencoded::Serializer::new(String::new()).append_pair(name, value).finish();
    let joint = if uri.query().is_some() { '&' } else { '?' };
    format!("{uri}{joint}{pair}").parse().map_err(Error::internal)
}

/// Hex HMAC-SHA-256 over timestamp, method, path with query, and the hex SHA-256 of the body, a line each.
fn signature(key: &str, timestamp: u64, request: &Request<bytes::Bytes>) -> String {
    let path = request.uri().path_and_query().map_or("/", |whole| whole.as_str());
    let body = hex(digest::digest(&digest::SHA256, request.body()).as_ref());
    let text = format!("{timestamp}\n{}\n{path}\n{body}", request.method());
    let key = hmac::Key::new(hmac::HMAC_SHA256, key.as_bytes());
    hex(hmac::sign(&key, text.as_bytes()).as_ref())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |text, byte| format!("{text}{byte:02x}"))
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use kernel::Secret;

    use super::*;

    fn signed(credentials: &Credentials, token: Option<&str>) -> Request<Bytes> {
        let mut request =
            Request::post("https://a.example/v1?x=1").body(Bytes::from_static(b"body")).unwrap();
        sign(&mut request, credentials, token).unwrap();
        request
    }

    #[test]
    fn credentials_stand_where_they_belong_and_are_marked_as_secret() {
        let key = |place| Credentials::ApiKey { key: Secret::new("k y"), name: "X-Key".into(), place };
        assert_eq!(signed(&key(Place::Header), None).headers()["x-key"], "k y");
        assert_eq!(signed(&key(Place::Query), None).uri(), "https://a.example/v1?x=1&X-Key=k+y");
        let bearer = signed(&Credentials::Bearer { token: Secret::new("t") }, None);
        assert_eq!(bearer.headers()["authorization"], "Bearer t");
        let basic = Credentials::Basic { username: "Aladdin".into(), password: Secret::new("open sesame") };
        let basic = signed(&basic, None);
        assert_eq!(basic.headers()["authorization"], "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==");
        assert!(basic.headers()["authorization"].is_sensitive());
    }

    #[test]
    fn a_signature_can_be_checked_by_the_other_end() {
        let request =
            signed(&Credentials::Hmac { key_id: Some("id".into()), secret: Secret::new("s") }, None);
        let timestamp = request.headers()["x-timestamp"].to_str().unwrap();
        // sha256("body")
        let body = "230d8358dc8e8890b4c58deeb62912ee2f20357ae92a5cc861b98e68fe31acb5";
        let text = format!("{timestamp}\nPOST\n/v1?x=1\n{body}");
        let key = hmac::Key::new(hmac::HMAC_SHA256, b"s");
        assert_eq!(request.headers()["x-signature"], hex(hmac::sign(&key, text.as_bytes()).as_ref()));
        assert_eq!(request.headers()["x-key-id"], "id");
    }
}
