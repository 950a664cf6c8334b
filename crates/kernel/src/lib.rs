//! The words every service shares: ids, clocks, who is asking, what can go wrong, and the configuration.
//!
//! No I/O happens here. A type of this crate means the same thing in all twelve services.

#![forbid(unsafe_code)]

pub mod check;
pub mod config;
mod ctx;
mod error;
mod event;
mod id;
mod names;
pub mod problem;
mod secret;
mod time;

pub use ctx::{Actor, Caller, Client, Ctx, CtxBuilder, IdempotencyKey, Permissions, TraceContext};
pub use error::{Error, FieldCode, FieldError, Result};
pub use event::{DomainEvent, matches_pattern};
pub use id::{
    AggregateId, ApiKeyId, AuditId, EventId, Id, JobId, ModuleId, RequestId, RoleId, SessionId,
    SubscriptionId, TenantId, TransactionId, UserId, WalletId,
};
pub use names::{BadName, ModuleSlug, SandboxName, TenantSlug};
pub use problem::Slug;
pub use secret::Secret;
pub use time::{Clock, ClockSetting, Timestamp};
