//! `/auth`: registration, sign-in, sessions.

use std::{collections::BTreeMap, sync::Arc};

use kernel::{Secret, SessionId, Slug, TenantId, Timestamp, UserId};
use ports::http::{
    Access, Body, Created, Cx, NoContent, One, Operation, Page, Paging, Path, Query, Result, Routes,
    ServiceRoutes, State,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Iam, NAME, model::TenantKind};

pub(super) const REGISTER: &str = r#"{"email":"ada@example.com","password":"tandem-gravel-42-owl","name":"Ada Lovelace","organization":"Analytical Engines"}"#;
pub(super) const LOGIN: &str = r#"{"email":"admin@sandbox.localhost","password":"Sandbox2026!"}"#;
pub(super) const SELECT: &str =
    r#"{"sessionToken":"st_…","tenantId":"00000000-0000-7000-0000-000000000001"}"#;
pub(super) const SWITCH: &str = r#"{"tenantId":"00000000-0000-7000-0000-000000000001"}"#;
pub(super) const REFRESH: &str = r#"{"refreshToken":"rt_…"}"#;
pub(super) const CHANGE_PASSWORD: &str =
    r#"{"currentPassword":"Sandbox2026!","newPassword":"tandem-gravel-42-owl"}"#;

/// A new person with a new organisation.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RegisterIn {
    /// The address to sign in with.
    pub email: String,
    /// 12 to 128 characters.
    pub password: Secret,
    /// What the person is called.
    pub name: String,
    /// What the new tenant is called.
    pub organization: String,
}

/// A sign-in.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LoginIn {
    /// The address.
    pub email: String,
    /// The password.
    pub password: Secret,
}

/// The tenant of a sign-in.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SelectTenantIn {
    /// What the sign-in answered.
    pub session_token: Secret,
    /// One of the tenants that it listed.
    pub tenant_id: TenantId,
    /// Whether the next sign-in goes there without asking; true unless said.
    pub remember: Option<bool>,
}

/// Another tenant of the same person.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SwitchTenantIn {
    /// Which.
    pub tenant_id: TenantId,
}

/// A refresh token to be exchanged.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RefreshIn {
    /// The newest one of the session.
    pub refresh_token: Secret,
}

/// Which session to end.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LogoutIn {
    /// A refresh token of the session; without it, the session of the access token.
    pub refresh_token: Option<Secret>,
}

/// A new password.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ChangePasswordIn {
    /// The one you have.
    pub current_password: Secret,
    /// 12 to 128 characters.
    pub new_password: Secret,
}

/// A person, briefly.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PersonOut {
    /// Who.
    pub id: UserId,
    /// The address.
    pub email: String,
    /// The name in this tenant.
    pub name: String,
    /// Whether the address is verified.
    pub email_verified: bool,
}

/// A tenant, briefly.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TenantBrief {
    /// Which.
    pub id: TenantId,
    /// Its name in hosts.
    pub slug: String,
    /// Its name.
    pub name: String,
    /// Its place in the tree.
    pub kind: TenantKind,
}

/// A pair of tokens.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TokensOut {
    /// To be sent as `Authorization: Bearer …`; lives 15 minutes.
    pub access_token: String,
    /// To be exchanged for the next pair; lives 7 days unused, and is good once.
    pub refresh_token: String,
    /// `Bearer`.
    pub token_type: String,
    /// When the access token ends.
    pub expires_at: Timestamp,
    /// Who signed in.
    pub user: PersonOut,
    /// Where.
    pub tenant: TenantBrief,
}

/// Which tenant shall it be?
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SelectionOut {
    /// Always true.
    pub requires_tenant_selection: bool,
    /// To be sent to `/auth/select-tenant` within 5 minutes.
    pub session_token: String,
    /// When the session token ends.
    pub expires_at: Timestamp,
    /// The tenants that are open to the person.
    pub tenants: Vec<TenantBrief>,
}

/// What a sign-in answers.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(untagged)]
pub enum LoginOut {
    /// Signed in.
    Tokens(TokensOut),
    /// A tenant is to be chosen first.
    Selection(SelectionOut),
}

