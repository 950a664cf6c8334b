//! What a module's tables look like, as Postgres itself describes them.
//!
//! A [`Catalogue`] is read once from the system catalogue and kept until the module changes. Every identifier
//! that ever reaches SQL text comes from here; nothing here comes from a request.

mod build;
mod kind;

pub use build::{CatalogueRows, ColumnRow, ConstraintKind, ConstraintRow, FieldRules, TableRow, Unusable};
pub use kind::ColumnKind;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, OnceLock},
};

/// The columns that installation adds and triggers keep; a client never sets them.
pub const AUTOMATIC_COLUMNS: [&str; 6] =
    ["id", "tenant_id", "created_at", "updated_at", "deleted_at", "version"];

/// All models of one module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Catalogue {
    /// The module's slug, for example `crm`.
    pub module: String,
    /// The schema that holds its tables, for example `module_crm`.
    pub schema: String,
    /// Models by name; the name is the table's.
    pub models: BTreeMap<String, Model>,
}

impl Catalogue {
    /// The model of that name.
    pub fn model(&self, name: &str) -> Option<&Model> {
        self.models.get(name)
    }

    /// The model a relation leads to; the builder only keeps relations whose target exists.
    pub fn target(&self, relation: &Relation) -> Option<&Model> {
        self.models.get(&relation.target)
    }
}

/// One table of a module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Model {
    /// The name in addresses and permissions.
    pub name: String,
    /// The schema of the table.
    pub schema: String,
    /// The table.
    pub table: String,
    /// The author's comment on the table.
    pub comment: Option<String>,
    /// Columns in the table's order.
    pub columns: Vec<Column>,
    /// Unique constraints and the primary key.
    pub uniques: Vec<Unique>,
    /// Check constraints.
    pub checks: Vec<Check>,
    /// Relations made from foreign keys, to-one before to-many.
    pub relations: Vec<Relation>,
    /// Columns that no client may see, filter, sort by or set.
    pub hidden: BTreeSet<String>,
    /// Columns that clients see and may not set.
    pub read_only: BTreeSet<String>,
    /// The statement that reads one record with all its visible columns, once somebody has asked for it.
    pub(crate) plain_read: OnceLock<Arc<str>>,
}

impl Model {
    /// Any column of the table, hidden ones too.
    pub fn column(&self, name: &str) -> Option<&Column> {
        self.columns.iter().find(|column| column.name == name)
    }

    /// A column that clients may see; a hidden one is as if it did not exist.
    pub fn visible(&self, name: &str) -> Option<&Column> {
        self.column(name).filter(|column| !self.hidden.contains(&column.name))
    }

    /// All columns that clients may see: what a read without `select` answers.
    pub fn visible_columns(&self) -> impl Iterator<Item = &Column> {
        self.columns.iter().filter(|column| !self.hidden.contains(&column.name))
    }

    /// The relation of that name.
    pub fn relation(&self, name: &str) -> Option<&Relation> {
        self.relations.iter().find(|relation| relation.name == name)
    }

    /// The to-one relation that was made from this foreign key.
    pub fn reference(&self, constraint: &str) -> Option<&Relation> {
        self.relations
            .iter()
            .find(|relation| relation.kind == RelationKind::ToOne && relation.constraint == constraint)
    }

    /// Whether the kernel keeps this column itself.
    pub fn is_automatic(name: &str) -> bool {
        AUTOMATIC_COLUMNS.contains(&name)
    }

    /// Whether a client may set this column.
    pub fn is_writable(&self, column: &Column) -> bool {
        !Self::is_automatic(&column.name)
            && !column.generated
            && !self.hidden.contains(&column.name)
            && !self.read_only.contains(&column.name)
    }

    /// The visible columns that a constraint of Postgres speaks of (without `tenant_id`), to name the field when
    /// a write breaks it. Empty when the constraint is not known.
    pub fn constrained_columns(&self, constraint: &str) -> Vec<&str> {
        let unique =
            self.uniques.iter().find(|unique| unique.name == constraint).map(|unique| &unique.columns);
        let check = || self.checks.iter().find(|check| check.name == constraint).map(|check| &check.columns);
        let columns: Vec<&str> = match unique.or_else(check) {
            Some(columns) => columns.iter().map(String::as_str).collect(),
            None => self
                .reference(constraint)
                .iter()
                .flat_map(|relation| relation.pairs.iter().map(|pair| pair.here.as_str()))
                .collect(),
        };
        columns.into_iter().filter(|name| *name != "tenant_id" && self.visible(name).is_some()).collect()
    }
}

/// One column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    /// Its name, which is also the member of the record.
    pub name: String,
    /// What it holds.
    pub kind: ColumnKind,
    /// Whether it may be null.
    pub nullable: bool,
    /// Whether Postgres fills it when it is not given.
    pub has_default: bool,
    /// Whether Postgres computes it always (generated, or identity always).
    pub generated: bool,
    /// The author's comment.
    pub comment: Option<String>,
}

/// A unique constraint or the primary key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unique {
    /// The constraint's name, as Postgres reports it when it is broken.
    pub name: String,
    /// Its columns.
    pub columns: Vec<String>,
}

/// A check constraint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// The constraint's name, as Postgres reports it when it is broken.
    pub name: String,
    /// The columns it looks at.
    pub columns: Vec<String>,
}

/// A way from a record to others, made from one foreign key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Relation {
    /// The name in `select` and in filters.
    pub name: String,
    /// One record or many.
    pub kind: RelationKind,
    /// The model it leads to.
    pub target: String,
    /// The columns that must agree, without the tenant's: that one is compared on every table anyway.
    pub pairs: Vec<ColumnPair>,
    /// The foreign key's constraint name.
    pub constraint: String,
}

/// How many records a relation leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RelationKind {
    /// This model refers to the target: an object or null.
    ToOne,
    /// The target refers to this model: an array.
    ToMany,
}

/// Two columns that agree across a relation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ColumnPair {
    /// The column of the model that has the relation.
    pub here: String,
    /// The column of the relation's target.
    pub there: String,
}
