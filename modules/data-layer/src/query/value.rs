//! Values in the normal form of their column, or a sentence why they do not fit.
//!
//! What passes here is text that Postgres' input function of the type accepts: a value of the wrong type is found
//! before any SQL.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use chrono::{DateTime, Datelike, NaiveDate, NaiveDateTime, NaiveTime, SecondsFormat, Utc};
use kernel::FieldCode;
use serde_json::Value;

use super::MAX_JSON_BYTES;
use crate::catalogue::ColumnKind;

/// Why a value does not fit.
pub(super) struct Misfit {
    pub code: FieldCode,
    pub message: String,
}

type Fit<T> = Result<T, Misfit>;

fn misfit<T>(code: FieldCode, message: impl Into<String>) -> Fit<T> {
    Err(Misfit { code, message: message.into() })
}

fn wrong_form<T>(kind: &ColumnKind) -> Fit<T> {
    misfit(FieldCode::InvalidFormat, format!("This must be {}.", kind.label()))
}

/// Checks the text of a filter's value and gives it in a form that casts to the column's type without an error.
pub(super) fn from_text(kind: &ColumnKind, text: &str) -> Fit<String> {
    match kind {
        ColumnKind::Text | ColumnKind::Varchar(_) => Ok(text.to_owned()),
        ColumnKind::Uuid => match uuid::Uuid::try_parse(text) {
            Ok(id) if text.len() == 36 => Ok(id.to_string()),
            _ => wrong_form(kind),
        },
        ColumnKind::Int2 => whole(kind, text, i64::from(i16::MIN), i64::from(i16::MAX)),
        ColumnKind::Int4 => whole(kind, text, i64::from(i32::MIN), i64::from(i32::MAX)),
        ColumnKind::Int8 => whole(kind, text, i64::MIN, i64::MAX),
        // A filter may compare with more digits than the column keeps.
        ColumnKind::Numeric(_) => numeric(kind, text, None),
        ColumnKind::Float4 | ColumnKind::Float8 => float(kind, text),
        ColumnKind::Bool => match text {
            "true" | "false" => Ok(text.to_owned()),
            _ => wrong_form(kind),
        },
        ColumnKind::Date => match NaiveDate::parse_from_str(text, "%Y-%m-%d") {
            Ok(date) if text.len() == 10 && date.year() > 0 => Ok(date.format("%Y-%m-%d").to_string()),
            _ => wrong_form(kind),
        },
        ColumnKind::Time => {
            let time =
                ["%H:%M:%S%.f", "%H:%M"].iter().find_map(|form| NaiveTime::parse_from_str(text, form).ok());
            time.map_or_else(|| wrong_form(kind), |time| Ok(time.format("%H:%M:%S%.6f").to_string()))
        }
        ColumnKind::Timestamp => local_time(kind, text),
        ColumnKind::Timestamptz => instant(kind, text),
        ColumnKind::Interval => duration(kind, text),
        ColumnKind::Enum { values, .. } if values.iter().any(|value| value == text) => Ok(text.to_owned()),
        ColumnKind::Enum { .. } => wrong_form(kind),
        ColumnKind::Json | ColumnKind::Jsonb => match serde_json::from_str::<Value>(text) {
            Ok(value) if holds_zero(&value) => misfit(FieldCode::InvalidFormat, ZERO),
            Ok(value) => Ok(value.to_string()),
            Err(_) => wrong_form(kind),
        },
        ColumnKind::Bytea | ColumnKind::Array(_) | ColumnKind::Other(_) => wrong_form(kind),
    }
}

