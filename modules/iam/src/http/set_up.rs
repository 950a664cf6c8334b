//! `/auth/set-up`: the owner of a new, empty platform.

use std::sync::Arc;

use kernel::{Secret, Slug};
use ports::http::{Access, Body, Created, Cx, Operation, Result, Routes, ServiceRoutes, State};
use schemars::JsonSchema;
use serde::Deserialize;

use super::auth::TokensOut;
use crate::{Iam, NAME};

pub(super) const SET_UP: &str =
    r#"{"token":"su_…","email":"owner@example.com","password":"tandem-gravel-42-owl","name":"Ada Lovelace"}"#;

/// The one who runs the platform from now on.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SetUpIn {
    /// As it stands in the log's link behind `#token=`.
    pub token: Secret,
    /// The address to sign in with.
    pub email: String,
    /// 12 to 128 characters.
    pub password: Secret,
    /// What the person is called.
    pub name: String,
    /// What the tenant that runs the platform is called; `Platform` unless said.
    pub organization: Option<String>,
}

pub(super) fn routes(iam: Arc<Iam>) -> ServiceRoutes {
    Routes::new(NAME, iam)
        .add(
            Operation::post("/auth/set-up", "setUp", Access::Public)
                .summary("Become the owner of a new platform")
                .description(
                    "A platform made from the template `empty` without `KERNEL_OWNER_EMAIL` prints a link with the token \
                     into its log. Makes the tenant that runs the platform and its Owner, and signs them in; good once.",
                )
                .body::<SetUpIn>()
                .answer::<TokensOut>(201)
                .problems(&[Slug::AlreadyExists, Slug::RateLimited])
                .example(SET_UP),
            set_up,
        )
        .finish()
}

async fn set_up(
    State(iam): State<Arc<Iam>>,
    Cx(cx): Cx,
    Body(body): Body<SetUpIn>,
) -> Result<Created<TokensOut>> {
    Ok(Created(iam.set_up(&cx, body).await?))
}
