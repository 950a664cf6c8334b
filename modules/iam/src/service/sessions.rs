//! A person's own sessions, and who they are.

use std::{collections::BTreeMap, sync::Arc};

use fabric::postgres::{Audit, Reason};
use flags::Context;
use kernel::{Actor, Ctx, Error, Result, SessionId, Timestamp};
use ports::http::{Page, Paging, page_size};
use serde_json::Value;

use super::{person, tokens::RefreshToken};
use crate::{
    Iam,
    generations::Subject,
    http::auth::{FlagsOut, LogoutIn, MeOut, PersonOut, SessionOut, SessionsEndedOut, TenantBrief},
    model::{RoleKind, SessionEnd, TenantKind},
    store::{sessions, standing, tenants},
};

impl Iam {
    /// Ends the session of the refresh token, or else of the caller. Telling nothing about tokens that are unknown.
    ///
    /// # Errors
    /// `unauthorized` without a refresh token and without a session.
    pub async fn logout(&self, cx: &Ctx, input: LogoutIn) -> Result<SessionsEndedOut> {
        let token = input.refresh_token.as_ref().map(|token| RefreshToken::read(token.expose())).transpose();
        let session = match cx.actor() {
            Actor::User { session, .. } => Some(*session),
            _ => None,
        };
        if input.refresh_token.is_none() && session.is_none() {
            return Err(Error::unauthorized());
        }
        let mut tx = self.db.system(cx, Reason::SignIn).begin().await?;
        let named = match token {
            Ok(Some(token)) => sessions::lock_refresh(&mut tx, &token.hash()).await?,
            _ => None,
        };
        let (session, tenant) = match (named, &input.refresh_token) {
            (Some(row), _) => (Some(row.session_id), Some(row.tenant_id)),
            (None, Some(_)) => (None, None),
            (None, None) => (session, cx.tenant().ok()),
        };
        let mut ended = 0;
        if let (Some(session), Some(tenant)) = (session, tenant)
            && sessions::end(&mut tx, session, SessionEnd::Logout, cx.now()).await?
        {
            ended = 1;
            tx.audit(Audit::new("session.ended", "session", session).of(tenant))?;
        }
        let out = tx.commit(SessionsEndedOut { sessions_ended: ended }).await?;
        session.into_iter().for_each(|session| self.memory.changed(Subject::Session(session)));
        Ok(out)
    }

    /// Ends all sessions of the person, in all tenants, this one too.
    ///
    /// # Errors
    /// `forbidden` for keys and modules.
    pub async fn logout_all(&self, cx: &Ctx) -> Result<SessionsEndedOut> {
        let (user, _) = person(cx)?;
        let mut tx = self.db.system(cx, Reason::SignIn).begin().await?;
        let ended = sessions::end_all(&mut tx, user, None, SessionEnd::Logout, cx.now()).await?;
        tx.audit(Audit::new("session.all_ended", "user", user))?;
        let sessions_ended = i64::try_from(ended.len()).unwrap_or(i64::MAX);
        let out = tx.commit(SessionsEndedOut { sessions_ended }).await?;
        ended.into_iter().for_each(|session| self.memory.changed(Subject::Session(session)));
        Ok(out)
    }

    /// The live sessions of the person in this tenant.
    ///
    /// # Errors
    /// `forbidden` for keys and modules; `invalid-cursor`.
    pub async fn sessions(&self, cx: &Ctx, paging: &Paging) -> Result<Page<SessionOut>> {
        let (user, current) = person(cx)?;
        let list = format!("sessions/{user}");
        let tenant = cx.tenant().ok();
        let limit = page_size(paging.limit)?;
        let after: Option<(i64, SessionId)> =
            paging.cursor.as_deref().map(|cursor| self.cursors.read(tenant, &list, cursor)).transpose()?;
        let after = after.and_then(|(at, id)| Some((Timestamp::from_micros(at)?, id)));
        let rows = sessions::list(&self.db.tenant(cx)?, user, cx.now(), after, limit).await?;
        let page = Page::cut(rows, limit, |last| {
            self.cursors.write(tenant, &list, &(last.created_at.micros(), last.id))
        });
        Ok(page.map(|row| SessionOut {
            id: row.id,
            current: row.id == current,
            device: row.agent,
            address: row.address,
            created_at: row.created_at,
            last_used_at: row.last_used_at,
            expires_at: row.expires_at,
        }))
    }

