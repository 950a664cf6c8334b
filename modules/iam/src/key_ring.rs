//! The sandbox's signing keys: one that signs, and its predecessors while tokens of theirs may live.
//!
//! The first one is made when it is first needed, so that a copy of the sandbox, which inherits none, gets its own.

use std::{
    collections::BTreeMap,
    sync::{Arc, PoisonError, RwLock},
    time::{Duration, Instant},
};

use fabric::postgres::Database;
use kernel::{Ctx, Error, Result, Timestamp};
use serde_json::{Value, json};
use tokio::sync::Mutex;

use crate::{
    jws::{SigningPair, VerifyingKey},
    model::{ACCESS_TOKEN_LIFE, MODULE_TOKEN_LIFE, SIGNING_KEY_LIFE},
    store::signing_keys::{self, KeyRow},
};

/// Unknown key names send us to the database no more often than this: anybody can make them up.
const LOOK_AGAIN_AFTER: Duration = Duration::from_secs(1);

/// What a retired key outlives its last token by.
const MARGIN: Duration = Duration::from_secs(60);

/// What a sealed private part is bound to, beside its name.
const PURPOSE: &str = "signing";

/// The keys, remembered.
pub struct KeyRing {
    db: Database,
    ring: RwLock<Option<Arc<Ring>>>,
    /// Held while the database is asked, so that it is asked once.
    looking: Mutex<()>,
}

/// The keys as they were last read.
pub struct Ring {
    current: SigningPair,
    made_at: Timestamp,
    keys: BTreeMap<String, Known>,
    jwks: Arc<Value>,
    read_at: Instant,
}

struct Known {
    key: VerifyingKey,
    retired: Option<(Timestamp, Timestamp)>,
}

impl Known {
    fn verifies(&self, now: Timestamp, real_now: Timestamp) -> bool {
        self.retired.is_none_or(|(sandbox, real)| {
            now <= sandbox.plus(ACCESS_TOKEN_LIFE + MARGIN)
                || real_now <= real.plus(MODULE_TOKEN_LIFE + MARGIN)
        })
    }
}

impl Ring {
    /// The pair that signs.
    pub fn current(&self) -> &SigningPair {
        &self.current
    }

    /// The public keys (RFC 7517).
    pub fn jwks(&self) -> &Arc<Value> {
        &self.jwks
    }

    fn find(&self, kid: &str, now: Timestamp) -> Option<&VerifyingKey> {
        self.keys.get(kid).filter(|known| known.verifies(now, Timestamp::real())).map(|known| &known.key)
    }

    fn is_due(&self, now: Timestamp) -> bool {
        now >= self.made_at.plus(SIGNING_KEY_LIFE)
    }
}

impl KeyRing {
    /// Nothing is read yet.
    pub fn new(db: Database) -> Self {
        Self { db, ring: RwLock::new(None), looking: Mutex::new(()) }
    }

    /// The keys, with one that may sign now: the first is made here, and the next when this one is 90 days old.
    ///
    /// # Errors
    /// What the database says.
    pub async fn ring(&self, cx: &Ctx) -> Result<Arc<Ring>> {
        if let Some(ring) = self.known().filter(|ring| !ring.is_due(cx.now())) {
            return Ok(ring);
        }
        let _one_at_a_time = self.looking.lock().await;
        if let Some(ring) = self.known().filter(|ring| !ring.is_due(cx.now())) {
            return Ok(ring);
        }
        let rows = signing_keys::all(&self.db, cx).await?;
        let current = rows.iter().find(|row| row.retired_at.is_none());
        let rows = match current {
            Some(row) if cx.now() < row.created_at.plus(SIGNING_KEY_LIFE) => rows,
            current => {
                self.make_next(cx, current).await?;
                signing_keys::all(&self.db, cx).await?
            }
        };
        self.keep(&rows)
    }

    /// The key of this name, if tokens of it may still live. A name that is not known is looked for in the database: another
    /// replica may have made it.
    ///
    /// # Errors
    /// What the database says.
    pub async fn verifying(&self, cx: &Ctx, kid: &str) -> Result<Option<VerifyingKey>> {
        let ring = self.ring(cx).await?;
        if let Some(key) = ring.find(kid, cx.now()) {
            return Ok(Some(key.clone()));
        }
        if ring.keys.contains_key(kid) || ring.read_at.elapsed() < LOOK_AGAIN_AFTER {
            return Ok(None);
        }
        let _one_at_a_time = self.looking.lock().await;
        let ring = match self.known() {
            Some(ring) if ring.read_at.elapsed() < LOOK_AGAIN_AFTER => ring,
            _ => self.keep(&signing_keys::all(&self.db, cx).await?)?,
        };
        Ok(ring.find(kid, cx.now()).cloned())
    }

