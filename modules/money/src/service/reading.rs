use std::time::Duration;

use kernel::{Ctx, Error, FieldCode, Result, Timestamp, TransactionId, WalletId};
use ports::http::{Page, Paging, page_size};

use crate::{
    Money,
    http::{
        statement::LineOut,
        transactions::{EntryOut, TransactionOut, TransactionState},
    },
    model::{Account, Currency, HoldState, Kind},
    store::{
        history::{self, TransactionRow},
        wallets,
    },
};

/// The time of a statement unless said.
const MONTH: Duration = Duration::from_secs(30 * 24 * 3_600);
/// Lines that are read at once.
const LINES: i64 = 1_000;

/// A statement as far as it was read.
#[derive(Debug)]
pub(crate) struct Statement {
    pub wallet: WalletId,
    pub currency: Currency,
    pub from: Timestamp,
    pub to: Timestamp,
    /// What was available before the next line.
    pub balance: i64,
    after: Option<(Timestamp, i64)>,
    over: bool,
}

impl Statement {
    /// Whether every line was read.
    pub(crate) fn is_over(&self) -> bool {
        self.over
    }
}

impl Money {
    /// A transaction with its entries.
    ///
    /// # Errors
    /// `not-found`.
    pub async fn transaction(&self, cx: &Ctx, id: TransactionId) -> Result<TransactionOut> {
        TransactionOut::read(history::transaction(&self.db, cx, id).await?)
    }

    /// A wallet's transactions, the latest first.
    ///
    /// # Errors
    /// `not-found`, `invalid-cursor`.
    pub async fn transactions(
        &self,
        cx: &Ctx,
        wallet: WalletId,
        paging: &Paging,
    ) -> Result<Page<TransactionOut>> {
        let most = page_size(paging.limit)?;
        let tenant = cx.tenant().ok();
        let list = format!("transactions of {wallet}");
        let before: Option<(i64, i64)> =
            paging.cursor.as_deref().map(|cursor| self.cursor.read(tenant, &list, cursor)).transpose()?;
        let before = before.and_then(|(micros, place)| Timestamp::from_micros(micros).map(|at| (at, place)));
        wallets::read(&self.db.tenant(cx)?, wallet, cx.now()).await?;
        let rows = history::of_wallet(&self.db, cx, wallet, before, most + 1).await?;
        let place = |last: &TransactionRow| self.cursor.write(tenant, &list, &(last.at.micros(), last.place));
        let Page { data, meta } = Page::cut(rows, most, place);
        Ok(Page { data: data.into_iter().map(TransactionOut::read).collect::<Result<_>>()?, meta })
    }

    /// Begins a statement: what was available at its beginning is known then.
    pub(crate) async fn statement(
        &self,
        cx: &Ctx,
        wallet: WalletId,
        from: Option<Timestamp>,
        to: Option<Timestamp>,
    ) -> Result<Statement> {
        let to = to.unwrap_or_else(|| cx.now());
        let from = match from {
            Some(from) => from,
            None => before(to, MONTH),
        };
        if from > to {
            return Err(Error::field("from", FieldCode::OutOfRange, "is after `to`"));
        }
        let tenant = self.db.tenant(cx)?;
        let currency = wallets::read(&tenant, wallet, cx.now()).await?.currency;
        let balance = history::available_before(&tenant, wallet, from).await?;
        Ok(Statement { wallet, currency, from, to, balance, after: None, over: false })
    }

    /// The next lines of a statement; none when it is over.
    pub(crate) async fn next_lines(
        &self,
        cx: &Ctx,
        statement: &mut Statement,
    ) -> Result<Option<Vec<LineOut>>> {
        if statement.over {
            return Ok(None);
        }
        // The stream may outlast the request's own time: each page gets its own.
        let own = Ctx::build(cx.sandbox().clone(), cx.clock().clone()).caller(cx.caller().clone()).finish();
        let time = (statement.from, statement.to);
        let rows =
            history::lines(&self.db.tenant(&own)?, statement.wallet, time, statement.after, LINES).await?;
        statement.over = i64::try_from(rows.len()).unwrap_or(LINES) < LINES;
        statement.after = rows.last().map(|last| (last.at, last.place)).or(statement.after);
        let mut lines = Vec::with_capacity(rows.len());
        for row in rows {
            statement.balance += row.amount;
            lines.push(LineOut {
                at: row.at,
                transaction_id: row.transaction_id,
                kind: Kind::read(&row.kind)?,
                amount: row.amount,
                balance: statement.balance,
                counterparty_id: row.counterparty.filter(|other| *other != statement.wallet),
                description: row.description,
            });
        }
        Ok(Some(lines))
    }
}

fn before(moment: Timestamp, span: Duration) -> Timestamp {
    let micros = i64::try_from(span.as_micros()).unwrap_or(i64::MAX);
    Timestamp::from_micros(moment.micros().saturating_sub(micros)).unwrap_or(moment)
}

impl TransactionOut {
    fn read(row: TransactionRow) -> Result<Self> {
        let state = match row.hold_state {
            Some(state) => HoldState::read(&state)?.into(),
            None if row.reversed_by.is_some() => TransactionState::Reversed,
            None => TransactionState::Completed,
        };
        let entries = row.entries.0.into_iter().map(|entry| {
            Ok(EntryOut {
                account: Account::read(&entry.account)?,
                wallet_id: entry.wallet,
                amount: entry.amount,
            })
        });
        Ok(Self {
            id: row.id,
            kind: Kind::read(&row.kind)?,
            state,
            wallet_id: row.wallet_id,
            counterparty_id: row.counterparty_id,
            amount: row.amount,
            currency: row.currency,
            exponent: row.currency.exponent(),
            hold_id: row.hold_id,
            expires_at: row.expires_at,
            reverses: row.reverses,
            reversed_by: row.reversed_by,
            description: row.description,
            metadata: row.metadata.map(|metadata| metadata.0),
            created_at: row.at,
            entries: entries.collect::<Result<_>>()?,
        })
    }
}