    /// Ends one session of the person in this tenant.
    ///
    /// # Errors
    /// `not-found` when there is none that lives; `forbidden` for keys and modules.
    pub async fn end_session(&self, cx: &Ctx, session: SessionId) -> Result<()> {
        let (user, _) = person(cx)?;
        let mut tx = self.db.tenant(cx)?.begin().await?;
        if !sessions::end_own(&mut tx, user, session, cx.now()).await? {
            return Err(Error::not_found("session"));
        }
        tx.audit(Audit::new("session.ended", "session", session))?;
        tx.commit(()).await?;
        self.memory.changed(Subject::Session(session));
        Ok(())
    }

    /// The caller: person, tenant, roles, permissions.
    ///
    /// # Errors
    /// `unauthorized` for whoever belongs to no tenant.
    pub async fn me(&self, cx: &Ctx) -> Result<MeOut> {
        let tenant = cx.tenant()?;
        let permissions: Vec<String> = cx.caller().permissions.iter().map(str::to_owned).collect();
        let kind = cx.actor().kind().to_owned();
        let Some(user) = cx.actor().user() else {
            let row = tenants::info(&self.db, cx, tenant).await?.ok_or_else(Error::unauthorized)?;
            let flags =
                FlagsOut { owner: false, platform: row.kind == TenantKind::Platform, email_verified: false };
            let tenant = TenantBrief { id: row.id, slug: row.slug, name: row.name, kind: row.kind };
            let features = self.features(cx, Context::new(cx.actor().name())).await?;
            return Ok(MeOut { kind, user: None, tenant, roles: Vec::new(), permissions, flags, features });
        };
        let row = standing::read(&self.db, cx, tenant, user, None).await?.ok_or_else(Error::unauthorized)?;
        let roles = row.role_names();
        let about =
            Context::new(user.to_string()).with("email", row.email.as_str()).with("roles", roles.clone());
        Ok(MeOut {
            kind,
            features: self.features(cx, about).await?,
            roles,
            flags: FlagsOut {
                owner: row.roles.iter().any(|role| role.kind == RoleKind::Owner),
                platform: row.tenant_kind == TenantKind::Platform,
                email_verified: row.verified,
            },
            user: Some(PersonOut {
                id: user,
                email: row.email,
                name: row.name,
                email_verified: row.verified,
            }),
            tenant: TenantBrief {
                id: tenant,
                slug: row.tenant_slug,
                name: row.tenant_name,
                kind: row.tenant_kind,
            },
            permissions,
        })
    }

    /// Every feature flag that has a value for the caller.
    async fn features(&self, cx: &Ctx, about: Context) -> Result<BTreeMap<String, Value>> {
        let flags = self.flags.of(cx).await?;
        let about = flags.own(about);
        let values = flags.iter().filter_map(|(key, _)| {
            let value = flags.evaluate(key, &about).value?;
            Some((key.to_owned(), value.clone()))
        });
        Ok(values.collect())
    }

    /// The public keys that verify this sandbox's tokens.
    ///
    /// # Errors
    /// What the database says.
    pub async fn public_keys(&self, cx: &Ctx) -> Result<Arc<serde_json::Value>> {
        Ok(Arc::clone(self.keys.ring(cx).await?.jwks()))
    }

    /// The sandbox's address, as tokens name it.
    pub fn issuer(&self) -> &str {
        &self.issuer
    }
}
