//! Compiles reads: a page, one record, a stream, each with its relations in one statement, as JSON text.

use std::sync::Arc;

use kernel::TenantId;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use super::MAX_LIMIT;
use super::list::{Deleted, ListQuery};
use super::select::{Item, ReadQuery, Selection, default_embedded};
use super::sql::{Compiled, Param, Writer, after, order_by, quote_ident, table, whole_order};
use crate::catalogue::{ColumnKind, ColumnPair, Model};

/// What a cursor holds, before it is signed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CursorKeys {
    /// The order's values in the page's last record, as text or null, the id among them.
    pub values: Vec<Value>,
    /// Which list it belongs to: model, filters, order and deleted records, but neither `select` nor `limit`.
    pub fingerprint: u64,
}

/// The cursor belongs to another list: answer `invalid-cursor`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CursorMismatch;

/// One page.
///
/// The statement answers one row: `data` (text: the JSON array), `last` (text or null: the JSON array for
/// [`CursorKeys::values`]), `has_more` (bool), `total` (bigint, null unless it was asked for).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListStatement {
    /// What to run.
    pub statement: Compiled,
    /// The fingerprint for the next page's cursor.
    pub fingerprint: u64,
}

impl ListQuery<'_> {
    /// Compiles the page after the given cursor, or the first one.
    ///
    /// # Errors
    /// [`CursorMismatch`] when the cursor was made for another list.
    pub fn compile(
        &self,
        tenant: TenantId,
        cursor: Option<&CursorKeys>,
    ) -> Result<ListStatement, CursorMismatch> {
        let mut writer = Writer::new(tenant);
        let at = writer.alias();
        let model = self.model();
        let order = whole_order(model, &self.sort);
        let filter = Writer::owned(at, self.deleted) + &writer.conditions(at, &self.filter);
        let order_text = order_by(at, &order);
        let fingerprint = fingerprint(&table(model), &filter, &order_text, writer.params());
        let beyond = match cursor {
            None => String::new(),
            Some(cursor) => {
                if cursor.fingerprint != fingerprint || cursor.values.len() != order.len() {
                    return Err(CursorMismatch);
                }
                let mut values = Vec::with_capacity(order.len());
                for (key, value) in order.iter().zip(&cursor.values) {
                    values.push(match value {
                        Value::String(text) => Some(text.clone()),
                        Value::Null if key.column.nullable => None,
                        _ => return Err(CursorMismatch),
                    });
                }
                after(&mut writer, at, &order, &values)
            }
        };
        // The bound limit stands outside of a constant one: of a parameter alone the planner assumes a tenth of the
        // table, finds its general plan too dear, and plans anew at every execution (half the rate, as measured).
        let limit = format!("{}::int8", writer.bind(Param::Int(i64::from(self.limit))));
        let mut frame = Frame::new(at);
        let record = record(&mut writer, &mut frame, &self.selection, 0);
        let last: Vec<String> = order.iter().map(|key| frame.column(&key.column.name) + "::text").collect();
        let total = if self.count {
            format!("(select count(*) from {} t{at} where {filter})", table(model))
        } else {
            "null::int8".to_owned()
        };
        let sql = format!(
            "select coalesce(json_agg(r{at}) filter (where p{at}.n <= {limit}), '[]'::json)::text as data, \
             max(to_json(array[{last}])::text) filter (where p{at}.n = {limit}) as last, \
             count(*) > {limit} as has_more, {total} as total \
             from (select s{at}.*, row_number() over () as n from (select {columns} from {table} t{at} \
             where {filter}{beyond}{order_text} limit {bound}) s{at} limit {limit} + 1) p{at} \
             cross join lateral (select {record}) r{at}",
            last = last.join(", "),
            columns = frame.columns(),
            table = table(model),
            bound = MAX_LIMIT + 1,
        );
        Ok(ListStatement { statement: writer.finish(sql), fingerprint })
    }

    /// Compiles the whole list as a stream: one row a record, in order, with one column `record` (text: JSON).
    /// `limit`, `count` and the cursor have no part in it.
    pub fn compile_stream(&self, tenant: TenantId) -> Compiled {
        let mut writer = Writer::new(tenant);
        let at = writer.alias();
        let filter = Writer::owned(at, self.deleted) + &writer.conditions(at, &self.filter);
        let order = order_by(at, &whole_order(self.model(), &self.sort));
        let mut frame = Frame::new(at);
        let record = record(&mut writer, &mut frame, &self.selection, 0);
        let sql = format!(
            "select row_to_json(r{at})::text as record from (select {columns} from {table} t{at} \
             where {filter}{order}) p{at} cross join lateral (select {record}) r{at}",
            columns = frame.columns(),
            table = table(self.model()),
        );
        writer.finish(sql)
    }
}

impl ReadQuery<'_> {
    /// Compiles the read of one record that is not deleted.
    ///
    /// The statement answers one row, `record` (text: JSON) and `version` (bigint), or none.
    pub fn compile(&self, tenant: TenantId, id: Uuid) -> Compiled {
        if !self.plain {
            return self.write(tenant, id);
        }
        // The most frequent of all statements: writing its text took a tenth of the time of a request.
        let sql = self.selection.model.plain_read.get_or_init(|| self.write(tenant, id).sql);
        let params = vec![Param::Uuid(tenant.uuid()), Param::Uuid(id)];
        Compiled { sql: Arc::clone(sql), params, reusable: true }
    }

    fn write(&self, tenant: TenantId, id: Uuid) -> Compiled {
        let mut writer = Writer::new(tenant);
        let at = writer.alias();
        let id = writer.bind(Param::Uuid(id));
        let mut frame = Frame::new(at);
        let record = record(&mut writer, &mut frame, &self.selection, 0);
        let version = frame.column("version");
        let sql = format!(
            "select row_to_json(r{at})::text as record, {version}::int8 as version \
             from (select {columns} from {table} t{at} where {owned} and t{at}.\"id\" = {id}::uuid) p{at} \
             cross join lateral (select {record}) r{at}",
            columns = frame.columns(),
            table = table(self.selection.model),
            owned = Writer::owned(at, Deleted::Without),
        );
        writer.finish(sql)
    }
}

