//! Work of its own accord.

use std::{sync::Arc, time::Duration};

use fabric::postgres::Reason;
use kernel::{Ctx, Result};
use ports::{OnFailure, Task, When};

use crate::{ModuleRegistry, store::modules};

impl ModuleRegistry {
    pub(crate) fn own_tasks(self: &Arc<Self>) -> Vec<Task> {
        let (telling, purging) = (Arc::clone(self), Arc::clone(self));
        vec![
            Task {
                name: "module-registry.announce",
                every: Duration::from_secs(60),
                when: When::Always,
                on_failure: OnFailure::Log,
                run: Arc::new(move |cx| {
                    let this = Arc::clone(&telling);
                    Box::pin(async move { this.announce_all(&cx).await })
                }),
            },
            Task {
                name: "module-registry.purge",
                every: Duration::from_secs(60 * 60),
                when: When::Always,
                on_failure: OnFailure::Log,
                run: Arc::new(move |cx| {
                    let this = Arc::clone(&purging);
                    Box::pin(async move { this.purge_overdue(&cx).await })
                }),
            },
        ]
    }

    /// Tells of registrations whose process ended between the commit of the module's schema and that of its own.
    async fn announce_all(&self, cx: &Ctx) -> Result<()> {
        let db = self.db.system(cx, Reason::Modules);
        for slug in modules::unannounced(&db).await? {
            let mut tx = db.begin().await?;
            // Locked: the registration itself is about to tell.
            if modules::try_lock(&mut tx, &slug).await? {
                self.announce(&mut tx, &slug).await?;
                tx.commit(()).await?;
            }
        }
        Ok(())
    }
}
