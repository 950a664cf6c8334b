//! The events this service tells, on `platform.integration.events`. The key of each is its provider.

use fabric::{breaker::Change, postgres::Event};
use kernel::Result;
use serde::Serialize;
use serde_json::json;

use crate::{
    NAME,
    http::providers::ProviderOut,
    model::{CallId, DeadLetterId, ProviderId},
};

fn event(kind: &'static str, provider: ProviderId, data: &impl Serialize) -> Result<Event> {
    Event::new(NAME, kind, provider, data)
}

/// A provider was added.
pub(crate) fn created(provider: &ProviderOut) -> Result<Event> {
    event("integration.provider.created", provider.id, provider)
}

/// A provider was changed.
pub(crate) fn updated(provider: &ProviderOut) -> Result<Event> {
    event("integration.provider.updated", provider.id, provider)
}

/// A provider was removed, with its dead letters.
pub(crate) fn deleted(provider: ProviderId, name: &str) -> Result<Event> {
    event("integration.provider.deleted", provider, &json!({ "id": provider, "name": name }))
}

/// A call failed for good and lies among the dead letters.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct CallFailed<'a> {
    pub provider_id: ProviderId,
    pub call_id: CallId,
    pub dead_letter_id: DeadLetterId,
    pub status: Option<i16>,
    pub attempts: u32,
    pub error: &'a str,
}

impl CallFailed<'_> {
    pub(crate) fn event(&self) -> Result<Event> {
        event("integration.call.failed", self.provider_id, self)
    }
}

/// A dead letter reached its provider after all.
pub(crate) fn recovered(provider: ProviderId, call: CallId, letter: DeadLetterId) -> Result<Event> {
    let data = json!({ "providerId": provider, "callId": call, "deadLetterId": letter });
    event("integration.call.recovered", provider, &data)
}

/// A provider's breaker opened or closed; none if it did neither.
pub(crate) fn circuit(provider: ProviderId, change: Change) -> Result<Option<Event>> {
    let kind = match change {
        Change::None => return Ok(None),
        Change::Opened => "integration.circuit.opened",
        Change::Closed => "integration.circuit.closed",
    };
    event(kind, provider, &json!({ "providerId": provider })).map(Some)
}
