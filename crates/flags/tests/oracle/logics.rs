//! Random rules in JsonLogic over random contexts.

use flags::Flag;
use serde_json::{Value, json};

use crate::{ask::Questions, dice::Dice, queries};

const PATHS: [&str; 14] =
    ["n", "d", "s", "b", "v", "o", "o.n", "o.s", "list.1", "list.x", "gone", "gone.x", "texts", "list"];
const COMPARE: [&str; 8] = ["==", "!=", "===", "!==", "<", "<=", ">", ">="];

pub fn questions(count: usize) -> Vec<Questions> {
    let mut dice = Dice::new(99);
    (0..count)
        .map(|_| {
            let rule = truth(&mut dice, 3);
            let rule = if rule.is_object() { rule } else { json!({ "!!": [rule] }) };
            let written = json!({
                "variations": { "yes": true, "no": false },
                "targeting": [{ "query": rule.to_string(), "variation": "yes" }],
                "defaultRule": { "variation": "no" },
            });
            let definition = serde_json::from_value(written.clone()).unwrap();
            let flag = Flag::new(definition).unwrap_or_else(|faults| panic!("{rule}: {faults:?}"));
            let mut context = queries::context(&mut dice);
            context.insert(
                "list".to_owned(),
                dice.pick(&[json!([1, 5, 41]), json!([]), json!([2.5, "a", null])]).clone(),
            );
            context.insert(
                "texts".to_owned(),
                dice.pick(&[json!(["a", "Abc"]), json!(["", "b c"]), json!("abc")]).clone(),
            );
            Questions::one("f", &written, flag, context)
        })
        .collect()
}

/// Something that is used for its truth.
fn truth(dice: &mut Dice, depth: usize) -> Value {
    if depth == 0 {
        return value(dice, 0);
    }
    let inner = depth - 1;
    match dice.roll(12) {
        0..=3 => {
            let sign = *dice.pick(&COMPARE);
            let mut parts = vec![value(dice, inner), value(dice, inner)];
            if dice.happens(12) {
                parts.push(value(dice, inner));
            }
            json!({ sign: parts })
        }
        4 | 5 => {
            let sign = *dice.pick(&["and", "or"]);
            let parts: Vec<Value> = (0..1 + dice.roll(3)).map(|_| truth(dice, inner)).collect();
            json!({ sign: parts })
        }
        6 => {
            let sign = *dice.pick(&["!", "!!"]);
            match dice.happens(50) {
                true => json!({ sign: [truth(dice, inner)] }),
                false => json!({ sign: truth(dice, inner) }),
            }
        }
        7 => json!({ "in": [value(dice, inner), list(dice, inner)] }),
        8 => json!({ "in": [text(dice, inner), text(dice, inner)] }),
        9 => {
            let sign = *dice.pick(&["all", "none", "some"]);
            json!({ sign: [list(dice, inner), about_entry(dice)] })
        }
        10 => json!({ "if": [truth(dice, inner), truth(dice, inner), truth(dice, inner)] }),
        _ => json!({ "missing": [*dice.pick(&PATHS), *dice.pick(&PATHS)] }),
    }
}

fn about_entry(dice: &mut Dice) -> Value {
    let sign = *dice.pick(&COMPARE);
    match dice.roll(4) {
        0 => json!({ sign: [{ "var": "" }, { "var": "n" }] }),
        1 => json!({ "!!": [{ "var": "" }] }),
        _ => json!({ sign: [{ "var": "" }, literal(dice)] }),
    }
}

fn value(dice: &mut Dice, depth: usize) -> Value {
    match dice.roll(6) {
        0 | 1 => json!({ "var": *dice.pick(&PATHS) }),
        2 if depth > 0 => number(dice, depth),
        3 if depth > 0 => text(dice, depth),
        4 if depth > 0 => truth(dice, depth - 1),
        _ => literal(dice),
    }
}

fn literal(dice: &mut Dice) -> Value {
    let literals = [
        json!(0),
        json!(1),
        json!(5),
        json!(-3),
        json!(2.5),
        json!(41),
        json!(""),
        json!("a"),
        json!("abc"),
        json!("5"),
        json!(" 5"),
        json!("1e1"),
        json!("x5"),
        json!(true),
        json!(false),
        json!(null),
    ];
    dice.pick(&literals).clone()
}

fn number(dice: &mut Dice, depth: usize) -> Value {
    let inner = depth - 1;
    let part = |dice: &mut Dice| match dice.roll(4) {
        0 => json!({ "var": *dice.pick(&["n", "d", "o.n"]) }),
        1 if inner > 0 => number(dice, inner),
        _ => dice.pick(&[json!(0), json!(1), json!(2), json!(7.5), json!("3"), json!(-4)]).clone(),
    };
    match dice.roll(5) {
        0 => json!({ "%": [part(dice), 3] }),
        1 => json!({ "-": [part(dice)] }),
        2 => {
            json!({ "reduce": [list(dice, inner), { "+": [{ "var": "current" }, { "var": "accumulator" }] }, 1] })
        }
        3 => {
            let sign = *dice.pick(&["max", "min"]);
            json!({ sign: [part(dice), part(dice), part(dice)] })
        }
        _ => {
            let sign = *dice.pick(&["+", "-", "*", "/"]);
            json!({ sign: [part(dice), part(dice)] })
        }
    }
}

fn text(dice: &mut Dice, depth: usize) -> Value {
    let part = |dice: &mut Dice| match dice.roll(3) {
        0 => json!({ "var": *dice.pick(&["s", "o.s", "v", "gone", "n"]) }),
        _ => dice.pick(&[json!("a"), json!("bc"), json!(" "), json!("Ä"), json!("")]).clone(),
    };
    match depth {
        0 => part(dice),
        _ => match dice.roll(3) {
            0 => json!({ "cat": [part(dice), part(dice)] }),
            1 => json!({ "substr": [part(dice), dice.roll(5) as i64 - 2] }),
            _ => json!({ "substr": [part(dice), dice.roll(3), dice.roll(5) as i64 - 2] }),
        },
    }
}

fn list(dice: &mut Dice, depth: usize) -> Value {
    match dice.roll(6) {
        0 | 1 => json!({ "var": *dice.pick(&["list", "list", "texts", "gone"]) }),
        2 => json!([1, 5, 41]),
        3 => json!(["a", "abc", ""]),
        4 if depth > 0 => {
            let sign = *dice.pick(&["filter", "map"]);
            json!({ sign: [list(dice, depth - 1), about_entry(dice)] })
        }
        4 => json!([[1, 10], [40, 42]]),
        _ => json!({ "merge": [list_of(dice), list_of(dice)] }),
    }
}

fn list_of(dice: &mut Dice) -> Value {
    dice.pick(&[json!({ "var": "list" }), json!([5, "a"]), json!(3), json!({ "var": "s" })]).clone()
}
