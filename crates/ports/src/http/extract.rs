use axum::{
    extract::{FromRequest, FromRequestParts, Request},
    response::IntoResponse,
};
use bytes::Bytes;
use http::{header, request::Parts};
use kernel::{Ctx, Error, FieldCode, Slug};
use serde::de::DeserializeOwned;

use super::Problem;

/// The context that the gateway made for this request.
pub struct Cx(pub Ctx);

impl<S: Send + Sync> FromRequestParts<S> for Cx {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let cx = parts.extensions.get::<Ctx>().cloned();
        cx.map(Self).ok_or_else(|| Error::internal("a request came without a context").into())
    }
}

/// A JSON body. Unknown members are refused by types that say `deny_unknown_fields`, as every wire type does.
pub struct Body<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Body<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let Raw(bytes) = Raw::from_request(request, state).await?;
        Ok(Self(parse_json(&bytes)?))
    }
}

/// The bytes of a JSON body, not parsed.
pub struct Raw(pub Bytes);

impl<S: Send + Sync> FromRequest<S> for Raw {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let kind =
            request.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or("");
        let essence = kind.split(';').next().unwrap_or("").trim().to_ascii_lowercase();
        if essence != "application/json"
            && !(essence.starts_with("application/") && essence.ends_with("+json"))
        {
            return Err(Error::new(
                Slug::UnsupportedMediaType,
                "Send the body as JSON, with `Content-Type: application/json`.",
            )
            .into());
        }
        let bytes = Bytes::from_request(request, state).await.map_err(|rejection| {
            let status = rejection.status();
            let detail = rejection.body_text();
            match status {
                http::StatusCode::PAYLOAD_TOO_LARGE => {
                    Error::new(Slug::PayloadTooLarge, "The body is too large.")
                }
                _ => Error::new(Slug::MalformedJson, format!("The body could not be read: {detail}")),
            }
        })?;
        Ok(Self(bytes))
    }
}

/// Reads JSON; mistakes name the member and what is expected there.
///
/// # Errors
/// `malformed-json` with line and column, or `validation-error` with a JSON pointer.
pub fn parse_json<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Error> {
    let mut json = serde_json::Deserializer::from_slice(bytes);
    let value = serde_path_to_error::deserialize(&mut json).map_err(|error| {
        let path = pointer(error.path());
        let inner = error.into_inner();
        match inner.classify() {
            serde_json::error::Category::Data => data_error(&path, &inner.to_string()),
            _ => Error::new(Slug::MalformedJson, format!("The body is not JSON: {inner}.")),
        }
    })?;
    json.end().map_err(|error| Error::new(Slug::MalformedJson, format!("The body is not JSON: {error}.")))?;
    Ok(value)
}

fn pointer(path: &serde_path_to_error::Path) -> String {
    use serde_path_to_error::Segment;
    path.iter().fold(String::new(), |text, segment| match segment {
        Segment::Seq { index } => format!("{text}/{index}"),
        Segment::Map { key } => format!("{text}/{}", key.replace('~', "~0").replace('/', "~1")),
        Segment::Enum { variant } => format!("{text}/{variant}"),
        Segment::Unknown => text,
    })
}

/// serde tells what is wrong as text; its forms are fixed (`serde::de::Error`).
fn data_error(path: &str, text: &str) -> Error {
    let text = text.split(" at line ").next().unwrap_or(text);
    let name = || text.split('`').nth(1).unwrap_or_default();
    let (field, code, message) = if text.starts_with("unknown field") {
        let parent = path.strip_suffix(name()).map_or(path, |rest| rest.trim_end_matches('/'));
        let known = text.split_once("expected ").map_or("none are taken here", |(_, rest)| rest);
        (
            format!("{parent}/{}", name()),
            FieldCode::UnknownField,
            format!("there is no such member; expected {known}"),
        )
    } else if text.starts_with("missing field") {
        (format!("{path}/{}", name()), FieldCode::Required, "is needed".to_owned())
    } else {
        (path.to_owned(), FieldCode::InvalidFormat, text.to_owned())
    };
    Error::field(if field.is_empty() { "/".to_owned() } else { field }, code, message)
}

