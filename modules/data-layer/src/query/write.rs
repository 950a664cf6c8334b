//! Compiles writes, each one statement that answers with the record as JSON text.

use std::collections::{BTreeMap, BTreeSet};

use kernel::TenantId;
use uuid::Uuid;

use super::list::{Deleted, MatchQuery};
use super::read::{Frame, plain_record};
use super::record::{Patch, Record};
use super::sql::{Compiled, Param, Writer, quote_ident, table};
use crate::catalogue::Model;

/// Statements of more shapes than this are not worth keeping prepared: the same mix hardly comes again.
const MAX_KEPT_SHAPES: usize = 2;

/// For whom a write is done.
#[derive(Clone, Copy, Debug)]
pub struct OnBehalf<'a> {
    /// Whose records.
    pub tenant: TenantId,
    /// The JSON that the triggers on the table read from the setting `kernel.request`: who asked, in which trace.
    pub request: &'a str,
}

impl OnBehalf<'_> {
    /// The condition that puts the setting, to stand in the `where` of a write's outermost select. It holds for every
    /// row and is a query of its own, which Postgres runs once before it looks at rows; the triggers that read the
    /// setting come after the last row. Local to the transaction, so it never outlives the statement it tells of.
    fn told(self, writer: &mut Writer) -> String {
        let place = writer.bind(Param::Text(self.request.to_owned()));
        format!("(select set_config('kernel.request', {place}::text, true)) is not null")
    }
}

/// The condition that takes `count` records of what the plan allows, to stand beside that of [`OnBehalf::told`]: run once,
/// before rows are looked at, and the statement fails where the plan has no room.
fn reserved(count: &str) -> String {
    format!(" and (select kernel.reserve_records({count}))")
}

/// How a write of one record ended, from the column `outcome`; no row at all means that there is no such record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Written.
    Done,
    /// The record has another version than `If-Match` named; nothing was written.
    Stale,
    /// The record is not deleted, as restoring and deleting for ever need it to be; nothing was written.
    Live,
}

impl Outcome {
    /// Reads the column; none for a text that no statement of this module answers.
    pub fn read(text: &str) -> Option<Self> {
        match text {
            "done" => Some(Self::Done),
            "stale" => Some(Self::Stale),
            "live" => Some(Self::Live),
            _ => None,
        }
    }
}

/// Inserts records under the ids given with them; one row each, in their order: `id` (text), `version` (bigint),
/// `record` (text: JSON). Requests whose creates are written together take their own rows from it.
pub fn insert_rows(by: OnBehalf<'_>, model: &Model, records: &[(Uuid, &Record)]) -> Compiled {
    let insert = Insert::new(by, model, records);
    let select = format!(
        "select {id}::text as id, {version}::int8 as version, row_to_json(r0)::text as record",
        id = insert.id,
        version = insert.version
    );
    let order = if insert.ordered { " order by o.n" } else { "" };
    insert.finish(&select, order)
}

/// Inserts records under the ids given with them; one row: `data` (text: the JSON array in their order).
pub fn insert_many(by: OnBehalf<'_>, model: &Model, records: &[(Uuid, &Record)]) -> Compiled {
    let insert = Insert::new(by, model, records);
    let order = if insert.ordered { " order by o.n" } else { "" };
    insert.finish(&format!("select coalesce(json_agg(r0{order}), '[]'::json)::text as data"), "")
}

/// Inserts records under the ids given with them; one row: `written` (bigint).
pub fn insert_counted(by: OnBehalf<'_>, model: &Model, records: &[(Uuid, &Record)]) -> Compiled {
    Insert::new(by, model, records).finish("select count(*) as written", "")
}

struct Insert {
    writer: Writer,
    with: String,
    id: String,
    version: String,
    record: String,
    told: String,
    /// Whether rows come from several inserts, so that `o.n` has their order.
    ordered: bool,
    shapes: usize,
}

