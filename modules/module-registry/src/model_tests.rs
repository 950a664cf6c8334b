use super::*;
use crate::sql;

fn manifest(name: &str, version: &str, needs: &[(&str, &str)]) -> Manifest {
    let needs: BTreeMap<&str, &str> = needs.iter().copied().collect();
    serde_json::from_value(serde_json::json!({
        "name": name, "version": version, "kernelSdkVersion": "*", "dependencies": needs,
    }))
    .unwrap()
}

fn neighbour(name: &str, version: &str, needs: &[(&str, &str)]) -> Neighbour {
    let dependencies = needs.iter().map(|(n, r)| ((*n).to_owned(), (*r).to_owned())).collect();
    Neighbour { name: name.into(), version: version.into(), dependencies }
}

fn refusal(candidate: &Manifest, registered: &[Neighbour]) -> String {
    let error = resolve(candidate, registered).unwrap_err();
    assert_eq!(error.slug(), Slug::Conflict);
    error.detail().to_owned()
}

#[test]
fn a_module_that_is_needed_must_be_there_in_a_version_that_fits() {
    let shop = manifest("@a/shop", "1.0.0", &[("@a/base", "^2.0.0")]);
    assert!(refusal(&shop, &[]).starts_with("@a/shop → @a/base ^2.0.0: @a/base is not registered"));
    assert!(refusal(&shop, &[neighbour("@a/base", "1.4.0", &[])]).contains("registered is 1.4.0"));
    assert!(resolve(&shop, &[neighbour("@a/base", "2.1.0", &[])]).is_ok());
}

#[test]
fn an_update_may_not_leave_behind_those_who_need_the_module() {
    let registered =
        [neighbour("@a/base", "1.0.0", &[]), neighbour("@a/shop", "1.0.0", &[("@a/base", "^1")])];
    assert!(refusal(&manifest("@a/base", "2.0.0", &[]), &registered).contains("this would be 2.0.0"));
    assert!(resolve(&manifest("@a/base", "1.5.0", &[]), &registered).is_ok());
    assert_eq!(dependents("@a/base", &registered), ["@a/shop"]);
}

#[test]
fn a_circle_is_told_with_its_chain() {
    let registered = [
        neighbour("@a/one", "1.0.0", &[]),
        neighbour("@a/two", "1.0.0", &[("@a/one", "*")]),
        neighbour("@a/three", "1.0.0", &[("@a/two", "*")]),
    ];
    let chain = refusal(&manifest("@a/one", "1.1.0", &[("@a/three", "*")]), &registered);
    assert!(chain.starts_with("@a/one → @a/three → @a/two → @a/one:"), "{chain}");
}

fn files(texts: &[(&str, &str)]) -> Vec<(String, String)> {
    texts
        .iter()
        .map(|(file, table)| {
            let sql = format!(
                "-- +goose Up\ncreate table {table} (id uuid primary key, tenant_id uuid not null);\n"
            );
            ((*file).to_owned(), sql)
        })
        .collect()
}

fn applied(files: &[(String, String)]) -> Vec<Applied> {
    let one = |(file, sql): &(String, String)| Applied {
        number: file.split_once('_').unwrap().0.parse().unwrap(),
        file: file.clone(),
        hash: hash_of_file(sql).to_vec(),
    };
    files.iter().map(one).collect()
}

#[test]
fn only_what_was_not_run_is_new() {
    let all = files(&[("00001_a.sql", "a"), ("00002_b.sql", "b")]);
    let checked = sql::check("crm", &all).unwrap();
    let fresh = new_migrations(&applied(&all[..1]), &all, &checked).unwrap();
    assert_eq!(fresh.iter().map(|m| m.version).collect::<Vec<_>>(), [2]);
}

#[test]
fn what_was_run_must_be_there_as_it_was() {
    let before = files(&[("00001_a.sql", "a"), ("00003_c.sql", "c")]);
    let refusal = |now: Vec<(String, String)>| {
        let checked = sql::check("crm", &now).unwrap();
        let error = new_migrations(&applied(&before), &now, &checked).unwrap_err();
        assert_eq!(error.slug(), Slug::ModuleRejected);
        error.field_errors()[0].clone()
    };
    assert!(refusal(files(&[("00001_a.sql", "a")])).message.contains("missing"));
    assert!(refusal(files(&[("00001_a.sql", "b"), ("00003_c.sql", "c")])).message.contains("changed after"));
    let late = refusal(files(&[("00001_a.sql", "a"), ("00002_b.sql", "b"), ("00003_c.sql", "c")]));
    assert_eq!(late.field, "00002_b.sql");
}

#[test]
fn a_model_must_be_a_table_with_the_columns_that_are_named() {
    let all = files(&[("00001_a.sql", "deals")]);
    let checked = sql::check("crm", &all).unwrap();
    let with = |models: serde_json::Value| {
        let manifest: Manifest = serde_json::from_value(serde_json::json!({
            "name": "@a/crm", "version": "1.0.0", "kernelSdkVersion": "*", "dataApi": { "models": models },
        }))
        .unwrap();
        models_are_tables(&manifest, &checked.tables)
    };
    assert!(with(serde_json::json!([{ "name": "deals", "readOnly": ["created_at"] }])).is_ok());
    let error = with(serde_json::json!([{ "name": "deal" }])).unwrap_err();
    assert_eq!(error.field_errors()[0].field, "/manifest/dataApi/models/0/name");
    let error = with(serde_json::json!([{ "name": "deals", "hidden": ["x"] }])).unwrap_err();
    assert_eq!(error.field_errors()[0].field, "/manifest/dataApi/models/0/hidden/0");
}

#[test]
fn a_violation_names_file_and_line() {
    let bad = vec![("00001_a.sql".to_owned(), "-- +goose Up\n\ngrant all on x to public;\n".to_owned())];
    let error = violations(sql::check("crm", &bad).unwrap_err());
    assert_eq!(error.slug(), Slug::ModuleRejected);
    assert_eq!(error.field_errors()[0].field, "00001_a.sql:3");
}

#[test]
fn a_key_reads_back_and_others_are_no_keys() {
    let key = KeyText::new([1; 6], [2; 32]);
    let read = KeyText::parse(&key.text).unwrap();
    assert_eq!((read.prefix.as_str(), read.hash()), ("010101010101", key.hash()));
    for bad in [
        "",
        "mk_",
        "mk_x_y",
        "pk_010101010101_AgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgI",
        "mk_010101010101_short",
    ] {
        assert!(KeyText::parse(&Secret::new(bad)).is_none(), "{bad}");
    }
}

#[test]
fn versions_go_forward_or_stay() {
    assert!(goes_forward("1.0.0", "1.0.0") && goes_forward("1.9.0", "1.10.0"));
    assert!(!goes_forward("1.0.1", "1.0.0"));
}
