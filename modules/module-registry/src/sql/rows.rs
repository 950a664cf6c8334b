//! Statements that read and write rows, in the module's own tables only.

use std::collections::BTreeSet;

use pg_query::NodeEnum;
use pg_query::protobuf::{
    CommonTableExpr, DeleteStmt, InferClause, InsertStmt, JoinExpr, Node, OnConflictClause, RangeFunction,
    RangeSubselect, ResTarget, SelectStmt, UpdateStmt, WithClause,
};

use super::allow::{Inspector, Scope, strings};

const ROWS: Scope = Scope::Rows;

impl Inspector<'_> {
    /// A query in brackets, after WITH or after INSERT: SELECT and VALUES, or a writing one in WITH.
    pub(super) fn query(&mut self, node: &Node) {
        match &node.node {
            Some(NodeEnum::SelectStmt(select)) => self.select(select),
            Some(NodeEnum::InsertStmt(insert)) => self.insert(insert),
            Some(NodeEnum::UpdateStmt(update)) => self.update(update),
            Some(NodeEnum::DeleteStmt(delete)) => self.delete(delete),
            _ => self.refuse(
                "statement",
                "this statement can't stand inside another",
                "Use SELECT, INSERT, UPDATE or DELETE",
            ),
        }
    }

    pub(super) fn select(&mut self, select: &SelectStmt) {
        let SelectStmt {
            distinct_clause,
            into_clause,
            target_list,
            from_clause,
            where_clause,
            group_clause,
            group_distinct: _,
            having_clause,
            window_clause,
            values_lists,
            sort_clause,
            limit_offset,
            limit_count,
            limit_option: _,
            locking_clause,
            with_clause,
            op: _,
            all: _,
            larg,
            rarg,
        } = select;
        if into_clause.is_some() {
            self.refuse(
                "create-table-as",
                "SELECT INTO makes a table without keys",
                "Write CREATE TABLE, then INSERT … SELECT",
            );
        }
        if !locking_clause.is_empty() {
            self.refuse(
                "lock",
                "FOR UPDATE and FOR SHARE lock rows of all tenants",
                "Remove it: the migration runs in one transaction",
            );
        }
        self.with(with_clause.as_ref());
        // A plain DISTINCT is a list with one absent node.
        for node in distinct_clause.iter().filter(|node| node.node.is_some()) {
            self.expression(node, ROWS);
        }
        self.targets(target_list);
        for item in from_clause {
            self.source(item);
        }
        self.optional(where_clause.as_deref(), ROWS);
        self.expressions(group_clause, ROWS);
        self.optional(having_clause.as_deref(), ROWS);
        for window in window_clause {
            match &window.node {
                Some(NodeEnum::WindowDef(window)) => self.window(window, ROWS),
                _ => self.expression(window, ROWS),
            }
        }
        self.expressions(values_lists, ROWS);
        self.sorts(sort_clause, ROWS);
        self.optional(limit_offset.as_deref(), ROWS);
        self.optional(limit_count.as_deref(), ROWS);
        if let Some(left) = larg {
            self.select(left);
        }
        if let Some(right) = rarg {
            self.select(right);
        }
    }

    pub(super) fn insert(&mut self, insert: &InsertStmt) {
        let InsertStmt {
            relation,
            cols,
            select_stmt,
            on_conflict_clause,
            returning_list,
            with_clause,
            r#override: _,
        } = insert;
        self.relation(relation.as_ref());
        self.with(with_clause.as_ref());
        self.targets(cols);
        if let Some(rows) = select_stmt {
            self.query(rows);
        }
        if let Some(clause) = on_conflict_clause {
            let OnConflictClause { action: _, infer, target_list, where_clause, location } = clause.as_ref();
            self.at(*location);
            if let Some(infer) = infer {
                let InferClause { index_elems, where_clause, conname: _, location: _ } = infer.as_ref();
                self.index_elements(index_elems, ROWS);
                self.optional(where_clause.as_deref(), ROWS);
            }
            self.assignments(target_list);
            self.optional(where_clause.as_deref(), ROWS);
        }
        self.targets(returning_list);
    }

    pub(super) fn update(&mut self, update: &UpdateStmt) {
        let UpdateStmt { relation, target_list, where_clause, from_clause, returning_list, with_clause } =
            update;
        self.relation(relation.as_ref());
        self.with(with_clause.as_ref());
        self.assignments(target_list);
        for item in from_clause {
            self.source(item);
        }
        self.optional(where_clause.as_deref(), ROWS);
        self.targets(returning_list);
    }

    pub(super) fn delete(&mut self, delete: &DeleteStmt) {
        let DeleteStmt { relation, using_clause, where_clause, returning_list, with_clause } = delete;
        self.relation(relation.as_ref());
        self.with(with_clause.as_ref());
        for item in using_clause {
            self.source(item);
        }
        self.optional(where_clause.as_deref(), ROWS);
        self.targets(returning_list);
    }

    fn with(&mut self, clause: Option<&WithClause>) {
        let Some(WithClause { ctes, recursive: _, location }) = clause else { return };
        self.at(*location);
        for cte in ctes {
            let Some(NodeEnum::CommonTableExpr(cte)) = &cte.node else {
                self.refuse("statement", "a WITH query can't be read", "Write WITH name AS (SELECT …)");
                continue;
            };
            let CommonTableExpr { ctequery, search_clause, cycle_clause, location, .. } = cte.as_ref();
            self.at(*location);
            if search_clause.is_some() || cycle_clause.is_some() {
                self.refuse(
                    "expression",
                    "SEARCH and CYCLE are not listed for module SQL",
                    "Keep the path in an array column of the WITH query",
                );
            }
            if let Some(query) = ctequery {
                self.query(query);
            }
        }
    }

    /// Result columns, columns to insert and RETURNING.
    fn targets(&mut self, targets: &[Node]) {
        for target in targets {
            let Some(NodeEnum::ResTarget(target)) = &target.node else {
                self.expression(target, ROWS);
                continue;
            };
            let ResTarget { name: _, indirection, val, location } = target.as_ref();
            self.at(*location);
            self.indirection(indirection, ROWS);
            self.optional(val.as_deref(), ROWS);
        }
    }

    /// `SET column = …`: rows don't change their tenant.
    fn assignments(&mut self, targets: &[Node]) {
        for target in targets {
            if let Some(NodeEnum::ResTarget(target)) = &target.node
                && target.name == "tenant_id"
            {
                self.at(target.location);
                self.refuse(
                    "tenant-change",
                    "a migration can't hand rows to another tenant",
                    "Leave tenant_id out of SET",
                );
            }
        }
        self.targets(targets);
    }

    fn source(&mut self, node: &Node) {
        match &node.node {
            Some(NodeEnum::RangeVar(table)) => self.relation(Some(table)),
            Some(NodeEnum::RangeSubselect(subselect)) => {
                let RangeSubselect { lateral: _, subquery, alias: _ } = subselect.as_ref();
                if let Some(query) = subquery {
                    self.query(query);
                }
            }
            Some(NodeEnum::JoinExpr(join)) => {
                let JoinExpr {
                    jointype: _,
                    is_natural: _,
                    larg,
                    rarg,
                    using_clause: _,
                    join_using_alias: _,
                    quals,
                    alias: _,
                    rtindex: _,
                } = join.as_ref();
                for side in [larg, rarg].into_iter().flatten() {
                    self.source(side);
                }
                self.optional(quals.as_deref(), ROWS);
            }
            Some(NodeEnum::RangeFunction(function)) => self.source_function(function),
            Some(other) => self.unlisted(other),
            None => self.refuse("expression", "a part of FROM can't be read", "Name a table of the module"),
        }
    }

    /// `FROM f(…)` and `ROWS FROM (f(…) AS (name type))`.
    fn source_function(&mut self, function: &RangeFunction) {
        let RangeFunction { lateral: _, ordinality: _, is_rowsfrom: _, functions, alias, coldeflist } =
            function;
        let mut definitions: Vec<&Node> = coldeflist.iter().collect();
        for item in functions {
            let Some(NodeEnum::List(pair)) = &item.node else {
                self.expression(item, ROWS);
                continue;
            };
            // The function and, perhaps absent, its column definitions.
            for part in pair.items.iter().filter(|part| part.node.is_some()) {
                match &part.node {
                    Some(NodeEnum::List(columns)) => definitions.extend(&columns.items),
                    _ => self.expression(part, ROWS),
                }
            }
        }
        let mut columns: BTreeSet<String> = definitions
            .iter()
            .filter_map(|node| match &node.node {
                Some(NodeEnum::ColumnDef(column)) => Some(column.colname.clone()),
                _ => None,
            })
            .collect();
        match alias {
            Some(alias) => {
                columns.extend(strings(&alias.colnames).into_iter().map(str::to_owned));
                self.function_source(&alias.aliasname, columns);
            }
            None => self.refuse(
                "function-alias",
                "a function in FROM has no name of its own",
                "Write FROM f(…) AS name (column)",
            ),
        }
        for definition in definitions {
            match &definition.node {
                Some(NodeEnum::ColumnDef(column)) => self.column_definition(column),
                _ => self.refuse(
                    "expression",
                    "a column of a function in FROM can't be read",
                    "Write name and type",
                ),
            }
        }
    }
}
