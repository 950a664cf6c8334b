//! event-bus: publishing, reading, subscribing to and replaying domain events over REST. The log itself is
//! [`fabric::log`].

#![forbid(unsafe_code)]

mod http;
mod model;
mod offset;
mod schema;
mod service;
mod store;
mod tasks;

use std::sync::Arc;

use fabric::{
    log::{DeadLetters, EventLog, Subscriptions},
    postgres::Database,
};
use ports::{
    KernelService, ModulesLink, Task,
    http::{CursorKey, ServiceRoutes},
};

/// The service.
pub struct EventBus {
    db: Database,
    log: Arc<dyn EventLog>,
    subscriptions: Subscriptions,
    dead_letters: DeadLetters,
    modules: ModulesLink,
    cursor: CursorKey,
    schemas: schema::Validators,
}

/// What the service stands on.
pub struct EventBusDeps {
    /// The sandbox's data.
    pub db: Database,
    /// Its log.
    pub log: Arc<dyn EventLog>,
    /// Its subscriptions.
    pub subscriptions: Subscriptions,
    /// Who tells what modules declare and where they are installed.
    pub modules: ModulesLink,
    /// Signs places in lists.
    pub cursor: CursorKey,
}

impl EventBus {
    /// The service; nothing runs yet.
    pub fn create(deps: EventBusDeps) -> Arc<Self> {
        Arc::new(Self {
            dead_letters: DeadLetters::new(deps.db.clone()),
            db: deps.db,
            log: deps.log,
            subscriptions: deps.subscriptions,
            modules: deps.modules,
            cursor: deps.cursor,
            schemas: schema::Validators::new(),
        })
    }
}

/// What the cell holds: the service as the contract of services sees it.
pub struct EventBusService(pub Arc<EventBus>);

impl KernelService for EventBusService {
    fn name(&self) -> &'static str {
        "event-bus"
    }

    fn routes(&self) -> ServiceRoutes {
        http::routes(Arc::clone(&self.0))
    }

    fn tasks(&self) -> Vec<Task> {
        tasks::tasks(&self.0)
    }
}
