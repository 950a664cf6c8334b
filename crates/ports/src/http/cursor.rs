use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use kernel::{Error, Result, Slug, TenantId};
use ring::hmac;
use serde::{Serialize, de::DeserializeOwned};

/// Signs places in lists, so that a cursor of another list, filter or tenant is refused.
#[derive(Clone)]
pub struct CursorKey(hmac::Key);

const TAG_BYTES: usize = 12;

impl CursorKey {
    /// A key from 32 secret bytes of the sandbox.
    pub fn new(key: &[u8; 32]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, key))
    }

    /// The cursor after `place` in the list that `list` names (its address and filters).
    pub fn write(&self, tenant: Option<TenantId>, list: &str, place: &impl Serialize) -> String {
        let body = serde_json::to_vec(place).unwrap_or_default();
        let tag = self.tag(tenant, list, &body);
        URL_SAFE_NO_PAD.encode([&tag[..], &body].concat())
    }

    /// The place that a cursor names.
    ///
    /// # Errors
    /// `invalid-cursor` when it is of another list or tenant, or was changed.
    pub fn read<T: DeserializeOwned>(&self, tenant: Option<TenantId>, list: &str, cursor: &str) -> Result<T> {
        let wrong = || {
            Error::new(
                Slug::InvalidCursor,
                "The cursor is not of this list with these filters; start again without one.",
            )
        };
        let bytes = URL_SAFE_NO_PAD.decode(cursor).map_err(|_| wrong())?;
        let (tag, body) = bytes.split_at_checked(TAG_BYTES).ok_or_else(wrong)?;
        let same = tag.iter().zip(self.tag(tenant, list, body)).fold(0, |differs, (a, b)| differs | (a ^ b));
        if same != 0 {
            return Err(wrong());
        }
        serde_json::from_slice(body).map_err(|_| wrong())
    }

    fn tag(&self, tenant: Option<TenantId>, list: &str, body: &[u8]) -> [u8; TAG_BYTES] {
        let mut context = hmac::Context::with_key(&self.0);
        context.update(tenant.map(TenantId::uuid).unwrap_or_default().as_bytes());
        context.update(&(list.len() as u64).to_be_bytes());
        context.update(list.as_bytes());
        context.update(body);
        let mut tag = [0; TAG_BYTES];
        tag.copy_from_slice(&context.sign().as_ref()[..TAG_BYTES]);
        tag
    }
}

/// The parameters that every list takes.
#[derive(Debug, Clone, Default, serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Paging {
    /// Entries a page, 1 to 100; 20 unless said.
    #[schemars(range(min = 1, max = 100))]
    pub limit: Option<u16>,
    /// Where to go on: the `meta.cursor` of the page before.
    pub cursor: Option<String>,
}

/// Reads `limit`.
///
/// # Errors
/// `validation-error` outside of 1 to 100.
pub fn page_size(limit: Option<u16>) -> Result<usize> {
    let limit = limit.unwrap_or(20);
    kernel::check::Checks::new().range("limit", i64::from(limit), 1, 100).finish()?;
    Ok(usize::from(limit))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_good_for_one_list_of_one_tenant() {
        let key = CursorKey::new(&[3; 32]);
        let tenant = Some(TenantId::new());
        let cursor = key.write(tenant, "users?q=a", &(1, "x"));
        assert_eq!(key.read::<(i32, String)>(tenant, "users?q=a", &cursor).unwrap(), (1, "x".to_owned()));
        for (who, list) in [(tenant, "users?q=b"), (Some(TenantId::new()), "users?q=a"), (None, "users?q=a")]
        {
            let error = key.read::<(i32, String)>(who, list, &cursor).unwrap_err();
            assert_eq!(error.slug(), Slug::InvalidCursor);
        }
        assert!(key.read::<(i32, String)>(tenant, "users?q=a", "AAAA").is_err());
        assert!(key.read::<(i32, String)>(tenant, "users?q=a", "ä").is_err());
    }
}
