//! `/roles` and `/permissions`.

use std::sync::Arc;

use kernel::{RoleId, Slug, Timestamp};
use ports::http::{
    Access, Body, Created, Cx, IfMatch, NoContent, One, Operation, Page, Paging, Path, Query, Result, Routes,
    ServiceRoutes, State,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    Iam, NAME,
    model::{RoleKind, permission::PermissionGroup},
};

pub(super) const CREATE: &str =
    r#"{"name":"Support","description":"Answers customers.","permissions":["users.list","files.read"]}"#;
pub(super) const PATCH: &str = r#"{"permissions":["users.list","files.read","files.write"]}"#;

/// A custom role.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RoleIn {
    /// Its name, unique in the tenant.
    pub name: String,
    /// What it is for.
    pub description: Option<String>,
    /// What it grants; none that the caller lacks.
    pub permissions: Vec<String>,
}

/// What can be changed of a custom role.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RolePatch {
    /// Its name.
    pub name: Option<String>,
    /// What it is for.
    pub description: Option<String>,
    /// All that it grants.
    pub permissions: Option<Vec<String>>,
}

/// A role.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RoleOut {
    /// Its id.
    pub id: RoleId,
    /// Whether it is built in.
    pub kind: RoleKind,
    /// Its name.
    pub name: String,
    /// What it is for.
    pub description: String,
    /// What it grants.
    pub permissions: Vec<String>,
    /// Since when.
    pub created_at: Timestamp,
    /// The last change.
    pub updated_at: Timestamp,
    /// Grows with each change; `If-Match` takes it.
    pub version: i32,
}

pub(super) fn routes(iam: Arc<Iam>) -> ServiceRoutes {
    Routes::new(NAME, iam)
        .add(
            Operation::get("/permissions", "listPermissions", Access::Permission("roles.list"))
                .summary("Everything that can be granted, by resource and module")
                .lists::<PermissionGroup>(),
            permissions,
        )
        .add(
            Operation::get("/roles", "listRoles", Access::Permission("roles.list"))
                .summary("List the roles of the tenant")
                .query::<Paging>()
                .lists::<RoleOut>()
                .problems(&[Slug::InvalidCursor]),
            list,
        )
        .add(
            Operation::post("/roles", "createRole", Access::Permission("roles.create"))
                .summary("Make a role")
                .body::<RoleIn>()
                .answer::<RoleOut>(201)
                .problems(&[Slug::AlreadyExists, Slug::LimitExceeded])
                .example(CREATE),
            create,
        )
        .add(
            Operation::get("/roles/{id}", "getRole", Access::Permission("roles.list"))
                .summary("Read a role")
                .answer::<RoleOut>(200),
            read,
        )
        .add(
            Operation::patch("/roles/{id}", "updateRole", Access::Permission("roles.update"))
                .summary("Change a custom role")
                .body::<RolePatch>()
                .answer::<RoleOut>(200)
                .problems(&[Slug::AlreadyExists, Slug::InvalidState, Slug::PreconditionFailed])
                .example(PATCH),
            update,
        )
        .add(
            Operation::delete("/roles/{id}", "deleteRole", Access::Permission("roles.delete"))
                .summary("Remove a custom role that nobody holds")
                .problems(&[Slug::Conflict, Slug::InvalidState, Slug::PreconditionFailed]),
            delete,
        )
        .finish()
}

async fn permissions(State(iam): State<Arc<Iam>>, Cx(cx): Cx) -> Result<Page<PermissionGroup>> {
    Ok(iam.permission_groups(&cx).await?)
}

async fn list(
    State(iam): State<Arc<Iam>>,
    Cx(cx): Cx,
    Query(paging): Query<Paging>,
) -> Result<Page<RoleOut>> {
    Ok(iam.roles(&cx, &paging).await?)
}

async fn create(
    State(iam): State<Arc<Iam>>,
    Cx(cx): Cx,
    Body(body): Body<RoleIn>,
) -> Result<Created<RoleOut>> {
    Ok(Created(iam.create_role(&cx, body).await?))
}

async fn read(State(iam): State<Arc<Iam>>, Cx(cx): Cx, Path(id): Path<RoleId>) -> Result<One<RoleOut>> {
    Ok(shown(iam.role(&cx, id).await?))
}

async fn update(
    State(iam): State<Arc<Iam>>,
    Cx(cx): Cx,
    Path(id): Path<RoleId>,
    IfMatch(seen): IfMatch,
    Body(body): Body<RolePatch>,
) -> Result<One<RoleOut>> {
    Ok(shown(iam.update_role(&cx, id, body, seen).await?))
}

async fn delete(
    State(iam): State<Arc<Iam>>,
    Cx(cx): Cx,
    Path(id): Path<RoleId>,
    IfMatch(seen): IfMatch,
) -> Result<NoContent> {
    iam.delete_role(&cx, id, seen).await?;
    Ok(NoContent)
}

fn shown(role: RoleOut) -> One<RoleOut> {
    let version = role.version;
    One::versioned(role, version)
}
