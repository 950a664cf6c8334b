//! Events as CloudEvents 1.0 (JSON format), for who asks for them by `Accept`.

use axum::{
    extract::FromRequestParts,
    response::{IntoResponse, Response},
};
use http::{HeaderValue, header, request::Parts};
use kernel::DomainEvent;
use ports::http::{Page, Problem};
use serde::Serialize;
use serde_json::{Value, json};

const MEDIA_TYPE: &str = "application/cloudevents+json";

/// The form in which events are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// As the kernel writes them.
    Own,
    /// As CloudEvents.
    Cloud,
}

impl<S: Send + Sync> FromRequestParts<S> for Form {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let accepted = parts.headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
        let named = accepted.flat_map(|value| value.split(',')).any(|range| {
            range.split(';').next().is_some_and(|kind| kind.trim().eq_ignore_ascii_case(MEDIA_TYPE))
        });
        Ok(if named { Self::Cloud } else { Self::Own })
    }
}

/// An event as a CloudEvent. The entity is its subject; what CloudEvents have no word for are extensions.
pub(crate) fn cloud_event(event: &DomainEvent) -> Value {
    let mut cloud = json!({
        "specversion": "1.0",
        "id": event.id,
        "type": event.kind,
        "source": event.source,
        "subject": event.key,
        "time": event.timestamp,
        "datacontenttype": "application/json",
        "data": event.data,
        "partitionkey": event.key,
        "schemaversion": event.schema_version,
    });
    if let Some(tenant) = event.tenant_id {
        cloud["tenantid"] = json!(tenant);
    }
    if let Some(trace) = &event.trace_id {
        cloud["traceid"] = json!(trace);
    }
    cloud
}

/// A page whose entries are in the form asked for.
pub(crate) fn page<T: Serialize>(form: Form, page: Page<T>, cloud: impl FnMut(T) -> Value) -> Response {
    match form {
        Form::Own => page.into_response(),
        Form::Cloud => {
            let mut response = page.map(cloud).into_response();
            response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
            response
        }
    }
}

#[cfg(test)]
mod tests {
    use http::Request;
    use kernel::{EventId, TenantId, Timestamp};

    use super::*;

    #[tokio::test]
    async fn the_form_follows_accept() {
        for (accept, form) in [
            ("application/json", Form::Own),
            ("application/cloudevents+json", Form::Cloud),
            ("text/html, Application/CloudEvents+JSON;q=0.9", Form::Cloud),
        ] {
            let (mut parts, ()) = Request::builder().header("accept", accept).body(()).unwrap().into_parts();
            assert_eq!(Form::from_request_parts(&mut parts, &()).await.unwrap(), form, "{accept}");
        }
    }

    #[test]
    fn a_cloud_event_has_the_members_that_the_standard_asks_for() {
        let event = DomainEvent {
            id: EventId::new(),
            kind: "crm.deal.won".into(),
            source: "crm".into(),
            tenant_id: Some(TenantId::new()),
            key: "d1".into(),
            data: json!({ "id": "d1" }),
            schema_version: "1.0.0".into(),
            timestamp: Timestamp::real(),
            trace_id: None,
        };
        let cloud = cloud_event(&event);
        for name in ["id", "source", "type"] {
            assert!(cloud[name].as_str().is_some_and(|text| !text.is_empty()), "{name}");
        }
        assert_eq!(cloud["specversion"], "1.0");
        // Extension names: lower-case letters and digits (CloudEvents 1.0.2, "Naming conventions").
        let names = cloud.as_object().unwrap().keys();
        assert!(names.into_iter().all(|n| n.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())));
    }
}
