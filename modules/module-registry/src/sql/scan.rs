//! Postgres' own scanner over a piece of a migration: where statements begin and end, and whether one
//! nests deeper than the parser can bear.

use pg_query::protobuf::{ScanToken, Token};

/// Deepest nesting of one statement that is handed to the parser. Its tree is written by recursive C
/// code without a stack check: a million parentheses would end the process.
pub(super) const MAX_DEPTH: usize = 2_000;
/// Most tokens of one statement; each becomes a few hundred bytes of tree.
pub(super) const MAX_TOKENS: usize = 100_000;

/// A statement without its semicolon, as byte range of the scanned piece; comments before it are left out.
#[derive(Debug, Clone, Copy)]
pub(super) struct Chunk {
    pub(super) start: usize,
    pub(super) end: usize,
    /// An upper bound of the depth of its parse tree.
    pub(super) depth: usize,
    /// Number of tokens without comments.
    pub(super) tokens: usize,
    /// Holds a backslash outside of quotes: a command of psql, not SQL.
    pub(super) backslash: bool,
}

/// What the scanner could not read.
#[derive(Debug)]
pub(super) struct Unreadable {
    /// Byte offset in the piece, as near as it is known.
    pub(super) at: usize,
    pub(super) message: String,
}

/// Splits a piece of SQL at the semicolons outside of brackets. (`BEGIN ATOMIC` bodies hold more of
/// them; functions are refused anyway.)
pub(super) fn split(piece: &str) -> Result<Vec<Chunk>, Unreadable> {
    let scanned = pg_query::scan(piece).map_err(|error| {
        let message = reason(&error);
        // For an unterminated string the message quotes all that follows.
        let rest = message.split_once("at or near \"").and_then(|(_, near)| near.strip_suffix('"'));
        let at = rest.filter(|near| piece.ends_with(near)).map_or(0, |near| piece.len() - near.len());
        Unreadable { at, message }
    })?;
    let mut chunks = Vec::new();
    let mut open: Option<(Chunk, Nesting)> = None;
    let mut brackets = 0_usize;
    for token in &scanned.tokens {
        let Some((kind, start, end)) = place(token, piece) else {
            return Err(Unreadable {
                at: 0,
                message: "the scanner returned a token outside of the text".into(),
            });
        };
        if is(kind, Token::SqlComment) || is(kind, Token::CComment) {
            continue;
        }
        if is(kind, Token::Ascii40) || is(kind, Token::Ascii91) {
            brackets += 1;
        } else if is(kind, Token::Ascii41) || is(kind, Token::Ascii93) {
            brackets = brackets.saturating_sub(1);
        }
        if is(kind, Token::Ascii59) && brackets == 0 {
            if let Some((chunk, nesting)) = open.take() {
                chunks.push(Chunk { depth: nesting.depth(), ..chunk });
            }
            continue;
        }
        let (chunk, nesting) = open.get_or_insert_with(|| {
            (Chunk { start, end, depth: 0, tokens: 0, backslash: false }, Nesting::new())
        });
        chunk.end = end;
        chunk.tokens += 1;
        chunk.backslash |= is(kind, Token::Ascii92);
        nesting.see(kind);
    }
    if let Some((chunk, nesting)) = open {
        chunks.push(Chunk { depth: nesting.depth(), ..chunk });
    }
    Ok(chunks)
}

/// The words of a parser error without the crate's own prefix.
pub(super) fn reason(error: &pg_query::Error) -> String {
    use pg_query::Error;
    match error {
        Error::Parse(text) | Error::Scan(text) | Error::Split(text) | Error::InvalidJson(text) => {
            text.clone()
        }
        Error::Conversion(_) | Error::Decode(_) | Error::InvalidPointer => error.to_string(),
    }
}

fn is(kind: i32, token: Token) -> bool {
    kind == token as i32
}

fn place(token: &ScanToken, piece: &str) -> Option<(i32, usize, usize)> {
    let (start, end) = (usize::try_from(token.start).ok()?, usize::try_from(token.end).ok()?);
    piece.get(start..end)?;
    Some((token.token, start, end))
}

/// An upper bound of the tree's depth, counted from tokens: inside one pair of brackets the items between
/// commas are siblings, so a level is at most as deep as its longest item plus the deepest bracket in it.
/// Set operations chain items across commas and are counted for the level as a whole.
struct Nesting {
    levels: Vec<Level>,
}

#[derive(Default)]
struct Level {
    item: usize,
    inner: usize,
    longest: usize,
    set_operations: usize,
}

impl Level {
    fn close_item(&mut self) {
        self.longest = self.longest.max(self.item + self.inner);
        self.item = 0;
        self.inner = 0;
    }

    fn depth(mut self) -> usize {
        self.close_item();
        self.longest + self.set_operations + 1
    }
}

impl Nesting {
    fn new() -> Self {
        Self { levels: vec![Level::default()] }
    }

    fn see(&mut self, kind: i32) {
        if is(kind, Token::Ascii40) || is(kind, Token::Ascii91) {
            self.levels.push(Level::default());
            return;
        }
        if (is(kind, Token::Ascii41) || is(kind, Token::Ascii93)) && self.levels.len() > 1 {
            let inner = self.levels.pop().map_or(0, Level::depth);
            if let Some(level) = self.levels.last_mut() {
                level.inner = level.inner.max(inner);
                level.item += 1;
            }
            return;
        }
        let Some(level) = self.levels.last_mut() else { return };
        if is(kind, Token::Ascii44) {
            level.close_item();
        } else {
            level.item += 1;
        }
        if is(kind, Token::Union) || is(kind, Token::Intersect) || is(kind, Token::Except) {
            level.set_operations += 1;
        }
    }

    fn depth(mut self) -> usize {
        let mut depth = 0;
        while let Some(mut level) = self.levels.pop() {
            level.inner = level.inner.max(depth);
            depth = level.depth();
        }
        depth
    }
}
