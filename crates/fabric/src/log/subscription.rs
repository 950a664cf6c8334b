use std::time::Duration;

use kernel::{DomainEvent, SubscriptionId, Timestamp};

use super::{Cursor, Patterns};
use crate::postgres::{FromRow, Handle, Json, Query, Tx};

/// Where statements go: a handle, or a transaction that a repeatable request needs.
pub trait Statements: Send {
    /// The statement; for a tenant its first parameter is bound.
    fn statement(&mut self, text: &'static str) -> Query<'_>;
}

impl Statements for Handle {
    fn statement(&mut self, text: &'static str) -> Query<'_> {
        self.query(text)
    }
}

impl Statements for Tx {
    fn statement(&mut self, text: &'static str) -> Query<'_> {
        self.query(text)
    }
}

/// A tenant's new subscription.
#[derive(Debug, Clone)]
pub struct NewSubscription {
    /// The consumer group: its lasting name, unique among those of the tenant's same module.
    pub name: String,
    /// The module whose it is.
    pub module: Option<String>,
    /// What it hears.
    pub patterns: Patterns,
    /// Where events go; kept as given.
    pub target: serde_json::Value,
    /// Tries after the first before an event becomes a dead letter, 0 to 10.
    pub max_retries: i16,
    /// Whether it hears what the log still holds; else what comes from now on.
    pub from_beginning: bool,
}

/// A subscription.
#[derive(Debug, Clone, FromRow)]
pub struct Subscription {
    /// Its id.
    pub id: SubscriptionId,
    /// The consumer group.
    pub name: String,
    /// The module whose it is.
    pub module: Option<String>,
    /// Types and patterns.
    pub types: Vec<String>,
    /// Where events go.
    pub target: Json<serde_json::Value>,
    /// Tries after the first.
    pub max_retries: i16,
    /// When it was made, on the sandbox's clock.
    pub created_at: Timestamp,
}

/// An event in the receiver's hands for 30 s of real time: to be acknowledged by then.
#[derive(Debug, Clone)]
pub struct Delivery {
    /// The event.
    pub event: DomainEvent,
    /// How often it was handed out, this time included.
    pub attempt: i16,
}

/// What a pull brought.
#[derive(Debug, Clone, Default)]
pub struct Pulled {
    /// In order per key.
    pub deliveries: Vec<Delivery>,
    /// Whether another pull right now would bring or find more.
    pub more: bool,
    /// Whether events wait behind others of their key.
    pub waiting: bool,
    /// When a lease or the pause before a next try ends.
    pub due_in: Option<Duration>,
}

/// Where to go on in the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SeekTo {
    /// Before all that the log still holds.
    Beginning,
    /// Behind all that was logged.
    End,
    /// Before the first event of that moment or later, on the sandbox's clock.
    Time(Timestamp),
    /// A place known from elsewhere.
    Cursor(Cursor),
}

/// How far a subscription is.
#[derive(Debug, Clone)]
pub struct Place {
    /// Everything before it was taken over for delivery.
    pub cursor: Cursor,
    /// Taken over and not acknowledged.
    pub open: i64,
    /// Failed too often.
    pub dead_letters: i64,
}
