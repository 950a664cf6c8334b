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

/// Flags, and for whom they are evaluated.
pub struct Questions {
    /// The flags as the original gets them, by key.
    pub written: Map<String, Value>,
    /// The same, ready; in the same order.
    pub flags: Vec<(String, Arc<Flag>)>,
    pub contexts: Arc<[Map<String, Value>]>,
}

impl Questions {
    /// One flag for one context.
    pub fn one(key: &str, written: &Value, flag: Flag, context: Map<String, Value>) -> Self {
        let written = [(key.to_owned(), written.clone())].into_iter().collect();
        Self { written, flags: vec![(key.to_owned(), Arc::new(flag))], contexts: [context].into() }
    }
}

const SCRIPT: &str = include_str!("oracle.py");
const RUNNER: &str = include_str!("../../../../tools/with-gofeatureflag.sh");

/// Asks the original and ourselves; they must say the same.
pub fn compared(name: &str, questions: &[Questions]) {
    let said = original(name, questions);
    let asked = questions.iter().flat_map(|group| group.contexts.iter().map(move |context| (group, context)));
    let (mut wrong, mut count, mut broke_down) = (Vec::new(), 0, 0);
    let mut lines = said.lines();
    for (group, context) in asked {
        let line: Vec<Value> =
            serde_json::from_str(lines.next().expect("an answer to each question")).unwrap();
        for ((key, flag), said) in group.flags.iter().zip(line) {
            let (own, written) = (own(key, flag, context), &group.written[key]);
            count += 1;
            broke_down += usize::from(said.is_null());
            if !agrees(&said, &own, written) {
                let context = Value::Object(context.clone());
                wrong.push(format!("{key} for {context}\n  of {written}\n  is {own}\n  must be {said}"));
            }
        }
    }
    println!("{name}: {count} evaluations, {broke_down} broke the original down");
    assert!(lines.next().is_none() && broke_down * 4 < count, "most questions must have an answer");
    let first = wrong[..wrong.len().min(12)].join("\n");
    assert!(wrong.is_empty(), "{} of {count} differ:\n{first}", wrong.len());
}

fn agrees(said: &Value, own: &Value, written: &Value) -> bool {
    if said.is_null() {
        // A panic of a rule: in Go it is caught, and the rule applies to nobody. Of several rules nobody has told which;
        // where there is one, the default rule decides.
        return written["targeting"].as_array().is_none_or(|rules| rules.len() != 1) || own[2] == "DEFAULT";
    }
    alike(said, own)
}

fn own(key: &str, flag: &Flag, context: &Map<String, Value>) -> Value {
    let context = Context::of(context.clone());
    let now = Utc.with_ymd_and_hms(2026, 1, 1, 0, 0, 0).unwrap();
    let own = flag.evaluate(key, &context, now);
    let value = own.value.cloned().unwrap_or_else(|| "the caller's own".into());
    let code = own.error.as_ref().map_or_else(|| json!(""), |(code, _)| json!(code));
    json!([value, own.variation, own.reason, code, own.is_tracked(), own.version(), own.metadata()])
}

/// Whether two values are the same; the original does not tell whole numbers from others.
fn alike(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => a.as_f64() == b.as_f64(),
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| alike(a, b)),
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(name, a)| b.get(name).is_some_and(|b| alike(a, b)))
        }
        (a, b) => a == b,
    }
}

/// The original's answers, from the cache if it was asked before.
fn original(name: &str, questions: &[Questions]) -> String {
    let mut lines = Vec::new();
    for Questions { written, contexts, .. } in questions {
        serde_json::to_writer(&mut lines, written).unwrap();
        lines.push(b'\n');
        for context in contexts.iter() {
            serde_json::to_writer(&mut lines, &[context]).unwrap();
            lines.push(b'\n');
        }
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
    fs::read_to_string(&kept).unwrap()
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
    assert!(
        ended.success(),
        "the original can't be asked: {}",
        tail(&fs::read_to_string(&log).unwrap_or_default())
    );
    fs::remove_file(log).unwrap();
}

fn tail(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(20)..].join("\n")
}

fn forget_others(folder: &Path, name: &str, kept: &Path) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let of_name =
            path.file_name().and_then(|f| f.to_str()).is_some_and(|f| f.starts_with(&format!("{name}-")));
        if of_name && path != kept && path.extension().is_some_and(|e| e == "jsonl") {
            let _ = fs::remove_file(path);
        }
    }
}

fn cache() -> PathBuf {
    let home = || PathBuf::from(env::var_os("HOME").expect("a home")).join(".cache");
    env::var_os("XDG_CACHE_HOME").map_or_else(home, PathBuf::from).join("platform-kernel")
}
