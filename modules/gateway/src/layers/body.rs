use std::ops::ControlFlow;

use axum::body::HttpBody as _;
use axum::extract::DefaultBodyLimit;
use bytes::{Bytes, BytesMut};
use http::{HeaderValue, Method, header};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use kernel::{Error, Result, Slug};
use tokio::{sync::OwnedSemaphorePermit, time::timeout_at};

use super::{Step, admit, limits::too_large};
use crate::{
    problem::refuse,
    table::Target,
    visit::{Arrival, Response, Visit},
};

/// Above this, axum's own extractors refuse a body unless told otherwise.
const AXUM_LIMIT: usize = 2_000_000;

/// Room that a body of unknown length takes before its first byte, and each time it has filled what it took.
const STEP: usize = 64 * 1024;

/// Reads JSON bodies and the messages of gRPC calls whole, so that a slow client takes no place in a service's queue; lets other bodies flow, up to
/// their limit.
#[derive(Clone, Copy)]
pub(crate) struct Body;

impl Step for Body {
    async fn enter(self, arrival: &mut Arrival) -> ControlFlow<Response> {
        let (limit, flows) = match arrival.visit.operation() {
            Ok(entry) => {
                let operation = &entry.operation;
                (
                    operation.body_limit,
                    entry.target == Target::Modules || (operation.streams && operation.body.is_none()),
                )
            }
            Err(error) => return ControlFlow::Break(refuse(error)),
        };
        if arrival.request.body().is_end_stream() {
            return ControlFlow::Continue(());
        }
        if flows {
            let body = std::mem::take(arrival.request.body_mut());
            *arrival.request.body_mut() = axum::body::Body::new(Limited::new(body, limit));
            DefaultBodyLimit::disable().apply(&mut arrival.request);
            return ControlFlow::Continue(());
        }
        if matches!(*arrival.request.method(), Method::GET | Method::HEAD) {
            // It means nothing here (RFC 9110 §9.3.1), and nobody reads it.
            return ControlFlow::Continue(());
        }
        admit(gathered(arrival, limit).await.map(|(bytes, room)| {
            if limit > AXUM_LIMIT {
                DefaultBodyLimit::disable().apply(&mut arrival.request);
            }
            arrival.request.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from(bytes.len()));
            *arrival.request.body_mut() = axum::body::Body::from(bytes.clone());
            arrival.request.extensions_mut().insert(Gathered(bytes));
            arrival.room = Some(room);
        }))
    }
}

/// The bytes of a body that was read, as an extension of the request.
#[derive(Clone)]
pub(crate) struct Gathered(pub Bytes);

async fn gathered(arrival: &mut Arrival, limit: usize) -> Result<(Bytes, OwnedSemaphorePermit)> {
    let body = std::mem::take(arrival.request.body_mut());
    let expected = body.size_hint().exact().and_then(|exact| usize::try_from(exact).ok());
    let room = arrival.visit.core.room_for_body(expected.unwrap_or(STEP).min(limit))?;
    let body = Limited::new(body, limit);
    let reading = async {
        match expected {
            Some(_) => {
                let whole = body.collect().await.map_err(|error| broken(error, limit))?;
                Ok((whole.to_bytes(), room))
            }
            None => read_on(body, limit, &arrival.visit, room).await,
        }
    };
    timeout_at(arrival.visit.deadline.into(), reading)
        .await
        .map_err(|_| Error::new(Slug::DeadlineExceeded, "The body did not arrive within the time allowed."))?
}

/// A body that does not say how long it is takes room as it grows.
async fn read_on(
    mut body: Limited<axum::body::Body>,
    limit: usize,
    visit: &Visit,
    mut room: OwnedSemaphorePermit,
) -> Result<(Bytes, OwnedSemaphorePermit)> {
    let (mut whole, mut taken) = (BytesMut::new(), STEP);
    while let Some(frame) = body.frame().await {
        let Ok(piece) = frame.map_err(|error| broken(error, limit))?.into_data() else { continue };
        while whole.len() + piece.len() > taken {
            room.merge(visit.core.room_for_body(STEP)?);
            taken += STEP;
        }
        whole.extend_from_slice(&piece);
    }
    Ok((whole.freeze(), room))
}

fn broken(error: axum::BoxError, limit: usize) -> Error {
    match error.is::<LengthLimitError>() {
        true => too_large(limit),
        false => Error::new(Slug::MalformedJson, "The body broke off before its end.").because(error),
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use futures::stream;

    use super::*;
    use crate::{GatewaySettings, layers::through, tests::gateway, tests::gateway_with};

    fn chunks(count: usize, bytes: usize) -> axum::body::Body {
        let chunk = Bytes::from(vec![b'a'; bytes]);
        axum::body::Body::from_stream(stream::iter(vec![Ok::<_, Infallible>(chunk); count]))
    }

    fn answered(arrival: Arrival) -> Response {
        let gathered = arrival.request.extensions().get::<Gathered>().map(|gathered| gathered.0.len());
        Response::new(axum::body::Body::from(format!("{gathered:?}")))
    }

    async fn text(response: Response) -> String {
        String::from_utf8(response.into_body().collect().await.unwrap().to_bytes().to_vec()).unwrap()
    }

    #[tokio::test]
    async fn a_body_is_read_whole_up_to_its_limit() {
        let kernel = gateway().await;
        for (count, outcome) in [(1, Some("Some(100000)")), (10, Some("Some(1000000)")), (11, None)] {
            let mut arrival = kernel.found(http::Request::post("/api/v1/things"));
            *arrival.request.body_mut() = chunks(count, 100_000);
            let response = through(Body, arrival, answered).await;
            match outcome {
                Some(expected) => assert_eq!(text(response).await, expected),
                None => assert_eq!(response.status(), 413),
            }
        }
    }

    #[tokio::test]
    async fn other_bodies_flow() {
        let mut arrival = gateway().await.found(http::Request::post("/api/v1/uploads"));
        *arrival.request.body_mut() = chunks(3, 10);
        assert_eq!(text(through(Body, arrival, answered).await).await, "None");
    }

    #[tokio::test]
    async fn a_body_that_does_not_come_is_given_up_at_the_deadline() {
        let request_timeout = std::time::Duration::from_millis(20);
        let kernel = gateway_with(|settings| GatewaySettings { request_timeout, ..settings }).await;
        let mut arrival = kernel.found(http::Request::post("/api/v1/things"));
        *arrival.request.body_mut() =
            axum::body::Body::from_stream(stream::pending::<Result<Bytes, Infallible>>());
        assert_eq!(through(Body, arrival, answered).await.status(), 504);
    }

    #[tokio::test]
    async fn bodies_that_are_read_at_the_same_time_are_bounded() {
        let kernel = gateway_with(|settings| GatewaySettings { buffered_bytes: 500_000, ..settings }).await;
        for (count, status) in [(1, 200), (4, 200), (6, 503), (4, 200)] {
            let mut arrival = kernel.found(http::Request::post("/api/v1/things"));
            *arrival.request.body_mut() = chunks(count, 100_000);
            let response = through(Body, arrival, answered).await;
            assert_eq!(response.status(), status, "{count}: a body of unknown length takes room as it grows");
        }
        let mut arrival = kernel.found(http::Request::post("/api/v1/things"));
        *arrival.request.body_mut() = vec![b'a'; 600_000].into();
        assert_eq!(through(Body, arrival, answered).await.status(), 503);
    }
}
