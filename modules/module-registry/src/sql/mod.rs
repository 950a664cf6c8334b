//! The allow-list for the SQL that modules bring.
//!
//! Module SQL is hostile until shown otherwise: a column default may call `set_config` and bind a
//! connection to another tenant, a table owner may turn row-level security off, a foreign key looks
//! through it. So each migration is read by Postgres' own parser, every node of its tree must be of a
//! listed kind, and the tables that result from replaying all migrations must carry the tenant in every
//! key. What is not listed is refused, with file and line, a stable rule and what to write instead.
//!
//! Nothing here touches a file or a database. What [`check`] accepts is exactly the text of the returned
//! [`Statement`]s: run those, one by one, with `search_path = module_{slug}, pg_catalog` and
//! `standard_conforming_strings = on`, and nothing else.

mod allow;
mod constraints;
mod expressions;
mod functions;
mod goose;
mod model;
mod refusals;
mod replay;
mod replay_names;
mod rows;
mod scan;
mod statements;
mod tables;
#[cfg(test)]
mod tests;
mod types;

use std::fmt;

pub use goose::{Migration, Statement};
pub use model::{ColumnModel, ForeignKeyModel, KeyModel, TableModel};

use allow::Origin;
use model::Schema;

/// Most migration files of one module.
pub const MAX_FILES: usize = 1_000;
/// Most bytes of one migration file.
pub const MAX_FILE_BYTES: usize = 1 << 20;
/// Most bytes of all migration files of a module together.
pub const MAX_TOTAL_BYTES: usize = 16 << 20;
/// Most violations that one check reports.
pub const MAX_VIOLATIONS: usize = 50;
/// Most tables a module may have.
pub const MAX_TABLES: usize = 200;

/// Stack of the thread that parses: Postgres' parser writes its tree recursively, as deep as
/// [`scan::MAX_DEPTH`] lets a statement be. Only touched pages cost memory.
const PARSER_STACK_BYTES: usize = 64 << 20;

/// One refusal: where, which rule, what happened and what to write instead.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Violation {
    /// File name as it was handed in; empty when the whole module is meant.
    pub file: String,
    /// Line in that file, from 1; 0 when the whole file is meant.
    pub line: u32,
    /// Stable tag of the rule, such as `other-schema` or `function`.
    pub rule: &'static str,
    /// The statement's first 120 characters, on one line.
    pub statement: String,
    /// What was found.
    pub message: String,
    /// What to write instead.
    pub fix: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {} [{}]. {}", self.file, self.line, self.message, self.rule, self.fix)
    }
}

/// Migrations that passed, and the tables they end in.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Checked {
    /// The migrations by ascending version.
    pub migrations: Vec<Migration>,
    /// The tables after all Up sections, by name.
    pub tables: Vec<TableModel>,
}

/// Checks all migrations of the module `slug`, given as (file name, content) in any order.
///
/// The work is bounded by [`MAX_FILES`] and [`MAX_TOTAL_BYTES`] but takes processor time; call it where
/// blocking is allowed.
///
/// # Errors
/// At most [`MAX_VIOLATIONS`] violations, in the order of files and lines.
pub fn check(slug: &str, migrations: &[(String, String)]) -> Result<Checked, Vec<Violation>> {
    std::thread::scope(|scope| {
        let parser = std::thread::Builder::new()
            .name("module-sql".into())
            .stack_size(PARSER_STACK_BYTES)
            .spawn_scoped(scope, || examine(slug, migrations));
        match parser.map(std::thread::ScopedJoinHandle::join) {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(_)) => Err(vec![unexamined("the checker stopped on this module's SQL")]),
            Err(reason) => {
                Err(vec![unexamined(&format!("no thread could be started to check the SQL: {reason}"))])
            }
        }
    })
}

fn unexamined(message: &str) -> Violation {
    Violation {
        file: String::new(),
        line: 0,
        rule: "unexamined",
        statement: String::new(),
        message: message.to_owned(),
        fix: "Nothing was run. Try again; if it happens again, report the module's migrations".to_owned(),
    }
}

fn examine(slug: &str, files: &[(String, String)]) -> Result<Checked, Vec<Violation>> {
    let mut found = Findings::default();
    if !valid_slug(slug) {
        found.whole(
            "",
            "slug",
            format!("\"{}\" is no module slug", shorten(slug)),
            "Use lower-case letters, digits and underscores, 2 to 31 of them, beginning with a letter",
        );
        return Err(found.list);
    }
    let migrations = goose::read_all(files, &mut found);
    let mut schema = Schema::new(slug);
    // Postgres rolls a module back file by file, so what each Down leaves is compared with what stood
    // there before its Up.
    let mut before = Vec::with_capacity(migrations.len());
    for migration in &migrations {
        before.push(schema.clone());
        run_section(&migration.file, &migration.up, &mut schema, &mut found);
        if found.full() {
            return Err(found.list);
        }
    }
    tables::check(&schema, &mut found);
    let tables = schema.models();
    for (migration, earlier) in migrations.iter().zip(&before).rev() {
        if migration.down.is_empty() || found.full() {
            break;
        }
        run_section(&migration.file, &migration.down, &mut schema, &mut found);
        tables::check_down(&schema, earlier, &mut found);
    }
    if found.list.is_empty() { Ok(Checked { migrations, tables }) } else { Err(found.sorted()) }
}

/// Checks each statement and, in order, lets it change the symbolic schema.
fn run_section(file: &str, statements: &[Statement], schema: &mut Schema, found: &mut Findings) {
    for statement in statements {
        if found.full() {
            return;
        }
        let origin = Origin::new(file, statement);
        let Some(node) = allow::parse(&origin, statement, found) else { continue };
        allow::inspect(&origin, statement, &node, schema, found);
        replay::apply(&origin, statement, &node, schema, found);
    }
}

/// A slug as the registry allows it: `^[a-z][a-z0-9_]{1,30}$`.
fn valid_slug(slug: &str) -> bool {
    (2..=31).contains(&slug.len()) && regular(slug)
}

/// Lower-case letters, digits and underscores, beginning with a letter.
fn regular(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
}

/// A text on one line, cut after 120 characters.
fn shorten(text: &str) -> String {
    const MOST: usize = 120;
    let mut out = String::new();
    for (count, character) in text
        .chars()
        .take(8 * MOST)
        .collect::<String>()
        .split_whitespace()
        .flat_map(|w| w.chars().chain([' ']))
        .enumerate()
    {
        if count == MOST {
            break;
        }
        out.push(character);
    }
    out.trim_end().to_owned()
}

/// Violations found so far; bounded.
#[derive(Default)]
struct Findings {
    list: Vec<Violation>,
}

impl Findings {
    fn full(&self) -> bool {
        self.list.len() >= MAX_VIOLATIONS
    }

    fn add(&mut self, violation: Violation) {
        if !self.full() && !self.list.contains(&violation) {
            self.list.push(violation);
        }
    }

    /// A violation of a whole file, or of the whole module when `file` is empty.
    fn whole(&mut self, file: &str, rule: &'static str, message: String, fix: &str) {
        self.add(Violation {
            file: shorten(file),
            line: 0,
            rule,
            statement: String::new(),
            message,
            fix: fix.to_owned(),
        });
    }

    fn sorted(mut self) -> Vec<Violation> {
        self.list.sort_by(|a, b| (&a.file, a.line).cmp(&(&b.file, b.line)));
        self.list
    }
}
