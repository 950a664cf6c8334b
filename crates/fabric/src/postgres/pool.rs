//! Connections. Pools of all sandboxes share one [`Budget`]; each keeps few.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use kernel::{Error, Result, Slug};
use sqlx::{ConnectOptions, Connection, PgConnection, postgres::PgConnectOptions};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use uuid::Uuid;

use super::fault::{fault, is_lost_connection};

/// How long a request waits for a connection before it is told to come back.
const PATIENCE: Duration = Duration::from_secs(5);

/// A server that is away is waited for so long from when that was noticed: a restart or a failover is over by then. Later
/// requests are told at once, so that they do not fill every queue.
pub(super) const ABSENCE: Duration = Duration::from_secs(3);

/// Between two attempts to reach a server that is away.
const FIRST_PAUSE: Duration = Duration::from_millis(20);
pub(super) const LONGEST_PAUSE: Duration = Duration::from_millis(200);

/// Takes a lock whose holder can't have left a half-made change behind.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The connections that all pools of the process may hold together.
pub struct Budget {
    open: Arc<Semaphore>,
    pools: Mutex<Vec<Weak<Pool>>>,
    /// Who waits for the right to open a connection: while there is anybody, no connection goes to lie idle.
    waiting: AtomicUsize,
}

/// Counted among those who wait, until it is dropped.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn new(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::SeqCst);
        Self(count)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Budget {
    /// A budget of `connections`.
    pub fn new(connections: usize) -> Arc<Self> {
        Arc::new(Self {
            open: Arc::new(Semaphore::new(connections)),
            pools: Mutex::default(),
            waiting: AtomicUsize::new(0),
        })
    }

    /// How many connections could still be opened.
    pub fn left(&self) -> usize {
        self.open.available_permits()
    }

    /// The right to open a connection: one that is left, that of the idle connection nobody used for longest, or, when
    /// all are in use, that of the next one that comes back.
    async fn permit(&self, until: Instant) -> Result<OwnedSemaphorePermit> {
        if let Ok(permit) = Arc::clone(&self.open).try_acquire_owned() {
            return Ok(permit);
        }
        let _waiting = Waiting::new(&self.waiting);
        self.close_least_used();
        let wait = tokio::time::timeout_at(until.into(), Arc::clone(&self.open).acquire_owned());
        match wait.await {
            Ok(Ok(permit)) => Ok(permit),
            _ => Err(Error::new(Slug::Overloaded, "All database connections are in use.")),
        }
    }

    fn close_least_used(&self) {
        loop {
            let mut pools = lock(&self.pools);
            pools.retain(|pool| pool.strong_count() > 0);
            let oldest = pools
                .iter()
                .filter_map(Weak::upgrade)
                .filter_map(|pool| pool.least_recent().map(|at| (at, pool)))
                .min_by_key(|(at, _)| *at);
            drop(pools);
            match oldest {
                // Somebody may have taken it in the meantime; then there is another.
                Some((_, pool)) if !pool.close_one() => {}
                _ => return,
            }
        }
    }
}

/// The connections of one role to one database.
pub(super) struct Pool {
    options: PgConnectOptions,
    budget: Arc<Budget>,
    /// Places: connections in use never exceed them.
    places: Arc<Semaphore>,
    idle: Mutex<Vec<Idle>>,
    /// Since when the server does not let itself be reached.
    away_since: Mutex<Option<Instant>>,
}

struct Idle {
    connection: PgConnection,
    tenant: Option<Uuid>,
    since: Instant,
    _budget: OwnedSemaphorePermit,
}

impl Pool {
    pub(super) fn new(options: PgConnectOptions, budget: &Arc<Budget>, most: usize) -> Arc<Self> {
        let pool = Arc::new(Self {
            options: options.disable_statement_logging().statement_cache_capacity(256),
            budget: Arc::clone(budget),
            places: Arc::new(Semaphore::new(most)),
            idle: Mutex::default(),
            away_since: Mutex::default(),
        });
        lock(&budget.pools).push(Arc::downgrade(&pool));
        pool
    }

    /// How its connections are opened.
    pub(super) fn options(&self) -> &PgConnectOptions {
        &self.options
    }

    /// A connection that is bound to `tenant` (or to none). The binding happens here, before anyone can use it.
    pub(super) async fn checkout(
        self: &Arc<Self>,
        tenant: Option<Uuid>,
        deadline: Instant,
    ) -> Result<Checked> {
        let until = deadline.min(Instant::now() + PATIENCE);
        let place = tokio::time::timeout_at(until.into(), Arc::clone(&self.places).acquire_owned());
        let place = match place.await {
            Ok(Ok(place)) => place,
            Ok(Err(_)) => return Err(Error::new(Slug::Draining, "The sandbox is being closed.")),
            Err(_) => return Err(Error::new(Slug::Overloaded, "All database connections are in use.")),
        };
        let Some(idle) = self.take(tenant) else {
            return self.open(tenant, until, place).await;
        };
        let bound = idle.tenant;
        let mut checked = Checked {
            pool: Arc::clone(self),
            inner: Some((idle.connection, idle._budget)),
            tenant,
            in_flight: false,
            reused: true,
            _place: place,
        };
        if bound == tenant {
            return Ok(checked);
        }
        checked.in_flight = true;
        match tokio::time::timeout_at(until.into(), checked.bind()).await {
            Ok(Ok(())) => {
                checked.settled();
                Ok(checked)
            }
            // It died while it lay idle; so did the others, most likely.
            _ => self.reopen(checked, tenant, until).await,
        }
    }

