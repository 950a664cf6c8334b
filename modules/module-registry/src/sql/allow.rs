//! The inspector that walks a statement's tree, and the rules about names that all statements share.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use pg_query::NodeEnum;
use pg_query::protobuf::{Node, RangeVar};

use super::goose::{Statement, newlines};
use super::model::Schema;
use super::{Findings, Violation, regular, scan, shorten, types};

/// Where something in the schema was written: file, line and the statement's first words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Origin {
    pub(super) file: Arc<str>,
    pub(super) line: u32,
    pub(super) statement: Arc<str>,
}

impl Origin {
    pub(super) fn new(file: &str, statement: &Statement) -> Self {
        Self { file: file.into(), line: statement.line, statement: shorten(&statement.text).into() }
    }

    /// The same statement at the line of a byte offset in its text; an unknown offset changes nothing.
    pub(super) fn at(&self, text: &str, location: i32) -> Self {
        let before = usize::try_from(location).ok().and_then(|offset| text.get(..offset)).unwrap_or_default();
        Self { line: self.line + newlines(before), ..self.clone() }
    }

    pub(super) fn violation(&self, rule: &'static str, message: String, fix: impl Into<String>) -> Violation {
        Violation {
            file: self.file.to_string(),
            line: self.line,
            rule,
            statement: self.statement.to_string(),
            message,
            fix: fix.into(),
        }
    }
}

/// Parses one statement; what isn't exactly one is reported.
pub(super) fn parse(origin: &Origin, statement: &Statement, found: &mut Findings) -> Option<NodeEnum> {
    let parsed = match pg_query::parse(&statement.text) {
        Ok(parsed) => parsed,
        Err(error) => {
            found.add(unparsed(origin, statement, &error));
            return None;
        }
    };
    // A warning means that the crate left a node out of the tree, so the walk would not see it.
    let mut statements = parsed.protobuf.stmts;
    if parsed.warnings.is_empty()
        && statements.len() == 1
        && let Some(node) = statements.pop().and_then(|raw| raw.stmt).and_then(|node| node.node)
    {
        return Some(node);
    }
    let message = "the statement could not be read as exactly one statement".to_owned();
    found.add(origin.violation("syntax", message, "Write one plain statement, ended by a semicolon"));
    None
}

fn unparsed(origin: &Origin, statement: &Statement, error: &pg_query::Error) -> Violation {
    if matches!(error, pg_query::Error::Decode(_)) {
        let message = "the statement nests too deep to be read safely".to_owned();
        return origin.violation(
            "too-deep",
            message,
            "Split long chains of operators or unions into shorter ones",
        );
    }
    let words: Vec<String> = statement
        .text
        .split_whitespace()
        .take(8)
        .map(|word| word.chars().take(40).collect::<String>().to_lowercase())
        .collect();
    let creates = words.first().is_some_and(|word| word == "create");
    if creates && words.iter().any(|word| word == "function" || word == "procedure") {
        return origin.violation(
            "function",
            "modules bring no functions".into(),
            "Put the logic into the module's back-end",
        );
    }
    let message = format!("Postgres can't read this: {}", shorten(&scan::reason(error)));
    origin.violation("syntax", message, "Correct the statement; it is read by the parser of Postgres 17")
}

/// Where an expression stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scope {
    /// Defaults, checks, generated columns, indexes: evaluated later, on the connection of any tenant.
    Definition,
    /// Statements that read and write rows during the migration.
    Rows,
}

/// Walks one statement. Every node must be of a kind that some method here lists.
pub(super) struct Inspector<'a> {
    origin: &'a Origin,
    text: &'a str,
    pub(super) schema: &'a Schema,
    found: &'a mut Findings,
    /// Byte offset of the last node that had one.
    location: i32,
    /// Aliases of functions in FROM with the columns that each of them names.
    function_sources: BTreeMap<String, BTreeSet<String>>,
    /// All `source.column` of the statement, with their byte offsets.
    qualified_columns: Vec<(String, String, i32)>,
}

