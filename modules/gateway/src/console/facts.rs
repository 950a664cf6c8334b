use kernel::{Actor, Timestamp};
use ports::http::{Cx, One, Result, State};
use schemars::JsonSchema;
use serde::Serialize;

use crate::pages::Desk;

/// How to sign in to a demo whose password is no secret.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DemoSignIn {
    /// The password of all of them, as the documentation tells it.
    pub password: String,
    /// Whom one can be.
    pub people: Vec<DemoPerson>,
}

/// A user of the demo.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DemoPerson {
    /// The address.
    pub email: String,
    /// The name.
    pub name: String,
    /// The role in the tenant that a sign-in leads to.
    pub role: String,
}

/// What the console knows before anybody has signed in.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ConsoleOut {
    /// The sandbox of this address.
    sandbox: String,
    /// The program's version.
    version: &'static str,
    /// Whether this browser has the operator's session.
    operator: bool,
    /// The sandbox's clock.
    now: Timestamp,
    /// The time outside, to show how far the sandbox's clock is ahead.
    real_now: Timestamp,
    /// How to sign in to the demo; null where its users have passwords of their own.
    demo: Option<DemoSignIn>,
}

pub(super) async fn get(State(desk): State<Desk>, Cx(cx): Cx) -> Result<One<ConsoleOut>> {
    let core = desk.core()?;
    Ok(One::new(ConsoleOut {
        sandbox: core.sandbox.to_string(),
        version: core.settings.version,
        operator: *cx.actor() == Actor::Operator,
        now: cx.now(),
        real_now: Timestamp::real(),
        demo: core.settings.demo.clone(),
    }))
}