/// Checks a member of a record and gives it in the form that `json_populate_record` reads into the column.
pub(super) fn from_json(kind: &ColumnKind, value: Value) -> Fit<Value> {
    if matches!(kind, ColumnKind::Json | ColumnKind::Jsonb) {
        if holds_zero(&value) {
            return misfit(FieldCode::InvalidFormat, ZERO);
        }
        if value.to_string().len() > MAX_JSON_BYTES {
            return misfit(FieldCode::TooLong, format!("A JSON value has at most {MAX_JSON_BYTES} bytes."));
        }
        return Ok(value);
    }
    match (kind, value) {
        (_, Value::String(text)) if text.contains('\0') => misfit(FieldCode::InvalidFormat, ZERO),
        (ColumnKind::Text | ColumnKind::Other(_), value @ Value::String(_)) => Ok(value),
        (ColumnKind::Varchar(limit), Value::String(text)) => {
            let length = text.chars().count();
            if length > usize::try_from(*limit).unwrap_or(usize::MAX) {
                let message = format!("This has {length} characters; at most {limit} fit.");
                return misfit(FieldCode::TooLong, message);
            }
            Ok(Value::String(text))
        }
        (ColumnKind::Bool, value @ Value::Bool(_)) => Ok(value),
        (ColumnKind::Int2 | ColumnKind::Int4 | ColumnKind::Int8, Value::Number(number)) => {
            from_text(kind, &number.to_string())?;
            Ok(Value::Number(number))
        }
        (ColumnKind::Numeric(digits), Value::Number(number)) => {
            numeric(kind, &number.to_string(), *digits).map(Value::String)
        }
        // Text keeps digits that a JSON number loses on its way through a double.
        (ColumnKind::Numeric(digits), Value::String(text)) => {
            numeric(kind, &text, *digits).map(Value::String)
        }
        (ColumnKind::Float4 | ColumnKind::Float8, Value::Number(number)) => {
            float(kind, &number.to_string()).map(Value::String)
        }
        (ColumnKind::Bytea, Value::String(text)) => match BASE64.decode(text) {
            Ok(bytes) => Ok(Value::String(bytes.iter().fold("\\x".to_owned(), |mut hex, byte| {
                hex.extend(
                    [byte >> 4, byte & 15].map(|half| char::from_digit(u32::from(half), 16).unwrap_or('0')),
                );
                hex
            }))),
            Err(_) => wrong_form(kind),
        },
        (
            ColumnKind::Uuid
            | ColumnKind::Date
            | ColumnKind::Time
            | ColumnKind::Timestamp
            | ColumnKind::Timestamptz
            | ColumnKind::Interval
            | ColumnKind::Enum { .. },
            Value::String(text),
        ) => from_text(kind, &text).map(Value::String),
        (ColumnKind::Array(element), Value::Array(items)) => {
            items.into_iter().map(|item| from_json(element, item)).collect::<Fit<_>>().map(Value::Array)
        }
        _ => wrong_form(kind),
    }
}

const ZERO: &str = "Text cannot hold the character U+0000.";

fn holds_zero(value: &Value) -> bool {
    // serde_json bounds the depth of what it reads at 128, so this recursion is bounded too.
    match value {
        Value::String(text) => text.contains('\0'),
        Value::Array(items) => items.iter().any(holds_zero),
        Value::Object(members) => members.iter().any(|(name, item)| name.contains('\0') || holds_zero(item)),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

fn whole(kind: &ColumnKind, text: &str, least: i64, most: i64) -> Fit<String> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return wrong_form(kind);
    }
    match text.parse::<i64>() {
        Ok(number) if (least..=most).contains(&number) => Ok(number.to_string()),
        _ => misfit(FieldCode::OutOfRange, format!("This must be between {least} and {most}.")),
    }
}

fn float(kind: &ColumnKind, text: &str) -> Fit<String> {
    let number = match text.parse::<f64>() {
        Ok(number) if number.is_finite() && text.bytes().all(|byte| b"0123456789+-.eE".contains(&byte)) => {
            number
        }
        Ok(number) if number.is_infinite() && text.bytes().any(|byte| byte.is_ascii_digit()) => {
            return misfit(FieldCode::OutOfRange, "This number is too large.");
        }
        _ => return wrong_form(kind),
    };
    if *kind == ColumnKind::Float4 {
        // The narrowing is the point: what does not survive it does not fit a `real`.
        #[allow(clippy::cast_possible_truncation)]
        let narrow = number as f32;
        if narrow.is_infinite() || (narrow == 0.0 && number != 0.0) {
            return misfit(FieldCode::OutOfRange, "This number does not fit a 4-byte float.");
        }
        return Ok(format!("{narrow:e}"));
    }
    Ok(format!("{number:e}"))
}

/// A decimal number; with `digits` it must fit a column of that many digits in all and after the point. Postgres
/// rounds what is too fine, so only the part before the point can be too long, also by rounding up.
fn numeric(kind: &ColumnKind, text: &str, digits: Option<(u16, i16)>) -> Fit<String> {
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => match exponent.parse::<i32>() {
            Ok(exponent) if exponent.abs() <= 1_000 => (mantissa, exponent),
            Ok(_) => return misfit(FieldCode::OutOfRange, "The exponent must be between -1000 and 1000."),
            Err(_) => return wrong_form(kind),
        },
        None => (text, 0),
    };
    let unsigned = mantissa.strip_prefix('-').unwrap_or(mantissa);
    let (before, after) = unsigned.split_once('.').unwrap_or((unsigned, "0"));
    let is_number = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    if !is_number(before) || !is_number(after) {
        return wrong_form(kind);
    }
    if before.len() + after.len() > 1_000 {
        return misfit(FieldCode::TooLong, "A number has at most 1000 digits.");
    }
    if let Some((precision, scale)) = digits {
        let room = i32::from(precision) - i32::from(scale);
        let all = format!("{before}{after}");
        let significant = all.trim_start_matches('0');
        let length = |part: &str| i32::try_from(part.len()).unwrap_or(i32::MAX);
        let magnitude = length(before) + exponent - (length(&all) - length(significant));
        let (kept, cut) = significant.split_at(significant.len().min(usize::from(precision)));
        let rounds_up = kept.bytes().all(|digit| digit == b'9') && cut.as_bytes().first() >= Some(&b'5');
        if !significant.is_empty() && (magnitude > room || (magnitude == room && rounds_up)) {
            let message = format!("At most {} digits fit before the decimal point.", room.max(0));
            return misfit(FieldCode::OutOfRange, message);
        }
    }
    Ok(text.to_owned())
}

