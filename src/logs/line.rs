//! A line of the log: one JSON object, the fields of the spans around it and its own side by side.

use std::fmt;

use kernel::Timestamp;
use tracing::field::{Field, Visit};
use tracing::span::Record;
use tracing::{Event, Subscriber};
use tracing_subscriber::field::RecordFields;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields, FormattedFields};
use tracing_subscriber::registry::LookupSpan;

/// The most bytes of one field; the rest is cut. A log line must not become a way to fill a disk.
const FIELD_LIMIT: usize = 8 * 1024;

/// Writes fields as members of a JSON object without its braces, so that those of several spans can stand in one.
#[derive(Debug, Clone, Copy)]
pub struct Members;

impl<'w> FormatFields<'w> for Members {
    fn format_fields<R: RecordFields>(&self, writer: Writer<'w>, fields: R) -> fmt::Result {
        let mut members = Writing { writer, first: true, result: Ok(()) };
        fields.record(&mut members);
        members.result
    }

    fn add_fields(&self, current: &'w mut FormattedFields<Self>, fields: &Record<'_>) -> fmt::Result {
        let first = current.fields.is_empty();
        let mut members = Writing { writer: current.as_writer(), first, result: Ok(()) };
        fields.record(&mut members);
        members.result
    }
}

/// Writes `{"time":…,"level":…,"target":…,` the spans' members, the event's members `}`.
#[derive(Debug, Clone, Copy)]
pub struct JsonLine;

impl<S, N> FormatEvent<S, N> for JsonLine
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'w> FormatFields<'w> + 'static,
{
    fn format_event(
        &self,
        ctx: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let metadata = event.metadata();
        let level = match *metadata.level() {
            tracing::Level::ERROR => "error",
            tracing::Level::WARN => "warn",
            tracing::Level::INFO => "info",
            tracing::Level::DEBUG => "debug",
            tracing::Level::TRACE => "trace",
        };
        write!(writer, "{{\"time\":\"{}\",\"level\":\"{level}\",\"target\":", Timestamp::real())?;
        write_text(&mut writer, metadata.target())?;
        for span in ctx.event_scope().into_iter().flat_map(|scope| scope.from_root()) {
            let extensions = span.extensions();
            if let Some(members) =
                extensions.get::<FormattedFields<N>>().filter(|members| !members.is_empty())
            {
                write!(writer, ",{members}")?;
            }
        }
        let mut members = Writing { writer: writer.by_ref(), first: false, result: Ok(()) };
        event.record(&mut members);
        members.result?;
        writeln!(writer, "}}")
    }
}

struct Writing<'w> {
    writer: Writer<'w>,
    first: bool,
    result: fmt::Result,
}

impl Writing<'_> {
    fn member(&mut self, field: &Field, write: impl FnOnce(&mut Writer<'_>) -> fmt::Result) {
        if self.result.is_err() {
            return;
        }
        let comma = if std::mem::take(&mut self.first) { "" } else { "," };
        self.result = (|| {
            self.writer.write_str(comma)?;
            write_text(&mut self.writer, field.name())?;
            self.writer.write_char(':')?;
            write(&mut self.writer)
        })();
    }
}

impl Visit for Writing<'_> {
    fn record_i64(&mut self, field: &Field, value: i64) {
        self.member(field, |writer| write!(writer, "{value}"));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.member(field, |writer| write!(writer, "{value}"));
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        // JSON has no infinity and no NaN; and nobody reads the fifteenth digit of a time.
        let short = (value * 1e6).round() / 1e6;
        self.member(field, |writer| {
            if short.is_finite() { write!(writer, "{short}") } else { writer.write_str("null") }
        });
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.member(field, |writer| write!(writer, "{value}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.member(field, |writer| write_text(writer, value));
    }

    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        // Each cause: the last one is usually the one that helps.
        let mut text = value.to_string();
        let mut source = value.source();
        while let Some(error) = source {
            text.push_str(": ");
            text.push_str(&error.to_string());
            source = error.source();
        }
        self.member(field, |writer| write_text(writer, &text));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let text = format!("{value:?}");
        self.member(field, |writer| write_text(writer, &text));
    }
}

/// A JSON string.
fn write_text(writer: &mut Writer<'_>, text: &str) -> fmt::Result {
    let cut = text.floor_char_boundary(FIELD_LIMIT);
    let (text, more) = (&text[..cut], cut < text.len());
    let quoted = serde_json::to_string(text).map_err(|_| fmt::Error)?;
    if more {
        let open = quoted.strip_suffix('"').unwrap_or(&quoted);
        return write!(writer, "{open}…\"");
    }
    writer.write_str(&quoted)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io;
    use std::sync::{Arc, Mutex};
    use tracing_subscriber::layer::SubscriberExt;

    #[derive(Clone, Default)]
    struct Kept(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Kept {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn logged(log: impl FnOnce()) -> serde_json::Value {
        let kept = Kept::default();
        let writer = kept.clone();
        let layer = tracing_subscriber::fmt::layer()
            .fmt_fields(Members)
            .event_format(JsonLine)
            .with_writer(move || writer.clone());
        tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), log);
        let bytes = kept.0.lock().unwrap().clone();
        assert_eq!(bytes.iter().filter(|byte| **byte == b'\n').count(), 1);
        serde_json::from_slice(&bytes).unwrap()
    }

    #[test]
    fn the_fields_of_spans_stand_beside_the_message() {
        let line = logged(|| {
            let outer = tracing::info_span!("request", request_id = "r1", tenant = tracing::field::Empty);
            let _outer = outer.enter();
            outer.record("tenant", "t1");
            let _inner = tracing::info_span!("link", service = "iam").entered();
            tracing::warn!(status = 503_u16, slow = true, "a \"quoted\"\nword");
        });
        assert_eq!(line["level"], "warn");
        assert_eq!(line["message"], "a \"quoted\"\nword");
        assert_eq!(
            (&line["request_id"], &line["tenant"], &line["service"]),
            (&"r1".into(), &"t1".into(), &"iam".into())
        );
        assert_eq!((&line["status"], &line["slow"]), (&503.into(), &true.into()));
        assert!(line["time"].as_str().unwrap().ends_with('Z'));
    }

    #[test]
    fn a_field_without_end_is_cut() {
        let line = logged(|| tracing::info!("{}", "ä".repeat(FIELD_LIMIT)));
        let message = line["message"].as_str().unwrap();
        assert!(message.len() < FIELD_LIMIT + 10 && message.ends_with('…'));
    }

    #[test]
    fn an_error_is_told_with_its_causes() {
        let error = io::Error::other(kernel::Error::not_found("wallet"));
        let line = logged(|| {
            let error: &(dyn std::error::Error + 'static) = &error;
            tracing::error!(error, "failed");
        });
        assert!(!line["error"].as_str().unwrap().is_empty());
    }
}
