//! `/auth`: what is done by mail, and the pages that the mails' links open.

use std::sync::{Arc, LazyLock};

use base64::{Engine, engine::general_purpose::STANDARD};
use fabric::crypto::sha256;
use http::{HeaderValue, header};
use kernel::{Secret, Slug};
use ports::http::{Access, Body, Cx, One, Operation, Result, Routes, ServiceRoutes, State};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::auth::SessionsEndedOut;
use crate::{Iam, NAME};

pub(super) const REQUEST: &str = r#"{"email":"ada@example.com"}"#;
pub(super) const VERIFY: &str = r#"{"token":"ev_…"}"#;
pub(super) const RESET: &str = r#"{"token":"pr_…","newPassword":"tandem-gravel-42-owl"}"#;

/// Whose address to verify.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RequestVerificationIn {
    /// The address; that of the caller unless said.
    pub email: Option<String>,
}

/// Whose password to set anew.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RequestResetIn {
    /// The address.
    pub email: String,
}

/// The token of a mail.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct VerifyEmailIn {
    /// As it stands in the mail's link behind `#token=`.
    pub token: Secret,
}

/// A new password for whoever can read the account's mail.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ResetPasswordIn {
    /// As it stands in the mail's link behind `#token=`.
    pub token: Secret,
    /// 12 to 128 characters.
    pub new_password: Secret,
}

/// The same whether there is such an account or not.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MailRequestedOut {
    /// Always true: if the address has an account that has use for the mail, it comes within a moment.
    pub requested: bool,
}

/// What became of an address.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct VerifiedOut {
    /// Always true.
    pub email_verified: bool,
}

pub(super) fn routes(iam: Arc<Iam>) -> ServiceRoutes {
    const QUIET: &str = "The answer is the same whether the address has an account or not. At most three mails go to a \
                         person in an hour.";
    Routes::new(NAME, iam)
        .add(
            Operation::post("/auth/request-verify-email", "requestVerifyEmail", Access::Public)
                .summary("Ask for another verification mail")
                .description(QUIET)
                .body::<RequestVerificationIn>()
                .answer::<MailRequestedOut>(202)
                .example(REQUEST),
            request_verification,
        )
        .add(
            Operation::post("/auth/verify-email", "verifyEmail", Access::Public)
                .summary("Verify an address with the token of its mail")
                .description("A token is good once, for 24 hours.")
                .body::<VerifyEmailIn>()
                .answer::<VerifiedOut>(200)
                .example(VERIFY),
            verify_email,
        )
        .add(
            Operation::post("/auth/request-reset", "requestPasswordReset", Access::Public)
                .summary("Ask for a mail with which a forgotten password is set anew")
                .description(QUIET)
                .body::<RequestResetIn>()
                .answer::<MailRequestedOut>(202)
                .example(REQUEST),
            request_reset,
        )
        .add(
            Operation::post("/auth/reset-password", "resetPassword", Access::Public)
                .summary("Set the password anew with the token of a mail")
                .description("A token is good once, for one hour. All of the person's sessions end.")
                .body::<ResetPasswordIn>()
                .answer::<SessionsEndedOut>(200)
                .problems(&[Slug::RateLimited])
                .example(RESET),
            reset_password,
        )
        .add(
            Operation::protocol("/verify-email", "verifyEmailPage", Access::Public)
                .summary("The page that the link of a verification mail opens"),
            page,
        )
        .add(
            Operation::protocol("/reset-password", "resetPasswordPage", Access::Public)
                .summary("The page that the link of a reset mail opens"),
            page,
        )
        .finish()
}

async fn request_verification(
    State(iam): State<Arc<Iam>>,
    Cx(cx): Cx,
    Body(body): Body<RequestVerificationIn>,
) -> Result<ports::http::Accepted<MailRequestedOut>> {
    Ok(ports::http::Accepted(iam.request_verification(&cx, body).await?))
}

async fn verify_email(
    State(iam): State<Arc<Iam>>,
    Cx(cx): Cx,
    Body(body): Body<VerifyEmailIn>,
) -> Result<One<VerifiedOut>> {
    Ok(One::new(iam.verify_email(&cx, &body.token).await?))
}

async fn request_reset(
    State(iam): State<Arc<Iam>>,
    Cx(cx): Cx,
    Body(body): Body<RequestResetIn>,
) -> Result<ports::http::Accepted<MailRequestedOut>> {
    Ok(ports::http::Accepted(iam.request_reset(&cx, &body.email).await?))
}

async fn reset_password(
    State(iam): State<Arc<Iam>>,
    Cx(cx): Cx,
    Body(body): Body<ResetPasswordIn>,
) -> Result<One<SessionsEndedOut>> {
    Ok(One::new(iam.reset_password(&cx, body).await?))
}

const PAGE: &str = include_str!("../../assets/mail.html");
const STYLE: &str = include_str!("../../assets/mail.css");
const SCRIPT: &str = include_str!("../../assets/mail.js");

static TEXT: LazyLock<String> =
    LazyLock::new(|| PAGE.replace("/*style*/", STYLE).replace("/*script*/", SCRIPT));

/// Nothing but this style, this script and calls to the own origin.
static POLICY: LazyLock<HeaderValue> = LazyLock::new(|| {
    let source = |text: &str| format!("'sha256-{}'", STANDARD.encode(sha256(&[text.as_bytes()])));
    let policy = format!(
        "default-src 'none'; script-src {}; style-src {}; connect-src 'self'; base-uri 'none'; form-action 'none'; \
         frame-ancestors 'none'",
        source(SCRIPT),
        source(STYLE)
    );
    HeaderValue::from_str(&policy).unwrap_or(HeaderValue::from_static("default-src 'none'"))
});

/// The page waits for a press: programs that open the links of mails beforehand use no token up.
async fn page() -> Result<([(header::HeaderName, HeaderValue); 3], &'static str)> {
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8")),
        (header::CONTENT_SECURITY_POLICY, POLICY.clone()),
        (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
    ];
    Ok((headers, TEXT.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_is_whole_and_loads_nothing_from_elsewhere() {
        assert!(TEXT.contains(&format!("<style>{STYLE}</style>")));
        assert!(TEXT.contains(&format!("<script>{SCRIPT}</script>")));
        for outside in
            ["http://", "https://", " src=", "@import", "url(", "<link", "innerHTML", "eval(", " style="]
        {
            assert!(!TEXT.contains(outside), "{outside}");
        }
        assert_eq!(POLICY.to_str().unwrap().matches("'sha256-").count(), 2);
    }
}
