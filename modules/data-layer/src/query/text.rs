//! The text of a query string: parameters, percent-encoding, lists, quotes.

use kernel::{FieldCode, FieldError};

use super::{MAX_PARAMETERS, MAX_QUERY_BYTES, MAX_VALUE_BYTES};

/// Splits a raw query string into decoded names and values, in their order.
pub(super) fn parameters(raw: &str) -> Result<Vec<(String, String)>, Vec<FieldError>> {
    if raw.len() > MAX_QUERY_BYTES {
        let message =
            format!("A query string has at most {MAX_QUERY_BYTES} bytes; this one has {}.", raw.len());
        return Err(vec![FieldError::new("query", FieldCode::TooLong, message)]);
    }
    let mut found = Vec::new();
    let mut errors = Vec::new();
    for part in raw.split('&').filter(|part| !part.is_empty()) {
        if found.len() == MAX_PARAMETERS {
            let message = format!("A query has at most {MAX_PARAMETERS} parameters.");
            return Err(vec![FieldError::new("query", FieldCode::TooLong, message)]);
        }
        let (name, value) = part.split_once('=').unwrap_or((part, ""));
        let Some(name) = decode(name) else {
            let message = "The name of a parameter is not percent-encoded UTF-8, or holds a zero byte.";
            errors.push(FieldError::new("query", FieldCode::InvalidFormat, message));
            continue;
        };
        match decode(value) {
            None => {
                let message = "The value is not percent-encoded UTF-8, or holds a zero byte.";
                errors.push(FieldError::new(shown(&name), FieldCode::InvalidFormat, message));
            }
            Some(value) if value.len() > MAX_VALUE_BYTES => {
                let message =
                    format!("A value has at most {MAX_VALUE_BYTES} bytes; this one has {}.", value.len());
                errors.push(FieldError::new(shown(&name), FieldCode::TooLong, message));
            }
            Some(value) => found.push((name, value)),
        }
    }
    if errors.is_empty() { Ok(found) } else { Err(errors) }
}

/// Decodes `%41` and `+`; none for a broken sequence, text that is not UTF-8, or a zero byte (which Postgres' text
/// cannot hold).
fn decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => {
                let high = char::from(rest.next()?).to_digit(16)?;
                let low = char::from(rest.next()?).to_digit(16)?;
                u8::try_from(high * 16 + low).ok()?
            }
            other => other,
        });
    }
    if bytes.contains(&0) {
        return None;
    }
    String::from_utf8(bytes).ok()
}

/// A name from outside as a message may show it: cut at 100 characters, without control characters.
pub(super) fn shown(name: &str) -> String {
    name.chars().take(100).map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

/// What is between the parentheses of `(…)`, when that is the whole text.
pub(super) fn inside(text: &str) -> Option<&str> {
    text.strip_prefix('(')?.strip_suffix(')')
}

/// Splits at the commas that stand outside of parentheses and quotes; none when those do not match up.
pub(super) fn split_list(text: &str) -> Option<Vec<&str>> {
    let mut items = Vec::new();
    let (mut start, mut depth, mut quoted, mut escaped) = (0, 0_usize, false, false);
    for (at, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            _ if quoted => {}
            '(' => depth += 1,
            ')' => depth = depth.checked_sub(1)?,
            ',' if depth == 0 => {
                items.push(&text[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    if quoted || depth > 0 {
        return None;
    }
    items.push(&text[start..]);
    Some(items)
}

/// One value of a list or group: as it stands, or out of its double quotes; none when text follows the quotes.
pub(super) fn unquote(text: &str) -> Option<String> {
    let Some(rest) = text.strip_prefix('"') else { return Some(text.to_owned()) };
    let mut value = String::with_capacity(rest.len());
    let mut chars = rest.chars();
    loop {
        match chars.next()? {
            '"' => return chars.next().is_none().then_some(value),
            '\\' => value.push(chars.next()?),
            c => value.push(c),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_decoded_after_they_are_split() {
        let read = parameters("a=eq.1%262&b=x+y&&c").unwrap();
        let expected = [("a", "eq.1&2"), ("b", "x y"), ("c", "")];
        assert_eq!(read, expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
    }

    #[test]
    fn broken_encoding_and_zero_bytes_are_refused() {
        for raw in ["a=%", "a=%4", "a=%zz", "a=%ff", "a=x%00y", "%00=1"] {
            assert_eq!(parameters(raw).unwrap_err()[0].code, FieldCode::InvalidFormat, "{raw}");
        }
    }

    #[test]
    fn long_values_and_many_parameters_are_refused() {
        let long = format!("a=eq.{}", "x".repeat(MAX_VALUE_BYTES));
        assert_eq!(parameters(&long).unwrap_err()[0].code, FieldCode::TooLong);
        assert!(parameters(&"a=1&".repeat(MAX_PARAMETERS)).is_ok());
        assert!(parameters(&"a=1&".repeat(MAX_PARAMETERS + 1)).is_err());
    }

    #[test]
    fn lists_split_outside_of_quotes_and_parentheses() {
        assert_eq!(split_list(r#"a,"b,c",d(e,f)"#).unwrap(), ["a", r#""b,c""#, "d(e,f)"]);
        assert_eq!(split_list(r#""a\",b",c"#).unwrap(), [r#""a\",b""#, "c"]);
        assert_eq!(split_list("").unwrap(), [""]);
        for broken in ["(", ")", "a)(b", "\"a"] {
            assert!(split_list(broken).is_none(), "{broken}");
        }
    }

    #[test]
    fn quotes_come_off_whole_values_only() {
        assert_eq!(unquote(r#""a \"b\" \\ c""#).unwrap(), r#"a "b" \ c"#);
        assert_eq!(unquote("plain").unwrap(), "plain");
        assert!(unquote(r#""a"b"#).is_none());
        assert!(unquote(r#""a"#).is_none());
    }
}
