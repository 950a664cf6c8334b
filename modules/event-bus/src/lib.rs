//! event-bus: publishing, reading, subscribing to and replaying domain events over REST and gRPC. The log itself is
//! [`fabric::log`].

#![forbid(unsafe_code)]

mod grpc;
mod http;
mod model;
mod offset;
mod schema;
mod service;
mod store;
mod tasks;

use std::sync::{Arc, Weak};

use fabric::{
    log::{DeadLetters, EventLog, Subscriptions},
    postgres::Database,
};
use ports::{
    KernelService, ModulesLink, Task,
    http::{CursorKey, ServiceRoutes},
};

/// The service's name.
const NAME: &str = "event-bus";

/// The service.
pub struct EventBus {
    me: Weak<Self>,
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
        Arc::new_cyclic(|me| Self {
            me: me.clone(),
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

impl KernelService for EventBus {
    fn name(&self) -> &'static str {
        NAME
    }

    fn routes(&self) -> ServiceRoutes {
        let me = self.me.upgrade().expect("because `self` is borrowed from the Arc that `create` made");
        http::routes(Arc::clone(&me)).merge(grpc::routes(me))
    }

    fn tasks(&self) -> Vec<Task> {
        tasks::tasks(&self.db)
    }
}
