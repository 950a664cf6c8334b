//! Lines of a body as records: NDJSON or CSV of any size, a batch in memory at a time.
//!
//! A line is written whole or not at all; what is wrong with one does not hold up the others. The answer is a report
//! that begins while the body still flows: a line for each bad line, now and then how far it is, and the sums at last.
//! Repeated under the same Idempotency-Key it writes what is missing: the id of each record is made from the key, the
//! line's number and its text.

mod lines;

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use fabric::crypto::sha256;
use futures::{Stream, StreamExt as _, stream::BoxStream};
use kernel::{Ctx, Error, FieldCode, FieldError, Result, Slug};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Map, Value};
use tokio::sync::OwnedSemaphorePermit;
use uuid::Uuid;

use self::lines::{Line, Lines};
use crate::{
    DataLayer, csv,
    export::with_time_for_a_page,
    query::{self, OnBehalf, Record, Records},
    refusal::Purpose,
    request,
    service::{Open, Place, mistakes},
    store::Writing,
};

/// The time that a body may take to fill a batch; what is there is written then, and the report says how far it is, so
/// that a slow body does not look like a dead one.
const PATIENCE: Duration = Duration::from_secs(5);
/// Lines that are written with one statement.
const BATCH: usize = 200;
/// Bytes of lines that are written with one statement, when they are long.
const BATCH_BYTES: usize = 1024 * 1024;
/// Bad lines that are described; further ones are counted. A client that reads only when it has sent everything must
/// find the report's beginning in the buffers between.
const DESCRIBED: u64 = 1_000;
/// Mistakes that are named of one line.
const MISTAKES: usize = 5;

/// The form of the body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ImportFormat {
    Ndjson,
    Csv,
}

/// One line of the report.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", untagged)]
pub(crate) enum Report {
    /// A line that was not written.
    Bad {
        /// Its number, from 1.
        line: u64,
        /// What is wrong with it.
        errors: Vec<FieldError>,
    },
    /// How far it is; comes about every thousand lines, and every few seconds from a slow body.
    Progress {
        /// The last line that was looked at.
        line: u64,
    },
    /// Something other than a line went wrong; what was written before stays.
    Stopped {
        /// The slug of the problem.
        stopped: &'static str,
        /// What happened.
        detail: String,
        /// Records that were written.
        imported: u64,
        /// Lines that were refused.
        failed: u64,
        /// Repeat from this line on.
        line: u64,
    },
    /// The sums; the last line.
    Done {
        /// Records that were written, now or under the same Idempotency-Key before.
        imported: u64,
        /// Lines that were refused.
        failed: u64,
    },
}

/// What flows in.
pub(crate) type Pieces = BoxStream<'static, Result<Bytes>>;

struct Import {
    service: Arc<DataLayer>,
    cx: Ctx,
    open: Open,
    pieces: Pieces,
    lines: Lines,
    /// The columns of a CSV body.
    header: Option<Vec<String>>,
    imported: u64,
    failed: u64,
    told: u64,
    /// The first line that is not settled.
    at: u64,
    ended: bool,
    done: bool,
    _place: OwnedSemaphorePermit,
}

/// A line that passed its checks.
struct Ready {
    number: u64,
    id: Uuid,
    record: Record,
}

impl DataLayer {
    /// Begins an import; of a CSV body the header is read when this returns. The stream is the report.
    pub(crate) async fn import(
        self: &Arc<Self>,
        cx: &Ctx,
        place: &Place,
        format: ImportFormat,
        pieces: Pieces,
    ) -> Result<impl Stream<Item = Result<Bytes>> + Send + use<>> {
        let open = self.open(cx, place).await?;
        let permit = Arc::clone(&self.imports).try_acquire_owned().map_err(|_| {
            Error::new(Slug::Overloaded, "Other imports are running; try again when one of them has ended.")
        })?;
        let mut import = Import {
            service: Arc::clone(self),
            cx: cx.clone(),
            open,
            pieces,
            lines: Lines::new(format == ImportFormat::Csv),
            header: None,
            imported: 0,
            failed: 0,
            told: 0,
            at: 1,
            ended: false,
            done: false,
            _place: permit,
        };
        if format == ImportFormat::Csv {
            import.read_header().await?;
        }
        Ok(futures::stream::unfold(import, |mut import| async move {
            if import.done {
                return None;
            }
            import.cx = with_time_for_a_page(&import.cx).with_idempotency(import.cx.idempotency().cloned());
            let text = import.step().await;
            Some((Ok(text), import))
        }))
    }
}

