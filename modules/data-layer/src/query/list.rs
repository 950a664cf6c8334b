//! Reads the parameters of lists.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

use kernel::{FieldCode, FieldError};

use super::condition::{Condition, Hop};
use super::filter::{FilterReader, Path, Step};
use super::reach::reach;
use super::select::{self, Part, Selection, SortKey};
use super::{DEFAULT_LIMIT, MAX_BULK, MAX_LIMIT, MAX_REACH, MAX_RELATIONS, MAX_SORT_KEYS, text};
use crate::catalogue::{Catalogue, Column, Model, RelationKind};

/// A wrong query is described by at most this many entries.
const MAX_FAULTS: usize = 50;

/// Which records with regard to soft deletion.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Deleted {
    /// Only those that are not deleted.
    #[default]
    Without,
    /// Both.
    With,
    /// Only deleted ones.
    Only,
}

/// A checked list: which records, in which order and shape, how many.
#[derive(Clone, Debug)]
pub struct ListQuery<'a> {
    pub(super) selection: Selection<'a>,
    pub(super) filter: Vec<Condition<'a>>,
    pub(super) sort: Vec<SortKey<'a>>,
    pub(super) reached: BTreeSet<&'a str>,
    /// Records of the page.
    pub limit: u32,
    /// Whether `meta.total` is asked for.
    pub count: bool,
    /// Which records with regard to soft deletion.
    pub deleted: Deleted,
    /// The cursor as the client sent it; its signature is another's to check.
    pub cursor: Option<String>,
}

impl<'a> ListQuery<'a> {
    /// Reads and checks a list's query string.
    ///
    /// # Errors
    /// One entry for everything that is wrong with it.
    pub fn parse(catalogue: &'a Catalogue, model: &'a Model, raw: &str) -> Result<Self, Vec<FieldError>> {
        let words = ["select", "sort", "limit", "cursor", "count", "deleted"];
        let mut parameters = Parameters::read(catalogue, model, raw, &words)?;
        let sort = parameters.order(model);
        let limit = match parameters.take("limit") {
            Some(limit) => parameters.number("limit", &limit, MAX_LIMIT),
            None => DEFAULT_LIMIT,
        };
        let count = match parameters.take("count").as_deref() {
            None | Some("false") => false,
            Some("true") => true,
            Some(_) => parameters.misread("count", "This must be true or false.").unwrap_or_default(),
        };
        let deleted = parameters.deleted();
        let cursor = parameters.take("cursor");
        let (selection, part, reached) = parameters.finish(limit)?;
        Ok(Self { selection, filter: part.filter, sort, reached, limit, count, deleted, cursor })
    }

    /// The members of each record, in order.
    pub fn members(&self) -> impl Iterator<Item = &'a str> {
        self.selection.names()
    }

    /// The model whose records are listed.
    pub fn model(&self) -> &'a Model {
        self.selection.model
    }

    /// The names of every model that is shown or asked about; the caller must be allowed to read each.
    pub fn models(&self) -> &BTreeSet<&'a str> {
        &self.reached
    }
}

/// Which records a PATCH with a filter changes.
#[derive(Clone, Debug)]
pub struct MatchQuery<'a> {
    pub(super) model: &'a Model,
    pub(super) filter: Vec<Condition<'a>>,
    reached: BTreeSet<&'a str>,
    /// With more records than this that match, none is changed.
    pub max: u32,
}

impl<'a> MatchQuery<'a> {
    /// Reads and checks the query string: at least one filter, and `max`.
    ///
    /// # Errors
    /// One entry for everything that is wrong with it.
    pub fn parse(catalogue: &'a Catalogue, model: &'a Model, raw: &str) -> Result<Self, Vec<FieldError>> {
        let mut parameters = Parameters::read(catalogue, model, raw, &["max"])?;
        let max = match parameters.take("max") {
            Some(max) => parameters.number("max", &max, MAX_BULK),
            None => {
                let message = format!("Say how many records may change at most, between 1 and {MAX_BULK}.");
                parameters.filters.fault("max", FieldCode::Required, message);
                1
            }
        };
        let (_, part, reached) = parameters.finish(1)?;
        if part.filter.is_empty() {
            let message = "At least one filter must say which records to change.";
            return Err(vec![FieldError::new("query", FieldCode::Required, message)]);
        }
        Ok(Self { model, filter: part.filter, reached, max })
    }

    /// The names of every model that is asked about; the caller must be allowed to read each.
    pub fn models(&self) -> &BTreeSet<&'a str> {
        &self.reached
    }
}

