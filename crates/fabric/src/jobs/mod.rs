//! Durable jobs: work that is to be done at a date, or at once but outside of the request that asked for it.
//!
//! A job is enqueued in the transaction of the change it belongs to. It is due on the sandbox's clock; leases and the
//! pauses between attempts are in real time. It is done **at least once**: a handler whose process dies is called again,
//! so its effects must bear that.

mod schedule;
mod store;
mod worker;

use std::{collections::HashMap, sync::Arc, time::Duration};

use futures::future::BoxFuture;
use kernel::{Ctx, Error, FieldCode, JobId, Result, TenantId, Timestamp};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

use crate::postgres::{Database, Reason, Tx};

pub use schedule::{backoff, next_run};

/// A job to be done.
#[derive(Debug, Clone)]
pub struct NewJob {
    kind: &'static str,
    name: Option<String>,
    payload: Value,
    due_at: Timestamp,
}

/// Longest name of a job.
const LONGEST_NAME: usize = 200;

impl NewJob {
    /// A job of `kind` (`{service}.{what}`), whose handler gets `payload`, due at `due_at` on the sandbox's clock.
    ///
    /// # Errors
    /// `internal` if the payload can't be written as JSON.
    pub fn new(kind: &'static str, payload: &impl Serialize, due_at: Timestamp) -> Result<Self> {
        let payload = serde_json::to_value(payload).map_err(Error::internal)?;
        Ok(Self { kind, name: None, payload, due_at })
    }

    /// At most one job of this kind with this name waits at a time (for each tenant). One that is being done does not
    /// count: what is enqueued meanwhile is done after it.
    pub fn named(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// As it stands in the table. Names are unique in the sandbox there, so they carry their tenant.
    fn stored_name(&self, tenant: Option<TenantId>) -> Result<Option<String>> {
        let Some(name) = &self.name else { return Ok(None) };
        if name.is_empty() || name.len() > LONGEST_NAME {
            let message = format!("takes 1 to {LONGEST_NAME} bytes");
            return Err(Error::field("name", FieldCode::OutOfRange, message));
        }
        Ok(Some(match tenant {
            Some(tenant) => format!("{tenant}/{name}"),
            None => format!("/{name}"),
        }))
    }
}

/// Enqueues a job for the tenant to which the transaction is bound. `None`: one of that name waits already.
///
/// # Errors
/// What the database says.
pub async fn enqueue(tx: &mut Tx, job: NewJob) -> Result<Option<JobId>> {
    let name = job.stored_name(Some(tx.cx().tenant()?))?;
    store::insert_for_tenant(tx, JobId::new(), job, name).await
}

/// Enqueues a job in a transaction of the system: for a tenant, or for none. `None`: one of that name waits already.
///
/// # Errors
/// What the database says.
pub async fn enqueue_as_system(tx: &mut Tx, tenant: Option<TenantId>, job: NewJob) -> Result<Option<JobId>> {
    let name = job.stored_name(tenant)?;
    store::insert_as_system(tx, JobId::new(), tenant, job, name).await
}

/// A job that is being done.
#[derive(Debug, Clone)]
pub struct Job {
    /// Its id: the same at every attempt.
    pub id: JobId,
    /// Its kind.
    pub kind: String,
    /// Whose job it is.
    pub tenant: Option<TenantId>,
    /// When it was due, on the sandbox's clock.
    pub due_at: Timestamp,
    /// Which attempt this is, from 1.
    pub attempt: u32,
    payload: Value,
}

impl Job {
    /// What was enqueued.
    ///
    /// # Errors
    /// `internal` when it has another shape.
    pub fn payload<T: DeserializeOwned>(&self) -> Result<T> {
        T::deserialize(&self.payload).map_err(|error| {
            Error::internal(format!("the payload of job {} ({}): {error}", self.id, self.kind))
        })
    }
}

/// What is done for a job. Dropped at any point where it waits when the worker stops or its time is over.
pub type Handler = Arc<dyn Fn(Ctx, Job) -> BoxFuture<'static, Result<()>> + Send + Sync>;

/// How jobs are done.
#[derive(Debug, Clone, Copy)]
pub struct JobsOptions {
    /// Jobs at the same time.
    pub concurrency: usize,
    /// How long a job belongs to the worker that took it; renewed while it works.
    pub lease: Duration,
    /// The longest that one attempt may take.
    pub attempt_time: Duration,
    /// Attempts before a job has failed for good.
    pub attempts: u32,
    /// How often the queue is looked at while nothing is known to be due.
    pub poll: Duration,
}

impl Default for JobsOptions {
    fn default() -> Self {
        Self {
            concurrency: 8,
            lease: Duration::from_secs(60),
            attempt_time: Duration::from_secs(300),
            attempts: 10,
            poll: Duration::from_secs(1),
        }
    }
}

/// A job that comes again and again.
#[derive(Debug, Clone)]
struct Recurring {
    name: String,
    kind: &'static str,
    every: Duration,
    payload: Value,
}

/// The jobs of one sandbox, and who does them.
pub struct Jobs {
    db: Database,
    /// The service's own context: sandbox and clock of every job.
    cx: Ctx,
    options: JobsOptions,
    handlers: HashMap<&'static str, Handler>,
    recurring: Vec<Recurring>,
}

impl Jobs {
    /// A worker that knows no kind yet. `cx` is the context in which it works on its own behalf.
    pub fn new(db: Database, cx: Ctx, options: JobsOptions) -> Self {
        Self { db, cx, options, handlers: HashMap::new(), recurring: Vec::new() }
    }

