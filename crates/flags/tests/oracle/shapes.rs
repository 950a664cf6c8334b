//! Random flags: shares, growing shares, steps, times, keys, all at once.

use flags::Flag;
use serde_json::{Map, Value, json};

use crate::{ask::Questions, dice::Dice, people};

const VARIATIONS: [&str; 4] = ["a", "b", "c", "True"];

pub fn questions(count: usize) -> Vec<Questions> {
    let mut dice = Dice::new(7);
    let mut questions = Vec::with_capacity(count);
    while questions.len() < count {
        let written = flag(&mut dice);
        let definition = serde_json::from_value(written.clone()).unwrap();
        // A step may leave a flag unsound by chance; such a file is refused.
        let Ok(made) = Flag::new(definition) else { continue };
        for _ in 0..5 {
            let key = format!("flag-{}", dice.roll(1000));
            let context = people::person(dice.roll(100_000));
            questions.push(Questions::one(&key, &written, made.clone(), context));
        }
    }
    questions.truncate(count);
    questions
}

fn flag(dice: &mut Dice) -> Value {
    let mut flag = Map::new();
    flag.insert("variations".to_owned(), json!({ "a": 1, "b": 2, "c": 3.5, "True": 4 }));
    let rules: Vec<Value> = (0..dice.roll(4)).map(|number| rule(dice, &format!("r{number}"))).collect();
    if !rules.is_empty() {
        flag.insert("targeting".to_owned(), rules.into());
    }
    flag.insert("defaultRule".to_owned(), outcome(dice).into());
    if dice.happens(20) {
        flag.insert("bucketingKey".to_owned(), (*dice.pick(&["tenant", "company.id", "city", ""])).into());
    }
    if dice.happens(15) {
        flag.insert(
            "experimentation".to_owned(),
            json!({ "start": date(dice, 1, 6), "end": date(dice, 7, 12) }),
        );
    }
    if dice.happens(10) {
        flag.insert("disable".to_owned(), dice.happens(50).into());
    }
    if dice.happens(40) {
        let steps: Vec<Value> = (0..1 + dice.roll(3)).map(|_| step(dice)).collect();
        flag.insert("scheduledRollout".to_owned(), steps.into());
    }
    flag.into()
}

fn date(dice: &mut Dice, from: usize, to: usize) -> String {
    format!(
        "2026-{:02}-{:02}T{:02}:00:00Z",
        from + dice.roll(to - from + 1),
        1 + dice.roll(28),
        dice.roll(24)
    )
}

fn rule(dice: &mut Dice, name: &str) -> Value {
    let mut rule = outcome(dice);
    let queries = [
        "country eq \"DE\"",
        "age gt 40",
        "admin eq true",
        "group in [\"g1\",\"g2\"]",
        "{\"var\":\"admin\"}",
        "email pr",
    ];
    rule.insert("query".to_owned(), (*dice.pick(&queries)).into());
    if dice.happens(80) {
        rule.insert("name".to_owned(), name.into());
    }
    if dice.happens(10) {
        rule.insert("disable".to_owned(), dice.happens(60).into());
    }
    rule.into()
}

fn outcome(dice: &mut Dice) -> Map<String, Value> {
    let mut outcome = Map::new();
    if dice.happens(50) {
        outcome.insert("variation".to_owned(), (*dice.pick(&VARIATIONS)).into());
    }
    if outcome.is_empty() || dice.happens(20) {
        outcome.insert("percentage".to_owned(), shares(dice));
    }
    if dice.happens(15) {
        let progressive = json!({
            "initial": { "variation": dice.pick(&VARIATIONS), "percentage": dice.roll(30), "date": date(dice, 1, 5) },
            "end": { "variation": dice.pick(&VARIATIONS), "percentage": 40 + dice.roll(61), "date": date(dice, 6, 12) },
        });
        outcome.insert("progressiveRollout".to_owned(), progressive);
    }
    outcome
}

/// In quarters: they add up to the same in whatever order.
fn shares(dice: &mut Dice) -> Value {
    let mut shares = Map::new();
    for name in VARIATIONS {
        if dice.happens(60) {
            shares
                .insert(name.to_owned(), json!(dice.pick(&[0.0, 0.25, 1.0, 12.5, 25.0, 33.75, 50.0, 100.0])));
        }
    }
    shares.insert("b".to_owned(), json!(dice.pick(&[0.25, 10.0, 50.0, 100.0])));
    shares.into()
}

fn step(dice: &mut Dice) -> Value {
    let mut step = Map::new();
    step.insert("date".to_owned(), date(dice, 1, 12).into());
    if dice.happens(50) {
        let rules: Vec<Value> = (0..1 + dice.roll(2))
            .map(|_| {
                let name = format!("r{}", dice.roll(4));
                rule(dice, &name)
            })
            .collect();
        step.insert("targeting".to_owned(), rules.into());
    }
    if dice.happens(50) {
        step.insert("defaultRule".to_owned(), outcome(dice).into());
    }
    if dice.happens(20) {
        step.insert("disable".to_owned(), dice.happens(50).into());
    }
    if dice.happens(20) {
        step.insert("variations".to_owned(), json!({ "c": 30, "d": 40 }));
    }
    if dice.happens(20) {
        step.insert("experimentation".to_owned(), json!({ "end": date(dice, 7, 12) }));
    }
    step.into()
}
