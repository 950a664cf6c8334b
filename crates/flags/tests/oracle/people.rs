//! Contexts: people with all that is known of them.

use serde_json::{Map, Value, json};

use crate::dice::Dice;

/// The person of a number, always the same one.
pub fn person(number: usize) -> Map<String, Value> {
    let mut dice = Dice::new(number as u64 * 7919 + 1);
    let key = match number % 50 {
        0 => String::new(),
        1 => format!("zoë-{number}-Ü"),
        2..=9 => format!("{:08x}-{:04x}", dice.roll(usize::MAX) as u32, number),
        _ => format!("user-{number}"),
    };
    let mut about = Map::new();
    about.insert("targetingKey".to_owned(), key.into());
    add(
        &mut about,
        &mut dice,
        "country",
        &[json!("DE"), json!("de"), json!("US"), json!("FR"), json!("CH"), json!(7)],
    );
    add(
        &mut about,
        &mut dice,
        "city",
        &[json!("Berlin"), json!("Zürich"), json!("Paris"), json!("bern"), json!("")],
    );
    add(&mut about, &mut dice, "group", &[json!("g1"), json!("g2"), json!("g3"), json!("G1")]);
    about.insert(
        "email".to_owned(),
        format!("User-{number}@{}", ["example.com", "Example.COM", "corp.test"][dice.roll(3)]).into(),
    );
    about.insert("age".to_owned(), (dice.roll(95)).into());
    about.insert("score".to_owned(), json!(dice.roll(60) as f64 / 4.0 - 3.0));
    add(&mut about, &mut dice, "size", &[json!(1), json!(3), json!(2.5)]);
    add(&mut about, &mut dice, "admin", &[json!(true), json!(false), json!("true"), Value::Null]);
    add(&mut about, &mut dice, "anonymous", &[json!(true), json!(false), json!("yes")]);
    add(&mut about, &mut dice, "nickname", &[json!("nick"), json!(""), Value::Null]);
    let tenant = format!("t{}", dice.roll(9));
    add(&mut about, &mut dice, "tenant", &[json!(tenant), json!(tenant), json!(""), json!(5)]);
    add(&mut about, &mut dice, "tags", &[json!(["beta", "x"]), json!(["x"]), json!([]), json!(["beta"])]);
    let points: Vec<usize> = (0..dice.roll(5)).map(|_| dice.roll(60)).collect();
    about.insert("points".to_owned(), json!(points));
    let version = [
        "1.0.0",
        "1.1.9",
        "1.2.0",
        "1.10.0",
        "2.0.0-alpha",
        "2.0.0-alpha.1",
        "2.0.0",
        "2.1.0",
        "2.1.0+build",
        "x",
    ];
    about.insert("app".to_owned(), json!({ "version": version[dice.roll(version.len())] }));
    about.insert(
        "company".to_owned(),
        json!({
            "id": format!("c-{}", dice.roll(40)),
            "size": dice.roll(9),
            "address": { "city": *dice.pick(&["Basel", "basel", "Bern"]) },
        }),
    );
    let moment = format!(
        "2026-{:02}-{:02}T{:02}:{:02}:{:02}Z",
        1 + dice.roll(12),
        1 + dice.roll(28),
        dice.roll(24),
        dice.roll(60),
        dice.roll(60)
    );
    about.insert("gofeatureflag".to_owned(), json!({ "currentDateTime": moment }));
    about
}

fn add(about: &mut Map<String, Value>, dice: &mut Dice, name: &str, values: &[Value]) {
    // Not everything is known of everybody.
    if dice.happens(85) {
        about.insert(name.to_owned(), dice.pick(values).clone());
    }
}
