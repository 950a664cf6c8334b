//! From a password to a session: sign-in, the choice of a tenant, the change to another one.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use fabric::{
    crypto::RootKey,
    postgres::{Audit, Reason},
};
use kernel::{Actor, Caller, Ctx, Error, Result, Secret, SessionId, Slug, TenantId, Timestamp, UserId};

use super::{
    person,
    tokens::{RefreshToken, Standing},
};
use crate::{
    Iam,
    events::{Tell as _, UserLoggedIn},
    generations::Subject,
    http::auth::{LoginIn, LoginOut, SelectTenantIn, SelectionOut, SwitchTenantIn, TenantBrief, TokensOut},
    lockout::Target,
    model::{SELECTION_LIFE, normal_email},
    store::{
        accounts::{self, SignInRow},
        sessions::{self, NewSession},
        standing::{self, StandingRow},
    },
};

impl Iam {
    /// Signs in with a password: to the tenant of the last time, to the only one, or, of several, not before one is
    /// chosen.
    ///
    /// # Errors
    /// `invalid-credentials`; `too-many-attempts`; `rate-limited` when the hash pool is full; `forbidden` when the
    /// password is right and no tenant is open to the person.
    pub async fn login(&self, cx: &Ctx, input: LoginIn) -> Result<LoginOut> {
        let email = normal_email(&input.email);
        // Before any look at the database: whoever is locked out costs nothing.
        self.lockout.check(Target::new(&email, cx.client().address))?;
        let account = accounts::for_sign_in(&self.db, cx, &email).await?;
        let account = self.prove(cx, &email, account, &input.password).await?;
        let open = accounts::open_tenants(&self.db, cx, account.user_id).await?;
        let last = account.last_tenant_id.filter(|last| open.iter().any(|tenant| tenant.id == *last));
        let chosen = match (last, open.as_slice()) {
            (Some(last), _) => last,
            (None, [only]) => only.id,
            (None, []) => {
                return Err(Error::new(
                    Slug::Forbidden,
                    "The password is right, but no organisation is open to you: your membership or the organisation \
                     is blocked. Ask its Owner.",
                ));
            }
            (None, several) => {
                let (session_token, expires_at) = Ticket::issue(self.db.key(), account.user_id, cx.now());
                let tenants = several.iter().map(|tenant| TenantBrief {
                    id: tenant.id,
                    slug: tenant.slug.clone(),
                    name: tenant.name.clone(),
                    kind: tenant.kind,
                });
                return Ok(LoginOut::Selection(SelectionOut {
                    requires_tenant_selection: true,
                    session_token,
                    expires_at,
                    tenants: tenants.collect(),
                }));
            }
        };
        self.open_session(cx, account.user_id, chosen, true).await.map(LoginOut::Tokens)
    }

    /// Goes on after [`Iam::login`] asked which tenant it shall be.
    ///
    /// # Errors
    /// `unauthorized` for a session token that is wrong, over, or older than the password; `not-found` for a tenant that
    /// is not open to the person.
    pub async fn select_tenant(&self, cx: &Ctx, input: SelectTenantIn) -> Result<TokensOut> {
        let ticket = Ticket::read(self.db.key(), input.session_token.expose(), cx.now())?;
        let account = accounts::for_sign_in_by_id(&self.db, cx, ticket.user).await?;
        let current =
            account.is_some_and(|account| account.changed_at.is_none_or(|at| at <= ticket.issued_at));
        if !current {
            return Err(
                Error::unauthorized().because("the password was changed after the session token was given")
            );
        }
        self.open_session(cx, ticket.user, input.tenant_id, input.remember.unwrap_or(true)).await
    }

    /// A session of the same person in another tenant, beside the one that asks.
    ///
    /// # Errors
    /// `forbidden` for keys and modules; `not-found` for a tenant that is not open to the person.
    pub async fn switch_tenant(&self, cx: &Ctx, input: SwitchTenantIn) -> Result<TokensOut> {
        let (user, _) = person(cx)?;
        self.open_session(cx, user, input.tenant_id, true).await
    }

    /// Checks the password of the account of `email`, under the lock-out. An unknown address, which has no account,
    /// takes as long as a known one.
    pub(super) async fn prove(
        &self,
        cx: &Ctx,
        email: &str,
        account: Option<SignInRow>,
        password: &Secret,
    ) -> Result<SignInRow> {
        let target = Target::new(email, cx.client().address);
        self.lockout.check(target)?;
        let kept = account.as_ref().and_then(|account| account.password_hash.clone());
        let (right, failed_before) =
            tokio::join!(self.passwords.verify(cx, password, kept), self.lockout.learn(target));
        let right = right?;
        // Again: of many guesses at the same time, those after the fifth failure learn nothing.
        self.lockout.check(target)?;
        match account.filter(|_| right) {
            Some(account) => {
                self.lockout.succeeded(target, failed_before).await;
                Ok(account)
            }
            None => {
                self.lockout.failed(target).await;
                tracing::info!(address = ?cx.client().address, "a sign-in failed");
                Err(Error::new(Slug::InvalidCredentials, "E-mail and password do not belong together."))
            }
        }
    }

