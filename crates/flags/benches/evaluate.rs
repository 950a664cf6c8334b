//! Evaluations a second on one core, beside GO Feature Flag's own engine (WebAssembly in its Python provider) on the same
//! flags and people, in one run.
//!
//! `cargo bench -p flags`. Budget of the house: well above 100,000 a second for a flag of percentages.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a bench: what fails here ends it")]

use std::{
    hint::black_box,
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use chrono::Utc;
use flags::{Context, FlagSet};
use serde_json::{Value, json};

const FLAGS: &str = r#"
percentage: { variations: { on: true, off: false }, defaultRule: { percentage: { on: 30, off: 70 } } }
query:
  variations: { on: true, off: false }
  targeting:
    - { query: 'country in ["DE","FR"] and (age ge 18 or email ew "@example.com")', variation: on }
  defaultRule: { variation: off }
jsonlogic:
  variations: { on: true, off: false }
  targeting:
    - { query: '{"and":[{"in":[{"var":"country"},["DE","FR"]]},{">=":[{"var":"age"},18]}]}', variation: on }
  defaultRule: { variation: off }
"#;

const ENGINE: &str = r#"
import json, sys, time
from gofeatureflag_python_provider.wasm import EvaluateWasm, WasmFlagContext, WasmInput
flags, people = json.loads(sys.argv[1]), json.loads(sys.argv[2])
engine = EvaluateWasm(pool_size=1)
engine.initialize()
nothing = WasmFlagContext()
for name, flag in flags.items():
    until, count = time.perf_counter() + 1, 0
    while time.perf_counter() < until:
        for person in people:
            engine.evaluate(WasmInput(flagKey=name, flag=flag, evalContext=person, flagContext=nothing))
        count += len(people)
    print(name, count / (time.perf_counter() - until + 1))
"#;

fn main() {
    let people: Vec<Value> = (0..100)
        .map(|n| {
            let country = ["DE", "FR", "US"][n % 3];
            json!({ "targetingKey": format!("user-{n}"), "country": country, "age": n, "email": "a@example.org" })
        })
        .collect();
    let set = FlagSet::parse(FLAGS).unwrap();
    let raw: serde_yaml_ng::Value = serde_yaml_ng::from_str(FLAGS).unwrap();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let engine = Command::new(root.join("tools/with-gofeatureflag.sh"))
        .args(["python3", "-c", ENGINE])
        .args([serde_json::to_string(&raw).unwrap(), json!(people).to_string()])
        .output()
        .unwrap();
    let engine = String::from_utf8_lossy(&engine.stdout).into_owned();
    println!("{:12} {:>14} {:>14} {:>8}", "flag", "here/s", "original/s", "ratio");
    for line in engine.lines() {
        let (name, rate) = line.split_once(' ').unwrap();
        let (flag, original) = (set.get(name).unwrap(), rate.parse::<f64>().unwrap());
        let contexts: Vec<_> =
            people.iter().map(|person| Context::of(person.as_object().unwrap().clone())).collect();
        let (began, now, mut count) = (Instant::now(), Utc::now(), 0_u32);
        while began.elapsed() < Duration::from_secs(1) {
            for context in &contexts {
                black_box(flag.evaluate(name, black_box(context), now));
            }
            count += 100;
        }
        let here = f64::from(count) / began.elapsed().as_secs_f64();
        println!("{name:12} {here:>14.0} {original:>14.0} {:>8.0}", here / original);
    }
}
