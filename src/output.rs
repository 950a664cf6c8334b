//! What is printed: columns for people, JSON for programs.

use std::io::{self, Write};

use serde::Serialize;

use crate::failure::Failure;

/// Rows under headings, columns as wide as their longest cell.
#[derive(Debug)]
pub struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    /// An empty table.
    pub fn new(headings: &[&str]) -> Self {
        Self { rows: vec![headings.iter().map(|heading| heading.to_uppercase()).collect()] }
    }

    /// Adds a row. Control characters are shown as `?`: a name must not move the cursor.
    pub fn row<C: Into<String>>(&mut self, cells: impl IntoIterator<Item = C>) {
        let plain = |cell: C| cell.into().chars().map(|c| if c.is_control() { '?' } else { c }).collect();
        self.rows.push(cells.into_iter().map(plain).collect());
    }

    /// The text, without spaces at the ends of lines.
    pub fn text(&self) -> String {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let width = |column| {
            let cells = self.rows.iter().filter_map(|row| row.get(column));
            cells.map(|cell: &String| cell.chars().count()).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..columns).map(width).collect();
        let mut text = String::new();
        for row in &self.rows {
            let mut line = String::new();
            for (cell, width) in row.iter().zip(&widths) {
                line.push_str(cell);
                line.extend(std::iter::repeat_n(' ', width - cell.chars().count() + 2));
            }
            text.push_str(line.trim_end());
            text.push('\n');
        }
        text
    }
}

/// Writes to stdout.
///
/// # Errors
/// Trouble with stdout. A reader that has gone (`| head`) ends the verb without a word and with exit code 0.
pub fn print(text: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(|error| match error.kind() {
        io::ErrorKind::BrokenPipe => Failure::told(0),
        _ => Failure::new(format!("the answer could not be written to stdout: {error}")),
    })
}

/// Writes a line to stdout, as [`print`].
///
/// # Errors
/// As of [`print`].
pub fn line(text: impl AsRef<str>) -> Result<(), Failure> {
    print(&format!("{}\n", text.as_ref()))
}

/// Writes a value as indented JSON.
///
/// # Errors
/// As of [`print`].
pub fn json(value: &impl Serialize) -> Result<(), Failure> {
    let text = serde_json::to_string_pretty(value);
    line(text.map_err(|error| Failure::new(format!("the answer could not be written as JSON: {error}")))?)
}

/// Bytes as people read them: `482 KB`, `1.2 GB`.
pub fn size(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["bytes", "KB", "MB", "GB", "TB"];
    let mut amount = bytes as f64;
    let mut unit = 0;
    while amount >= 999.5 && unit + 1 < UNITS.len() {
        amount /= 1000.0;
        unit += 1;
    }
    match unit {
        0 => format!("{bytes} bytes"),
        _ if amount < 10.0 => format!("{amount:.1} {}", UNITS[unit]),
        _ => format!("{amount:.0} {}", UNITS[unit]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_longest_cell() {
        let mut table = Table::new(&["name", "state"]);
        table.row(["default", "ready"]);
        table.row(["ä", "failed"]);
        assert_eq!(table.text(), "NAME     STATE\ndefault  ready\nä        failed\n");
    }

    #[test]
    fn a_cell_cannot_move_the_cursor() {
        let mut table = Table::new(&["name"]);
        table.row(["a\u{1b}[2Jb"]);
        assert_eq!(table.text(), "NAME\na?[2Jb\n");
    }

    #[test]
    fn sizes_are_short() {
        let shown = [0, 999, 1_000, 9_949, 482_000, 999_600, 1_200_000_000].map(size);
        assert_eq!(shown, ["0 bytes", "999 bytes", "1.0 KB", "9.9 KB", "482 KB", "1.0 MB", "1.2 GB"]);
    }
}
