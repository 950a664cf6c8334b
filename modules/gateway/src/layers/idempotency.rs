use std::ops::ControlFlow;

use http::{HeaderMap, Method};
use kernel::{Error, FieldCode, IdempotencyKey, Result, Slug};
use ports::http::Repeat;
use ring::digest::{Context, SHA256};
use uuid::Uuid;

use super::{Step, admit, body::Gathered};
use crate::visit::{Arrival, Response};

const HEADER: &str = "idempotency-key";

/// Checks the form of the Idempotency-Key and takes the request's fingerprint. Keeping answers is the transactions'
/// work, in the service.
#[derive(Clone, Copy)]
pub(crate) struct Idempotency;

impl Step for Idempotency {
    async fn enter(self, arrival: &mut Arrival) -> ControlFlow<Response> {
        admit(key_of(arrival).map(|key| {
            if let Some(key) = key {
                arrival.visit.idempotency.get_or_init(|| key);
            }
        }))
    }
}

fn key_of(arrival: &Arrival) -> Result<Option<IdempotencyKey>> {
    let repeat = arrival.visit.operation()?.operation.repeat;
    if repeat == Repeat::Harmless {
        return Ok(None);
    }
    let request = &arrival.request;
    let Some(key) = read(request.headers())? else {
        return match repeat {
            Repeat::Required => Err(Error::new(
                Slug::IdempotencyKeyRequired,
                "Send a fresh UUID in the Idempotency-Key header: this request moves money.",
            )),
            _ => Ok(None),
        };
    };
    let body = request.extensions().get::<Gathered>().map_or(&[][..], |gathered| &gathered.0);
    let (path, query) = (request.uri().path(), request.uri().query());
    Ok(Some(IdempotencyKey { key, fingerprint: fingerprint(request.method(), path, query, body) }))
}

fn read(headers: &HeaderMap) -> Result<Option<Uuid>> {
    let mut given = headers.get_all(HEADER).iter();
    let Some(value) = given.next() else { return Ok(None) };
    let text = value.to_str().ok().map(str::trim).filter(|text| text.len() == 36 && given.next().is_none());
    let key = text.and_then(|text| Uuid::try_parse(text).ok());
    key.map(Some).ok_or_else(|| {
        Error::field(
            "Idempotency-Key",
            FieldCode::InvalidFormat,
            "must be one UUID, as in 0198f0c4-7d55-7e10-8d4d-6b9c5f3e2a10",
        )
    })
}

/// SHA-256 over everything that makes two requests the same. Each part is preceded by its length, so that no two
/// different requests give the same bytes.
fn fingerprint(method: &Method, path: &str, query: Option<&str>, body: &[u8]) -> [u8; 32] {
    let mut context = Context::new(&SHA256);
    for part in [method.as_str().as_bytes(), path.as_bytes(), query.unwrap_or("").as_bytes(), body] {
        context.update(&(part.len() as u64).to_be_bytes());
        context.update(part);
    }
    let mut fingerprint = [0; 32];
    fingerprint.copy_from_slice(context.finish().as_ref());
    fingerprint
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::{layers::through, tests::gateway};

    const KEY: &str = "0198f0c4-7d55-7e10-8d4d-6b9c5f3e2a10";

    async fn sent(method: &str, path: &str, keys: &[&str]) -> (u16, Option<IdempotencyKey>) {
        let mut request = http::Request::builder().method(method).uri(path);
        for key in keys {
            request = request.header(HEADER, *key);
        }
        let arrival = gateway().await.found(request);
        let visit = Arc::clone(&arrival.visit);
        let response = through(Idempotency, arrival, |_| Response::default()).await;
        (response.status().as_u16(), visit.idempotency.get().cloned())
    }

    #[tokio::test]
    async fn a_key_is_one_uuid() {
        let (status, key) = sent("POST", "/api/v1/things", &[KEY]).await;
        assert_eq!((status, key.unwrap().key.to_string()), (200, KEY.to_owned()));
        assert_eq!(sent("POST", "/api/v1/things", &[]).await, (200, None));
        for bad in [&["1"][..], &[""], &["0198f0c47d557e108d4d6b9c5f3e2a10"], &[KEY, KEY]] {
            assert_eq!(sent("POST", "/api/v1/things", bad).await.0, 400, "{bad:?}");
        }
    }

    #[tokio::test]
    async fn where_money_moves_a_key_must_be_there() {
        assert_eq!(sent("POST", "/api/v1/transfers", &[]).await.0, 400);
        assert_eq!(sent("POST", "/api/v1/transfers", &[KEY]).await.0, 200);
    }

    #[tokio::test]
    async fn reading_takes_no_notice_of_a_key() {
        assert_eq!(sent("GET", "/api/v1/things/1", &["nonsense"]).await, (200, None));
    }

    #[test]
    fn a_fingerprint_tells_requests_apart() {
        let base = fingerprint(&Method::POST, "/a", None, b"b");
        assert_eq!(base, fingerprint(&Method::POST, "/a", None, b"b"));
        assert_eq!(base, fingerprint(&Method::POST, "/a", Some(""), b"b"));
        for other in [
            fingerprint(&Method::PATCH, "/a", None, b"b"),
            fingerprint(&Method::POST, "/ab", None, b""),
            fingerprint(&Method::POST, "/", Some("a"), b"b"),
            fingerprint(&Method::POST, "/a", Some("b"), b""),
            fingerprint(&Method::POST, "/a", None, b"B"),
        ] {
            assert_ne!(base, other);
        }
    }
}
