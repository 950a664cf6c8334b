//! `/tenants`: the caller's part of the tree.

use std::sync::Arc;

use kernel::{Secret, Slug, TenantId, Timestamp};
use ports::http::{
    Access, Body, Created, Cx, IfMatch, NoContent, One, Operation, Page, Path, Query, Result, Routes,
    ServiceRoutes, State,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    Iam, NAME,
    model::{TenantKind, TenantState},
    store::tenants::TenantRow,
};

pub(super) const CREATE: &str = r#"{"name":"Acme","kind":"client","owner":{"email":"wile@acme.example","name":"Wile E. Coyote","password":"tandem-gravel-42-owl"}}"#;
pub(super) const PATCH: &str = r#"{"name":"Acme International"}"#;

/// A tenant to be made.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TenantIn {
    /// Its name.
    pub name: String,
    /// `partner` or `client`.
    pub kind: TenantKind,
    /// Its name in hosts; made from the name unless said.
    pub slug: Option<String>,
    /// The one above; the caller's tenant unless said.
    pub parent_id: Option<TenantId>,
    /// Its Owner; the caller unless said.
    pub owner: Option<OwnerIn>,
}

/// The Owner of a tenant to be made: a person without an account so far.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct OwnerIn {
    /// The address to sign in with.
    pub email: String,
    /// What the person is called.
    pub name: String,
    /// 12 to 128 characters.
    pub password: Secret,
}

/// What can be changed of a tenant.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TenantPatch {
    /// Its name.
    pub name: Option<String>,
}

/// Which tenants to list.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TenantsQuery {
    /// Only those in this state; all but the deleted unless said.
    pub state: Option<TenantState>,
    /// Only those right below this one.
    pub parent_id: Option<TenantId>,
    /// Entries a page, 1 to 100; 20 unless said.
    #[schemars(range(min = 1, max = 100))]
    pub limit: Option<u16>,
    /// Where to go on.
    pub cursor: Option<String>,
}

/// A tenant.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TenantOut {
    /// Its id.
    pub id: TenantId,
    /// Its name in hosts.
    pub slug: String,
    /// Its name.
    pub name: String,
    /// Its place in the tree.
    pub kind: TenantKind,
    /// The one above.
    pub parent_id: Option<TenantId>,
    /// Its own state; one above it may be blocked besides.
    pub state: TenantState,
    /// Since when.
    pub created_at: Timestamp,
    /// The last change.
    pub updated_at: Timestamp,
    /// When it was deleted.
    pub deleted_at: Option<Timestamp>,
    /// Grows with each change; `If-Match` takes it.
    pub version: i32,
}

impl From<TenantRow> for TenantOut {
    fn from(row: TenantRow) -> Self {
        Self {
            id: row.id,
            slug: row.slug,
            name: row.name,
            kind: row.kind,
            parent_id: row.parent_id,
            state: row.state,
            created_at: row.created_at,
            updated_at: row.updated_at,
            deleted_at: row.deleted_at,
            version: row.version,
        }
    }
}

/// A tenant with those below it.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TenantTreeOut {
    /// The tenant.
    #[serde(flatten)]
    pub tenant: TenantOut,
    /// Those right below it, by name.
    pub children: Vec<TenantTreeOut>,
}

/// A part of the tree.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TreeOut {
    /// Where it begins.
    pub root: TenantTreeOut,
    /// Whether tenants were left out because there are more than 1,000.
    pub truncated: bool,
}