impl Import {
    /// Writes one batch and tells of it.
    async fn step(&mut self) -> Bytes {
        let mut reports = Vec::new();
        match self.batch(&mut reports).await {
            Ok(()) if self.done => {
                reports.push(Report::Done { imported: self.imported, failed: self.failed })
            }
            Ok(()) if self.at / 1_000 != self.told => {
                self.told = self.at / 1_000;
                reports.push(Report::Progress { line: self.at - 1 });
            }
            Ok(()) => {}
            Err(error) => {
                tracing::warn!(?error, line = self.at, "an import was stopped");
                self.done = true;
                reports.push(Report::Stopped {
                    stopped: error.slug().name(),
                    detail: error.detail().to_owned(),
                    imported: self.imported,
                    failed: self.failed,
                    line: self.at,
                });
            }
        }
        let mut text = Vec::new();
        for report in reports {
            if let Ok(line) = serde_json::to_vec(&report) {
                text.extend(line);
                text.push(b'\n');
            }
        }
        text.into()
    }

    async fn batch(&mut self, reports: &mut Vec<Report>) -> Result<()> {
        let mut ready: Vec<Ready> = Vec::new();
        let (mut bytes, mut looked_at, mut last) = (0, 0, self.at);
        let until = tokio::time::Instant::now() + PATIENCE;
        while looked_at < BATCH && bytes < BATCH_BYTES {
            let line = match tokio::time::timeout_at(until, self.next_line()).await {
                Ok(Ok(Some(line))) => line,
                Ok(Ok(None)) => {
                    self.done = true;
                    break;
                }
                Ok(Err(error)) => {
                    // The body broke off: what came whole is written, then that is told.
                    self.write(ready, reports).await?;
                    self.at = last;
                    return Err(error);
                }
                Err(_) => {
                    self.told = u64::MAX;
                    break;
                }
            };
            looked_at += 1;
            last = line.number + 1;
            bytes += line.text.as_ref().map_or(0, String::len);
            match self.check(&line) {
                Ok(record) => ready.push(record),
                Err(errors) => self.bad(line.number, errors, reports),
            }
        }
        self.write(ready, reports).await?;
        self.at = last;
        Ok(())
    }

    /// All of them with one statement; where that is refused, one by one.
    async fn write(&mut self, ready: Vec<Ready>, reports: &mut Vec<Report>) -> Result<()> {
        if ready.is_empty() {
            return Ok(());
        }
        let rows: Vec<(Uuid, &Record)> = ready.iter().map(|line| (line.id, &line.record)).collect();
        match self.insert(&rows).await {
            Ok(()) => {
                self.imported += rows.len() as u64;
                return Ok(());
            }
            // As many as the plan still allows; the first beyond stops the import.
            Err(error) if error.slug() == Slug::PlanLimitExceeded => {}
            Err(error) => drop(self.of_a_line(error)?),
        }
        for line in &ready {
            match self.insert(&[(line.id, &line.record)]).await {
                Ok(()) => self.imported += 1,
                Err(error) if self.is_there_already(&error) => self.imported += 1,
                Err(error) => {
                    let error = self.of_a_line(error)?;
                    self.bad(line.number, mistakes(&error), reports);
                }
            }
            self.at = line.number + 1;
        }
        Ok(())
    }

    async fn insert(&mut self, rows: &[(Uuid, &Record)]) -> Result<()> {
        let request = request::told(&self.cx);
        let by = OnBehalf { tenant: self.cx.tenant()?, request: &request };
        // Repeating is settled by the ids, so each statement stands alone.
        let mut writing = Writing::begin(&self.service.db, &self.cx.with_idempotency(None)).await?;
        let _: Option<(i64,)> = writing.run(query::insert_counted(by, self.open.model(), rows)).await?;
        writing.end(()).await
    }

    /// What is wrong with a line; an error that is not about what a line says stops the import.
    fn of_a_line(&self, error: Error) -> Result<Error> {
        // A deadlock is a conflict, too, but breaks no rule of the table.
        let rule = match error.slug() {
            Slug::Conflict => fabric::postgres::violated(&error).is_some(),
            Slug::PlanLimitExceeded => false,
            _ => true,
        };
        let error = self.open.refused(error, Purpose::WriteOne);
        if rule && error.slug().status().is_client_error() { Ok(error) } else { Err(error) }
    }

    /// Whether the record's own id was taken: it was written under the same key before.
    fn is_there_already(&self, error: &Error) -> bool {
        let Some(constraint) = fabric::postgres::violated(error) else { return false };
        self.cx.idempotency().is_some()
            && self.open.model().uniques.iter().any(|unique| {
                unique.name == constraint
                    && unique.columns.iter().all(|name| name == "id" || name == "tenant_id")
            })
    }

    fn bad(&mut self, line: u64, mut errors: Vec<FieldError>, reports: &mut Vec<Report>) {
        self.failed += 1;
        if self.failed <= DESCRIBED {
            errors.truncate(MISTAKES);
            reports.push(Report::Bad { line, errors });
        }
    }

