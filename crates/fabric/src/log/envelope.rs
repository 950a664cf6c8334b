//! The protobuf envelope of `proto/platform/events/v1`: what gRPC hands out and every client of Kafka reads.

use kernel::{DomainEvent, Timestamp};
use prost::Message;
pub use proto::events::v1::EventEnvelope as Envelope;

/// An event in its envelope.
pub fn envelope(event: DomainEvent) -> Envelope {
    Envelope {
        id: event.id.to_string(),
        r#type: event.kind,
        source: event.source,
        tenant_id: event.tenant_id.map(|tenant| tenant.to_string()).unwrap_or_default(),
        data_json: event.data.to_string(),
        schema_version: event.schema_version,
        timestamp: Some(time(event.timestamp)),
        trace_id: event.trace_id.unwrap_or_default(),
        key: event.key,
    }
}

/// Reads an outsider's envelope, with a time of its own or without one. The key may stand beside it.
///
/// # Errors
/// A sentence that says what is not readable.
pub fn open_envelope(payload: &[u8], key: Option<&[u8]>) -> Result<DomainEvent, String> {
    let read = Envelope::decode(payload)
        .map_err(|error| format!("this is not a platform.events.v1.EventEnvelope: {error}"))?;
    let id = read.id.parse().map_err(|_| format!("`id` is not a UUID: {:?}", short(&read.id)))?;
    let tenant_id = match read.tenant_id.as_str() {
        "" => None,
        text => Some(text.parse().map_err(|_| format!("`tenant_id` is not a UUID: {:?}", short(text)))?),
    };
    let data =
        serde_json::from_str(&read.data_json).map_err(|error| format!("`data_json` is not JSON: {error}"))?;
    let key = match (read.key, key) {
        (said, Some(key)) if said.is_empty() => {
            String::from_utf8(key.to_vec()).map_err(|_| "the record's key is not UTF-8".to_owned())?
        }
        (said, _) => said,
    };
    let at = read.timestamp.and_then(|at| {
        Timestamp::from_micros(at.seconds.checked_mul(1_000_000)?.checked_add(i64::from(at.nanos) / 1_000)?)
    });
    Ok(DomainEvent {
        id,
        kind: read.r#type,
        source: read.source,
        tenant_id,
        key,
        data,
        schema_version: read.schema_version,
        timestamp: at.unwrap_or_else(Timestamp::real),
        trace_id: Some(read.trace_id).filter(|id| !id.is_empty()),
    })
}

/// A moment to the millisecond, as JSON tells it.
pub(super) fn time(at: Timestamp) -> prost_types::Timestamp {
    let millis = at.micros().div_euclid(1_000);
    prost_types::Timestamp {
        seconds: millis.div_euclid(1_000),
        nanos: i32::try_from(millis.rem_euclid(1_000) * 1_000_000).unwrap_or(0),
    }
}

fn short(text: &str) -> String {
    text.chars().take(60).collect()
}

#[cfg(test)]
mod tests {
    use kernel::{EventId, TenantId};
    use serde_json::json;

    use super::*;

    fn event() -> DomainEvent {
        DomainEvent {
            id: EventId::new(),
            kind: "crm.deal.won".into(),
            source: "crm".into(),
            tenant_id: Some(TenantId::new()),
            key: "deal 1".into(),
            data: json!({ "id": "deal 1", "amount": 9_007_199_254_740_993_i64 }),
            schema_version: "1.2.0".into(),
            timestamp: Timestamp::from_micros(1_700_000_000_123_000).unwrap(),
            trace_id: Some("0af7651916cd43dd8448eb211c80319c".into()),
        }
    }

    #[test]
    fn an_event_survives_its_envelope() {
        let sent = event();
        let payload = envelope(sent.clone()).encode_to_vec();
        assert_eq!(open_envelope(&payload, Some(b"deal 1")), Ok(sent));
    }

    #[test]
    fn the_records_key_stands_in_for_one_that_is_not_said() {
        let mut said = envelope(event());
        said.key.clear();
        assert_eq!(open_envelope(&said.encode_to_vec(), Some(b"k")).unwrap().key, "k");
        assert!(open_envelope(&said.encode_to_vec(), Some(&[0xff])).unwrap_err().contains("UTF-8"));
    }

    #[test]
    fn what_is_no_event_is_told() {
        assert!(open_envelope(b"not protobuf", None).unwrap_err().contains("EventEnvelope"));
        let wrong = |change: fn(&mut Envelope)| {
            let mut said = envelope(event());
            change(&mut said);
            open_envelope(&said.encode_to_vec(), None).unwrap_err()
        };
        assert!(wrong(|said| said.id = "7".into()).contains("`id`"));
        assert!(wrong(|said| said.tenant_id = "acme".into()).contains("`tenant_id`"));
        assert!(wrong(|said| said.data_json = "{".into()).contains("`data_json`"));
    }
}
