//! Whether a cell has nothing to do, and until when.

use std::time::{Duration, Instant};

use fabric::{postgres::Reason, sql};
use kernel::{Result, Timestamp};

use super::Cell;

impl Cell {
    /// How long nobody asked for anything.
    pub(crate) fn idle_for(&self) -> Duration {
        if self.gateway.in_flight() > 0 || self.gateway.open_streams() > 0 {
            return Duration::ZERO;
        }
        Instant::now().saturating_duration_since(self.gateway.last_used())
    }

    /// Whether it may sleep now: nothing waits in the outbox or to be fed to Kafka, and no service has still to hear of
    /// something.
    pub(crate) async fn may_sleep(&self) -> Result<bool> {
        if let Some(feed) = &self.feed
            && feed.waiting(&self.cx("sandbox")).await? > 0
        {
            return Ok(false);
        }
        self.db
            .system(&self.cx("sandbox"), Reason::Sandbox)
            .query(sql!(
                "select not exists (select from kernel.outbox)
                    and not exists (select from kernel.delivery d join kernel.subscription s on s.id = d.subscription_id
                                    where s.tenant_id is null and s.module is null)"
            ))
            .value()
            .await
    }

    /// When its next job is due, in real time.
    pub(crate) async fn next_due(&self) -> Result<Option<Timestamp>> {
        self.db
            .system(&self.cx("sandbox"), Reason::Sandbox)
            .query(sql!(
                "select clock_timestamp() + greatest(min(due_at) - kernel.now(), interval '0')
                 from kernel.job where failed_at is null"
            ))
            .value()
            .await
    }
}
