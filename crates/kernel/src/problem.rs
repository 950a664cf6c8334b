//! The catalogue of problems: every way a request can fail, with what caused it and what to do.
//!
//! A `type` member of an answer points to `/problems/{slug}`, which shows the entry from here.

use http::StatusCode;

macro_rules! catalogue {
    ($($variant:ident = $slug:literal, $status:literal, $title:literal, cause: $cause:literal, remedy: $remedy:literal;)*) => {
        /// The short, stable name of a kind of problem.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Slug { $(#[doc = $cause] $variant,)* }

        impl Slug {
            /// Every slug, in the order of the catalogue.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// Its entry in the catalogue.
            pub const fn entry(self) -> &'static Entry {
                match self {
                    $(Self::$variant => &Entry { slug: $slug, status: $status, title: $title, cause: $cause, remedy: $remedy },)*
                }
            }
        }
    };
}

/// One entry of the catalogue.
#[derive(Debug, serde::Serialize, schemars::JsonSchema)]
pub struct Entry {
    /// The stable name.
    pub slug: &'static str,
    /// The HTTP status it is answered with.
    pub status: u16,
    /// A title of a few words.
    pub title: &'static str,
    /// What leads to it.
    pub cause: &'static str,
    /// What the caller can do.
    pub remedy: &'static str,
}

impl Slug {
    /// The stable name, as it stands in addresses.
    pub const fn name(self) -> &'static str {
        self.entry().slug
    }

    /// The HTTP status it is answered with.
    pub fn status(self) -> StatusCode {
        StatusCode::from_u16(self.entry().status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    /// Looks a slug up by name.
    pub fn find(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|slug| slug.name() == name)
    }
}

