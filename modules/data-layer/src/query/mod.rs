//! The query language of records: from a request's text to one checked SQL statement.
//!
//! Three steps, none of which does I/O: **read** the text, **check** it against the [`Catalogue`](crate::catalogue),
//! **compile** it. What comes out of the first two holds references into the catalogue in place of names, and values
//! in the normal form of their column, so the third has no user text to put anywhere but into a bind parameter:
//! values are always bound, identifiers always come from the catalogue.
//!
//! `$1` of every statement is the tenant's id, and every access to a table, also those of relations, compares it
//! with the row's tenant through `kernel.owns($1, tenant_id)`; soft-deleted rows of relations are never seen.
//!
//! # Filters
//! `field=op.value`; several are all required. `or=(a.eq.1,b.gt.2)` and `and=(…)` nest; `not.` before an operator or
//! a group gives everything else, rows with null included (`neq` is `not.eq`). `company.industry=eq.tech` asks the
//! record at the other end of a to-one relation; a path through a to-many relation (`contacts.status=eq.active`)
//! narrows the embedded array, which `select` must name.
//!
//! In groups and lists a value with commas, parentheses or quotes stands in double quotes, `\` escaping `"` and `\`.

mod condition;
mod export;
mod filter;
mod list;
mod reach;
mod read;
mod record;
mod select;
mod sql;
mod text;
mod value;
mod write;

#[cfg(test)]
mod compiling;
#[cfg(test)]
mod parsing;
#[cfg(test)]
mod properties;
#[cfg(test)]
pub(crate) mod sample;

pub use export::ExportFormat;
pub use list::{Deleted, ListQuery, MatchQuery};
pub use read::{CursorKeys, CursorMismatch, ListStatement};
pub use record::{Patch, Record, Records};
pub use select::ReadQuery;
pub use sql::{Compiled, Param};
pub use write::{
    OnBehalf, Outcome, change_matching, delete_for_ever, insert_counted, insert_many, insert_rows, patch,
    restore, soft_delete,
};

pub(crate) use sql::quote_ident;

/// Tests in one query, in all its lists together.
pub const MAX_FILTERS: usize = 20;
/// Groups within groups.
pub const MAX_NESTING: usize = 5;
/// Relations on one path.
pub const MAX_RELATIONS: usize = 3;
/// Bytes of one value, after decoding.
pub const MAX_VALUE_BYTES: usize = 8 * 1024;
/// Bytes of the whole query string.
pub const MAX_QUERY_BYTES: usize = 64 * 1024;
/// Parameters of one query string.
pub const MAX_PARAMETERS: usize = 100;
/// Columns and relations in one `select`.
pub const MAX_SELECTED: usize = 200;
/// Keys in one `sort`.
pub const MAX_SORT_KEYS: usize = 5;
/// Records of a page, and of an embedded array.
pub const MAX_LIMIT: u32 = 100;
/// Records of a page when nothing is said.
pub const DEFAULT_LIMIT: u32 = 20;
/// Records of an embedded array when nothing is said: of a to-many relation, one within it, and one within that.
pub const DEFAULT_EMBEDDED: [u32; MAX_RELATIONS] = [100, 20, 5];
/// Records that one page may come to along one path of relations, were every array full.
pub const MAX_REACH: u64 = 200_000;
/// Records of one POST.
pub const MAX_BATCH: usize = 1_000;
/// Records that one PATCH with a filter may change.
pub const MAX_BULK: u32 = 10_000;
/// Bytes of one record.
pub const MAX_RECORD_BYTES: usize = 1024 * 1024;
/// Bytes of one JSON value.
pub const MAX_JSON_BYTES: usize = 256 * 1024;