    async fn reopen(
        self: &Arc<Self>,
        dead: Checked,
        tenant: Option<Uuid>,
        until: Instant,
    ) -> Result<Checked> {
        self.drop_idle();
        drop(dead);
        let place = tokio::time::timeout_at(until.into(), Arc::clone(&self.places).acquire_owned());
        match place.await {
            Ok(Ok(place)) => self.open(tenant, until, place).await,
            _ => Err(Error::new(Slug::Overloaded, "All database connections are in use.")),
        }
    }

    async fn open(
        self: &Arc<Self>,
        tenant: Option<Uuid>,
        until: Instant,
        place: OwnedSemaphorePermit,
    ) -> Result<Checked> {
        let permit = self.budget.permit(until).await?;
        let connection = self.connect(tenant, until).await?;
        Ok(Checked {
            pool: Arc::clone(self),
            inner: Some((connection, permit)),
            tenant,
            in_flight: false,
            reused: false,
            _place: place,
        })
    }

    /// Connects; while the server is away for a moment, again and again. Nothing was sent yet, so nothing is done twice.
    async fn connect(&self, tenant: Option<Uuid>, until: Instant) -> Result<PgConnection> {
        let text = tenant.map(|id| id.to_string()).unwrap_or_default();
        let options = self.options.clone().options([("kernel.tenant", text)]);
        let mut pause = FIRST_PAUSE;
        loop {
            let failed = match tokio::time::timeout_at(until.into(), options.connect()).await {
                Ok(Ok(connection)) => {
                    *lock(&self.away_since) = None;
                    return Ok(connection);
                }
                Ok(Err(error)) => error,
                Err(_) => sqlx::Error::PoolTimedOut,
            };
            if !is_lost_connection(&failed) {
                return Err(fault(failed));
            }
            let since = *lock(&self.away_since).get_or_insert_with(Instant::now);
            let next = Instant::now() + pause;
            if next >= until.min(since + ABSENCE) {
                return Err(fault(failed));
            }
            tokio::time::sleep_until(next.into()).await;
            pause = (2 * pause).min(LONGEST_PAUSE);
        }
    }

    /// An idle connection, one that is bound to `tenant` already if there is one.
    fn take(&self, tenant: Option<Uuid>) -> Option<Idle> {
        let mut idle = lock(&self.idle);
        match idle.iter().rposition(|one| one.tenant == tenant) {
            Some(at) => Some(idle.swap_remove(at)),
            None => idle.pop(),
        }
    }

    fn least_recent(&self) -> Option<Instant> {
        lock(&self.idle).iter().map(|one| one.since).min()
    }

    /// Closes the connection that lay idle for longest; says whether there was one.
    fn close_one(&self) -> bool {
        let mut idle = lock(&self.idle);
        let oldest = idle.iter().enumerate().min_by_key(|(_, one)| one.since).map(|(at, _)| at);
        oldest.map(|at| idle.swap_remove(at)).is_some()
    }

    /// Closes what lies idle, as after the death of the server.
    pub(super) fn drop_idle(&self) {
        lock(&self.idle).clear();
    }

    /// Closes connections that lay idle for longer than `age`.
    pub(super) fn drop_older_than(&self, age: Duration) {
        lock(&self.idle).retain(|one| one.since.elapsed() < age);
    }

    /// No more connections are given out; idle ones are closed.
    pub(super) fn close(&self) {
        self.places.close();
        self.drop_idle();
    }
}

/// A connection in use. On drop it returns to its pool. It is closed instead when a statement was cut short, and when
/// another pool waits for the right to open one.
pub(super) struct Checked {
    pool: Arc<Pool>,
    inner: Option<(PgConnection, OwnedSemaphorePermit)>,
    tenant: Option<Uuid>,
    /// A statement has been sent whose end was not read.
    pub(super) in_flight: bool,
    /// It lay idle before, so it may have died there.
    pub(super) reused: bool,
    _place: OwnedSemaphorePermit,
}

impl Checked {
    pub(super) fn connection(&mut self) -> &mut PgConnection {
        &mut self.inner.as_mut().expect("because the connection leaves only on drop").0
    }

    /// The end of the last statement was read: the connection may serve others.
    pub(super) fn settled(&mut self) {
        self.in_flight = false;
    }

    async fn bind(&mut self) -> Result<(), sqlx::Error> {
        let text = self.tenant.map(|id| id.to_string()).unwrap_or_default();
        sqlx::query("select set_config('kernel.tenant', $1, false)")
            .bind(text)
            .execute(self.connection())
            .await?;
        Ok(())
    }

    /// The server is gone: nothing that lies idle beside this one is alive.
    pub(super) fn forget_idle(&self) {
        self.pool.drop_idle();
    }
}

impl Drop for Checked {
    fn drop(&mut self) {
        let Some((connection, budget)) = self.inner.take() else { return };
        if self.in_flight || self.pool.places.is_closed() {
            return;
        }
        let mut idle = lock(&self.pool.idle);
        // Asked under the lock: who begins to wait after this finds the connection lying idle.
        if self.pool.budget.waiting.load(Ordering::SeqCst) > 0 {
            return;
        }
        idle.push(Idle { connection, tenant: self.tenant, since: Instant::now(), _budget: budget });
    }
}

/// Opens one connection outside of any pool and budget, for administration.
pub(super) async fn single(options: &PgConnectOptions) -> Result<PgConnection, sqlx::Error> {
    PgConnection::connect_with(&options.clone().disable_statement_logging()).await
}
