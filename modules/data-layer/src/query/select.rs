//! Reads `select`: which columns and relations a record is shown with.

use std::collections::BTreeSet;

use kernel::{FieldCode, FieldError};

use super::condition::Condition;
use super::list::Parameters;
use super::{DEFAULT_EMBEDDED, MAX_RELATIONS, MAX_SELECTED, text};
use crate::catalogue::{Catalogue, Column, Model, Relation, RelationKind};

/// The shape of one record.
#[derive(Clone, Debug)]
pub(super) struct Selection<'a> {
    pub model: &'a Model,
    pub items: Vec<Item<'a>>,
}

#[derive(Clone, Debug)]
pub(super) enum Item<'a> {
    Column(&'a Column),
    One { relation: &'a Relation, select: Selection<'a> },
    Many { relation: &'a Relation, select: Selection<'a>, part: Part<'a> },
}

/// What is said of a list: the page itself, or an embedded array.
#[derive(Clone, Debug, Default)]
pub(super) struct Part<'a> {
    pub filter: Vec<Condition<'a>>,
    pub sort: Vec<SortKey<'a>>,
    pub limit: Option<u32>,
}

/// One key of an order.
#[derive(Clone, Copy, Debug)]
pub(super) struct SortKey<'a> {
    pub column: &'a Column,
    pub descending: bool,
}

impl<'a> Selection<'a> {
    /// All visible columns, no relations.
    pub fn columns(model: &'a Model) -> Self {
        Self { model, items: model.visible_columns().map(Item::Column).collect() }
    }

    /// Visits every to-many relation with its path from the outermost record and its depth among to-many ones.
    pub fn embedded<E>(
        &mut self,
        visit: &mut impl FnMut(&[&'a str], usize, &mut Part<'a>) -> Result<(), E>,
    ) -> Result<(), E> {
        self.walk(&mut Vec::new(), 0, visit)
    }

    fn walk<E>(
        &mut self,
        path: &mut Vec<&'a str>,
        depth: usize,
        visit: &mut impl FnMut(&[&'a str], usize, &mut Part<'a>) -> Result<(), E>,
    ) -> Result<(), E> {
        for item in &mut self.items {
            match item {
                Item::Column(_) => {}
                Item::One { relation, select } => {
                    path.push(&relation.name);
                    select.walk(path, depth, visit)?;
                    path.pop();
                }
                Item::Many { relation, select, part } => {
                    path.push(&relation.name);
                    visit(path, depth, part)?;
                    select.walk(path, depth + 1, visit)?;
                    path.pop();
                }
            }
        }
        Ok(())
    }

    /// The members that it shows, in order.
    pub fn names(&self) -> impl Iterator<Item = &'a str> {
        self.items.iter().map(|item| match item {
            Item::Column(column) => column.name.as_str(),
            Item::One { relation, .. } | Item::Many { relation, .. } => relation.name.as_str(),
        })
    }

    /// Adds the names of all models shown.
    pub fn models(&self, names: &mut BTreeSet<&'a str>) {
        names.insert(&self.model.name);
        for item in &self.items {
            if let Item::One { select, .. } | Item::Many { select, .. } = item {
                select.models(names);
            }
        }
    }
}

/// The embedded array's length when nothing is said: shorter the deeper, so that pages stay of a size.
pub(super) fn default_embedded(depth: usize) -> u32 {
    DEFAULT_EMBEDDED[depth.min(MAX_RELATIONS - 1)]
}

/// Reads the text of a `select` parameter.
pub(super) fn read<'a>(
    catalogue: &'a Catalogue,
    model: &'a Model,
    select: &str,
) -> Result<Selection<'a>, Vec<FieldError>> {
    let mut reader = SelectReader { catalogue, selected: 0, errors: Vec::new() };
    let selection = reader.selection(model, select, 0);
    if reader.errors.is_empty() { Ok(selection) } else { Err(reader.errors) }
}

struct SelectReader<'a> {
    catalogue: &'a Catalogue,
    selected: usize,
    errors: Vec<FieldError>,
}

