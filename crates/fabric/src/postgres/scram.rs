//! SCRAM-SHA-256 verifiers (RFC 5803), made here so that a password never travels in SQL text.

use std::num::NonZeroU32;

use base64::{Engine, engine::general_purpose::STANDARD};
use ring::{digest, hmac, pbkdf2};

/// The verifier that `CREATE ROLE … PASSWORD` takes in place of a password.
///
/// One iteration: the passwords are 256 random bits, which no amount of stretching makes harder to guess, and every new
/// connection would pay for it.
pub(super) fn verifier(password: &str) -> String {
    let salt: [u8; 16] = rand::random();
    let mut salted = [0; 32];
    pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, NonZeroU32::MIN, &salt, password.as_bytes(), &mut salted);
    let key = hmac::Key::new(hmac::HMAC_SHA256, &salted);
    let client = hmac::sign(&key, b"Client Key");
    let stored = digest::digest(&digest::SHA256, client.as_ref());
    let server = hmac::sign(&key, b"Server Key");
    format!(
        "SCRAM-SHA-256$1:{}${}:{}",
        STANDARD.encode(salt),
        STANDARD.encode(stored),
        STANDARD.encode(server)
    )
}
