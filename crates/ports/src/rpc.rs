//! How handlers speak gRPC. A method is an entry of the operation table like any other: it has an access rule, comes over
//! the service's link, and fails with problems, which the gateway writes as a status. tonic does the framing.

use std::{str::FromStr, sync::OnceLock};

use axum::{
    body::Body,
    response::{IntoResponse, Response},
};
use http::Request;
use kernel::{Ctx, Error, FieldCode, Result, Slug, Timestamp};
use prost::{Message, Name};
use serde::de::DeserializeOwned;
use tonic::{Code, Status, codec::CompressionEncoding, metadata::MetadataValue, server::Grpc};
use tonic_prost::ProstCodec;

use crate::http::{Operation, Problem, Routes, Rpc, State};

/// The limit of a message.
pub const MESSAGE_LIMIT: usize = 4 * 1024 * 1024;

/// What stands before a message on the wire.
pub(crate) const FRAME: usize = 5;

impl<S: Clone + Send + Sync + 'static> Routes<S> {
    /// Adds a method that changes nothing, or nothing that an Idempotency-Key could keep.
    pub fn rpc_query<Req, Res, F>(
        self,
        operation: Operation,
        handler: impl Fn(S, Ctx, Req) -> F + Clone + Send + Sync + 'static,
    ) -> Self
    where
        Req: Message + Name + Default + 'static,
        Res: Message + Name + 'static,
        F: Future<Output = Result<Res>> + Send,
    {
        self.rpc(operation.harmless(), move |state, cx, message| {
            let answer = handler(state, cx, message);
            async move { answer.await.map(Answer::first) }
        })
    }

    /// Adds a method that changes something. The handler answers what its transaction keeps for the Idempotency-Key, and
    /// `form` makes the message of it: of the answer that was kept for a repeated call as well.
    pub fn rpc_command<Req, Res, Out, F>(
        self,
        operation: Operation,
        handler: impl Fn(S, Ctx, Req) -> F + Clone + Send + Sync + 'static,
        form: fn(Out) -> Res,
    ) -> Self
    where
        Req: Message + Name + Default + 'static,
        Res: Message + Name + 'static,
        Out: DeserializeOwned + Send + 'static,
        F: Future<Output = Result<Out>> + Send,
    {
        self.rpc(operation, move |state, cx, message| {
            let answer = handler(state, cx, message);
            async move {
                match answer.await {
                    Ok(out) => Ok(Answer::first(form(out))),
                    Err(error) => match error.replayed_answer() {
                        Some(kept) => {
                            let out = serde_json::from_slice(kept).map_err(Error::internal)?;
                            Ok(Answer { message: form(out), replayed: true })
                        }
                        None => Err(error),
                    },
                }
            }
        })
    }

    fn rpc<Req, Res, F>(
        self,
        operation: Operation,
        handler: impl Fn(S, Ctx, Req) -> F + Clone + Send + Sync + 'static,
    ) -> Self
    where
        Req: Message + Name + Default + 'static,
        Res: Message + Name + 'static,
        F: Future<Output = Result<Answer<Res>>> + Send,
    {
        let rpc = Rpc { request: Req::full_name(), response: Res::full_name() };
        let operation = Operation { rpc: Some(rpc), ..operation };
        let limit = operation.body_limit.saturating_sub(FRAME);
        self.add(operation, move |State(state): State<S>, request: Request<Body>| {
            let handler = handler.clone();
            serve(request, limit, move |cx, message| handler(state.clone(), cx, message))
        })
    }
}

/// A moment, as messages carry it: to the millisecond, as JSON tells it, so that an answer that was kept reads like the
/// first one.
pub fn time(at: Timestamp) -> prost_types::Timestamp {
    let millis = at.micros().div_euclid(1_000);
    let nanos = i32::try_from(millis.rem_euclid(1_000) * 1_000_000).unwrap_or(0);
    prost_types::Timestamp { seconds: millis.div_euclid(1_000), nanos }
}

/// Reads an id.
///
/// # Errors
/// `validation-error` at `field`.
pub fn id<T: FromStr>(field: &str, text: &str) -> Result<T> {
    let message = "must be a UUID, as in 0198f0c4-7d55-7e10-8d4d-6b9c5f3e2a10";
    text.parse().map_err(|_| match text.is_empty() {
        true => Error::field(field, FieldCode::Required, "is needed"),
        false => Error::field(field, FieldCode::InvalidFormat, message),
    })
}

/// A text that may be left out: empty is not there.
pub fn given(text: String) -> Option<String> {
    Some(text).filter(|text| !text.is_empty())
}

/// A message, and whether it tells again what was told before.
struct Answer<Res> {
    message: Res,
    replayed: bool,
}

impl<Res> Answer<Res> {
    fn first(message: Res) -> Self {
        Self { message, replayed: false }
    }
}

/// Reads the message of a call, asks for the answer and frames it.
async fn serve<Req, Res, F>(
    request: Request<Body>,
    limit: usize,
    ask: impl Fn(Ctx, Req) -> F + Send + Sync,
) -> Response
where
    Req: Message + Name + Default + 'static,
    Res: Message + 'static,
    F: Future<Output = Result<Answer<Res>>> + Send,
{
    let Some(cx) = request.extensions().get::<Ctx>().cloned() else {
        return Problem::from(Error::internal("a call came without a context")).into_response();
    };
    // tonic carries a status; the error behind it goes round.
    let refusal = OnceLock::new();
    let (asked, refused) = (&ask, &refusal);
    let service = tower::service_fn(move |message: tonic::Request<Req>| {
        let answer = asked(cx.clone(), message.into_inner());
        async move {
            match answer.await {
                Ok(Answer { message, replayed }) => {
                    let mut response = tonic::Response::new(message);
                    if replayed {
                        let yes = MetadataValue::from_static("true");
                        response.metadata_mut().insert("idempotent-replayed", yes);
                    }
                    Ok(response)
                }
                Err(error) => {
                    // It is asked once: there is one message.
                    let _ = refused.set(error);
                    Err(Status::unknown(""))
                }
            }
        }
    });
    let codec = ProstCodec::<Res, Req>::default();
    let mut grpc =
        Grpc::new(codec).max_decoding_message_size(limit).accept_compressed(CompressionEncoding::Gzip);
    let mut response = grpc.unary(service, request).await;
    let error = match (refusal.into_inner(), response.extensions_mut().remove::<Status>()) {
        (Some(error), _) => error,
        (None, Some(status)) => unreadable(&status, &Req::full_name(), limit),
        (None, None) => return response.map(Body::new),
    };
    Problem::from(error).into_response()
}

/// Why a message could not be read.
fn unreadable(status: &Status, name: &str, limit: usize) -> Error {
    match status.code() {
        Code::OutOfRange | Code::ResourceExhausted => {
            Error::new(Slug::PayloadTooLarge, format!("The message is over the limit of {limit} bytes."))
        }
        Code::Unimplemented => Error::new(
            Slug::UnsupportedMediaType,
            "Messages are taken as they are or compressed with gzip; send `grpc-encoding: identity` or `gzip`.",
        ),
        _ => Error::new(
            Slug::ValidationError,
            format!("The call does not carry one {name}: {}.", status.message().trim_end_matches('.')),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_told_to_the_millisecond() {
        let told = |micros| {
            let time = time(Timestamp::from_micros(micros).unwrap());
            (time.seconds, time.nanos)
        };
        assert_eq!(told(1_500_999), (1, 500_000_000));
        assert_eq!(told(-1), (-1, 999_000_000));
        assert_eq!(told(0), (0, 0));
    }
}