impl<'a> SelectReader<'a> {
    fn fault(&mut self, code: FieldCode, message: impl Into<String>) {
        self.errors.push(FieldError::new("select", code, message));
    }

    fn selection(&mut self, model: &'a Model, list: &str, relations: usize) -> Selection<'a> {
        let mut selection = Selection { model, items: Vec::new() };
        let Some(items) = text::split_list(list) else {
            self.fault(FieldCode::InvalidFormat, "A selection is a,b,relation(c,d); parentheses must close.");
            return selection;
        };
        let mut seen = BTreeSet::new();
        for item in items {
            let (name, inner) = item.find('(').map_or((item, None), |at| (&item[..at], Some(&item[at..])));
            if name == "*" && inner.is_none() {
                for column in model.visible_columns() {
                    self.add(&mut selection, &mut seen, &column.name, Item::Column(column));
                }
                continue;
            }
            if let (Some(column), None) = (model.visible(name), inner) {
                self.add(&mut selection, &mut seen, &column.name, Item::Column(column));
                continue;
            }
            let found =
                model.relation(name).and_then(|relation| Some((relation, self.catalogue.target(relation)?)));
            let Some((relation, target)) = found else {
                let message = format!("{} has no field {}.", model.name, text::shown(name));
                self.fault(FieldCode::UnknownField, message);
                continue;
            };
            if relations == MAX_RELATIONS {
                self.fault(FieldCode::OutOfRange, format!("Relations nest at most {MAX_RELATIONS} deep."));
                continue;
            }
            let select = match inner.map(text::inside) {
                None => Selection::columns(target),
                Some(Some(inner)) => self.selection(target, inner, relations + 1),
                Some(None) => {
                    let message = format!("After {name} comes a list in parentheses.");
                    self.fault(FieldCode::InvalidFormat, message);
                    continue;
                }
            };
            let item = match relation.kind {
                RelationKind::ToOne => Item::One { relation, select },
                RelationKind::ToMany => Item::Many { relation, select, part: Part::default() },
            };
            self.add(&mut selection, &mut seen, &relation.name, item);
        }
        selection
    }

    fn add(
        &mut self,
        selection: &mut Selection<'a>,
        seen: &mut BTreeSet<&'a str>,
        name: &'a str,
        item: Item<'a>,
    ) {
        self.selected += 1;
        if self.selected == MAX_SELECTED + 1 {
            self.fault(FieldCode::OutOfRange, format!("A selection names at most {MAX_SELECTED} fields."));
        }
        if self.selected > MAX_SELECTED {
            return;
        }
        if seen.insert(name) {
            selection.items.push(item);
        } else {
            self.fault(FieldCode::InvalidFormat, format!("{name} is selected twice."));
        }
    }
}

/// What a read of one record asks for: `select`, and filters, order and limits of embedded arrays.
#[derive(Clone, Debug)]
pub struct ReadQuery<'a> {
    pub(super) selection: Selection<'a>,
    /// Whether it shows the visible columns and nothing else.
    pub(super) plain: bool,
    reached: BTreeSet<&'a str>,
}

impl<'a> ReadQuery<'a> {
    /// All visible columns, no relations.
    pub fn plain(model: &'a Model) -> Self {
        let reached = BTreeSet::from([model.name.as_str()]);
        Self { selection: Selection::columns(model), plain: true, reached }
    }

    /// Reads and checks the query string of a read by id.
    ///
    /// # Errors
    /// One entry for everything that is wrong with it.
    pub fn parse(catalogue: &'a Catalogue, model: &'a Model, raw: &str) -> Result<Self, Vec<FieldError>> {
        let mut parameters = Parameters::read(catalogue, model, raw, &["select"])?;
        parameters.refuse_root_filters();
        let (selection, _, reached) = parameters.finish(1)?;
        Ok(Self { selection, plain: false, reached })
    }

    /// The names of every model that is shown or asked about; the caller must be allowed to read each.
    pub fn models(&self) -> &BTreeSet<&'a str> {
        &self.reached
    }
}