pub(super) fn routes(iam: Arc<Iam>) -> ServiceRoutes {
    Routes::new(NAME, iam)
        .add(
            Operation::get("/tenants", "listTenants", Access::Permission("tenants.list"))
                .summary("List your tenant and those below it")
                .query::<TenantsQuery>()
                .lists::<TenantOut>()
                .problems(&[Slug::InvalidCursor]),
            list,
        )
        .add(
            Operation::post("/tenants", "createTenant", Access::Permission("tenants.create"))
                .summary("Make a tenant below yours")
                .description("The tree is platform, partner, client: a client holds no tenants.")
                .body::<TenantIn>()
                .answer::<TenantOut>(201)
                .problems(&[Slug::AlreadyExists, Slug::InvalidState, Slug::NotFound, Slug::RateLimited])
                .example(CREATE),
            create,
        )
        .add(
            Operation::get("/tenants/{id}", "getTenant", Access::Permission("tenants.list"))
                .summary("Read a tenant")
                .answer::<TenantOut>(200),
            read,
        )
        .add(
            Operation::get("/tenants/{id}/tree", "getTenantTree", Access::Permission("tenants.list"))
                .summary("A tenant with all below it")
                .answer::<TreeOut>(200),
            tree,
        )
        .add(
            Operation::patch("/tenants/{id}", "updateTenant", Access::Permission("tenants.update"))
                .summary("Rename a tenant")
                .body::<TenantPatch>()
                .answer::<TenantOut>(200)
                .problems(&[Slug::InvalidState, Slug::PreconditionFailed])
                .example(PATCH),
            update,
        )
        .add(
            Operation::delete("/tenants/{id}", "deleteTenant", Access::Permission("tenants.delete"))
                .summary("Delete a tenant; its data is removed after 30 days")
                .problems(&[Slug::Conflict, Slug::InvalidState, Slug::PreconditionFailed]),
            delete,
        )
        .add(
            Operation::post("/tenants/{id}/block", "blockTenant", Access::Permission("tenants.block"))
                .summary("Close a tenant and all below it")
                .answer::<TenantOut>(200)
                .problems(&[Slug::InvalidState]),
            block,
        )
        .add(
            Operation::post("/tenants/{id}/unblock", "unblockTenant", Access::Permission("tenants.block"))
                .summary("Open a blocked tenant again")
                .answer::<TenantOut>(200)
                .problems(&[Slug::InvalidState]),
            unblock,
        )
        .finish()
}

async fn list(
    State(iam): State<Arc<Iam>>,
    Cx(cx): Cx,
    Query(query): Query<TenantsQuery>,
) -> Result<Page<TenantOut>> {
    Ok(iam.tenants(&cx, &query).await?)
}

async fn create(
    State(iam): State<Arc<Iam>>,
    Cx(cx): Cx,
    Body(body): Body<TenantIn>,
) -> Result<Created<TenantOut>> {
    Ok(Created(iam.create_tenant(&cx, body).await?))
}

async fn read(State(iam): State<Arc<Iam>>, Cx(cx): Cx, Path(id): Path<TenantId>) -> Result<One<TenantOut>> {
    Ok(shown(iam.tenant(&cx, id).await?))
}

async fn tree(State(iam): State<Arc<Iam>>, Cx(cx): Cx, Path(id): Path<TenantId>) -> Result<One<TreeOut>> {
    Ok(One::new(iam.tenant_tree(&cx, id).await?))
}

async fn update(
    State(iam): State<Arc<Iam>>,
    Cx(cx): Cx,
    Path(id): Path<TenantId>,
    IfMatch(seen): IfMatch,
    Body(body): Body<TenantPatch>,
) -> Result<One<TenantOut>> {
    Ok(shown(iam.update_tenant(&cx, id, body, seen).await?))
}

async fn delete(
    State(iam): State<Arc<Iam>>,
    Cx(cx): Cx,
    Path(id): Path<TenantId>,
    IfMatch(seen): IfMatch,
) -> Result<NoContent> {
    iam.delete_tenant(&cx, id, seen).await?;
    Ok(NoContent)
}

async fn block(State(iam): State<Arc<Iam>>, Cx(cx): Cx, Path(id): Path<TenantId>) -> Result<One<TenantOut>> {
    Ok(shown(iam.block_tenant(&cx, id).await?))
}

async fn unblock(
    State(iam): State<Arc<Iam>>,
    Cx(cx): Cx,
    Path(id): Path<TenantId>,
) -> Result<One<TenantOut>> {
    Ok(shown(iam.unblock_tenant(&cx, id).await?))
}

fn shown(tenant: TenantOut) -> One<TenantOut> {
    let version = tenant.version;
    One::versioned(tenant, version)
}
