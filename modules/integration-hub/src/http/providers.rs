//! Providers.

use kernel::{Secret, Slug, Timestamp};
use ports::http::{
    Access, Body, Created, Cx, IfMatch, NoContent, One, Operation, Page, Path, Query, Result, Routes, State,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Hub;
use crate::{
    credentials::Place,
    model::{AuthType, Config, ProviderId, ProviderType, Status},
    outward::Method,
};

/// A provider to be added.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct ProviderIn {
    /// Its name, unique in the tenant.
    pub name: String,
    /// What it is for.
    #[serde(rename = "type")]
    pub kind: ProviderType,
    /// The address that paths of calls are appended to. `kernel://echo` is the installation's own echo, which answers
    /// what it was sent.
    pub base_url: String,
    /// How requests prove who sends them; `none` unless said.
    #[serde(default = "no_proof")]
    pub auth_type: AuthType,
    /// What the `authType` needs; nothing for `none`.
    pub credentials: Option<CredentialsIn>,
    /// How it is called.
    #[serde(default)]
    pub config: Config,
}

fn no_proof() -> AuthType {
    AuthType::None
}

/// What opens a provider's door. Only what the `authType` needs is taken. It is kept encrypted and never shown.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(crate) struct CredentialsIn {
    /// `api_key`: the key.
    pub key: Option<Secret>,
    /// `api_key`: the header or parameter; `X-Api-Key` unless said.
    pub name: Option<String>,
    /// `api_key`: where it stands; in a header unless said.
    #[serde(rename = "in")]
    pub place: Option<Place>,
    /// `bearer`: the token.
    pub token: Option<Secret>,
    /// `basic`: the name.
    pub username: Option<String>,
    /// `basic`: the password.
    pub password: Option<Secret>,
    /// `oauth2`: where tokens are fetched.
    pub token_url: Option<String>,
    /// `oauth2`: the client's name.
    pub client_id: Option<String>,
    /// `oauth2`: the client's secret.
    pub client_secret: Option<Secret>,
    /// `oauth2`: what to ask for.
    pub scope: Option<String>,
    /// `oauth2`: for whom.
    pub audience: Option<String>,
    /// `hmac`: sent as `X-Key-Id`, if it is given.
    pub key_id: Option<String>,
    /// `hmac`: the key. `X-Signature` is the hex HMAC-SHA-256 over `X-Timestamp` (Unix seconds), method, path with query
    /// and the hex SHA-256 of the body, joined by line feeds.
    pub secret: Option<Secret>,
}

impl CredentialsIn {
    /// The members that are there.
    pub(crate) fn names(&self) -> Vec<&'static str> {
        [
            ("key", self.key.is_some()),
            ("name", self.name.is_some()),
            ("in", self.place.is_some()),
            ("token", self.token.is_some()),
            ("username", self.username.is_some()),
            ("password", self.password.is_some()),
            ("tokenUrl", self.token_url.is_some()),
            ("clientId", self.client_id.is_some()),
            ("clientSecret", self.client_secret.is_some()),
            ("scope", self.scope.is_some()),
            ("audience", self.audience.is_some()),
            ("keyId", self.key_id.is_some()),
            ("secret", self.secret.is_some()),
        ]
        .into_iter()
        .filter_map(|(name, there)| there.then_some(name))
        .collect()
    }
}

/// What is to be changed; what is not named stays.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct ProviderPatch {
    /// Its name.
    pub name: Option<String>,
    /// What it is for.
    #[serde(rename = "type")]
    pub kind: Option<ProviderType>,
    /// The address. Credentials don't go along to another server: give them anew.
    pub base_url: Option<String>,
    /// How requests prove who sends them; give the credentials with it.
    pub auth_type: Option<AuthType>,
    /// New credentials, in place of all the old ones.
    pub credentials: Option<CredentialsIn>,
    /// How it is called, in place of the whole config.
    pub config: Option<Config>,
    /// Whether it may be called.
    pub status: Option<Status>,
}

/// A provider.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ProviderOut {
    /// Its id.
    pub id: ProviderId,
    /// Its name.
    pub name: String,
    /// What it is for.
    #[serde(rename = "type")]
    pub kind: ProviderType,
    /// Its address.
    pub base_url: String,
    /// How requests prove who sends them.
    pub auth_type: AuthType,
    /// Whether it has the credentials that it needs. A copied sandbox has none: give them anew.
    pub credentials_set: bool,
    /// How it is called.
    pub config: Config,
    /// Whether it may be called.
    pub status: Status,
    /// Whether calls pass, in the process that answers.
    pub circuit_breaker_state: Circuit,
    /// Grows with each change.
    pub version: i32,
    /// When it was added.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
}

/// States of a breaker: five failures in 30 s open it for 60 s, then one call tries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Circuit {
    /// Calls pass.
    Closed,
    /// One call tries.
    HalfOpen,
    /// Calls are refused.
    Open,
}

