//! Replays definitions on the symbolic schema, as far as the rules about tables need it.
//!
//! It runs also for refused statements, so that one mistake isn't followed by others that are none.

use std::sync::Arc;

use pg_query::NodeEnum;
use pg_query::protobuf::{
    AlterTableCmd, AlterTableStmt, AlterTableType, ColumnDef, ConstrType, Constraint, CreateStmt, IndexStmt,
    Node, ObjectType, RangeVar,
};

use super::allow::{Origin, shown, strings};
use super::goose::Statement;
use super::model::{Column, ForeignKey, Key, KeyKind, Schema, Table};
use super::{Findings, MAX_TABLES, types};

/// Most columns of a table, as in Postgres.
const MAX_COLUMNS: usize = 1_600;

/// Lets one statement change the schema; what names an unknown table, column or enum is reported.
pub(super) fn apply(
    origin: &Origin,
    statement: &Statement,
    node: &NodeEnum,
    schema: &mut Schema,
    found: &mut Findings,
) {
    let mut replay = Replay { origin, text: &statement.text, schema, found };
    match node {
        NodeEnum::CreateStmt(create) => replay.create_table(create),
        NodeEnum::AlterTableStmt(alter) if alter.objtype() == ObjectType::ObjectTable => {
            replay.alter_table(alter)
        }
        NodeEnum::IndexStmt(index) => replay.create_index(index),
        NodeEnum::DropStmt(drop) => replay.drop_objects(drop),
        NodeEnum::CreateEnumStmt(create) => replay.create_enum(&strings(&create.type_name)),
        NodeEnum::AlterEnumStmt(alter) => {
            replay.known_enum(strings(&alter.type_name).last().copied().unwrap_or_default())
        }
        NodeEnum::RenameStmt(rename) => replay.rename(rename),
        _ => {}
    }
}

/// The schema under replay and the statement in hand.
pub(super) struct Replay<'a> {
    pub(super) origin: &'a Origin,
    text: &'a str,
    pub(super) schema: &'a mut Schema,
    found: &'a mut Findings,
}

