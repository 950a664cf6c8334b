use std::borrow::Cow;

use kernel::{Error, EventId, Result, Slug, TenantId};
use serde::Serialize;

/// What a data event may carry at most; larger ones shrink to their ids (the log's own limit is 1 MB).
const MOST_BYTES: usize = 1_000_000;

/// Something that happened, to be told with the transaction that made it so.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Event {
    pub(super) id: EventId,
    #[serde(rename = "type")]
    pub(super) kind: Cow<'static, str>,
    pub(super) key: String,
    pub(super) source: Cow<'static, str>,
    pub(super) schema_version: Cow<'static, str>,
    pub(super) data: serde_json::Value,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) tenant: Option<TenantId>,
}

impl Event {
    /// An event of `kind` (`{domain}.{entity}.{verb}`) about the entity `key`: events of one key stay in order.
    ///
    /// # Errors
    /// `payload-too-large` over 1 MB.
    pub fn new(
        source: impl Into<Cow<'static, str>>,
        kind: impl Into<Cow<'static, str>>,
        key: impl ToString,
        data: &impl Serialize,
    ) -> Result<Self> {
        let data = serde_json::to_value(data).map_err(Error::internal)?;
        if data.to_string().len() > MOST_BYTES {
            return Err(Error::new(Slug::PayloadTooLarge, "An event takes at most 1 MB of data."));
        }
        Ok(Self {
            id: EventId::new(),
            kind: kind.into(),
            key: key.to_string(),
            source: source.into(),
            schema_version: Cow::Borrowed("1.0.0"),
            data,
            tenant: None,
        })
    }

    /// In a transaction across tenants: whose event it is. Without it, the context's tenant; without that, nobody's.
    pub fn of(mut self, tenant: TenantId) -> Self {
        self.tenant = Some(tenant);
        self
    }

    /// The version of the shape of `data`, semver.
    pub fn version(mut self, version: impl Into<Cow<'static, str>>) -> Self {
        self.schema_version = version.into();
        self
    }

    /// One that has an id already: it came from outside, where it is known under it.
    pub fn known_as(mut self, id: EventId) -> Self {
        self.id = id;
        self
    }

    /// Its id.
    pub fn id(&self) -> EventId {
        self.id
    }

    /// `{domain}.{entity}.{verb}`.
    pub fn kind(&self) -> &str {
        &self.kind
    }
}