impl Insert {
    /// One insert for all records that leave the same defaults to Postgres: `insert … select` has no word for
    /// DEFAULT, so a column with one is named only by those that give it. Others are null where they are not given.
    fn new(by: OnBehalf<'_>, model: &Model, records: &[(Uuid, &Record)]) -> Self {
        let mut writer = Writer::new(by.tenant);
        let mut frame = Frame::new(writer.alias());
        let record = plain_record(&mut writer, &mut frame, model);
        let (id, version) = (frame.column("id"), frame.column("version"));

        let mut without_default = BTreeSet::new();
        let mut shapes: BTreeMap<Vec<usize>, Vec<usize>> = BTreeMap::new();
        for (at, (_, record)) in records.iter().enumerate() {
            let (defaulted, plain): (Vec<usize>, Vec<usize>) =
                record.given.iter().partition(|place| model.columns[**place].has_default);
            without_default.extend(plain);
            shapes.entry(defaulted).or_default().push(at);
        }
        if shapes.is_empty() {
            shapes.insert(Vec::new(), Vec::new());
        }
        let ordered = shapes.len() > 1;
        let mut inserts = Vec::with_capacity(shapes.len());
        for (defaulted, members) in &shapes {
            let document = document(members.iter().map(|at| &records[*at]));
            let document = writer.bind(Param::Text(document));
            let columns: Vec<String> = without_default
                .iter()
                .chain(defaulted)
                .map(|place| quote_ident(&model.columns[*place].name))
                .collect();
            let named = columns.iter().fold(String::new(), |text, column| text + ", " + column);
            let values = columns.iter().fold(String::new(), |text, column| text + ", v." + column);
            inserts.push(format!(
                "insert into {table} as t0 (\"id\", \"tenant_id\"{named}) select v.\"id\", $1::uuid{values} \
                 from json_populate_recordset(null::{table}, {document}::text::json) v returning {columns}",
                table = table(model),
                columns = frame.columns(),
            ));
        }
        let with = if ordered {
            let ids = records.iter().map(|(id, _)| id.to_string()).collect();
            let ids = writer.bind(Param::Texts(ids));
            let named: Vec<String> =
                inserts.iter().enumerate().map(|(at, insert)| format!("w{at} as ({insert})")).collect();
            let all: Vec<String> = (0..inserts.len()).map(|at| format!("select * from w{at}")).collect();
            format!(
                "{}, p0 as ({}), o as (select o.id, o.n from unnest({ids}::text[]::uuid[]) with ordinality o(id, n))",
                named.join(", "),
                all.join(" union all ")
            )
        } else {
            format!("p0 as ({})", inserts.concat())
        };
        let mut told = by.told(&mut writer);
        let count = writer.bind(Param::Int(i64::try_from(records.len()).unwrap_or(i64::MAX)));
        told += &reserved(&format!("{count}::int8"));
        Self { writer, with, id, version, record, told, ordered, shapes: shapes.len() }
    }

    fn finish(self, select: &str, order: &str) -> Compiled {
        let join = if self.ordered { format!(" join o on o.id = {}", self.id) } else { String::new() };
        let sql = format!(
            "with {with} {select} from p0{join} cross join lateral (select {record}) r0 where {told}{order}",
            with = self.with,
            record = self.record,
            told = self.told,
        );
        let mut compiled = self.writer.finish(sql);
        compiled.reusable = self.shapes <= MAX_KEPT_SHAPES;
        compiled
    }
}

/// The JSON array of records with their ids.
fn document<'r>(records: impl Iterator<Item = &'r (Uuid, &'r Record)>) -> String {
    let mut text = String::from("[");
    for (id, record) in records {
        if text.len() > 1 {
            text.push(',');
        }
        text += &format!("{{\"id\":\"{id}\"");
        // The record's own text is an object: `{}` or `{"…`.
        if record.given.is_empty() {
            text.push('}');
        } else {
            text.push(',');
            text += &record.text[1..];
        }
    }
    text.push(']');
    text
}

/// Sets members of one record that is not deleted, with `if_match` only in that version.
///
/// One row: `outcome` ([`Outcome`]), `version` (bigint), `record` (text: JSON, null unless done); none when there is
/// no such record. A patch that sets nothing answers with the record as it is.
pub fn patch(by: OnBehalf<'_>, model: &Model, id: Uuid, patch: &Patch, if_match: Option<i64>) -> Compiled {
    let mut change = Change::new(by, model, id, if_match);
    let live = Writer::owned(0, Deleted::Without);
    let action = if patch.is_empty() {
        let columns = change.frame.columns();
        format!("select {columns} from {} t0 where {live}{}", change.table, change.exactly)
    } else {
        let values = values(&mut change.writer, model, patch);
        change.update(&format!("{} from {values}", assignments(model, patch)), &live)
    };
    change.finish(&action, Deleted::Without)
}

/// Marks one record as deleted. Answers as [`patch`] does; a record that is deleted already is not found.
pub fn soft_delete(by: OnBehalf<'_>, model: &Model, id: Uuid, if_match: Option<i64>) -> Compiled {
    let mut change = Change::new(by, model, id, if_match);
    change.told += &reserved("-(select count(*) from p0)");
    let action = change.update("\"deleted_at\" = kernel.now()", &Writer::owned(0, Deleted::Without));
    change.finish(&action, Deleted::Without)
}

/// Takes the mark of deletion off one record. Answers as [`patch`] does, and [`Outcome::Live`] for one without.
pub fn restore(by: OnBehalf<'_>, model: &Model, id: Uuid, if_match: Option<i64>) -> Compiled {
    let mut change = Change::new(by, model, id, if_match);
    change.told += &reserved("(select count(*) from p0)");
    let action = change.update("\"deleted_at\" = null", &Writer::owned(0, Deleted::Only));
    change.finish(&action, Deleted::With)
}

