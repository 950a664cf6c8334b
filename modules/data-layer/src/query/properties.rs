//! What holds for any query and any body.

use std::sync::Arc;

use kernel::TenantId;
use proptest::prelude::*;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{ListQuery, MatchQuery, OnBehalf, Patch, ReadQuery, Records, sample};

const TENANT: TenantId = TenantId::from_uuid(Uuid::from_u128(1));
const BY: OnBehalf<'static> = OnBehalf { tenant: TENANT, request: "{}" };
/// Stands in every piece of text that a request brings along.
const MARK: &str = "Zq9";

/// All statements that a query string leads to.
fn statements(raw: &str) -> Vec<Arc<str>> {
    let crm = sample::crm();
    let contacts = crm.model("contacts").unwrap();
    let patch = Patch::check(contacts, json!({"age": 1})).unwrap();
    let mut found = Vec::new();
    if let Ok(list) = ListQuery::parse(&crm, contacts, raw) {
        found.push(list.compile(TENANT, None).unwrap().statement.sql);
        found.push(list.compile_stream(TENANT).sql);
    }
    if let Ok(read) = ReadQuery::parse(&crm, contacts, raw) {
        found.push(read.compile(TENANT, Uuid::nil()).sql);
    }
    if let Ok(many) = MatchQuery::parse(&crm, contacts, &format!("{raw}&max=5")) {
        found.push(super::change_matching(BY, &many, &patch).sql);
    }
    found
}

fn word() -> impl Strategy<Value = String> {
    prop_oneof![
        8 => prop::sample::select(vec![
            "name", "age", "status", "company", "deals_by_contact", "parent", "tags", "notes", "or", "and", "not",
            "select", "sort", "limit", "cursor", "count", "deleted", "eq", "in", "is", "like", "contains", "fts",
            "null", "5", ".", ",", "(", ")", "=", "&", "-", "*", "\"", "\\", "%22", "%28", "%2C", "{", "}",
        ]).prop_map(str::to_owned),
        1 => ".{0,8}".prop_map(String::from),
    ]
}

/// A filter whose value holds the mark, and mostly is accepted.
fn marked_filter() -> impl Strategy<Value = String> {
    let column = prop::sample::select(vec!["name", "email", "company.name", "company.parent.name"]);
    let value = "[a-z '\";$()%*,\\\\-]{0,12}".prop_map(|text| format!("{text}{MARK}{text}"));
    (column, 0..6_usize, value, any::<bool>()).prop_map(|(column, form, value, negated)| {
        let quoted = value.replace('\\', "\\\\").replace('"', "\\\"");
        let not = if negated { "not." } else { "" };
        let encoded = |text: String| -> String { text.bytes().map(|byte| format!("%{byte:02x}")).collect() };
        match form {
            0 => format!("{column}={}", encoded(format!("{not}eq.{value}"))),
            1 => format!("{column}={}", encoded(format!("{not}ilike.{}", value.replace('\\', "")))),
            2 => format!("{column}={}", encoded(format!("{not}in.(\"{quoted}\",b)"))),
            3 => format!("{column}={}", encoded(format!("{not}fts.{value}"))),
            4 => format!("notes={}", encoded(format!("contains.{}", json!({ "a": value })))),
            _ => format!(
                "or={}",
                encoded(format!("({column}.{not}gt.\"{quoted}\",tags.contains.(\"{quoted}\"))"))
            ),
        }
    })
}

fn json_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,20}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 20, 5, |inner| {
        let name = prop_oneof![
            prop::sample::select(vec![
                "name", "email", "status", "age", "notes", "tags", "born", "photo", "id"
            ])
            .prop_map(str::to_owned),
            ".{0,5}",
        ];
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::vec((name, inner), 0..6)
                .prop_map(|members| members.into_iter().collect::<serde_json::Map<_, _>>().into()),
        ]
    })
}

proptest! {
    #[test]
    fn no_query_string_panics(raw in ".{0,200}") {
        statements(&raw);
    }

    #[test]
    fn no_row_of_known_words_panics(words in prop::collection::vec(word(), 0..40)) {
        statements(&words.concat());
    }

    #[test]
    fn no_value_reaches_sql_text(filters in prop::collection::vec(marked_filter(), 1..4)) {
        let found = statements(&format!("{}&cursor={MARK}", filters.join("&")));
        prop_assert!(!found.is_empty(), "a well-formed query was refused: {filters:?}");
        for sql in found {
            prop_assert!(!sql.contains(MARK), "{sql}");
        }
    }

    #[test]
    fn no_unknown_name_reaches_sql_text(name in "[a-z'\" ();-]{0,6}Zq9[a-z'\" ();-]{0,6}") {
        for raw in [
            format!("{name}=eq.1"), format!("name={name}.1"), format!("select={name}"), format!("sort={name}"),
            format!("or=({name}.eq.1)"), format!("company.{name}=eq.1"), format!("select=company({name})"),
            format!("select=name,{name}(name)"), format!("name=eq.1&deals_by_contact.{name}=eq.1"),
        ] {
            prop_assert!(statements(&raw).iter().all(|sql| !sql.contains(MARK)), "{raw}");
        }
    }

    #[test]
    fn no_depth_of_groups_or_relations_is_too_much(depth in 1..2_000_usize) {
        let group = format!("or={}age.gt.1{}", "(and".repeat(depth), ")".repeat(depth));
        let select = format!("select={}name{}", "company(".repeat(depth), ")".repeat(depth));
        prop_assert!(statements(&group).is_empty());
        prop_assert!(depth <= 1 || statements(&select).iter().all(|sql| sql.len() < 10_000));
    }

    #[test]
    fn no_body_panics_and_no_value_of_one_reaches_sql_text(body in json_value(), text in "[a-z'\";$\\\\]{0,8}") {
        let crm = sample::crm();
        let contacts = crm.model("contacts").unwrap();
        let _ = Patch::check(contacts, body.clone());
        if let Ok(records) = Records::check(contacts, body) {
            let rows: Vec<_> = records.records.iter().map(|record| (Uuid::nil(), record)).collect();
            super::insert_many(BY, contacts, &rows);
        }
        let marked = format!("{text}{MARK}");
        let body = json!([{"name": marked, "email": "x", "notes": {&marked: &marked}, "tags": [&marked]}]);
        let records = Records::check(contacts, body).unwrap();
        let rows: Vec<_> = records.records.iter().map(|record| (Uuid::nil(), record)).collect();
        prop_assert!(!super::insert_rows(BY, contacts, &rows).sql.contains(MARK));
    }
}
