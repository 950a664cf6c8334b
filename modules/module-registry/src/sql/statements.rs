//! Statements that define: tables, indexes, enums, comments. What is not matched here is refused.

use pg_query::NodeEnum;
use pg_query::protobuf::{
    AlterEnumStmt, AlterTableCmd, AlterTableStmt, AlterTableType, CommentStmt, CreateEnumStmt, CreateStmt,
    DropBehavior, DropStmt, Node, ObjectType, RenameStmt,
};

use super::allow::{Inspector, Scope, shown, strings};
use super::refusals::{self, Refusal};

const DEFINITION: Scope = Scope::Definition;

impl Inspector<'_> {
    pub(super) fn statement(&mut self, node: &NodeEnum) {
        match node {
            NodeEnum::CreateStmt(create) => self.create_table(create),
            NodeEnum::AlterTableStmt(alter) => self.alter_table(alter),
            NodeEnum::IndexStmt(index) => self.index(index),
            NodeEnum::DropStmt(drop) => self.drop_objects(drop),
            NodeEnum::CreateEnumStmt(create) => self.create_enum(create),
            NodeEnum::AlterEnumStmt(alter) => self.alter_enum(alter),
            NodeEnum::CommentStmt(comment) => self.comment(comment),
            NodeEnum::RenameStmt(rename) => self.rename(rename),
            NodeEnum::InsertStmt(insert) => self.insert(insert),
            NodeEnum::UpdateStmt(update) => self.update(update),
            NodeEnum::DeleteStmt(delete) => self.delete(delete),
            other => self.refuse_as(refusals::of_statement(other)),
        }
    }

    fn refuse_as(&mut self, (rule, message, fix): Refusal) {
        self.refuse(rule, message, fix);
    }

    fn create_table(&mut self, create: &CreateStmt) {
        let CreateStmt {
            relation,
            table_elts,
            inh_relations,
            partbound,
            partspec,
            of_typename,
            constraints,
            options,
            oncommit: _,
            tablespacename,
            access_method,
            if_not_exists: _,
        } = create;
        self.relation(relation.as_ref());
        if let Some(relation) = relation {
            self.new_name("table", &relation.relname);
        }
        if partbound.is_some() || partspec.is_some() {
            self.refuse_as(refusals::of_alteration(AlterTableType::AtAttachPartition));
        } else if !inh_relations.is_empty() {
            self.refuse_as(refusals::of_alteration(AlterTableType::AtAddInherit));
        }
        if of_typename.is_some() {
            self.refuse_as(refusals::of_alteration(AlterTableType::AtAddOf));
        }
        if !tablespacename.is_empty() {
            self.refuse_as(refusals::of_alteration(AlterTableType::AtSetTableSpace));
        }
        if !access_method.is_empty() {
            self.refuse_as(refusals::of_alteration(AlterTableType::AtSetAccessMethod));
        }
        self.storage_options(options);
        for element in table_elts.iter().chain(constraints) {
            match &element.node {
                Some(NodeEnum::ColumnDef(column)) => self.column_definition(column),
                Some(NodeEnum::Constraint(constraint)) => self.constraint(constraint, None),
                Some(NodeEnum::TableLikeClause(like)) => {
                    self.relation(like.relation.as_ref());
                    self.refuse(
                        "like",
                        "LIKE takes columns from another table, which may change",
                        "Write the columns out",
                    );
                }
                Some(other) => self.unlisted(other),
                None => self.refuse(
                    "expression",
                    "a part of the table can't be read",
                    "Write columns and constraints",
                ),
            }
        }
    }

    fn alter_table(&mut self, alter: &AlterTableStmt) {
        let AlterTableStmt { relation, cmds, objtype: _, missing_ok: _ } = alter;
        self.relation(relation.as_ref());
        if alter.objtype() != ObjectType::ObjectTable {
            self.refuse_as(refusals::of_object(alter.objtype()));
            return;
        }
        for command in cmds {
            match &command.node {
                Some(NodeEnum::AlterTableCmd(command)) => self.alteration(command),
                _ => self.refuse(
                    "alter-table",
                    "a clause can't be read",
                    "Add, change, rename or drop columns and constraints",
                ),
            }
        }
    }

    fn alteration(&mut self, command: &AlterTableCmd) {
        use AlterTableType as A;
        let AlterTableCmd { subtype: _, name, num, newowner, def, behavior: _, missing_ok: _, recurse: _ } =
            command;
        let subtype = command.subtype();
        let listed = matches!(
            subtype,
            A::AtAddColumn
                | A::AtColumnDefault
                | A::AtDropNotNull
                | A::AtSetNotNull
                | A::AtSetExpression
                | A::AtDropExpression
                | A::AtDropColumn
                | A::AtAddConstraint
                | A::AtValidateConstraint
                | A::AtDropConstraint
                | A::AtAlterColumnType
        );
        if !listed || *num != 0 || newowner.is_some() {
            self.refuse_as(refusals::of_alteration(subtype));
            return;
        }
        if command.behavior() == DropBehavior::DropCascade {
            self.cascade();
        }
        match subtype {
            A::AtDropColumn => self.not_kept(name, "this drops"),
            A::AtAlterColumnType => self.not_kept(name, "this changes the type of"),
            A::AtDropNotNull if name == "id" || name == "tenant_id" => {
                self.not_kept(name, "this allows NULL in")
            }
            A::AtColumnDefault if name != "id" => self.not_kept(name, "this changes the default of"),
            A::AtSetExpression | A::AtDropExpression => self.not_kept(name, "this changes the expression of"),
            A::AtDropConstraint => self.not_the_kernels(name),
            _ => {}
        }
        match def.as_ref().map(|def| &def.node) {
            None => {}
            Some(Some(NodeEnum::ColumnDef(column))) if subtype == A::AtAddColumn => {
                self.column_definition(column)
            }
            Some(Some(NodeEnum::ColumnDef(column))) => {
                // ALTER COLUMN … TYPE: only type, collation and USING are set.
                self.at(column.location);
                self.type_name(column.type_name.as_ref(), DEFINITION);
                if let Some(clause) = &column.coll_clause {
                    self.collate(clause, DEFINITION);
                }
                self.optional(column.raw_default.as_deref(), DEFINITION);
            }
            Some(Some(NodeEnum::Constraint(constraint))) => self.constraint(constraint, None),
            Some(_) => self.optional(def.as_deref(), DEFINITION),
        }
    }

    fn cascade(&mut self) {
        self.refuse(
            "cascade",
            "CASCADE also drops what is not named",
            "Drop what depends on it first, by name",
        );
    }

    fn drop_objects(&mut self, drop: &DropStmt) {
        let DropStmt { objects, remove_type: _, behavior: _, missing_ok: _, concurrent } = drop;
        let kind = drop.remove_type();
        if !matches!(kind, ObjectType::ObjectTable | ObjectType::ObjectIndex | ObjectType::ObjectType) {
            self.refuse_as(refusals::of_object(kind));
            return;
        }
        if *concurrent {
            self.refuse(
                "concurrently",
                "CONCURRENTLY can't run inside the one transaction of a migration",
                "Remove CONCURRENTLY",
            );
        }
        if drop.behavior() == DropBehavior::DropCascade && kind != ObjectType::ObjectTable {
            self.cascade();
        }
        for object in objects {
            self.object_name(object, 1);
        }
    }

    /// The name of an existing object: `own_parts` names after the schema.
    fn object_name(&mut self, object: &Node, own_parts: usize) {
        let names = match &object.node {
            Some(NodeEnum::List(list)) => list.items.as_slice(),
            Some(NodeEnum::TypeName(name)) => {
                self.at(name.location);
                name.names.as_slice()
            }
            Some(NodeEnum::String(_)) => std::slice::from_ref(object),
            _ => &[],
        };
        self.qualified(names, own_parts);
        if let Some(last) = strings(names).last().filter(|_| own_parts == 1) {
            self.not_the_kernels(last);
        }
    }

    fn create_enum(&mut self, create: &CreateEnumStmt) {
        let CreateEnumStmt { type_name, vals } = create;
        self.qualified(type_name, 1);
        self.new_name("enum", strings(type_name).last().copied().unwrap_or_default());
        if strings(vals).is_empty() {
            self.refuse("type", "an enum without values fits no row", "Name at least one value");
        }
    }

    fn alter_enum(&mut self, alter: &AlterEnumStmt) {
        let AlterEnumStmt {
            type_name,
            old_val: _,
            new_val: _,
            new_val_neighbor: _,
            new_val_is_after: _,
            skip_if_new_val_exists: _,
        } = alter;
        self.qualified(type_name, 1);
    }

    fn comment(&mut self, comment: &CommentStmt) {
        let CommentStmt { objtype: _, object, comment: _ } = comment;
        let own_parts = match comment_object(comment.objtype()) {
            Some(parts) => parts,
            None => {
                self.refuse_as(refusals::of_object(comment.objtype()));
                return;
            }
        };
        match object {
            Some(object) => self.object_name(object, own_parts),
            None => self.refuse(
                "statement",
                "COMMENT names nothing",
                "Name a table, column, constraint, index or enum",
            ),
        }
    }

    fn rename(&mut self, rename: &RenameStmt) {
        let RenameStmt {
            rename_type: _,
            relation_type: _,
            relation,
            object,
            subname,
            newname,
            behavior,
            missing_ok: _,
        } = rename;
        if *behavior == DropBehavior::DropCascade as i32 {
            self.cascade();
        }
        let what = match (rename.rename_type(), rename.relation_type()) {
            (ObjectType::ObjectTable, _) => "table",
            (ObjectType::ObjectColumn, ObjectType::ObjectTable) => "column",
            (ObjectType::ObjectTabconstraint, _) => "constraint",
            (ObjectType::ObjectIndex, _) => "index",
            (ObjectType::ObjectType, _) => "enum",
            (other, _) => {
                self.refuse_as(refusals::of_object(other));
                return;
            }
        };
        match (what, object) {
            ("enum", Some(object)) => self.object_name(object, 1),
            ("enum", None) => self.refuse("statement", "RENAME names nothing", "Name an enum of the module"),
            _ => self.relation(relation.as_ref()),
        }
        match what {
            "column" => {
                self.not_kept(subname, "this renames");
                if super::allow::KEPT_COLUMNS.contains(&newname.as_str()) {
                    self.refuse(
                        "kernel-column",
                        format!("{} is a column that the kernel keeps", shown(newname)),
                        "Choose another name",
                    );
                }
            }
            "constraint" => self.not_the_kernels(subname),
            "index" => self.not_the_kernels(relation.as_ref().map_or("", |index| index.relname.as_str())),
            _ => {}
        }
        self.new_name(what, newname);
    }
}

/// How many names after the schema a comment's object has.
fn comment_object(kind: ObjectType) -> Option<usize> {
    match kind {
        ObjectType::ObjectTable | ObjectType::ObjectIndex | ObjectType::ObjectType => Some(1),
        ObjectType::ObjectColumn | ObjectType::ObjectTabconstraint => Some(2),
        _ => None,
    }
}
