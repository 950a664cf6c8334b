//! audit: what happened, provably. See the README beside it.

#![forbid(unsafe_code)]

pub mod canonical;
pub mod chain;
mod diff;
pub mod events;
mod http;
mod model;
mod proof;
mod service;
mod store;
mod tasks;

use ports::{KernelService, Task, http::ServiceRoutes};

pub use diff::{ChangeKind, FieldChange};
pub use model::{ActionFilter, Filter, RecordIn, RecordOut};
pub use proof::{FirstBad, HeadOut, HeadPlace, VerifiedOut};
pub use service::{AnonymizeIn, AnonymizedOut, AppendStatus, AppendedOut, Audit, AuditDeps, HistoryOut};

/// The service's name.
const NAME: &str = "audit";

impl KernelService for Audit {
    fn name(&self) -> &'static str {
        NAME
    }

    fn routes(&self) -> ServiceRoutes {
        let this = self.this.upgrade().expect("because `self` is borrowed from the Arc that `create` made");
        http::routes(this)
    }

    fn tasks(&self) -> Vec<Task> {
        tasks::all(&self.this)
    }
}
