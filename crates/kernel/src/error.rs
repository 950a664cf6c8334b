use std::{borrow::Cow, fmt, time::Duration};

use bytes::Bytes;
use serde::Serialize;

use crate::problem::Slug;

/// The result of an operation.
pub type Result<T, E = Error> = std::result::Result<T, E>;

type Source = Box<dyn std::error::Error + Send + Sync>;

/// What went wrong: a slug of the catalogue and a sentence for the caller; a source for the log.
///
/// The detail reaches the client, so nothing internal belongs in it (no SQL, no path, no other tenant's id). The
/// source never does.
pub struct Error(Box<Inner>);

struct Inner {
    slug: Slug,
    detail: Cow<'static, str>,
    fields: Vec<FieldError>,
    author_detail: Option<String>,
    retry_after: Option<Duration>,
    source: Option<Source>,
    replay: Option<Bytes>,
}

/// One field of a request that is not right.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct FieldError {
    /// JSON pointer into the body, or the name of a parameter or header.
    pub field: String,
    /// What kind of mistake it is.
    pub code: FieldCode,
    /// What is expected, as a sentence.
    pub message: String,
}

/// The kinds of mistakes in a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum FieldCode {
    /// It must be there.
    Required,
    /// It has another form than expected.
    InvalidFormat,
    /// It is shorter than allowed.
    TooShort,
    /// It is longer than allowed.
    TooLong,
    /// It is outside of the allowed range.
    OutOfRange,
    /// There is no such field.
    UnknownField,
    /// It may not be set, or not to this value.
    NotAllowed,
}

impl FieldError {
    /// A mistake in `field`.
    pub fn new(field: impl Into<String>, code: FieldCode, message: impl Into<String>) -> Self {
        Self { field: field.into(), code, message: message.into() }
    }
}

impl Error {
    /// An error of the given kind, with a sentence for the caller.
    pub fn new(slug: Slug, detail: impl Into<Cow<'static, str>>) -> Self {
        Self(Box::new(Inner {
            slug,
            detail: detail.into(),
            fields: Vec::new(),
            author_detail: None,
            retry_after: None,
            source: None,
            replay: None,
        }))
    }

    /// Nothing there, or not the caller's to see. `what` is a noun: “wallet”.
    pub fn not_found(what: &str) -> Self {
        Self::new(Slug::NotFound, format!("There is no such {what}."))
    }

    /// One field is not right.
    pub fn field(field: impl Into<String>, code: FieldCode, message: impl Into<String>) -> Self {
        Self::fields(vec![FieldError::new(field, code, message)])
    }

    /// Some fields are not right.
    pub fn fields(fields: Vec<FieldError>) -> Self {
        let detail = match fields.as_slice() {
            [one] => format!("{}: {}", one.field, one.message),
            many => format!("{} fields are not right.", many.len()),
        };
        let mut error = Self::new(Slug::ValidationError, detail);
        error.0.fields = fields;
        error
    }

    /// A fault of ours. The caller learns nothing of it but the trace id.
    pub fn internal(source: impl Into<Source>) -> Self {
        Self::new(Slug::Internal, "The request could not be completed.").because(source)
    }

    /// No permission.
    pub fn forbidden(permission: &str) -> Self {
        Self::new(Slug::Forbidden, format!("This needs the permission {permission}."))
    }

    /// No usable credential; says nothing about why.
    pub fn unauthorized() -> Self {
        Self::new(Slug::Unauthorized, "A valid access token or API key is needed.")
    }

    /// The stored answer of a request that was done before; travels like an error so that `?` ends the operation.
    pub fn replay(answer: Bytes) -> Self {
        let mut error = Self::new(Slug::IdempotencyInProgress, "This request was answered before.");
        error.0.replay = Some(answer);
        error
    }

    /// Keeps the cause for the log.
    pub fn because(mut self, source: impl Into<Source>) -> Self {
        self.0.source = Some(source.into());
        self
    }

    /// A sentence that only the operator and module authors are shown.
    pub fn for_author(mut self, detail: impl Into<String>) -> Self {
        self.0.author_detail = Some(detail.into());
        self
    }

    /// Tells the caller when to come back.
    pub fn retry_after(mut self, wait: Duration) -> Self {
        self.0.retry_after = Some(wait);
        self
    }

    /// Adds field errors to an error of any kind.
    pub fn with_fields(mut self, fields: Vec<FieldError>) -> Self {
        self.0.fields = fields;
        self
    }

    /// The kind of error.
    pub fn slug(&self) -> Slug {
        self.0.slug
    }

    /// The sentence for the caller.
    pub fn detail(&self) -> &str {
        &self.0.detail
    }

    /// The sentence for authors, if there is one.
    pub fn author_detail(&self) -> Option<&str> {
        self.0.author_detail.as_deref()
    }

    /// The fields that are not right.
    pub fn field_errors(&self) -> &[FieldError] {
        &self.0.fields
    }

    /// When to come back; refusals for lack of room always say something.
    pub fn retry_after_hint(&self) -> Option<Duration> {
        self.0.retry_after.or(match self.0.slug.entry().status {
            503 | 429 => Some(Duration::from_secs(1)),
            _ => None,
        })
    }

    /// The stored answer, if this is a repeated request.
    pub fn replayed_answer(&self) -> Option<&Bytes> {
        self.0.replay.as_ref()
    }

    /// The chain of causes, outermost first, for the log.
    pub fn causes(&self) -> String {
        use std::fmt::Write as _;
        let mut text = String::new();
        let mut next: Option<&dyn std::error::Error> =
            self.0.source.as_deref().map(|s| s as &dyn std::error::Error);
        while let Some(cause) = next {
            if !text.is_empty() {
                text.push_str(": ");
            }
            let _ = write!(text, "{cause}");
            next = cause.source();
        }
        text
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.0.slug.name(), self.0.detail)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")?;
        for field in &self.0.fields {
            write!(f, " [{} {:?} {}]", field.field, field.code, field.message)?;
        }
        let causes = self.causes();
        if causes.is_empty() { Ok(()) } else { write!(f, " (because {causes})") }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source.as_deref().map(|s| s as &(dyn std::error::Error + 'static))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_source_is_for_the_log_and_not_for_the_caller() {
        let error = Error::internal(std::io::Error::other("connection refused to /run/x.sock"));
        assert!(!error.detail().contains("run"));
        assert!(error.causes().contains("/run/x.sock"));
    }

    #[test]
    fn a_refusal_for_lack_of_room_says_when_to_come_back() {
        assert!(Error::new(Slug::Overloaded, "").retry_after_hint().is_some());
        assert!(Error::not_found("wallet").retry_after_hint().is_none());
    }
}