/// Removes one record that is marked as deleted. Answers as [`patch`] does with the record as it was, and
/// [`Outcome::Live`] for one that is not marked.
pub fn delete_for_ever(by: OnBehalf<'_>, model: &Model, id: Uuid, if_match: Option<i64>) -> Compiled {
    let change = Change::new(by, model, id, if_match);
    let action = format!(
        "delete from {} t0 where {}{} returning {}",
        change.table,
        Writer::owned(0, Deleted::Only),
        change.exactly,
        change.frame.columns()
    );
    change.finish(&action, Deleted::With)
}

/// A write of one record.
struct Change<'a> {
    writer: Writer,
    frame: Frame<'a>,
    table: String,
    record: String,
    version: String,
    id: String,
    told: String,
    /// The conditions for the very record and version.
    exactly: String,
    if_match: Option<String>,
}

impl<'a> Change<'a> {
    fn new(by: OnBehalf<'_>, model: &'a Model, id: Uuid, if_match: Option<i64>) -> Self {
        let mut writer = Writer::new(by.tenant);
        let mut frame = Frame::new(writer.alias());
        let id = writer.bind(Param::Uuid(id));
        let if_match = if_match.map(|version| writer.bind(Param::Int(version)));
        let told = by.told(&mut writer);
        let record = plain_record(&mut writer, &mut frame, model);
        let version = frame.column("version");
        let mut exactly = format!(" and t0.\"id\" = {id}::uuid");
        if let Some(place) = &if_match {
            exactly += &format!(" and t0.\"version\" = {place}::int8");
        }
        Self { writer, frame, table: table(model), record, version, id, told, exactly, if_match }
    }

    fn update(&self, set: &str, owned: &str) -> String {
        // `set` may end in a `from` of its own.
        format!(
            "update {} t0 set {set} where {owned}{} returning {}",
            self.table,
            self.exactly,
            self.frame.columns()
        )
    }

    /// Runs the action and, where it found nothing to do, says why. The second part sees the rows as they were before
    /// this statement: a record that another one changed meanwhile is still there, so it is stale, not missing.
    fn finish(self, action: &str, looked_at: Deleted) -> Compiled {
        let reason = match (looked_at, &self.if_match) {
            (Deleted::Without, None) => None,
            (Deleted::Without, Some(_)) => Some("'stale'"),
            (_, None) => Some("'live'"),
            (_, Some(_)) => Some("case when t1.\"deleted_at\" is null then 'live' else 'stale' end"),
        };
        let otherwise = reason.map_or_else(String::new, |reason| {
            format!(
                " union all select {reason}, t1.\"version\"::int8, null from {} t1 where {} \
                 and t1.\"id\" = {}::uuid and not exists (select 1 from p0)",
                self.table,
                Writer::owned(1, looked_at),
                self.id
            )
        });
        let sql = format!(
            "with p0 as ({action}) select 'done' as outcome, {}::int8 as version, row_to_json(r0)::text as record \
             from p0 cross join lateral (select {}) r0 where {}{otherwise}",
            self.version, self.record, self.told
        );
        self.writer.finish(sql)
    }
}

/// Sets members of every record that matches, unless more than the query's `max` do: then of none.
///
/// One row: `matched` (bigint, at most `max` + 1) and `changed` (bigint).
pub fn change_matching(by: OnBehalf<'_>, query: &MatchQuery<'_>, patch: &Patch) -> Compiled {
    let mut writer = Writer::new(by.tenant);
    let at = writer.alias();
    let filter = Writer::owned(at, Deleted::Without) + &writer.conditions(at, &query.filter);
    let max = writer.bind(Param::Int(i64::from(query.max)));
    let table = table(query.model);
    let change = if patch.is_empty() {
        "select 1 from hit limit 0".to_owned()
    } else {
        let values = values(&mut writer, query.model, patch);
        format!(
            "update {table} u set {} from {values} where kernel.owns($1::uuid, u.\"tenant_id\") \
             and u.\"id\" = any(array(select hit.id from hit)) and (select count(*) from hit) <= {max}::int8 returning 1",
            assignments(query.model, patch)
        )
    };
    let told = by.told(&mut writer);
    // Locked in the order of ids, so that two of these at once wait for each other instead of deadlocking.
    let sql = format!(
        "with hit as materialized (select t{at}.\"id\" as id from {table} t{at} where {filter} \
         order by t{at}.\"id\" limit {max}::int8 + 1 for update of t{at}), done as ({change}) \
         select (select count(*) from hit) as matched, (select count(*) from done) as changed where {told}"
    );
    writer.finish(sql)
}

/// The row of new values, typed by the table itself.
fn values(writer: &mut Writer, model: &Model, patch: &Patch) -> String {
    let document = writer.bind(Param::Text(patch.0.text.clone()));
    format!("json_populate_record(null::{}, {document}::text::json) v", table(model))
}

fn assignments(model: &Model, patch: &Patch) -> String {
    let columns: Vec<String> = patch
        .0
        .given
        .iter()
        .map(|place| quote_ident(&model.columns[*place].name))
        .map(|column| format!("{column} = v.{column}"))
        .collect();
    columns.join(", ")
}