/// How many sessions were ended.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SessionsEndedOut {
    /// The number.
    pub sessions_ended: i64,
}

/// The caller.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MeOut {
    /// `user`, `key` or `module`.
    pub kind: String,
    /// The person; null for keys, and for modules that act for nobody.
    pub user: Option<PersonOut>,
    /// The tenant.
    pub tenant: TenantBrief,
    /// Names of the person's roles.
    pub roles: Vec<String>,
    /// What the caller may do.
    pub permissions: Vec<String>,
    /// What a console wants to know.
    pub flags: FlagsOut,
    /// The feature flags that are on for the caller, each with its value; by key.
    pub features: BTreeMap<String, serde_json::Value>,
}

/// What a console wants to know of the caller.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct FlagsOut {
    /// Whether the person is the tenant's Owner.
    pub owner: bool,
    /// Whether the tenant runs the platform.
    pub platform: bool,
    /// Whether the person's address is verified.
    pub email_verified: bool,
}

/// A session of the caller.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SessionOut {
    /// Its id.
    pub id: SessionId,
    /// Whether it is the one that asks.
    pub current: bool,
    /// What the client calls itself.
    pub device: Option<String>,
    /// Where it came from last.
    pub address: Option<String>,
    /// The sign-in.
    pub created_at: Timestamp,
    /// The last refresh.
    pub last_used_at: Timestamp,
    /// When it ends unless it is refreshed.
    pub expires_at: Timestamp,
}

pub(super) fn routes(iam: Arc<Iam>) -> ServiceRoutes {
    Routes::new(NAME, iam)
        .add(
            Operation::post("/auth/register", "register", Access::Public)
                .summary("Register a person and their organisation")
                .description("Makes the user, the tenant and its Owner in one transaction, and signs the user in.")
                .body::<RegisterIn>()
                .answer::<TokensOut>(201)
                .problems(&[Slug::AlreadyExists, Slug::RateLimited])
                .example(REGISTER),
            register,
        )
        .add(
            Operation::post("/auth/login", "login", Access::Public)
                .summary("Sign in with a password")
                .description(
                    "Of several tenants the one of the last sign-in is taken. Without one the answer lists them with a \
                     `sessionToken` for `/auth/select-tenant`.",
                )
                .body::<LoginIn>()
                .answer::<LoginOut>(200)
                .problems(&[Slug::InvalidCredentials, Slug::TooManyAttempts, Slug::RateLimited, Slug::Forbidden])
                .example(LOGIN),
            login,
        )
        .add(
            Operation::post("/auth/select-tenant", "selectTenant", Access::Public)
                .summary("Choose the tenant of a sign-in")
                .body::<SelectTenantIn>()
                .answer::<TokensOut>(200)
                .problems(&[Slug::Unauthorized, Slug::NotFound])
                .example(SELECT),
            select_tenant,
        )
        .add(
            Operation::post("/auth/switch-tenant", "switchTenant", Access::Authenticated)
                .summary("Open a session in another tenant of yours")
                .body::<SwitchTenantIn>()
                .answer::<TokensOut>(200)
                .problems(&[Slug::NotFound, Slug::Forbidden])
                .example(SWITCH),
            switch_tenant,
        )
        .add(
            Operation::post("/auth/refresh", "refreshTokens", Access::Public)
                .summary("Exchange a refresh token for a new pair")
                .description(
                    "A refresh token is good once. The same one within 10 s gives the same next one; later it ends the \
                     session, because two parties hold it.",
                )
                .body::<RefreshIn>()
                .answer::<TokensOut>(200)
                .problems(&[Slug::Unauthorized])
                .example(REFRESH),
            refresh,
        )
        .add(
            Operation::post("/auth/logout", "logout", Access::Public)
                .summary("Sign out")
                .description("Ends the session of the refresh token in the body, or else of the access token.")
                .body::<LogoutIn>()
                .answer::<SessionsEndedOut>(200)
                .problems(&[Slug::Unauthorized])
                .example(REFRESH),
            logout,
        )
        .add(
            Operation::post("/auth/logout-all", "logoutAll", Access::Authenticated)
                .summary("End all your sessions, in all tenants")
                .answer::<SessionsEndedOut>(200)
                .problems(&[Slug::Forbidden]),
            logout_all,
        )
        .add(
            Operation::get("/auth/me", "getMe", Access::Authenticated)
                .summary("Who you are: person, tenant, roles, permissions")
                .answer::<MeOut>(200),
            me,
        )
        .add(
            Operation::post("/auth/change-password", "changePassword", Access::Authenticated)
                .summary("Change your password")
                .description("Ends your other sessions, in all tenants.")
                .body::<ChangePasswordIn>()
                .answer::<SessionsEndedOut>(200)
                .problems(&[Slug::InvalidCredentials, Slug::TooManyAttempts, Slug::RateLimited, Slug::Forbidden])
                .example(CHANGE_PASSWORD),
            change_password,
        )
        .add(
            Operation::get("/auth/sessions", "listSessions", Access::Authenticated)
                .summary("Your sessions in this tenant")
                .query::<Paging>()
                .lists::<SessionOut>()
                .problems(&[Slug::InvalidCursor, Slug::Forbidden]),
            sessions,
        )
        .add(
            Operation::delete("/auth/sessions/{id}", "endSession", Access::Authenticated)
                .summary("End one of your sessions in this tenant")
                .problems(&[Slug::Forbidden]),
            end_session,
        )
        .finish()
}

