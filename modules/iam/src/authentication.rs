//! Whose credential this is. The hot path is one digest, one look at memory and three counters; only what is new or has
//! changed goes to the database.

use std::sync::Arc;

use fabric::crypto::sha256;
use kernel::{
    Actor, ApiKeyId, Caller, Ctx, Error, ModuleSlug, Permissions, Result, Secret, SessionId, TenantId,
    Timestamp, UserId,
};
use ports::{ModuleSnapshot, Principal};

use crate::{
    Iam,
    api_key_text::KeyText,
    claims::{AccessClaims, Claims, ModuleClaims},
    generations::{Seen, Subject},
    jws::{MOST_BYTES, Refusal, Unverified},
    memory::{Ends, KeyUse, Verified},
    model::{TenantKind, permission::Catalogue},
    store::{
        api_keys::{self, FoundKey},
        standing::{self, StandingRow},
    },
};

impl Iam {
    /// Whose credential this is: an access token, a module token or an API key.
    ///
    /// # Errors
    /// `token-expired`; `unauthorized` for everything else that is wrong, without a hint which.
    pub async fn authenticate(&self, cx: &Ctx, credential: &Secret) -> Result<Principal> {
        let text = credential.expose();
        if text.len() > MOST_BYTES {
            return Err(Error::unauthorized().because(Refusal::TooLong));
        }
        let snapshot = self.active_modules(cx).await;
        let digest = sha256(&[text.as_bytes()]);
        if let Some(known) = self.memory.credential(cx, &digest, snapshot.version) {
            self.note_key_use(&known);
            return Ok(known.principal.clone());
        }
        let verified = match KeyText::read(text) {
            Some(key) => self.verify_key(cx, &key, &snapshot).await?,
            None => self.verify_token(cx, text, &snapshot).await?,
        };
        let verified = Arc::new(verified);
        self.memory.keep_credential(digest, Arc::clone(&verified));
        self.note_key_use(&verified);
        Ok(verified.principal.clone())
    }

    async fn verify_token(&self, cx: &Ctx, text: &str, snapshot: &ModuleSnapshot) -> Result<Verified> {
        let refused = |why: Refusal| Error::unauthorized().because(why);
        let token = Unverified::read(text).map_err(refused)?;
        let Some(key) = self.keys.verifying(cx, token.kid()).await? else {
            self.log_foreign(&token);
            return Err(refused(Refusal::UnknownKey));
        };
        let payload = token.verify(&key).map_err(refused)?;
        match Claims::read(payload, &self.issuer, cx.now(), Timestamp::real())? {
            Claims::Access(claims) => self.verify_access(cx, claims, snapshot).await,
            Claims::Module(claims) => self.verify_module(cx, claims, snapshot).await,
        }
    }

    async fn verify_access(
        &self,
        cx: &Ctx,
        claims: AccessClaims,
        snapshot: &ModuleSnapshot,
    ) -> Result<Verified> {
        let (tenant, user, session) = (claims.tenant_id, claims.sub, claims.sid);
        let (seen, row, permissions) = self.standing(cx, tenant, user, Some(session), snapshot).await?;
        let ends = at_seconds(claims.exp)?;
        let actor = Actor::User { id: user, session, email: row.email.into() };
        Ok(Verified {
            principal: Principal {
                caller: Caller { tenant: Some(tenant), actor, permissions: Arc::new(permissions) },
                expires_at: Some(ends),
                of_platform: row.tenant_kind == TenantKind::Platform,
            },
            ends: Ends::At(ends),
            seen,
            key_use: None,
        })
    }

    /// A member who may use the tenant, with what was current before the reading.
    async fn standing(
        &self,
        cx: &Ctx,
        tenant: TenantId,
        user: UserId,
        session: Option<SessionId>,
        snapshot: &ModuleSnapshot,
    ) -> Result<(Seen, StandingRow, Permissions)> {
        let (whole, member) = (Subject::Tenant(tenant), Subject::Member(tenant, user));
        let seen = match session {
            Some(session) => {
                self.memory.generations.look([whole, member, Subject::Session(session)], snapshot.version)
            }
            None => self.memory.generations.look([whole, member], snapshot.version),
        };
        let row = standing::read(&self.db, cx, tenant, user, session).await?;
        let row = row.filter(StandingRow::is_open).ok_or_else(|| closed("member, session or tenant"))?;
        let permissions = Catalogue::new(row.tenant_kind, tenant, snapshot).of_roles(&row.roles);
        Ok((seen, row, permissions))
    }

