//! The operation table and how handlers speak HTTP: one entry per operation says who may call it, what it takes and how
//! it fails; the gateway enforces it, the docs tell it, the isolation suite walks it.

mod answer;
mod csv;
mod cursor;
mod extract;
pub mod openapi;
mod operation;
mod stream;

pub use answer::{
    Accepted, Created, Failure, NoContent, One, Page, PageMeta, Problem, Result, etag, json_bytes,
    version_tag,
};
pub use axum::extract::State;
pub use csv::csv_cell;
pub use cursor::{CursorKey, Paging, page_size};
pub use extract::{Body, Cx, IfMatch, Path, Query, Raw, parse_json};
pub use operation::{Access, BASE, JSON_LIMIT, Operation, Repeat, Routes, Rpc, SchemaOf, ServiceRoutes};
pub use stream::OpenStream;
