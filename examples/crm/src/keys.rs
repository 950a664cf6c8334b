//! The kernel's public keys, remembered per issuer.
//!
//! An issuer is read from a token that nobody has checked yet, so everything it can cause is
//! bounded: how many issuers are remembered, how often one is asked for its keys, and how many
//! unknown ones are looked up in a while.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

use http::StatusCode;
use jsonwebtoken::DecodingKey;
use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, JwkSet, PublicKeyUse};

use crate::issuer::Issuer;
use crate::kernel_api::{KernelApi, KernelError};
use crate::refusal::Refusal;
use crate::token::{SigningKey, signing_key};

/// Issuers remembered at once; the one unused for longest makes room.
const MAX_ISSUERS: usize = 64;
/// Keys taken from one issuer. A kernel has one or two.
const MAX_KEYS: usize = 16;
/// Between two questions to the same issuer.
const ASK_GAP: Duration = Duration::from_secs(5);
/// After this the keys are read anew, so that a withdrawn one is forgotten.
const MAX_AGE: Duration = Duration::from_secs(600);
/// Unknown issuers looked up within [`ASK_GAP`].
const MAX_NEW_ISSUERS: usize = 32;

type Keys = HashMap<String, SigningKey>;

/// The keys of all issuers seen lately.
#[derive(Debug)]
pub(crate) struct KeyRing {
    kernel: KernelApi,
    shelf: Mutex<Shelf>,
}

impl KeyRing {
    pub(crate) fn of(kernel: KernelApi) -> Self {
        KeyRing { kernel, shelf: Mutex::default() }
    }

    /// The key `key_id` of `issuer`, from memory or from the kernel.
    pub(crate) async fn find(&self, issuer: &Issuer, key_id: &str) -> Result<SigningKey, Refusal> {
        let entry =
            self.shelf.lock().unwrap_or_else(PoisonError::into_inner).entry(issuer, Instant::now())?;
        if let Some(key) = entry.fresh(key_id) {
            return Ok(key);
        }
        // One question at a time; whoever waited here finds what the first one got.
        let mut last = entry.last_question.lock().await;
        if let Some(key) = entry.fresh(key_id) {
            return Ok(key);
        }
        let unknown = || Refusal::UnknownKey { issuer: issuer.url().to_owned(), key_id: key_id.to_owned() };
        if let Some(question) = last.as_ref().filter(|question| question.at.elapsed() < ASK_GAP) {
            return entry.any(key_id).ok_or_else(|| match question.answered {
                true => unknown(),
                false => Refusal::KeysUnavailableStill { issuer: issuer.url().to_owned() },
            });
        }
        // Written down first: a request that is dropped while it waits has asked, too.
        *last = Some(Question { at: Instant::now(), answered: false });
        let keys = match self.kernel.signing_keys(issuer).await {
            Ok(set) => read(&set),
            // The kernel knows no such host: an answer, with no key in it.
            Err(KernelError::Refused(refused)) if refused.status == StatusCode::NOT_FOUND => Keys::new(),
            Err(source) => {
                return match entry.any(key_id) {
                    Some(key) => {
                        tracing::warn!(issuer = issuer.url(), error = %source, "keys not read anew");
                        Ok(key)
                    }
                    None => Err(Refusal::KeysUnavailable { issuer: issuer.url().to_owned(), source }),
                };
            }
        };
        *last = Some(Question { at: Instant::now(), answered: true });
        entry.replace(keys);
        entry.any(key_id).ok_or_else(unknown)
    }
}

/// The P-256 signing keys of a set, by id; others are passed over.
fn read(set: &JwkSet) -> Keys {
    let mut keys = Keys::new();
    for jwk in &set.keys {
        let for_signatures = matches!(jwk.common.public_key_use, None | Some(PublicKeyUse::Signature));
        let on_p256 = match &jwk.algorithm {
            AlgorithmParameters::EllipticCurve(parameters) => parameters.curve == EllipticCurve::P256,
            _ => false,
        };
        let Some(key_id) = jwk.common.key_id.as_ref().filter(|_| for_signatures && on_p256) else { continue };
        let Ok(point) = DecodingKey::from_jwk(jwk) else { continue };
        if let Ok(bytes) = point.try_get_as_bytes()
            && keys.len() < MAX_KEYS
        {
            keys.insert(key_id.clone(), signing_key(bytes));
        }
    }
    keys
}

#[derive(Debug, Default)]
struct Shelf {
    entries: HashMap<String, (Arc<Entry>, Instant)>,
    /// When the current span of look-ups began and how many there were.
    span: Option<(Instant, usize)>,
}

