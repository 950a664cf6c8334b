//! What each provider is kept in bounds by: breaker, pace, places, its token. In memory of this process.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use fabric::breaker::Breaker;
use kernel::{Error, Result, Slug, TenantId};
use moka::sync::Cache;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::{model::ProviderId, pace::Pace, token::Tokens};

/// Calls to one provider at a time: a slow one must not take the places of the others.
const OF_A_PROVIDER: usize = 16;

/// Calls of one tenant at a time.
const OF_A_TENANT: usize = 64;

/// Doors that are remembered; one that nobody used for [`REMEMBERED`] is forgotten.
const MOST_DOORS: u64 = 50_000;
const REMEMBERED: Duration = Duration::from_secs(900);

/// The doors to all providers of the sandbox.
pub(crate) struct Doors {
    /// A provider that was changed begins anew: its address or its credentials may be others now.
    providers: Cache<(ProviderId, i32), Arc<Door>>,
    tenants: Cache<TenantId, Arc<Semaphore>>,
}

/// The door to one provider.
pub(crate) struct Door {
    pub breaker: Breaker,
    pub pace: Pace,
    pub tokens: Tokens,
    places: Arc<Semaphore>,
}

/// The right to make a call, for as long as it is held.
pub(crate) struct Admitted {
    _provider: OwnedSemaphorePermit,
    _tenant: OwnedSemaphorePermit,
}

impl Doors {
    pub(crate) fn new() -> Self {
        Self {
            providers: Cache::builder().max_capacity(MOST_DOORS).time_to_idle(REMEMBERED).build(),
            tenants: Cache::builder().max_capacity(MOST_DOORS).time_to_idle(REMEMBERED).build(),
        }
    }

    /// The door to a provider in one of its versions.
    pub(crate) fn of(&self, provider: ProviderId, version: i32, per_second: u32) -> Arc<Door> {
        self.providers.get_with((provider, version), || Arc::new(Door::new(per_second)))
    }

    /// The breaker of a provider that was called lately.
    pub(crate) fn state(&self, provider: ProviderId, version: i32) -> u8 {
        self.providers.get(&(provider, version)).map_or(0, |door| door.breaker.state())
    }

    /// Takes places for a call.
    ///
    /// # Errors
    /// `overloaded`.
    pub(crate) fn admit(&self, tenant: TenantId, door: &Door) -> Result<Admitted> {
        let full = |_| {
            Error::new(Slug::Overloaded, "As many calls as this provider may have at a time are under way.")
        };
        let of_tenant = self.tenants.get_with(tenant, || Arc::new(Semaphore::new(OF_A_TENANT)));
        Ok(Admitted {
            _provider: Arc::clone(&door.places).try_acquire_owned().map_err(full)?,
            _tenant: of_tenant.try_acquire_owned().map_err(full)?,
        })
    }
}

impl Door {
    /// A door that nobody went through yet.
    pub(crate) fn new(per_second: u32) -> Self {
        Self {
            breaker: Breaker::new(),
            pace: Pace::new(per_second),
            tokens: Tokens::default(),
            places: Arc::new(Semaphore::new(OF_A_PROVIDER)),
        }
    }

    /// Refuses at once what would be refused anyway.
    ///
    /// # Errors
    /// `circuit-open`.
    pub(crate) fn check(&self, now: Instant) -> Result<()> {
        match self.breaker.refuses(now) {
            Some(wait) => Err(open(wait)),
            None => Ok(()),
        }
    }

    /// A place in the pace of a call that begins.
    ///
    /// # Errors
    /// `rate-limited`.
    pub(crate) fn begin(&self, now: Instant) -> Result<()> {
        self.pace.take(now).map_err(|wait| {
            Error::new(Slug::RateLimited, "The provider gets no more requests a second than its config says.")
                .retry_after(wait)
        })
    }
}

/// The provider gets a pause.
pub(crate) fn open(wait: Duration) -> Error {
    Error::new(Slug::CircuitOpen, "The provider failed several times and gets a pause.").retry_after(wait)
}