    /// A back-end calls back: it may do what the token says and the one it acts for may still do.
    async fn verify_module(
        &self,
        cx: &Ctx,
        claims: ModuleClaims,
        snapshot: &ModuleSnapshot,
    ) -> Result<Verified> {
        let tenant = claims.tenant_id;
        let slug = installed(snapshot, tenant, &claims.aud).ok_or_else(|| closed("module"))?;
        let user = claims.sub.parse::<UserId>().ok();
        let key = claims.sub.strip_prefix("key:").and_then(|id| id.parse::<ApiKeyId>().ok());
        let (seen, permissions) = match (user, key) {
            (Some(user), _) => {
                let (seen, _, permissions) = self.standing(cx, tenant, user, claims.sid, snapshot).await?;
                (seen, permissions)
            }
            (None, Some(key)) => {
                let (seen, found) = self.open_key(cx, tenant, key, snapshot).await?;
                (seen, Permissions::new(found.permissions))
            }
            // Another module, or a service: it holds no roles that could have changed.
            (None, None) => {
                let seen = self.memory.generations.look([Subject::Tenant(tenant)], snapshot.version);
                let info = self.tenant_info(cx, tenant).await?;
                info.filter(|tenant| !tenant.blocked).ok_or_else(|| closed("tenant"))?;
                (seen, Permissions::new(claims.permissions.clone()))
            }
        };
        let granted = claims.permissions.into_iter().filter(|wanted| permissions.allow(wanted));
        let ends = at_seconds(claims.exp)?;
        let left = ends.since(Timestamp::real());
        Ok(Verified {
            principal: Principal {
                caller: Caller {
                    tenant: Some(tenant),
                    actor: Actor::Module { slug, on_behalf_of: user },
                    permissions: Arc::new(Permissions::new(granted)),
                },
                expires_at: Some(cx.now().plus(left)),
                of_platform: false,
            },
            ends: Ends::AtReal(ends),
            seen,
            key_use: None,
        })
    }

    async fn verify_key(&self, cx: &Ctx, text: &KeyText<'_>, snapshot: &ModuleSnapshot) -> Result<Verified> {
        let named = api_keys::find(&self.db, cx, text.prefix).await?.ok_or_else(|| closed("key"))?;
        if !text.fits(&named.secret_hash) {
            return Err(closed("key"));
        }
        // Which key it is was learnt by reading; what can change is read after its counters were noted.
        let (seen, found) = self.open_key(cx, named.tenant_id, named.id, snapshot).await?;
        Ok(Verified {
            principal: Principal {
                caller: Caller {
                    tenant: Some(found.tenant_id),
                    actor: Actor::Key(found.id),
                    permissions: Arc::new(Permissions::new(found.permissions)),
                },
                expires_at: found.expires_at,
                of_platform: false,
            },
            ends: found.expires_at.map_or(Ends::Never, Ends::At),
            seen,
            key_use: Some(KeyUse::new(found.id)),
        })
    }

    async fn open_key(
        &self,
        cx: &Ctx,
        tenant: TenantId,
        key: ApiKeyId,
        snapshot: &ModuleSnapshot,
    ) -> Result<(Seen, FoundKey)> {
        let seen = self.memory.generations.look([Subject::Key(key)], snapshot.version);
        let found = api_keys::find_by_id(&self.db, cx, tenant, key).await?;
        let open = |found: &FoundKey| found.open && found.expires_at.is_none_or(|end| cx.now() < end);
        Ok((seen, found.filter(open).ok_or_else(|| closed("key"))?))
    }

    /// What a member may do now; nothing for whoever is none.
    ///
    /// # Errors
    /// What the database says.
    pub async fn permissions(&self, cx: &Ctx, tenant: TenantId, user: UserId) -> Result<Arc<Permissions>> {
        let snapshot = self.active_modules(cx).await;
        if let Some(known) = self.memory.permissions(tenant, user, snapshot.version) {
            return Ok(known);
        }
        let subjects = [Subject::Tenant(tenant), Subject::Member(tenant, user)];
        let seen = self.memory.generations.look(subjects, snapshot.version);
        let row = standing::read(&self.db, cx, tenant, user, None).await?;
        let permissions = Arc::new(match row.filter(StandingRow::is_open) {
            Some(row) => Catalogue::new(row.tenant_kind, tenant, &snapshot).of_roles(&row.roles),
            None => Permissions::default(),
        });
        self.memory.keep_permissions(tenant, user, seen, Arc::clone(&permissions));
        Ok(permissions)
    }

    /// Writes down that a key was used, at most once a minute, beside the request.
    fn note_key_use(&self, verified: &Verified) {
        let Some(key) = verified.key_use.as_ref().and_then(KeyUse::due) else { return };
        let Some(iam) = self.this.upgrade() else { return };
        tokio::spawn(async move {
            let cx = Ctx::system(iam.sandbox.clone(), iam.clock.clone(), crate::NAME);
            if let Err(error) = api_keys::used(&iam.db, &cx, key, cx.now()).await {
                tracing::debug!(%key, ?error, "the use of an API key was not written down");
            }
        });
    }

    fn log_foreign(&self, token: &Unverified<'_>) {
        let claims: serde_json::Value =
            serde_json::from_slice(token.unverified_payload()).unwrap_or_default();
        let issuer: String = claims["iss"].as_str().unwrap_or("?").chars().take(120).collect();
        tracing::info!(token_of = ?issuer, host_of = %self.issuer, "a token signed with an unknown key");
    }
}

fn closed(what: &'static str) -> Error {
    Error::unauthorized().because(format!("the {what} behind the credential is not there, blocked or ended"))
}

fn at_seconds(seconds: i64) -> Result<Timestamp> {
    seconds
        .checked_mul(1_000_000)
        .and_then(Timestamp::from_micros)
        .ok_or_else(|| Error::unauthorized().because("a time in the token is out of range"))
}

/// The module of this full name (or short name), if the tenant has it.
fn installed(snapshot: &ModuleSnapshot, tenant: TenantId, name: &str) -> Option<ModuleSlug> {
    let slugs = snapshot.installed.get(&tenant)?;
    let module = slugs.iter().find(|slug| {
        slug.as_str() == name || snapshot.modules.get(slug).is_some_and(|module| module.name == name)
    })?;
    snapshot.modules.contains_key(module).then(|| module.clone())
}
