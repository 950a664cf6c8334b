//! One socket, from its first word to its last.

use std::{
    collections::BTreeSet,
    sync::Arc,
    time::{Duration, Instant},
};

use axum::extract::ws::{CloseFrame, Message, WebSocket};
use kernel::{Actor, Client, Ctx, Error, Secret, Slug, TenantId, UserId};
use ports::http::OpenStream;
use tokio::{sync::watch, time::timeout};
use uuid::Uuid;

use super::{
    Counted, Sockets,
    channel::Channel,
    protocol::{Close, MOST_BYTES, MOST_CHANNELS, Refused, Said, Says},
    rights::no_channel,
    ring::Place,
};

/// Who a stranger is must be said within this time.
const STRANGER: Duration = Duration::from_secs(5);
/// Whoever's token has ended has this long for a fresh one.
const LAPSED: Duration = Duration::from_secs(60);
/// Silence after which a socket is closed.
const IDLE: Duration = Duration::from_secs(30);
/// The time for one message to be taken off our hands.
const SENDING: Duration = Duration::from_secs(10);
/// The pause after which it is tried again what the house could not do just now.
pub(super) const AGAIN: Duration = Duration::from_secs(1);
/// Most messages of a client in [`WINDOW`].
const MOST_SAID: u32 = 100;
const WINDOW: Duration = Duration::from_secs(5);
/// Most mistakes of a client.
const MOST_MISTAKES: u32 = 20;

/// Somebody who said who they are.
pub(super) struct Known {
    token: Secret,
    pub(super) tenant: TenantId,
    /// Who it was; a fresh token must be of the same caller.
    name: String,
    pub(super) user: Option<UserId>,
    pub(super) ear: watch::Receiver<u64>,
    pub(super) channels: BTreeSet<Channel>,
    /// Where it stands in the ring; none before the first subscription.
    pub(super) at: Option<Place>,
    /// The token has ended: until then a fresh one is awaited, and nothing is told.
    lapsed: Option<Instant>,
}

/// A socket.
pub(super) struct Connection {
    pub(super) sockets: Arc<Sockets>,
    socket: WebSocket,
    client: Client,
    id: Uuid,
    opened: Instant,
    heard: Instant,
    pub(super) known: Option<Known>,
    /// There may be more in the ring.
    pub(super) eager: bool,
    /// Not before then is the ring looked at again.
    pub(super) not_before: Option<Instant>,
    mistakes: u32,
    said: u32,
    window: Instant,
}

/// How a step ends.
pub(super) type Step = std::result::Result<(), Close>;

/// Serves a socket until it ends.
pub(crate) async fn serve(counted: Counted, socket: WebSocket, place: OpenStream, client: Client) {
    let now = Instant::now();
    let mut connection = Connection {
        sockets: Arc::clone(&counted.0),
        socket,
        client,
        id: Uuid::now_v7(),
        opened: now,
        heard: now,
        known: None,
        eager: false,
        not_before: None,
        mistakes: 0,
        said: 0,
        window: now,
    };
    let ended = connection.run(&place).await;
    if let Some(close) = ended {
        let frame = CloseFrame { code: close.code(), reason: close.reason().into() };
        // Whoever does not take it is gone anyway.
        let _ = timeout(Duration::from_secs(1), connection.socket.send(Message::Close(Some(frame)))).await;
    }
    drop(counted);
}

impl Connection {
    /// Runs until the end; answers why it is we who end it.
    async fn run(&mut self, place: &OpenStream) -> Option<Close> {
        if self.say(&Says::AuthRequired { reason: "say who you are" }).await.is_err() {
            return Some(Close::TooSlow);
        }
        loop {
            let deadline = self.deadline();
            let step = tokio::select! {
                biased;
                () = place.is_cut() => Err(Close::Restart),
                came = self.socket.recv() => match came {
                    Some(Ok(message)) => {
                        self.heard = Instant::now();
                        match message {
                            Message::Close(_) => return None,
                            message => self.hear(message).await,
                        }
                    }
                    Some(Err(error)) => return too_large(&error).then_some(Close::TooLarge),
                    None => return None,
                },
                () = tokio::time::sleep_until(deadline.into()) => Err(self.overdue()),
                () = news(&mut self.known, self.eager, self.not_before) => self.tell_news().await,
            };
            if let Err(close) = step {
                return Some(close);
            }
        }
    }