catalogue! {
    ValidationError = "validation-error", 400, "Some fields are not right",
        cause: "A member of the body, a parameter or a header is missing, unknown or has the wrong form.",
        remedy: "Look at `errors`: each entry names the field and what is expected there.";
    InvalidCursor = "invalid-cursor", 400, "The cursor does not fit",
        cause: "The cursor was changed, or comes from another list, filter or tenant.",
        remedy: "Start the list again without a cursor, with the same filters.";
    InvalidAmount = "invalid-amount", 400, "The amount is not usable",
        cause: "An amount must be a whole number of minor units, at least 1.",
        remedy: "Send the amount in minor units, for example 1050 for 10.50 EUR.";
    IdempotencyKeyRequired = "idempotency-key-required", 400, "An Idempotency-Key is needed",
        cause: "The request moves money and carries no Idempotency-Key.",
        remedy: "Send a fresh UUID in the Idempotency-Key header, and the same one when you repeat the request.";
    MalformedJson = "malformed-json", 400, "The body is not JSON",
        cause: "The body could not be read as JSON.",
        remedy: "Check quotes, commas and encoding (UTF-8); `detail` names the place.";
    Unauthorized = "unauthorized", 401, "Sign-in needed",
        cause: "There is no credential, or it is not one of this sandbox, or it was revoked.",
        remedy: "Sign in and send the access token as `Authorization: Bearer …`.";
    TokenExpired = "token-expired", 401, "The token has expired",
        cause: "The access token is past its time.",
        remedy: "Get a fresh one with POST /api/v1/auth/refresh.";
    InvalidCredentials = "invalid-credentials", 401, "Sign-in failed",
        cause: "E-mail and password do not belong together.",
        remedy: "Check both; after five failures the account is closed to your address for a while.";
    MfaRequired = "mfa-required", 401, "A second factor is needed",
        cause: "The account is protected by a second factor and no code was sent.",
        remedy: "Send the code of the authenticator app as `mfaCode`.";
    PlanLimitExceeded = "plan-limit-exceeded", 402, "The plan's limit is reached",
        cause: "The tenant's plan does not allow more of this.",
        remedy: "Remove what is not needed, or change the plan.";
    SubscriptionSuspended = "subscription-suspended", 402, "The subscription is suspended",
        cause: "A payment is overdue; the tenant is read-only.",
        remedy: "Pay the open invoice; access returns at once.";
    SubscriptionTerminated = "subscription-terminated", 402, "The subscription has ended",
        cause: "The subscription was ended after a payment stayed out.",
        remedy: "Ask the platform's owner.";
    Forbidden = "forbidden", 403, "Not allowed",
        cause: "The caller lacks the permission that this operation needs.",
        remedy: "Ask an Owner or Admin for a role that holds the permission named in `detail`.";
    EmailNotVerified = "email-not-verified", 403, "The e-mail address is not verified",
        cause: "The operation needs a verified e-mail address.",
        remedy: "Follow the link of the verification mail, or ask for a new one.";
    EventNotDeclared = "event-not-declared", 403, "The event is not declared",
        cause: "A module may publish and hear only what its manifest declares.",
        remedy: "Add the type to `events.publishes` or `events.subscribes` of the manifest and update the module.";
    OriginNotAllowed = "origin-not-allowed", 403, "The page's origin is not allowed",
        cause: "A browser sent the request from a page of another origin.",
        remedy: "Call from a page of the tenant's own domains, or from a program.";
    NotFound = "not-found", 404, "Not found",
        cause: "There is nothing at this address, or it is not yours to see.",
        remedy: "Check the address and the id.";
    MethodNotAllowed = "method-not-allowed", 405, "The address does not take this method",
        cause: "The address exists, with other methods.",
        remedy: "Use one of the methods in the `Allow` header.";
    Conflict = "conflict", 409, "It conflicts with something that exists",
        cause: "Another resource stands in the way.",
        remedy: "`detail` says what; change or remove it first.";
    AlreadyExists = "already-exists", 409, "It exists already",
        cause: "A value that must be unique is taken.",
        remedy: "Use the existing one, or choose another value.";
    IdempotencyInProgress = "idempotency-in-progress", 409, "The first request is still running",
        cause: "A request with the same Idempotency-Key has not finished.",
        remedy: "Wait a moment and repeat it with the same key.";
    InvalidState = "invalid-state", 409, "Not possible in this state",
        cause: "The resource is in a state that does not allow the action.",
        remedy: "`detail` names the state; read the resource again before you go on.";
    Gone = "gone", 410, "It is gone",
        cause: "The resource existed and was deleted.",
        remedy: "Restore it where that is offered.";
    PreconditionFailed = "precondition-failed", 412, "It was changed in the meantime",
        cause: "The `If-Match` version is not the current one.",
        remedy: "Read the resource again, apply your change to it, and send its new ETag.";
    PayloadTooLarge = "payload-too-large", 413, "The body is too large",
        cause: "The body is over the limit of this address.",
        remedy: "Send less at once; `detail` names the limit.";
    UnsupportedMediaType = "unsupported-media-type", 415, "This form of body is not taken",
        cause: "The Content-Type is not one that this address takes.",
        remedy: "Send `Content-Type: application/json`, or what `detail` names.";
    RangeNotSatisfiable = "range-not-satisfiable", 416, "The range lies outside",
        cause: "The `Range` begins behind the end of the file.",
        remedy: "`detail` names the number of bytes; ask for a range within them, or for the whole.";
    IdempotencyKeyReused = "idempotency-key-reused", 422, "The Idempotency-Key was used for another request",
        cause: "The same key came with another route or body.",
        remedy: "Use a fresh key for each new request.";
    HookRejected = "hook-rejected", 422, "The module refused it",
        cause: "A hook of the module refused the change; nothing was written.",
        remedy: "`detail` carries the module's words.";
    LimitExceeded = "limit-exceeded", 422, "Over a limit",
        cause: "A value is above a limit of the plan or the platform.",
        remedy: "`detail` names the limit.";
    InsufficientFunds = "insufficient-funds", 422, "Not enough money",
        cause: "The wallet's available balance is below the amount.",
        remedy: "Credit the wallet, or take less.";
    FileRejected = "file-rejected", 422, "The file was refused",
        cause: "The scan found that the file is not what it says, or is harmful.",
        remedy: "`detail` says why; upload a clean file of the declared type.";
    ModuleRejected = "module-rejected", 422, "The module was refused",
        cause: "The manifest or a migration breaks a rule; nothing was changed.",
        remedy: "`errors` names each file, line and rule.";
    RateLimited = "rate-limited", 429, "Too many requests",
        cause: "More requests came than the limit allows.",
        remedy: "Wait for the time in `Retry-After`.";
    TooManyAttempts = "too-many-attempts", 429, "Too many failed attempts",
        cause: "Too many sign-ins failed for this account from your address.",
        remedy: "Wait for the time in `Retry-After`, or reset the password.";
    Internal = "internal", 500, "Something went wrong here",
        cause: "A fault of the platform, not of the request.",
        remedy: "Repeat the request; if it stays, report it with the `traceId`.";
    UpstreamFailed = "upstream-failed", 502, "The other side failed",
        cause: "A server that the request depends on answered wrongly.",
        remedy: "Repeat later; the log of the module or provider says more.";
    Overloaded = "overloaded", 503, "Too busy",
        cause: "All places of a queue are taken.",
        remedy: "Repeat after the time in `Retry-After`.";
    CircuitOpen = "circuit-open", 503, "Calls are paused",
        cause: "The other side failed several times and gets a pause.",
        remedy: "Repeat after the time in `Retry-After`.";
    DependencyUnavailable = "dependency-unavailable", 503, "A needed part is not reachable",
        cause: "A database, back-end or other part does not answer.",
        remedy: "Repeat after the time in `Retry-After`; `/health` shows which part.";
    EventsBrokerUnavailable = "events-broker-unavailable", 503, "The event broker is not reachable",
        cause: "The broker does not answer; published events wait safely.",
        remedy: "Repeat after the time in `Retry-After`.";
    Draining = "draining", 503, "Closing for a moment",
        cause: "The process or the sandbox is being stopped, reset or copied.",
        remedy: "Repeat after the time in `Retry-After`.";
    DeadlineExceeded = "deadline-exceeded", 504, "It took too long",
        cause: "The answer was not ready within the time allowed.",
        remedy: "Repeat it with the same Idempotency-Key, or ask for less at once.";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_slug_is_unique_and_tells_what_to_do() {
        let mut seen = std::collections::HashSet::new();
        for slug in Slug::ALL {
            let entry = slug.entry();
            assert!(seen.insert(entry.slug), "{} is there twice", entry.slug);
            assert!(slug.status().is_client_error() || slug.status().is_server_error());
            assert!(entry.cause.ends_with('.') && entry.remedy.ends_with('.'), "{}", entry.slug);
            assert_eq!(Slug::find(entry.slug), Some(*slug));
        }
    }
}
