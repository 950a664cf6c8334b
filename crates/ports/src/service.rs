//! What a service shows to the cell that holds it.

use std::{sync::Arc, time::Duration};

use futures::future::BoxFuture;
use kernel::{Ctx, DomainEvent, Result};
use serde::Serialize;

use crate::http::ServiceRoutes;

/// One of the services. `create` functions take explicit dependencies and have no side effect; starting is the cell's
/// business.
pub trait KernelService: Send + Sync + 'static {
    /// Its name, as in addresses of logs and metrics.
    fn name(&self) -> &'static str;

    /// HTTP: operations with their handlers.
    fn routes(&self) -> ServiceRoutes;

    /// Events it hears.
    fn subscriptions(&self) -> Vec<Subscription> {
        Vec::new()
    }

    /// Work it does of its own accord.
    fn tasks(&self) -> Vec<Task> {
        Vec::new()
    }

    /// How it is.
    fn health(&self) -> BoxFuture<'_, Health> {
        Box::pin(async { Health::good() })
    }
}

/// What a service does on hearing an event.
pub type Hear = Arc<dyn Fn(Ctx, DomainEvent) -> BoxFuture<'static, Result<()>> + Send + Sync>;

/// A service's standing wish to hear events, of all tenants.
#[derive(Clone)]
pub struct Subscription {
    /// Its lasting name, `{service}.{what}`: the place in the log is kept under it.
    pub name: &'static str,
    /// Types, or patterns that end in `.*`.
    pub types: &'static [&'static str],
    /// Called at least once for each, in order per key; an error means: again later.
    pub hear: Hear,
}

/// Work in the background.
#[derive(Clone)]
pub struct Task {
    /// `{service}.{what}`.
    pub name: &'static str,
    /// The pause between two runs, in real time.
    pub every: Duration,
    /// What makes it run.
    pub when: When,
    /// What its failure means.
    pub on_failure: OnFailure,
    /// One run. Its context is the service's own.
    pub run: Arc<dyn Fn(Ctx) -> BoxFuture<'static, Result<()>> + Send + Sync>,
}

/// What makes a task run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// Time alone.
    Always,
    /// A commit in this process that left an event or an audit record, once the pause is over; and once a minute. A task
    /// that follows writes costs an idle sandbox nothing.
    AfterWrites,
}

/// What the failure of a task means for the cell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnFailure {
    /// It is logged; the next run comes as planned.
    Log,
    /// It is logged and run again after a pause that grows to a minute.
    Retry,
    /// The sandbox is taken out of service.
    Stop,
}

/// How a part is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Health {
    /// The state.
    pub state: HealthState,
    /// Why it is not good.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// States of a part.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum HealthState {
    /// It does all it should.
    Good,
    /// It does less than it should.
    Degraded,
    /// It does nothing.
    Down,
}

impl Health {
    /// All is well.
    pub fn good() -> Self {
        Self { state: HealthState::Good, reason: None }
    }

    /// Less than it should be.
    pub fn degraded(reason: impl Into<String>) -> Self {
        Self { state: HealthState::Degraded, reason: Some(reason.into()) }
    }

    /// Nothing works.
    pub fn down(reason: impl Into<String>) -> Self {
        Self { state: HealthState::Down, reason: Some(reason.into()) }
    }
}