/// The page wanted.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ProvidersQuery {
    /// Entries a page, 1 to 100; 20 unless said.
    #[schemars(range(min = 1, max = 100))]
    pub limit: Option<u16>,
    /// The `meta.cursor` of the page before.
    pub cursor: Option<String>,
}

/// A request to try a provider with.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(crate) struct TestIn {
    /// `GET` unless said; `HEAD` is the other choice.
    pub method: Option<Method>,
    /// `/` unless said.
    pub path: Option<String>,
}

/// What came of it.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct TestOut {
    /// Whether the provider answered with success or a redirect.
    pub ok: bool,
    /// The status it answered with.
    pub status: Option<u16>,
    /// What went wrong.
    pub error: Option<String>,
    /// How long it took.
    pub duration_ms: u64,
}

const READ: Access = Access::Permission("integrations.read");
const CONFIGURE: Access = Access::Permission("integrations.configure");

pub(super) fn add(routes: Routes<Hub>) -> Routes<Hub> {
    routes
        .add(
            Operation::get("/integrations/providers", "listProviders", READ)
                .summary("List the providers by name")
                .query::<ProvidersQuery>()
                .lists::<ProviderOut>()
                .problems(&[Slug::InvalidCursor]),
            list,
        )
        .add(
            Operation::post("/integrations/providers", "createProvider", CONFIGURE)
                .summary("Add a provider")
                .description(
                    "Credentials are encrypted with a key of the tenant's own and never shown again. The address must be \
                     on the public internet, or on the operator's list.",
                )
                .body::<ProviderIn>()
                .answer::<ProviderOut>(201)
                .problems(&[Slug::AlreadyExists, Slug::LimitExceeded])
                .example(
                    r#"{"name":"Echo","type":"custom","baseUrl":"kernel://echo","authType":"bearer","credentials":{"token":"shown-to-nobody"},"config":{"retries":2}}"#,
                ),
            create,
        )
        .add(
            Operation::get("/integrations/providers/{id}", "getProvider", READ)
                .summary("Get a provider")
                .answer::<ProviderOut>(200),
            get,
        )
        .add(
            Operation::patch("/integrations/providers/{id}", "updateProvider", CONFIGURE)
                .summary("Change a provider")
                .description("Takes `If-Match` with the ETag of `getProvider`.")
                .body::<ProviderPatch>()
                .answer::<ProviderOut>(200)
                .problems(&[Slug::AlreadyExists, Slug::PreconditionFailed])
                .example(r#"{"status":"disabled"}"#),
            update,
        )
        .add(
            Operation::delete("/integrations/providers/{id}", "deleteProvider", CONFIGURE)
                .summary("Remove a provider with its credentials and dead letters")
                .description("The log of its calls stays."),
            delete,
        )
        .add(
            Operation::post("/integrations/providers/{id}/test", "testProvider", CONFIGURE)
                .summary("Send one request to a provider and tell what came of it")
                .description("Once, without the breaker having a say; it stands in the log of calls.")
                .body::<TestIn>()
                .answer::<TestOut>(200)
                .problems(&[Slug::InvalidState, Slug::Overloaded])
                .example(r#"{"path":"/"}"#)
                .harmless(),
            test,
        )
}

async fn list(
    State(hub): State<Hub>,
    Cx(cx): Cx,
    Query(query): Query<ProvidersQuery>,
) -> Result<Page<ProviderOut>> {
    Ok(hub.providers(&cx, &query).await?)
}

async fn create(
    State(hub): State<Hub>,
    Cx(cx): Cx,
    Body(new): Body<ProviderIn>,
) -> Result<Created<ProviderOut>> {
    Ok(Created(hub.create_provider(&cx, new).await?))
}

async fn get(State(hub): State<Hub>, Cx(cx): Cx, Path(id): Path<ProviderId>) -> Result<One<ProviderOut>> {
    let provider = hub.provider(&cx, id).await?;
    let version = provider.version;
    Ok(One::versioned(provider, version))
}

async fn update(
    State(hub): State<Hub>,
    Cx(cx): Cx,
    Path(id): Path<ProviderId>,
    IfMatch(version): IfMatch,
    Body(patch): Body<ProviderPatch>,
) -> Result<One<ProviderOut>> {
    let provider = hub.update_provider(&cx, id, version, patch).await?;
    let version = provider.version;
    Ok(One::versioned(provider, version))
}

async fn delete(State(hub): State<Hub>, Cx(cx): Cx, Path(id): Path<ProviderId>) -> Result<NoContent> {
    hub.delete_provider(&cx, id).await?;
    Ok(NoContent)
}

async fn test(
    State(hub): State<Hub>,
    Cx(cx): Cx,
    Path(id): Path<ProviderId>,
    Body(wish): Body<TestIn>,
) -> Result<One<TestOut>> {
    Ok(One::new(hub.test_provider(&cx, id, wish).await?))
}
