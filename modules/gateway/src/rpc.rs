//! What gRPC says in headers, and how problems read as a status.

use std::time::Duration;

use axum::body::Body;
use http::{HeaderMap, Request, StatusCode, Version, header};
use kernel::{Error, FieldCode, Result, Slug};
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

use crate::{problem::Scene, visit::Response};

/// Bytes of fields that a status tells: it travels in headers, which some clients limit to 8 KB in all.
const MOST_FIELDS: usize = 2_000;
/// Characters of a text in a status.
const MOST_TEXT: usize = 200;

/// Whose slugs the reasons are (`google.rpc.ErrorInfo`).
const DOMAIN: &str = "platform-kernel";

/// Whether the request is a gRPC call: in HTTP/1.1 there is no way to tell its end.
pub(crate) fn is_call<B>(request: &Request<B>) -> bool {
    let kind = request.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    // `application/grpc-web` is another protocol.
    let rest = kind.and_then(|kind| kind.strip_prefix("application/grpc"));
    request.version() >= Version::HTTP_2
        && rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['+', ';']))
}

/// For how long the caller waits; none when it does not say.
///
/// # Errors
/// `validation-error` for what is no time.
pub(crate) fn timeout(headers: &HeaderMap) -> Result<Option<Duration>> {
    let Some(value) = headers.get("grpc-timeout") else { return Ok(None) };
    let read = || {
        let text = value.to_str().ok()?;
        let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
        let fits = (1..=8).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit());
        let count: u64 = digits.parse().ok().filter(|_| fits)?;
        Some(match unit {
            "H" => Duration::from_secs(count * 3600),
            "M" => Duration::from_secs(count * 60),
            "S" => Duration::from_secs(count),
            "m" => Duration::from_millis(count),
            "u" => Duration::from_micros(count),
            "n" => Duration::from_nanos(count),
            _ => return None,
        })
    };
    let message = "must be 1 to 8 digits and a unit of H, M, S, m, u, n, as in 500m";
    read().map(Some).ok_or_else(|| Error::field("grpc-timeout", FieldCode::InvalidFormat, message))
}

/// The code of a problem. The one table: a slug without an entry does not compile.
pub(crate) fn code(slug: Slug) -> Code {
    match slug {
        Slug::ValidationError
        | Slug::InvalidCursor
        | Slug::InvalidAmount
        | Slug::IdempotencyKeyRequired
        | Slug::MalformedJson
        | Slug::UnsupportedMediaType
        | Slug::IdempotencyKeyReused
        | Slug::FileRejected
        | Slug::ModuleRejected => Code::InvalidArgument,
        Slug::Unauthorized | Slug::TokenExpired | Slug::InvalidCredentials | Slug::MfaRequired => {
            Code::Unauthenticated
        }
        Slug::Forbidden | Slug::EmailNotVerified | Slug::EventNotDeclared | Slug::OriginNotAllowed => {
            Code::PermissionDenied
        }
        Slug::NotFound | Slug::Gone => Code::NotFound,
        Slug::RangeNotSatisfiable => Code::OutOfRange,
        Slug::MethodNotAllowed => Code::Unimplemented,
        Slug::AlreadyExists => Code::AlreadyExists,
        Slug::Conflict
        | Slug::InvalidState
        | Slug::HookRejected
        | Slug::InsufficientFunds
        | Slug::SubscriptionSuspended
        | Slug::SubscriptionTerminated => Code::FailedPrecondition,
        // The whole of what was done, from reading on, may be tried again.
        Slug::PreconditionFailed | Slug::IdempotencyInProgress => Code::Aborted,
        Slug::PlanLimitExceeded
        | Slug::LimitExceeded
        | Slug::PayloadTooLarge
        | Slug::RateLimited
        | Slug::TooManyAttempts => Code::ResourceExhausted,
        Slug::Internal => Code::Internal,
        Slug::UpstreamFailed
        | Slug::Overloaded
        | Slug::CircuitOpen
        | Slug::DependencyUnavailable
        | Slug::EventsBrokerUnavailable
        | Slug::Draining => Code::Unavailable,
        Slug::DeadlineExceeded => Code::DeadlineExceeded,
    }
}

/// What an answer counts as in logs and metrics, as an extension: the head of a gRPC answer is always 200.
#[derive(Debug, Clone, Copy)]
pub(crate) struct CountsAs(pub StatusCode);

/// What the answer counts as.
pub(crate) fn counted(response: &Response) -> StatusCode {
    response.extensions().get::<CountsAs>().map_or(response.status(), |counts| counts.0)
}