/// The parameters of one query while they are read.
pub(super) struct Parameters<'a> {
    catalogue: &'a Catalogue,
    model: &'a Model,
    /// Parameters with a meaning of their own, each given once.
    words: BTreeMap<String, String>,
    selection: Selection<'a>,
    /// What was said of each list, by the relations that lead to it; the page itself is the empty path.
    parts: BTreeMap<Vec<&'a str>, Part<'a>>,
    filters: FilterReader<'a>,
}

impl<'a> Parameters<'a> {
    /// Reads `select`, the filters, and what is said of embedded arrays. `words` are the names that have a meaning of
    /// their own here: a column of such a name can be filtered in a group, `and=(limit.eq.1)`.
    pub fn read(
        catalogue: &'a Catalogue,
        model: &'a Model,
        raw: &str,
        words: &[&str],
    ) -> Result<Self, Vec<FieldError>> {
        let mut filters = FilterReader::new(catalogue);
        let mut found = BTreeMap::new();
        let mut others = Vec::new();
        for (name, value) in text::parameters(raw)? {
            if !words.contains(&name.as_str()) {
                others.push((name, value));
                continue;
            }
            match found.entry(name) {
                Entry::Vacant(free) => {
                    free.insert(value);
                }
                Entry::Occupied(taken) => {
                    let message = format!("{} is given twice.", taken.key());
                    filters.fault(taken.key(), FieldCode::InvalidFormat, message);
                }
            }
        }
        let selection = match found.remove("select") {
            Some(select) => select::read(catalogue, model, &select).unwrap_or_else(|errors| {
                filters.errors.extend(errors);
                Selection::columns(model)
            }),
            None => Selection::columns(model),
        };
        let mut parameters =
            Self { catalogue, model, words: found, selection, parts: BTreeMap::new(), filters };
        for (name, value) in others {
            parameters.place(&name, &value);
        }
        Ok(parameters)
    }

    /// Takes the value of a word.
    pub fn take(&mut self, word: &str) -> Option<String> {
        self.words.remove(word)
    }

    /// The page's `sort`.
    pub fn order(&mut self, model: &'a Model) -> Vec<SortKey<'a>> {
        self.take("sort").map(|sort| self.sort("sort", model, &sort)).unwrap_or_default()
    }

    /// The page's `deleted`.
    pub fn deleted(&mut self) -> Deleted {
        match self.take("deleted").as_deref() {
            None => Deleted::Without,
            Some("only") => Deleted::Only,
            Some("with") => Deleted::With,
            Some(_) => self.misread("deleted", "This must be only or with.").unwrap_or_default(),
        }
    }

    /// A read of one record has no list of its own to filter.
    pub fn refuse_root_filters(&mut self) {
        if self.parts.remove(&Vec::new()).is_some() {
            let message = "One record is read by its id; filters belong to lists and embedded arrays.";
            self.filters.fault("query", FieldCode::NotAllowed, message);
        }
    }

    pub fn misread<T>(&mut self, field: &str, message: &str) -> Option<T> {
        self.filters.fault(field, FieldCode::InvalidFormat, message);
        None
    }

    fn number(&mut self, field: &str, value: &str, most: u32) -> u32 {
        let digits = !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit());
        match value.parse::<u32>() {
            Ok(number) if digits && (1..=most).contains(&number) => number,
            _ if digits => {
                self.filters.fault(
                    field,
                    FieldCode::OutOfRange,
                    format!("This must be between 1 and {most}."),
                );
                1
            }
            _ => self.misread(field, "This must be a whole number.").unwrap_or(1),
        }
    }

