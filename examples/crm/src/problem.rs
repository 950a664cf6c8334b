//! Problems (RFC 9457) in the kernel's words, so that clients need one way to read them.

use std::borrow::Cow;

use axum::extract::rejection::QueryRejection;
use axum::response::{IntoResponse, Response};
use http::header::{CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderValue, StatusCode};
use serde_json::{Value, json};

use crate::kernel_api::KernelError;
use crate::pipeline::TooMuch;
use crate::refusal::Refusal;

/// An answer that says what went wrong and what to do.
#[derive(Debug)]
pub(crate) struct Problem {
    status: StatusCode,
    slug: Cow<'static, str>,
    title: Cow<'static, str>,
    detail: String,
    errors: Vec<Value>,
    retry_after_seconds: Option<u32>,
}

impl Problem {
    fn new(status: StatusCode, slug: &'static str, title: &'static str, detail: impl Into<String>) -> Self {
        let (slug, title) = (slug.into(), title.into());
        Problem { status, slug, title, detail: detail.into(), errors: Vec::new(), retry_after_seconds: None }
    }

    fn later(mut self) -> Self {
        self.retry_after_seconds = Some(1);
        self
    }

    pub(crate) fn not_found(what: &str) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not-found", "Not found", format!("There is no such {what}."))
    }

    pub(crate) fn forbidden(permission: &str) -> Self {
        let detail = format!("This takes the permission {permission}.");
        Self::new(StatusCode::FORBIDDEN, "forbidden", "Forbidden", detail)
    }

    pub(crate) fn invalid_state(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, "invalid-state", "Not possible in this state", detail)
    }

    pub(crate) fn conflict(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, "conflict", "Conflict", detail)
    }

    pub(crate) fn overloaded() -> Self {
        let detail = "The CRM has too many requests in work; try again in a second.";
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "overloaded", "Overloaded", detail).later()
    }

    pub(crate) fn deadline_exceeded() -> Self {
        let detail = "The CRM did not finish in time; ask for less or try again.";
        Self::new(StatusCode::GATEWAY_TIMEOUT, "deadline-exceeded", "Deadline exceeded", detail)
    }

    pub(crate) fn out_of_range(field: &str, message: String) -> Self {
        let detail = format!("{field}: {message}");
        let error = json!({"field": format!("/{field}"), "code": "OUT_OF_RANGE", "message": message});
        let problem = Self::new(StatusCode::BAD_REQUEST, "validation-error", "Invalid request", detail);
        Problem { errors: vec![error], ..problem }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        // A relative address: it resolves against the gateway's, which serves the catalogue.
        let mut body = json!({
            "type": format!("/problems/{}", self.slug),
            "title": self.title,
            "status": self.status.as_u16(),
            "detail": self.detail,
        });
        if !self.errors.is_empty() {
            body["errors"] = Value::Array(self.errors);
        }
        let mut response = (self.status, body.to_string()).into_response();
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if let Some(seconds) = self.retry_after_seconds {
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        tracing::info!(reason = %refusal, "module token refused");
        match refusal {
            Refusal::KeysUnavailable { .. } | Refusal::KeysUnavailableStill { .. } => Self::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "dependency-unavailable",
                "Dependency unavailable",
                "The kernel's keys can't be read at the moment; try again in a few seconds.",
            )
            .later(),
            Refusal::TooManyIssuers { .. } => Self::overloaded(),
            _ => Self::new(
                StatusCode::UNAUTHORIZED,
                "unauthorized",
                "Unauthorized",
                "This back-end takes requests from the gateway only, with a valid module token.",
            ),
        }
    }
}

impl From<KernelError> for Problem {
    fn from(error: KernelError) -> Self {
        match error {
            // What the kernel says to the caller, the caller may hear; but a 401 is about the
            // module's credential, and would make a client sign its user out.
            KernelError::Refused(refused)
                if refused.status.is_client_error()
                    && refused.status != StatusCode::UNAUTHORIZED
                    && !refused.slug.is_empty() =>
            {
                Problem {
                    status: refused.status,
                    slug: refused.slug.into(),
                    title: refused.title.into(),
                    detail: refused.detail,
                    errors: Vec::new(),
                    retry_after_seconds: refused.retry_after_seconds,
                }
            }
            KernelError::TimedOut => {
                tracing::warn!(%error, "a call to the kernel failed");
                Self::deadline_exceeded()
            }
            KernelError::Unreachable(_) => {
                tracing::warn!(%error, "a call to the kernel failed");
                let detail = "The kernel can't be reached at the moment; try again in a second.";
                Self::new(
                    StatusCode::SERVICE_UNAVAILABLE,
                    "dependency-unavailable",
                    "Dependency unavailable",
                    detail,
                )
                .later()
            }
            KernelError::Refused(_) | KernelError::NotUnderstood(_) => {
                tracing::warn!(%error, "a call to the kernel failed");
                let detail = "The kernel gave an answer that the CRM can't use; its log says more.";
                Self::new(StatusCode::BAD_GATEWAY, "upstream-failed", "Upstream failed", detail)
            }
        }
    }
}

impl From<TooMuch> for Problem {
    fn from(error: TooMuch) -> Self {
        Self::new(StatusCode::BAD_GATEWAY, "upstream-failed", "Upstream failed", error.to_string())
    }
}

impl From<QueryRejection> for Problem {
    fn from(rejection: QueryRejection) -> Self {
        let detail = rejection.body_text();
        Self::new(StatusCode::BAD_REQUEST, "validation-error", "Invalid request", detail)
    }
}
