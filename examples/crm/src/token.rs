//! What a module token says, and when it may be believed.
//!
//! Reading a token and its keys is the `jsonwebtoken` crate's work, the signature is `ring`'s.
//! The rules are here, in one place and without I/O: everything that is not exactly the
//! gateway's token for this module is refused.

use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::dangerous::insecure_decode_claims;
use jsonwebtoken::{Algorithm, decode_header};
use ring::signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey};
use serde::Deserialize;
use uuid::Uuid;

use crate::NAME;
use crate::issuer::Issuer;
use crate::refusal::Refusal;

const MAX_TOKEN_BYTES: usize = 8 * 1024;
const MAX_KEY_ID_BYTES: usize = 128;
/// Clocks of two machines differ a little.
const LEEWAY_SECONDS: i64 = 5;
/// The gateway's tokens live 60 s. One that claims much more is not the gateway's.
const MAX_LIFETIME_SECONDS: i64 = 120;

/// What the gateway says about the caller.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Claims {
    iss: String,
    aud: String,
    /// The user, or the key that acts for one.
    pub(crate) sub: String,
    /// The tenant, the only source of it.
    pub(crate) tenant_id: Uuid,
    /// What the user may do in this module.
    #[serde(default)]
    pub(crate) permissions: Vec<String>,
    iat: i64,
    exp: i64,
}

impl Claims {
    /// Exact first, then the module's wildcard and the owner's.
    pub(crate) fn grant(&self, permission: &str) -> bool {
        self.permissions.iter().any(|held| held == permission)
            || self.permissions.iter().any(|held| held == "crm.*" || held == "*")
    }

    fn check(&self, now: i64) -> Result<(), Refusal> {
        if self.aud != NAME {
            return Err(Refusal::OtherAudience(self.aud.clone()));
        }
        if now > self.exp.saturating_add(LEEWAY_SECONDS) {
            return Err(Refusal::Expired);
        }
        if self.iat > now.saturating_add(LEEWAY_SECONDS) {
            return Err(Refusal::FromTheFuture);
        }
        match self.exp.checked_sub(self.iat) {
            Some(1..=MAX_LIFETIME_SECONDS) => Ok(()),
            _ => Err(Refusal::Lifetime),
        }
    }
}

/// A public key of the kernel.
pub(crate) type SigningKey = UnparsedPublicKey<Vec<u8>>;

/// A token that has been read but not believed.
#[derive(Debug)]
pub(crate) struct Unverified<'a> {
    text: &'a str,
    claims: Claims,
    issuer: Issuer,
    key_id: String,
}

impl<'a> Unverified<'a> {
    /// Reads a token as far as needed to know whose key to check it with.
    pub(crate) fn read(text: &'a str) -> Result<Self, Refusal> {
        if text.len() > MAX_TOKEN_BYTES {
            return Err(Refusal::TooLong);
        }
        let header = decode_header(text).map_err(Refusal::Malformed)?;
        if header.alg != Algorithm::ES256 {
            return Err(Refusal::OtherAlgorithm);
        }
        if header.crit.is_some() {
            return Err(Refusal::CriticalExtension);
        }
        let key_id = header.kid.filter(|kid| !kid.is_empty() && kid.len() <= MAX_KEY_ID_BYTES);
        let key_id = key_id.ok_or(Refusal::NoKeyId)?;
        let claims: Claims = insecure_decode_claims(text).map_err(Refusal::Malformed)?;
        let issuer = Issuer::parse(&claims.iss).ok_or_else(|| Refusal::NoIssuer(claims.iss.clone()))?;
        Ok(Unverified { text, claims, issuer, key_id })
    }

    pub(crate) fn issuer(&self) -> &Issuer {
        &self.issuer
    }

    pub(crate) fn key_id(&self) -> &str {
        &self.key_id
    }

    /// Believes the token, if `key` has signed it and its claims hold at `now` (seconds since
    /// 1970).
    pub(crate) fn verify(self, key: &SigningKey, now: i64) -> Result<(Issuer, Claims), Refusal> {
        let (message, signature) = self.text.rsplit_once('.').ok_or(Refusal::WrongSignature)?;
        let signature = URL_SAFE_NO_PAD.decode(signature).map_err(|_| Refusal::WrongSignature)?;
        key.verify(message.as_bytes(), &signature).map_err(|_| Refusal::WrongSignature)?;
        self.claims.check(now)?;
        Ok((self.issuer, self.claims))
    }
}

/// A public key from the two coordinates of a JWK, which `jsonwebtoken` has put together.
pub(crate) fn signing_key(point: &[u8]) -> SigningKey {
    UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point.to_vec())
}

/// Seconds since 1970 by this machine's clock. Module tokens live in real time: a sandbox whose
/// clock was set forward still gets tokens of one real minute.
pub(crate) fn now_seconds() -> i64 {
    let elapsed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(elapsed.as_secs()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_800_000_000;

    fn claims(change: impl FnOnce(&mut Claims)) -> Claims {
        let mut claims = Claims {
            iss: "http://localhost:8080".to_owned(),
            aud: NAME.to_owned(),
            sub: "user".to_owned(),
            tenant_id: Uuid::nil(),
            permissions: Vec::new(),
            iat: NOW,
            exp: NOW + 60,
        };
        change(&mut claims);
        claims
    }

    #[test]
    fn a_token_of_a_minute_for_this_module_holds() {
        assert!(claims(|_| ()).check(NOW).is_ok());
        assert!(claims(|_| ()).check(NOW + 65).is_ok(), "clocks differ by a few seconds");
        assert!(claims(|_| ()).check(NOW - 5).is_ok(), "in both directions");
    }

    #[test]
    fn a_token_outside_its_time_or_for_another_does_not() {
        assert!(matches!(claims(|_| ()).check(NOW + 66), Err(Refusal::Expired)));
        assert!(matches!(claims(|_| ()).check(NOW - 6), Err(Refusal::FromTheFuture)));
        assert!(matches!(claims(|c| c.exp = NOW + 3600).check(NOW), Err(Refusal::Lifetime)));
        assert!(matches!(claims(|c| c.iat = NOW + 61).check(NOW + 61), Err(Refusal::Lifetime)));
        assert!(matches!(claims(|c| c.iat = i64::MIN).check(NOW), Err(Refusal::Lifetime)));
        for aud in ["platform-kernel", "crm", "@other/crm", ""] {
            assert!(matches!(claims(|c| c.aud = aud.to_owned()).check(NOW), Err(Refusal::OtherAudience(_))));
        }
    }

    #[test]
    fn a_permission_is_granted_exactly_or_by_wildcard() {
        let with = |held: &str| claims(|c| c.permissions = vec![held.to_owned()]);
        assert!(with("crm.deals.write").grant("crm.deals.write"));
        assert!(with("crm.*").grant("crm.deals.write"));
        assert!(with("*").grant("crm.deals.write"));
        assert!(!with("crm.deals.read").grant("crm.deals.write"));
        assert!(!with("crm.deals").grant("crm.deals.write"));
        assert!(!claims(|_| ()).grant("crm.deals.write"));
    }
}