    /// `-created_at,name`
    fn sort(&mut self, field: &str, model: &'a Model, text: &str) -> Vec<SortKey<'a>> {
        let mut keys: Vec<SortKey<'a>> = Vec::new();
        for item in text.split(',') {
            let (name, descending) = item.strip_prefix('-').map_or((item, false), |name| (name, true));
            let Some(column) = model.visible(name) else {
                let message = format!("{} has no field {}.", model.name, text::shown(name));
                self.filters.fault(field, FieldCode::UnknownField, message);
                continue;
            };
            if !column.kind.is_ordered() {
                let message = format!("{} holds {}, which has no order.", column.name, column.kind.label());
                self.filters.fault(field, FieldCode::NotAllowed, message);
            } else if keys.iter().any(|key| key.column.name == column.name) {
                self.filters.fault(
                    field,
                    FieldCode::InvalidFormat,
                    format!("{} is named twice.", column.name),
                );
            } else if keys.len() == MAX_SORT_KEYS {
                let message = format!("An order has at most {MAX_SORT_KEYS} fields.");
                self.filters.fault(field, FieldCode::OutOfRange, message);
                break;
            } else {
                keys.push(SortKey { column, descending });
            }
        }
        keys
    }

    /// Puts one parameter where its name leads: a filter, a group, or the order or limit of an embedded array.
    fn place(&mut self, name: &str, value: &str) {
        let mut list: Vec<&'a str> = Vec::new();
        let mut path = Path { model: self.model, hops: Vec::<Hop<'a>>::new() };
        let mut segments = name.split('.').peekable();
        while let Some(segment) = segments.next() {
            let last = segments.peek().is_none();
            if last && path.hops.is_empty() && self.word_of_list(&list, path.model, name, segment, value) {
                return;
            }
            if list.len() + path.hops.len() > MAX_RELATIONS {
                let message = format!("A path has at most {MAX_RELATIONS} relations.");
                return self.filters.fault(name, FieldCode::OutOfRange, message);
            }
            if let Some((relation, target)) = self.to_many(path.model, segment) {
                list.extend(path.hops.iter().map(|hop| hop.relation.name.as_str()));
                list.push(relation);
                path = Path { model: target, hops: Vec::new() };
                continue;
            }
            match self.filters.step(name, path, segment) {
                None => return,
                Some(Step::Further(further)) => path = further,
                Some(Step::Column(column, hops)) if last => {
                    return self.put_test(list, hops, name, column, value);
                }
                Some(Step::Column(column, _)) => {
                    let message =
                        format!("{} is a column and has no fields; filters are field=op.value.", column.name);
                    return self.filters.fault(name, FieldCode::UnknownField, message);
                }
            }
        }
        let message = "This is a relation; name one of its fields, as relation.field=op.value.";
        self.filters.fault(name, FieldCode::InvalidFormat, message);
    }

    fn put_test(
        &mut self,
        list: Vec<&'a str>,
        hops: Vec<Hop<'a>>,
        name: &str,
        column: &'a Column,
        value: &str,
    ) {
        if let Some(test) = self.filters.test(name, hops, column, value, false) {
            self.parts.entry(list).or_default().filter.push(test);
        }
    }

    fn to_many(&self, model: &'a Model, name: &str) -> Option<(&'a str, &'a Model)> {
        let relation = model.relation(name).filter(|relation| relation.kind == RelationKind::ToMany)?;
        Some((&relation.name, self.catalogue.target(relation)?))
    }

    /// `or` and `and` of any list, `sort` and `limit` of an embedded one; answers whether it was one of them.
    fn word_of_list(
        &mut self,
        list: &[&'a str],
        model: &'a Model,
        name: &str,
        word: &str,
        value: &str,
    ) -> bool {
        match word {
            "or" | "and" => {
                if let Some(group) = self.filters.group(name, model, word == "and", value, 1) {
                    self.parts.entry(list.to_vec()).or_default().filter.push(group);
                }
            }
            "sort" | "limit" if !list.is_empty() => {
                let part = self.parts.entry(list.to_vec()).or_default();
                let given = if word == "sort" { !part.sort.is_empty() } else { part.limit.is_some() };
                if given {
                    self.filters.fault(
                        name,
                        FieldCode::InvalidFormat,
                        format!("{} is given twice.", text::shown(name)),
                    );
                } else if word == "sort" {
                    let sort = self.sort(name, model, value);
                    self.parts.entry(list.to_vec()).or_default().sort = sort;
                } else {
                    let limit = self.number(name, value, MAX_LIMIT);
                    self.parts.entry(list.to_vec()).or_default().limit = Some(limit);
                }
            }
            _ => return false,
        }
        true
    }

    /// Hands over what was read, or everything that was wrong. `limit` is the page's.
    pub fn finish(
        mut self,
        limit: u32,
    ) -> Result<(Selection<'a>, Part<'a>, BTreeSet<&'a str>), Vec<FieldError>> {
        let root = self.parts.remove(&Vec::new()).unwrap_or_default();
        let parts = &mut self.parts;
        let placed: Result<(), std::convert::Infallible> = self.selection.embedded(&mut |path, _, part| {
            if let Some(said) = parts.remove(path) {
                *part = said;
            }
            Ok(())
        });
        let Ok(()) = placed;
        for path in std::mem::take(&mut self.parts).into_keys() {
            let path = path.join(".");
            let message = format!("{path} is not selected; name it in select to filter, sort or limit it.");
            self.filters.fault(&path, FieldCode::NotAllowed, message);
        }
        let most = reach(&self.selection, limit);
        if most > MAX_REACH {
            let message = format!(
                "This page could come to {most} records, more than {MAX_REACH}; lower limit, or a relation's own \
                 limit as relation.limit=10."
            );
            self.filters.fault("select", FieldCode::OutOfRange, message);
        }
        if !self.filters.errors.is_empty() {
            self.filters.errors.truncate(MAX_FAULTS);
            return Err(self.filters.errors);
        }
        let mut reached: BTreeSet<&'a str> = self.filters.reached.into_iter().collect();
        self.selection.models(&mut reached);
        Ok((self.selection, root, reached))
    }
}