    fn check(&self, line: &Line) -> Result<Ready, Vec<FieldError>> {
        let fault = |message: &str| vec![FieldError::new("", FieldCode::InvalidFormat, message)];
        let text = line.text.as_ref().map_err(|message| fault(message))?;
        let value = match &self.header {
            None => serde_json::from_str::<Value>(text)
                .map_err(|error| fault(&format!("This is not JSON: {error}.")))?,
            Some(header) => self.record_of_row(header, text)?,
        };
        if value.is_array() {
            return Err(fault("A line holds one record, an object."));
        }
        let checked = Records::check(self.open.model(), value)?;
        let record = checked.records.into_iter().next().ok_or_else(|| fault("A line holds one record."))?;
        Ok(Ready { number: line.number, id: self.id_of(line.number, text), record })
    }

    fn record_of_row(&self, header: &[String], text: &str) -> Result<Value, Vec<FieldError>> {
        let fault =
            |field: String, message: String| FieldError::new(field, FieldCode::InvalidFormat, message);
        let fields =
            csv::read_line(text).map_err(|message| vec![fault(String::new(), message.to_owned())])?;
        if fields.len() != header.len() {
            let message =
                format!("The header names {} fields; this line has {}.", header.len(), fields.len());
            return Err(vec![fault(String::new(), message)]);
        }
        let mut record = Map::new();
        let mut errors = Vec::new();
        for (name, field) in header.iter().zip(fields) {
            let Some(column) = self.open.model().column(name) else { continue };
            if field.text.is_empty() && !field.quoted {
                continue;
            }
            match csv::value(&column.kind, &field.text) {
                Ok(value) => drop(record.insert(name.clone(), value)),
                Err(error) => errors.push(fault(format!("/{name}"), format!("This is not JSON: {error}."))),
            }
        }
        if errors.is_empty() { Ok(Value::Object(record)) } else { Err(errors) }
    }

    /// A fresh id, or under an Idempotency-Key always the same one for the same line.
    fn id_of(&self, number: u64, text: &str) -> Uuid {
        let (Some(repeat), Ok(tenant)) = (self.cx.idempotency(), self.cx.tenant()) else {
            return Uuid::now_v7();
        };
        let model = self.open.model();
        let place = format!("{}.{}", model.schema, model.table);
        let tenant = tenant.uuid();
        let parts: [&[u8]; 5] = [
            tenant.as_bytes(),
            repeat.key.as_bytes(),
            &number.to_be_bytes(),
            // The only part of open length but the last; a schema or table name holds no zero byte.
            &[place.as_bytes(), b"\0"].concat(),
            text.as_bytes(),
        ];
        let mut id = [0; 16];
        id.copy_from_slice(&sha256(&parts)[..16]);
        uuid::Builder::from_custom_bytes(id).into_uuid()
    }

    async fn read_header(&mut self) -> Result<()> {
        let Some(line) = self.next_line().await? else {
            return Err(Error::field("", FieldCode::Required, "The first line must name the fields."));
        };
        let wrong = |message: &str| Error::field("", FieldCode::InvalidFormat, message.to_owned());
        let text = line.text.map_err(wrong)?;
        let names: Vec<String> =
            csv::read_line(&text).map_err(wrong)?.into_iter().map(|field| field.text).collect();
        let model = self.open.model();
        let mut errors = Vec::new();
        for (at, name) in names.iter().enumerate() {
            let shown: String = name.chars().take(100).collect();
            match model.visible(name) {
                None => {
                    let message = format!("{} has no field {shown}.", model.name);
                    errors.push(FieldError::new(shown, FieldCode::UnknownField, message));
                }
                Some(column) if !model.is_writable(column) => {
                    errors.push(FieldError::new(
                        shown,
                        FieldCode::NotAllowed,
                        "This cannot be set; leave it out.",
                    ));
                }
                Some(_) if names[..at].contains(name) => {
                    errors.push(FieldError::new(shown, FieldCode::InvalidFormat, "This is named twice."));
                }
                Some(_) => {}
            }
        }
        if !errors.is_empty() {
            errors.truncate(100);
            return Err(Error::fields(errors));
        }
        self.header = Some(names);
        self.at = line.number + 1;
        Ok(())
    }

    async fn next_line(&mut self) -> Result<Option<Line>> {
        loop {
            if let Some(line) = self.lines.next() {
                return Ok(Some(line));
            }
            if self.ended {
                return Ok(None);
            }
            match self.pieces.next().await {
                Some(piece) => self.lines.push(&piece?),
                None => {
                    self.ended = true;
                    self.lines.finish();
                }
            }
        }
    }
}
