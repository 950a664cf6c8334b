//! Migration files as the tool goose writes them: `00001_create_deals.sql` with the annotations
//! `-- +goose Up` and `-- +goose Down`.

use super::scan::{self, Chunk};
use super::{Findings, MAX_FILE_BYTES, MAX_FILES, MAX_TOTAL_BYTES, Violation, shorten};

/// One migration file, read and split.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Migration {
    /// The number before the first underscore of the file name.
    pub version: i64,
    /// The file name without number and ending.
    pub name: String,
    /// The file name.
    pub file: String,
    /// What the migration does.
    pub up: Vec<Statement>,
    /// What takes it back; empty when the file has no Down section.
    pub down: Vec<Statement>,
}

/// One statement, without its semicolon and the comments before it.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Statement {
    /// The text; exactly this was checked and exactly this may be run.
    pub text: String,
    /// The line of its first word in the file, from 1.
    pub line: u32,
}

/// Reads all files and sorts them by version; what can't be read is reported and left out.
pub(super) fn read_all(files: &[(String, String)], found: &mut Findings) -> Vec<Migration> {
    if files.len() > MAX_FILES {
        let message = format!("the module has {} migration files, {MAX_FILES} are allowed", files.len());
        found.whole("", "file-count", message, "Merge migrations of versions that nobody runs any more");
        return Vec::new();
    }
    let bytes: usize = files.iter().map(|(_, content)| content.len()).sum();
    if bytes > MAX_TOTAL_BYTES {
        let message = format!("the migrations hold {bytes} bytes, {MAX_TOTAL_BYTES} are allowed");
        found.whole("", "file-size", message, "Import bulk data through the data API instead of migrations");
        return Vec::new();
    }
    let mut migrations: Vec<Migration> = Vec::with_capacity(files.len());
    for (file, content) in files {
        let Some((version, name)) = file_name(file) else {
            let message = format!("the file name \"{}\" is not of the form 00001_name.sql", shorten(file));
            found.whole(
                file,
                "file-name",
                message,
                "Name it with a number above 0, an underscore, letters, digits, - or _, and .sql",
            );
            continue;
        };
        if let Some(other) = migrations.iter().find(|other| other.version == version) {
            let message = format!("version {version} is taken by {}", other.file);
            found.whole(file, "file-name", message, "Give each migration a number of its own");
            continue;
        }
        if content.len() > MAX_FILE_BYTES {
            let message = format!("the file has {} bytes, {MAX_FILE_BYTES} are allowed", content.len());
            found.whole(file, "file-size", message, "Split it into several migrations");
            continue;
        }
        let (up, down) = sections(file, content, found);
        migrations.push(Migration { version, name: name.to_owned(), file: file.clone(), up, down });
    }
    migrations.sort_by_key(|migration| migration.version);
    migrations
}

/// `00012_add_owner.sql` as (12, `add_owner`).
fn file_name(file: &str) -> Option<(i64, &str)> {
    let (digits, name) = file.strip_suffix(".sql")?.split_once('_')?;
    let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'-';
    if file.len() > 200 || digits.is_empty() || digits.len() > 18 || name.is_empty() {
        return None;
    }
    if !digits.bytes().all(|b| b.is_ascii_digit()) || !name.bytes().all(plain) {
        return None;
    }
    digits.parse().ok().filter(|version| *version > 0).map(|version| (version, name))
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Section {
    Before,
    Up,
    Down,
}

/// A file under the reader's eye.
struct Reader<'a> {
    file: &'a str,
    content: &'a str,
    up: Vec<Statement>,
    down: Vec<Statement>,
}

/// Splits a file at its annotations, and each piece between them into statements.
fn sections(file: &str, content: &str, found: &mut Findings) -> (Vec<Statement>, Vec<Statement>) {
    if let Some(at) = content.find('\0') {
        let line = line_at(content, at);
        found.add(refusal(file, line, "encoding", "", "the file holds a NUL byte", "Save it as UTF-8 text"));
        return (Vec::new(), Vec::new());
    }
    let mut reader = Reader { file, content, up: Vec::new(), down: Vec::new() };
    let mut section = Section::Before;
    let mut block_from: Option<u32> = None;
    let mut from = 0;
    let mut offset = 0;
    for (line, text) in (1_u32..).zip(content.split_inclusive('\n')) {
        let (begins, ends) = (offset, offset + text.len());
        offset = ends;
        let Some(annotation) = annotation(text) else { continue };
        reader.piece(section, from, begins, found);
        from = ends;
        let mut refuse = |message: &str, fix: &str| {
            found.add(refusal(file, line, "goose", text.trim(), message, fix));
        };
        match annotation.to_ascii_lowercase().as_str() {
            "up" if section == Section::Before => section = Section::Up,
            "up" => refuse("the file has a second Up section", "Write one Up section, before Down"),
            "down" if section == Section::Up && block_from.is_none() => section = Section::Down,
            "down" => refuse(
                "Down stands before Up, twice or inside a statement block",
                "Write one Up section, then one Down section",
            ),
            "statementbegin" if block_from.is_none() && section != Section::Before => block_from = Some(line),
            "statementend" if block_from.is_some() => block_from = None,
            "statementbegin" | "statementend" => {
                refuse(
                    "StatementBegin and StatementEnd don't match",
                    "Close each StatementBegin with a StatementEnd in the same section",
                );
            }
            "no transaction" => refuse(
                "a migration without a transaction can't be taken back when it fails",
                "Remove the annotation: all migrations of a module run in one transaction",
            ),
            _ => refuse(
                "this annotation is not known here",
                "Use Up, Down, StatementBegin and StatementEnd; environment variables are not put into SQL",
            ),
        }
    }
    reader.piece(section, from, content.len(), found);
    if let Some(line) = block_from {
        found.add(refusal(
            file,
            line,
            "goose",
            "",
            "StatementBegin has no StatementEnd",
            "Add `-- +goose StatementEnd` after the statement",
        ));
    }
    if section == Section::Before {
        found.whole(
            file,
            "goose",
            "the file has no Up section".into(),
            "Begin it with the line `-- +goose Up`",
        );
    }
    (reader.up, reader.down)
}

