//! `GET /ws`: says back what it hears.

use std::time::Duration;

use axum::extract::State;
use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade, close_code};
use axum::response::Response;
use tokio::sync::OwnedSemaphorePermit;

use crate::caller::Caller;
use crate::http::App;
use crate::lifecycle::{Phase, PhaseWatch};
use crate::problem::Problem;

const MAX_MESSAGE_BYTES: usize = 64 * 1024;
/// A connection that says nothing for so long is closed.
const IDLE: Duration = Duration::from_secs(60);
const SEND_TIMEOUT: Duration = Duration::from_secs(10);

pub(super) async fn echo(
    State(app): State<App>,
    _caller: Caller,
    upgrade: WebSocketUpgrade,
) -> Result<Response, Problem> {
    let (place, phase) = app.stream_place()?;
    let upgrade = upgrade.max_message_size(MAX_MESSAGE_BYTES).max_frame_size(MAX_MESSAGE_BYTES);
    Ok(upgrade.on_upgrade(move |socket| converse(socket, phase, place)))
}

async fn converse(mut socket: WebSocket, mut phase: PhaseWatch, _place: OwnedSemaphorePermit) {
    let goodbye = loop {
        let heard = tokio::select! {
            heard = tokio::time::timeout(IDLE, socket.recv()) => heard,
            () = phase.reached(Phase::Draining) => break (close_code::AWAY, "the back-end is stopping"),
        };
        match heard {
            Err(_) => break (close_code::NORMAL, "nothing heard for a minute"),
            Ok(Some(Ok(message @ (Message::Text(_) | Message::Binary(_))))) => {
                if !send(&mut socket, message).await {
                    return;
                }
            }
            // The library answers pings.
            Ok(Some(Ok(Message::Ping(_) | Message::Pong(_)))) => {}
            Ok(None | Some(Err(_)) | Some(Ok(Message::Close(_)))) => return,
        }
    };
    let (code, reason) = goodbye;
    send(&mut socket, Message::Close(Some(CloseFrame { code, reason: reason.into() }))).await;
}

/// False when the other side is gone, or takes nothing.
async fn send(socket: &mut WebSocket, message: Message) -> bool {
    matches!(tokio::time::timeout(SEND_TIMEOUT, socket.send(message)).await, Ok(Ok(())))
}
