//! `/ws`: where a client becomes a socket.

use axum::{
    extract::{WebSocketUpgrade, ws::rejection::WebSocketUpgradeRejection},
    response::Response,
};
use kernel::{Error, FieldCode, Slug};
use ports::http::{Access, Cx, OpenStream, Operation, Problem, Result, Routes, State};

use super::Notifier;
use crate::ws::socket;

pub(super) fn add(routes: Routes<Notifier>) -> Routes<Notifier> {
    routes.add(
        Operation::get("/ws", "openWebsocket", Access::Public)
            .summary("Live data, notifications and events over a websocket")
            .description(
                "The kernel says `{\"type\":\"auth_required\"}`; send `{\"type\":\"auth\",\"token\":\"…\"}` within 5 s (else it \
                 closes with 4401), then `{\"type\":\"subscribe\",\"channels\":[\"data.crm.contacts\",\"notifications\",\
                 \"events\"]}`, at most 50. JSON text only, 4096 bytes a message. Send `{\"type\":\"ping\"}` now and then: \
                 after 30 s of silence it closes with 4408. Each message carries an `eventId`; after a drop subscribe \
                 with the last one as `lastEventId` within 5 min and nothing is missed (`resumed` in the answer says \
                 whether that holds; an event may come twice). When the token ends, `auth_required` comes again and \
                 waits 60 s for a fresh one of the same caller. Rights are checked for each message; a channel that \
                 was lost is told as `unsubscribed`. Close codes: 1003 not text, 1008 too many messages or mistakes, \
                 1009 too large, 1012 the sandbox closes for a moment, 4401 not authenticated, 4408 idle, 4429 read too \
                 slowly.",
            )
            .status(101)
            .problems(&[Slug::ValidationError, Slug::Overloaded]),
        open,
    )
}

async fn open(
    State(notify): State<Notifier>,
    Cx(cx): Cx,
    upgrade: std::result::Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
    place: std::result::Result<OpenStream, Problem>,
) -> Result<Response> {
    let upgrade = upgrade.map_err(|rejection| {
        let message = "this address speaks websocket over HTTP/1.1: send `Connection: Upgrade`, `Upgrade: websocket`, a \
                       Sec-WebSocket-Key and Sec-WebSocket-Version 13";
        Error::field("Upgrade", FieldCode::Required, message).because(rejection.to_string())
    })?;
    let place = place?;
    let counted = notify.sockets.admit()?;
    let client = cx.client().clone();
    Ok(socket::limits(upgrade).on_upgrade(move |socket| socket::serve(counted, socket, place, client)))
}
