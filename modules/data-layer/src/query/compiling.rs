//! What statements are made: their shape, and that it stays the same.

use kernel::TenantId;
use serde_json::json;
use uuid::Uuid;

use super::{
    CursorKeys, CursorMismatch, ListQuery, ListStatement, MatchQuery, OnBehalf, Param, Patch, ReadQuery,
    Records, sample,
};

const TENANT: TenantId = TenantId::from_uuid(Uuid::from_u128(1));

const BY: OnBehalf<'static> = OnBehalf { tenant: TENANT, request: "{}" };

fn list(raw: &str, cursor: Option<&CursorKeys>) -> Result<ListStatement, CursorMismatch> {
    let crm = sample::crm();
    ListQuery::parse(&crm, crm.model("contacts").unwrap(), raw).unwrap().compile(TENANT, cursor)
}

fn sql(raw: &str) -> String {
    list(raw, None).unwrap().statement.sql.to_string()
}

fn page_after(raw: &str, values: serde_json::Value) -> String {
    let fingerprint = list(raw, None).unwrap().fingerprint;
    let serde_json::Value::Array(values) = values else { panic!("not an array") };
    list(raw, Some(&CursorKeys { values, fingerprint })).unwrap().statement.sql.to_string()
}

#[test]
fn the_tenant_is_compared_on_every_table() {
    let text = sql("select=name,company(name,parent(name)),deals_by_contact(title,company(name))\
                    &company.name=eq.x&deals_by_contact.referrer.name=eq.y&count=true");
    let tables = text.matches("\"module_crm\".").count();
    // Contacts and the filter's company (each also for the count), company, parent, deals, their company and referrer.
    assert_eq!(tables, 9);
    assert_eq!(text.matches("kernel.owns($1::uuid, ").count(), tables);
    assert_eq!(text.matches("\"deleted_at\" is null").count(), tables);
}

#[test]
fn equal_shapes_have_equal_texts() {
    assert_eq!(sql("age=gt.1&name=in.(a,b)&limit=5"), sql("age=gt.99&name=in.(c,d,e)&limit=100"));
    assert_ne!(sql("age=gt.1"), sql("age=gte.1"));
}

#[test]
fn negation_takes_in_what_is_null() {
    assert!(sql("age=neq.1").contains("((t0.\"age\" = $2::text::int2) is not true)"));
    assert_eq!(sql("age=neq.1"), sql("age=not.eq.1"));
    assert_eq!(sql("age=eq.1"), sql("age=not.neq.1"));
}

#[test]
fn a_cursor_serves_its_own_list_only() {
    let first = list("age=gt.1&sort=name", None).unwrap();
    let id = Uuid::nil().to_string();
    let cursor = CursorKeys { values: vec![json!("Ann"), json!(id)], fingerprint: first.fingerprint };
    assert!(list("age=gt.1&sort=name", Some(&cursor)).is_ok());
    assert!(list("age=gt.1&sort=name&limit=7&select=name", Some(&cursor)).is_ok());
    for other in
        ["age=gt.2&sort=name", "age=gt.1&sort=-name", "age=gt.1&sort=email", "sort=name", "deleted=with"]
    {
        assert_eq!(list(other, Some(&cursor)), Err(CursorMismatch), "{other}");
    }
    let short = CursorKeys { values: vec![json!("Ann")], fingerprint: first.fingerprint };
    assert_eq!(list("age=gt.1&sort=name", Some(&short)), Err(CursorMismatch));
    let null = CursorKeys { values: vec![json!(null), json!(id)], fingerprint: first.fingerprint };
    assert_eq!(list("age=gt.1&sort=name", Some(&null)), Err(CursorMismatch));
}

#[test]
fn keys_that_are_never_null_are_compared_as_a_row() {
    let text = page_after("sort=-created_at", json!(["2026-01-01 00:00:00+00", Uuid::nil().to_string()]));
    let row = "(t0.\"created_at\", t0.\"id\") < ($2::text::timestamptz, $3::text::uuid)";
    assert!(text.contains(row), "{text}");
    assert!(text.contains("order by t0.\"created_at\" desc, t0.\"id\" desc limit"), "{text}");
}

#[test]
fn null_comes_last_in_both_directions() {
    let id = Uuid::nil().to_string();
    let text = page_after("sort=-age", json!(["5", id]));
    assert!(text.contains("order by t0.\"age\" desc nulls last, t0.\"id\" desc"), "{text}");
    let beyond = "(t0.\"age\" < $2::text::int2 or t0.\"age\" is null or (t0.\"age\" = $2::text::int2 and \
                  (t0.\"id\" < $3::text::uuid)))";
    assert!(text.contains(beyond), "{text}");
    let text = page_after("sort=age", json!([null, id]));
    assert!(text.contains(" and (t0.\"age\" is null and (t0.\"id\" > $2::text::uuid)) order by"), "{text}");
}