/// The columns of one table that a statement needs, under names of our own: a column of a module may be called
/// anything.
pub(super) struct Frame<'a> {
    at: usize,
    columns: Vec<&'a str>,
}

impl<'a> Frame<'a> {
    pub fn new(at: usize) -> Self {
        Self { at, columns: Vec::new() }
    }

    /// The column as seen from outside of the inner select: `p0.c3`.
    pub fn column(&mut self, name: &'a str) -> String {
        let place = self.columns.iter().position(|column| *column == name).unwrap_or_else(|| {
            self.columns.push(name);
            self.columns.len() - 1
        });
        format!("p{}.c{place}", self.at)
    }

    /// The inner select's list: `t0."name" as c3, …`.
    pub fn columns(&self) -> String {
        let columns: Vec<String> = self
            .columns
            .iter()
            .enumerate()
            .map(|(place, name)| format!("t{}.{} as c{place}", self.at, quote_ident(name)))
            .collect();
        columns.join(", ")
    }
}

/// The select list that makes the record, with its relations as subqueries. `depth` counts to-many relations above.
pub(super) fn record<'a>(
    writer: &mut Writer,
    frame: &mut Frame<'a>,
    selection: &Selection<'a>,
    depth: usize,
) -> String {
    let members: Vec<String> = selection
        .items
        .iter()
        .map(|item| match item {
            Item::Column(column) => {
                format!("{} as {}", shown(&frame.column(&column.name), &column.kind), quote_ident(&column.name))
            }
            Item::One { relation, select } => {
                let at = writer.alias();
                let joined = joined(frame, at, &relation.pairs);
                let mut inner = Frame::new(at);
                let record = record(writer, &mut inner, select, depth);
                format!(
                    "(select row_to_json(r{at}) from (select {columns} from {table} t{at} where {owned}{joined}) p{at} \
                     cross join lateral (select {record}) r{at}) as {name}",
                    columns = inner.columns(),
                    table = table(select.model),
                    owned = Writer::owned(at, Deleted::Without),
                    name = quote_ident(&relation.name),
                )
            }
            Item::Many { relation, select, part } => {
                let at = writer.alias();
                let joined = joined(frame, at, &relation.pairs);
                let conditions = writer.conditions(at, &part.filter);
                let limit = i64::from(part.limit.unwrap_or(default_embedded(depth)));
                let limit = writer.bind(Param::Int(limit));
                let mut inner = Frame::new(at);
                let record = record(writer, &mut inner, select, depth + 1);
                format!(
                    "(select coalesce(json_agg(r{at}), '[]'::json) from (select s{at}.* from \
                     (select {columns} from {table} t{at} where {owned}{joined}{conditions}{order} limit {MAX_LIMIT}) \
                     s{at} limit {limit}::int8) p{at} \
                     cross join lateral (select {record}) r{at}) as {name}",
                    columns = inner.columns(),
                    table = table(select.model),
                    owned = Writer::owned(at, Deleted::Without),
                    order = order_by(at, &whole_order(select.model, &part.sort)),
                    name = quote_ident(&relation.name),
                )
            }
        })
        .collect();
    members.join(", ")
}

/// The members of a record with all its visible columns.
pub(super) fn plain_record<'a>(writer: &mut Writer, frame: &mut Frame<'a>, model: &'a Model) -> String {
    record(writer, frame, &Selection::columns(model), 0)
}

fn joined<'a>(frame: &mut Frame<'a>, at: usize, pairs: &'a [ColumnPair]) -> String {
    pairs.iter().fold(String::new(), |text, pair| {
        text + &format!(" and t{at}.{} = {}", quote_ident(&pair.there), frame.column(&pair.here))
    })
}

/// The column as JSON shows it.
fn shown(column: &str, kind: &ColumnKind) -> String {
    const RFC3339: &str = r#"'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'"#;
    match kind {
        ColumnKind::Timestamptz => format!("to_char({column} at time zone 'UTC', {RFC3339})"),
        ColumnKind::Interval => {
            format!(r#"to_char({column}, '"P"FMYYYY"Y"FMMM"M"FMDD"DT"FMHH24"H"FMMI"M"FMSS.US"S"')"#)
        }
        // encode() breaks lines as MIME does.
        ColumnKind::Bytea => format!("translate(encode({column}, 'base64'), E'\\n', '')"),
        ColumnKind::Array(element) if matches!(**element, ColumnKind::Timestamptz | ColumnKind::Interval) => {
            let element = shown("e.v", element);
            format!(
                "case when {column} is not null then (select coalesce(json_agg({element} order by e.n), '[]'::json) \
                 from unnest({column}) with ordinality e(v, n)) end"
            )
        }
        _ => column.to_owned(),
    }
}

/// FNV-1a: the same in every build and replica. The cursor is signed, so nothing rests on it being hard to forge.
fn fingerprint(table: &str, filter: &str, order: &str, params: &[Param]) -> u64 {
    let text = format!("{table}\n{filter}\n{order}\n{params:?}");
    text.bytes()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}
