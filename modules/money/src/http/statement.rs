//! `/wallets/{id}/statement`: what happened in a wallet over a time, as a stream.

use axum::{
    body::Body,
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use futures::{StreamExt as _, stream};
use http::{HeaderValue, header};
use kernel::{Ctx, Error, Timestamp, TransactionId, WalletId};
use ports::http::{Cx, Operation, Path, Query, Result, Routes, State, csv_cell};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{App, READ};
use crate::{
    model::{Currency, Kind},
    service::Statement,
};

/// Of which time, and how it is written.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct StatementQuery {
    /// From this moment on; 30 days before `to` unless said.
    pub from: Option<Timestamp>,
    /// Before this moment; now unless said.
    pub to: Option<Timestamp>,
    /// `json` unless said.
    #[serde(default)]
    pub format: Format,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Format {
    #[default]
    Json,
    Csv,
}

/// A statement. Amounts are changes of what the wallet has available, in minor units.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[allow(dead_code, reason = "it says what the stream holds, which is written piece by piece")]
struct StatementOut {
    /// The wallet.
    wallet_id: WalletId,
    /// ISO 4217.
    currency: Currency,
    /// Digits behind the point.
    exponent: u8,
    /// From this moment on.
    from: Timestamp,
    /// Before this moment.
    to: Timestamp,
    /// What was available at its beginning.
    opening_balance: i64,
    /// What happened, the oldest first.
    lines: Vec<LineOut>,
    /// What was available at its end.
    closing_balance: i64,
}

/// A line of a statement.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct LineOut {
    /// When.
    pub at: Timestamp,
    /// The transaction.
    pub transaction_id: TransactionId,
    /// What it did.
    pub kind: Kind,
    /// What became available; negative for what went.
    pub amount: i64,
    /// What was available then.
    pub balance: i64,
    /// The other wallet of a transfer.
    pub counterparty_id: Option<WalletId>,
    /// A sentence.
    pub description: Option<String>,
}

pub(super) fn add(routes: Routes<App>) -> Routes<App> {
    routes.add(
        Operation::get("/wallets/{id}/statement", "getWalletStatement", READ)
            .summary("Read what happened in a wallet over a time, as a stream")
            .description(
                "`json`: an object with opening and closing balance around the lines. `csv`: for spreadsheets, with \
                 amounts as people write them (`-10.50`).",
            )
            .query::<StatementQuery>()
            .answer::<StatementOut>(200),
        statement,
    )
}

async fn statement(
    State(money): State<App>,
    Cx(cx): Cx,
    Path(wallet): Path<WalletId>,
    Query(query): Query<StatementQuery>,
) -> Result<Response> {
    let format = query.format;
    let statement = money.statement(&cx, wallet, query.from, query.to).await?;
    let head = Bytes::from(format.head(&statement)?);
    // The first lines are read before the head goes out, so that what is wrong becomes a problem; what goes wrong later
    // breaks the connection off, which the client sees.
    let mut reading = Reading { money, cx, statement, format, started: false };
    let first = reading.next().await?;
    let rest = stream::try_unfold(reading, |mut reading| async move {
        Ok::<_, Error>(reading.next().await?.map(|page| (page, reading)))
    });
    let whole = stream::iter([Ok(head)]).chain(stream::iter(first.map(Ok))).chain(rest);
    let mut response = Body::from_stream(whole).into_response();
    let (kind, file) = match format {
        Format::Json => ("application/json", None),
        Format::Csv => ("text/csv; charset=utf-8", Some("attachment; filename=\"statement.csv\"")),
    };
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    if let Some(file) = file {
        response.headers_mut().insert(header::CONTENT_DISPOSITION, HeaderValue::from_static(file));
    }
    Ok(response)
}

/// A statement under way: one page in memory at a time.
struct Reading {
    money: App,
    cx: Ctx,
    statement: Statement,
    format: Format,
    started: bool,
}

impl Reading {
    /// The next piece of text; none when all was written.
    async fn next(&mut self) -> kernel::Result<Option<Bytes>> {
        let Some(lines) = self.money.next_lines(&self.cx, &mut self.statement).await? else {
            return Ok(None);
        };
        let mut out = Vec::with_capacity(lines.len() * 200);
        for line in &lines {
            self.format.line(line, self.statement.currency, self.started, &mut out)?;
            self.started = true;
        }
        if self.statement.is_over() {
            self.format.foot(self.statement.balance, &mut out);
        }
        Ok(Some(out.into()))
    }
}

const CSV_HEAD: &str = "at,transactionId,kind,amount,balance,currency,counterpartyId,description\r\n";

impl Format {
    fn head(self, statement: &Statement) -> kernel::Result<Vec<u8>> {
        let Self::Json = self else { return Ok(CSV_HEAD.as_bytes().to_vec()) };
        let head = serde_json::json!({
            "walletId": statement.wallet,
            "currency": statement.currency,
            "exponent": statement.currency.exponent(),
            "from": statement.from,
            "to": statement.to,
            "openingBalance": statement.balance,
        });
        let mut text = serde_json::to_vec(&head).map_err(Error::internal)?;
        text.pop();
        text.extend_from_slice(b",\"lines\":[");
        Ok(text)
    }

    fn line(
        self,
        line: &LineOut,
        currency: Currency,
        started: bool,
        out: &mut Vec<u8>,
    ) -> kernel::Result<()> {
        if self == Self::Csv {
            csv_line(line, currency, out);
            return Ok(());
        }
        if started {
            out.push(b',');
        }
        serde_json::to_writer(out, line).map_err(Error::internal)
    }

    fn foot(self, closing: i64, out: &mut Vec<u8>) {
        if self == Self::Json {
            out.extend_from_slice(format!("],\"closingBalance\":{closing}}}").as_bytes());
        }
    }
}

fn csv_line(line: &LineOut, currency: Currency, out: &mut Vec<u8>) {
    let counterparty = line.counterparty_id.map(|id| id.to_string()).unwrap_or_default();
    let start = format!(
        "{},{},{},{},{},{currency},{counterparty},",
        line.at,
        line.transaction_id,
        line.kind.word(),
        currency.decimal(line.amount),
        currency.decimal(line.balance),
    );
    out.extend_from_slice(start.as_bytes());
    if let Some(text) = &line.description {
        csv_cell(text, out);
    }
    out.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_for_people_and_never_a_formula() {
        let line = LineOut {
            at: Timestamp::from_micros(0).unwrap(),
            transaction_id: TransactionId::from_uuid(uuid::Uuid::nil()),
            kind: Kind::Debit,
            amount: -1_050,
            balance: 5,
            counterparty_id: None,
            description: Some("=1+1, \"x\"".into()),
        };
        let mut out = Vec::new();
        csv_line(&line, "EUR".parse().unwrap(), &mut out);
        let text = String::from_utf8(out).unwrap();
        let id = uuid::Uuid::nil();
        assert_eq!(
            text,
            format!("1970-01-01T00:00:00.000Z,{id},debit,-10.50,0.05,EUR,,\"'=1+1, \"\"x\"\"\"\r\n")
        );
    }
}
