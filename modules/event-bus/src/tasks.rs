use std::{sync::Arc, time::Duration};

use fabric::{
    log::{Contexts, forget},
    postgres::Database,
};
use ports::{OnFailure, Task, When};

use crate::NAME;

const HOUR: Duration = Duration::from_secs(3600);

/// Cleaning up: events, notes of consumers and stored answers are kept for a time only.
pub(crate) fn tasks(db: &Database) -> Vec<Task> {
    let db = db.clone();
    vec![Task {
        name: "event-bus.retention",
        every: HOUR,
        when: When::Always,
        on_failure: OnFailure::Log,
        run: Arc::new(move |cx| {
            let db = db.clone();
            Box::pin(async move {
                // The run may take longer than one context lasts: each batch gets its own.
                let contexts = Contexts::new(cx.sandbox().clone(), cx.clock().clone(), NAME);
                let gone = forget(&db, &contexts).await?;
                tracing::debug!(?gone, "what was kept long enough is gone");
                Ok(())
            })
        }),
    }]
}
