//! A small CRM for the tests: companies have contacts and deals, deals have a contact and maybe a referrer.

use std::collections::BTreeMap;

use crate::catalogue::{
    Catalogue, CatalogueRows, ColumnRow, ConstraintKind, ConstraintRow, FieldRules, TableRow,
};

/// The catalogue of the module `crm`; of contacts `secret` is hidden and `score` read only.
pub(crate) fn crm() -> Catalogue {
    let rules = FieldRules { hidden: ["secret".to_owned()].into(), read_only: ["score".to_owned()].into() };
    let (catalogue, unusable) =
        Catalogue::build("crm", "module_crm", crm_rows(), &BTreeMap::from([("contacts".to_owned(), rules)]));
    assert!(unusable.is_empty(), "{unusable:?}");
    catalogue
}

/// `name type`, with `!` for not null and `=` for a default.
pub(crate) fn crm_rows() -> CatalogueRows {
    let companies = ["name text!", "industry text", "parent_id uuid"];
    let contacts = [
        "name varchar:204!",
        "email text!",
        "status status!=",
        "mood status",
        "age int2",
        "score numeric:327686",
        "secret text",
        "company_id uuid",
        "notes jsonb",
        "tags text[]",
        "born date",
        "seen_at timestamptz",
        "limit int4",
        "photo bytea",
        "place point",
        "active bool!=",
    ];
    let deals =
        ["title text!", "amount numeric:786438", "contact_id uuid!", "referrer_id uuid", "company_id uuid"];
    let tables: [(&str, &[&str]); 3] =
        [("companies", &companies), ("contacts", &contacts), ("deals", &deals)];
    let automatic = [
        "id uuid!",
        "tenant_id uuid!",
        "created_at timestamptz!=",
        "updated_at timestamptz!=",
        "deleted_at timestamptz",
        "version int4!=",
    ];
    let mut rows = CatalogueRows::default();
    for (table, own) in tables {
        rows.tables.push(TableRow { table: table.to_owned(), comment: None });
        rows.columns.extend(automatic.iter().chain(own).map(|text| column(table, text)));
    }
    rows.constraints = vec![
        unique("contacts", "contacts_email_key", &["tenant_id", "email"]),
        foreign("contacts", "contacts_company_fk", "company_id", "companies"),
        foreign("companies", "companies_parent_fk", "parent_id", "companies"),
        foreign("deals", "deals_contact_fk", "contact_id", "contacts"),
        foreign("deals", "deals_referrer_fk", "referrer_id", "contacts"),
        foreign("deals", "deals_company_fk", "company_id", "companies"),
    ];
    rows
}

fn column(table: &str, text: &str) -> ColumnRow {
    let (name, rest) = text.split_once(' ').unwrap();
    let kind = rest.trim_end_matches(['!', '=']);
    let (kind, is_array) = kind.strip_suffix("[]").map_or((kind, false), |element| (element, true));
    let (kind, modifier) =
        kind.split_once(':').map_or((kind, -1), |(kind, modifier)| (kind, modifier.parse().unwrap()));
    let enum_values =
        if kind == "status" { vec!["active".to_owned(), "left".to_owned()] } else { Vec::new() };
    ColumnRow {
        table: table.to_owned(),
        column: name.to_owned(),
        type_schema: if kind == "status" { "module_crm" } else { "pg_catalog" }.to_owned(),
        type_name: kind.to_owned(),
        modifier,
        is_array,
        enum_values,
        not_null: rest.contains('!'),
        has_default: rest.contains('='),
        generated: false,
        comment: None,
    }
}

fn unique(table: &str, name: &str, columns: &[&str]) -> ConstraintRow {
    ConstraintRow {
        table: table.to_owned(),
        name: name.to_owned(),
        kind: ConstraintKind::Unique,
        columns: columns.iter().map(|column| (*column).to_owned()).collect(),
        target_table: None,
        target_columns: Vec::new(),
    }
}

fn foreign(table: &str, name: &str, column: &str, target: &str) -> ConstraintRow {
    ConstraintRow {
        kind: ConstraintKind::Foreign,
        target_table: Some(target.to_owned()),
        target_columns: vec!["tenant_id".to_owned(), "id".to_owned()],
        ..unique(table, name, &["tenant_id", column])
    }
}
