//! Columns, constraints and indexes: what hangs on a table.

use pg_query::NodeEnum;
use pg_query::protobuf::{ColumnDef, ConstrType, Constraint, DefElem, IndexElem, IndexStmt, Node};

use super::allow::{Inspector, Scope, shown, strings};
use super::types::{SEQUENCE_FIX, SEQUENCE_MESSAGE};

const DEFINITION: Scope = Scope::Definition;

/// Methods of Postgres' own.
const INDEX_METHODS: &[&str] = &["btree", "gin", "gist", "hash", "brin"];

impl Inspector<'_> {
    pub(super) fn column_definition(&mut self, column: &ColumnDef) {
        let ColumnDef {
            colname,
            type_name,
            compression,
            inhcount: _,
            is_local: _,
            is_not_null: _,
            is_from_type: _,
            storage,
            storage_name,
            raw_default,
            cooked_default,
            identity,
            identity_sequence,
            generated: _,
            coll_clause,
            coll_oid: _,
            constraints,
            fdwoptions,
            location,
        } = column;
        self.at(*location);
        self.new_name("column", colname);
        if type_name.is_some() {
            self.type_name(type_name.as_ref(), DEFINITION);
        }
        if !compression.is_empty()
            || !storage.is_empty()
            || !storage_name.is_empty()
            || !fdwoptions.is_empty()
        {
            self.refuse(
                "storage",
                format!("column {} sets storage, compression or foreign options", shown(colname)),
                "Remove the option",
            );
        }
        if !identity.is_empty() || identity_sequence.is_some() {
            self.refuse("sequence", SEQUENCE_MESSAGE, SEQUENCE_FIX);
        }
        if cooked_default.is_some() {
            self.refuse(
                "expression",
                "a default can't be read",
                "Write it with plain operators and functions",
            );
        }
        self.optional(raw_default.as_deref(), DEFINITION);
        if let Some(clause) = coll_clause {
            self.collate(clause, DEFINITION);
        }
        for constraint in constraints {
            match &constraint.node {
                Some(NodeEnum::Constraint(constraint)) => self.constraint(constraint, Some(colname)),
                _ => self.refuse(
                    "alter-table",
                    "a constraint can't be read",
                    "Use NOT NULL, DEFAULT, CHECK, UNIQUE, PRIMARY KEY or REFERENCES",
                ),
            }
        }
    }

    /// A constraint of a table, or of the column that is named.
    pub(super) fn constraint(&mut self, constraint: &Constraint, column: Option<&str>) {
        let Constraint {
            contype: _,
            conname,
            deferrable,
            initdeferred,
            skip_validation: _,
            initially_valid: _,
            is_no_inherit: _,
            raw_expr,
            cooked_expr,
            generated_when: _,
            inhcount: _,
            nulls_not_distinct: _,
            keys,
            including: _,
            exclusions,
            options,
            indexname,
            indexspace,
            reset_default_tblspc: _,
            access_method,
            where_clause,
            pktable,
            fk_attrs: _,
            pk_attrs: _,
            fk_matchtype: _,
            fk_upd_action,
            fk_del_action,
            fk_del_set_cols,
            old_conpfeqop: _,
            old_pktable_oid: _,
            location,
        } = constraint;
        self.at(*location);
        if !conname.is_empty() {
            self.new_name("constraint", conname);
        }
        if *deferrable || *initdeferred {
            self.deferred();
        }
        if column == Some("tenant_id")
            && matches!(constraint.contype(), ConstrType::ConstrDefault | ConstrType::ConstrGenerated)
        {
            self.refuse(
                "tenant-column",
                "tenant_id has a default or is generated, which could name another tenant",
                "Write `tenant_id uuid not null`; the kernel fills it",
            );
        }
        for key in strings(keys) {
            self.not_a_system_column(key);
        }
        match constraint.contype() {
            ConstrType::ConstrNull
            | ConstrType::ConstrNotnull
            | ConstrType::ConstrDefault
            | ConstrType::ConstrGenerated
            | ConstrType::ConstrCheck
            | ConstrType::ConstrPrimary
            | ConstrType::ConstrUnique
            | ConstrType::ConstrAttrNotDeferrable
            | ConstrType::ConstrAttrImmediate => {}
            ConstrType::ConstrForeign => {
                self.relation(pktable.as_ref());
                self.foreign_key_actions(fk_upd_action, fk_del_action, &strings(fk_del_set_cols));
            }
            ConstrType::ConstrIdentity => self.refuse("sequence", SEQUENCE_MESSAGE, SEQUENCE_FIX),
            ConstrType::ConstrExclusion => {
                self.refuse(
                    "exclude",
                    "EXCLUDE compares the rows of all tenants",
                    "Check overlaps in the module's back-end",
                );
            }
            ConstrType::ConstrAttrDeferrable | ConstrType::ConstrAttrDeferred => self.deferred(),
            ConstrType::Undefined => self.refuse(
                "alter-table",
                "a constraint can't be read",
                "Use CHECK, UNIQUE, PRIMARY KEY or FOREIGN KEY",
            ),
        }
        if !cooked_expr.is_empty()
            || !exclusions.is_empty() && constraint.contype() != ConstrType::ConstrExclusion
        {
            self.refuse(
                "expression",
                "a constraint can't be read",
                "Write it with plain operators and functions",
            );
        }
        if !indexname.is_empty() {
            self.refuse(
                "using-index",
                "USING INDEX makes a constraint of an index",
                "Write UNIQUE (tenant_id, …) instead",
            );
        }
        if !indexspace.is_empty() {
            self.refuse("tablespace", "a tablespace belongs to the server, not to a module", "Remove it");
        }
        if !access_method.is_empty() && constraint.contype() != ConstrType::ConstrExclusion {
            self.refuse(
                "index-method",
                format!("a constraint with method {}", shown(access_method)),
                "Remove USING",
            );
        }
        self.storage_options(options);
        self.optional(raw_expr.as_deref(), DEFINITION);
        self.optional(where_clause.as_deref(), DEFINITION);
    }

    fn deferred(&mut self) {
        self.refuse(
            "deferrable",
            "a deferred constraint fails only at commit, when the caller has been answered",
            "Remove DEFERRABLE and INITIALLY DEFERRED",
        );
    }

    /// Actions run past row-level security, so they must stay within the tenant.
    fn foreign_key_actions(&mut self, update: &str, delete: &str, set_columns: &[&str]) {
        if !matches!(update, "" | "a" | "r") {
            self.refuse(
                "foreign-key-action",
                "ON UPDATE would rewrite keys, and id and tenant_id never change",
                "Remove ON UPDATE",
            );
        }
        let clears = matches!(delete, "n" | "d");
        if clears && (set_columns.is_empty() || set_columns.contains(&"tenant_id")) {
            let word = if delete == "n" { "NULL" } else { "DEFAULT" };
            self.refuse(
                "foreign-key-action",
                format!("ON DELETE SET {word} would also clear tenant_id"),
                format!("Name the column: ON DELETE SET {word} (company_id)"),
            );
        } else if !clears && !matches!(delete, "" | "a" | "r" | "c") {
            self.refuse(
                "foreign-key-action",
                "this ON DELETE action is not known",
                "Use RESTRICT, CASCADE or SET NULL (column)",
            );
        }
    }

    /// `WITH (…)` of tables, indexes and keys: only the fill factor.
    pub(super) fn storage_options(&mut self, options: &[Node]) {
        for option in options {
            match &option.node {
                Some(NodeEnum::DefElem(option)) => {
                    let DefElem { defnamespace, defname, arg, defaction: _, location, arg_location: _ } =
                        option.as_ref();
                    self.at(*location);
                    let number =
                        arg.as_ref().is_some_and(|arg| matches!(arg.node, Some(NodeEnum::Integer(_))));
                    if !defnamespace.is_empty() || defname != "fillfactor" || !number {
                        self.refuse(
                            "storage",
                            format!("the option {} is not a module's to set", shown(defname)),
                            "Remove it; only fillfactor is allowed",
                        );
                    }
                }
                _ => {
                    self.refuse("storage", "an option can't be read", "Remove it; only fillfactor is allowed")
                }
            }
        }
    }

    pub(super) fn index(&mut self, index: &IndexStmt) {
        let IndexStmt {
            idxname,
            relation,
            access_method,
            table_space,
            index_params,
            index_including_params,
            options,
            where_clause,
            exclude_op_names,
            idxcomment: _,
            index_oid: _,
            old_number: _,
            old_create_subid: _,
            old_first_relfilelocator_subid: _,
            unique: _,
            nulls_not_distinct: _,
            primary: _,
            isconstraint: _,
            deferrable: _,
            initdeferred: _,
            transformed: _,
            concurrent,
            if_not_exists: _,
            reset_default_tblspc: _,
        } = index;
        self.relation(relation.as_ref());
        if !idxname.is_empty() {
            self.new_name("index", idxname);
        }
        if *concurrent {
            self.refuse(
                "concurrently",
                "CONCURRENTLY can't run inside the one transaction of a migration",
                "Remove CONCURRENTLY",
            );
        }
        if !table_space.is_empty() {
            self.refuse("tablespace", "a tablespace belongs to the server, not to a module", "Remove it");
        }
        if !INDEX_METHODS.contains(&access_method.as_str()) {
            self.refuse(
                "index-method",
                format!("the index method {} is not listed", shown(access_method)),
                "Use btree, gin, gist, hash or brin",
            );
        }
        if !exclude_op_names.is_empty() {
            self.refuse(
                "exclude",
                "EXCLUDE compares the rows of all tenants",
                "Check overlaps in the module's back-end",
            );
        }
        self.storage_options(options);
        self.index_elements(index_params, DEFINITION);
        self.index_elements(index_including_params, DEFINITION);
        self.optional(where_clause.as_deref(), DEFINITION);
    }

    pub(super) fn index_elements(&mut self, elements: &[Node], scope: Scope) {
        for element in elements {
            let Some(NodeEnum::IndexElem(element)) = &element.node else {
                self.refuse(
                    "expression",
                    "a column of an index can't be read",
                    "Name a column or write an expression",
                );
                continue;
            };
            let IndexElem {
                name,
                expr,
                indexcolname: _,
                collation,
                opclass,
                opclassopts,
                ordering: _,
                nulls_ordering: _,
            } = element.as_ref();
            self.not_a_system_column(name);
            self.optional(expr.as_deref(), scope);
            self.collation(collation);
            if !opclassopts.is_empty() {
                self.refuse("storage", "an operator class has options", "Remove them");
            }
            match strings(opclass).as_slice() {
                [] => {}
                [class] | ["pg_catalog", class] if class.ends_with("_ops") && !class.contains("trgm") => {}
                [.., class] => self.refuse(
                    "operator-class",
                    format!("the operator class {} is not one of Postgres' own", shown(class)),
                    "Use text_pattern_ops, jsonb_path_ops or none",
                ),
            }
        }
    }
}
