//! Why a module token was not believed. The caller is told one sentence for all of them; the
//! reason goes to the log.

use crate::kernel_api::KernelError;

#[derive(Debug, thiserror::Error)]
pub(crate) enum Refusal {
    #[error("the request has no X-Kernel-Module-Token; it did not come through the gateway")]
    Missing,
    #[error("the token is longer than 8 KB")]
    TooLong,
    #[error("the token can't be read: {0}")]
    Malformed(#[source] jsonwebtoken::errors::Error),
    #[error("the token is not signed with ES256")]
    OtherAlgorithm,
    #[error("the token names critical extensions; none is understood here")]
    CriticalExtension,
    #[error("the token names no key, or one with an overlong id")]
    NoKeyId,
    #[error("the token's issuer {0:?} is not an address of a kernel")]
    NoIssuer(String),
    #[error("tokens of {0} are not taken here; see the option `issuers`")]
    OtherIssuer(String),
    #[error("the key {key_id:?} is not among those of {issuer}")]
    UnknownKey { issuer: String, key_id: String },
    #[error("the keys of {issuer} could not be read: {source}")]
    KeysUnavailable { issuer: String, source: KernelError },
    #[error("reading the keys of {issuer} failed less than 5 s ago; not asking again yet")]
    KeysUnavailableStill { issuer: String },
    #[error("too many unknown issuers in a short time; {issuer} was not looked up")]
    TooManyIssuers { issuer: String },
    #[error("the signature is not that of the named key")]
    WrongSignature,
    #[error("the token is for {0:?}, not for this module")]
    OtherAudience(String),
    #[error("the token has expired")]
    Expired,
    #[error("the token was issued in the future; compare the clocks of the two machines")]
    FromTheFuture,
    #[error("the token claims to live longer than a module token does, or not at all")]
    Lifetime,
}
