//! What other services ask.

use std::sync::Arc;

use async_trait::async_trait;
use kernel::{Actor, Ctx, Error, Permissions, Result, Secret, TenantId, Timestamp, UserId};
use ports::{ModuleTokenRequest, Principal, TenantInfo, UserInfo};
use serde_json::Value;
use uuid::Uuid;

use crate::{
    Iam,
    claims::ModuleClaims,
    memory::TenantName,
    model::{MODULE_TOKEN_LIFE, MemberState, TenantKind},
    store::{
        members,
        tenants::{self, InfoRow},
    },
};

#[async_trait]
impl ports::Iam for Iam {
    async fn authenticate(&self, cx: &Ctx, credential: Secret) -> Result<Principal> {
        Self::authenticate(self, cx, &credential).await
    }

    async fn permissions(&self, cx: &Ctx, tenant: TenantId, user: UserId) -> Result<Arc<Permissions>> {
        Self::permissions(self, cx, tenant, user).await
    }

    async fn tenant(&self, cx: &Ctx, id: TenantId) -> Result<Option<TenantInfo>> {
        self.tenant_info(cx, id).await
    }

    async fn tenant_by_slug(&self, cx: &Ctx, slug: String) -> Result<Option<TenantInfo>> {
        let name = TenantName::Slug(slug.clone());
        if let Some(known) = self.memory.tenant(&name) {
            return Ok(known);
        }
        let generation = self.memory.tenant_generation();
        let info = tenants::info_by_slug(&self.db, cx, &slug).await?.map(info);
        self.memory.keep_tenant(name, generation, info.clone());
        Ok(info)
    }

    async fn is_ancestor(&self, cx: &Ctx, above: TenantId, below: TenantId) -> Result<bool> {
        tenants::is_ancestor(&self.db, cx, above, below).await
    }

    async fn user(&self, cx: &Ctx, id: UserId) -> Result<Option<UserInfo>> {
        let member = members::read(&self.db.tenant(cx)?, id).await?;
        Ok(member.filter(|member| member.state != MemberState::Deleted).map(|member| UserInfo {
            id: member.user_id,
            email: member.email,
            name: member.name,
            email_verified: member.verified,
        }))
    }

    async fn owners(&self, cx: &Ctx, tenant: TenantId) -> Result<Vec<UserId>> {
        tenants::owners(&self.db, cx, tenant).await
    }

    async fn module_token(&self, cx: &Ctx, request: ModuleTokenRequest) -> Result<Secret> {
        let tenant_id = cx.tenant()?;
        let caller = cx.caller();
        let (sub, sid) = match &caller.actor {
            Actor::User { id, session, .. } => (id.to_string(), Some(*session)),
            Actor::Module { on_behalf_of: Some(user), .. } => (user.to_string(), None),
            other => (other.name(), None),
        };
        let now = Timestamp::real();
        let claims = ModuleClaims {
            sub,
            sid,
            jti: Uuid::now_v7(),
            tenant_id,
            permissions: request
                .permissions
                .into_iter()
                .filter(|wanted| caller.permissions.allow(wanted))
                .collect(),
            iat: now.unix_seconds(),
            exp: now.plus(MODULE_TOKEN_LIFE).unix_seconds(),
            iss: self.issuer.to_string(),
            aud: request.name,
        };
        Ok(Secret::new(self.keys.ring(cx).await?.current().sign(&claims)?))
    }

    async fn sign(&self, cx: &Ctx, purpose: &'static str, claims: Value) -> Result<String> {
        let Value::Object(mut claims) = claims else {
            return Err(Error::internal(format!("only an object can be signed; {purpose:?} is none")));
        };
        claims.insert("iss".to_owned(), self.issuer.as_ref().into());
        claims.insert("iat".to_owned(), cx.now().unix_seconds().into());
        claims.insert("purpose".to_owned(), purpose.into());
        self.keys.ring(cx).await?.current().state(&claims)
    }

    async fn jwks(&self, cx: &Ctx) -> Result<Arc<Value>> {
        Ok(Arc::clone(self.keys.ring(cx).await?.jwks()))
    }
}

impl Iam {
    /// A tenant by id, from memory where that is current.
    pub(crate) async fn tenant_info(&self, cx: &Ctx, id: TenantId) -> Result<Option<TenantInfo>> {
        let name = TenantName::Id(id);
        if let Some(known) = self.memory.tenant(&name) {
            return Ok(known);
        }
        let generation = self.memory.tenant_generation();
        let info = tenants::info(&self.db, cx, id).await?.map(info);
        self.memory.keep_tenant(name, generation, info.clone());
        Ok(info)
    }
}

fn info(row: InfoRow) -> TenantInfo {
    TenantInfo {
        id: row.id,
        name: row.name,
        slug: row.slug,
        blocked: row.closed,
        is_platform: row.kind == TenantKind::Platform,
    }
}
