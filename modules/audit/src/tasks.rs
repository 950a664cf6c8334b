//! Background work.

use std::{
    sync::{Arc, Weak},
    time::Duration,
};

use ports::{OnFailure, Task, When};

use crate::Audit;

/// How long a record waits for its place at least, so that those that come together are chained together.
const CHAIN: Duration = Duration::from_millis(250);

/// How often heads are told of, in real time.
const HEADS: Duration = Duration::from_secs(3600);

/// The service's tasks. They do not keep it alive.
pub fn all(audit: &Weak<Audit>) -> Vec<Task> {
    let chain = Weak::clone(audit);
    let heads = Weak::clone(audit);
    vec![
        Task {
            name: "audit.chain",
            every: CHAIN,
            when: When::AfterWrites,
            on_failure: OnFailure::Retry,
            run: Arc::new(move |cx| {
                let audit = chain.upgrade();
                Box::pin(async move {
                    match audit {
                        Some(audit) => audit.chain(&cx).await,
                        None => Ok(()),
                    }
                })
            }),
        },
        Task {
            name: "audit.heads",
            every: HEADS,
            when: When::Always,
            on_failure: OnFailure::Log,
            run: Arc::new(move |cx| {
                let audit = heads.upgrade();
                Box::pin(async move {
                    match audit {
                        Some(audit) => audit.publish_heads(&cx).await,
                        None => Ok(()),
                    }
                })
            }),
        },
    ]
}