    /// Reads the keys again when they are next needed.
    pub fn forget(&self) {
        *self.ring.write().unwrap_or_else(PoisonError::into_inner) = None;
    }

    fn known(&self) -> Option<Arc<Ring>> {
        self.ring.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    async fn make_next(&self, cx: &Ctx, old: Option<&KeyRow>) -> Result<()> {
        let (pair, private) = SigningPair::generate()?;
        let kid = pair.public().kid().to_owned();
        let private_sealed = self.db.key().sealing(PURPOSE).seal(kid.as_bytes(), &private);
        tracing::info!(%kid, replaces = old.map(|old| old.kid.as_str()), "a new signing key");
        let row = KeyRow {
            kid,
            public_key: pair.public().point().to_vec(),
            private_sealed,
            created_at: cx.now(),
            retired_at: None,
            retired_real: None,
        };
        signing_keys::succeed(&self.db, cx, old.map(|old| old.kid.as_str()), &row).await
    }

    fn keep(&self, rows: &[KeyRow]) -> Result<Arc<Ring>> {
        let ring = Arc::new(assemble(rows, |row| {
            let private = self.db.key().sealing(PURPOSE).open(row.kid.as_bytes(), &row.private_sealed)?;
            SigningPair::from_pkcs8(&private)
        })?);
        *self.ring.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&ring));
        Ok(ring)
    }
}

fn assemble(rows: &[KeyRow], open: impl FnOnce(&KeyRow) -> Result<SigningPair>) -> Result<Ring> {
    let current = rows
        .iter()
        .find(|row| row.retired_at.is_none())
        .ok_or_else(|| Error::internal("no signing key is there although one was just made"))?;
    let mut keys = BTreeMap::new();
    for row in rows {
        let key = VerifyingKey::from_point(&row.public_key)?;
        keys.insert(row.kid.clone(), Known { key, retired: row.retired_at.zip(row.retired_real) });
    }
    let jwks = Arc::new(json!({ "keys": keys.values().map(|known| known.key.jwk()).collect::<Vec<_>>() }));
    Ok(Ring { current: open(current)?, made_at: current.created_at, keys, jwks, read_at: Instant::now() })
}

/// Until when, on the sandbox's clock and in real time, retired keys may be needed: those retired earlier can go.
pub fn needless_before(now: Timestamp, real_now: Timestamp) -> (Timestamp, Timestamp) {
    let back = |at: Timestamp, span: Duration| {
        let micros = i64::try_from(span.as_micros()).unwrap_or(i64::MAX);
        Timestamp::from_micros(at.micros().saturating_sub(micros)).unwrap_or(at)
    };
    (back(now, ACCESS_TOKEN_LIFE + 2 * MARGIN), back(real_now, MODULE_TOKEN_LIFE + 2 * MARGIN))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(pair: &SigningPair, made: i64, retired: Option<Timestamp>) -> KeyRow {
        KeyRow {
            kid: pair.public().kid().to_owned(),
            public_key: pair.public().point().to_vec(),
            private_sealed: Vec::new(),
            created_at: Timestamp::from_micros(made).unwrap(),
            retired_at: retired,
            retired_real: retired.map(|_| Timestamp::from_micros(0).unwrap()),
        }
    }

    #[test]
    fn an_old_key_verifies_until_its_last_token_has_ended() {
        let (old, _) = SigningPair::generate().unwrap();
        let (new, private) = SigningPair::generate().unwrap();
        let retired = Timestamp::real();
        let rows = [row(&new, 2, None), row(&old, 1, Some(retired))];
        let ring = assemble(&rows, |_| SigningPair::from_pkcs8(&private)).unwrap();
        assert_eq!(ring.current().public().kid(), new.public().kid());
        assert_eq!(ring.jwks()["keys"].as_array().unwrap().len(), 2);
        let minutes = |n: u64| Duration::from_secs(60 * n);
        assert!(ring.find(old.public().kid(), retired.plus(minutes(15))).is_some());
        assert!(ring.find(old.public().kid(), retired.plus(minutes(17))).is_none());
        assert!(ring.find(new.public().kid(), retired.plus(minutes(1_000_000))).is_some());
        assert!(!ring.is_due(Timestamp::from_micros(3).unwrap()));
        assert!(ring.is_due(ring.made_at.plus(SIGNING_KEY_LIFE)));
        assert!(assemble(&rows[1..], |_| SigningPair::from_pkcs8(&private)).is_err());
    }
}
