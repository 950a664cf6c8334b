//! Random queries over random contexts.

use flags::Flag;
use serde_json::{Map, Value, json};

use crate::{ask::Questions, dice::Dice};

const NAMES: [&str; 12] =
    ["n", "d", "s", "b", "v", "o", "o.n", "o.s", "o.in-ner.x", "gone", "gone.x", "o.gone.deep"];
const SIGNS: [&str; 24] = [
    "eq", "ne", "gt", "lt", "ge", "le", "EQ", "NE", "GT", "LT", "GE", "LE", "==", "!=", ">", "<", ">=", "<=",
    "co", "sw", "ew", "in", "CO", "IN",
];
const VALUES: [&str; 34] = [
    "0",
    "1",
    "5",
    "-3",
    "41",
    "2.5",
    "5.0",
    "-0.25",
    "1.5e1",
    "100",
    "\"\"",
    "\"a\"",
    "\"A\"",
    "\"abc\"",
    "\"ÄB\"",
    "\"b c\"",
    "\"q\\\"q\"",
    "true",
    "false",
    "null",
    "1.2.3",
    "1.10.0",
    "2.0.0-rc.1",
    "0.0.1+x",
    "[1,5]",
    "[41, 100]",
    "[0]",
    "[2.5,5.0]",
    "[-3.0]",
    "[\"a\",\"ABC\"]",
    "[\"abc\"]",
    "[\"\",\"b c\"]",
    "\"1.2.3\"",
    "\"true\"",
];

pub fn questions(count: usize) -> Vec<Questions> {
    let mut dice = Dice::new(42);
    (0..count)
        .map(|_| {
            let query = chain(&mut dice, 3);
            let written = json!({
                "variations": { "yes": true, "no": false },
                "targeting": [{ "query": query, "variation": "yes" }],
                "defaultRule": { "variation": "no" },
            });
            let definition = serde_json::from_value(written.clone()).unwrap();
            let flag = Flag::new(definition).unwrap_or_else(|faults| panic!("{query}: {faults:?}"));
            Questions::one("f", &written, flag, context(&mut dice))
        })
        .collect()
}

fn chain(dice: &mut Dice, depth: usize) -> String {
    let mut text = term(dice, depth);
    for _ in 0..*dice.pick(&[0, 0, 1, 1, 2, 3]) {
        text = format!("{text} {} {}", dice.pick(&["and", "or"]), term(dice, depth));
    }
    text
}

fn term(dice: &mut Dice, depth: usize) -> String {
    if depth > 0 && dice.happens(25) {
        let inside = chain(dice, depth - 1);
        return match dice.roll(6) {
            0 => format!("({inside})"),
            1 => format!("( {inside} )"),
            2 => format!("not ({inside})"),
            3 => format!("not({inside})"),
            4 => format!("NOT ( {inside})"),
            _ => format!("({inside} )"),
        };
    }
    let name = dice.pick(&NAMES);
    match dice.happens(10) {
        true => format!("{name} pr"),
        false => format!("{name} {} {}", dice.pick(&SIGNS), dice.pick(&VALUES)),
    }
}

pub fn context(dice: &mut Dice) -> Map<String, Value> {
    let numbers = [
        json!(0),
        json!(1),
        json!(5),
        json!(-3),
        json!(41),
        json!(2.5),
        json!(5.0),
        json!(-0.25),
        json!(15),
        json!(100.0),
    ];
    let texts = [
        json!(""),
        json!("a"),
        json!("Abc"),
        json!("ABC"),
        json!("äb"),
        json!("B c"),
        json!("q\"q"),
        json!("1.2.3"),
        json!("true"),
    ];
    let versions = [
        json!("1.2.3"),
        json!("1.2.3-a"),
        json!("1.10.0"),
        json!("2.0.0-rc.1"),
        json!("0.0.1"),
        json!("1.2"),
        json!("01.2.3"),
    ];
    let mut context = Map::new();
    context.insert("targetingKey".to_owned(), "u".into());
    let mut put = |dice: &mut Dice, name: &str, from: &[Value]| {
        let value = match dice.roll(20) {
            0 => return,
            1 => Value::Null,
            2 => dice.pick(&[json!([1, 2]), json!({ "x": 1 }), json!("odd"), json!(true), json!(3)]).clone(),
            _ => dice.pick(from).clone(),
        };
        context.insert(name.to_owned(), value);
    };
    put(dice, "n", &numbers);
    put(dice, "d", &numbers);
    put(dice, "s", &texts);
    put(dice, "b", &[json!(true), json!(false)]);
    put(dice, "v", &versions);
    let object = json!({
        "n": dice.pick(&numbers), "s": dice.pick(&texts), "gone": Value::Null,
        "in-ner": { "x": dice.pick(&[json!(5), json!("abc"), json!(null), json!(true)]) },
    });
    put(dice, "o", &[object]);
    context
}