#[test]
fn records_that_leave_other_defaults_out_are_inserted_apart() {
    let crm = sample::crm();
    let contacts = crm.model("contacts").unwrap();
    let body = json!([
        {"name": "a", "email": "a"},
        {"name": "b", "email": "b", "status": "left"},
        {"name": "c", "email": "c", "age": 3}
    ]);
    let records = Records::check(contacts, body).unwrap().records;
    let ids: Vec<Uuid> = (10..13).map(Uuid::from_u128).collect();
    let rows: Vec<_> = ids.iter().copied().zip(&records).collect();
    let compiled = super::insert_many(BY, contacts, &rows);
    assert_eq!(compiled.sql.matches("insert into").count(), 2);
    let Param::Text(first) = &compiled.params[1] else { panic!("{:?}", compiled.params) };
    let first: serde_json::Value = serde_json::from_str(first).unwrap();
    assert_eq!(first[1], json!({"id": ids[2], "name": "c", "email": "c", "age": 3}));
    // A nullable column without a default is null where it is not given: no shape of its own.
    assert!(
        compiled.sql.contains("(\"id\", \"tenant_id\", \"name\", \"email\", \"age\")"),
        "{}",
        compiled.sql
    );
}

#[test]
fn reads_and_writes_of_one_record_are_one_statement_each() {
    let crm = sample::crm();
    let contacts = crm.model("contacts").unwrap();
    let id = Uuid::from_u128(5);
    let read = ReadQuery::plain(contacts).compile(TENANT, id);
    assert_eq!(read.params, [Param::Uuid(TENANT.uuid()), Param::Uuid(id)]);
    let patch = Patch::check(contacts, json!({"age": 3})).unwrap();
    let with = super::patch(BY, contacts, id, &patch, Some(4));
    assert!(
        with.sql.contains(
            "set \"age\" = v.\"age\" from json_populate_record(null::\"module_crm\".\"contacts\", $5"
        )
    );
    assert!(with.sql.contains("'stale'"));
    assert!(!super::patch(BY, contacts, id, &patch, None).sql.contains("'stale'"));
    let many = MatchQuery::parse(&crm, contacts, "status=eq.left&max=10").unwrap();
    let many = super::change_matching(BY, &many, &patch);
    assert_eq!(many.sql.matches("kernel.owns($1::uuid, ").count(), 2);
}

#[test]
fn every_write_tells_the_triggers_who_asked() {
    let crm = sample::crm();
    let contacts = crm.model("contacts").unwrap();
    let id = Uuid::from_u128(5);
    let patch = Patch::check(contacts, json!({"age": 3})).unwrap();
    let many = MatchQuery::parse(&crm, contacts, "status=eq.left&max=10").unwrap();
    let by = OnBehalf { tenant: TENANT, request: r#"{"actor":"user:7"}"# };
    for compiled in [
        super::insert_rows(by, contacts, &[]),
        super::insert_many(by, contacts, &[]),
        super::patch(by, contacts, id, &patch, None),
        super::soft_delete(by, contacts, id, Some(1)),
        super::restore(by, contacts, id, None),
        super::delete_for_ever(by, contacts, id, None),
        super::change_matching(by, &many, &patch),
    ] {
        let place =
            compiled.params.iter().position(|one| *one == Param::Text(by.request.to_owned())).unwrap() + 1;
        let told = format!("where (select set_config('kernel.request', ${place}::text, true)) is not null");
        assert_eq!(compiled.sql.matches(&told).count(), 1, "{}", compiled.sql);
        assert!(!compiled.sql.contains("user:7"));
    }
}

#[test]
fn a_hidden_column_is_in_no_answer() {
    let crm = sample::crm();
    let contacts = crm.model("contacts").unwrap();
    let id = Uuid::from_u128(5);
    let patch = Patch::check(contacts, json!({"age": 3})).unwrap();
    for compiled in [
        ReadQuery::plain(contacts).compile(TENANT, id),
        super::patch(BY, contacts, id, &patch, None),
        super::soft_delete(BY, contacts, id, None),
        super::restore(BY, contacts, id, None),
        super::delete_for_ever(BY, contacts, id, None),
        super::insert_rows(BY, contacts, &[]),
        list("select=*,deals_by_contact(*,contact)", None).unwrap().statement,
    ] {
        assert!(!compiled.sql.contains("secret"), "{}", compiled.sql);
    }
}

#[test]
fn what_adds_a_record_takes_it_of_the_plan_and_what_deletes_one_gives_it_back() {
    let crm = sample::crm();
    let contacts = crm.model("contacts").unwrap();
    let id = Uuid::from_u128(5);
    let body = json!([{"name": "a", "email": "a"}, {"name": "b", "email": "b"}]);
    let records = Records::check(contacts, body).unwrap().records;
    let rows: Vec<_> = records.iter().map(|record| (Uuid::now_v7(), record)).collect();
    let insert = super::insert_many(BY, contacts, &rows);
    assert_eq!(insert.params.last(), Some(&Param::Int(2)));
    let place = insert.params.len();
    assert!(
        insert.sql.contains(&format!(" and (select kernel.reserve_records(${place}::int8))")),
        "{}",
        insert.sql
    );
    let taken = " and (select kernel.reserve_records((select count(*) from p0)))";
    assert!(super::restore(BY, contacts, id, None).sql.contains(taken));
    let given = " and (select kernel.reserve_records(-(select count(*) from p0)))";
    assert!(super::soft_delete(BY, contacts, id, None).sql.contains(given));
    // It was given back when it was marked.
    assert!(!super::delete_for_ever(BY, contacts, id, None).sql.contains("reserve_records"));
    let patch = Patch::check(contacts, json!({"age": 3})).unwrap();
    assert!(!super::patch(BY, contacts, id, &patch, None).sql.contains("reserve_records"));
}
