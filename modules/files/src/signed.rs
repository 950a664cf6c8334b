//! Addresses that carry their own permission.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use fabric::crypto::RootKey;
use kernel::{Error, Result, Slug, TenantId, Timestamp};
use uuid::Uuid;

use crate::model::FileId;

/// What the key that signs addresses is derived for.
const PURPOSE: &str = "files.signed-address";

/// What a signed address says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Grant {
    pub tenant: TenantId,
    pub file: FileId,
    pub expires_at: Timestamp,
    pub allows: Allowed,
}

/// What may be done with the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Allowed {
    /// Read it, to be kept.
    Download,
    /// Read it, to be shown in place.
    Show,
    /// Bring its bytes.
    Upload,
}

impl Allowed {
    fn byte(self) -> u8 {
        match self {
            Self::Download => 0,
            Self::Show => 1,
            Self::Upload => 2,
        }
    }
}

/// Tenant, file, end (microseconds), what is allowed.
const BODY: usize = 16 + 16 + 8 + 1;

impl Grant {
    /// The last segment of the address.
    pub(crate) fn sign(&self, key: &RootKey) -> String {
        let body = self.body();
        URL_SAFE_NO_PAD.encode([&body[..], &key.mac(PURPOSE, &body)].concat())
    }

    /// Reads a segment.
    ///
    /// # Errors
    /// `not-found` for one that was not made here, `gone` after its time.
    pub(crate) fn read(token: &str, key: &RootKey, now: Timestamp) -> Result<Self> {
        let wrong = || Error::not_found("file");
        let bytes = URL_SAFE_NO_PAD.decode(token).map_err(|_| wrong())?;
        let (body, tag) = bytes.split_at_checked(BODY).ok_or_else(wrong)?;
        if !key.verify_mac(PURPOSE, body, tag) {
            return Err(wrong());
        }
        let id = |from: usize| Uuid::from_slice(&body[from..from + 16]).map_err(|_| wrong());
        let micros = body[32..40].iter().fold(0, |number: i64, byte| (number << 8) | i64::from(*byte));
        let allows = [Allowed::Download, Allowed::Show, Allowed::Upload];
        let grant = Self {
            tenant: TenantId::from_uuid(id(0)?),
            file: FileId::from_uuid(id(16)?),
            expires_at: Timestamp::from_micros(micros).ok_or_else(wrong)?,
            allows: allows.into_iter().find(|allows| allows.byte() == body[40]).ok_or_else(wrong)?,
        };
        if now >= grant.expires_at {
            return Err(Error::new(Slug::Gone, "The time of this address is over; ask for a fresh one."));
        }
        Ok(grant)
    }

    fn body(&self) -> [u8; BODY] {
        let mut body = [0; BODY];
        body[..16].copy_from_slice(self.tenant.uuid().as_bytes());
        body[16..32].copy_from_slice(self.file.uuid().as_bytes());
        body[32..40].copy_from_slice(&self.expires_at.micros().to_be_bytes());
        body[40] = self.allows.byte();
        body
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn an_address_is_good_for_one_file_until_its_time() {
        let key = RootKey::new(&[5; 32]);
        let now = Timestamp::real();
        let end = now.plus(Duration::from_secs(60));
        let grant =
            Grant { tenant: TenantId::new(), file: FileId::new(), expires_at: end, allows: Allowed::Show };
        let token = grant.sign(&key);
        assert_eq!(Grant::read(&token, &key, now).unwrap(), grant);
        assert_eq!(Grant::read(&token, &key, end).unwrap_err().slug(), Slug::Gone);
        let other = RootKey::new(&[6; 32]);
        assert_eq!(Grant::read(&token, &other, now).unwrap_err().slug(), Slug::NotFound);
        let bytes = URL_SAFE_NO_PAD.decode(&token).unwrap();
        for at in 0..bytes.len() {
            let mut bent = bytes.clone();
            bent[at] ^= 1;
            let error = Grant::read(&URL_SAFE_NO_PAD.encode(bent), &key, now).unwrap_err();
            assert_eq!(error.slug(), Slug::NotFound, "byte {at}");
        }
        for bad in ["", "x", "ä", &token[1..]] {
            assert_eq!(Grant::read(bad, &key, now).unwrap_err().slug(), Slug::NotFound, "{bad}");
        }
    }
}