    /// When it is over unless something happens.
    fn deadline(&self) -> Instant {
        let idle = self.heard + IDLE;
        match &self.known {
            None => idle.min(self.opened + STRANGER),
            Some(Known { lapsed: Some(until), .. }) => idle.min(*until),
            Some(_) => idle,
        }
    }

    fn overdue(&self) -> Close {
        if Instant::now() >= self.heard + IDLE { Close::Idle } else { Close::NotAuthenticated }
    }

    async fn hear(&mut self, message: Message) -> Step {
        let text = match message {
            Message::Text(text) => text,
            Message::Binary(_) => return Err(Close::NotText),
            // The protocol's own pings are answered below us.
            _ => return Ok(()),
        };
        self.count()?;
        match serde_json::from_str::<Said>(&text) {
            Ok(Said::Ping {}) => self.say(&Says::Pong).await,
            Ok(Said::Auth { token }) => self.authenticate(token).await,
            Ok(_) if self.known.as_ref().is_none_or(|known| known.lapsed.is_some()) => {
                self.mistake(
                    "unauthorized",
                    "say first who you are: {\"type\":\"auth\",\"token\":\"…\"}".into(),
                )
                .await
            }
            Ok(Said::Subscribe { channels, last_event_id }) => self.subscribe(channels, last_event_id).await,
            Ok(Said::Unsubscribe { channels }) => self.unsubscribe(&channels).await,
            Err(error) => {
                let error = error.to_string();
                let what = error.split(" at line ").next().unwrap_or_default().to_owned();
                self.mistake("validation-error", what).await
            }
        }
    }

    /// Nobody talks without end.
    fn count(&mut self) -> Step {
        let now = Instant::now();
        if now.saturating_duration_since(self.window) > WINDOW {
            (self.window, self.said) = (now, 0);
        }
        self.said += 1;
        if self.said > MOST_SAID { Err(Close::Policy) } else { Ok(()) }
    }

    async fn authenticate(&mut self, token: Secret) -> Step {
        let principal = match self.sockets.who(&token, &self.client).await {
            Ok(principal) => principal,
            Err(error) => return self.mistake(error.slug().name(), error.detail().to_owned()).await,
        };
        let caller = principal.caller;
        let Some(tenant) = caller.tenant else { return Err(Close::NotAuthenticated) };
        let (name, user) = (caller.actor.name(), person(&caller.actor));
        match &mut self.known {
            Some(known) if known.tenant == tenant && known.name == name => {
                known.token = token;
                known.lapsed = None;
                self.eager = true;
            }
            Some(_) => return Err(Close::NotAuthenticated),
            None => {
                let ear = self.sockets.ring.ear(tenant);
                let channels = BTreeSet::new();
                self.known = Some(Known { token, tenant, name, user, ear, channels, at: None, lapsed: None });
            }
        }
        self.say(&Says::AuthOk { conn_id: self.id, user_id: user, tenant_id: tenant }).await
    }

    /// The caller as they are now. None: the token has ended, and a fresh one was asked for.
    pub(super) async fn current(&mut self) -> std::result::Result<Option<Ctx>, Close> {
        let Some(known) = &mut self.known else { return Ok(None) };
        match self.sockets.who(&known.token, &self.client).await {
            Ok(principal) => Ok(Some(self.sockets.cx(principal.caller, &self.client))),
            Err(error)
                if matches!(error.slug(), Slug::TokenExpired | Slug::Unauthorized | Slug::NotFound) =>
            {
                known.lapsed = Some(Instant::now() + LAPSED);
                self.eager = false;
                self.say(&Says::AuthRequired { reason: "your token has ended; send a fresh one" }).await?;
                Ok(None)
            }
            Err(error) if error.slug() == Slug::SubscriptionTerminated => Err(Close::Terminated),
            Err(error) => {
                tracing::debug!(?error, "a socket's rights can't be asked for just now");
                self.not_before = Some(Instant::now() + AGAIN);
                self.eager = true;
                Ok(None)
            }
        }
    }

