//! Listening: one connection hears all topics of the process and hands them on.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use fred::{
    clients::{Client, WithOptions},
    error::Error,
    interfaces::{ClientLike, EventInterface, PubsubInterface},
    types::{ClusterHash, Message, config::Options},
    util::redis_keyslot,
};
use kernel::Timestamp;
use tokio::{
    sync::broadcast::{self, error::RecvError},
    time::MissedTickBehavior,
};
use tokio_util::sync::CancellationToken;

use super::{Heard, Presence, Topics, at_once, keep};

/// How often the connection is tried, and how often listeners are told while it is away.
const BEAT: Duration = Duration::from_millis(500);

/// All that is listened to.
pub(super) struct Hearing(Arc<Inner>);

struct Inner {
    client: Client,
    /// What is said about subscriptions goes to one node of a cluster.
    commands: WithOptions<Client>,
    topics: Topics,
    /// One change of what the server is asked for at a time.
    turn: tokio::sync::Mutex<()>,
    /// Away also means that the server may not know what is listened to.
    presence: Mutex<Presence>,
}

impl Hearing {
    /// Connects, and listens until `stop`.
    pub(super) async fn begin(client: Client, stop: CancellationToken) -> Result<Self, Error> {
        let slot = ClusterHash::Custom(redis_keyslot(client.id().as_bytes()));
        let options = Options { cluster_hash: Some(slot), ..at_once() };
        let messages = client.message_rx();
        let running = client.init().await?;
        // Not before: the first connection is no return.
        let reconnects = client.reconnect_rx();
        tokio::spawn(keep(client.clone(), running, stop.clone()));
        let inner = Arc::new(Inner {
            commands: client.with_options(&options),
            client,
            topics: Topics::default(),
            turn: tokio::sync::Mutex::default(),
            presence: Mutex::new(Presence { there: true, since: Timestamp::real() }),
        });
        tokio::spawn(hand_on(Arc::clone(&inner), messages, stop.clone()));
        tokio::spawn(watch(Arc::clone(&inner), reconnects, stop));
        Ok(Self(inner))
    }

    /// Listens to one more topic. While the server is away this is no error: the listener hears that messages may have
    /// been missed, now and when the server is back.
    pub(super) async fn subscribe(&self, topic: &str) -> Result<broadcast::Receiver<Heard>, Error> {
        let inner = &*self.0;
        let _turn = inner.turn.lock().await;
        let unheard = inner.topics.drop_unheard(topic);
        if let Some(known) = inner.topics.join(topic) {
            return Ok(known);
        }
        if !unheard.is_empty() {
            // What goes on to come is passed over.
            let _ = inner.commands.unsubscribe(unheard).await;
        }
        match inner.listen(vec![topic.to_owned()]).await {
            Ok(()) => {}
            Err(error) if error.details().starts_with("NOPERM") => return Err(error),
            Err(error) => {
                tracing::debug!(%error, topic, "listening begins when Valkey is back");
                inner.is_there(false);
            }
        }
        Ok(inner.topics.listen(topic))
    }

    /// Whether the server is there.
    pub(super) fn presence(&self) -> Presence {
        self.0.presence()
    }

    /// Whether the user may listen.
    pub(super) async fn try_it(&self, topic: &str) -> Result<(), Error> {
        let _turn = self.0.turn.lock().await;
        self.0.listen(vec![topic.to_owned()]).await?;
        self.0.commands.unsubscribe(topic).await
    }
}

impl Inner {
    /// The client does not wait for the server's answer to a subscription; what it answers next tells, or is the refusal.
    async fn listen(&self, topics: Vec<String>) -> Result<(), Error> {
        self.commands.subscribe(topics).await?;
        self.commands.ping(None).await
    }

    async fn listen_anew(&self) {
        let _turn = self.turn.lock().await;
        let topics = self.topics.names();
        let listening = match topics.is_empty() {
            true => Ok(()),
            false => self.listen(topics).await,
        };
        match listening {
            Ok(()) => {
                if self.is_there(true) {
                    tracing::info!("Valkey is back, and listened to again");
                }
            }
            Err(error) => {
                tracing::debug!(%error, "Valkey can't be listened to yet");
                self.is_there(false);
            }
        }
        self.topics.interrupt();
    }

    async fn beat(&self) {
        match self.commands.ping::<()>(None).await {
            Ok(()) if !self.presence().there => self.listen_anew().await,
            Ok(()) => {}
            Err(error) => {
                if self.is_there(false) {
                    tracing::warn!(%error, "Valkey is away; what it would have told is looked up instead");
                }
                self.topics.interrupt();
            }
        }
    }

    /// Notes whether the server is there; answers whether that is news.
    fn is_there(&self, there: bool) -> bool {
        let mut presence = self.presence.lock().unwrap_or_else(PoisonError::into_inner);
        let news = presence.there != there;
        if news {
            *presence = Presence { there, since: Timestamp::real() };
        }
        news
    }

    fn presence(&self) -> Presence {
        *self.presence.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tell(&self, message: Message) {
        let heard = message.value.convert::<Bytes>().map_or(Heard::Interrupted, Heard::Message);
        self.topics.tell(&message.channel, heard);
    }
}

async fn hand_on(inner: Arc<Inner>, mut messages: broadcast::Receiver<Message>, stop: CancellationToken) {
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            message = messages.recv() => match message {
                Ok(message) => inner.tell(message),
                Err(RecvError::Lagged(_)) => inner.topics.interrupt(),
                // A client that was started anew speaks through another channel.
                Err(RecvError::Closed) => {
                    messages = inner.client.message_rx();
                    inner.topics.interrupt();
                }
            },
        }
    }
}

async fn watch(
    inner: Arc<Inner>,
    mut reconnects: broadcast::Receiver<fred::types::config::Server>,
    stop: CancellationToken,
) {
    let mut beats = tokio::time::interval(BEAT);
    beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            reconnected = reconnects.recv() => {
                if matches!(reconnected, Err(RecvError::Closed)) {
                    reconnects = inner.client.reconnect_rx();
                }
                inner.listen_anew().await;
            }
            _ = beats.tick() => inner.beat().await,
        }
    }
}
