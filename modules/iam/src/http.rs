//! What this service answers over HTTP, by resource.

pub mod api_keys;
pub mod auth;
pub mod mails;
pub mod roles;
pub mod set_up;
pub mod tenants;
pub mod users;
pub mod well_known;

use std::sync::Arc;

use ports::http::ServiceRoutes;

use crate::Iam;

/// The whole table.
pub fn routes(iam: Arc<Iam>) -> ServiceRoutes {
    auth::routes(Arc::clone(&iam))
        .merge(set_up::routes(Arc::clone(&iam)))
        .merge(mails::routes(Arc::clone(&iam)))
        .merge(users::routes(Arc::clone(&iam)))
        .merge(roles::routes(Arc::clone(&iam)))
        .merge(tenants::routes(Arc::clone(&iam)))
        .merge(api_keys::routes(Arc::clone(&iam)))
        .merge(well_known::routes(iam))
}

#[cfg(test)]
mod tests {
    use super::*;
    use ports::http::parse_json;

    /// Each example in the docs is a body that its operation takes.
    #[test]
    fn the_examples_are_read_by_their_types() {
        fn reads<T: serde::de::DeserializeOwned>(example: &str) {
            if let Err(error) = parse_json::<T>(example.as_bytes()) {
                panic!("{example}: {error:?}");
            }
        }
        reads::<auth::RegisterIn>(auth::REGISTER);
        reads::<set_up::SetUpIn>(set_up::SET_UP);
        reads::<auth::LoginIn>(auth::LOGIN);
        reads::<auth::SelectTenantIn>(auth::SELECT);
        reads::<auth::SwitchTenantIn>(auth::SWITCH);
        reads::<auth::RefreshIn>(auth::REFRESH);
        reads::<auth::LogoutIn>(auth::REFRESH);
        reads::<auth::LogoutIn>("{}");
        reads::<auth::ChangePasswordIn>(auth::CHANGE_PASSWORD);
        reads::<mails::RequestVerificationIn>(mails::REQUEST);
        reads::<mails::RequestVerificationIn>("{}");
        reads::<mails::RequestResetIn>(mails::REQUEST);
        reads::<mails::VerifyEmailIn>(mails::VERIFY);
        reads::<mails::ResetPasswordIn>(mails::RESET);
        reads::<users::UserIn>(users::CREATE);
        reads::<users::UserPatch>(users::PATCH);
        reads::<users::RoleIdsIn>(users::ROLES);
        reads::<roles::RoleIn>(roles::CREATE);
        reads::<roles::RolePatch>(roles::PATCH);
        reads::<tenants::TenantIn>(tenants::CREATE);
        reads::<tenants::TenantPatch>(tenants::PATCH);
        reads::<api_keys::ApiKeyIn>(api_keys::CREATE);
    }
}
