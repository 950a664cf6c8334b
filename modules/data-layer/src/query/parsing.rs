//! What queries are understood and refused.

use kernel::FieldCode;

use super::sample;
use super::{Deleted, ListQuery, MatchQuery, ReadQuery};

fn faults(model: &str, raw: &str) -> Vec<(String, FieldCode)> {
    let crm = sample::crm();
    match ListQuery::parse(&crm, crm.model(model).unwrap(), raw) {
        Ok(_) => Vec::new(),
        Err(errors) => errors.into_iter().map(|error| (error.field, error.code)).collect(),
    }
}

fn refused(raw: &str, field: &str, code: FieldCode) {
    assert_eq!(faults("contacts", raw), [(field.to_owned(), code)], "{raw}");
}

fn accepted(raw: &str) {
    assert_eq!(faults("contacts", raw), [], "{raw}");
}

#[test]
fn everything_of_a_list_can_be_said_at_once() {
    let crm = sample::crm();
    let raw = "name=ilike.a*&age=gte.18&or=(status.eq.left,and(age.lt.30,not.or(tags.contains.(vip),name.fts.smith)))\
               &select=name,company(name,parent(name)),deals_by_contact(title)&deals_by_contact.amount=gt.100\
               &deals_by_contact.sort=-amount&deals_by_contact.limit=3&sort=-created_at,name&limit=50&count=true\
               &deleted=with&cursor=abc";
    let list = ListQuery::parse(&crm, crm.model("contacts").unwrap(), raw).unwrap();
    assert_eq!((list.limit, list.count, list.deleted), (50, true, Deleted::With));
    assert_eq!(list.cursor.as_deref(), Some("abc"));
    assert_eq!(list.models().iter().copied().collect::<Vec<_>>(), ["companies", "contacts", "deals"]);
}

#[test]
fn nothing_said_is_twenty_live_records() {
    let crm = sample::crm();
    let list = ListQuery::parse(&crm, crm.model("contacts").unwrap(), "").unwrap();
    assert_eq!((list.limit, list.count, list.deleted), (20, false, Deleted::Without));
}

#[test]
fn unknown_names_are_named() {
    refused("nothing=eq.1", "nothing", FieldCode::UnknownField);
    refused("company.nothing=eq.1", "company.nothing", FieldCode::UnknownField);
    refused("or=(nothing.eq.1)", "or", FieldCode::UnknownField);
    refused("select=nothing", "select", FieldCode::UnknownField);
    refused("select=company(nothing)", "select", FieldCode::UnknownField);
    refused("sort=nothing", "sort", FieldCode::UnknownField);
    refused("name.x=eq.1", "name.x", FieldCode::UnknownField);
    refused("offset=5", "offset", FieldCode::UnknownField);
}

#[test]
fn a_hidden_column_is_as_if_it_did_not_exist() {
    refused("secret=eq.1", "secret", FieldCode::UnknownField);
    refused("select=secret", "select", FieldCode::UnknownField);
    refused("sort=secret", "sort", FieldCode::UnknownField);
    refused("and=(secret.is.null)", "and", FieldCode::UnknownField);
    assert_eq!(
        faults("deals", "contact.secret=like.a*"),
        [("contact.secret".to_owned(), FieldCode::UnknownField)]
    );
}

#[test]
fn a_value_must_be_of_its_columns_type() {
    refused("age=eq.x", "age", FieldCode::InvalidFormat);
    refused("age=eq.40000", "age", FieldCode::OutOfRange);
    refused("status=eq.gone", "status", FieldCode::InvalidFormat);
    refused("company_id=in.(1)", "company_id", FieldCode::InvalidFormat);
    refused("born=gt.2026-02-30", "born", FieldCode::InvalidFormat);
    refused("notes=contains.{", "notes", FieldCode::InvalidFormat);
    refused("or=(age.eq.x,name.eq.y)", "or.age", FieldCode::InvalidFormat);
    refused("name=what.x", "name", FieldCode::InvalidFormat);
    refused("place=eq.1", "place", FieldCode::NotAllowed);
    refused("sort=notes", "sort", FieldCode::NotAllowed);
}

