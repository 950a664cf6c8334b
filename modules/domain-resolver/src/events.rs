//! The events this service tells, on `platform.domain.events`. The key of each is its domain.

use fabric::postgres::Event;
use kernel::Result;
use serde_json::json;

use crate::store::DomainRow;

const SOURCE: &str = "domain-resolver";

/// What happens to a domain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Told {
    Added,
    Verified,
    /// It leads to its tenant from now on.
    Activated,
    /// The proof did not come in time.
    Failed,
    Removed,
}

impl Told {
    fn kind(self) -> &'static str {
        match self {
            Self::Added => "domain.hostname.added",
            Self::Verified => "domain.hostname.verified",
            Self::Activated => "domain.hostname.activated",
            Self::Failed => "domain.hostname.failed",
            Self::Removed => "domain.hostname.removed",
        }
    }

    /// The event about a domain.
    pub(crate) fn of(self, row: &DomainRow) -> Result<Event> {
        let data = json!({ "id": row.id, "hostname": row.hostname, "status": row.status });
        Event::new(SOURCE, self.kind(), row.id, &data)
    }
}
