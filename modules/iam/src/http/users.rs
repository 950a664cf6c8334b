//! `/users`: the members of the tenant.

use std::sync::Arc;

use kernel::{RoleId, Secret, Slug, Timestamp, UserId};
use ports::http::{
    Access, Body, Created, Cx, IfMatch, NoContent, One, Operation, Page, Path, Query, Result, Routes,
    ServiceRoutes, State,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    Iam, NAME,
    model::{MemberState, RoleKind},
    store::members::MemberRow,
};

pub(super) const CREATE: &str =
    r#"{"email":"grace@example.com","name":"Grace Hopper","password":"tandem-gravel-42-owl"}"#;
pub(super) const PATCH: &str = r#"{"name":"Grace B. Hopper"}"#;
pub(super) const ROLES: &str = r#"{"roleIds":["01930000-0000-7000-8000-000000000001"]}"#;

/// A person to be added.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct UserIn {
    /// The address to sign in with.
    pub email: String,
    /// What the tenant calls the person.
    pub name: String,
    /// 12 to 128 characters.
    pub password: Secret,
    /// The roles; Member unless said. Saying them needs `roles.assign`.
    pub role_ids: Option<Vec<RoleId>>,
}

/// What can be changed of a member.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct UserPatch {
    /// What the tenant calls the person.
    pub name: Option<String>,
}

/// A member's roles.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RoleIdsIn {
    /// All of them; those not named are taken away.
    pub role_ids: Vec<RoleId>,
}

/// Which members to list.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct UsersQuery {
    /// Only those in this state; all but the deleted unless said.
    pub state: Option<MemberState>,
    /// Entries a page, 1 to 100; 20 unless said.
    #[schemars(range(min = 1, max = 100))]
    pub limit: Option<u16>,
    /// Where to go on.
    pub cursor: Option<String>,
}

/// A role that a member holds.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct HeldRoleOut {
    /// Its id.
    pub id: RoleId,
    /// Its name.
    pub name: String,
    /// Whether it is built in.
    pub kind: RoleKind,
}

/// A member.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct UserOut {
    /// Who.
    pub id: UserId,
    /// The address.
    pub email: String,
    /// The name in this tenant.
    pub name: String,
    /// Whether the address is verified.
    pub email_verified: bool,
    /// Whether the member can use the tenant.
    pub state: MemberState,
    /// The roles held.
    pub roles: Vec<HeldRoleOut>,
    /// Since when.
    pub created_at: Timestamp,
    /// The last change.
    pub updated_at: Timestamp,
    /// When the member was deleted.
    pub deleted_at: Option<Timestamp>,
    /// Grows with each change; `If-Match` takes it.
    pub version: i32,
}

impl From<MemberRow> for UserOut {
    fn from(row: MemberRow) -> Self {
        let roles = row.roles.0.into_iter();
        Self {
            id: row.user_id,
            email: row.email,
            name: row.name,
            email_verified: row.verified,
            state: row.state,
            roles: roles.map(|role| HeldRoleOut { id: role.id, name: role.name, kind: role.kind }).collect(),
            created_at: row.created_at,
            updated_at: row.updated_at,
            deleted_at: row.deleted_at,
            version: row.version,
        }
    }
}