/// Query parameters as a type; unknown ones are refused.
pub struct Query<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Query<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let text = parts.uri.query().unwrap_or("");
        let pairs = serde_urlencoded::Deserializer::new(form_pairs(text));
        serde_path_to_error::deserialize(pairs).map(Self).map_err(|error| {
            let name = error.path().to_string();
            let text = error.into_inner().to_string();
            let word = text.split('`').nth(1).unwrap_or_default().to_owned();
            let (field, code, message) = if text.starts_with("unknown field") {
                let known = text.split_once("expected ").map_or("none", |(_, rest)| rest);
                (word, FieldCode::UnknownField, format!("there is no such parameter; expected {known}"))
            } else if text.starts_with("missing field") {
                (word, FieldCode::Required, "is needed".to_owned())
            } else {
                (name, FieldCode::InvalidFormat, text)
            };
            Error::field(field, code, message).into()
        })
    }
}

fn form_pairs(text: &str) -> form_urlencoded::Parse<'_> {
    form_urlencoded::parse(text.as_bytes())
}

/// Path parameters; one that can't be read (an id that is no UUID) is an address where nothing is.
pub struct Path<T>(pub T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for Path<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let path = axum::extract::Path::<T>::from_request_parts(parts, state).await;
        path.map(|axum::extract::Path(value)| Self(value)).map_err(|rejection| {
            let text = rejection.into_response().status();
            Error::not_found("address").because(format!("path parameters do not fit ({text})")).into()
        })
    }
}

/// The version that `If-Match` names; none when the header is missing or `*`.
pub struct IfMatch(pub Option<i32>);

impl<S: Send + Sync> FromRequestParts<S> for IfMatch {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let Some(value) = parts.headers.get(header::IF_MATCH) else { return Ok(Self(None)) };
        let text = value.to_str().unwrap_or("").trim();
        if text == "*" {
            return Ok(Self(None));
        }
        let version =
            text.strip_prefix("\"v").and_then(|rest| rest.strip_suffix('"')).and_then(|v| v.parse().ok());
        match version {
            Some(version) => Ok(Self(Some(version))),
            // A tag that we never gave can't be the current one (RFC 9110 §13.1.1).
            None => Err(Error::new(
                Slug::PreconditionFailed,
                "If-Match does not carry a tag of this resource; send the ETag as it came, like \"v3\".",
            )
            .into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    #[allow(dead_code, reason = "only its parsing is looked at")]
    struct In {
        name: String,
        inner: Option<Inner>,
    }
    #[derive(Debug, serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    #[allow(dead_code, reason = "only its parsing is looked at")]
    struct Inner {
        n: Vec<u8>,
    }

    fn mistake(text: &str) -> (Slug, String, Option<FieldCode>) {
        let error = parse_json::<In>(text.as_bytes()).unwrap_err();
        let first = error.field_errors().first();
        (error.slug(), first.map(|f| f.field.clone()).unwrap_or_default(), first.map(|f| f.code))
    }

    #[test]
    fn mistakes_name_the_member() {
        use FieldCode::{InvalidFormat, Required, UnknownField};
        use Slug::{MalformedJson, ValidationError};
        assert_eq!(mistake("{"), (MalformedJson, String::new(), None));
        assert_eq!(mistake("{\"name\":\"a\"} x"), (MalformedJson, String::new(), None));
        assert_eq!(mistake("{}"), (ValidationError, "/name".into(), Some(Required)));
        assert_eq!(mistake("{\"name\":1}"), (ValidationError, "/name".into(), Some(InvalidFormat)));
        assert_eq!(
            mistake("{\"name\":\"a\",\"nme\":1}"),
            (ValidationError, "/nme".into(), Some(UnknownField))
        );
        let deep = "{\"name\":\"a\",\"inner\":{\"n\":[1,\"x\"]}}";
        assert_eq!(mistake(deep), (ValidationError, "/inner/n/1".into(), Some(InvalidFormat)));
        let unknown = "{\"name\":\"a\",\"inner\":{\"n\":[],\"m\":1}}";
        assert_eq!(mistake(unknown), (ValidationError, "/inner/m".into(), Some(UnknownField)));
    }
}
