//! From text to tokens, as the original's grammar cuts it: the longest token wins, words of the language before names.

/// A piece of a query.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Token<'t> {
    Open,
    Close,
    Dot,
    Minus,
    ListOpen,
    /// `]`
    ListClose,
    /// A comma with the spaces behind it.
    Comma,
    Space,
    Not,
    /// `and`, `or`
    Join(&'t str),
    Bool(bool),
    Null,
    Present,
    Operator(&'t str),
    Name(&'t str),
    /// Between its quotes.
    Text(&'t str),
    Int(&'t str),
    Double(&'t str),
    Version(&'t str),
}

/// Cuts a query. Each token comes with its place.
///
/// # Errors
/// What can't be cut, and where.
pub(super) fn tokens(text: &str) -> Result<Vec<(usize, Token<'_>)>, String> {
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(c) = text[at..].chars().next() {
        let (token, length) = token(&text[at..], c).map_err(|what| format!("{what} (at {})", at + 1))?;
        found.push((at, token));
        at += length;
    }
    Ok(found)
}

fn token(rest: &str, c: char) -> Result<(Token<'_>, usize), String> {
    let single = match c {
        '(' => Some(Token::Open),
        ')' => Some(Token::Close),
        '.' => Some(Token::Dot),
        '[' => Some(Token::ListOpen),
        ']' => Some(Token::ListClose),
        ' ' => Some(Token::Space),
        _ => None,
    };
    if let Some(token) = single {
        return Ok((token, 1));
    }
    match c {
        ',' => Ok((Token::Comma, 1 + rest[1..].bytes().take_while(|b| *b == b' ').count())),
        '"' => text(rest),
        '=' | '!' | '>' | '<' => {
            let sign = ["==", "!=", ">=", "<=", ">", "<"].into_iter().find(|sign| rest.starts_with(sign));
            let sign = sign.ok_or_else(|| format!("{c:?} is no operator; use eq, ne, gt, lt, ge or le"))?;
            Ok((Token::Operator(&rest[..sign.len()]), sign.len()))
        }
        '-' | '0'..='9' => Ok(number(rest)),
        'a'..='z' | 'A'..='Z' => Ok(word(rest)),
        '\'' => Err("texts stand between double quotes".to_owned()),
        '\t' | '\r' => Err("a tab or carriage return; only single spaces part the words".to_owned()),
        c => Err(format!("{c:?} means nothing here")),
    }
}

fn text(rest: &str) -> Result<(Token<'_>, usize), String> {
    let mut chars = rest.char_indices().skip(1);
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Ok((Token::Text(&rest[1..at]), at + 1)),
            '\\' => match chars.next() {
                Some((_, '"' | '\\' | '/' | 'b' | 'f' | 'n' | 'r' | 't')) => {}
                Some((_, 'u')) => {
                    if (0..4).any(|_| !chars.next().is_some_and(|(_, c)| c.is_ascii_hexdigit())) {
                        return Err("\\u takes four hexadecimal digits".to_owned());
                    }
                }
                _ => return Err("a backslash stands before one of \" \\ / b f n r t u".to_owned()),
            },
            _ => {}
        }
    }
    Err("the text has no closing quote".to_owned())
}

fn digits(text: &str) -> usize {
    text.bytes().take_while(u8::is_ascii_digit).count()
}

/// A whole number without leading zeros; 0 when there is none.
fn int(text: &str) -> usize {
    match digits(text) {
        _ if text.starts_with('0') => 1,
        length => length,
    }
}

fn number(rest: &str) -> (Token<'_>, usize) {
    let sign = usize::from(rest.starts_with('-'));
    let whole = int(&rest[sign..]);
    if sign == 0
        && let Some(length) = version(rest)
    {
        return (Token::Version(&rest[..length]), length);
    }
    let point = sign + whole;
    if whole > 0 && rest[point..].starts_with('.') {
        let fraction = digits(&rest[point + 1..]);
        if fraction > 0 {
            let end = point + 1 + fraction;
            let end = end + exponent(&rest[end..]);
            return (Token::Double(&rest[..end]), end);
        }
    }
    match sign {
        1 => (Token::Minus, 1),
        _ => (Token::Int(&rest[..whole]), whole),
    }
}

fn exponent(text: &str) -> usize {
    if !text.starts_with(['e', 'E']) {
        return 0;
    }
    let sign = usize::from(text[1..].starts_with(['+', '-']));
    match int(&text[1 + sign..]) {
        0 => 0,
        length => 1 + sign + length,
    }
}

/// The length of the semantic version that a text begins with.
fn version(text: &str) -> Option<usize> {
    let mut at = 0;
    for part in 0..3 {
        let length = int(&text[at..]);
        if length == 0 {
            return None;
        }
        at += length;
        if part < 2 {
            if !text[at..].starts_with('.') {
                return None;
            }
            at += 1;
        }
    }
    let more = |at: usize| {
        let name = |b: &u8| b.is_ascii_alphanumeric() || *b == b'-' || *b == b'.';
        text[at..].bytes().take_while(|b| name(b)).count()
    };
    for sign in ['-', '+'] {
        if text[at..].starts_with(sign) {
            at += 1 + more(at + 1);
        }
    }
    Some(at)
}

fn word(rest: &str) -> (Token<'_>, usize) {
    let name = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b':');
    let length = rest.bytes().take_while(name).count();
    let word = &rest[..length];
    let token = match word {
        "not" | "NOT" => Token::Not,
        "and" | "or" => Token::Join(word),
        "true" => Token::Bool(true),
        "false" => Token::Bool(false),
        "null" => Token::Null,
        "pr" => Token::Present,
        "in" | "IN" | "eq" | "EQ" | "ne" | "NE" | "gt" | "GT" | "lt" | "LT" | "ge" | "GE" | "le" | "LE"
        | "co" | "CO" | "sw" | "SW" | "ew" | "EW" => Token::Operator(word),
        _ => Token::Name(word),
    };
    (token, length)
}
