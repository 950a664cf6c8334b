//! The log of events: what was said with a committed transaction, in an order kept per key, for everyone who wants to
//! hear it.
//!
//! Writers leave events in the outbox ([`crate::postgres::Tx::event`]). The [`Relay`] gives committed rows their place in
//! the log. Readers stand at a [`Cursor`] and read through [`EventLog`], which Kafka can keep as well as Postgres; who
//! must not miss or repeat anything has a subscription ([`Subscriptions`]) whose acknowledgements, attempts and dead
//! letters are kept in Postgres whatever carries the events. Services listen by a [`Consumer`].
//!
//! Order is promised per key of a tenant only. A position is a number of one partition and never leaves a cursor.

mod consumer;
mod contexts;
pub mod contract;
mod cursor;
mod dead_letters;
mod envelope;
mod event_log;
mod interleaved;
pub mod kafka;
mod memory;
mod news;
mod patterns;
mod postgres;
mod relay;
mod retention;
mod row;
mod subscription;
mod subscriptions;

pub use consumer::{Consumer, Hear};
pub use contexts::Contexts;
pub use cursor::Cursor;
pub use dead_letters::{DeadLetter, DeadLetterId, DeadLetterKind, DeadLetters, Replayed, Whose};
pub use envelope::{Envelope, envelope, open_envelope};
pub use event_log::{Batch, EventLog, Read};
pub use interleaved::InterleavedLog;
pub use memory::MemoryLog;
pub use news::{Listener, News};
pub use patterns::{KERNEL_TOPICS, Patterns, is_pattern, is_type, topic_of};
pub use postgres::PostgresLog;
pub use relay::{Lag, Relay};
pub use retention::{Forgotten, forget};
pub use subscription::{Delivery, NewSubscription, Place, Pulled, SeekTo, Statements, Subscription};
pub use subscriptions::Subscriptions;

/// Partitions of every topic.
pub const PARTITIONS: i16 = 12;
