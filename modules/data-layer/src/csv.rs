//! Tables as text (RFC 4180): a record a line, members in the header's order.
//!
//! Nothing at all between two commas is null (on the way in: not given); `""` is the empty text. Arrays, JSON and
//! embedded records stand as JSON.

use std::collections::BTreeMap;

use kernel::{Error, Result};
use serde_json::{Value, value::RawValue};

/// One field of a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Field {
    pub text: String,
    /// Whether it stood in quotes, so that the empty text is a value.
    pub quoted: bool,
}

/// Writes the names.
pub(crate) fn write_header(members: &[String], out: &mut Vec<u8>) {
    for (at, name) in members.iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        write_text(name, out);
    }
    out.extend(b"\r\n");
}

/// Writes one record.
pub(crate) fn write_record(members: &[String], record: &RawValue, out: &mut Vec<u8>) -> Result<()> {
    let values: BTreeMap<String, &RawValue> = serde_json::from_str(record.get()).map_err(Error::internal)?;
    for (at, name) in members.iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        match values.get(name).map(|value| value.get()) {
            None | Some("null") => {}
            Some(text) if text.starts_with('"') => {
                let text: String = serde_json::from_str(text).map_err(Error::internal)?;
                write_text(&text, out);
            }
            Some(json) => write_text(json, out),
        }
    }
    out.extend(b"\r\n");
    Ok(())
}

fn write_text(text: &str, out: &mut Vec<u8>) {
    let plain = !text.is_empty() && !text.bytes().any(|byte| matches!(byte, b',' | b'"' | b'\n' | b'\r'));
    if plain {
        out.extend(text.bytes());
        return;
    }
    out.push(b'"');
    out.extend(text.replace('"', "\"\"").bytes());
    out.push(b'"');
}

/// Reads one line without its end.
///
/// # Errors
/// A sentence that says what is wrong with its quotes.
pub(crate) fn read_line(line: &str) -> std::result::Result<Vec<Field>, &'static str> {
    let mut fields = Vec::new();
    let mut rest = line;
    loop {
        let field;
        (field, rest) = match rest.strip_prefix('"') {
            Some(quoted) => read_quoted(quoted)?,
            None => {
                let end = rest.find(',').unwrap_or(rest.len());
                if rest[..end].contains('"') {
                    return Err("A field with quotes in it stands in quotes, and each of them is doubled.");
                }
                (Field { text: rest[..end].to_owned(), quoted: false }, &rest[end..])
            }
        };
        fields.push(field);
        match rest.strip_prefix(',') {
            Some(more) => rest = more,
            None if rest.is_empty() => return Ok(fields),
            None => return Err("After a closing quote comes a comma or the end of the line."),
        }
    }
}

fn read_quoted(mut rest: &str) -> std::result::Result<(Field, &str), &'static str> {
    let mut text = String::new();
    loop {
        let end = rest.find('"').ok_or("A quote is opened and not closed.")?;
        text += &rest[..end];
        rest = &rest[end + 1..];
        match rest.strip_prefix('"') {
            Some(more) => {
                text.push('"');
                rest = more;
            }
            None => return Ok((Field { text, quoted: true }, rest)),
        }
    }
}

/// The value of a field in a column that takes JSON of its own, numbers or truth values; text else.
///
/// # Errors
/// When it must be JSON and is not.
pub(crate) fn value(
    kind: &crate::catalogue::ColumnKind,
    text: &str,
) -> std::result::Result<Value, serde_json::Error> {
    use crate::catalogue::ColumnKind as Kind;
    let as_text = || Value::String(text.to_owned());
    Ok(match kind {
        Kind::Json | Kind::Jsonb | Kind::Array(_) => serde_json::from_str(text)?,
        Kind::Int2 | Kind::Int4 | Kind::Int8 | Kind::Float4 | Kind::Float8 => {
            serde_json::from_str(text).ok().filter(Value::is_number).unwrap_or_else(as_text)
        }
        Kind::Bool => match text {
            "true" => Value::Bool(true),
            "false" => Value::Bool(false),
            _ => as_text(),
        },
        // Decimal numbers among them: as text they keep every digit.
        _ => as_text(),
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::catalogue::ColumnKind;

    fn texts(line: &str) -> Vec<(String, bool)> {
        read_line(line).unwrap().into_iter().map(|field| (field.text, field.quoted)).collect()
    }

    #[test]
    fn lines_are_read_as_rfc_4180_says() {
        let own = |fields: &[(&str, bool)]| -> Vec<(String, bool)> {
            fields.iter().map(|(text, quoted)| ((*text).to_owned(), *quoted)).collect()
        };
        assert_eq!(texts("a,b"), own(&[("a", false), ("b", false)]));
        assert_eq!(texts(",\"\","), own(&[("", false), ("", true), ("", false)]));
        assert_eq!(texts("\"a,\"\"b\"\"\nc\",d"), own(&[("a,\"b\"\nc", true), ("d", false)]));
        for wrong in ["\"a", "\"a\"b", "a\"b", "\"a\"\""] {
            assert!(read_line(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn values_are_what_their_column_holds() {
        assert_eq!(value(&ColumnKind::Int4, "7").unwrap(), json!(7));
        assert_eq!(value(&ColumnKind::Int4, "x").unwrap(), json!("x"));
        assert_eq!(value(&ColumnKind::Text, "7").unwrap(), json!("7"));
        assert_eq!(value(&ColumnKind::Bool, "true").unwrap(), json!(true));
        assert_eq!(value(&ColumnKind::Jsonb, "{\"a\":[1]}").unwrap(), json!({ "a": [1] }));
        assert!(value(&ColumnKind::Jsonb, "{").is_err());
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_again(values in prop::collection::vec(".{0,20}", 1..6)) {
            let members: Vec<String> = (0..values.len()).map(|at| format!("m{at}")).collect();
            let record: serde_json::Map<String, Value> =
                members.iter().cloned().zip(values.iter().cloned().map(Value::String)).collect();
            let raw = serde_json::value::to_raw_value(&record).unwrap();
            let mut out = Vec::new();
            write_record(&members, &raw, &mut out).unwrap();
            let line = String::from_utf8(out).unwrap();
            let read = read_line(line.strip_suffix("\r\n").unwrap()).unwrap();
            prop_assert_eq!(read.into_iter().map(|field| field.text).collect::<Vec<_>>(), values);
        }
    }
}
