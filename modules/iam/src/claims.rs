//! What this service's tokens say, and when it may be believed.

use std::time::Duration;

use kernel::{Error, Result, SessionId, Slug, TenantId, Timestamp, UserId};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::model::{ACCESS_TOKEN_LIFE, MODULE_TOKEN_LIFE};

/// The audience of access tokens.
pub const AUDIENCE: &str = "platform-kernel";

/// Clocks of two replicas differ a little.
const LEEWAY_SECONDS: i64 = 5;

/// An access token: a person, signed in to one tenant. Times are on the sandbox's clock.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AccessClaims {
    /// The person.
    pub sub: UserId,
    /// The session.
    pub sid: SessionId,
    /// The token's own id.
    pub jti: Uuid,
    /// The person's address.
    pub email: String,
    /// The tenant.
    pub tenant_id: TenantId,
    /// Names of roles; what they grant is never in the token.
    pub roles: Vec<String>,
    /// Seconds since 1970.
    pub iat: i64,
    /// Seconds since 1970.
    pub exp: i64,
    /// The sandbox's address.
    pub iss: String,
    /// [`AUDIENCE`].
    pub aud: String,
}

/// A token for a module's back-end. Times are real: the back-end knows no other clock.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ModuleClaims {
    /// The person's id, or the kind and id of another actor: `key:…`.
    pub sub: String,
    /// The person's session.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub sid: Option<SessionId>,
    /// The token's own id.
    pub jti: Uuid,
    /// The tenant.
    pub tenant_id: TenantId,
    /// The module's permissions that the actor holds.
    pub permissions: Vec<String>,
    /// Seconds since 1970.
    pub iat: i64,
    /// Seconds since 1970.
    pub exp: i64,
    /// The sandbox's address.
    pub iss: String,
    /// The module's full name.
    pub aud: String,
}

/// The claims of a token whose signature was found good.
#[derive(Debug, Clone)]
pub enum Claims {
    /// For the kernel.
    Access(AccessClaims),
    /// For a module's back-end, which calls back with it.
    Module(ModuleClaims),
}

impl Claims {
    /// Reads the claims and checks issuer and times.
    ///
    /// # Errors
    /// `token-expired`, or `unauthorized` for every other reason; the source says which, for the log.
    pub fn read(payload: &[u8], issuer: &str, now: Timestamp, real_now: Timestamp) -> Result<Self> {
        #[derive(Deserialize)]
        struct Audience {
            aud: String,
        }
        let malformed = |why: serde_json::Error| Error::unauthorized().because(why);
        let Audience { aud } = serde_json::from_slice(payload).map_err(malformed)?;
        if aud == AUDIENCE {
            let claims: AccessClaims = serde_json::from_slice(payload).map_err(malformed)?;
            check_issuer(&claims.iss, issuer)?;
            check_times(claims.iat, claims.exp, now, ACCESS_TOKEN_LIFE)?;
            Ok(Self::Access(claims))
        } else {
            let claims: ModuleClaims = serde_json::from_slice(payload).map_err(malformed)?;
            check_issuer(&claims.iss, issuer)?;
            check_times(claims.iat, claims.exp, real_now, MODULE_TOKEN_LIFE)?;
            Ok(Self::Module(claims))
        }
    }
}

fn check_issuer(claimed: &str, issuer: &str) -> Result<()> {
    if claimed == issuer {
        return Ok(());
    }
    Err(Error::unauthorized().because(format!("the token is of {claimed:?}, this is {issuer:?}")))
}

fn check_times(iat: i64, exp: i64, now: Timestamp, life: Duration) -> Result<()> {
    let now = now.unix_seconds();
    let longest = i64::try_from(life.as_secs()).unwrap_or(i64::MAX);
    if iat > now.saturating_add(LEEWAY_SECONDS) {
        return Err(Error::unauthorized().because("the token is from the future"));
    }
    if !(1..=longest).contains(&exp.saturating_sub(iat)) {
        return Err(Error::unauthorized().because("the token's lifetime is not one that is given here"));
    }
    if now >= exp {
        return Err(Error::new(Slug::TokenExpired, "The access token has expired; refresh it."));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    const ISSUER: &str = "http://localhost:8080";

    fn access(change: impl FnOnce(&mut Value)) -> Option<Slug> {
        let mut claims = json!({
            "sub": UserId::new(), "sid": SessionId::new(), "jti": Uuid::now_v7(), "email": "a@b.c",
            "tenantId": TenantId::new(), "roles": ["Owner"], "iat": 1_000, "exp": 1_900, "iss": ISSUER,
            "aud": "platform-kernel",
        });
        change(&mut claims);
        verdict(&claims, 1_000)
    }

    fn verdict(claims: &Value, now: i64) -> Option<Slug> {
        let now = Timestamp::from_micros(now * 1_000_000).unwrap();
        let real = Timestamp::from_micros(50_000 * 1_000_000).unwrap();
        Claims::read(claims.to_string().as_bytes(), ISSUER, now, real).err().map(|error| error.slug())
    }

    #[test]
    fn an_access_token_is_believed_within_its_quarter_of_an_hour() {
        assert_eq!(access(|_| ()), None);
        assert_eq!(access(|c| c["iat"] = json!(1_005)), None);
        assert_eq!(
            access(|c| {
                c["iat"] = json!(100);
                c["exp"] = json!(1_000)
            }),
            Some(Slug::TokenExpired)
        );
        for wrong in [
            access(|c| {
                c["iat"] = json!(1_006);
                c["exp"] = json!(1_906)
            }),
            access(|c| c["exp"] = json!(1_901)),
            access(|c| c["exp"] = json!(999)),
            access(|c| c["exp"] = json!(i64::MAX)),
            access(|c| c["iat"] = json!(i64::MIN)),
            access(|c| c["iss"] = json!("http://other.localhost:8080")),
            access(|c| c["aud"] = json!(["platform-kernel"])),
            access(|c| c["sub"] = json!("ada")),
            access(|c| {
                c.as_object_mut().unwrap().remove("sid");
            }),
            access(|c| c["aud"] = json!("@example/crm")),
        ] {
            assert_eq!(wrong, Some(Slug::Unauthorized));
        }
    }

    #[test]
    fn a_module_token_lives_in_real_time() {
        let claims = |iat: i64| {
            json!({
                "sub": UserId::new(), "jti": Uuid::now_v7(), "tenantId": TenantId::new(), "permissions": [],
                "iat": iat, "exp": iat + 60, "iss": ISSUER, "aud": "@example/crm",
            })
        };
        assert_eq!(verdict(&claims(49_980), 1_000_000), None);
        assert_eq!(verdict(&claims(49_940), 1), Some(Slug::TokenExpired));
        assert_eq!(verdict(&claims(50_006), 1_000_000), Some(Slug::Unauthorized));
    }
}
