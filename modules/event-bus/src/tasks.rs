use std::{sync::Arc, time::Duration};

use fabric::log::{Contexts, forget};
use ports::{OnFailure, Task, When};

use crate::EventBus;

const HOUR: Duration = Duration::from_secs(3600);

pub(crate) fn tasks(bus: &Arc<EventBus>) -> Vec<Task> {
    let bus = Arc::clone(bus);
    vec![Task {
        name: "event-bus.retention",
        every: HOUR,
        when: When::Always,
        on_failure: OnFailure::Log,
        run: Arc::new(move |cx| {
            let db = bus.db.clone();
            Box::pin(async move {
                // The run may take longer than one context lasts: it makes its own.
                let contexts = Contexts::new(cx.sandbox().clone(), cx.clock().clone(), "event-bus");
                let gone = forget(&db, &contexts).await?;
                tracing::debug!(?gone, "what was kept long enough is gone");
                Ok(())
            })
        }),
    }]
}
