//! The shapes on the wire, for the API's description: what a record holds is known per model only, see its schema.

use schemars::JsonSchema;
use serde_json::{Map, Value};

/// How lists are filtered.
pub(super) const FILTERS: &str = "\
Besides the parameters below, any field filters: `field=op.value`; several must all hold. Operators: `eq` `neq` `gt` \
`gte` `lt` `lte` `like` `ilike` (`*` is any text) `in.(a,b)` `is.null|not_null|true|false` `contains` (JSON, arrays) `fts`; \
`not.` in front of one negates it. `or=(a.eq.1,b.gt.2)` and `and=(…)` nest. `company.name=eq.x` asks a to-one relation; \
`deals.stage=eq.won` narrows an embedded array, as do `deals.sort` and `deals.limit`. At most 20 filters, 5 levels, 3 \
relations deep. Null comes last in any order.";

/// How imports work.
pub(super) const IMPORT: &str = "\
`Content-Type: application/x-ndjson` with a record a line, or `text/csv` with a header line (nothing between two commas: \
not given; `\"\"`: the empty text). A line is written whole or not at all; bad lines do not hold up the others. The answer \
is NDJSON that begins while the body flows: `{line, errors}` for each bad line (the first 1,000), `{line}` from time to \
time, and `{imported, failed}` at last, or `{stopped, detail, …}` if the import could not go on. Sent again under the same \
Idempotency-Key it writes only lines that were not written yet.";

/// A record: a member per column, named as the column.
#[derive(JsonSchema)]
#[allow(dead_code, reason = "only described: records pass as text")]
pub(super) struct RecordOut(Map<String, Value>);

/// One record, or up to 1,000.
#[derive(JsonSchema)]
#[serde(untagged)]
#[allow(dead_code, reason = "only described: records are checked against their model")]
pub(super) enum RecordsIn {
    /// The members of one record.
    One(Map<String, Value>),
    /// Several records.
    Many(Vec<Map<String, Value>>),
}

/// The members to set.
#[derive(JsonSchema)]
#[allow(dead_code, reason = "only described: records are checked against their model")]
pub(super) struct ChangesIn(Map<String, Value>);

/// Parameters of a list.
#[derive(JsonSchema)]
#[allow(dead_code, reason = "only described: the query language reads them")]
pub(super) struct ListParameters {
    /// Members and relations to show: `name,company(name,industry)`; all columns unless said.
    select: Option<String>,
    /// The order: `-created_at,name`.
    sort: Option<String>,
    /// Records a page, 1 to 100; 20 unless said.
    #[schemars(range(min = 1, max = 100))]
    limit: Option<u32>,
    /// Where to go on: the `meta.cursor` of the page before.
    cursor: Option<String>,
    /// Whether `meta.total` tells how many records match.
    count: Option<bool>,
    /// `with` shows deleted records, too, `only` nothing else.
    deleted: Option<String>,
    /// A group of filters of which one must hold: `(a.eq.1,b.gt.2)`.
    or: Option<String>,
    /// A group of filters that must all hold.
    and: Option<String>,
}

/// Parameters of a read.
#[derive(JsonSchema)]
#[allow(dead_code, reason = "only described: the query language reads them")]
pub(super) struct SelectParameters {
    /// Members and relations to show: `name,company(name,industry)`; all columns unless said.
    select: Option<String>,
}

/// Parameters of a change of many.
#[derive(JsonSchema)]
#[allow(dead_code, reason = "only described: the query language reads them")]
pub(super) struct MatchParameters {
    /// Records that may change at most; with more that match, none is changed.
    #[schemars(range(min = 1, max = 10_000))]
    max: u32,
    /// A group of filters of which one must hold: `(a.eq.1,b.gt.2)`.
    or: Option<String>,
    /// A group of filters that must all hold.
    and: Option<String>,
}

/// Parameters of an export.
#[derive(JsonSchema)]
#[allow(dead_code, reason = "only described: the query language reads them")]
pub(super) struct ExportParameters {
    /// `ndjson`, unless said, or `csv`.
    format: Option<String>,
    /// Members and relations to show: `name,company(name,industry)`; all columns unless said.
    select: Option<String>,
    /// The order: `-created_at,name`.
    sort: Option<String>,
    /// `with` shows deleted records, too, `only` nothing else.
    deleted: Option<String>,
    /// A group of filters of which one must hold: `(a.eq.1,b.gt.2)`.
    or: Option<String>,
    /// A group of filters that must all hold.
    and: Option<String>,
}