pub(super) fn routes(iam: Arc<Iam>) -> ServiceRoutes {
    Routes::new(NAME, iam)
        .add(
            Operation::get("/users", "listUsers", Access::Permission("users.list"))
                .summary("List the users of the tenant")
                .query::<UsersQuery>()
                .lists::<UserOut>()
                .problems(&[Slug::InvalidCursor]),
            list,
        )
        .add(
            Operation::post("/users", "createUser", Access::Permission("users.create"))
                .summary("Add a user with a password")
                .body::<UserIn>()
                .answer::<UserOut>(201)
                .problems(&[
                    Slug::AlreadyExists,
                    Slug::InvalidState,
                    Slug::RateLimited,
                    Slug::PlanLimitExceeded,
                ])
                .uses("users")
                .example(CREATE),
            create,
        )
        .add(
            Operation::get("/users/{id}", "getUser", Access::Permission("users.list"))
                .summary("Read a user")
                .answer::<UserOut>(200),
            read,
        )
        .add(
            Operation::patch("/users/{id}", "updateUser", Access::Permission("users.update"))
                .summary("Rename a user in this tenant")
                .body::<UserPatch>()
                .answer::<UserOut>(200)
                .problems(&[Slug::PreconditionFailed])
                .example(PATCH),
            update,
        )
        .add(
            Operation::delete("/users/{id}", "deleteUser", Access::Permission("users.delete"))
                .summary("Remove a user; for 30 days they can be restored")
                .problems(&[Slug::InvalidState, Slug::PreconditionFailed]),
            delete,
        )
        .add(
            Operation::post("/users/{id}/block", "blockUser", Access::Permission("users.update"))
                .summary("Keep a user out")
                .answer::<UserOut>(200)
                .problems(&[Slug::InvalidState]),
            block,
        )
        .add(
            Operation::post("/users/{id}/unblock", "unblockUser", Access::Permission("users.update"))
                .summary("Let a blocked user in again")
                .answer::<UserOut>(200)
                .problems(&[Slug::InvalidState]),
            unblock,
        )
        .add(
            Operation::post("/users/{id}/restore", "restoreUser", Access::Permission("users.delete"))
                .summary("Bring a deleted user back")
                .answer::<UserOut>(200)
                .uses("users")
                .problems(&[Slug::InvalidState, Slug::PlanLimitExceeded]),
            restore,
        )
        .add(
            Operation::post("/users/{id}/roles", "assignRoles", Access::Permission("roles.assign"))
                .summary("Set the roles of a user")
                .body::<RoleIdsIn>()
                .answer::<UserOut>(200)
                .problems(&[Slug::InvalidState])
                .example(ROLES),
            assign_roles,
        )
        .finish()
}

async fn list(
    State(iam): State<Arc<Iam>>,
    Cx(cx): Cx,
    Query(query): Query<UsersQuery>,
) -> Result<Page<UserOut>> {
    Ok(iam.users(&cx, &query).await?)
}

async fn create(
    State(iam): State<Arc<Iam>>,
    Cx(cx): Cx,
    Body(body): Body<UserIn>,
) -> Result<Created<UserOut>> {
    Ok(Created(iam.create_user(&cx, body).await?))
}

async fn read(State(iam): State<Arc<Iam>>, Cx(cx): Cx, Path(id): Path<UserId>) -> Result<One<UserOut>> {
    Ok(shown(iam.user(&cx, id).await?))
}

async fn update(
    State(iam): State<Arc<Iam>>,
    Cx(cx): Cx,
    Path(id): Path<UserId>,
    IfMatch(seen): IfMatch,
    Body(body): Body<UserPatch>,
) -> Result<One<UserOut>> {
    Ok(shown(iam.update_user(&cx, id, body, seen).await?))
}

async fn delete(
    State(iam): State<Arc<Iam>>,
    Cx(cx): Cx,
    Path(id): Path<UserId>,
    IfMatch(seen): IfMatch,
) -> Result<NoContent> {
    iam.delete_user(&cx, id, seen).await?;
    Ok(NoContent)
}

async fn block(State(iam): State<Arc<Iam>>, Cx(cx): Cx, Path(id): Path<UserId>) -> Result<One<UserOut>> {
    Ok(shown(iam.block_user(&cx, id).await?))
}

async fn unblock(State(iam): State<Arc<Iam>>, Cx(cx): Cx, Path(id): Path<UserId>) -> Result<One<UserOut>> {
    Ok(shown(iam.unblock_user(&cx, id).await?))
}

async fn restore(State(iam): State<Arc<Iam>>, Cx(cx): Cx, Path(id): Path<UserId>) -> Result<One<UserOut>> {
    Ok(shown(iam.restore_user(&cx, id).await?))
}

async fn assign_roles(
    State(iam): State<Arc<Iam>>,
    Cx(cx): Cx,
    Path(id): Path<UserId>,
    Body(body): Body<RoleIdsIn>,
) -> Result<One<UserOut>> {
    Ok(shown(iam.assign_roles(&cx, id, body).await?))
}

fn shown(user: UserOut) -> One<UserOut> {
    let version = user.version;
    One::versioned(user, version)
}
