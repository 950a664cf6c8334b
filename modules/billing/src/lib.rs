//! billing: plans, subscriptions, invoices, use and limits. All of it follows the sandbox's clock.

#![forbid(unsafe_code)]

mod contract;
mod events;
mod http;
mod jobs;
mod model;
mod service;
mod store;
mod tasks;

use std::sync::{Arc, Weak};

use fabric::{jobs::Jobs, postgres::Database};
use kernel::{Actor, Caller, Ctx, TenantId};
use ports::{
    IamLink, KernelService, Subscription, Task,
    http::{CursorKey, ServiceRoutes},
};

pub use service::seed::SeedSubscription;

/// The service's name.
const NAME: &str = "billing";

/// The service.
pub struct Billing {
    me: Weak<Self>,
    db: Database,
    iam: IamLink,
    cursor: CursorKey,
}

/// What the service stands on.
pub struct BillingDeps {
    /// The sandbox's data.
    pub db: Database,
    /// Who knows tenants and their owners.
    pub iam: IamLink,
    /// Signs places in lists.
    pub cursor: CursorKey,
}

impl Billing {
    /// The service; nothing runs yet.
    pub fn create(deps: BillingDeps) -> Arc<Self> {
        Arc::new_cyclic(|me| Self { me: me.clone(), db: deps.db, iam: deps.iam, cursor: deps.cursor })
    }

    /// Adds what is done for the durable jobs of this service.
    pub fn jobs(self: &Arc<Self>, jobs: Jobs) -> Jobs {
        jobs::add(self, jobs)
    }

    fn shared(&self) -> Arc<Self> {
        self.me.upgrade().expect("because `self` is borrowed from the Arc that `create` made")
    }

    /// The context in which the service works of its own accord for a tenant, whoever made it necessary.
    fn own(cx: &Ctx, tenant: TenantId) -> Ctx {
        let caller = Caller { tenant: Some(tenant), actor: Actor::System(NAME), permissions: Arc::default() };
        cx.with_caller(caller).with_idempotency(None)
    }
}

impl KernelService for Billing {
    fn name(&self) -> &'static str {
        NAME
    }

    fn routes(&self) -> ServiceRoutes {
        http::routes(self.shared())
    }

    fn subscriptions(&self) -> Vec<Subscription> {
        vec![tasks::founding(&self.me)]
    }

    fn tasks(&self) -> Vec<Task> {
        vec![tasks::counting(&self.me)]
    }
}