/// RFC 3339, or a date alone, which is its midnight in UTC.
fn instant(kind: &ColumnKind, text: &str) -> Fit<String> {
    let midnight = || {
        let date = NaiveDate::parse_from_str(text, "%Y-%m-%d").ok().filter(|_| text.len() == 10)?;
        Some(date.and_hms_opt(0, 0, 0)?.and_utc())
    };
    let parsed =
        DateTime::parse_from_rfc3339(text).map(|time| time.with_timezone(&Utc)).ok().or_else(midnight);
    match parsed {
        Some(time) if (1..=9999).contains(&time.year()) => {
            Ok(time.to_rfc3339_opts(SecondsFormat::Micros, true))
        }
        Some(_) => misfit(FieldCode::OutOfRange, "The year must be between 1 and 9999."),
        None if text.contains(' ') => misfit(
            FieldCode::InvalidFormat,
            "This must be an RFC 3339 date and time; in an address write + as %2B.",
        ),
        None => wrong_form(kind),
    }
}

fn local_time(kind: &ColumnKind, text: &str) -> Fit<String> {
    match NaiveDateTime::parse_from_str(text, "%Y-%m-%dT%H:%M:%S%.f") {
        Ok(time) if (1..=9999).contains(&time.year()) => Ok(time.format("%Y-%m-%dT%H:%M:%S%.6f").to_string()),
        _ => wrong_form(kind),
    }
}

/// `P1Y2M3DT4H5M6.5S`: each unit at most once, in this order, with at most six digits.
fn duration(kind: &ColumnKind, text: &str) -> Fit<String> {
    let Some(rest) = text.strip_prefix('P') else { return wrong_form(kind) };
    let (days, time) = match rest.split_once('T') {
        Some((days, time)) if !time.is_empty() => (days, time),
        Some(_) => return wrong_form(kind),
        None => (rest, ""),
    };
    if rest.is_empty() || !units(days, "YMWD", false) || !units(time, "HMS", true) {
        return wrong_form(kind);
    }
    Ok(text.to_owned())
}

