//! The file by which people find out whether a scanner is awake (<https://www.eicar.org/>). It is harmless.

use memchr::memmem;

use super::Refusal;

/// The signature, in two parts, so that scanners don't find it in this program.
const PARTS: [&[u8]; 2] = [br"X5O!P%@AP[4\PZX54(P^)7CC)7}$EICAR-STANDARD-", b"ANTIVIRUS-TEST-FILE!$H+H*"];

/// Looks for the signature in bytes that come in pieces.
pub(super) struct Finder {
    signature: memmem::Finder<'static>,
    /// The end of what came before.
    tail: Vec<u8>,
}

impl Finder {
    pub(super) fn new() -> Self {
        Self { signature: memmem::Finder::new(&PARTS.concat()).into_owned(), tail: Vec::new() }
    }

    pub(super) fn see(&mut self, bytes: &[u8]) -> Result<(), Refusal> {
        let overlap = self.signature.needle().len() - 1;
        self.tail.extend_from_slice(&bytes[..bytes.len().min(overlap)]);
        if self.signature.find(&self.tail).is_some() || self.signature.find(bytes).is_some() {
            return Err("It holds the EICAR test signature.".into());
        }
        if bytes.len() >= overlap {
            self.tail.clear();
            self.tail.extend_from_slice(&bytes[bytes.len() - overlap..]);
        } else {
            let surplus = self.tail.len().saturating_sub(overlap);
            self.tail.drain(..surplus);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_signature_is_found_however_it_is_cut() {
        let whole = [&[b'.'; 100][..], &PARTS.concat(), b"rest"].concat();
        for step in [1, 2, 7, 30, 67, 68, 69, 100, 1000] {
            let mut finder = Finder::new();
            assert!(whole.chunks(step).any(|piece| finder.see(piece).is_err()), "in pieces of {step}");
            let mut finder = Finder::new();
            let mut bent = whole.clone();
            bent[120] ^= 1;
            assert!(bent.chunks(step).all(|piece| finder.see(piece).is_ok()), "in pieces of {step}");
        }
    }
}
