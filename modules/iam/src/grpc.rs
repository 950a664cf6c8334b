//! What this service answers over gRPC, `platform.iam.v1`: the operations of HTTP in other words.

use std::sync::Arc;

use kernel::{Actor, Ctx, Error, FieldCode, Result, Secret, Slug};
use ports::{
    Principal,
    http::{Access, Operation, Page, Routes, ServiceRoutes},
    rpc::{given, id, time},
};
use proto::iam::v1::{
    CheckPermissionsRequest, CheckPermissionsResponse, GetPermissionsRequest, GetPermissionsResponse,
    GetUserRequest, ListUsersRequest, ListUsersResponse, PermissionCheck, Role, User, UserState,
    ValidateTokenRequest, ValidateTokenResponse, principal::Kind,
};

use crate::{
    Iam, NAME,
    http::users::{HeldRoleOut, UserOut, UsersQuery},
    model::MemberState,
};

const LIST: Access = Access::Permission("users.list");

/// The methods.
pub fn routes(iam: Arc<Iam>) -> ServiceRoutes {
    let method =
        |name: &str, id, access| Operation::rpc(&format!("/platform.iam.v1.IamService/{name}"), id, access);
    Routes::new(NAME, iam)
        .rpc_query(
            method("ValidateToken", "validateTokenRpc", Access::Authenticated)
                .summary("Whose credential a token is"),
            validate_token,
        )
        .rpc_query(
            method("GetPermissions", "getPermissionsRpc", Access::Authenticated)
                .summary("All that somebody may do")
                .problems(&[Slug::Forbidden, Slug::NotFound]),
            get_permissions,
        )
        .rpc_query(
            method("CheckPermissions", "checkPermissionsRpc", Access::Authenticated)
                .summary("Whether somebody may do certain things")
                .problems(&[Slug::Forbidden, Slug::NotFound]),
            check_permissions,
        )
        .rpc_query(
            method("GetUser", "getUserRpc", LIST).summary("Read a user").problems(&[Slug::NotFound]),
            get_user,
        )
        .rpc_query(
            method("ListUsers", "listUsersRpc", LIST)
                .summary("List the users of the tenant")
                .problems(&[Slug::InvalidCursor]),
            list_users,
        )
        .finish()
}

async fn validate_token(
    iam: Arc<Iam>,
    cx: Ctx,
    asked: ValidateTokenRequest,
) -> Result<ValidateTokenResponse> {
    let found = iam.introspect(&cx, Secret::new(asked.token)).await?;
    Ok(ValidateTokenResponse { valid: found.is_some(), principal: found.map(principal) })
}

async fn get_permissions(
    iam: Arc<Iam>,
    cx: Ctx,
    asked: GetPermissionsRequest,
) -> Result<GetPermissionsResponse> {
    let rights = iam.rights(&cx, optional_user(&asked.user_id)?).await?;
    Ok(GetPermissionsResponse { permissions: rights.iter().map(str::to_owned).collect() })
}

async fn check_permissions(
    iam: Arc<Iam>,
    cx: Ctx,
    asked: CheckPermissionsRequest,
) -> Result<CheckPermissionsResponse> {
    let found = iam.may(&cx, optional_user(&asked.user_id)?, asked.permissions).await?;
    let checks = found.into_iter().map(|(permission, granted)| PermissionCheck { permission, granted });
    Ok(CheckPermissionsResponse { checks: checks.collect() })
}

async fn get_user(iam: Arc<Iam>, cx: Ctx, asked: GetUserRequest) -> Result<User> {
    Ok(iam.user(&cx, id("/userId", &asked.user_id)?).await?.into())
}

async fn list_users(iam: Arc<Iam>, cx: Ctx, asked: ListUsersRequest) -> Result<ListUsersResponse> {
    let query = UsersQuery {
        state: member_state(asked.state)?,
        limit: (asked.limit > 0).then(|| u16::try_from(asked.limit).unwrap_or(u16::MAX)),
        cursor: given(asked.cursor),
    };
    let Page { data, meta } = iam.users(&cx, &query).await?;
    let users = data.into_iter().map(User::from).collect();
    Ok(ListUsersResponse { users, next_cursor: meta.cursor.unwrap_or_default() })
}

fn optional_user(text: &str) -> Result<Option<kernel::UserId>> {
    if text.is_empty() { Ok(None) } else { id("/userId", text).map(Some) }
}

fn member_state(number: i32) -> Result<Option<MemberState>> {
    match UserState::try_from(number) {
        Ok(UserState::Unspecified) => Ok(None),
        Ok(UserState::Active) => Ok(Some(MemberState::Active)),
        Ok(UserState::Blocked) => Ok(Some(MemberState::Blocked)),
        Ok(UserState::Deleted) => Ok(Some(MemberState::Deleted)),
        Err(_) => Err(Error::field("/state", FieldCode::OutOfRange, "is no state of a user")),
    }
}

fn principal(found: Principal) -> proto::iam::v1::Principal {
    let Principal { caller, expires_at, of_platform: _ } = found;
    let mut out = proto::iam::v1::Principal {
        tenant_id: caller.tenant.map(|tenant| tenant.to_string()).unwrap_or_default(),
        permissions: caller.permissions.iter().map(str::to_owned).collect(),
        expires_at: expires_at.map(time),
        ..Default::default()
    };
    match caller.actor {
        Actor::User { id, session, email } => {
            out.set_kind(Kind::User);
            (out.user_id, out.session_id, out.email) =
                (id.to_string(), session.to_string(), email.to_string());
        }
        Actor::Key(id) => {
            out.set_kind(Kind::Key);
            out.key_id = id.to_string();
        }
        Actor::Module { slug, on_behalf_of } => {
            out.set_kind(Kind::Module);
            out.module = slug.to_string();
            out.user_id = on_behalf_of.map(|user| user.to_string()).unwrap_or_default();
        }
        // None of these shows a credential of a tenant.
        Actor::Anonymous | Actor::System(_) | Actor::Operator => {}
    }
    out
}

impl From<UserOut> for User {
    fn from(user: UserOut) -> Self {
        let state = match user.state {
            MemberState::Active => UserState::Active,
            MemberState::Blocked => UserState::Blocked,
            MemberState::Deleted => UserState::Deleted,
        };
        let role = |HeldRoleOut { id, name, kind }| Role { id: id.to_string(), name, kind: kind.to_string() };
        Self {
            id: user.id.to_string(),
            email: user.email,
            name: user.name,
            email_verified: user.email_verified,
            state: state.into(),
            roles: user.roles.into_iter().map(role).collect(),
            created_at: Some(time(user.created_at)),
            updated_at: Some(time(user.updated_at)),
            deleted_at: user.deleted_at.map(time),
            version: user.version,
        }
    }
}