#[test]
fn words_said_twice_or_wrongly_are_refused() {
    refused("limit=5&limit=6", "limit", FieldCode::InvalidFormat);
    refused("limit=0", "limit", FieldCode::OutOfRange);
    refused("limit=101", "limit", FieldCode::OutOfRange);
    refused("limit=99999999999", "limit", FieldCode::OutOfRange);
    refused("limit=ten", "limit", FieldCode::InvalidFormat);
    refused("count=yes", "count", FieldCode::InvalidFormat);
    refused("deleted=no", "deleted", FieldCode::InvalidFormat);
    refused("sort=name,-name", "sort", FieldCode::InvalidFormat);
    refused("sort=name,age,status,born,email,active", "sort", FieldCode::OutOfRange);
    refused("select=name,name", "select", FieldCode::InvalidFormat);
    refused("select=company(name", "select", FieldCode::InvalidFormat);
    refused("select=company(name)x", "select", FieldCode::InvalidFormat);
    refused("or=a.eq.1", "or", FieldCode::InvalidFormat);
    refused("or=()", "or", FieldCode::InvalidFormat);
}

#[test]
fn a_column_named_like_a_word_is_filtered_in_a_group() {
    accepted("and=(limit.eq.5)&limit=5");
}

#[test]
fn to_many_relations_are_filtered_where_they_are_selected() {
    accepted("select=name,deals_by_contact(title)&deals_by_contact.title=eq.x");
    accepted("select=name,deals_by_contact(title)&deals_by_contact.or=(title.eq.x,amount.gt.1)");
    accepted("select=company(deals(title))&company.deals.limit=2&company.deals.contact.name=eq.x");
    refused("deals_by_contact.title=eq.x", "deals_by_contact", FieldCode::NotAllowed);
    refused("or=(deals_by_contact.title.eq.x)", "or", FieldCode::NotAllowed);
    refused("company.sort=name", "company.sort", FieldCode::UnknownField);
    refused("company=eq.x", "company", FieldCode::InvalidFormat);
    let twice = "select=deals_by_contact&deals_by_contact.limit=1&deals_by_contact.limit=2";
    refused(twice, "deals_by_contact.limit", FieldCode::InvalidFormat);
}

#[test]
fn limits_hold() {
    let filters = |count: usize| vec!["age=gt.1"; count].join("&");
    accepted(&filters(20));
    refused(&filters(21), "age", FieldCode::OutOfRange);
    let in_group = format!("or=({})", vec!["age.gt.1"; 500].join(","));
    refused(&in_group, "or.age", FieldCode::OutOfRange);

    let nested = |depth: usize| format!("or={}age.gt.1{}", "(or".repeat(depth - 1) + "(", ")".repeat(depth));
    accepted(&nested(5));
    refused(&nested(6), "or", FieldCode::OutOfRange);
    refused(&nested(1000), "or", FieldCode::OutOfRange);

    accepted("select=company(parent(parent(name)))");
    refused("select=company(parent(parent(parent(name))))", "select", FieldCode::OutOfRange);
    accepted("company.parent.parent.name=eq.x");
    refused(
        "company.parent.parent.parent.name=eq.x",
        "company.parent.parent.parent.name",
        FieldCode::OutOfRange,
    );
    refused("or=(company.parent.parent.parent.name.eq.x)", "or", FieldCode::OutOfRange);
}

#[test]
fn a_page_that_could_grow_without_measure_is_refused() {
    let deep = "select=company(contacts(deals_by_contact(title)))";
    accepted(deep);
    let deeper = format!("{deep}&limit=100&company.contacts.deals_by_contact.limit=100");
    refused(&deeper, "select", FieldCode::OutOfRange);
}

#[test]
fn a_read_of_one_record_takes_a_selection_only() {
    let crm = sample::crm();
    let contacts = crm.model("contacts").unwrap();
    let read = |raw| ReadQuery::parse(&crm, contacts, raw).map(|_| ()).map_err(|errors| errors[0].code);
    assert_eq!(read("select=name,deals_by_contact&deals_by_contact.sort=title"), Ok(()));
    assert_eq!(read("name=eq.x"), Err(FieldCode::NotAllowed));
    assert_eq!(read("sort=name"), Err(FieldCode::UnknownField));
    assert_eq!(read("or=(name.eq.x)"), Err(FieldCode::NotAllowed));
}

#[test]
fn a_change_of_many_says_which_and_how_many() {
    let crm = sample::crm();
    let contacts = crm.model("contacts").unwrap();
    let read =
        |raw| MatchQuery::parse(&crm, contacts, raw).map(|query| query.max).map_err(|errors| errors[0].code);
    assert_eq!(read("status=eq.left&max=10"), Ok(10));
    assert_eq!(read("status=eq.left"), Err(FieldCode::Required));
    assert_eq!(read("max=10"), Err(FieldCode::Required));
    assert_eq!(read("status=eq.left&max=10001"), Err(FieldCode::OutOfRange));
    assert_eq!(read("status=eq.left&max=10&select=name"), Err(FieldCode::UnknownField));
}