/// The answer for an error: a status without messages, details in `grpc-status-details-bin`.
pub(crate) fn render(scene: &Scene<'_>, error: &Error, known_method: bool) -> Response {
    let slug = error.slug();
    // What is no method is not implemented; that some thing does not exist is an answer of a method.
    let code = if slug == Slug::NotFound && !known_method { Code::Unimplemented } else { code(slug) };
    let mut details = ErrorDetails::new();
    let told = [
        ("type", format!("{}/problems/{}", scene.public_url, slug.name())),
        ("status", slug.entry().status.to_string()),
        ("title", slug.entry().title.to_owned()),
    ];
    details.set_error_info(slug.name(), DOMAIN, told.map(|(name, text)| (name.to_owned(), text)));
    details.set_request_info(scene.request.to_string(), scene.trace.trace_id_text());
    if let Some(wait) = error.retry_after_hint() {
        details.set_retry_info(Some(wait));
    }
    let mut room = MOST_FIELDS;
    for field in error.field_errors() {
        let (field, message) = (cut(&field.field), cut(&field.message));
        let Some(left) = room.checked_sub(field.len() + message.len()) else { break };
        room = left;
        details.add_bad_request_violation(field, message);
    }
    let message = cut(&scene.detail(error));
    let mut response: Response = Status::with_error_details(code, message, details).into_http::<Body>();
    response.extensions_mut().clear();
    response.extensions_mut().insert(CountsAs(slug.status()));
    response
}

fn cut(text: &str) -> String {
    match text.char_indices().nth(MOST_TEXT) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_is_told_by_version_and_content_type() {
        let call = |version, kind: &str| {
            let request = Request::builder().version(version).header("content-type", kind).body(()).unwrap();
            is_call(&request)
        };
        for kind in ["application/grpc", "application/grpc+proto", "application/grpc; charset=utf-8"] {
            assert!(call(Version::HTTP_2, kind), "{kind}");
            assert!(!call(Version::HTTP_11, kind), "{kind}");
        }
        for kind in
            ["application/grpc-web", "application/grpc-web+proto", "application/json", "application/grpcx"]
        {
            assert!(!call(Version::HTTP_2, kind), "{kind}");
        }
    }

    #[test]
    fn a_timeout_is_digits_and_a_unit() {
        let read = |text: &str| {
            let headers = [(header::HeaderName::from_static("grpc-timeout"), text.parse().unwrap())];
            timeout(&headers.into_iter().collect()).map_err(|error| error.slug())
        };
        for (text, expected) in [
            ("2H", Duration::from_secs(7200)),
            ("1M", Duration::from_secs(60)),
            ("3S", Duration::from_secs(3)),
            ("500m", Duration::from_millis(500)),
            ("99999999u", Duration::from_micros(99_999_999)),
            ("0n", Duration::ZERO),
        ] {
            assert_eq!(read(text), Ok(Some(expected)), "{text}");
        }
        for bad in ["", "m", "5", "100000000m", "-1S", "1s", "1 S", "٣S"] {
            assert_eq!(read(bad), Err(Slug::ValidationError), "{bad}");
        }
        assert_eq!(timeout(&HeaderMap::new()).unwrap(), None);
    }

    #[test]
    fn codes_agree_with_the_http_statuses() {
        for slug in Slug::ALL {
            let codes: &[Code] = match slug.entry().status {
                400 | 415 => &[Code::InvalidArgument],
                401 => &[Code::Unauthenticated],
                402 => &[Code::ResourceExhausted, Code::FailedPrecondition],
                403 => &[Code::PermissionDenied],
                404 | 410 => &[Code::NotFound],
                405 => &[Code::Unimplemented],
                409 => &[Code::AlreadyExists, Code::FailedPrecondition, Code::Aborted],
                412 => &[Code::Aborted],
                413 | 429 => &[Code::ResourceExhausted],
                416 => &[Code::OutOfRange],
                422 => &[Code::InvalidArgument, Code::FailedPrecondition, Code::ResourceExhausted],
                500 => &[Code::Internal],
                502 | 503 => &[Code::Unavailable],
                504 => &[Code::DeadlineExceeded],
                other => panic!("{}: which codes may a {other} have?", slug.name()),
            };
            assert!(codes.contains(&code(*slug)), "{}: {:?}", slug.name(), code(*slug));
        }
    }

    #[test]
    fn a_status_fits_into_a_header_whatever_is_wrong() {
        use kernel::{FieldError, RequestId, TraceContext};
        let long = "ü".repeat(100_000);
        let fields = (0..500).map(|_| FieldError::new(long.clone(), FieldCode::TooLong, long.clone()));
        let error = Error::fields(fields.collect());
        let scene = Scene {
            public_url: "https://api.example.com",
            instance: "/",
            request: RequestId::new(),
            trace: TraceContext { trace_id: 1, span_id: 1 },
            author: false,
            form: crate::problem::Form::Rpc { known_method: true },
        };
        let response = render(&scene, &error, true);
        let bytes: usize = response.headers().values().map(|value| value.len()).sum();
        assert!(bytes < 7_500, "{bytes}");
        assert_eq!(counted(&response), 400);
        assert_eq!(response.headers()["grpc-status"], "3");
    }
}
