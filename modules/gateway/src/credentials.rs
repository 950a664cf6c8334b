//! Credentials that were found good, remembered for a moment.

use std::{sync::Arc, time::Duration};

use kernel::{Actor, Caller, Timestamp};
use ports::Principal;
use ring::digest::{SHA256, digest};

/// How long a change of rights or a revocation may stay unnoticed.
const STALENESS: Duration = Duration::from_secs(1);

/// Credentials that are remembered at the same time.
const REMEMBERED: u64 = 50_000;

/// SHA-256 of a credential: the text itself is not kept.
pub(crate) type CredentialDigest = [u8; 32];

/// A caller who has shown a good credential.
#[derive(Debug, Clone)]
pub(crate) struct Known {
    pub caller: Caller,
    /// Whether the caller is a user of the tenant that runs the platform.
    pub of_platform: bool,
    /// When the credential ends, on the sandbox's clock.
    pub expires_at: Option<Timestamp>,
    /// Names the credential; none for strangers and the operator.
    pub digest: Option<CredentialDigest>,
}

impl Known {
    pub(crate) fn stranger() -> Self {
        Self { caller: Caller::stranger(), of_platform: false, expires_at: None, digest: None }
    }

    pub(crate) fn operator() -> Self {
        let caller = Caller { tenant: None, actor: Actor::Operator, permissions: Arc::default() };
        Self { caller, of_platform: false, expires_at: None, digest: None }
    }

    pub(crate) fn of(principal: Principal, digest: CredentialDigest) -> Self {
        let Principal { caller, expires_at, of_platform } = principal;
        Self { caller, of_platform, expires_at, digest: Some(digest) }
    }

    pub(crate) fn is_operator(&self) -> bool {
        self.caller.actor == Actor::Operator
    }

    pub(crate) fn is_stranger(&self) -> bool {
        self.caller.actor == Actor::Anonymous
    }
}

pub(crate) fn digest_of(credential: &str) -> CredentialDigest {
    let mut bytes = [0; 32];
    bytes.copy_from_slice(digest(&SHA256, credential.as_bytes()).as_ref());
    bytes
}

/// Remembers verified credentials for at most 1 s, and never beyond their end.
pub(crate) struct Credentials(moka::sync::Cache<CredentialDigest, Arc<Known>>);

impl Credentials {
    pub(crate) fn new() -> Self {
        Self(moka::sync::Cache::builder().max_capacity(REMEMBERED).time_to_live(STALENESS).build())
    }

    /// Who this is, unless it was long ago or the credential has ended by `now`.
    pub(crate) fn get(&self, digest: &CredentialDigest, now: Timestamp) -> Option<Arc<Known>> {
        let known = self.0.get(digest)?;
        if known.expires_at.is_some_and(|end| end <= now) {
            self.0.invalidate(digest);
            return None;
        }
        Some(known)
    }

    pub(crate) fn remember(&self, digest: CredentialDigest, known: &Arc<Known>) {
        self.0.insert(digest, Arc::clone(known));
    }

    /// Forgets all: somebody's rights have changed.
    pub(crate) fn forget(&self) {
        self.0.invalidate_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known(expires_at: Option<Timestamp>) -> Arc<Known> {
        Arc::new(Known { expires_at, ..Known::stranger() })
    }

    #[test]
    fn a_credential_is_not_remembered_beyond_its_end() {
        let (cache, now, digest) = (Credentials::new(), Timestamp::real(), digest_of("token"));
        cache.remember(digest, &known(Some(now.plus(Duration::from_secs(60)))));
        assert!(cache.get(&digest, now).is_some());
        assert!(cache.get(&digest, now.plus(Duration::from_secs(60))).is_none());
        assert!(cache.get(&digest, now).is_none(), "it is dropped, not only passed over");
    }

    #[test]
    fn all_are_forgotten_at_once() {
        let (cache, digest) = (Credentials::new(), digest_of("key"));
        cache.remember(digest, &known(None));
        assert!(cache.get(&digest, Timestamp::real()).is_some());
        cache.forget();
        assert!(cache.get(&digest, Timestamp::real()).is_none());
    }
}