impl Reader<'_> {
    /// Splits the text between two annotations and files its statements under their section.
    fn piece(&mut self, section: Section, from: usize, to: usize, found: &mut Findings) {
        let Some(piece) = self.content.get(from..to) else { return };
        let chunks = match scan::split(piece) {
            Ok(chunks) => chunks,
            Err(unreadable) => {
                let line = line_at(self.content, from + unreadable.at);
                let text = piece.get(unreadable.at..).unwrap_or(piece);
                let message = format!("Postgres can't read this: {}", shorten(&unreadable.message));
                found.add(refusal(
                    self.file,
                    line,
                    "syntax",
                    text,
                    &message,
                    "Close the string, name or comment that begins here",
                ));
                return;
            }
        };
        let mut line = line_at(self.content, from);
        let mut counted = 0;
        for chunk in chunks {
            line += newlines(piece.get(counted..chunk.start).unwrap_or_default());
            counted = chunk.start;
            let Some(text) = piece.get(chunk.start..chunk.end) else { continue };
            if let Some(violation) = unparseable(self.file, line, text, chunk) {
                found.add(violation);
                continue;
            }
            let statement = Statement { text: text.to_owned(), line };
            match section {
                Section::Up => self.up.push(statement),
                Section::Down => self.down.push(statement),
                Section::Before => found.add(refusal(
                    self.file,
                    line,
                    "goose",
                    text,
                    "there is SQL before the first annotation",
                    "Move it below the line `-- +goose Up`",
                )),
            }
        }
    }
}

/// Why a statement is not even handed to the parser.
fn unparseable(file: &str, line: u32, text: &str, chunk: Chunk) -> Option<Violation> {
    if chunk.backslash {
        let fix = "Write plain SQL; \\i, \\copy, \\! and the like belong to the psql program";
        return Some(refusal(
            file,
            line,
            "meta-command",
            text,
            "a backslash outside of quotes is a psql command, not SQL",
            fix,
        ));
    }
    if chunk.depth > scan::MAX_DEPTH {
        let fix = "Split the expression; put long lists between commas, not between operators";
        return Some(refusal(
            file,
            line,
            "too-deep",
            text,
            "the statement nests too deep to be read safely",
            fix,
        ));
    }
    if chunk.tokens > scan::MAX_TOKENS {
        let message = format!("the statement has {} words, {} are allowed", chunk.tokens, scan::MAX_TOKENS);
        return Some(refusal(
            file,
            line,
            "too-long",
            text,
            &message,
            "Split it, for example into several INSERTs",
        ));
    }
    None
}

/// The words after `-- +goose`, if the line is an annotation.
fn annotation(line: &str) -> Option<&str> {
    // Some editors begin a file with a byte order mark.
    let rest = line.trim_start_matches('\u{feff}').trim().strip_prefix("--")?.trim_start();
    let (head, words) = rest.split_at_checked("+goose".len())?;
    let is_annotation =
        head.eq_ignore_ascii_case("+goose") && (words.is_empty() || words.starts_with([' ', '\t']));
    is_annotation.then(|| words.trim())
}

fn refusal(
    file: &str,
    line: u32,
    rule: &'static str,
    statement: &str,
    message: &str,
    fix: &str,
) -> Violation {
    Violation {
        file: file.to_owned(),
        line,
        rule,
        statement: shorten(statement),
        message: message.to_owned(),
        fix: fix.to_owned(),
    }
}

/// The line, from 1, of a byte offset.
fn line_at(content: &str, offset: usize) -> u32 {
    1 + newlines(content.get(..offset).unwrap_or(content))
}

/// Line ends in a text; a file has at most a million.
pub(super) fn newlines(text: &str) -> u32 {
    u32::try_from(text.bytes().filter(|b| *b == b'\n').count()).unwrap_or(u32::MAX)
}
