use std::{
    env, fs,
    io::{BufWriter, Write as _},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::Arc,
};

use chrono::{TimeZone as _, Utc};
use flags::{Context, Flag};
use serde_json::{Map, Value, json};

/// One evaluation.
pub struct Question {
    pub key: String,
    /// The flag as the original gets it.
    pub written: Value,
    pub flag: Arc<Flag>,
    pub context: Map<String, Value>,
}

const SCRIPT: &str = include_str!("oracle.py");
const RUNNER: &str = include_str!("../../../../tools/with-gofeatureflag.sh");

/// Asks the original and ourselves; they must say the same.
pub fn compared(name: &str, questions: &[Question]) {
    let said = original(name, questions);
    assert_eq!(said.len(), questions.len(), "each question has an answer");
    let mut wrong = Vec::new();
    let mut broke_down = 0;
    for (question, said) in questions.iter().zip(&said) {
        let own = own(question);
        let same = match said {
            // A panic of a rule: in Go it is caught, and the rule applies to nobody. Then the next one decides, and
            // nobody has told what it says; where there is one rule, it is the default rule.
            Value::Null => {
                broke_down += 1;
                question.written["targeting"].as_array().is_none_or(|rules| rules.len() != 1)
                    || own[2] == "DEFAULT" || own[2] == "SPLIT"
            }
            said => alike(said, &own),
        };
        if !same {
            wrong.push(format!(
                "{} for {}\n  of {}\n  is {own}\n  must be {said}",
                question.key,
                Value::Object(question.context.clone()),
                question.written
            ));
        }
    }
    println!("{name}: {} questions, {broke_down} broke the original down", questions.len());
    assert!(broke_down * 5 < questions.len(), "most questions must have an answer");
    assert!(
        wrong.is_empty(),
        "{} of {} differ:\n{}",
        wrong.len(),
        questions.len(),
        wrong[..wrong.len().min(12)].join("\n")
    );
}

fn own(question: &Question) -> Value {
    let context = Context::of(question.context.clone());
    let now = Utc.with_ymd_and_hms(2026, 1, 1, 0, 0, 0).unwrap();
    let own = question.flag.evaluate(&question.key, &context, now);
    let value = own.value.cloned().unwrap_or_else(|| "the caller's own".into());
    let code = own.error.as_ref().map_or_else(|| json!(""), |(code, _)| json!(code));
    json!([value, own.variation, own.reason, code, own.is_tracked(), own.version(), own.metadata()])
}

/// Whether two values are the same; the original does not tell whole numbers from others.
fn alike(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => a.as_f64() == b.as_f64(),
        (Value::Array(a), Value::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| alike(a, b))
        }
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(name, a)| b.get(name).is_some_and(|b| alike(a, b)))
        }
        (a, b) => a == b,
    }
}

/// The original's answers, from the cache if it was asked before.
fn original(name: &str, questions: &[Question]) -> Vec<Value> {
    let mut lines = Vec::new();
    for Question { key, written, context, .. } in questions {
        serde_json::to_writer(&mut lines, &json!([key, written, context])).unwrap();
        lines.push(b'\n');
    }
    let mut hash = ring::digest::Context::new(&ring::digest::SHA256);
    [SCRIPT.as_bytes(), RUNNER.as_bytes(), &lines].into_iter().for_each(|part| hash.update(part));
    let hash: String = hash.finish().as_ref()[..12].iter().map(|byte| format!("{byte:02x}")).collect();
    let folder = cache().join("flags-oracle");
    let kept = folder.join(format!("{name}-{hash}.jsonl"));
    if !kept.is_file() {
        fs::create_dir_all(&folder).unwrap();
        let fresh = folder.join(format!("{name}-{hash}.{}.part", std::process::id()));
        ask(&lines, &fresh);
        fs::rename(&fresh, &kept).unwrap();
        forget_others(&folder, name, &kept);
    }
    let text = fs::read_to_string(&kept).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn ask(lines: &[u8], into: &Path) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut engine = Command::new(root.join("tools/with-gofeatureflag.sh"))
        .arg("python3")
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/oracle/oracle.py"))
        .stdin(Stdio::piped())
        .stdout(fs::File::create(into).unwrap())
        // Its panics are told there, one by one.
        .stderr(fs::File::create(into.with_extension("log")).unwrap())
        .spawn()
        .unwrap();
    BufWriter::new(engine.stdin.take().unwrap()).write_all(lines).unwrap();
    let ended = engine.wait().unwrap();
    let log = into.with_extension("log");
    assert!(ended.success(), "the original can't be asked: {}", tail(&fs::read_to_string(&log).unwrap_or_default()));
    fs::remove_file(log).unwrap();
}

fn tail(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(20)..].join("\n")
}

fn forget_others(folder: &Path, name: &str, kept: &Path) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let of_name = path.file_name().and_then(|f| f.to_str()).is_some_and(|f| f.starts_with(&format!("{name}-")));
        if of_name && path != kept && path.extension().is_some_and(|e| e == "jsonl") {
            let _ = fs::remove_file(path);
        }
    }
}

fn cache() -> PathBuf {
    let home = || PathBuf::from(env::var_os("HOME").expect("a home")).join(".cache");
    env::var_os("XDG_CACHE_HOME").map_or_else(home, PathBuf::from).join("platform-kernel")
}
