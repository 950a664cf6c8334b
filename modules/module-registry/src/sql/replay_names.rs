//! Replays what makes, drops and renames by name: enums, DROP and RENAME.

use std::sync::Arc;

use pg_query::NodeEnum;
use pg_query::protobuf::{DropBehavior, DropStmt, ObjectType, RangeVar, RenameStmt};

use super::allow::{shown, strings};
use super::model::{Key, KeyKind};
use super::replay::Replay;

impl Replay<'_> {
    pub(super) fn drop_objects(&mut self, drop: &DropStmt) {
        for object in &drop.objects {
            let names = match &object.node {
                Some(NodeEnum::List(list)) => strings(&list.items),
                Some(NodeEnum::TypeName(name)) => strings(&name.names),
                _ => Vec::new(),
            };
            let name = match names.as_slice() {
                [name] => *name,
                [schema, name] if *schema == self.schema.name => *name,
                _ => continue,
            };
            match drop.remove_type() {
                ObjectType::ObjectTable => self.drop_table(name, drop),
                ObjectType::ObjectIndex => self.drop_index(name),
                ObjectType::ObjectType => {
                    let known = self.schema.enums.remove(name).is_some();
                    if !known && !drop.missing_ok {
                        self.unknown_enum(name);
                    }
                }
                _ => {}
            }
        }
    }

    fn drop_table(&mut self, name: &str, drop: &DropStmt) {
        if self.schema.tables.remove(name).is_none() {
            if !drop.missing_ok {
                let message = format!("{} is no table of the module at this point", shown(name));
                self.report(
                    -1,
                    "unknown-table",
                    message,
                    "Write DROP TABLE IF EXISTS, or remove the statement",
                );
            }
            return;
        }
        if drop.behavior() == DropBehavior::DropCascade {
            for table in self.schema.tables.values_mut() {
                if table.foreign_keys.iter().any(|key| key.references == name) {
                    Arc::make_mut(table).foreign_keys.retain(|key| key.references != name);
                }
            }
        }
    }

    fn drop_index(&mut self, name: &str) {
        for table in self.schema.tables.values_mut() {
            let unique = |key: &Key| key.kind == KeyKind::UniqueIndex && key.name == name;
            if table.indexes.iter().any(|index| index == name) || table.keys.iter().any(unique) {
                let table = Arc::make_mut(table);
                table.indexes.retain(|index| index != name);
                table.keys.retain(|key| !unique(key));
            }
        }
    }

    pub(super) fn create_enum(&mut self, names: &[&str]) {
        let Some(name) = names.last() else { return };
        if self.schema.enums.contains_key(*name) || self.schema.tables.contains_key(*name) {
            self.report(
                -1,
                "exists",
                format!("a table or enum {} is there already", shown(name)),
                "Choose another name",
            );
        } else {
            self.schema.enums.insert((*name).to_owned(), self.origin.clone());
        }
    }

    pub(super) fn known_enum(&mut self, name: &str) {
        if !self.schema.enums.contains_key(name) {
            self.unknown_enum(name);
        }
    }

    fn unknown_enum(&mut self, name: &str) {
        self.report(
            -1,
            "unknown-type",
            format!("{} is no enum of the module at this point", shown(name)),
            "Create it in an earlier statement",
        );
    }

    pub(super) fn rename(&mut self, rename: &RenameStmt) {
        let to = rename.newname.as_str();
        match rename.rename_type() {
            ObjectType::ObjectType => {
                let names = match rename.object.as_ref().and_then(|object| object.node.as_ref()) {
                    Some(NodeEnum::List(list)) => strings(&list.items),
                    _ => Vec::new(),
                };
                self.rename_enum(names.last().copied().unwrap_or_default(), to);
            }
            ObjectType::ObjectTable | ObjectType::ObjectColumn | ObjectType::ObjectTabconstraint => {
                let Some(relation) = rename.relation.as_ref().filter(|relation| self.own(relation)) else {
                    return;
                };
                if !self.schema.tables.contains_key(&relation.relname) {
                    if !rename.missing_ok {
                        self.unknown_table(relation);
                    }
                } else if rename.rename_type() == ObjectType::ObjectTable {
                    self.rename_table(relation, to);
                } else if rename.rename_type() == ObjectType::ObjectColumn {
                    self.known_columns(
                        &relation.relname,
                        std::slice::from_ref(&rename.subname),
                        relation.location,
                    );
                    self.rename_column(&relation.relname, &rename.subname, to);
                } else {
                    self.rename_key(&rename.subname, to);
                }
            }
            ObjectType::ObjectIndex => {
                let Some(relation) = rename.relation.as_ref().filter(|relation| self.own(relation)) else {
                    return;
                };
                self.rename_key(&relation.relname, to);
            }
            _ => {}
        }
    }

    fn rename_enum(&mut self, from: &str, to: &str) {
        let Some(origin) = self.schema.enums.remove(from) else { return self.unknown_enum(from) };
        self.schema.enums.insert(to.to_owned(), origin);
        for table in self.schema.tables.values_mut() {
            for column in &mut Arc::make_mut(table).columns {
                if column.type_use.base == from {
                    column.type_use.base = to.to_owned();
                }
            }
        }
    }

    fn rename_table(&mut self, relation: &RangeVar, to: &str) {
        if self.schema.relation_exists(to) {
            self.report(
                relation.location,
                "exists",
                format!("a table or index {} is there already", shown(to)),
                "Choose another name",
            );
            return;
        }
        let Some(mut table) = self.schema.tables.remove(&relation.relname) else { return };
        Arc::make_mut(&mut table).name = to.to_owned();
        self.schema.tables.insert(to.to_owned(), table);
        for table in self.schema.tables.values_mut() {
            for key in &mut Arc::make_mut(table).foreign_keys {
                if key.references == relation.relname {
                    key.references = to.to_owned();
                }
            }
        }
    }

    fn rename_column(&mut self, table: &str, from: &str, to: &str) {
        let rename = |name: &mut String| {
            if name == from {
                *name = to.to_owned();
            }
        };
        for (name, other) in &mut self.schema.tables {
            let other = Arc::make_mut(other);
            if name == table {
                other.columns.iter_mut().for_each(|column| rename(&mut column.name));
                other.keys.iter_mut().flat_map(|key| key.columns.iter_mut().flatten()).for_each(rename);
                other.foreign_keys.iter_mut().flat_map(|key| &mut key.columns).for_each(rename);
            }
            let pointing = other.foreign_keys.iter_mut().filter(|key| key.references == table);
            pointing.flat_map(|key| &mut key.referenced).for_each(rename);
        }
    }

    /// A constraint and its index share their name.
    fn rename_key(&mut self, from: &str, to: &str) {
        for table in self.schema.tables.values_mut() {
            let table = Arc::make_mut(table);
            let names = table.keys.iter_mut().map(|key| &mut key.name);
            let names =
                names.chain(table.foreign_keys.iter_mut().map(|key| &mut key.name)).chain(&mut table.indexes);
            names.filter(|name| *name == from).for_each(|name| *name = to.to_owned());
        }
    }
}
