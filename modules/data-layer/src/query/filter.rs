//! Reads filters: finds the column at the end of a path, and the conditions in nested groups.

use kernel::{FieldCode, FieldError};

use super::condition::{Condition, Hop, Test, check};
use super::{MAX_FILTERS, MAX_NESTING, MAX_RELATIONS, text};
use crate::catalogue::{Catalogue, Column, Model, RelationKind};

/// Reads the filters of one query and counts them.
pub(super) struct FilterReader<'a> {
    catalogue: &'a Catalogue,
    tests: usize,
    /// What was found wrong so far.
    pub errors: Vec<FieldError>,
    /// The models that conditions look at besides the list's own.
    pub reached: Vec<&'a str>,
}

impl<'a> FilterReader<'a> {
    pub fn new(catalogue: &'a Catalogue) -> Self {
        Self { catalogue, tests: 0, errors: Vec::new(), reached: Vec::new() }
    }

    pub fn fault(&mut self, field: &str, code: FieldCode, message: impl Into<String>) {
        self.errors.push(FieldError::new(text::shown(field), code, message));
    }

    /// A test of `column` as `op.value`.
    pub fn test(
        &mut self,
        field: &str,
        hops: Vec<Hop<'a>>,
        column: &'a Column,
        test: &str,
        quotes: bool,
    ) -> Option<Condition<'a>> {
        self.tests += 1;
        if self.tests > MAX_FILTERS {
            if self.tests == MAX_FILTERS + 1 {
                let message = format!("A query has at most {MAX_FILTERS} filters.");
                self.fault(field, FieldCode::OutOfRange, message);
            }
            return None;
        }
        self.reached.extend(hops.iter().map(|hop| hop.target.name.as_str()));
        match check(&column.kind, test, quotes) {
            Ok((check, negated)) => {
                let test = Condition::Test(Test { hops, column, check });
                Some(if negated { Condition::Not(Box::new(test)) } else { test })
            }
            Err(misfit) => {
                self.fault(field, misfit.code, misfit.message);
                None
            }
        }
    }

    /// A group `(…)` in which all or any conditions hold; `nesting` is 1 for the outermost.
    pub fn group(
        &mut self,
        field: &str,
        model: &'a Model,
        all: bool,
        group: &str,
        nesting: usize,
    ) -> Option<Condition<'a>> {
        if nesting > MAX_NESTING {
            self.fault(field, FieldCode::OutOfRange, format!("Groups nest at most {MAX_NESTING} deep."));
            return None;
        }
        let Some(items) = text::inside(group).filter(|inner| !inner.is_empty()).and_then(text::split_list)
        else {
            let message = "A group is (a.eq.1,b.gt.2); parentheses and double quotes must close.";
            self.fault(field, FieldCode::InvalidFormat, message);
            return None;
        };
        let mut conditions = Vec::with_capacity(items.len().min(MAX_FILTERS));
        for item in items {
            // Beyond the limit one message is enough.
            if self.tests > MAX_FILTERS {
                return None;
            }
            conditions.push(self.item(field, model, item, nesting));
        }
        let conditions = conditions.into_iter().collect::<Option<Vec<_>>>()?;
        Some(if all { Condition::All(conditions) } else { Condition::Any(conditions) })
    }

    fn item(&mut self, field: &str, model: &'a Model, item: &str, nesting: usize) -> Option<Condition<'a>> {
        let (negated, inner) = item.strip_prefix("not.").map_or((false, item), |rest| (true, rest));
        for (word, all) in [("or", false), ("and", true)] {
            if let Some(group) = inner.strip_prefix(word).filter(|rest| rest.starts_with('(')) {
                let group = self.group(field, model, all, group, nesting + 1)?;
                return Some(if negated { Condition::Not(Box::new(group)) } else { group });
            }
        }
        let mut path = Path { model, hops: Vec::new() };
        let mut rest = item;
        loop {
            let Some((name, after)) = rest.split_once('.') else {
                let message = "A condition in a group is field.op.value.";
                self.fault(field, FieldCode::InvalidFormat, message);
                return None;
            };
            match self.step(field, path, name)? {
                Step::Column(column, hops) => {
                    return self.test(&format!("{field}.{name}"), hops, column, after, true);
                }
                Step::Further(further) => path = further,
            }
            rest = after;
        }
    }

    /// One name of a path that starts at a list: a column, or a to-one relation to walk on from.
    pub fn step(&mut self, field: &str, path: Path<'a>, name: &str) -> Option<Step<'a>> {
        let Path { model, mut hops } = path;
        if let Some(column) = model.visible(name) {
            return Some(Step::Column(column, hops));
        }
        let found =
            model.relation(name).and_then(|relation| Some((relation, self.catalogue.target(relation)?)));
        let Some((relation, target)) = found else {
            let message = format!("{} has no field {}.", model.name, text::shown(name));
            self.fault(field, FieldCode::UnknownField, message);
            return None;
        };
        if relation.kind == RelationKind::ToMany {
            let message =
                format!("{name} leads to many records; filter it by itself, as {name}.field=op.value.");
            self.fault(field, FieldCode::NotAllowed, message);
            return None;
        }
        if hops.len() == MAX_RELATIONS {
            self.fault(
                field,
                FieldCode::OutOfRange,
                format!("A path has at most {MAX_RELATIONS} relations."),
            );
            return None;
        }
        hops.push(Hop { relation, target });
        Some(Step::Further(Path { model: target, hops }))
    }
}

/// Where a path has come to.
pub(super) struct Path<'a> {
    pub model: &'a Model,
    pub hops: Vec<Hop<'a>>,
}

/// What the next name of a path is.
pub(super) enum Step<'a> {
    Column(&'a Column, Vec<Hop<'a>>),
    Further(Path<'a>),
}
