//! `/api-keys`.

use std::sync::Arc;

use kernel::{ApiKeyId, Slug, Timestamp};
use ports::http::{
    Access, Body, Created, Cx, NoContent, Operation, Page, Paging, Path, Query, Result, Routes,
    ServiceRoutes, State,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Iam, NAME, model::KeyState, store::api_keys::KeyRow};

pub(super) const CREATE: &str =
    r#"{"name":"Nightly export","permissions":["files.read"],"expiresAt":"2030-01-01T00:00:00Z"}"#;

/// A key to be made.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ApiKeyIn {
    /// What it is for.
    pub name: String,
    /// What it may do; none that the caller lacks.
    pub permissions: Vec<String>,
    /// When it ends; never unless said.
    pub expires_at: Option<Timestamp>,
}

/// A key, without its secret.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ApiKeyOut {
    /// Its id.
    pub id: ApiKeyId,
    /// What it is for.
    pub name: String,
    /// How it begins, after `pk_`.
    pub prefix: String,
    /// What it may do.
    pub permissions: Vec<String>,
    /// Whether it is taken.
    pub state: KeyState,
    /// When it ends.
    pub expires_at: Option<Timestamp>,
    /// When it was last used, to the minute.
    pub last_used_at: Option<Timestamp>,
    /// Who made it.
    pub created_by: String,
    /// Since when.
    pub created_at: Timestamp,
    /// When it was revoked.
    pub revoked_at: Option<Timestamp>,
}

/// A key that was just made.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct NewApiKeyOut {
    /// The key itself, shown this once.
    pub key: String,
    /// What is kept of it.
    #[serde(flatten)]
    pub details: ApiKeyOut,
}

impl From<KeyRow> for ApiKeyOut {
    fn from(row: KeyRow) -> Self {
        Self {
            id: row.id,
            name: row.name,
            prefix: row.prefix,
            permissions: row.permissions,
            state: row.state,
            expires_at: row.expires_at,
            last_used_at: row.last_used_at,
            created_by: row.created_by,
            created_at: row.created_at,
            revoked_at: row.revoked_at,
        }
    }
}

pub(super) fn routes(iam: Arc<Iam>) -> ServiceRoutes {
    Routes::new(NAME, iam)
        .add(
            Operation::get("/api-keys", "listApiKeys", Access::Permission("apikeys.list"))
                .summary("List the tenant's API keys")
                .query::<Paging>()
                .lists::<ApiKeyOut>()
                .problems(&[Slug::InvalidCursor]),
            list,
        )
        .add(
            Operation::post("/api-keys", "createApiKey", Access::Permission("apikeys.create"))
                .summary("Make an API key")
                .description("The key is in this answer and nowhere else.")
                .body::<ApiKeyIn>()
                .answer::<NewApiKeyOut>(201)
                .problems(&[Slug::LimitExceeded])
                .example(CREATE),
            create,
        )
        .add(
            Operation::delete("/api-keys/{id}", "revokeApiKey", Access::Permission("apikeys.revoke"))
                .summary("Revoke an API key"),
            revoke,
        )
        .finish()
}

async fn list(
    State(iam): State<Arc<Iam>>,
    Cx(cx): Cx,
    Query(paging): Query<Paging>,
) -> Result<Page<ApiKeyOut>> {
    Ok(iam.api_keys(&cx, &paging).await?)
}

async fn create(
    State(iam): State<Arc<Iam>>,
    Cx(cx): Cx,
    Body(body): Body<ApiKeyIn>,
) -> Result<Created<NewApiKeyOut>> {
    Ok(Created(iam.create_api_key(&cx, body).await?))
}

async fn revoke(State(iam): State<Arc<Iam>>, Cx(cx): Cx, Path(id): Path<ApiKeyId>) -> Result<NoContent> {
    iam.revoke_api_key(&cx, id).await?;
    Ok(NoContent)
}
