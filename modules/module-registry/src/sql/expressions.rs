//! Expressions: every node of one must be of a kind listed here.

use std::fmt::Write;

use pg_query::NodeEnum;
use pg_query::protobuf::{
    AExpr, AIndices, AIndirection, CaseExpr, CaseWhen, CollateClause, ColumnRef, FuncCall, Node,
    SqlValueFunctionOp, SubLink, TypeCast, WindowDef, a_const,
};

use super::allow::{Inspector, Scope, shown, strings};
use super::functions;

impl Inspector<'_> {
    pub(super) fn expressions(&mut self, nodes: &[Node], scope: Scope) {
        for node in nodes {
            self.expression(node, scope);
        }
    }

    /// A node that may be absent.
    pub(super) fn optional(&mut self, node: Option<&Node>, scope: Scope) {
        if let Some(node) = node {
            self.expression(node, scope);
        }
    }

    /// One expression with all that hangs on it.
    pub(super) fn expression(&mut self, node: &Node, scope: Scope) {
        let Some(inner) = &node.node else {
            self.refuse(
                "expression",
                "a part of the statement can't be read",
                "Write it with plain operators and functions",
            );
            return;
        };
        match inner {
            NodeEnum::AConst(constant) => self.at(constant.location),
            NodeEnum::List(list) => self.expressions(&list.items, scope),
            NodeEnum::ColumnRef(column) => self.column_reference(column),
            NodeEnum::AExpr(operation) => self.operation(operation, scope),
            NodeEnum::BoolExpr(expr) => {
                self.at(expr.location);
                self.expressions(&expr.args, scope);
            }
            NodeEnum::NullTest(test) => self.optional(test.arg.as_deref(), scope),
            NodeEnum::BooleanTest(test) => self.optional(test.arg.as_deref(), scope),
            NodeEnum::CaseExpr(case) => self.case(case, scope),
            NodeEnum::CaseWhen(when) => {
                let CaseWhen { xpr: _, expr, result, location } = when.as_ref();
                self.at(*location);
                self.optional(expr.as_deref(), scope);
                self.optional(result.as_deref(), scope);
            }
            NodeEnum::CoalesceExpr(expr) => self.expressions(&expr.args, scope),
            NodeEnum::MinMaxExpr(expr) => self.expressions(&expr.args, scope),
            NodeEnum::AArrayExpr(array) => self.expressions(&array.elements, scope),
            NodeEnum::RowExpr(row) => self.expressions(&row.args, scope),
            NodeEnum::SqlvalueFunction(value) => {
                self.at(value.location);
                self.value_function(value.op());
            }
            NodeEnum::FuncCall(call) => self.call(call, scope),
            NodeEnum::NamedArgExpr(argument) => self.optional(argument.arg.as_deref(), scope),
            NodeEnum::TypeCast(cast) => {
                let TypeCast { arg, type_name, location } = cast.as_ref();
                self.at(*location);
                self.type_name(type_name.as_ref(), scope);
                self.optional(arg.as_deref(), scope);
            }
            NodeEnum::CollateClause(clause) => self.collate(clause, scope),
            NodeEnum::AIndirection(indirection) => {
                let AIndirection { arg, indirection } = indirection.as_ref();
                self.indirection(indirection, scope);
                self.optional(arg.as_deref(), scope);
            }
            NodeEnum::SubLink(link) => self.sub_link(link, scope),
            NodeEnum::SetToDefault(_) if scope == Scope::Rows => {}
            NodeEnum::MultiAssignRef(assign) if scope == Scope::Rows => {
                self.optional(assign.source.as_deref(), scope)
            }
            other => self.unlisted(other),
        }
    }

    fn column_reference(&mut self, column: &ColumnRef) {
        let ColumnRef { fields, location } = column;
        self.at(*location);
        let mut names = Vec::with_capacity(fields.len());
        for field in fields {
            match &field.node {
                Some(NodeEnum::String(name)) => names.push(name.sval.as_str()),
                Some(NodeEnum::AStar(_)) => names.push("*"),
                _ => self.refuse("expression", "a column name can't be read", "Write [table.]column"),
            }
        }
        for name in &names {
            self.not_a_system_column(name);
        }
        match names.as_slice() {
            [] | [_] => {}
            // `row.name` also calls a function of one argument when the row has no such column.
            [_, column] if column.starts_with("pg_") => {
                self.refuse(
                    "function",
                    format!("{} calls a function of the system catalogue", shown(column)),
                    "Name a column of the table",
                );
            }
            [source, column] => self.qualified_column(source, column),
            [schema, table, _] => self.qualifier("", schema, table),
            [catalog, schema, table, ..] => self.qualifier(catalog, schema, table),
        }
    }

    fn operation(&mut self, operation: &AExpr, scope: Scope) {
        let AExpr { kind: _, name, lexpr, rexpr, location } = operation;
        self.at(*location);
        self.operator(name);
        self.optional(lexpr.as_deref(), scope);
        self.optional(rexpr.as_deref(), scope);
    }

    /// Operators without a schema are Postgres' own, for a module can't make any.
    pub(super) fn operator(&mut self, name: &[Node]) {
        match strings(name).as_slice() {
            [_] | ["pg_catalog", _] => {}
            [.., schema, operator] => {
                let message =
                    format!("operator {}.{} is not one of Postgres' own", shown(schema), shown(operator));
                self.refuse("other-schema", message, "Use the operators of pg_catalog");
            }
            [] => self.refuse("expression", "an operator can't be read", "Use the operators of pg_catalog"),
        }
    }

    fn case(&mut self, case: &CaseExpr, scope: Scope) {
        let CaseExpr { xpr: _, casetype: _, casecollid: _, arg, args, defresult, location } = case;
        self.at(*location);
        self.optional(arg.as_deref(), scope);
        self.expressions(args, scope);
        self.optional(defresult.as_deref(), scope);
    }

    fn value_function(&mut self, op: SqlValueFunctionOp) {
        use SqlValueFunctionOp as Op;
        match op {
            Op::SvfopCurrentDate
            | Op::SvfopCurrentTime
            | Op::SvfopCurrentTimeN
            | Op::SvfopCurrentTimestamp
            | Op::SvfopCurrentTimestampN
            | Op::SvfopLocaltime
            | Op::SvfopLocaltimeN
            | Op::SvfopLocaltimestamp
            | Op::SvfopLocaltimestampN => {}
            Op::SvfopCurrentRole
            | Op::SvfopCurrentUser
            | Op::SvfopUser
            | Op::SvfopSessionUser
            | Op::SvfopCurrentCatalog
            | Op::SvfopCurrentSchema
            | Op::SqlvalueFunctionOpUndefined => self.refuse(
                "session",
                "the names of database users, databases and schemas are the kernel's own business",
                "Store the acting user's id as a value that the API call brings",
            ),
        }
    }

    pub(super) fn call(&mut self, call: &FuncCall, scope: Scope) {
        let FuncCall {
            funcname,
            args,
            agg_order,
            agg_filter,
            over,
            agg_within_group: _,
            agg_star: _,
            agg_distinct: _,
            func_variadic: _,
            funcformat: _,
            location,
        } = call;
        self.at(*location);
        match strings(funcname).as_slice() {
            [name] | ["pg_catalog", name] if functions::listed(name) => {
                if functions::pads(name) && !args.get(1).is_some_and(short_length) {
                    let message = format!(
                        "{name} may be asked for any length, which would fill the memory of the server"
                    );
                    self.refuse(
                        "function",
                        message,
                        format!("Write the length as a number up to {}", functions::MAX_PAD),
                    );
                }
            }
            [name] | ["pg_catalog", name] => {
                self.refuse(
                    "function",
                    format!("the function {} is not listed for module SQL", shown(name)),
                    functions::advice(name),
                );
            }
            [schema, name] if *schema == self.schema.name => {
                self.refuse(
                    "function",
                    format!("modules bring no functions, so {} can't be called", shown(name)),
                    functions::advice(name),
                );
            }
            [.., schema, name] => {
                let message =
                    format!("the function {}.{} belongs to another schema", shown(schema), shown(name));
                self.refuse("other-schema", message, functions::advice(name));
            }
            [] => self.refuse("function", "a function name can't be read", functions::advice("")),
        }
        self.expressions(args, scope);
        self.sorts(agg_order, scope);
        self.optional(agg_filter.as_deref(), scope);
        if let Some(window) = over {
            self.window(window, scope);
        }
    }

    pub(super) fn window(&mut self, window: &WindowDef, scope: Scope) {
        let WindowDef {
            name: _,
            refname: _,
            partition_clause,
            order_clause,
            frame_options: _,
            start_offset,
            end_offset,
            location,
        } = window;
        self.at(*location);
        self.expressions(partition_clause, scope);
        self.sorts(order_clause, scope);
        self.optional(start_offset.as_deref(), scope);
        self.optional(end_offset.as_deref(), scope);
    }

    /// Items of ORDER BY.
    pub(super) fn sorts(&mut self, nodes: &[Node], scope: Scope) {
        for node in nodes {
            match &node.node {
                Some(NodeEnum::SortBy(sort)) => {
                    if !sort.use_op.is_empty() {
                        self.operator(&sort.use_op);
                    }
                    self.optional(sort.node.as_deref(), scope);
                }
                _ => self.expression(node, scope),
            }
        }
    }

    pub(super) fn collate(&mut self, clause: &CollateClause, scope: Scope) {
        let CollateClause { arg, collname, location } = clause;
        self.at(*location);
        self.collation(collname);
        self.optional(arg.as_deref(), scope);
    }

    pub(super) fn collation(&mut self, name: &[Node]) {
        match strings(name).as_slice() {
            [] | [_] | ["pg_catalog", _] => {}
            [.., schema, name] => {
                let message =
                    format!("the collation {}.{} is not one of Postgres' own", shown(schema), shown(name));
                self.refuse(
                    "other-schema",
                    message,
                    "Use a collation of pg_catalog, such as \"C\" or \"en-x-icu\"",
                );
            }
        }
    }

    /// What follows an expression in brackets or after a dot. A dot is refused: `('x').name` calls the
    /// function `name` when the value has no such field.
    pub(super) fn indirection(&mut self, nodes: &[Node], scope: Scope) {
        for node in nodes {
            match &node.node {
                Some(NodeEnum::AIndices(indices)) => {
                    let AIndices { is_slice: _, lidx, uidx } = indices.as_ref();
                    self.optional(lidx.as_deref(), scope);
                    self.optional(uidx.as_deref(), scope);
                }
                Some(NodeEnum::String(name)) => {
                    let message =
                        format!("(…).{} takes a field or calls a function of that name", shown(&name.sval));
                    self.refuse("field-selection", message, "Name a column, or use -> and ->> on json");
                }
                _ => self.refuse("field-selection", "(…).* opens a composite value", "Name the columns"),
            }
        }
    }

    fn sub_link(&mut self, link: &SubLink, scope: Scope) {
        let SubLink { xpr: _, sub_link_type: _, sub_link_id: _, testexpr, oper_name, subselect, location } =
            link;
        self.at(*location);
        if scope == Scope::Definition {
            self.refuse(
                "subquery",
                "a definition can't read other rows",
                "Use a foreign key, or check it in the module's back-end",
            );
        }
        if !oper_name.is_empty() {
            self.operator(oper_name);
        }
        self.optional(testexpr.as_deref(), scope);
        if let Some(query) = subselect {
            self.query(query);
        }
    }

    /// A kind of node that no rule lists.
    pub(super) fn unlisted(&mut self, node: &NodeEnum) {
        let (rule, message, fix): (_, String, _) = match node {
            NodeEnum::ParamRef(_) => {
                ("parameter", "a migration has no parameters".into(), "Write the value out")
            }
            NodeEnum::XmlExpr(_) | NodeEnum::XmlSerialize(_) => {
                ("xml", "XML is not allowed in module SQL".into(), "Use jsonb")
            }
            NodeEnum::RangeTableFunc(_) | NodeEnum::JsonTable(_) | NodeEnum::RangeTableSample(_) => (
                "table-function",
                "XMLTABLE, JSON_TABLE and TABLESAMPLE are not allowed".into(),
                "Use jsonb_array_elements or a plain query",
            ),
            other => (
                "expression",
                format!("{} is not listed for module SQL", kind(other)),
                "Write it with plain operators and functions, such as jsonb_build_object instead of JSON_OBJECT",
            ),
        };
        self.refuse(rule, message, fix);
    }
}

/// Whether a node is a whole number that may be the length of a padded text.
fn short_length(node: &Node) -> bool {
    let Some(NodeEnum::AConst(constant)) = &node.node else { return false };
    matches!(&constant.val, Some(a_const::Val::Ival(length)) if length.ival <= functions::MAX_PAD)
}

/// The name of a node's kind: the beginning of its debug form, which may be long.
pub(super) fn kind(node: &NodeEnum) -> String {
    struct Head(String);
    impl Write for Head {
        fn write_str(&mut self, text: &str) -> std::fmt::Result {
            for character in text.chars() {
                if !character.is_alphanumeric() || self.0.len() > 40 {
                    return Err(std::fmt::Error);
                }
                self.0.push(character);
            }
            Ok(())
        }
    }
    let mut head = Head(String::new());
    // Ends with an error on purpose, at the first bracket.
    let _ = write!(head, "{node:?}");
    head.0
}