async fn register(
    State(iam): State<Arc<Iam>>,
    Cx(cx): Cx,
    Body(body): Body<RegisterIn>,
) -> Result<Created<TokensOut>> {
    Ok(Created(iam.register(&cx, body).await?))
}

async fn login(State(iam): State<Arc<Iam>>, Cx(cx): Cx, Body(body): Body<LoginIn>) -> Result<One<LoginOut>> {
    Ok(One::new(iam.login(&cx, body).await?))
}

async fn select_tenant(
    State(iam): State<Arc<Iam>>,
    Cx(cx): Cx,
    Body(body): Body<SelectTenantIn>,
) -> Result<One<TokensOut>> {
    Ok(One::new(iam.select_tenant(&cx, body).await?))
}

async fn switch_tenant(
    State(iam): State<Arc<Iam>>,
    Cx(cx): Cx,
    Body(body): Body<SwitchTenantIn>,
) -> Result<One<TokensOut>> {
    Ok(One::new(iam.switch_tenant(&cx, body).await?))
}

async fn refresh(
    State(iam): State<Arc<Iam>>,
    Cx(cx): Cx,
    Body(body): Body<RefreshIn>,
) -> Result<One<TokensOut>> {
    Ok(One::new(iam.refresh(&cx, body).await?))
}

async fn logout(
    State(iam): State<Arc<Iam>>,
    Cx(cx): Cx,
    Body(body): Body<LogoutIn>,
) -> Result<One<SessionsEndedOut>> {
    Ok(One::new(iam.logout(&cx, body).await?))
}

async fn logout_all(State(iam): State<Arc<Iam>>, Cx(cx): Cx) -> Result<One<SessionsEndedOut>> {
    Ok(One::new(iam.logout_all(&cx).await?))
}

async fn me(State(iam): State<Arc<Iam>>, Cx(cx): Cx) -> Result<One<MeOut>> {
    Ok(One::new(iam.me(&cx).await?))
}

async fn change_password(
    State(iam): State<Arc<Iam>>,
    Cx(cx): Cx,
    Body(body): Body<ChangePasswordIn>,
) -> Result<One<SessionsEndedOut>> {
    Ok(One::new(iam.change_password(&cx, body).await?))
}

async fn sessions(
    State(iam): State<Arc<Iam>>,
    Cx(cx): Cx,
    Query(paging): Query<Paging>,
) -> Result<Page<SessionOut>> {
    Ok(iam.sessions(&cx, &paging).await?)
}

async fn end_session(
    State(iam): State<Arc<Iam>>,
    Cx(cx): Cx,
    Path(id): Path<SessionId>,
) -> Result<NoContent> {
    iam.end_session(&cx, id).await?;
    Ok(NoContent)
}
