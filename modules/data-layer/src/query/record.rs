//! Checks records that come in, member by member, before any SQL.

use kernel::{FieldCode, FieldError};
use serde_json::{Map, Value};

use super::value::from_json;
use super::{MAX_BATCH, MAX_RECORD_BYTES, text};
use crate::catalogue::{Column, Model};

/// Faults named in one answer; a thousand wrong records need no thousand sentences.
const MAX_FAULTS: usize = 100;

/// One checked record: its members in the columns' normal form, as the JSON text that Postgres will read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    pub(super) text: String,
    /// The given columns by their place in the model, in order.
    pub(super) given: Vec<usize>,
}

/// The records of one POST.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Records {
    /// The records in the order of the body.
    pub records: Vec<Record>,
    /// Whether the body was an array, and so is the answer.
    pub many: bool,
}

impl Records {
    /// Checks the body of a POST: one object, or an array of 1 to [`MAX_BATCH`].
    ///
    /// # Errors
    /// What is wrong, by JSON pointer into the body.
    pub fn check(model: &Model, body: Value) -> Result<Self, Vec<FieldError>> {
        let many = body.is_array();
        let items = match body {
            Value::Array(items) if items.is_empty() => {
                return Err(vec![FieldError::new("", FieldCode::TooShort, "The array must hold a record.")]);
            }
            Value::Array(items) if items.len() > MAX_BATCH => {
                let message = format!("At most {MAX_BATCH} records at once; these are {}.", items.len());
                return Err(vec![FieldError::new("", FieldCode::TooLong, message)]);
            }
            Value::Array(items) => items,
            one => vec![one],
        };
        let mut errors = Vec::new();
        let mut records = Vec::with_capacity(items.len());
        for (at, item) in items.into_iter().enumerate() {
            let pointer = if many { format!("/{at}") } else { String::new() };
            if let Some(record) = read(model, item, &pointer, Purpose::Create, &mut errors) {
                records.push(record);
            }
            if errors.len() >= MAX_FAULTS {
                break;
            }
        }
        if errors.is_empty() {
            return Ok(Self { records, many });
        }
        errors.truncate(MAX_FAULTS);
        Err(errors)
    }
}

/// The members that a PATCH sets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Patch(pub(super) Record);

impl Patch {
    /// Checks the body of a PATCH: an object of the members to set.
    ///
    /// # Errors
    /// What is wrong, by JSON pointer into the body.
    pub fn check(model: &Model, body: Value) -> Result<Self, Vec<FieldError>> {
        let mut errors = Vec::new();
        match read(model, body, "", Purpose::Change, &mut errors) {
            Some(record) if errors.is_empty() => Ok(Self(record)),
            _ => {
                errors.truncate(MAX_FAULTS);
                Err(errors)
            }
        }
    }

