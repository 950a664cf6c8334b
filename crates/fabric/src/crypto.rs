//! Sealing: what lies in the database and must not be read by whoever reads the database.

use kernel::{Error, Result};
use ring::{
    aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey},
    digest, hkdf, hmac,
};

/// The key of one installation or of one sandbox, from which keys for single uses are derived.
#[derive(Clone)]
pub struct RootKey(hkdf::Prk);

impl RootKey {
    /// Takes 32 bytes or more that nobody can guess.
    pub fn new(material: &[u8]) -> Self {
        Self(hkdf::Salt::new(hkdf::HKDF_SHA256, b"platform-kernel root v1").extract(material))
    }

    /// A root key of its own for what `name` names (a sandbox's id): keys derived from two names tell nothing of each
    /// other.
    pub fn branch(&self, name: &str) -> Self {
        Self::new(&self.derive(&["branch", name]))
    }

    /// 32 bytes for one use.
    pub fn derive(&self, labels: &[&str]) -> [u8; 32] {
        struct ThirtyTwo;
        impl hkdf::KeyType for ThirtyTwo {
            fn len(&self) -> usize {
                32
            }
        }
        let info: Vec<&[u8]> = labels.iter().flat_map(|label| [label.as_bytes(), b"\0"]).collect();
        let mut out = [0; 32];
        self.0
            .expand(&info, ThirtyTwo)
            .and_then(|okm| okm.fill(&mut out))
            .expect("because 32 bytes are within what HKDF-SHA-256 gives");
        out
    }

    /// A sealing key for one use.
    pub fn sealing(&self, purpose: &str) -> SealingKey {
        let key = UnboundKey::new(&AES_256_GCM, &self.derive(&["seal", purpose]))
            .expect("because an AES-256 key has 32 bytes");
        SealingKey(LessSafeKey::new(key))
    }

    /// HMAC-SHA-256 of `message` under a key for one use.
    pub fn mac(&self, purpose: &str, message: &[u8]) -> [u8; 32] {
        let key = hmac::Key::new(hmac::HMAC_SHA256, &self.derive(&["mac", purpose]));
        let mut out = [0; 32];
        out.copy_from_slice(hmac::sign(&key, message).as_ref());
        out
    }

    /// Whether `tag` is the [`RootKey::mac`] of `message`; takes the same time for every wrong tag.
    pub fn verify_mac(&self, purpose: &str, message: &[u8], tag: &[u8]) -> bool {
        let key = hmac::Key::new(hmac::HMAC_SHA256, &self.derive(&["mac", purpose]));
        hmac::verify(&key, message, tag).is_ok()
    }
}

/// Seals with AES-256-GCM under a random nonce. `context` is bound in: a value can't be moved to another place.
pub struct SealingKey(LessSafeKey);

impl SealingKey {
    /// Nonce, ciphertext, tag.
    pub fn seal(&self, context: &[u8], plain: &[u8]) -> Vec<u8> {
        let nonce: [u8; NONCE_LEN] = rand::random();
        let mut body = plain.to_vec();
        self.0
            .seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::from(context), &mut body)
            .expect("because the text is far below the limit of AES-GCM");
        [&nonce[..], &body].concat()
    }

    /// What was sealed.
    ///
    /// # Errors
    /// `internal` when the value was sealed under another key or for another place, or was changed.
    pub fn open(&self, context: &[u8], sealed: &[u8]) -> Result<Vec<u8>> {
        let wrong = || Error::internal("a sealed value does not open: another secret key, or it was changed");
        let (nonce, body) = sealed.split_at_checked(NONCE_LEN).ok_or_else(wrong)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| wrong())?;
        let mut body = body.to_vec();
        let plain = self.0.open_in_place(nonce, Aad::from(context), &mut body).map_err(|_| wrong())?.len();
        body.truncate(plain);
        Ok(body)
    }
}

/// SHA-256.
pub fn sha256(parts: &[&[u8]]) -> [u8; 32] {
    let mut context = digest::Context::new(&digest::SHA256);
    for part in parts {
        context.update(part);
    }
    let mut out = [0; 32];
    out.copy_from_slice(context.finish().as_ref());
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sealed_value_opens_only_in_its_place_and_under_its_key() {
        let key = RootKey::new(&[7; 32]);
        let sealed = key.sealing("answers").seal(b"row 1", b"token");
        assert_eq!(key.sealing("answers").open(b"row 1", &sealed).unwrap(), b"token");
        assert!(key.sealing("answers").open(b"row 2", &sealed).is_err());
        assert!(key.sealing("other").open(b"row 1", &sealed).is_err());
        assert!(key.branch("fork").sealing("answers").open(b"row 1", &sealed).is_err());
        let mut bent = sealed;
        bent[20] ^= 1;
        assert!(key.sealing("answers").open(b"row 1", &bent).is_err());
        assert!(key.sealing("answers").open(b"row 1", b"short").is_err());
    }
}
