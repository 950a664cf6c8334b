//! Postgres: the only place that opens connections.
//!
//! A [`Database`] is one sandbox's data. Work for a tenant goes through [`Database::tenant`], whose connection is bound
//! to the tenant of the [`kernel::Ctx`] before the caller gets it; work across tenants goes through
//! [`Database::system`], with a [`Reason`] from a short list. Several statements that belong together run in a [`Tx`],
//! which also carries events, audit records, reservations and the answer of a repeatable request.

mod audit;
mod cluster;
mod cluster_error;
mod database;
pub mod embedded;
mod event;
mod fault;
mod given;
mod listening;
mod logins;
mod migrate;
mod pool;
mod prepare;
mod query;
mod reach;
mod requests;
mod schemas;
mod scram;
mod statement;
mod tx;
mod words;

pub use audit::Audit;
pub use cluster::{Cluster, template_database};
pub use cluster_error::ClusterError;
pub use database::{Database, DatabaseOptions, Handle, Reason, Role};
pub use event::Event;
pub use fault::{fault, is_lost_connection, violated};
pub use listening::Listening;
pub use logins::{Login, Logins};
pub use migrate::{
    Migration, MigrationError, Migrations, Purpose, after_clone, carry_over, gather_statistics, shown_clock,
};
pub use pool::Budget;
pub use prepare::{Examined, ServerStatus};
pub use query::Query;
pub use requests::Requests;
pub use schemas::{ModuleConnection, Schemas};
pub use statement::{STATEMENTS, Statement};
pub use tx::Tx;

/// For `#[derive(FromRow)]`, JSON columns and hand-written rows.
pub use sqlx::{FromRow, postgres::PgConnectOptions, types::Json};

/// Not for use by hand: what [`crate::sql`] expands to.
#[doc(hidden)]
pub use inventory;