impl Shelf {
    fn entry(&mut self, issuer: &Issuer, now: Instant) -> Result<Arc<Entry>, Refusal> {
        if let Some((entry, used)) = self.entries.get_mut(issuer.host()) {
            *used = now;
            return Ok(Arc::clone(entry));
        }
        let (began, seen) =
            self.span.filter(|(began, _)| now.duration_since(*began) < ASK_GAP).unwrap_or((now, 0));
        if seen >= MAX_NEW_ISSUERS {
            return Err(Refusal::TooManyIssuers { issuer: issuer.url().to_owned() });
        }
        self.span = Some((began, seen + 1));
        if self.entries.len() >= MAX_ISSUERS {
            self.make_room();
        }
        let entry = Arc::<Entry>::default();
        self.entries.insert(issuer.host().to_owned(), (Arc::clone(&entry), now));
        Ok(entry)
    }

    /// Issuers without a key go first: made-up ones must not push out real ones.
    fn make_room(&mut self) {
        let oldest = self.entries.iter().min_by_key(|(_, (entry, used))| (entry.has_keys(), *used));
        if let Some(host) = oldest.map(|(host, _)| host.clone()) {
            self.entries.remove(&host);
        }
    }
}

#[derive(Debug)]
struct Question {
    at: Instant,
    answered: bool,
}

/// What is known of one issuer.
#[derive(Debug, Default)]
struct Entry {
    known: RwLock<Option<(Keys, Instant)>>,
    last_question: tokio::sync::Mutex<Option<Question>>,
}

impl Entry {
    fn fresh(&self, key_id: &str) -> Option<SigningKey> {
        self.get(key_id, MAX_AGE)
    }

    fn any(&self, key_id: &str) -> Option<SigningKey> {
        self.get(key_id, Duration::MAX)
    }

    fn get(&self, key_id: &str, max_age: Duration) -> Option<SigningKey> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        let (keys, read_at) = known.as_ref()?;
        keys.get(key_id).filter(|_| read_at.elapsed() < max_age).cloned()
    }

    fn has_keys(&self) -> bool {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        known.as_ref().is_some_and(|(keys, _)| !keys.is_empty())
    }

    fn replace(&self, keys: Keys) {
        *self.known.write().unwrap_or_else(PoisonError::into_inner) = Some((keys, Instant::now()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn issuer(n: usize) -> Issuer {
        Issuer::parse(&format!("http://s{n}.localhost:8080")).expect("valid")
    }

    #[test]
    fn made_up_issuers_neither_pile_up_nor_push_out_a_real_one() {
        let mut shelf = Shelf::default();
        let start = Instant::now();
        let real = shelf.entry(&issuer(0), start).expect("room");
        real.replace(HashMap::from([("k".to_owned(), signing_key(&[4; 65]))]));
        for n in 1..500 {
            let later = start + ASK_GAP * u32::try_from(n).expect("small");
            shelf.entry(&issuer(n), later).expect("one in each span");
        }
        assert_eq!(shelf.entries.len(), MAX_ISSUERS);
        assert!(shelf.entries.contains_key(issuer(0).host()));
    }

    #[test]
    fn only_so_many_unknown_issuers_are_looked_up_at_once() {
        let mut shelf = Shelf::default();
        let start = Instant::now();
        for n in 0..MAX_NEW_ISSUERS {
            shelf.entry(&issuer(n), start).expect("within the limit");
        }
        assert!(matches!(shelf.entry(&issuer(99), start), Err(Refusal::TooManyIssuers { .. })));
        assert!(shelf.entry(&issuer(0), start).is_ok(), "a known one is not a look-up");
        assert!(shelf.entry(&issuer(99), start + ASK_GAP).is_ok(), "and the span passes");
    }

    #[test]
    fn keys_of_other_kinds_are_passed_over() {
        let set: JwkSet = serde_json::from_value(serde_json::json!({"keys": [
            {"kid": "rsa", "kty": "RSA", "n": "AQAB", "e": "AQAB"},
            {"kid": "p384", "kty": "EC", "crv": "P-384", "x": "AA", "y": "AA"},
            {"kid": "enc", "kty": "EC", "crv": "P-256", "use": "enc", "x": "AA", "y": "AA"},
            {"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA"},
            {"kid": "new", "kty": "EC", "crv": "P-999", "x": "AA", "y": "AA"},
            {"kid": "good", "kty": "EC", "crv": "P-256", "use": "sig", "alg": "ES256", "x": "AA", "y": "AA"},
        ]}))
        .expect("an unknown curve is no reason to lose the others");
        assert_eq!(read(&set).into_keys().collect::<Vec<_>>(), ["good"]);
    }
}
