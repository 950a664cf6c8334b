//! The password of an installation: random, kept in a file that only the kernel's user can read, set before
//! anybody can connect in another way.
//!
//! A packed data folder knows no password. It is started once with a host file that lets the superuser in without
//! one, through the socket in its closed folder; the kernel sets the password there and then puts the host file in
//! place that asks for it. Whatever interrupts this, the next start does it again.

use std::fs;
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use super::error::{EmbeddedError, IoContext};
use super::place::Account;

pub(super) const SUPERUSER: &str = "postgres";
const LENGTH: usize = 48;
const PATIENCE: Duration = Duration::from_secs(10);

/// Lets the superuser set its password.
const FIRST_HOSTS: &str = "# Until the password of this installation is set.\nlocal all postgres trust\n";
/// Everybody shows a password, on the socket and on loopback; there is no other way in.
const HOSTS: &str = "local all all scram-sha-256\nhost all all 127.0.0.1/32 scram-sha-256\n";

/// What is known about the password at a start.
pub(super) struct Password {
    pub(super) text: String,
    /// It has to be set in Postgres yet.
    pub(super) unset: bool,
}

/// Reads the password in `file`, or makes one; when Postgres does not know it yet, prepares the data folder so
/// that it can be set.
pub(super) fn prepare(file: &Path, pgdata: &Path, account: &Account) -> Result<Password, EmbeddedError> {
    let hosts = pgdata.join("pg_hba.conf");
    let known = match fs::read_to_string(file) {
        Ok(text) if text.trim().len() == LENGTH => Some(text.trim().to_owned()),
        Ok(_) => None,
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(EmbeddedError::io("read", file, error)),
    };
    let asks = fs::read_to_string(&hosts).is_ok_and(|text| text == HOSTS);
    match known {
        Some(text) if asks => Ok(Password { text, unset: false }),
        known => {
            let text = match known {
                Some(text) => text,
                None => {
                    let text = random_text();
                    replace(file, &format!("{text}\n"), None)?;
                    text
                }
            };
            replace(&hosts, FIRST_HOSTS, Some(account))?;
            Ok(Password { text, unset: true })
        }
    }
}

/// Sets the password in the Postgres that listens at `socket`, and puts the host file in place that asks for it.
/// Postgres then has to be told to read it (SIGHUP).
pub(super) fn set(socket: &Path, text: &str, pgdata: &Path, account: &Account) -> Result<(), EmbeddedError> {
    let failed = |detail: String| EmbeddedError::Password { detail };
    // One round of hashing is enough for 240 random bits; it makes each connection cheaper for both sides.
    let statement = format!(
        "SET synchronous_commit = on; SET scram_iterations = 1; ALTER ROLE {SUPERUSER} PASSWORD '{text}'"
    );
    run_statement(socket, &statement).map_err(|error| failed(error.to_string()))?;
    replace(&pgdata.join("pg_hba.conf"), HOSTS, Some(account))
}

/// 48 letters and digits of a 32-letter alphabet: 240 random bits that need no quoting anywhere.
fn random_text() -> String {
    const ALPHABET: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";
    let bytes: [u8; LENGTH] = rand::random();
    bytes.iter().map(|byte| char::from(ALPHABET[usize::from(byte % 32)])).collect()
}

/// Writes a file that nobody else may read, in one step: a reader sees the old or the new one.
fn replace(path: &Path, text: &str, owner: Option<&Account>) -> Result<(), EmbeddedError> {
    let unfinished = path.with_extension("new");
    let mut file = fs::File::options()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&unfinished)
        .context("create", &unfinished)?;
    file.write_all(text.as_bytes()).context("write", &unfinished)?;
    file.sync_all().context("write", &unfinished)?;
    if let Some(account) = owner {
        account.give(&unfinished)?;
    }
    fs::rename(&unfinished, path).context("write", path)
}

/// The little of Postgres' protocol (version 3) that one statement without a password needs: a start packet, a
/// simple query, and reading on until Postgres is ready for the next.
fn run_statement(socket: &Path, statement: &str) -> io::Result<()> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let parameters = format!("user\0{SUPERUSER}\0database\0postgres\0\0");
    let mut start = Vec::new();
    start.extend_from_slice(&(8 + parameters.len() as u32).to_be_bytes());
    start.extend_from_slice(&196_608_u32.to_be_bytes());
    start.extend_from_slice(parameters.as_bytes());
    stream.write_all(&start)?;
    read_until_ready(&mut stream)?;

    let mut query = vec![b'Q'];
    query.extend_from_slice(&(5 + statement.len() as u32).to_be_bytes());
    query.extend_from_slice(statement.as_bytes());
    query.push(0);
    stream.write_all(&query)?;
    read_until_ready(&mut stream)?;
    stream.write_all(&[b'X', 0, 0, 0, 4])
}

fn read_until_ready(stream: &mut impl Read) -> io::Result<()> {
    loop {
        let mut head = [0; 5];
        stream.read_exact(&mut head)?;
        let length = u32::from_be_bytes([head[1], head[2], head[3], head[4]]).saturating_sub(4);
        if length > 64 * 1024 {
            return Err(io::Error::other("an answer of an unexpected length"));
        }
        let mut body = vec![0; length as usize];
        stream.read_exact(&mut body)?;
        match head[0] {
            b'Z' => return Ok(()),
            b'E' => return Err(io::Error::other(error_text(&body))),
            // Asked for a password although the host file lets the superuser in without one.
            b'R' if body.get(..4) != Some(&[0; 4]) => {
                return Err(io::Error::other("Postgres asks for the old password"));
            }
            _ => {}
        }
    }
}

/// The message among the fields of an error: each a letter and a text that ends with a zero.
fn error_text(fields: &[u8]) -> String {
    fields.split(|byte| *byte == 0).find_map(|field| field.strip_prefix(b"M")).map_or_else(
        || "an error without a message".to_owned(),
        |text| String::from_utf8_lossy(text).into_owned(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_passwords_differ_and_need_no_quotes() {
        let (one, other) = (random_text(), random_text());

        assert_ne!(one, other);
        assert!(one.len() == LENGTH && one.chars().all(|letter| letter.is_ascii_alphanumeric()));
    }

    #[test]
    fn the_message_of_an_error_is_found_among_its_fields() {
        assert_eq!(error_text(b"SFATAL\0C28000\0Mno way in\0\0"), "no way in");
        assert_eq!(error_text(b""), "an error without a message");
    }
}
