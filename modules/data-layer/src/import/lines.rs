//! Cuts a body that flows in into lines with their numbers, holding one line at a time.

use std::collections::VecDeque;

use crate::query::MAX_RECORD_BYTES;

/// A record's line may be this long; quotes and spaces count, which the record's own limit does not know.
const LONGEST: usize = 2 * MAX_RECORD_BYTES;

/// One line of the body.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Line {
    /// Its number, from 1; of a CSV line that holds line feeds the first.
    pub number: u64,
    /// Its text, or a sentence why there is none.
    pub text: Result<String, &'static str>,
}

/// The cutter.
pub(super) struct Lines {
    /// In CSV a line feed between quotes is part of the line.
    quotes: bool,
    inside: bool,
    held: Vec<u8>,
    too_long: bool,
    /// Line feeds seen.
    seen: u64,
    /// The number of the line that is held.
    begun: u64,
    ready: VecDeque<Line>,
}

impl Lines {
    pub fn new(quotes: bool) -> Self {
        Self {
            quotes,
            inside: false,
            held: Vec::new(),
            too_long: false,
            seen: 0,
            begun: 1,
            ready: VecDeque::new(),
        }
    }

    /// Takes the next piece of the body.
    pub fn push(&mut self, mut piece: &[u8]) {
        while !piece.is_empty() {
            let end = piece.iter().position(|byte| {
                self.inside ^= self.quotes && *byte == b'"';
                *byte == b'\n'
            });
            let Some(end) = end else { return self.hold(piece) };
            self.seen += 1;
            if self.inside {
                self.hold(&piece[..=end]);
            } else {
                self.hold(&piece[..end]);
                self.end_line();
            }
            piece = &piece[end + 1..];
        }
    }

    /// The body has ended: what is held is the last line.
    pub fn finish(&mut self) {
        self.seen += 1;
        self.end_line();
    }

    /// The next whole line that is not empty.
    pub fn next(&mut self) -> Option<Line> {
        self.ready.pop_front()
    }

    fn hold(&mut self, piece: &[u8]) {
        if self.too_long || self.held.len() + piece.len() > LONGEST {
            self.too_long = true;
            self.held = Vec::new();
        } else {
            self.held.extend_from_slice(piece);
        }
    }

    fn end_line(&mut self) {
        let number = std::mem::replace(&mut self.begun, self.seen + 1);
        let mut held = std::mem::take(&mut self.held);
        if held.last() == Some(&b'\r') {
            held.pop();
        }
        if number == 1 && held.starts_with("\u{feff}".as_bytes()) {
            held.drain(..3);
        }
        self.inside = false;
        let text = if std::mem::take(&mut self.too_long) {
            Err("This line is too long for a record.")
        } else if held.iter().all(u8::is_ascii_whitespace) {
            return;
        } else {
            String::from_utf8(held).map_err(|_| "This line is not UTF-8.")
        };
        self.ready.push_back(Line { number, text });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(quotes: bool, body: &[u8], piece: usize) -> Vec<(u64, Result<String, &'static str>)> {
        let mut lines = Lines::new(quotes);
        body.chunks(piece).for_each(|piece| lines.push(piece));
        lines.finish();
        std::iter::from_fn(|| lines.next()).map(|line| (line.number, line.text)).collect()
    }

    #[test]
    fn lines_keep_their_numbers_however_they_flow_in() {
        let body = "\u{feff}{\"a\":1}\r\n\n{\"a\":2}\n  \n{\"a\":3}";
        for piece in [1, 2, 3, 7, 100] {
            let lines = cut(false, body.as_bytes(), piece);
            let expected = [(1, "{\"a\":1}"), (3, "{\"a\":2}"), (5, "{\"a\":3}")];
            assert_eq!(lines, expected.map(|(number, text)| (number, Ok(text.to_owned()))));
        }
    }

    #[test]
    fn a_quoted_line_feed_is_part_of_a_csv_line() {
        for piece in [1, 4, 100] {
            let lines = cut(true, b"a,\"x\n\"\"y\"\nb,z\n", piece);
            assert_eq!(lines, [(1, Ok("a,\"x\n\"\"y\"".to_owned())), (3, Ok("b,z".to_owned()))]);
        }
    }

    #[test]
    fn a_line_beyond_measure_is_dropped_and_the_next_is_read() {
        let mut body = vec![b'x'; LONGEST + 1];
        body.extend(b"\n{}\n\xff\n");
        let lines = cut(false, &body, 64 * 1024);
        assert!(lines[0].1.is_err());
        assert_eq!(lines[1], (2, Ok("{}".to_owned())));
        assert!(lines[2].1.is_err());
    }
}