    async fn open_session(
        &self,
        cx: &Ctx,
        user: UserId,
        tenant: TenantId,
        remember: bool,
    ) -> Result<TokensOut> {
        let row = standing::read(&self.db, cx, tenant, user, None).await?;
        let row = row.filter(StandingRow::is_open).ok_or_else(|| Error::not_found("tenant"))?;
        let ring = self.keys.ring(cx).await?;
        let session = SessionId::new();
        let actor = Actor::User { id: user, session, email: row.email.as_str().into() };
        let cx = &cx.with_caller(Caller { tenant: Some(tenant), actor, ..Caller::stranger() });

        let mut tx = self.db.system(cx, Reason::SignIn).begin().await?;
        let refresh = RefreshToken::make(cx);
        let new = NewSession { id: session, tenant, user, refresh_hash: refresh.hash() };
        let replaced = sessions::open(&mut tx, cx, &new).await?;
        if remember {
            accounts::remember_tenant(&mut tx, user, tenant).await?;
        }
        tx.event(UserLoggedIn { user_id: user, tenant_id: tenant, session_id: session }.event()?)?;
        tx.audit(Audit::new("session.created", "session", session))?;
        let tokens = self.tokens(cx, &ring, Standing::of(user, tenant, row), session, refresh)?;
        let tokens = tx.commit(tokens).await?;
        replaced.into_iter().for_each(|old| self.memory.changed(Subject::Session(old)));
        Ok(tokens)
    }
}

/// Says that a password was found right, for as long as the choice of a tenant takes. Not kept anywhere: it is signed
/// with the sandbox's key.
struct Ticket {
    user: UserId,
    issued_at: Timestamp,
}

const TICKET: &str = "st_";
const TICKET_MAC: &str = "tenant selection";

impl Ticket {
    fn issue(key: &RootKey, user: UserId, now: Timestamp) -> (String, Timestamp) {
        let body = [&user.uuid().as_bytes()[..], &now.micros().to_be_bytes()].concat();
        let text = [&body[..], &key.mac(TICKET_MAC, &body)].concat();
        (format!("{TICKET}{}", URL_SAFE_NO_PAD.encode(text)), now.plus(SELECTION_LIFE))
    }

    fn read(key: &RootKey, text: &str, now: Timestamp) -> Result<Self> {
        let wrong =
            || Error::unauthorized().because("the session token is not one of this sandbox's, or is over");
        let text = text.strip_prefix(TICKET).filter(|text| text.len() < 100).ok_or_else(wrong)?;
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| wrong())?;
        let (body, mac) = bytes.split_at_checked(24).ok_or_else(wrong)?;
        if !key.verify_mac(TICKET_MAC, body, mac) {
            return Err(wrong());
        }
        let (user, issued) = body.split_at(16);
        let user = uuid::Uuid::from_slice(user).map_err(|_| wrong())?;
        let issued = i64::from_be_bytes(issued.try_into().map_err(|_| wrong())?);
        let issued_at = Timestamp::from_micros(issued).ok_or_else(wrong)?;
        if now >= issued_at.plus(SELECTION_LIFE) {
            return Err(wrong());
        }
        Ok(Self { user: UserId::from_uuid(user), issued_at })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_ticket_is_good_for_five_minutes_in_its_own_sandbox() {
        let key = RootKey::new(&[1; 32]);
        let (user, now) = (UserId::new(), Timestamp::real());
        let (text, until) = Ticket::issue(&key, user, now);
        assert_eq!(Ticket::read(&key, &text, now.plus(Duration::from_secs(299))).unwrap().user, user);
        assert!(Ticket::read(&key, &text, until).is_err());
        assert!(Ticket::read(&RootKey::new(&[2; 32]), &text, now).is_err());
        let mut bent = text.clone().into_bytes();
        bent[10] = if bent[10] == b'A' { b'B' } else { b'A' };
        assert!(Ticket::read(&key, &String::from_utf8(bent).unwrap(), now).is_err());
        for bad in ["", "st_", "st_AAAA", &text[3..], &text[..text.len() - 4]] {
            assert!(Ticket::read(&key, bad, now).is_err(), "{bad}");
        }
    }
}