impl Replay<'_> {
    pub(super) fn report(&mut self, location: i32, rule: &'static str, message: String, fix: &str) {
        self.found.add(self.origin.at(self.text, location).violation(rule, message, fix));
    }

    /// Names in other schemas are refused elsewhere and change nothing here.
    pub(super) fn own(&self, relation: &RangeVar) -> bool {
        relation.schemaname.is_empty() || relation.schemaname == self.schema.name
    }

    fn create_table(&mut self, create: &CreateStmt) {
        let Some(relation) = create.relation.as_ref().filter(|relation| self.own(relation)) else { return };
        let name = relation.relname.as_str();
        if self.schema.relation_exists(name) {
            if !create.if_not_exists {
                self.report(
                    relation.location,
                    "exists",
                    format!("a table or index {} is there already", shown(name)),
                    "Alter the table, or choose another name",
                );
            }
            return;
        }
        if self.schema.tables.len() >= MAX_TABLES {
            self.report(
                relation.location,
                "table-count",
                format!("the module has more than {MAX_TABLES} tables"),
                "Split it into several modules",
            );
            return;
        }
        let origin = self.origin.at(self.text, relation.location);
        let table = Table {
            name: name.to_owned(),
            origin,
            columns: Vec::new(),
            keys: Vec::new(),
            foreign_keys: Vec::new(),
            indexes: Vec::new(),
        };
        self.schema.tables.insert(name.to_owned(), Arc::new(table));
        let elements = || create.table_elts.iter().chain(&create.constraints);
        // Columns first: constraints may name columns that stand after them.
        for element in elements() {
            if let Some(NodeEnum::ColumnDef(column)) = &element.node {
                self.add_column(name, column, false);
            }
        }
        // Then keys before foreign keys, as Postgres does: a table may point at its own key.
        for foreign in [false, true] {
            for element in elements() {
                match &element.node {
                    Some(NodeEnum::ColumnDef(column)) => self.column_constraints(name, column, Some(foreign)),
                    Some(NodeEnum::Constraint(constraint)) if is_foreign(constraint) == foreign => {
                        self.add_constraint(name, constraint, None, true);
                    }
                    _ => {}
                }
            }
        }
    }

    fn add_column(&mut self, table: &str, definition: &ColumnDef, if_not_exists: bool) -> bool {
        let origin = self.origin.at(self.text, definition.location);
        let has = |kind: ConstrType| {
            definition
                .constraints
                .iter()
                .any(|node| matches!(&node.node, Some(NodeEnum::Constraint(c)) if c.contype() == kind))
        };
        let column = Column {
            name: definition.colname.clone(),
            type_use: definition.type_name.as_ref().map(types::describe).unwrap_or_else(types::unknown),
            not_null: definition.is_not_null
                || has(ConstrType::ConstrNotnull)
                || has(ConstrType::ConstrPrimary),
            has_default: definition.raw_default.is_some() || has(ConstrType::ConstrDefault),
            generated: !definition.generated.is_empty()
                || has(ConstrType::ConstrGenerated)
                || has(ConstrType::ConstrIdentity),
            origin,
        };
        let Some(target) = self.schema.table_mut(table) else { return false };
        let exists = target.column(&column.name).is_some();
        if !exists && target.columns.len() < MAX_COLUMNS {
            target.columns.push(column);
            return true;
        }
        if !exists || !if_not_exists {
            let message =
                format!("table {} can't take another column {}", shown(table), shown(&definition.colname));
            self.report(definition.location, "exists", message, "Give each column a name of its own");
        }
        false
    }

    /// Constraints written at a column; of a table being made only the foreign ones, or only the others.
    fn column_constraints(&mut self, table: &str, definition: &ColumnDef, creating: Option<bool>) {
        for constraint in &definition.constraints {
            let Some(NodeEnum::Constraint(constraint)) = &constraint.node else { continue };
            if creating.is_none_or(|foreign| is_foreign(constraint) == foreign) {
                self.add_constraint(table, constraint, Some(&definition.colname), creating.is_some());
            }
        }
    }

    fn add_constraint(&mut self, table: &str, constraint: &Constraint, column: Option<&str>, creating: bool) {
        let kind = match constraint.contype() {
            ConstrType::ConstrPrimary => KeyKind::Primary,
            ConstrType::ConstrUnique => KeyKind::Unique,
            ConstrType::ConstrForeign => return self.add_foreign_key(table, constraint, column, creating),
            _ => return,
        };
        let columns: Vec<String> = match column {
            Some(column) => vec![column.to_owned()],
            None => strings(&constraint.keys).into_iter().map(str::to_owned).collect(),
        };
        self.known_columns(table, &columns, constraint.location);
        let name = match (constraint.conname.as_str(), kind) {
            ("", KeyKind::Primary) => self.schema.free_name(table, "", "pkey"),
            ("", _) => self.schema.free_name(table, &columns.join("_"), "key"),
            (name, _) => name.to_owned(),
        };
        let origin = self.origin.at(self.text, constraint.location);
        let Some(target) = self.schema.table_mut(table) else { return };
        if kind == KeyKind::Primary {
            if target.keys.iter().any(|key| key.kind == KeyKind::Primary) {
                self.report(
                    constraint.location,
                    "exists",
                    format!("table {} has a primary key already", shown(table)),
                    "Remove the second one",
                );
                return;
            }
            for column in target.columns.iter_mut().filter(|column| columns.contains(&column.name)) {
                column.not_null = true;
            }
        }
        target.keys.push(Key {
            kind,
            name,
            columns: columns.into_iter().map(Some).collect(),
            partial: false,
            origin,
        });
    }

    fn add_foreign_key(
        &mut self,
        table: &str,
        constraint: &Constraint,
        column: Option<&str>,
        creating: bool,
    ) {
        let Some(target) = constraint.pktable.as_ref().filter(|target| self.own(target)) else { return };
        let references = &target.relname;
        let columns: Vec<String> = match column {
            Some(column) => vec![column.to_owned()],
            None => strings(&constraint.fk_attrs).into_iter().map(str::to_owned).collect(),
        };
        self.known_columns(table, &columns, constraint.location);
        let referenced: Vec<String> = strings(&constraint.pk_attrs).into_iter().map(str::to_owned).collect();
        let name = match constraint.conname.as_str() {
            "" => self.schema.free_name(table, &columns.join("_"), "fkey"),
            name => name.to_owned(),
        };
        let origin = self.origin.at(self.text, constraint.location);
        match self.schema.tables.get(references) {
            None => {
                let message = format!(
                    "the foreign key points at {}, which is no table of the module",
                    shown(references)
                );
                self.report(
                    constraint.location,
                    "unknown-table",
                    message,
                    "Create that table first; tables of others are read through their API",
                );
            }
            Some(target) if creating && references == table && !referenced.is_empty() => {
                let named = |key: &Key| key.columns.iter().flatten().eq(&referenced) && !key.partial;
                if !target.keys.iter().any(named) {
                    let message = format!(
                        "the table points at its own ({}), which is not unique yet while it is made",
                        referenced.join(", ")
                    );
                    self.report(constraint.location, "self-reference", message, "Write `unique (tenant_id, id)` before it in the table, or add the key with ALTER TABLE afterwards");
                }
            }
            Some(_) => self.known_columns(references, &referenced, constraint.location),
        }
        if let Some(target) = self.schema.table_mut(table) {
            target.foreign_keys.push(ForeignKey {
                name,
                columns,
                references: references.clone(),
                referenced,
                origin,
            });
        }
    }

    pub(super) fn known_columns(&mut self, table: &str, columns: &[String], location: i32) {
        let Some(known) = self.schema.tables.get(table) else { return };
        if let Some(missing) =
            columns.iter().find(|name| known.column(name).is_none() && !added_by_the_kernel(name))
        {
            let message = format!("table {} has no column {}", shown(table), shown(missing));
            self.report(
                location,
                "unknown-column",
                message,
                "Name a column that the migrations so far have made",
            );
        }
    }

    fn alter_table(&mut self, alter: &AlterTableStmt) {
        let Some(relation) = alter.relation.as_ref().filter(|relation| self.own(relation)) else { return };
        let name = relation.relname.as_str();
        if !self.schema.tables.contains_key(name) {
            if !alter.missing_ok {
                self.unknown_table(relation);
            }
            return;
        }
        for command in &alter.cmds {
            if let Some(NodeEnum::AlterTableCmd(command)) = &command.node {
                self.alteration(name, command, relation.location);
            }
        }
    }

    pub(super) fn unknown_table(&mut self, relation: &RangeVar) {
        let message = format!("{} is no table of the module at this point", shown(&relation.relname));
        self.report(
            relation.location,
            "unknown-table",
            message,
            "Create it in an earlier statement or migration",
        );
    }

    fn alteration(&mut self, table: &str, command: &AlterTableCmd, location: i32) {
        use AlterTableType as A;
        let definition = command.def.as_ref().and_then(|def| def.node.as_ref());
        match (command.subtype(), definition) {
            (A::AtAddColumn, Some(NodeEnum::ColumnDef(column))) => {
                if self.add_column(table, column, command.missing_ok) {
                    self.column_constraints(table, column, None);
                }
            }
            (A::AtAddConstraint, Some(NodeEnum::Constraint(constraint))) => {
                self.add_constraint(table, constraint, None, false)
            }
            (A::AtDropColumn, _) => self.drop_column(table, &command.name, command.missing_ok, location),
            (A::AtDropConstraint, _) => self.drop_constraint(table, &command.name, location),
            (subtype, definition) => self.change_column(table, command, subtype, definition, location),
        }
    }

    fn change_column(
        &mut self,
        table: &str,
        command: &AlterTableCmd,
        subtype: AlterTableType,
        definition: Option<&NodeEnum>,
        location: i32,
    ) {
        use AlterTableType as A;
        if !matches!(
            subtype,
            A::AtColumnDefault
                | A::AtDropNotNull
                | A::AtSetNotNull
                | A::AtDropExpression
                | A::AtAlterColumnType
        ) {
            return;
        }
        self.known_columns(table, std::slice::from_ref(&command.name), location);
        let Some(target) = self.schema.table_mut(table) else { return };
        let Some(column) = target.columns.iter_mut().find(|column| column.name == command.name) else {
            return;
        };
        match (subtype, definition) {
            (A::AtColumnDefault, definition) => column.has_default = definition.is_some(),
            (A::AtDropNotNull, _) => column.not_null = false,
            (A::AtSetNotNull, _) => column.not_null = true,
            (A::AtDropExpression, _) => column.generated = false,
            (A::AtAlterColumnType, Some(NodeEnum::ColumnDef(to))) => {
                if let Some(type_name) = &to.type_name {
                    column.type_use = types::describe(type_name);
                }
            }
            _ => {}
        }
    }

    /// Postgres drops the keys of a column with it.
    fn drop_column(&mut self, table: &str, column: &str, missing_ok: bool, location: i32) {
        if !missing_ok {
            self.known_columns(table, &[column.to_owned()], location);
        }
        let Some(target) = self.schema.table_mut(table) else { return };
        target.columns.retain(|kept| kept.name != column);
        target.keys.retain(|key| !key.columns.iter().flatten().any(|name| name == column));
        target.foreign_keys.retain(|key| !key.columns.iter().any(|name| name == column));
    }

    fn drop_constraint(&mut self, table: &str, name: &str, location: i32) {
        let Some(target) = self.schema.table_mut(table) else { return };
        let primary = target.keys.iter().any(|key| key.kind == KeyKind::Primary && key.name == name);
        // A name that looks like one Postgres gives to a primary key counts as one.
        if primary || name.trim_end_matches(|c: char| c.is_ascii_digit()).ends_with("_pkey") {
            let message = format!("{} is the primary key, which holds rows apart", shown(name));
            self.report(
                location,
                "primary-key",
                message,
                "Leave it; for other keys make a new table and copy the rows",
            );
            return;
        }
        target.keys.retain(|key| key.name != name);
        target.foreign_keys.retain(|key| key.name != name);
    }

    fn create_index(&mut self, index: &IndexStmt) {
        let Some(relation) = index.relation.as_ref().filter(|relation| self.own(relation)) else { return };
        let table = relation.relname.as_str();
        if !self.schema.tables.contains_key(table) {
            return self.unknown_table(relation);
        }
        let columns: Vec<Option<String>> = index.index_params.iter().map(element_column).collect();
        let named: Vec<String> = columns.iter().flatten().cloned().collect();
        self.known_columns(table, &named, relation.location);
        let name = if index.idxname.is_empty() {
            let parts: Vec<&str> = columns.iter().map(|column| column.as_deref().unwrap_or("expr")).collect();
            self.schema.free_name(table, &parts.join("_"), "idx")
        } else if self.schema.relation_exists(&index.idxname) {
            if !index.if_not_exists {
                self.report(
                    relation.location,
                    "exists",
                    format!("a table or index {} is there already", shown(&index.idxname)),
                    "Choose another name",
                );
            }
            return;
        } else {
            index.idxname.clone()
        };
        let origin = self.origin.clone();
        let Some(target) = self.schema.table_mut(table) else { return };
        if index.unique {
            let partial = index.where_clause.is_some();
            target.keys.push(Key { kind: KeyKind::UniqueIndex, name, columns, partial, origin });
        } else {
            target.indexes.push(name);
        }
    }
}

fn is_foreign(constraint: &Constraint) -> bool {
    constraint.contype() == ConstrType::ConstrForeign
}

/// Columns that may be named although no migration made them: installation adds them.
fn added_by_the_kernel(column: &str) -> bool {
    matches!(column, "created_at" | "updated_at" | "deleted_at" | "version")
}

/// The column of an index element; `None` for an expression.
fn element_column(element: &Node) -> Option<String> {
    match &element.node {
        Some(NodeEnum::IndexElem(element)) if !element.name.is_empty() => Some(element.name.clone()),
        _ => None,
    }
}
