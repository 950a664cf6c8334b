//! `GET /slow` and `GET /stream`: answers that take their time, to try a proxy with.

use std::io;
use std::time::Duration;

use axum::body::Body;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures::stream;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use serde::Deserialize;
use tokio::sync::OwnedSemaphorePermit;

use crate::caller::Caller;
use crate::http::App;
use crate::lifecycle::{Phase, PhaseWatch};
use crate::problem::Problem;

const MAX_MS: u32 = 60_000;
const MAX_CHUNKS: u32 = 1_000;
/// `/slow` sends a line at least this often, so that no idle limit cuts it.
const MAX_BEAT_MS: u32 = 250;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SlowParams {
    /// How long the answer takes, in milliseconds.
    #[serde(default = "one_second")]
    ms: u32,
}

fn one_second() -> u32 {
    1_000
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct StreamParams {
    #[serde(default = "ten")]
    chunks: u32,
    /// Milliseconds before each chunk.
    #[serde(default = "ten")]
    every_ms: u32,
}

fn ten() -> u32 {
    10
}

/// The head at once, then a line every quarter of a second until `ms` are over.
pub(super) async fn slow(
    State(app): State<App>,
    _caller: Caller,
    params: Result<Query<SlowParams>, QueryRejection>,
) -> Result<Response, Problem> {
    let Query(SlowParams { ms }) = params?;
    if ms > MAX_MS {
        return Err(Problem::out_of_range("ms", format!("at most {MAX_MS}")));
    }
    let lines = ms.div_ceil(MAX_BEAT_MS).max(1);
    let every = Duration::from_millis(ms.into()) / lines;
    Ok(Drip::new(&app, lines, every)?.into_response())
}

/// `chunks` lines of JSON, each a chunk of its own.
pub(super) async fn stream(
    State(app): State<App>,
    _caller: Caller,
    params: Result<Query<StreamParams>, QueryRejection>,
) -> Result<Response, Problem> {
    let Query(StreamParams { chunks, every_ms }) = params?;
    if !(1..=MAX_CHUNKS).contains(&chunks) {
        return Err(Problem::out_of_range("chunks", format!("from 1 to {MAX_CHUNKS}")));
    }
    if u64::from(chunks) * u64::from(every_ms) > u64::from(MAX_MS) {
        let message = format!("chunks times everyMs may be {MAX_MS} at most");
        return Err(Problem::out_of_range("everyMs", message));
    }
    Ok(Drip::new(&app, chunks, Duration::from_millis(every_ms.into()))?.into_response())
}

/// Lines that come one after another; each waits `every` before it.
struct Drip {
    line: u32,
    lines: u32,
    every: Duration,
    phase: PhaseWatch,
    _place: OwnedSemaphorePermit,
}

impl Drip {
    fn new(app: &App, lines: u32, every: Duration) -> Result<Self, Problem> {
        let (place, phase) = app.stream_place()?;
        Ok(Drip { line: 0, lines, every, phase, _place: place })
    }

    async fn next(mut self) -> Option<(io::Result<Bytes>, Self)> {
        if self.line == self.lines {
            return None;
        }
        tokio::select! {
            () = tokio::time::sleep(self.every) => {}
            () = self.phase.reached(Phase::Ended) => {
                // An error breaks the connection off: the client must not take this for the end.
                self.line = self.lines;
                return Some((Err(io::Error::other("the back-end is stopping")), self));
            }
        }
        self.line += 1;
        let line = format!("{{\"line\":{},\"of\":{}}}\n", self.line, self.lines);
        Some((Ok(Bytes::from(line)), self))
    }
}

impl IntoResponse for Drip {
    fn into_response(self) -> Response {
        let headers = [(CONTENT_TYPE, "application/x-ndjson"), (CACHE_CONTROL, "no-store")];
        (headers, Body::from_stream(stream::unfold(self, Drip::next))).into_response()
    }
}
