//! Signed tokens: JWS in compact form (RFC 7515) with ES256 and nothing else.
//!
//! Written by hand because one algorithm needs thirty lines, and because every choice that a general library offers
//! (other algorithms, keys from the header, optional parts) is one that must be refused here.

use std::fmt;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use fabric::crypto::sha256;
use kernel::{Error, Result};
use ring::{
    rand::SystemRandom,
    signature::{
        ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair, UnparsedPublicKey,
    },
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// Longest token that is looked at, in bytes.
pub const MOST_BYTES: usize = 8 * 1024;
const MOST_KEY_ID_BYTES: usize = 64;
/// An uncompressed point of P-256: 4, x, y.
const POINT_BYTES: usize = 65;
const SIGNATURE_BYTES: usize = 64;
/// The type of what is a credential.
const TOKEN: &str = "JWT";
/// The type of what is none.
const STATEMENT: &str = "statement+jwt";

/// Why a token is not believed; for the log, never for the caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// Over 8 KB.
    TooLong,
    /// Not three parts of base64url with a JSON header of exactly `alg`, `typ` and `kid`.
    Malformed,
    /// An algorithm other than ES256; `none` is one of them.
    Algorithm,
    /// A type other than JWT.
    Type,
    /// Signed with a key that is not, or no longer, one of this sandbox's.
    UnknownKey,
    /// The signature does not fit.
    Signature,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TooLong => "the token is over 8 KB",
            Self::Malformed => "the token is not well formed",
            Self::Algorithm => "the token is not signed with ES256",
            Self::Type => "the token is not of type JWT",
            Self::UnknownKey => "the token's key is not one of this sandbox's",
            Self::Signature => "the token's signature does not fit",
        })
    }
}

impl std::error::Error for Refusal {}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header<'a> {
    alg: &'a str,
    typ: &'a str,
    kid: &'a str,
}

/// The public half of a pair.
#[derive(Clone, PartialEq, Eq)]
pub struct VerifyingKey {
    kid: String,
    point: [u8; POINT_BYTES],
}

impl VerifyingKey {
    /// From an uncompressed point of P-256.
    ///
    /// # Errors
    /// `internal` when it is none.
    pub fn from_point(point: &[u8]) -> Result<Self> {
        let wrong = || Error::internal("a signing key's public part is not an uncompressed point of P-256");
        let point: [u8; POINT_BYTES] = point.try_into().map_err(|_| wrong())?;
        if point[0] != 4 {
            return Err(wrong());
        }
        Ok(Self { kid: thumbprint(&point), point })
    }

    /// Its name: the RFC 7638 thumbprint.
    pub fn kid(&self) -> &str {
        &self.kid
    }

    /// The uncompressed point.
    pub fn point(&self) -> &[u8] {
        &self.point
    }

    /// As a JWK (RFC 7517).
    pub fn jwk(&self) -> Value {
        let (x, y) = coordinates(&self.point);
        json!({ "kty": "EC", "crv": "P-256", "x": x, "y": y, "kid": self.kid, "use": "sig", "alg": "ES256" })
    }

    fn verify(&self, message: &[u8], signature: &[u8]) -> Result<(), Refusal> {
        let key = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, &self.point);
        key.verify(message, signature).map_err(|_| Refusal::Signature)
    }
}

fn coordinates(point: &[u8; POINT_BYTES]) -> (String, String) {
    (URL_SAFE_NO_PAD.encode(&point[1..33]), URL_SAFE_NO_PAD.encode(&point[33..]))
}

