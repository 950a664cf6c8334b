//! `logs`: the lines of the rotated files, for reading.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{BufRead, BufReader, Seek, SeekFrom};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;

use serde_json::Value;

use super::Call;
use crate::failure::Failure;
use crate::logs::file;
use crate::{output, settings};

/// How often new lines are looked for.
const GLANCE: Duration = Duration::from_millis(200);

/// Show the log, all of it or of one request.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Every answer carries its trace in the header traceparent, every problem in its member traceId.

Examples:
  platform-kernel logs -n 50
  platform-kernel logs --trace 4bf92f3577b34da6a3ce929d0e0e4736
  platform-kernel logs -f --json | jq 'select(.level == \"error\")'")]
pub struct Args {
    /// Only lines of this trace or request.
    #[arg(long, value_name = "ID")]
    trace: Option<String>,
    /// Only the last lines; 0 is all there are.
    #[arg(short = 'n', long, default_value_t = 200, value_name = "NUMBER")]
    lines: usize,
    /// Go on with what comes.
    #[arg(short, long)]
    follow: bool,
    /// Lines as they were written, one JSON object each.
    #[arg(long)]
    json: bool,
}

/// Prints the lines.
///
/// # Errors
/// There is no log, or it can't be read.
pub fn run(args: &Args, call: Call) -> Result<(), Failure> {
    let data_dir = settings::resolve(call.settings)?.config.data_dir;
    let folder = file::folder(&data_dir);
    let files = file::files(&folder);
    if files.is_empty() && !args.follow {
        return Err(Failure::new(format!(
            "there is no log in {}: no kernel has run on that data folder, or this user may not read it; name the folder \
             with --data-dir",
            folder.display()
        )));
    }
    let keep = if args.lines == 0 { usize::MAX } else { args.lines };
    let mut last: VecDeque<String> = VecDeque::new();
    for path in &files {
        let reader = BufReader::new(File::open(path).map_err(|error| unreadable(path, &error))?);
        for line in reader.split(b'\n') {
            let line = line.map_err(|error| unreadable(path, &error))?;
            if let Some(shown) = shown(&String::from_utf8_lossy(&line), args) {
                if last.len() >= keep {
                    last.pop_front();
                }
                last.push_back(shown);
            }
        }
    }
    if let (true, Some(trace), false) = (last.is_empty(), &args.trace, args.follow) {
        return Err(Failure::new(format!(
            "no line of {trace}: it is another kernel's, older than the log, or nothing of it was worth a line at this \
             LOG_LEVEL"
        )));
    }
    for line in last {
        output::line(line)?;
    }
    if args.follow { follow(&file::file(&folder, 0), args) } else { Ok(()) }
}

/// The line as it is printed; none when it is not asked for.
fn shown(line: &str, args: &Args) -> Option<String> {
    if line.trim().is_empty() {
        return None;
    }
    if let Some(trace) = &args.trace {
        // Cheap first: most lines are of others.
        let wanted = trace.to_ascii_lowercase();
        if !line.to_ascii_lowercase().contains(&wanted) {
            return None;
        }
        let line: Value = serde_json::from_str(line).ok()?;
        let is_it = |member: &str| line[member].as_str().is_some_and(|id| id.eq_ignore_ascii_case(&wanted));
        if !is_it("trace_id") && !is_it("request_id") {
            return None;
        }
    }
    Some(if args.json { line.to_owned() } else { readable(line) })
}

/// `12:00:01.123 WARN  iam  message  key=value …`; a line of another kind as it is.
fn readable(line: &str) -> String {
    let Ok(Value::Object(members)) = serde_json::from_str::<Value>(line) else { return line.to_owned() };
    let text = |name: &str| members.get(name).and_then(Value::as_str).unwrap_or_default();
    let time = text("time");
    let part = if text("service").is_empty() { text("target") } else { text("service") };
    let mut shown = format!("{time} {:5} {part}: {}", text("level").to_uppercase(), text("message"));
    for (name, value) in &members {
        if matches!(name.as_str(), "time" | "level" | "target" | "service" | "message") {
            continue;
        }
        let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        shown.push_str(&format!("  {name}={value}"));
    }
    // One line of the log is one line here, whatever is in it.
    shown.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// Prints what is added to the youngest file, and goes on with the next when it was put aside.
fn follow(path: &Path, args: &Args) -> Result<(), Failure> {
    let mut reader: Option<(BufReader<File>, u64)> = None;
    // What was there is printed already; a file that comes later is read from its beginning.
    let mut from_end = true;
    let mut begun = Vec::new();
    loop {
        if reader.is_none()
            && let Ok(mut file) = File::open(path)
        {
            let start = if from_end { SeekFrom::End(0) } else { SeekFrom::Start(0) };
            file.seek(start).map_err(|error| unreadable(path, &error))?;
            let inode = file.metadata().map_err(|error| unreadable(path, &error))?.ino();
            reader = Some((BufReader::new(file), inode));
        }
        from_end = false;
        if let Some((lines, inode)) = &mut reader {
            while lines.read_until(b'\n', &mut begun).map_err(|error| unreadable(path, &error))? > 0 {
                if begun.last() == Some(&b'\n') {
                    let line = String::from_utf8_lossy(&begun);
                    if let Some(shown) = shown(line.trim_end(), args) {
                        output::line(shown)?;
                    }
                    begun.clear();
                }
            }
            let put_aside = std::fs::metadata(path).is_ok_and(|there| there.ino() != *inode);
            if put_aside {
                reader = None;
                continue;
            }
        }
        std::thread::sleep(GLANCE);
    }
}

fn unreadable(path: &Path, error: &std::io::Error) -> Failure {
    Failure::new(format!(
        "cannot read {}: {error}; run this as the user that runs the kernel",
        path.display()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &str = r#"{"time":"2026-11-23T12:00:00.000Z","level":"warn","target":"iam::service","service":"iam","trace_id":"abc","message":"slow","took_ms":7}"#;

    fn args(trace: Option<&str>) -> Args {
        Args { trace: trace.map(str::to_owned), lines: 0, follow: false, json: false }
    }

    #[test]
    fn a_line_is_readable() {
        assert_eq!(
            shown(LINE, &args(None)).unwrap(),
            "2026-11-23T12:00:00.000Z WARN  iam: slow  trace_id=abc  took_ms=7"
        );
        assert_eq!(readable("not json"), "not json");
    }

    #[test]
    fn only_lines_of_the_trace_are_shown() {
        assert!(shown(LINE, &args(Some("ABC"))).is_some());
        assert!(shown(LINE, &args(Some("slow"))).is_none());
        assert!(shown(LINE, &args(Some("def"))).is_none());
    }

    #[test]
    fn a_line_cannot_move_the_cursor() {
        assert!(!readable(r#"{"message":"a\u001b[2J\nb"}"#).contains(['\u{1b}', '\n']));
    }
}
