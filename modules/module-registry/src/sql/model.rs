//! The module's tables as they stand after some migrations, without a database.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::allow::Origin;
use super::types::TypeUse;

/// A table after all Up sections, as the dry run shows it.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct TableModel {
    /// Name without schema.
    pub name: String,
    /// Columns in order of creation; those that the kernel adds are missing unless the module wrote them.
    pub columns: Vec<ColumnModel>,
    /// Columns of the primary key.
    pub primary_key: Vec<String>,
    /// Unique constraints and unique indexes.
    pub uniques: Vec<KeyModel>,
    /// Foreign keys to tables of the module.
    pub foreign_keys: Vec<ForeignKeyModel>,
}

/// A column.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct ColumnModel {
    /// Name.
    pub name: String,
    /// Type as people write it: `numeric(12,2)`, `text[]`, or the name of an enum of the module.
    #[serde(rename = "type")]
    pub type_name: String,
    /// Whether NULL is allowed.
    pub nullable: bool,
    /// Whether it has a default.
    pub has_default: bool,
    /// Whether Postgres computes it from other columns.
    pub generated: bool,
}

/// A unique constraint or index.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct KeyModel {
    /// Name, as Postgres gives it when the module doesn't.
    pub name: String,
    /// Columns; an expression is shown as `(expression)`.
    pub columns: Vec<String>,
}

/// A foreign key.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct ForeignKeyModel {
    /// Name, as Postgres gives it when the module doesn't.
    pub name: String,
    /// Columns of this table.
    pub columns: Vec<String>,
    /// The table that is referenced.
    pub references: String,
    /// Its columns, in the same order.
    pub referenced: Vec<String>,
}

/// All of a module that later statements can name.
#[derive(Debug, Clone)]
pub(super) struct Schema {
    /// `module_{slug}`.
    pub(super) name: String,
    pub(super) tables: BTreeMap<String, Arc<Table>>,
    /// Enums and where they were made.
    pub(super) enums: BTreeMap<String, Origin>,
}

#[derive(Debug, Clone)]
pub(super) struct Table {
    pub(super) name: String,
    pub(super) origin: Origin,
    pub(super) columns: Vec<Column>,
    pub(super) keys: Vec<Key>,
    pub(super) foreign_keys: Vec<ForeignKey>,
    /// Names of plain indexes, which share the name space of tables.
    pub(super) indexes: Vec<String>,
}

#[derive(Debug, Clone)]
pub(super) struct Column {
    pub(super) name: String,
    pub(super) type_use: TypeUse,
    pub(super) not_null: bool,
    pub(super) has_default: bool,
    pub(super) generated: bool,
    pub(super) origin: Origin,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum KeyKind {
    Primary,
    Unique,
    UniqueIndex,
}

#[derive(Debug, Clone)]
pub(super) struct Key {
    pub(super) kind: KeyKind,
    pub(super) name: String,
    /// `None` is an expression.
    pub(super) columns: Vec<Option<String>>,
    /// A partial index: no target of a foreign key.
    pub(super) partial: bool,
    pub(super) origin: Origin,
}

#[derive(Debug, Clone)]
pub(super) struct ForeignKey {
    pub(super) name: String,
    pub(super) columns: Vec<String>,
    pub(super) references: String,
    /// Empty when it means the primary key.
    pub(super) referenced: Vec<String>,
    pub(super) origin: Origin,
}

impl Schema {
    pub(super) fn new(slug: &str) -> Self {
        Self { name: format!("module_{slug}"), tables: BTreeMap::new(), enums: BTreeMap::new() }
    }

    pub(super) fn table_mut(&mut self, name: &str) -> Option<&mut Table> {
        self.tables.get_mut(name).map(Arc::make_mut)
    }

    /// Whether a table or index has this name; they share one name space.
    pub(super) fn relation_exists(&self, name: &str) -> bool {
        self.tables.contains_key(name)
            || self.tables.values().any(|table| {
                table.indexes.iter().any(|index| index == name)
                    || table.keys.iter().any(|key| key.name == name)
            })
    }

    /// The name that Postgres gives to an unnamed key or index: `{table}_{columns}_{label}`, cut to 63
    /// bytes and numbered when it is taken.
    pub(super) fn free_name(&self, table: &str, columns: &str, label: &str) -> String {
        (0_u32..=10_000)
            .map(|number| {
                let suffix = if number == 0 { label.to_owned() } else { format!("{label}{number}") };
                object_name(table, columns, &suffix)
            })
            .find(|name| !self.relation_exists(name))
            .unwrap_or_else(|| object_name(table, columns, label))
    }

    pub(super) fn models(&self) -> Vec<TableModel> {
        self.tables.values().map(|table| table.model(self)).collect()
    }

    /// The columns a foreign key points at, also when it doesn't name them.
    pub(super) fn target_columns(&self, key: &ForeignKey) -> Vec<String> {
        if !key.referenced.is_empty() {
            return key.referenced.clone();
        }
        self.tables.get(&key.references).map(|table| table.primary_key()).unwrap_or_default()
    }
}

impl Table {
    pub(super) fn column(&self, name: &str) -> Option<&Column> {
        self.columns.iter().find(|column| column.name == name)
    }

    /// Columns of the primary key; empty without one.
    pub(super) fn primary_key(&self) -> Vec<String> {
        let primary = self.keys.iter().find(|key| key.kind == KeyKind::Primary);
        primary.map(|key| key.columns.iter().flatten().cloned().collect()).unwrap_or_default()
    }

    fn model(&self, schema: &Schema) -> TableModel {
        let column = |column: &Column| ColumnModel {
            name: column.name.clone(),
            type_name: column.type_use.shown(),
            nullable: !column.not_null,
            has_default: column.has_default,
            generated: column.generated,
        };
        let unique = |key: &Key| KeyModel {
            name: key.name.clone(),
            columns: key
                .columns
                .iter()
                .map(|name| name.clone().unwrap_or_else(|| "(expression)".into()))
                .collect(),
        };
        let foreign_key = |key: &ForeignKey| ForeignKeyModel {
            name: key.name.clone(),
            columns: key.columns.clone(),
            references: key.references.clone(),
            referenced: schema.target_columns(key),
        };
        TableModel {
            name: self.name.clone(),
            columns: self.columns.iter().map(column).collect(),
            primary_key: self.primary_key(),
            uniques: self.keys.iter().filter(|key| key.kind != KeyKind::Primary).map(unique).collect(),
            foreign_keys: self.foreign_keys.iter().map(foreign_key).collect(),
        }
    }
}

/// `makeObjectName` of Postgres: the longer of both names is cut until all fits into 63 bytes.
fn object_name(table: &str, columns: &str, label: &str) -> String {
    const MOST: usize = 63;
    let overhead = label.len() + 1 + usize::from(!columns.is_empty());
    let (mut first, mut second) = (table.len(), columns.len());
    while first + second + overhead > MOST && first + second > 0 {
        if first > second { first -= 1 } else { second -= 1 }
    }
    let head = table.get(..first).unwrap_or(table);
    let middle = columns.get(..second).unwrap_or(columns);
    if columns.is_empty() { format!("{head}_{label}") } else { format!("{head}_{middle}_{label}") }
}
