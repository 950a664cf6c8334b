//! What a refusal of Postgres means to the caller: the record's members by name, never a statement.

use std::{error::Error as _, time::Duration};

use kernel::{Error, FieldCode, FieldError, Slug};
use sqlx::postgres::PgDatabaseError;

use crate::catalogue::{Catalogue, Model};

/// What was being done when Postgres refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// A query.
    Read,
    /// One record is written: members are named by pointers into the body.
    WriteOne,
    /// Several are written: which of them it was is not known.
    WriteMany,
    /// A record is removed for ever.
    Remove,
}

/// What Postgres said, as far as it matters here.
struct Refused<'e> {
    code: &'e str,
    table: &'e str,
    constraint: &'e str,
    column: Option<&'e str>,
}

/// Says it in the words of the model; any other error stays as it is.
pub(crate) fn of(error: Error, catalogue: &Catalogue, model: &Model, purpose: Purpose) -> Error {
    let found = {
        let postgres = error
            .source()
            .and_then(|source| source.downcast_ref::<sqlx::Error>())
            .and_then(sqlx::Error::as_database_error)
            .and_then(|database| database.try_downcast_ref::<PgDatabaseError>());
        postgres.and_then(|postgres| {
            let refused = Refused {
                code: postgres.code(),
                table: postgres.table().unwrap_or_default(),
                constraint: postgres.constraint().unwrap_or_default(),
                column: postgres.column(),
            };
            explain(&refused, catalogue, model, purpose)
        })
    };
    match found {
        Some(explained) => explained.because(error),
        None => error,
    }
}

fn explain(refused: &Refused<'_>, catalogue: &Catalogue, model: &Model, purpose: Purpose) -> Option<Error> {
    let own = refused.table == model.table;
    let columns = || if own { model.constrained_columns(refused.constraint) } else { Vec::new() };
    Some(match refused.code {
        // unique_violation
        "23505" => {
            let columns = columns();
            let detail = match columns.as_slice() {
                [] => "A value that must be unique is taken.".to_owned(),
                names => format!("There is a {} record with this {} already.", model.name, names.join(", ")),
            };
            let fields = fields(&columns, FieldCode::NotAllowed, "This is taken.", purpose);
            Error::new(Slug::AlreadyExists, detail).with_fields(fields)
        }
        // foreign_key_violation, restrict_violation
        "23503" | "23001" if purpose == Purpose::Remove || !own => {
            let who = catalogue.model(refused.table).map_or("other records", |model| model.name.as_str());
            Error::new(
                Slug::Conflict,
                format!("Records of {who} still refer to it; change or remove them first."),
            )
        }
        "23503" => {
            let target = model.reference(refused.constraint).map_or("referenced", |to| to.target.as_str());
            wrong(&columns(), FieldCode::NotAllowed, &format!("There is no such {target} record."), purpose)
        }
        // check_violation
        "23514" if own => {
            let message = format!("This breaks the rule {}.", refused.constraint);
            wrong(&columns(), FieldCode::NotAllowed, &message, purpose)
        }
        // not_null_violation
        "23502" if own => {
            let visible = refused.column.filter(|name| model.visible(name).is_some());
            wrong(visible.as_slice(), FieldCode::Required, "This must be given.", purpose)
        }
        // program_limit_exceeded: most often a value that its index cannot hold
        "54000" => wrong(&columns(), FieldCode::TooLong, "This is too long to be looked up by.", purpose),
        // Another table's rule stood in the way of what a foreign key does on removal.
        "23514" | "23502" => Error::new(Slug::Conflict, "Records that refer to it do not allow it."),
        // undefined_table, undefined_column, undefined_object, invalid_schema_name: the module changed under this very
        // request
        "42P01" | "42703" | "42704" | "3F000" => {
            Error::new(Slug::DependencyUnavailable, "The module is being changed just now.")
                .retry_after(Duration::from_secs(1))
        }
        code if code.starts_with("22") => wrong(
            &[],
            FieldCode::InvalidFormat,
            "A value does not have the form that its field needs.",
            purpose,
        ),
        _ => return None,
    })
}

fn wrong(columns: &[&str], code: FieldCode, message: &str, purpose: Purpose) -> Error {
    let named = fields(columns, code, message, purpose);
    if named.is_empty() {
        return Error::field(whole(purpose), code, message.to_owned());
    }
    Error::fields(named)
}

/// One entry a column; where the record is not known, one for the whole body that names the columns.
fn fields(columns: &[&str], code: FieldCode, message: &str, purpose: Purpose) -> Vec<FieldError> {
    match purpose {
        _ if columns.is_empty() => Vec::new(),
        Purpose::WriteMany => {
            let message = format!("In one of the records, {}: {message}", columns.join(", "));
            vec![FieldError::new(whole(purpose), code, message)]
        }
        _ => columns
            .iter()
            .map(|name| {
                FieldError::new(format!("/{}", name.replace('~', "~0").replace('/', "~1")), code, message)
            })
            .collect(),
    }
}

fn whole(purpose: Purpose) -> &'static str {
    if purpose == Purpose::Read { "query" } else { "" }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::query::sample;

    fn told(code: &str, table: &str, constraint: &str, purpose: Purpose) -> (Slug, Vec<(String, FieldCode)>) {
        let crm = sample::crm();
        let refused = Refused { code, table, constraint, column: Some("email") };
        let error = explain(&refused, &crm, crm.model("contacts").unwrap(), purpose).unwrap();
        let fields = error.field_errors().iter().map(|error| (error.field.clone(), error.code)).collect();
        (error.slug(), fields)
    }

    #[test]
    fn a_refusal_names_the_members_it_is_about() {
        use Purpose::{Remove, WriteMany, WriteOne};
        let at = |field: &str, code| vec![(field.to_owned(), code)];
        let unique = |purpose| told("23505", "contacts", "contacts_email_key", purpose);
        assert_eq!(unique(WriteOne), (Slug::AlreadyExists, at("/email", FieldCode::NotAllowed)));
        assert_eq!(unique(WriteMany), (Slug::AlreadyExists, at("", FieldCode::NotAllowed)));
        assert_eq!(
            told("23503", "contacts", "contacts_company_fk", WriteOne),
            (Slug::ValidationError, at("/company_id", FieldCode::NotAllowed))
        );
        assert_eq!(told("23503", "deals", "deals_contact_fk", Remove), (Slug::Conflict, Vec::new()));
        assert_eq!(
            told("23502", "contacts", "", WriteOne),
            (Slug::ValidationError, at("/email", FieldCode::Required))
        );
        assert_eq!(
            told("22P02", "", "", WriteOne),
            (Slug::ValidationError, at("", FieldCode::InvalidFormat))
        );
    }

    #[test]
    fn what_is_not_the_callers_doing_stays_a_fault() {
        let crm = sample::crm();
        let refused = Refused { code: "42501", table: "contacts", constraint: "", column: None };
        assert!(explain(&refused, &crm, crm.model("contacts").unwrap(), Purpose::WriteOne).is_none());
        let error = Error::not_found("record");
        let same = of(error, &crm, crm.model("contacts").unwrap(), Purpose::Read);
        assert_eq!(same.slug(), Slug::NotFound);
    }
}