/// RFC 7638 §3: the required members in alphabetical order, without white space.
fn thumbprint(point: &[u8; POINT_BYTES]) -> String {
    let (x, y) = coordinates(point);
    let canonical = format!(r#"{{"crv":"P-256","kty":"EC","x":"{x}","y":"{y}"}}"#);
    URL_SAFE_NO_PAD.encode(sha256(&[canonical.as_bytes()]))
}

/// A pair that signs.
pub struct SigningPair {
    pair: EcdsaKeyPair,
    public: VerifyingKey,
}

impl SigningPair {
    /// A new pair, and its private part as PKCS #8.
    ///
    /// # Errors
    /// `internal` when the machine gives no randomness.
    pub fn generate() -> Result<(Self, Vec<u8>)> {
        let random = SystemRandom::new();
        let private = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random)
            .map_err(|_| Error::internal("no signing key could be made: the machine gives no randomness"))?;
        let pair = Self::from_pkcs8(private.as_ref())?;
        Ok((pair, private.as_ref().to_vec()))
    }

    /// From the private part.
    ///
    /// # Errors
    /// `internal` when it is not a P-256 pair.
    pub fn from_pkcs8(private: &[u8]) -> Result<Self> {
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, private, &SystemRandom::new())
            .map_err(|why| Error::internal(format!("a signing key can't be read: {why}")))?;
        let public = VerifyingKey::from_point(pair.public_key().as_ref())?;
        Ok(Self { pair, public })
    }

    /// The public half.
    pub fn public(&self) -> &VerifyingKey {
        &self.public
    }

    /// A token that says `claims`.
    ///
    /// # Errors
    /// `internal` when the token would be over 8 KB, or the machine gives no randomness.
    pub fn sign(&self, claims: &impl Serialize) -> Result<String> {
        self.sign_as(TOKEN, claims)
    }

    /// A statement of the sandbox about itself. Its type is another one than that of tokens, so that whatever it says it
    /// is never taken for one (RFC 8725 §3.11).
    ///
    /// # Errors
    /// As [`SigningPair::sign`].
    pub fn state(&self, claims: &impl Serialize) -> Result<String> {
        self.sign_as(STATEMENT, claims)
    }

    fn sign_as(&self, typ: &str, claims: &impl Serialize) -> Result<String> {
        let header = Header { alg: "ES256", typ, kid: &self.public.kid };
        let header = serde_json::to_vec(&header).map_err(Error::internal)?;
        let claims = serde_json::to_vec(claims).map_err(Error::internal)?;
        let mut token = URL_SAFE_NO_PAD.encode(header);
        token.push('.');
        URL_SAFE_NO_PAD.encode_string(claims, &mut token);
        let signature = self
            .pair
            .sign(&SystemRandom::new(), token.as_bytes())
            .map_err(|_| Error::internal("nothing could be signed: the machine gives no randomness"))?;
        token.push('.');
        URL_SAFE_NO_PAD.encode_string(signature, &mut token);
        if token.len() > MOST_BYTES {
            return Err(Error::internal(format!("a token of {} bytes: 8 KB is the limit", token.len())));
        }
        Ok(token)
    }
}

/// A token that was read and is not believed yet.
pub struct Unverified<'a> {
    message: &'a str,
    signature: [u8; SIGNATURE_BYTES],
    kid: String,
    payload: Vec<u8>,
}

impl<'a> Unverified<'a> {
    /// Reads a token as far as needed to know whose key to check it with.
    ///
    /// # Errors
    /// Everything but [`Refusal::UnknownKey`] and a wrong signature of the right length.
    pub fn read(token: &'a str) -> Result<Self, Refusal> {
        if token.len() > MOST_BYTES {
            return Err(Refusal::TooLong);
        }
        let (message, signature) = token.rsplit_once('.').ok_or(Refusal::Malformed)?;
        let (header, payload) = message.split_once('.').ok_or(Refusal::Malformed)?;
        let decode = |part: &str| URL_SAFE_NO_PAD.decode(part).map_err(|_| Refusal::Malformed);
        let header = decode(header)?;
        check_algorithm(&header)?;
        let header: Header<'_> = serde_json::from_slice(&header).map_err(|_| Refusal::Malformed)?;
        if header.typ != TOKEN {
            return Err(Refusal::Type);
        }
        if header.kid.is_empty() || header.kid.len() > MOST_KEY_ID_BYTES {
            return Err(Refusal::UnknownKey);
        }
        let kid = header.kid.to_owned();
        let signature = decode(signature)?.try_into().map_err(|_| Refusal::Signature)?;
        Ok(Self { message, signature, kid, payload: decode(payload)? })
    }

    /// The name of the key that is said to have signed it.
    pub fn kid(&self) -> &str {
        &self.kid
    }

    /// The claims, not believed: for the log.
    pub fn unverified_payload(&self) -> &[u8] {
        &self.payload
    }

    /// The claims, if `key` has signed them.
    ///
    /// # Errors
    /// [`Refusal::UnknownKey`] for another key's token, [`Refusal::Signature`].
    pub fn verify(&self, key: &VerifyingKey) -> Result<&[u8], Refusal> {
        if key.kid != self.kid {
            return Err(Refusal::UnknownKey);
        }
        key.verify(self.message.as_bytes(), &self.signature)?;
        Ok(&self.payload)
    }
}

/// Looked at first and alone, so that the log says “algorithm” for a token of an attack, whatever else it lacks.
fn check_algorithm(header: &[u8]) -> Result<(), Refusal> {
    #[derive(Deserialize)]
    struct Alg<'a> {
        alg: &'a str,
    }
    let Alg { alg } = serde_json::from_slice(header).map_err(|_| Refusal::Malformed)?;
    if alg == "ES256" { Ok(()) } else { Err(Refusal::Algorithm) }
}

#[cfg(test)]
#[path = "jws_tests.rs"]
mod tests;
