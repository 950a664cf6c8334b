//! What a client gets when it has signed in.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use fabric::crypto::{RootKey, sha256};
use kernel::{Ctx, Error, Result, SessionId, TenantId, UserId};
use uuid::Uuid;

use crate::{
    Iam,
    claims::{AUDIENCE, AccessClaims},
    http::auth::{PersonOut, TenantBrief, TokensOut},
    key_ring::Ring,
    model::{ACCESS_TOKEN_LIFE, TenantKind},
    store::standing::StandingRow,
};

/// Text in front of a refresh token.
const REFRESH: &str = "rt_";
const REFRESH_LETTERS: usize = REFRESH.len() + 43;

/// A person in a tenant, as tokens and answers tell of them.
pub(super) struct Standing {
    pub user: UserId,
    pub email: String,
    pub name: String,
    pub verified: bool,
    pub tenant: TenantId,
    pub tenant_slug: String,
    pub tenant_name: String,
    pub tenant_kind: TenantKind,
    pub roles: Vec<String>,
}

impl Standing {
    pub(super) fn of(user: UserId, tenant: TenantId, row: StandingRow) -> Self {
        let roles = row.role_names();
        Self {
            user,
            email: row.email,
            name: row.name,
            verified: row.verified,
            tenant,
            tenant_slug: row.tenant_slug,
            tenant_name: row.tenant_name,
            tenant_kind: row.tenant_kind,
            roles,
        }
    }
}

/// An opaque token that is exchanged for the next pair.
pub(super) struct RefreshToken(String);

impl RefreshToken {
    /// The first of a session.
    pub(super) fn make(cx: &Ctx) -> Self {
        Self(format!("{REFRESH}{}", URL_SAFE_NO_PAD.encode(cx.random::<32>())))
    }

    /// As a client sends it.
    ///
    /// # Errors
    /// `unauthorized` when it is not of a refresh token's form.
    pub(super) fn read(text: &str) -> Result<Self> {
        if text.len() != REFRESH_LETTERS || !text.starts_with(REFRESH) {
            return Err(Error::unauthorized().because("the refresh token is not well formed"));
        }
        Ok(Self(text.to_owned()))
    }

    /// The one that follows. Worked out, not drawn: whoever asks again within the grace gets the same one, although only
    /// hashes are kept.
    pub(super) fn next(&self, key: &RootKey) -> Self {
        Self(format!("{REFRESH}{}", URL_SAFE_NO_PAD.encode(key.mac("refresh", self.0.as_bytes()))))
    }

    /// What is kept of it.
    pub(super) fn hash(&self) -> [u8; 32] {
        sha256(&[self.0.as_bytes()])
    }
}

impl Iam {
    /// A fresh access token beside `refresh`.
    pub(super) fn tokens(
        &self,
        cx: &Ctx,
        ring: &Ring,
        who: Standing,
        session: SessionId,
        refresh: RefreshToken,
    ) -> Result<TokensOut> {
        let now = cx.now();
        let expires_at = now.plus(ACCESS_TOKEN_LIFE);
        let claims = AccessClaims {
            sub: who.user,
            sid: session,
            jti: Uuid::now_v7(),
            email: who.email,
            tenant_id: who.tenant,
            roles: who.roles,
            iat: now.unix_seconds(),
            exp: expires_at.unix_seconds(),
            iss: self.issuer.to_string(),
            aud: AUDIENCE.to_owned(),
        };
        let access_token = ring.current().sign(&claims)?;
        Ok(TokensOut {
            access_token,
            refresh_token: refresh.0,
            token_type: "Bearer".to_owned(),
            expires_at,
            user: PersonOut {
                id: who.user,
                email: claims.email,
                name: who.name,
                email_verified: who.verified,
            },
            tenant: TenantBrief {
                id: who.tenant,
                slug: who.tenant_slug,
                name: who.tenant_name,
                kind: who.tenant_kind,
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kernel::{Clock, SandboxName};

    #[test]
    fn the_next_refresh_token_follows_from_the_old_one_under_the_sandboxs_key() {
        let cx = Ctx::build(SandboxName::default_sandbox(), Clock::real()).finish();
        let (key, fork) = (RootKey::new(&[1; 32]), RootKey::new(&[2; 32]));
        let first = RefreshToken::make(&cx);
        let next = first.next(&key);
        assert_eq!(next.0, RefreshToken::read(&first.0).unwrap().next(&key).0);
        assert_ne!(next.0, first.next(&fork).0);
        assert_ne!(next.hash(), first.hash());
        assert!(RefreshToken::read(&next.0).is_ok());
        for bad in ["", "rt_", "rt_short", &first.0[1..], &format!("{}x", first.0)] {
            assert!(RefreshToken::read(bad).is_err(), "{bad}");
        }
    }
}