fn units(text: &str, order: &str, fractions: bool) -> bool {
    let (mut order, mut number) = (order.chars(), String::new());
    for c in text.chars() {
        if c.is_ascii_digit()
            || (c == '-' && number.is_empty())
            || (fractions && c == '.' && !number.contains('.'))
        {
            number.push(c);
            continue;
        }
        let digits = number.trim_start_matches('-');
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, "0"));
        let bounded = (1..=6).contains(&whole.len()) && (1..=6).contains(&fraction.len());
        if !bounded || (number.contains('.') && c != 'S') || !order.any(|unit| unit == c) {
            return false;
        }
        number.clear();
    }
    number.is_empty()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn text(kind: &ColumnKind, value: &str) -> Result<String, FieldCode> {
        from_text(kind, value).map_err(|misfit| misfit.code)
    }

    fn member(kind: &ColumnKind, value: Value) -> Result<Value, FieldCode> {
        from_json(kind, value).map_err(|misfit| misfit.code)
    }

    #[test]
    fn whole_numbers_keep_to_the_range_of_their_column() {
        assert_eq!(text(&ColumnKind::Int2, "32767").unwrap(), "32767");
        assert_eq!(text(&ColumnKind::Int2, "32768"), Err(FieldCode::OutOfRange));
        assert_eq!(text(&ColumnKind::Int8, "9223372036854775808"), Err(FieldCode::OutOfRange));
        for wrong in ["", "-", "1.0", "+1", "1e3", " 1", "٣"] {
            assert_eq!(text(&ColumnKind::Int4, wrong), Err(FieldCode::InvalidFormat), "{wrong}");
        }
        assert_eq!(member(&ColumnKind::Int4, json!(1.5)), Err(FieldCode::InvalidFormat));
        assert_eq!(member(&ColumnKind::Int8, json!(u64::MAX)), Err(FieldCode::OutOfRange));
        assert_eq!(member(&ColumnKind::Int4, json!("1")), Err(FieldCode::InvalidFormat));
    }

    #[test]
    fn decimals_must_leave_room_before_the_point() {
        let kind = ColumnKind::Numeric(Some((5, 2)));
        assert!(member(&kind, json!(999.99)).is_ok());
        assert!(member(&kind, json!("000999.994")).is_ok());
        assert!(member(&kind, json!("0.000")).is_ok());
        assert_eq!(member(&kind, json!(999.995)), Err(FieldCode::OutOfRange));
        assert_eq!(member(&kind, json!(1000)), Err(FieldCode::OutOfRange));
        assert_eq!(member(&kind, json!(1e9)), Err(FieldCode::OutOfRange));
        assert_eq!(member(&kind, json!("0.01e6")), Err(FieldCode::OutOfRange));
        assert_eq!(member(&kind, json!("1e99999")), Err(FieldCode::OutOfRange));
        for wrong in ["NaN", "1,5", ".5", "5.", "--1", "1e", "Infinity"] {
            assert_eq!(member(&kind, json!(wrong)), Err(FieldCode::InvalidFormat), "{wrong}");
        }
    }

    #[test]
    fn floats_are_finite_and_fit() {
        assert_eq!(text(&ColumnKind::Float8, "1.5").unwrap(), "1.5e0");
        assert_eq!(text(&ColumnKind::Float8, "1e400"), Err(FieldCode::OutOfRange));
        assert_eq!(text(&ColumnKind::Float4, "1e-60"), Err(FieldCode::OutOfRange));
        assert_eq!(text(&ColumnKind::Float8, "nan"), Err(FieldCode::InvalidFormat));
        assert_eq!(text(&ColumnKind::Float8, "infinity"), Err(FieldCode::InvalidFormat));
    }

    #[test]
    fn times_come_out_in_utc() {
        let kind = ColumnKind::Timestamptz;
        assert_eq!(text(&kind, "2026-03-01T12:00:00+02:00").unwrap(), "2026-03-01T10:00:00.000000Z");
        assert_eq!(text(&kind, "2026-03-01").unwrap(), "2026-03-01T00:00:00.000000Z");
        assert_eq!(text(&kind, "0000-01-01T00:00:00Z"), Err(FieldCode::OutOfRange));
        for wrong in ["2026-3-1", "yesterday", "now", "infinity", "2026-02-30", "12:00"] {
            assert_eq!(text(&kind, wrong), Err(FieldCode::InvalidFormat), "{wrong}");
        }
        assert_eq!(text(&ColumnKind::Date, "2026-02-29"), Err(FieldCode::InvalidFormat));
        assert_eq!(text(&ColumnKind::Time, "07:30").unwrap(), "07:30:00.000000");
    }

    #[test]
    fn durations_are_iso_8601() {
        for right in ["P1D", "PT0.5S", "P1Y2M3W4DT5H6M7.25S", "PT-5M"] {
            assert!(text(&ColumnKind::Interval, right).is_ok(), "{right}");
        }
        for wrong in ["", "P", "PT", "1D", "P1D1Y", "P1.5D", "PT1", "P1234567Y", "1 day", "PT.S", "P1DT"] {
            assert_eq!(text(&ColumnKind::Interval, wrong), Err(FieldCode::InvalidFormat), "{wrong}");
        }
    }

    #[test]
    fn bytes_travel_as_base64() {
        assert_eq!(member(&ColumnKind::Bytea, json!("AP8=")).unwrap(), json!("\\x00ff"));
        assert_eq!(member(&ColumnKind::Bytea, json!("*")), Err(FieldCode::InvalidFormat));
    }

    #[test]
    fn lengths_count_characters_and_zero_is_no_character() {
        assert!(member(&ColumnKind::Varchar(3), json!("äöü")).is_ok());
        assert_eq!(member(&ColumnKind::Varchar(3), json!("äöüß")), Err(FieldCode::TooLong));
        assert_eq!(member(&ColumnKind::Text, json!("a\0")), Err(FieldCode::InvalidFormat));
        assert_eq!(member(&ColumnKind::Jsonb, json!({"a": ["\0"]})), Err(FieldCode::InvalidFormat));
        assert_eq!(member(&ColumnKind::Jsonb, json!("x".repeat(MAX_JSON_BYTES))), Err(FieldCode::TooLong));
    }

    #[test]
    fn arrays_check_each_element() {
        let kind = ColumnKind::Array(Box::new(ColumnKind::Int2));
        assert_eq!(member(&kind, json!([1, 2])).unwrap(), json!([1, 2]));
        assert_eq!(member(&kind, json!([1, 99_999])), Err(FieldCode::OutOfRange));
        assert_eq!(member(&kind, json!([null])), Err(FieldCode::InvalidFormat));
    }
}