    /// Does jobs of `kind` so. Kinds without a handler wait.
    pub fn on<F>(
        mut self,
        kind: &'static str,
        handler: impl Fn(Ctx, Job) -> F + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = Result<()>> + Send + 'static,
    {
        self.handlers.insert(kind, Arc::new(move |cx, job| Box::pin(handler(cx, job))));
        self
    }

    /// A job of `kind` that comes every `every` on the sandbox's clock, first after that time; what was missed is made up
    /// for once. A job that failed for good comes again at its next time.
    pub fn every(mut self, kind: &'static str, every: Duration, payload: Value) -> Self {
        let every = every.max(Duration::from_secs(1));
        // The mark keeps these names apart from those of tenants and of the system.
        self.recurring.push(Recurring { name: format!("@{kind}"), kind, every, payload });
        self
    }

    /// When the next job is due, in real time: until then nobody needs to be awake. `None` when none waits.
    ///
    /// # Errors
    /// What the database says.
    pub async fn next_due(&self) -> Result<Option<Timestamp>> {
        let system = self.db.system(&self.fresh_cx(None, self.options.lease), Reason::Jobs);
        store::next_due(&system).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_two_tenants_and_of_the_system_never_meet() {
        let job = NewJob::new("billing.dunning", &1, Timestamp::real()).unwrap();
        assert_eq!(job.stored_name(None).unwrap(), None);
        let named = job.named("x");
        let tenants =
            [TenantId::new(), TenantId::new()].map(|tenant| named.stored_name(Some(tenant)).unwrap());
        assert_ne!(tenants[0], tenants[1]);
        assert_eq!(named.stored_name(None).unwrap().as_deref(), Some("/x"));
        assert!(named.clone().named("").stored_name(None).is_err());
        assert!(named.named("x".repeat(201)).stored_name(None).is_err());
    }

    #[test]
    fn a_payload_of_another_shape_is_told() {
        let job = Job {
            id: JobId::new(),
            kind: "a.b".into(),
            tenant: None,
            due_at: Timestamp::real(),
            attempt: 1,
            payload: serde_json::json!({ "n": 1 }),
        };
        assert!(job.payload::<Vec<u8>>().is_err());
        assert_eq!(job.payload::<HashMap<String, u8>>().unwrap()["n"], 1);
    }
}
