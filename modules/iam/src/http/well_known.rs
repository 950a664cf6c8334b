//! `/.well-known`: how others verify this sandbox's tokens.

use std::sync::Arc;

use ports::http::{Access, Cx, One, Operation, Result, Routes, ServiceRoutes, State};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use crate::{Iam, NAME};

/// Where the keys are.
const JWKS: &str = "/.well-known/jwks.json";

/// Public keys (RFC 7517).
#[derive(Debug, Serialize, JsonSchema)]
#[serde(transparent)]
struct JwksOut(Arc<Value>);

/// The provider's description (OpenID Connect Discovery 1.0), as far as it exists.
#[derive(Debug, Serialize, JsonSchema)]
struct ConfigurationOut {
    /// The `iss` of every token.
    issuer: String,
    /// Where the public keys are.
    jwks_uri: String,
    /// How tokens are signed.
    id_token_signing_alg_values_supported: [&'static str; 1],
    /// `public`: a person has the same `sub` everywhere.
    subject_types_supported: [&'static str; 1],
    /// None yet.
    response_types_supported: [&'static str; 0],
}

pub(super) fn routes(iam: Arc<Iam>) -> ServiceRoutes {
    Routes::new(NAME, iam)
        .add(
            Operation::protocol(JWKS, "getJwks", Access::Public)
                .summary("The public keys that verify this sandbox's tokens")
                .answer::<JwksOut>(200),
            jwks,
        )
        .add(
            Operation::protocol(
                "/.well-known/openid-configuration",
                "getOpenIdConfiguration",
                Access::Public,
            )
            .summary("How this sandbox's tokens are verified")
            .answer::<ConfigurationOut>(200),
            configuration,
        )
        .finish()
}

async fn jwks(State(iam): State<Arc<Iam>>, Cx(cx): Cx) -> Result<One<JwksOut>> {
    Ok(One::new(JwksOut(iam.public_keys(&cx).await?)))
}

async fn configuration(State(iam): State<Arc<Iam>>) -> Result<One<ConfigurationOut>> {
    Ok(One::new(ConfigurationOut {
        issuer: iam.issuer().to_owned(),
        jwks_uri: format!("{}{JWKS}", iam.issuer()),
        id_token_signing_alg_values_supported: ["ES256"],
        subject_types_supported: ["public"],
        response_types_supported: [],
    }))
}
