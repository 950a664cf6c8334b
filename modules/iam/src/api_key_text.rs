//! The text of an API key: `pk_{prefix}_{secret}`.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use fabric::crypto::sha256;
use kernel::Ctx;

const PREFIX_LETTERS: usize = 12;
const SECRET_LETTERS: usize = 43;
const LETTERS: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";

/// A key that was just made: shown once.
pub struct NewKey {
    /// By which it is found; public.
    pub prefix: String,
    /// SHA-256 of the secret part: what is kept.
    pub hash: [u8; 32],
    /// The whole key.
    pub text: String,
}

/// A key's text, taken apart.
pub struct KeyText<'a> {
    /// By which it is found.
    pub prefix: &'a str,
    secret: &'a str,
}

impl NewKey {
    /// A key with 256 bits that nobody can guess.
    pub fn make(cx: &Ctx) -> Self {
        let prefix: String = cx
            .random::<PREFIX_LETTERS>()
            .iter()
            .map(|byte| char::from(LETTERS[usize::from(byte % 32)]))
            .collect();
        let secret = URL_SAFE_NO_PAD.encode(cx.random::<32>());
        let text = format!("pk_{prefix}_{secret}");
        Self { prefix, hash: sha256(&[secret.as_bytes()]), text }
    }
}

impl<'a> KeyText<'a> {
    /// None when the text is not of a key's form.
    pub fn read(text: &'a str) -> Option<Self> {
        let (prefix, secret) = text.strip_prefix("pk_")?.split_once('_')?;
        let fits = prefix.len() == PREFIX_LETTERS
            && prefix.bytes().all(|byte| LETTERS.contains(&byte))
            && secret.len() == SECRET_LETTERS;
        fits.then_some(Self { prefix, secret })
    }

    /// Whether the secret part is the one whose hash was kept.
    pub fn fits(&self, hash: &[u8]) -> bool {
        // Both sides are digests of 256 random bits: how long the comparison takes tells nothing about the secret.
        sha256(&[self.secret.as_bytes()]).as_slice() == hash
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kernel::{Clock, SandboxName};

    #[test]
    fn a_key_is_known_by_its_text_and_no_other() {
        let cx = Ctx::build(SandboxName::default_sandbox(), Clock::real()).finish();
        for _ in 0..100 {
            let key = NewKey::make(&cx);
            let read = KeyText::read(&key.text).unwrap();
            assert_eq!(read.prefix, key.prefix);
            assert!(read.fits(&key.hash));
            assert!(!read.fits(&NewKey::make(&cx).hash));
        }
        for bad in [
            "",
            "pk_",
            "pk_abc",
            "pk_abcdefghijkl_short",
            "mk_abcdefghijkl_x",
            &format!("pk_{}", "a".repeat(60)),
        ] {
            assert!(KeyText::read(bad).is_none(), "{bad}");
        }
    }
}
