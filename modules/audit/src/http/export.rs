use std::sync::Arc;

use axum::{
    body::Body,
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use futures::stream;
use http::{HeaderValue, header};
use kernel::{Ctx, Error, Timestamp, UserId};
use ports::http::{Access, Cx, Operation, Query, Result, Routes, State, csv_cell};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use crate::{ActionFilter, Audit, Filter, RecordOut, store};

pub(super) fn add(routes: Routes<Arc<Audit>>) -> Routes<Arc<Audit>> {
    routes.add(
        Operation::get("/audit/export", "exportAuditRecords", Access::Permission("audit.export"))
            .summary("Export audit records, newest first, as a stream")
            .description(
                "`ndjson`: one record a line, as the list shows them. `csv`: for spreadsheets, with `before`, `after` \
                 and `metadata` as JSON in a cell.",
            )
            .query::<ExportQuery>()
            .status(200),
        export,
    )
}

/// Which records, and how they are written.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct ExportQuery {
    /// `ndjson` unless said.
    #[serde(default)]
    format: Format,
    /// An action, or with a dot at its end all that begin so: `money.`.
    action: Option<String>,
    /// The kind of thing.
    entity_type: Option<String>,
    /// The thing.
    entity_id: Option<String>,
    /// The person behind it.
    user_id: Option<UserId>,
    /// Not before this time.
    from: Option<Timestamp>,
    /// Before this time.
    to: Option<Timestamp>,
    /// A piece of the description, the action or the entity, in any case.
    q: Option<String>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Format {
    #[default]
    Ndjson,
    Csv,
}

impl Format {
    fn content_type(self) -> HeaderValue {
        HeaderValue::from_static(match self {
            Self::Ndjson => "application/x-ndjson",
            Self::Csv => "text/csv; charset=utf-8",
        })
    }

    fn file_name(self) -> HeaderValue {
        HeaderValue::from_static(match self {
            Self::Ndjson => "attachment; filename=\"audit.ndjson\"",
            Self::Csv => "attachment; filename=\"audit.csv\"",
        })
    }

    fn head(self) -> &'static str {
        match self {
            Self::Ndjson => "",
            Self::Csv => CSV_HEAD,
        }
    }

    fn write(self, records: &[RecordOut], out: &mut Vec<u8>) -> kernel::Result<()> {
        for record in records {
            match self {
                Self::Ndjson => {
                    serde_json::to_writer(&mut *out, record).map_err(Error::internal)?;
                    out.push(b'\n');
                }
                Self::Csv => csv_line(record, out),
            }
        }
        Ok(())
    }
}

/// An export under way: one page in memory at a time.
struct Export {
    audit: Arc<Audit>,
    cx: Ctx,
    filter: Filter,
    format: Format,
}

impl Export {
    async fn page(&self, after: Option<store::Place>) -> kernel::Result<(Bytes, Option<store::Place>)> {
        let (records, next) = self.audit.export_page(&self.cx, &self.filter, after).await?;
        let mut out = if after.is_none() { self.format.head().as_bytes().to_vec() } else { Vec::new() };
        self.format.write(&records, &mut out)?;
        Ok((out.into(), next))
    }
}

async fn export(
    State(audit): State<Arc<Audit>>,
    Cx(cx): Cx,
    Query(query): Query<ExportQuery>,
) -> Result<Response> {
    let filter = Filter {
        action: query.action.as_deref().map(ActionFilter::read),
        entity_type: query.entity_type,
        entity_id: query.entity_id,
        user_id: query.user_id,
        from: query.from,
        to: query.to,
        text: query.q,
    };
    filter.check()?;
    let format = query.format;
    let export = Export { audit, cx, filter, format };
    // The first page is read before the head goes out, so that what is wrong becomes a problem; what goes wrong later
    // breaks the connection off, which the client sees.
    let (first, next) = export.page(None).await?;
    let rest = stream::try_unfold((export, next), |(export, next)| async move {
        let Some(place) = next else { return Ok::<_, Error>(None) };
        let (page, next) = export.page(Some(place)).await?;
        Ok(Some((page, (export, next))))
    });
    let whole = futures::StreamExt::chain(stream::iter([Ok(first)]), rest);
    let mut response = Body::from_stream(whole).into_response();
    response.headers_mut().insert(header::CONTENT_TYPE, format.content_type());
    response.headers_mut().insert(header::CONTENT_DISPOSITION, format.file_name());
    Ok(response)
}

const CSV_HEAD: &str = "timestamp,seq,action,entityType,entityId,actorKind,actor,actorEmail,userId,ip,userAgent,\
                        description,before,after,metadata,traceId,auditId,hash\r\n";

fn csv_line(record: &RecordOut, out: &mut Vec<u8>) {
    let json = |value: &Option<Value>| value.as_ref().map(Value::to_string);
    let text = |value: &Option<String>| value.clone();
    let cells = [
        Some(record.timestamp.to_string()),
        record.seq.map(|seq| seq.to_string()),
        Some(record.action.clone()),
        Some(record.entity_type.clone()),
        Some(record.entity_id.clone()),
        Some(record.actor_kind.clone()),
        Some(record.actor.clone()),
        text(&record.actor_email),
        record.user_id.map(|id| id.to_string()),
        text(&record.ip),
        text(&record.user_agent),
        text(&record.description),
        json(&record.before),
        json(&record.after),
        json(&record.metadata),
        text(&record.trace_id),
        Some(record.audit_id.to_string()),
        text(&record.hash),
    ];
    for (index, cell) in cells.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        if let Some(cell) = cell {
            csv_cell(cell, out);
        }
    }
    out.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_as_many_cells_as_the_head() {
        let record = RecordOut {
            audit_id: kernel::AuditId::new(),
            action: "a.b".into(),
            entity_type: "t".into(),
            entity_id: "1".into(),
            user_id: None,
            actor_kind: "system".into(),
            actor: "system:x".into(),
            actor_email: None,
            tenant_id: kernel::TenantId::new(),
            ip: None,
            user_agent: None,
            before: None,
            after: None,
            description: None,
            metadata: None,
            trace_id: None,
            timestamp: Timestamp::real(),
            seq: Some(1),
            hash: None,
        };
        let mut line = Vec::new();
        csv_line(&record, &mut line);
        let commas = |text: &str| text.matches(',').count();
        assert_eq!(commas(std::str::from_utf8(&line).unwrap()), commas(CSV_HEAD));
    }
}
