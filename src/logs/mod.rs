//! Where log lines go: to stderr (for reading on a terminal, else one JSON object a line) and, always as JSON, to
//! rotated files in the data folder.

pub mod file;
mod line;

use std::io::{BufWriter, IsTerminal, Write};
use std::path::Path;

use kernel::config::{Logging, Origin, Resolved};
use tracing_appender::non_blocking::{NonBlocking, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::filter::EnvFilter;
use tracing_subscriber::fmt::{self, writer::MakeWriterExt as _};
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;

use crate::failure::Failure;
use file::RotatedFile;
use line::{JsonLine, Members};

/// Lines that may wait for a slow disk or terminal; more are dropped rather than holding up a request.
const WAITING_LINES: usize = 16_384;

/// Writes what is still waiting when it is dropped.
#[derive(Debug)]
pub struct Logs {
    _guards: Vec<WorkerGuard>,
}

/// Begins to log. On a terminal only warnings show unless `verbose` or a level was asked for: the start has five lines
/// of its own there.
///
/// # Errors
/// The folder of the log can't be made, or a filter names no part.
pub fn begin(resolved: &Resolved, data_dir: &Path, verbose: bool) -> Result<Logs, Failure> {
    let Logging { level, json } = &resolved.config.logging;
    let asked = resolved.origin("LOG_LEVEL").is_some_and(|origin| *origin != Origin::Default);
    let quiet = std::io::stderr().is_terminal() && !json && !verbose && !asked;
    let shown = if quiet { "warn" } else { level.as_str() };

    let files = file::folder(data_dir);
    let rotated = RotatedFile::open(&files)
        .map_err(|error| crate::data_folder::refused("write the log in", data_dir, &error))?;
    let (to_file, file_guard) = buffered(rotated);
    let (to_stderr, stderr_guard) = buffered(std::io::stderr());

    let registry = tracing_subscriber::registry();
    let whole = filter(level.as_str())?;
    let begun = if *json {
        // Both get the same lines, so each line is made once.
        let lines =
            fmt::layer().fmt_fields(Members).event_format(JsonLine).with_writer(to_file.and(to_stderr));
        registry.with(lines.with_filter(whole)).try_init()
    } else {
        let for_file = fmt::layer().fmt_fields(Members).event_format(JsonLine).with_writer(to_file);
        let lines = fmt::layer()
            .compact()
            .with_ansi(std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none())
            .with_writer(to_stderr);
        registry.with(for_file.with_filter(whole)).with(lines.with_filter(filter(shown)?)).try_init()
    };
    begun.map_err(|error| Failure::new(format!("the log could not be begun: {error}")))?;
    Ok(Logs { _guards: vec![file_guard, stderr_guard] })
}

/// Logs to stderr alone, for processes beside the kernel: warnings, and more when asked.
pub fn to_stderr(json: bool, level: &str) -> Result<(), Failure> {
    let registry = tracing_subscriber::registry();
    let begun = if json {
        let lines = fmt::layer().fmt_fields(Members).event_format(JsonLine).with_writer(std::io::stderr);
        registry.with(lines.with_filter(filter(level)?)).try_init()
    } else {
        let lines =
            fmt::layer().compact().with_ansi(std::io::stderr().is_terminal()).with_writer(std::io::stderr);
        registry.with(lines.with_filter(filter(level)?)).try_init()
    };
    begun.map_err(|error| Failure::new(format!("the log could not be begun: {error}")))
}

/// Lines that wait for each other go out together; the last of them takes all along.
fn buffered<W: Write + Send + 'static>(writer: W) -> (NonBlocking, WorkerGuard) {
    let together = BufWriter::with_capacity(64 * 1024, writer);
    NonBlockingBuilder::default().buffered_lines_limit(WAITING_LINES).lossy(true).finish(together)
}

/// Our crates at the level asked for; libraries no louder than their own stories deserve, unless they are asked by name.
fn filter(level: &str) -> Result<EnvFilter, Failure> {
    // sqlx passes every NOTICE of PostgreSQL on as info.
    const LIBRARIES: [(&str, &str); 7] = [
        ("sqlx", "warn"),
        ("hyper", "info"),
        ("h2", "info"),
        ("rustls", "info"),
        ("tower", "info"),
        ("tokio", "info"),
        ("mio", "info"),
    ];
    let mut directives = level.to_owned();
    let is_quiet = level.split(',').any(|directive| matches!(directive, "off" | "error" | "warn"));
    for (library, most) in LIBRARIES {
        if !is_quiet && !level.split(',').any(|directive| directive.starts_with(library)) {
            directives.push_str(&format!(",{library}={most}"));
        }
    }
    EnvFilter::try_new(directives).map_err(|error| {
        Failure::usage(format!("LOG_LEVEL={level} is no filter: {error}; for example info,iam=debug"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_is_for_our_own_crates() {
        let shown = filter("debug,sqlx=trace").unwrap().to_string();
        assert!(shown.contains("hyper=info") && shown.contains("sqlx=trace"), "{shown}");
        assert!(filter("info").unwrap().to_string().contains("sqlx=warn"));
        assert_eq!(filter("warn").unwrap().to_string(), "warn");
    }
}
