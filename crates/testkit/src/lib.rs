//! The workshop: a real kernel for tests, in process ([`Kernel`]) or as the real binary ([`Binary`]), and an [`Api`]
//! client that reads like a story. For tests only, so it panics where a test should fail.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::missing_panics_doc,
    reason = "a workshop for tests: a panic is a failed test"
)]

mod api;
mod binary;
mod broker;
mod folder;
mod kernel;
mod postgres;
mod recording;
mod rpc;
mod valkey;
mod waiting;

pub use api::{Answer, Api};
pub use binary::{Binary, Launch};
pub use broker::{Broker, KAFKA_PASSWORD, KAFKA_STRANGER, KAFKA_USER};
pub use folder::data_folder;
pub use kernel::{Kernel, KernelOptions};
pub use postgres::{Postgres, SandboxDatabase};
pub use recording::{MASKED, Recording};
pub use rpc::method;
pub use valkey::{Valkey, shared_redis, shared_valkey};
pub use waiting::{Wanted, until, within};

/// The demo's password.
pub const DEMO_PASSWORD: &str = "Sandbox2026!";
/// The demo's Owner.
pub const DEMO_OWNER: &str = "admin@sandbox.localhost";
/// The demo's Admin.
pub const DEMO_ADMIN: &str = "dev@sandbox.localhost";
/// The demo's Member.
pub const DEMO_MEMBER: &str = "viewer@sandbox.localhost";