/// Reports everything in a statement that is not listed.
pub(super) fn inspect(
    origin: &Origin,
    statement: &Statement,
    node: &NodeEnum,
    schema: &Schema,
    found: &mut Findings,
) {
    let mut inspector = Inspector {
        origin,
        text: &statement.text,
        schema,
        found,
        location: 0,
        function_sources: BTreeMap::new(),
        qualified_columns: Vec::new(),
    };
    inspector.statement(node);
    inspector.columns_of_function_sources();
}

/// Columns that every Postgres table has; they tell about storage and other transactions.
const SYSTEM_COLUMNS: &[&str] = &["tableoid", "ctid", "xmin", "xmax", "cmin", "cmax", "oid"];

/// Columns that carry isolation or are kept by the kernel: their shape doesn't change after creation.
pub(super) const KEPT_COLUMNS: &[&str] =
    &["id", "tenant_id", "created_at", "updated_at", "deleted_at", "version"];

impl Inspector<'_> {
    /// Remembers where the walk is, for the line of a violation.
    pub(super) fn at(&mut self, location: i32) {
        if location > 0 {
            self.location = location;
        }
    }

    /// Remembers a function in FROM under its alias, with the columns that the alias names.
    pub(super) fn function_source(&mut self, alias: &str, columns: BTreeSet<String>) {
        match self.function_sources.get_mut(alias) {
            Some(known) => known.retain(|column| columns.contains(column)),
            None => drop(self.function_sources.insert(alias.to_owned(), columns)),
        }
    }

    /// Remembers `source.column`; sources may stand further on in the statement.
    pub(super) fn qualified_column(&mut self, source: &str, column: &str) {
        self.qualified_columns.push((source.to_owned(), column.to_owned(), self.location));
    }

    /// A function in FROM gives bare values, and `t.name` on a bare value calls the function `name` with
    /// it: `select t.current_setting from unnest(array['app.tenant']) t`. Only columns that the alias
    /// names, and names that no function of Postgres has, are surely columns.
    fn columns_of_function_sources(&mut self) {
        const NO_FUNCTIONS: &[&str] = &["*", "key", "value", "ordinality"];
        for (source, column, location) in std::mem::take(&mut self.qualified_columns) {
            let Some(columns) = self.function_sources.get(&source) else { continue };
            if !columns.contains(&column) && !NO_FUNCTIONS.contains(&column.as_str()) {
                self.location = location;
                let message = format!("{source}.{column} may call the function {}", shown(&column));
                self.refuse(
                    "field-selection",
                    message,
                    format!("Name the columns behind the alias: AS {} (…)", shown(&source)),
                );
            }
        }
    }

    pub(super) fn refuse(&mut self, rule: &'static str, message: impl Into<String>, fix: impl Into<String>) {
        let violation = self.origin.at(self.text, self.location).violation(rule, message.into(), fix);
        self.found.add(violation);
    }

    /// A table named in a statement: only the module's own schema, only permanent.
    pub(super) fn relation(&mut self, relation: Option<&RangeVar>) {
        let Some(RangeVar { catalogname, schemaname, relname, inh: _, relpersistence, alias: _, location }) =
            relation
        else {
            self.refuse("statement", "a table name is missing", "Name a table of the module");
            return;
        };
        self.at(*location);
        self.qualifier(catalogname, schemaname, relname);
        self.not_the_kernels(relname);
        match relpersistence.as_str() {
            "" | "p" => {}
            "t" => self.refuse(
                "temporary",
                format!("{} is a temporary table", shown(relname)),
                "Use a WITH query in the statement that needs it",
            ),
            _ => self.refuse(
                "unlogged",
                format!("{} is an unlogged table", shown(relname)),
                "Remove UNLOGGED: the rows would be lost after a crash",
            ),
        }
    }

    /// The schema before a name, and the names that reach the catalogue without one.
    pub(super) fn qualifier(&mut self, catalog: &str, schema: &str, name: &str) {
        let own = self.schema.name.clone();
        if !catalog.is_empty() {
            self.refuse(
                "other-schema",
                format!("{}.{}.{} names a database", shown(catalog), shown(schema), shown(name)),
                format!("Write {name} or {own}.{name}"),
            );
        } else if schema.is_empty() {
            if name.starts_with("pg_") {
                self.refuse(
                    "catalog",
                    format!("{} is found in the system catalogue", shown(name)),
                    "Use only tables and types of the module",
                );
            }
        } else if schema == "information_schema" || schema.starts_with("pg_") {
            self.refuse(
                "catalog",
                format!("{}.{} belongs to the system catalogue", shown(schema), shown(name)),
                "Use only tables and types of the module",
            );
        } else if schema != own {
            self.refuse(
                "other-schema",
                format!("{}.{} is outside of the module's schema {own}", shown(schema), shown(name)),
                format!("Use only names of {own}; read other services through their API"),
            );
        }
    }

    /// A list of names such as `[schema,] table` or `[schema,] table, column`; `own_parts` are those after the schema.
    pub(super) fn qualified(&mut self, names: &[Node], own_parts: usize) {
        let parts = strings(names);
        if parts.len() != names.len() || parts.len() < own_parts || parts.len() > own_parts + 2 {
            self.refuse("statement", "this name can't be read", "Write [schema.]name");
            return;
        }
        let (before, rest) = parts.split_at(parts.len() - own_parts);
        let (catalog, schema) = match before {
            [catalog, schema] => (*catalog, *schema),
            [schema] => ("", *schema),
            _ => ("", ""),
        };
        self.qualifier(catalog, schema, rest.first().copied().unwrap_or_default());
    }

    /// The name of a new table, enum, index, constraint or column.
    pub(super) fn new_name(&mut self, what: &'static str, name: &str) {
        let most = match what {
            "table" | "enum" => 48,
            _ => 63,
        };
        if name.is_empty() || name.len() > most || !regular(name) {
            self.refuse(
                "name",
                format!("{} is no name for a {what}", shown(name)),
                format!(
                    "Use lower-case letters, digits and underscores, beginning with a letter, at most {most}"
                ),
            );
        } else if name.starts_with("pk_") && what != "column" {
            self.refuse(
                "reserved-name",
                format!("names that begin with pk_ belong to the kernel: {}", shown(name)),
                format!("Choose another {what} name"),
            );
        } else if (what == "table" || what == "enum")
            && (name.starts_with("pg_")
                || name.starts_with("reg") && types::is_reg_type(name)
                || types::is_builtin(name))
        {
            self.refuse(
                "reserved-name",
                format!(
                    "{} is the name of a type of Postgres, which a {what} of this name would hide",
                    shown(name)
                ),
                format!("Choose another {what} name"),
            );
        }
    }

    /// A name that a statement drops or renames: not one of the kernel's own.
    pub(super) fn not_the_kernels(&mut self, name: &str) {
        if name.starts_with("pk_") {
            self.refuse(
                "reserved-name",
                format!("{} is kept by the kernel", shown(name)),
                "Leave it; it goes with its table",
            );
        }
    }

    /// A column whose shape the kernel relies on.
    pub(super) fn not_kept(&mut self, column: &str, act: &str) {
        if KEPT_COLUMNS.contains(&column) {
            self.refuse(
                "kernel-column",
                format!("{act} {column}, which isolation and versions rely on"),
                "Leave the column as it is",
            );
        }
    }

    pub(super) fn not_a_system_column(&mut self, column: &str) {
        if SYSTEM_COLUMNS.contains(&column) {
            self.refuse("system-column", format!("{column} is a system column"), "Tell rows apart by id");
        }
    }
}

/// The strings of a list of String nodes; others are left out.
pub(super) fn strings(nodes: &[Node]) -> Vec<&str> {
    nodes
        .iter()
        .filter_map(|node| match &node.node {
            Some(NodeEnum::String(text)) => Some(text.sval.as_str()),
            _ => None,
        })
        .collect()
}

/// A name in quotes, cut to what Postgres would keep.
pub(super) fn shown(name: &str) -> String {
    let mut quoted: String = name.chars().take(64).collect();
    quoted.insert(0, '"');
    quoted.push('"');
    quoted
}
