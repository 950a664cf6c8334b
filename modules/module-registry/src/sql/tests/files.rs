//! Files, annotations and limits.

use super::super::{MAX_FILE_BYTES, MAX_VIOLATIONS, Violation, check};
use super::{after_ground, one};

fn rules(outcome: Result<super::Checked, Vec<Violation>>) -> Vec<(&'static str, u32)> {
    outcome.map_or_else(|list| list.iter().map(|v| (v.rule, v.line)).collect(), |_| Vec::new())
}

fn named(files: &[(&str, &str)]) -> Result<super::Checked, Vec<Violation>> {
    let files: Vec<_> =
        files.iter().map(|(name, content)| ((*name).to_owned(), (*content).to_owned())).collect();
    check("crm", &files)
}

#[test]
fn files_are_sorted_by_number_not_by_name() {
    let table = |name: &str| {
        format!("-- +goose Up\ncreate table {name} (id uuid primary key, tenant_id uuid not null);")
    };
    let checked =
        named(&[("10_b.sql", &table("b")), ("9_a.sql", &table("a")), ("0011_c.sql", &table("c"))]).unwrap();
    let versions: Vec<i64> = checked.migrations.iter().map(|m| m.version).collect();
    assert_eq!(versions, [9, 10, 11]);
}

#[test]
fn file_names_carry_a_number_of_their_own() {
    for name in [
        "first.sql",
        "1.sql",
        "0_x.sql",
        "1_.sql",
        "1_x.txt",
        "-1_x.sql",
        "1_../x.sql",
        "99999999999999999999_x.sql",
        "1_é.sql",
    ] {
        assert_eq!(rules(named(&[(name, "-- +goose Up\n")])), [("file-name", 0)], "{name}");
    }
    assert_eq!(
        rules(named(&[("1_a.sql", "-- +goose Up\n"), ("01_b.sql", "-- +goose Up\n")])),
        [("file-name", 0)]
    );
}

#[test]
fn annotations_out_of_order_are_refused_with_their_line() {
    let cases: &[(&str, &[(&str, u32)])] = &[
        ("", &[("goose", 0)]),
        ("drop table if exists a;\n-- +goose Up\n", &[("goose", 1)]),
        ("-- +goose Down\n-- +goose Up\n", &[("goose", 1)]),
        ("-- +goose Up\n-- +goose Up\n", &[("goose", 2)]),
        ("-- +goose Up\n-- +goose Down\n-- +goose Down\n", &[("goose", 3)]),
        ("-- +goose NO TRANSACTION\n-- +goose Up\n", &[("goose", 1)]),
        ("-- +goose Up\n-- +goose ENVSUB ON\n", &[("goose", 2)]),
        ("-- +goose Up\n-- +goose StatementBegin\n", &[("goose", 2)]),
        ("-- +goose Up\n-- +goose StatementEnd\n", &[("goose", 2)]),
        ("-- +goose Up\n-- +goose StatementBegin\n-- +goose Down\n-- +goose StatementEnd\n", &[("goose", 3)]),
    ];
    for (content, wanted) in cases {
        assert_eq!(&rules(one(content)), wanted, "{content}");
    }
}

#[test]
fn statement_blocks_and_windows_line_ends_are_read() {
    let checked = one("--  +goose up\r\n-- +goose StatementBegin\r\ndrop table if exists a\r\n-- +goose StatementEnd\r\n\r\n  drop table if exists b; drop table\r\nif exists c;\r\n").unwrap();
    let lines: Vec<_> = checked.migrations[0].up.iter().map(|s| (s.text.as_str(), s.line)).collect();
    assert_eq!(
        lines,
        [("drop table if exists a", 3), ("drop table if exists b", 6), ("drop table\r\nif exists c", 6)]
    );
}

#[test]
fn an_annotation_cannot_hide_in_a_string() {
    let outcome = one("-- +goose Up\ncomment on table a is $$\n-- +goose Down\n$$; set role pk_owner;\n");
    assert!(outcome.is_err());
}

#[test]
fn statements_of_the_down_section_are_checked_too() {
    let table = "create table t (id uuid primary key, tenant_id uuid not null, a text);";
    assert_eq!(rules(one(&format!("-- +goose Up\n{table}\n-- +goose Down\nset role x;"))), [("set", 4)]);
    assert_eq!(
        rules(one(&format!("-- +goose Up\n{table}\n-- +goose Down\ncreate unique index u on t (a);"))),
        [("tenant-in-key", 4)]
    );
    assert_eq!(rules(one(&format!("-- +goose Up\n{table}\n-- +goose Down\ndrop table t;"))), []);
}

#[test]
fn odd_bytes_and_large_files_are_refused() {
    assert_eq!(rules(one("-- +goose Up\n\nselect '\0';")), [("encoding", 3)]);
    assert_eq!(rules(one(&format!("-- +goose Up\n{}", " ".repeat(MAX_FILE_BYTES)))), [("file-size", 0)]);
    let files: Vec<_> = (1..=1_001).map(|n| (format!("{n}_x.sql"), "-- +goose Up\n".to_owned())).collect();
    assert_eq!(rules(check("crm", &files)), [("file-count", 0)]);
    for slug in ["", "a", "Crm", "crm; drop", "iam.users", "1crm", "a_very_long_name_of_more_than_31_x"] {
        assert_eq!(rules(check(slug, &[])), [("slug", 0)], "{slug}");
    }
}

#[test]
fn at_most_fifty_violations_are_reported() {
    let outcome = one(&format!("-- +goose Up\n{}", "set role x;\n".repeat(500)));
    assert_eq!(outcome.unwrap_err().len(), MAX_VIOLATIONS);
}

#[test]
fn nesting_that_would_overflow_a_stack_is_refused() {
    const N: usize = 100_000;
    let deep = [
        format!("{}1{}", "(".repeat(N), ")".repeat(N)),
        "(".repeat(N),
        format!("{}1", "- ".repeat(N)),
        format!("{}true", "not ".repeat(N)),
        format!("1{}", "+1".repeat(N)),
        format!("1{}", "::int".repeat(N)),
        format!("{}1{}", "array[".repeat(N), "]".repeat(N)),
        format!("{}1{}", "abs(".repeat(N), ")".repeat(N)),
        format!("{}1{}", "case when true then ".repeat(30_000), " end".repeat(30_000)),
    ];
    for expression in &deep {
        let found = rules(after_ground(&format!("update deals set amount = {expression};")));
        assert!(matches!(found.as_slice(), [("too-deep", 12)]), "{found:?} for {}", &expression[..20]);
    }
    let unions =
        format!("insert into deals (title, amount) select 'a', 1{};", " union select 'a', 1".repeat(20_000));
    assert_eq!(rules(after_ground(&unions)), [("too-deep", 12)]);
    // Just below the scanner's bound the parser's own tree is still too deep to be decoded, and says so.
    for depth in [60, 500, 1_900] {
        let sums = format!("update deals set amount = 1{};", "-1".repeat(depth / 2));
        let found = rules(after_ground(&sums));
        assert!(found.is_empty() || found == [("too-deep", 12)], "{depth}: {found:?}");
    }
}

#[test]
fn a_long_flat_insert_passes_and_a_longer_one_is_asked_to_be_split() {
    let rows =
        |n: usize| format!("insert into deals (title, amount) values ('a', 1){};", ", ('b', 2)".repeat(n));
    assert_eq!(rules(after_ground(&rows(5_000))), []);
    assert_eq!(rules(after_ground(&rows(50_000))), [("too-long", 12)]);
}
