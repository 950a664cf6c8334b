use std::{sync::Arc, time::Duration};

use fabric::{jobs::Jobs, log::Contexts};
use ports::{OnFailure, Task, When};

use crate::{Money, NAME};

/// The job that ends the holds of a tenant that are over.
pub(crate) const EXPIRE: &str = "money.expire";

const DAY: Duration = Duration::from_secs(24 * 3_600);

/// Adding everything up again, when the sandbox opens and daily.
pub(crate) fn tasks(money: &Arc<Money>) -> Vec<Task> {
    let money = Arc::clone(money);
    vec![Task {
        name: "money.verify",
        every: DAY,
        when: When::Always,
        on_failure: OnFailure::Retry,
        run: Arc::new(move |cx| {
            let money = Arc::clone(&money);
            // The run may take longer than one context lasts: each tenant gets its own.
            let contexts = Contexts::new(cx.sandbox().clone(), cx.clock().clone(), NAME);
            Box::pin(async move { money.verify_all(&contexts).await })
        }),
    }]
}

/// Ending holds.
pub(crate) fn jobs(money: &Arc<Money>, jobs: Jobs) -> Jobs {
    let money = Arc::clone(money);
    jobs.on(EXPIRE, move |cx, _| {
        let money = Arc::clone(&money);
        async move { money.expire_holds(&cx).await }
    })
}
