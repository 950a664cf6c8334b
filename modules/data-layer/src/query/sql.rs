//! Writes SQL: text from the catalogue, values into parameters.

use std::{fmt::Write as _, sync::Arc};

use kernel::TenantId;
use uuid::Uuid;

use super::condition::{Check, Condition, Hop, Test};
use super::list::Deleted;
use super::select::SortKey;
use crate::catalogue::{ColumnKind, Model};

/// A statement and what to bind to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Compiled {
    /// The text; equal for queries of equal shape.
    pub sql: Arc<str>,
    /// The values of `$1`, `$2` …; the first is always the tenant's id.
    pub params: Vec<Param>,
    /// Whether the text is worth keeping prepared; not so for the rare shapes of a mixed batch.
    pub reusable: bool,
}

/// One bound value, with the type it is sent as; the statement casts text to the column's type itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Param {
    /// `uuid`
    Uuid(Uuid),
    /// `bigint`
    Int(i64),
    /// `text`
    Text(String),
    /// `text[]`
    Texts(Vec<String>),
}

/// An identifier in double quotes.
pub(crate) fn quote_ident(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A table with its schema.
pub(super) fn table(model: &Model) -> String {
    format!("{}.{}", quote_ident(&model.schema), quote_ident(&model.table))
}

/// Collects the parameters of one statement and hands out aliases.
pub(super) struct Writer {
    params: Vec<Param>,
    aliases: usize,
}

impl Writer {
    pub fn new(tenant: TenantId) -> Self {
        Self { params: vec![Param::Uuid(tenant.uuid())], aliases: 0 }
    }

    /// Binds a value and gives its place, `$n`.
    pub fn bind(&mut self, param: Param) -> String {
        self.params.push(param);
        format!("${}", self.params.len())
    }

    /// The next number for aliases, so that `t3`, `p3` and `r3` belong together.
    pub fn alias(&mut self) -> usize {
        self.aliases += 1;
        self.aliases - 1
    }

    pub fn params(&self) -> &[Param] {
        &self.params
    }

    pub fn finish(self, sql: String) -> Compiled {
        Compiled { sql: sql.into(), params: self.params, reusable: true }
    }

    /// The tenant's own live rows, which every table access starts from.
    pub fn owned(alias: usize, deleted: Deleted) -> String {
        let live = match deleted {
            Deleted::Without => format!(" and t{alias}.\"deleted_at\" is null"),
            Deleted::Only => format!(" and t{alias}.\"deleted_at\" is not null"),
            Deleted::With => String::new(),
        };
        format!("kernel.owns($1::uuid, t{alias}.\"tenant_id\"){live}")
    }

    /// All conditions, each after ` and `.
    pub fn conditions(&mut self, alias: usize, conditions: &[Condition<'_>]) -> String {
        conditions
            .iter()
            .fold(String::new(), |text, condition| text + " and " + &self.condition(alias, condition))
    }

    fn condition(&mut self, alias: usize, condition: &Condition<'_>) -> String {
        match condition {
            Condition::All(parts) => self.joined(alias, parts, " and "),
            Condition::Any(parts) => self.joined(alias, parts, " or "),
            Condition::Not(inner) => format!("({} is not true)", self.condition(alias, inner)),
            Condition::Test(test) => self.test(alias, &test.hops, test),
        }
    }

    fn joined(&mut self, alias: usize, parts: &[Condition<'_>], word: &str) -> String {
        let parts: Vec<String> = parts.iter().map(|part| self.condition(alias, part)).collect();
        format!("({})", parts.join(word))
    }

    fn test(&mut self, alias: usize, hops: &[Hop<'_>], test: &Test<'_>) -> String {
        let Some((hop, further)) = hops.split_first() else {
            let column = format!("t{alias}.{}", quote_ident(&test.column.name));
            return self.check(&column, &test.column.kind, &test.check);
        };
        let there = self.alias();
        let mut text = format!(
            "exists (select 1 from {} t{there} where {}",
            table(hop.target),
            Self::owned(there, Deleted::Without)
        );
        for pair in &hop.relation.pairs {
            let (this, other) = (quote_ident(&pair.here), quote_ident(&pair.there));
            text += &format!(" and t{there}.{other} = t{alias}.{this}");
        }
        text + " and " + &self.test(there, further, test) + ")"
    }

    fn check(&mut self, column: &str, kind: &ColumnKind, check: &Check) -> String {
        match check {
            Check::Compare(comparison, value) => {
                let value = self.value(kind, value);
                format!("({column} {} {value})", comparison.sql())
            }
            Check::Like { pattern, any_case } => {
                let place = self.bind(Param::Text(pattern.clone()));
                format!("({column} {} {place}::text)", if *any_case { "ilike" } else { "like" })
            }
            Check::In(values) => {
                let values = self.values(kind, values);
                format!("({column} = any({values}))")
            }
            Check::Null(true) => format!("({column} is null)"),
            Check::Null(false) => format!("({column} is not null)"),
            Check::True(true) => format!("({column} is true)"),
            Check::True(false) => format!("({column} is false)"),
            Check::ContainsJson(value) => {
                let place = self.bind(Param::Text(value.clone()));
                format!("({column}::jsonb @> {place}::text::jsonb)")
            }
            Check::ContainsElements(values) => {
                let ColumnKind::Array(element) = kind else { return "false".to_owned() };
                let values = self.values(element, values);
                // Postgres compares arrays of the very same type only.
                let exact = if matches!(**element, ColumnKind::Varchar(_)) { "::varchar[]" } else { "" };
                format!("({column} @> {values}{exact})")
            }
            Check::Search(words) => {
                let place = self.bind(Param::Text(words.clone()));
                format!("(to_tsvector('simple', {column}) @@ websearch_to_tsquery('simple', {place}::text))")
            }
        }
    }

    /// One value of a kind, bound as text and cast. The outer cast alone would have Postgres expect the binary form.
    pub fn value(&mut self, kind: &ColumnKind, value: &str) -> String {
        let place = self.bind(Param::Text(value.to_owned()));
        match kind.cast().as_deref() {
            None | Some("text") => format!("{place}::text"),
            Some(cast) => format!("{place}::text::{cast}"),
        }
    }

    fn values(&mut self, kind: &ColumnKind, values: &[String]) -> String {
        let place = self.bind(Param::Texts(values.to_vec()));
        match kind.cast().as_deref() {
            None | Some("text") => format!("{place}::text[]"),
            Some(cast) => format!("{place}::text[]::{cast}[]"),
        }
    }
}

/// The whole order of a list: its keys, then `id` in the last key's direction, so that an index can be walked backward.
pub(super) fn whole_order<'a>(model: &'a Model, keys: &[SortKey<'a>]) -> Vec<SortKey<'a>> {
    let mut order = keys.to_vec();
    if !order.iter().any(|key| key.column.name == "id")
        && let Some(column) = model.column("id")
    {
        order.push(SortKey { column, descending: keys.last().is_some_and(|key| key.descending) });
    }
    order
}

/// `order by` of these keys, null last in both directions.
pub(super) fn order_by(alias: usize, order: &[SortKey<'_>]) -> String {
    let mut text = String::from(" order by ");
    for (at, key) in order.iter().enumerate() {
        let comma = if at > 0 { ", " } else { "" };
        let direction = match (key.descending, key.column.nullable) {
            (false, _) => "",
            // Said only where it matters: it keeps Postgres from walking a plain index backward.
            (true, true) => " desc nulls last",
            (true, false) => " desc",
        };
        let _ = write!(text, "{comma}t{alias}.{}{direction}", quote_ident(&key.column.name));
    }
    text
}

/// Keyset comparison: rows that come after the one with these values (null where the row had null).
pub(super) fn after(
    writer: &mut Writer,
    alias: usize,
    order: &[SortKey<'_>],
    values: &[Option<String>],
) -> String {
    let column = |key: &SortKey<'_>| format!("t{alias}.{}", quote_ident(&key.column.name));
    let places: Vec<Option<String>> = order
        .iter()
        .zip(values)
        .map(|(key, value)| value.as_ref().map(|value| writer.value(&key.column.kind, value)))
        .collect();
    let one_way = order.windows(2).all(|pair| pair[0].descending == pair[1].descending);
    if one_way && order.iter().all(|key| !key.column.nullable) {
        // A row comparison is one range of an index.
        let columns: Vec<String> = order.iter().map(column).collect();
        let places: Vec<String> = places.into_iter().flatten().collect();
        let sign = if order.first().is_some_and(|key| key.descending) { "<" } else { ">" };
        return format!(" and ({}) {sign} ({})", columns.join(", "), places.join(", "));
    }
    // Else from the last key outward: beyond this key, or equal in it and after in the rest.
    let mut text = String::new();
    for (key, place) in order.iter().zip(&places).rev() {
        let column = column(key);
        let beyond = place.as_ref().map(|place| {
            let sign = if key.descending { "<" } else { ">" };
            let or_null = if key.column.nullable { format!(" or {column} is null") } else { String::new() };
            format!("{column} {sign} {place}{or_null}")
        });
        let equal = match place {
            Some(place) => format!("{column} = {place}"),
            None => format!("{column} is null"),
        };
        text = match (beyond, text.is_empty()) {
            (Some(beyond), true) => format!("({beyond})"),
            (Some(beyond), false) => format!("({beyond} or ({equal} and {text}))"),
            // Nothing is beyond null; the last key is the id, which never is.
            (None, true) => "false".to_owned(),
            (None, false) => format!("({equal} and {text})"),
        };
    }
    format!(" and {text}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_stay_identifiers() {
        assert_eq!(quote_ident(r#"a"; drop table x --"#), r#""a""; drop table x --""#);
    }
}
