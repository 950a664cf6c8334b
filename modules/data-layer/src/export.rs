//! A whole list as a stream: page after page by keyset, one page in memory at a time.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use futures::{Stream, stream};
use kernel::{Ctx, Error, Result};
use serde_json::value::RawValue;

use crate::{
    DataLayer, csv,
    query::{CursorKeys, CursorMismatch, ExportFormat, ListQuery},
    refusal::Purpose,
    service::{Open, Place, may_read},
    store,
};

/// The time that each page of a stream has, once the head of the answer is out.
const PAGE_TIME: Duration = Duration::from_secs(30);

/// Pages of more text than this are cut into lines on a thread that may take its time.
const LONG_PAGE: usize = 256 * 1024;

/// An export under way.
pub(crate) struct Export {
    service: Arc<DataLayer>,
    cx: Ctx,
    open: Open,
    raw: String,
    format: ExportFormat,
    next: Next,
}

enum Next {
    First,
    After(CursorKeys),
    Nothing,
}

impl DataLayer {
    /// Begins an export; the first page is there when this returns, so that what is wrong becomes a problem and not a
    /// broken stream.
    pub(crate) async fn export(
        self: &Arc<Self>,
        cx: &Ctx,
        place: &Place,
        raw: String,
    ) -> Result<(ExportFormat, impl Stream<Item = Result<Bytes>> + Send + use<>)> {
        let open = self.open(cx, place).await?;
        let format = {
            let (list, format) =
                ListQuery::parse_export(&open.catalogue, open.model(), &raw).map_err(Error::fields)?;
            may_read(cx, &open.catalogue, list.models())?;
            format
        };
        let (service, cx) = (Arc::clone(self), cx.clone());
        let mut export = Export { service, cx, open, raw, format, next: Next::First };
        let first = export.page().await?.unwrap_or_default();
        let rest = stream::try_unfold(export, |mut export| async move {
            export.cx = with_time_for_a_page(&export.cx);
            Ok(export.page().await?.map(|page| (page, export)))
        });
        let first = stream::iter((!first.is_empty()).then_some(Ok(first)));
        Ok((format, stream::StreamExt::chain(first, rest)))
    }
}

impl Export {
    async fn page(&mut self) -> Result<Option<Bytes>> {
        let after = match std::mem::replace(&mut self.next, Next::Nothing) {
            Next::First => None,
            Next::After(keys) => Some(keys),
            Next::Nothing => return Ok(None),
        };
        let (page, members) = {
            // The statement of each page has the same text, so Postgres keeps it prepared.
            let (list, _) = ListQuery::parse_export(&self.open.catalogue, self.open.model(), &self.raw)
                .map_err(Error::fields)?;
            let page = list.compile(self.cx.tenant()?, after.as_ref()).map_err(|CursorMismatch| {
                Error::internal("the next page of an export does not belong to its list")
            })?;
            (page, list.members().map(str::to_owned).collect::<Vec<_>>())
        };
        let row: Option<(String, Option<String>, bool, Option<i64>)> =
            store::read(&self.service.db, &self.cx, page.statement)
                .await
                .map_err(|error| self.open.refused(error, Purpose::Read))?;
        let (data, last, has_more, _) = row.ok_or_else(|| Error::internal("a page came without a row"))?;
        if let Some(last) = last.filter(|_| has_more) {
            let values = serde_json::from_str(&last).map_err(Error::internal)?;
            self.next = Next::After(CursorKeys { values, fingerprint: page.fingerprint });
        }
        let (format, first) = (self.format, after.is_none());
        let long = data.len() > LONG_PAGE;
        let write = move || lines(format, &members, &data, first);
        let text =
            if long { tokio::task::spawn_blocking(write).await.map_err(Error::internal)? } else { write() };
        text.map(Some)
    }
}

/// The lines of one page.
fn lines(format: ExportFormat, members: &[String], data: &str, first: bool) -> Result<Bytes> {
    let records: Vec<&RawValue> = serde_json::from_str(data).map_err(Error::internal)?;
    let mut text = Vec::with_capacity(data.len() + 256);
    match format {
        ExportFormat::Ndjson => {
            for record in records {
                // A line feed can stand between the tokens of a `json` column only, where a space says the same; inside
                // of strings JSON escapes it.
                let line =
                    record.get().bytes().map(|byte| if matches!(byte, b'\n' | b'\r') { b' ' } else { byte });
                text.extend(line);
                text.push(b'\n');
            }
        }
        ExportFormat::Csv => {
            if first {
                csv::write_header(members, &mut text);
            }
            for record in records {
                csv::write_record(members, record, &mut text)?;
            }
        }
    }
    Ok(text.into())
}

/// The same caller with time for another page: a deadline bounds the time to the head of an answer, and a stream goes
/// on as long as it is read.
pub(crate) fn with_time_for_a_page(cx: &Ctx) -> Ctx {
    Ctx::build(cx.sandbox().clone(), cx.clock().clone())
        .caller(cx.caller().clone())
        .request(cx.request())
        .trace(cx.trace())
        .locale(cx.locale())
        .client(cx.client().clone())
        .deadline(Instant::now() + PAGE_TIME)
        .finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_one_line_whatever_its_json_looks_like() {
        let data = "[{\"a\":1}, \n {\"a\":{\n\"b\":\"x\\ny\"}}]";
        let text = lines(ExportFormat::Ndjson, &["a".to_owned()], data, true).unwrap();
        assert_eq!(text, "{\"a\":1}\n{\"a\":{ \"b\":\"x\\ny\"}}\n");
    }

    #[test]
    fn a_table_has_its_header_on_the_first_page_only() {
        let members = ["a".to_owned(), "b".to_owned()];
        let data = r#"[{"a":1,"b":null}]"#;
        assert_eq!(lines(ExportFormat::Csv, &members, data, true).unwrap(), "a,b\r\n1,\r\n");
        assert_eq!(lines(ExportFormat::Csv, &members, data, false).unwrap(), "1,\r\n");
    }
}