    /// Whether it sets nothing.
    pub fn is_empty(&self) -> bool {
        self.0.given.is_empty()
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Purpose {
    Create,
    Change,
}

fn read(
    model: &Model,
    item: Value,
    pointer: &str,
    purpose: Purpose,
    errors: &mut Vec<FieldError>,
) -> Option<Record> {
    let Value::Object(members) = item else {
        errors.push(FieldError::new(pointer, FieldCode::InvalidFormat, "A record is a JSON object."));
        return None;
    };
    let before = errors.len();
    let mut given = Vec::with_capacity(members.len());
    let mut checked = Map::with_capacity(members.len());
    for (name, value) in members {
        let fault =
            |code, message: String| FieldError::new(format!("{pointer}/{}", escaped(&name)), code, message);
        match member(model, &name, value) {
            Ok((place, value)) => {
                given.push(place);
                checked.insert(name, value);
            }
            Err((code, message)) => errors.push(fault(code, message)),
        }
    }
    given.sort_unstable();
    if purpose == Purpose::Create {
        for (place, column) in model.columns.iter().enumerate() {
            let needed = !column.nullable && !column.has_default && model.is_writable(column);
            let named = given.binary_search(&place).is_ok()
                || errors[before..]
                    .iter()
                    .any(|error| error.field == format!("{pointer}/{}", escaped(&column.name)));
            if needed && !named {
                let field = format!("{pointer}/{}", escaped(&column.name));
                errors.push(FieldError::new(field, FieldCode::Required, "This must be given."));
            }
        }
    }
    let text = Value::Object(checked).to_string();
    if text.len() > MAX_RECORD_BYTES {
        let message = format!("A record has at most {MAX_RECORD_BYTES} bytes; this one has {}.", text.len());
        errors.push(FieldError::new(pointer, FieldCode::TooLong, message));
    }
    (errors.len() == before).then_some(Record { text, given })
}

/// One member: the place of its column and the value in normal form.
fn member(model: &Model, name: &str, value: Value) -> Result<(usize, Value), (FieldCode, String)> {
    let found = model.columns.iter().position(|column| column.name == name);
    let column: Option<(usize, &Column)> = found.map(|place| (place, &model.columns[place]));
    let Some((place, column)) = column.filter(|(_, column)| !model.hidden.contains(&column.name)) else {
        return Err((FieldCode::UnknownField, format!("{} has no field {}.", model.name, text::shown(name))));
    };
    if Model::is_automatic(name) {
        return Err((FieldCode::NotAllowed, format!("{name} is kept by the kernel and cannot be set.")));
    }
    if column.generated {
        return Err((FieldCode::NotAllowed, format!("{name} is computed and cannot be set.")));
    }
    if !model.is_writable(column) {
        return Err((FieldCode::NotAllowed, format!("{name} can only be read.")));
    }
    if value.is_null() {
        if column.nullable {
            return Ok((place, value));
        }
        return Err((FieldCode::Required, format!("{name} must not be null.")));
    }
    from_json(&column.kind, value).map(|value| (place, value)).map_err(|misfit| (misfit.code, misfit.message))
}

/// A member's name in a JSON pointer (RFC 6901).
fn escaped(name: &str) -> String {
    text::shown(name).replace('~', "~0").replace('/', "~1")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::query::sample;

    fn faults(body: Value) -> Vec<(String, FieldCode)> {
        let crm = sample::crm();
        let errors = Records::check(crm.model("contacts").unwrap(), body).unwrap_err();
        errors.into_iter().map(|error| (error.field, error.code)).collect()
    }

    #[test]
    fn faults_are_named_by_pointer_and_kind() {
        let body = json!([
            {"name": "Ann", "email": "a@x.example"},
            {"email": "b@x.example", "status": "gone", "age": 1_000_000, "no/such": 1},
            {"name": null, "id": "0190b2a0-0000-7000-8000-000000000000", "score": 5, "secret": "x"},
            7
        ]);
        let expected = [
            ("/1/status", FieldCode::InvalidFormat),
            ("/1/age", FieldCode::OutOfRange),
            ("/1/no~1such", FieldCode::UnknownField),
            ("/1/name", FieldCode::Required),
            ("/2/name", FieldCode::Required),
            ("/2/id", FieldCode::NotAllowed),
            ("/2/score", FieldCode::NotAllowed),
            ("/2/secret", FieldCode::UnknownField),
            ("/2/email", FieldCode::Required),
            ("/3", FieldCode::InvalidFormat),
        ];
        assert_eq!(faults(body), expected.map(|(field, code)| (field.to_owned(), code)));
    }

    #[test]
    fn automatic_columns_cannot_be_set() {
        let crm = sample::crm();
        for name in crate::catalogue::AUTOMATIC_COLUMNS {
            let errors = Patch::check(crm.model("contacts").unwrap(), json!({ name: null })).unwrap_err();
            assert_eq!(errors[0].code, FieldCode::NotAllowed, "{name}");
        }
    }

    #[test]
    fn a_patch_requires_nothing_and_sets_null_where_it_may() {
        let crm = sample::crm();
        let contacts = crm.model("contacts").unwrap();
        assert!(Patch::check(contacts, json!({})).unwrap().is_empty());
        assert_eq!(Patch::check(contacts, json!({"age": null})).unwrap().0.text, r#"{"age":null}"#);
        assert_eq!(Patch::check(contacts, json!({"name": null})).unwrap_err()[0].code, FieldCode::Required);
        assert_eq!(Patch::check(contacts, json!([])).unwrap_err()[0].code, FieldCode::InvalidFormat);
    }

    #[test]
    fn batches_hold_between_one_and_a_thousand() {
        let one = json!({"name": "Ann", "email": "a@x.example"});
        assert_eq!(faults(json!([])), [(String::new(), FieldCode::TooShort)]);
        assert_eq!(faults(json!(vec![one.clone(); MAX_BATCH + 1])), [(String::new(), FieldCode::TooLong)]);
        let crm = sample::crm();
        let records = Records::check(crm.model("contacts").unwrap(), json!(vec![one; MAX_BATCH])).unwrap();
        assert_eq!((records.records.len(), records.many), (MAX_BATCH, true));
    }

    #[test]
    fn a_thousand_faults_are_cut_short() {
        assert_eq!(faults(json!(vec![json!({}); MAX_BATCH])).len(), MAX_FAULTS);
    }
}
