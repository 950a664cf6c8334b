//! Hashing and checking of passwords: Argon2id, with its parameters in the hash.

use argon2::{
    Algorithm, Argon2, Params, Version,
    password_hash::{Error as HashError, PasswordHasher, PasswordVerifier, phc::PasswordHash},
};
use base64::{Engine, engine::general_purpose::STANDARD_NO_PAD};
use kernel::{Ctx, Error, Result, Secret};

use crate::{
    hash_pool::{HashPool, Lane},
    model::password::MOST,
};

/// What a password hash costs whoever guesses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HashCost {
    /// 19 MiB, two passes, one lane: the least that OWASP's password storage sheet allows.
    Sandbox,
    /// 64 MiB, three passes, four lanes.
    Production,
}

impl HashCost {
    /// Memory in KiB, passes, lanes.
    const fn figures(self) -> (u32, u32, u32) {
        match self {
            Self::Sandbox => (19 * 1024, 2, 1),
            Self::Production => (64 * 1024, 3, 4),
        }
    }

    fn argon2(self) -> Result<Argon2<'static>> {
        let (memory, passes, lanes) = self.figures();
        let params =
            Params::new(memory, passes, lanes, None).map_err(|why| Error::internal(why.to_string()))?;
        Ok(Argon2::new(Algorithm::Argon2id, Version::V0x13, params))
    }

    /// A hash that no password has, at this cost: checking against it takes as long as against a real one.
    fn nobodys(self) -> String {
        let (memory, passes, lanes) = self.figures();
        let (salt, hash) = (STANDARD_NO_PAD.encode([0x5a; 16]), STANDARD_NO_PAD.encode([0xa5; 32]));
        format!("$argon2id$v=19$m={memory},t={passes},p={lanes}${salt}${hash}")
    }
}

/// Hashes and checks on the pool.
pub struct Passwords {
    pool: HashPool,
    cost: HashCost,
    nobodys: String,
}

impl Passwords {
    /// New hashes are made at `cost`; old ones keep theirs.
    pub fn new(pool: HashPool, cost: HashCost) -> Self {
        Self { pool, cost, nobodys: cost.nobodys() }
    }

    /// The hash to keep, as a PHC string.
    ///
    /// # Errors
    /// `rate-limited` when the pool is full.
    pub async fn hash(&self, cx: &Ctx, password: &Secret) -> Result<String> {
        let (password, cost, salt) = (password.clone(), self.cost, cx.random::<16>());
        let work = move || hash(cost, password.expose(), &salt);
        self.pool.run(lane(cx), work).await?
    }

    /// Whether `password` is the one that `kept` was made of. Without a hash it takes as long and says no.
    ///
    /// # Errors
    /// `rate-limited` when the pool is full; `internal` when what is kept is no hash.
    pub async fn verify(&self, cx: &Ctx, password: &Secret, kept: Option<String>) -> Result<bool> {
        let known = kept.is_some();
        let kept = kept.unwrap_or_else(|| self.nobodys.clone());
        // None that long was ever set; its hashing would be paid for by others.
        let too_long = password.expose().chars().nth(MOST).is_some();
        let password = if too_long { Secret::new("") } else { password.clone() };
        let fits = self.pool.run(lane(cx), move || verify(password.expose(), &kept)).await??;
        Ok(fits && known && !too_long)
    }
}

fn lane(cx: &Ctx) -> Lane {
    Lane { sandbox: cx.sandbox().clone(), address: cx.client().address }
}

fn hash(cost: HashCost, password: &str, salt: &[u8]) -> Result<String> {
    let hash: PasswordHash =
        cost.argon2()?.hash_password_with_salt(password.as_bytes(), salt).map_err(|why| unusable(&why))?;
    Ok(hash.to_string())
}

fn verify(password: &str, kept: &str) -> Result<bool> {
    let kept = PasswordHash::new(kept).map_err(|why| Error::internal(why.to_string()))?;
    // The cost stands in the hash, whatever this instance says.
    match Argon2::default().verify_password(password.as_bytes(), &kept) {
        Ok(()) => Ok(true),
        Err(HashError::PasswordInvalid) => Ok(false),
        Err(why) => Err(unusable(&why)),
    }
}

fn unusable(why: &HashError) -> Error {
    Error::internal(format!("a password could not be hashed: {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hash_pool::HashPoolOptions;
    use kernel::{Clock, SandboxName};

    fn cx() -> Ctx {
        Ctx::build(SandboxName::default_sandbox(), Clock::real()).finish()
    }

    #[tokio::test]
    async fn a_password_fits_its_own_hash_whatever_the_cost_is_now() {
        let pool = HashPool::new(HashPoolOptions::default());
        let sandbox = Passwords::new(pool.clone(), HashCost::Sandbox);
        let production = Passwords::new(pool, HashCost::Production);
        let password = Secret::new("tandem-gravel-42-owl");
        let kept = sandbox.hash(&cx(), &password).await.unwrap();
        assert!(kept.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{kept}");
        assert!(production.verify(&cx(), &password, Some(kept.clone())).await.unwrap());
        assert!(
            !sandbox.verify(&cx(), &Secret::new("tandem-gravel-42-ow"), Some(kept.clone())).await.unwrap()
        );
        assert!(!sandbox.verify(&cx(), &Secret::new("x".repeat(200)), Some(kept)).await.unwrap());
        assert!(sandbox.verify(&cx(), &password, Some("no hash".into())).await.is_err());
        assert!(hash(HashCost::Production, "x", &[1; 16]).unwrap().contains("m=65536,t=3,p=4"));
    }

    #[tokio::test]
    async fn nobodys_hash_is_worked_out_and_never_fits() {
        let passwords = Passwords::new(HashPool::new(HashPoolOptions::default()), HashCost::Sandbox);
        assert!(!passwords.verify(&cx(), &Secret::new(""), None).await.unwrap());
        assert!(!verify("anything", &HashCost::Production.nobodys()).unwrap());
    }
}
