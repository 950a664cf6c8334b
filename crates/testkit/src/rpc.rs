//! Calling gRPC methods without their generated clients: messages are made from the descriptors.

use std::sync::OnceLock;

use kernel::Slug;
use prost::Message as _;
use prost_reflect::{
    DescriptorPool, DeserializeOptions, DynamicMessage, MessageDescriptor, MethodDescriptor,
};
use reqwest::StatusCode;
use serde_json::{Value, json};
use tonic::{
    Status,
    client::Grpc,
    codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder},
    transport::{Channel, Endpoint, Uri},
};
use tonic_types::StatusExt as _;

use crate::Answer;

/// The descriptor of the method at an address.
pub fn method(path: &str) -> MethodDescriptor {
    static POOL: OnceLock<DescriptorPool> = OnceLock::new();
    let pool = POOL.get_or_init(|| DescriptorPool::decode(proto::DESCRIPTORS).expect("the build made it"));
    let (service, name) = path.trim_start_matches('/').split_once('/').expect("/{service}/{method}");
    let service = pool.get_service_by_name(service).unwrap_or_else(|| panic!("{path}: no such service"));
    service.methods().find(|method| method.name() == name).unwrap_or_else(|| panic!("{path}: no such method"))
}

/// A connection to `base` (`http://127.0.0.1:port`) that asks for `host`.
pub(crate) fn channel(base: &str, host: &str) -> Channel {
    let endpoint = Endpoint::from_shared(base.to_owned()).expect("an address");
    let origin: Uri = format!("http://{host}").parse().expect("a host");
    endpoint.origin(origin).connect_lazy()
}

pub(crate) async fn call(
    channel: Channel,
    host: &str,
    token: Option<&str>,
    path: &str,
    message: &Value,
) -> Answer {
    let asked = format!("gRPC {path} on {host}");
    let method = method(path);
    let lenient = DeserializeOptions::new().deny_unknown_fields(false);
    let message = DynamicMessage::deserialize_with_options(method.input(), message, &lenient)
        .unwrap_or_else(|error| panic!("{asked}: {message}: {error}"));
    let mut request = tonic::Request::new(message);
    if let Some(token) = token {
        let value = format!("Bearer {token}").parse().expect("a token fits into a header");
        request.metadata_mut().insert("authorization", value);
    }
    let mut client = Grpc::new(channel);
    client.ready().await.unwrap_or_else(|error| panic!("{asked}: {error}"));
    let path = path.parse().expect("an address");
    match client.unary(request, path, Dynamic(method.output())).await {
        Ok(response) => {
            let (metadata, message, _) = response.into_parts();
            let body = serde_json::to_value(&message).expect("messages have a JSON form");
            Answer {
                asked,
                status: StatusCode::OK,
                headers: metadata.into_headers(),
                text: body.to_string(),
                body,
            }
        }
        Err(status) => refused(asked, status),
    }
}

/// A status as a problem.
fn refused(asked: String, status: Status) -> Answer {
    let details = status.get_error_details();
    let info = details.error_info();
    let slug = info.and_then(|info| Slug::find(&info.reason));
    let fields = details.bad_request().map(|request| request.field_violations.as_slice()).unwrap_or_default();
    let fields = fields.iter().map(|one| json!({ "field": one.field, "message": one.description }));
    let body = json!({
        "type": info.and_then(|info| info.metadata.get("type")),
        "code": format!("{:?}", status.code()),
        "detail": status.message(),
        "errors": fields.collect::<Vec<_>>(),
        "traceId": details.request_info().map(|info| &info.serving_data),
    });
    Answer {
        asked,
        // A status that is not of the kernel's making is a fault of somebody's.
        status: slug.map_or(StatusCode::INTERNAL_SERVER_ERROR, Slug::status),
        headers: status.metadata().clone().into_headers(),
        text: body.to_string(),
        body,
    }
}

/// Messages of kinds that are known only now.
struct Dynamic(MessageDescriptor);

impl Codec for Dynamic {
    type Encode = DynamicMessage;
    type Decode = DynamicMessage;
    type Encoder = Writer;
    type Decoder = Reader;

    fn encoder(&mut self) -> Writer {
        Writer
    }
    fn decoder(&mut self) -> Reader {
        Reader(self.0.clone())
    }
}

struct Writer;

impl Encoder for Writer {
    type Item = DynamicMessage;
    type Error = Status;

    fn encode(&mut self, message: DynamicMessage, out: &mut EncodeBuf<'_>) -> Result<(), Status> {
        message.encode(out).map_err(|error| Status::internal(error.to_string()))
    }
}

struct Reader(MessageDescriptor);

impl Decoder for Reader {
    type Item = DynamicMessage;
    type Error = Status;

    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<DynamicMessage>, Status> {
        let message = DynamicMessage::decode(self.0.clone(), from);
        message.map(Some).map_err(|error| Status::internal(error.to_string()))
    }
}