    async fn subscribe(&mut self, names: Vec<String>, behind: Option<String>) -> Step {
        let Some(cx) = self.current().await? else {
            // A token that has ended was told already.
            let lapsed = self.known.as_ref().is_none_or(|known| known.lapsed.is_some());
            return if lapsed { Ok(()) } else { self.not_now().await };
        };
        let mut refused = Vec::new();
        let mut wanted = Vec::new();
        for name in names {
            let found = match name.parse::<Channel>() {
                Ok(channel) => self.sockets.may_hear(&cx, &channel).await.map(|()| channel),
                Err(_) => Err(no_channel()),
            };
            match found {
                Ok(channel) => wanted.push(channel),
                Err(error) => refused.push(refusal(name, &error)),
            }
        }
        // The first socket after a while waits for the listener to catch up, so that nothing old passes for new.
        if timeout(STRANGER, self.sockets.ring.live()).await.is_err() {
            return self.not_now().await;
        }
        let Some(known) = &mut self.known else { return Ok(()) };
        for channel in wanted {
            if known.channels.len() >= MOST_CHANNELS && !known.channels.contains(&channel) {
                let message = format!("a socket hears at most {MOST_CHANNELS} channels");
                refused.push(Refused {
                    channel: channel.to_string(),
                    code: Slug::LimitExceeded.name(),
                    message,
                });
                continue;
            }
            known.channels.insert(channel);
        }
        let mut resumed = None;
        if let Some(behind) = behind {
            // Only a fresh socket goes back: one that hears already would be told what it knows.
            let place = match known.at {
                None => self.sockets.ring.resume(&self.sockets.places, &behind),
                Some(_) => None,
            };
            resumed = Some(place.is_some());
            known.at = place.or(known.at);
        }
        known.at = known.at.or_else(|| Some(self.sockets.ring.head()));
        let channels = known.channels.iter().map(Channel::to_string).collect();
        self.eager = true;
        self.say(&Says::Subscribed { channels, refused, resumed }).await
    }

    async fn unsubscribe(&mut self, names: &[String]) -> Step {
        let Some(known) = &mut self.known else { return Ok(()) };
        let gone =
            names.iter().filter_map(|name| name.parse().ok()).filter(|name| known.channels.remove(name));
        let channels = gone.map(|channel| channel.to_string()).collect();
        self.say(&Says::Unsubscribed { channels, reason: None }).await
    }

    /// What was asked for is not the client's mistake.
    async fn not_now(&mut self) -> Step {
        let message = "live data are not ready just now; ask again in a moment".to_owned();
        self.say(&Says::Error { code: Slug::Overloaded.name(), message }).await
    }

    async fn mistake(&mut self, code: &str, message: String) -> Step {
        self.mistakes += 1;
        self.say(&Says::Error { code, message }).await?;
        if self.mistakes > MOST_MISTAKES { Err(Close::Policy) } else { Ok(()) }
    }

    /// Says something. Whoever does not read is not waited for.
    pub(super) async fn say(&mut self, says: &Says<'_>) -> Step {
        let Ok(text) = serde_json::to_string(says) else { return Ok(()) };
        match timeout(SENDING, self.socket.send(Message::Text(text.into()))).await {
            Ok(Ok(())) => Ok(()),
            _ => Err(Close::TooSlow),
        }
    }
}

/// Resolves when there is something to look for in the ring.
async fn news(known: &mut Option<Known>, eager: bool, not_before: Option<Instant>) {
    let Some(known) = known.as_mut().filter(|known| known.lapsed.is_none() && known.at.is_some()) else {
        return std::future::pending().await;
    };
    if let Some(at) = not_before {
        tokio::time::sleep_until(at.into()).await;
    } else if !eager && known.ear.changed().await.is_err() {
        // The ring forgets an ear only when nobody listens.
        std::future::pending::<()>().await;
    }
}

fn person(actor: &Actor) -> Option<UserId> {
    match actor {
        Actor::User { id, .. } => Some(*id),
        _ => None,
    }
}

fn refusal(channel: String, error: &Error) -> Refused {
    let message =
        error.field_errors().first().map_or_else(|| error.detail().to_owned(), |first| first.message.clone());
    Refused { channel, code: error.slug().name(), message }
}

/// Whether a message was over the limit; the socket is of no more use then.
fn too_large(error: &axum::Error) -> bool {
    let text = error.to_string().to_lowercase();
    text.contains("too long") || text.contains("too big") || text.contains("space limit")
}

/// The sockets' own limits, for the upgrade.
pub(crate) fn limits(upgrade: axum::extract::WebSocketUpgrade) -> axum::extract::WebSocketUpgrade {
    upgrade
        .max_message_size(MOST_BYTES)
        .max_frame_size(MOST_BYTES)
        // 10,000 idle sockets must not cost the 128 KB each that are usual.
        .read_buffer_size(MOST_BYTES)
        .write_buffer_size(0)
        // One message of the largest event that there is.
        .max_write_buffer_size(4 * 1024 * 1024)
}
