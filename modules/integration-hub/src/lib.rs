//! integration-hub: the one way out. Providers, calls to them, and what failed for good.

#![forbid(unsafe_code)]

mod admission;
mod answer;
mod auth;
mod credentials;
mod echo;
mod events;
mod http;
mod jobs;
mod mask;
mod model;
mod outward;
mod pace;
mod retry;
mod sending;
mod service;
mod store;
mod tasks;
mod token;
mod vault;

use std::sync::{Arc, Weak};

use fabric::{dialler::Dialler, jobs::Jobs, postgres::Database};
use ports::{
    KernelService, Subscription, Task,
    http::{CursorKey, ServiceRoutes},
};

use admission::Doors;

pub use echo::{ECHO, Echo};
pub use model::{AuthType, ProviderType};
pub use service::SeedProvider;

/// The service's name.
const NAME: &str = "integration-hub";

/// The service.
pub struct IntegrationHub {
    me: Weak<Self>,
    db: Database,
    dialler: Dialler,
    echo: Option<String>,
    cursor: CursorKey,
    doors: Doors,
}

/// What the service stands on.
pub struct IntegrationHubDeps {
    /// The sandbox's data.
    pub db: Database,
    /// The guarded way out.
    pub dialler: Dialler,
    /// Where the installation's own echo answers; the dialler must admit it. None when it could not be started.
    pub echo: Option<String>,
    /// Signs places in lists.
    pub cursor: CursorKey,
}

impl IntegrationHub {
    /// The service; nothing is opened or called.
    pub fn create(deps: IntegrationHubDeps) -> Arc<Self> {
        Arc::new_cyclic(|me| Self {
            me: me.clone(),
            db: deps.db,
            dialler: deps.dialler,
            echo: deps.echo,
            cursor: deps.cursor,
            doors: Doors::new(),
        })
    }

    /// Adds what the service does for durable jobs.
    pub fn jobs(self: &Arc<Self>, jobs: Jobs) -> Jobs {
        jobs::add(self, jobs)
    }
}

impl KernelService for IntegrationHub {
    fn name(&self) -> &'static str {
        NAME
    }

    fn routes(&self) -> ServiceRoutes {
        let me = self.me.upgrade().expect("because `self` is borrowed from the Arc that `create` made");
        http::routes(me)
    }

    fn subscriptions(&self) -> Vec<Subscription> {
        tasks::subscriptions(&self.db)
    }

    fn tasks(&self) -> Vec<Task> {
        tasks::tasks(&self.db)
    }
}
