//! Offsets as clients see them: sealed, for the positions in a cursor count the events of all tenants.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use fabric::{crypto::RootKey, log::Cursor};
use kernel::{Error, Result, Slug, TenantId};

/// Most characters of an offset.
const MOST: usize = 64 * 1024;

fn context(tenant: TenantId, of: &str) -> Vec<u8> {
    [tenant.uuid().as_bytes(), of.as_bytes()].concat()
}

/// A cursor for a client. `of` names what it is a place in; it is good for that and for this tenant only.
pub fn seal(key: &RootKey, tenant: TenantId, of: &str, cursor: &Cursor) -> String {
    let sealed = key.sealing("event-offsets").seal(&context(tenant, of), cursor.to_string().as_bytes());
    URL_SAFE_NO_PAD.encode(sealed)
}

/// The cursor in an offset.
///
/// # Errors
/// `invalid-cursor` when it is of something else, of another tenant, or was changed.
pub fn open(key: &RootKey, tenant: TenantId, of: &str, text: &str) -> Result<Cursor> {
    let wrong = || {
        Error::new(Slug::InvalidCursor, "The offset is not one of this list; use one that came from here.")
    };
    if text.len() > MOST {
        return Err(wrong());
    }
    let sealed = URL_SAFE_NO_PAD.decode(text).map_err(|_| wrong())?;
    let plain = key.sealing("event-offsets").open(&context(tenant, of), &sealed).map_err(|_| wrong())?;
    String::from_utf8(plain).map_err(|_| wrong())?.parse()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_offset_is_good_for_one_list_of_one_tenant() {
        let key = RootKey::new(&[7; 32]);
        let tenant = TenantId::new();
        let text = seal(&key, tenant, "a", &Cursor::beginning());
        assert_eq!(open(&key, tenant, "a", &text).unwrap(), Cursor::beginning());
        assert!(open(&key, tenant, "b", &text).is_err());
        assert!(open(&key, TenantId::new(), "a", &text).is_err());
        assert_eq!(open(&key, tenant, "a", "AAAA").unwrap_err().slug(), Slug::InvalidCursor);
    }
}
