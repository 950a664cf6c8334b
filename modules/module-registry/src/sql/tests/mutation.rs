//! Chance as attacker: whatever the text, the check returns, and what it lets through holds no forbidden word.

use super::one;

/// A small generator with a fixed seed, so that a failure can be repeated (Marsaglia's xorshift).
struct Chance(u64);

impl Chance {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % bound.max(1) as u64) as usize
    }
}

const WORDS: &[&str] = &[
    "create",
    "table",
    "alter",
    "deals",
    "(",
    ")",
    ",",
    ";",
    "id",
    "uuid",
    "tenant_id",
    "not",
    "null",
    "primary",
    "key",
    "default",
    "set_config",
    "('a','b',false)",
    "::",
    "regclass",
    "select",
    "from",
    "pg_class",
    "iam.users",
    "where",
    "union",
    "insert",
    "into",
    "values",
    "update",
    "set",
    "delete",
    "case",
    "when",
    "then",
    "end",
    "array[",
    "]",
    "$$",
    "'",
    "\"",
    "--",
    "/*",
    "*/",
    "\n",
    "-- +goose Down\n",
    "\\",
    "é",
    "U&\"",
    "operator(pg_catalog.=)",
    "1",
    ".5",
    "$1",
    "drop",
    "index",
    "unique",
    "on",
    "check",
    "references",
    "row level security",
    "disable",
    "role",
    "returning",
    "*",
];

#[test]
fn random_words_never_panic() {
    let mut chance = Chance(0x9E37_79B9_7F4A_7C15);
    for _ in 0..3_000 {
        let words: Vec<&str> = (0..chance.below(40)).map(|_| WORDS[chance.below(WORDS.len())]).collect();
        let _ = one(&format!("-- +goose Up\n{}", words.join(" ")));
    }
}

#[test]
fn mutated_migrations_never_panic_and_never_call_what_is_not_listed() {
    let sound = format!(
        "{}create index i on deals (lower(title)) where amount > 0;\ninsert into deals (tenant_id, title) select tenant_id, upper(title) from deals;\n-- +goose Down\ndrop table deals;\n",
        super::GROUND
    );
    let pieces: Vec<&str> = sound.split_inclusive([' ', '(', ')', ',', '\n']).collect();
    let mut chance = Chance(0xD1B5_4A32_D192_ED03);
    let mut passed = 0;
    for _ in 0..3_000 {
        let mut mutated = pieces.clone();
        for _ in 0..=chance.below(3) {
            let at = chance.below(mutated.len());
            match chance.below(4) {
                0 => drop(mutated.remove(at)),
                1 => mutated.insert(at, WORDS[chance.below(WORDS.len())]),
                2 => mutated[at] = WORDS[chance.below(WORDS.len())],
                _ => {
                    let other = chance.below(mutated.len());
                    mutated.swap(at, other);
                }
            }
        }
        let Ok(checked) = one(&mutated.concat()) else { continue };
        passed += 1;
        for migration in &checked.migrations {
            for statement in migration.up.iter().chain(&migration.down) {
                let functions = pg_query::parse(&statement.text).unwrap().functions();
                assert!(
                    functions
                        .iter()
                        .all(|name| name == "lower" || name == "upper" || name == "gen_random_uuid"),
                    "{functions:?}"
                );
            }
        }
        for table in &checked.tables {
            assert!(
                table.columns.iter().any(|c| c.name == "tenant_id" && c.type_name == "uuid" && !c.nullable)
            );
            assert!(table.uniques.iter().all(|key| key.columns.contains(&"tenant_id".to_owned())));
        }
    }
    assert!(passed > 20, "only {passed} mutants passed, the test says little");
}
