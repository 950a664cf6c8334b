use kernel::{Ctx, Error, FieldCode, Result, TransactionId, WalletId, check::Checks};
use serde_json::{Map, Value};
use uuid::Uuid;

use crate::{
    Money,
    http::{
        holds::{CancelIn, ConfirmIn, HoldIn},
        movements::{MoveIn, ReversalIn},
        transactions::{TransactionOut, TransfersOut},
        transfers::{TransferIn, TransfersIn},
    },
    model::{
        Amount, AmountIn, DEFAULT_HOLD_SECONDS, LONGEST_HOLD_SECONDS, MOST_METADATA, MOST_TEXT,
        MOST_TRANSFERS, Note, Operation, TransferOrder,
    },
    writer::Answer,
};

impl Money {
    /// Brings money into a wallet from outside.
    ///
    /// # Errors
    /// `invalid-amount`, `limit-exceeded`, `not-found`, `invalid-state` for a frozen wallet.
    pub async fn credit(&self, cx: &Ctx, wallet: WalletId, body: MoveIn) -> Result<TransactionOut> {
        let (amount, note) = read("", &body.amount, body.description, body.metadata)?;
        self.one(cx, Operation::Credit { wallet, amount }, note).await
    }

    /// Takes money out of a wallet.
    ///
    /// # Errors
    /// As [`Money::credit`], and `insufficient-funds`.
    pub async fn debit(&self, cx: &Ctx, wallet: WalletId, body: MoveIn) -> Result<TransactionOut> {
        let (amount, note) = read("", &body.amount, body.description, body.metadata)?;
        self.one(cx, Operation::Debit { wallet, amount }, note).await
    }

    /// Moves money from wallet to wallet.
    ///
    /// # Errors
    /// As [`Money::debit`]; `email-not-verified`; `validation-error` between a wallet and itself or two currencies.
    pub async fn transfer(&self, cx: &Ctx, body: TransferIn) -> Result<TransactionOut> {
        self.verified(cx).await?;
        let order = order("", body)?;
        self.one(cx, Operation::Transfer(order), Note::default()).await
    }

    /// Does transfers one after the other, all or none.
    ///
    /// # Errors
    /// As [`Money::transfer`], naming the transfer that can't be done.
    pub async fn transfer_all(&self, cx: &Ctx, body: TransfersIn) -> Result<TransfersOut> {
        self.verified(cx).await?;
        let given = body.transfers.len();
        if !(1..=MOST_TRANSFERS).contains(&given) {
            let code = if given == 0 { FieldCode::TooShort } else { FieldCode::TooLong };
            let message = format!("takes 1 to {MOST_TRANSFERS} transfers, got {given}");
            return Err(Error::field("/transfers", code, message));
        }
        let orders = body.transfers.into_iter().enumerate();
        let orders: Vec<TransferOrder> = orders
            .map(|(number, body)| order(&format!("/transfers/{number}"), body))
            .collect::<Result<_>>()?;
        match self.writer.submit(cx, Operation::Transfers(orders), Note::default()).await? {
            Answer::Transfers(made) => Ok(made),
            other => Err(unfit(&other)),
        }
    }

    /// Sets money aside until it is confirmed, cancelled or its time is over.
    ///
    /// # Errors
    /// As [`Money::debit`]; `limit-exceeded` also for the hundred and first open hold.
    pub async fn hold(&self, cx: &Ctx, wallet: WalletId, body: HoldIn) -> Result<TransactionOut> {
        let (amount, note) = read("", &body.amount, body.description, body.metadata)?;
        let seconds = body.ttl_seconds.unwrap_or(i64::from(DEFAULT_HOLD_SECONDS));
        Checks::new().range("/ttlSeconds", seconds, 1, i64::from(LONGEST_HOLD_SECONDS)).finish()?;
        let ttl_seconds = u32::try_from(seconds).unwrap_or(LONGEST_HOLD_SECONDS);
        self.one(cx, Operation::Hold { wallet, amount, ttl_seconds }, note).await
    }

    /// Takes what was set aside, or a part of it; the rest returns.
    ///
    /// # Errors
    /// `not-found`; `invalid-state` for a hold that is settled or over; `invalid-amount` for more than is held.
    pub async fn confirm(&self, cx: &Ctx, wallet: WalletId, body: ConfirmIn) -> Result<TransactionOut> {
        let amount = body.amount.as_ref().map(|amount| amount.read("/amount")).transpose()?;
        let hold = body.transaction_id;
        self.one(cx, Operation::Confirm { wallet, hold, amount }, Note::default()).await
    }

    /// Gives back what was set aside.
    ///
    /// # Errors
    /// `not-found`; `invalid-state` for a hold that is settled or over.
    pub async fn cancel(&self, cx: &Ctx, wallet: WalletId, body: CancelIn) -> Result<TransactionOut> {
        let hold = body.transaction_id;
        self.one(cx, Operation::Cancel { wallet, hold }, Note::default()).await
    }

    /// Undoes a transaction by its opposite.
    ///
    /// # Errors
    /// `not-found`; `invalid-state` for what can't be reversed, was reversed, or is older than 365 days;
    /// `insufficient-funds` when what came in is spent.
    pub async fn reverse(&self, cx: &Ctx, wallet: WalletId, body: ReversalIn) -> Result<TransactionOut> {
        Checks::new().length("/reason", &body.reason, 1, MOST_TEXT).finish()?;
        let note = Note { description: Some(body.reason), metadata: None };
        self.one(cx, Operation::Reverse { wallet, transaction: body.transaction_id }, note).await
    }

    /// Takes what the platform is owed, once under `key`.
    pub(crate) async fn take_charge(
        &self,
        cx: &Ctx,
        wallet: WalletId,
        amount: Amount,
        key: Uuid,
        memo: String,
    ) -> Result<TransactionId> {
        Checks::new().length("/memo", &memo, 1, MOST_TEXT).finish()?;
        let note = Note { description: Some(memo), metadata: None };
        match self.writer.submit(cx, Operation::Charge { wallet, amount, key }, note).await? {
            Answer::Charged(transaction) => Ok(transaction),
            other => Err(unfit(&other)),
        }
    }

    pub(super) async fn one(&self, cx: &Ctx, operation: Operation, note: Note) -> Result<TransactionOut> {
        match self.writer.submit(cx, operation, note).await? {
            Answer::Transaction(made) => Ok(*made),
            other => Err(unfit(&other)),
        }
    }
}

fn unfit(answer: &Answer) -> Error {
    Error::internal(format!("the writer answered {answer:?} to another operation"))
}

fn order(at: &str, body: TransferIn) -> Result<TransferOrder> {
    let (amount, note) = read(at, &body.amount, body.description, body.metadata)?;
    Ok(TransferOrder { from: body.from, to: body.to, amount, note })
}

/// Reads what every movement carries; `at` is where it stands in the body.
fn read(
    at: &str,
    amount: &AmountIn,
    description: Option<String>,
    metadata: Option<Map<String, Value>>,
) -> Result<(Amount, Note)> {
    let mut checks = Checks::new();
    if let Some(text) = &description {
        checks.length(&format!("{at}/description"), text, 1, MOST_TEXT);
    }
    let metadata = metadata.map(Value::Object);
    if let Some(data) = &metadata {
        let text = data.to_string();
        let field = format!("{at}/metadata");
        let message = format!("takes at most {MOST_METADATA} bytes as JSON, got {}", text.len());
        checks.ensure(text.len() <= MOST_METADATA, &field, FieldCode::TooLong, message);
        // Postgres keeps every character but this one.
        let storable = !text.contains("\\u0000");
        checks.ensure(storable, &field, FieldCode::InvalidFormat, "must not contain a NUL character");
    }
    checks.finish()?;
    Ok((amount.read(&format!("{at}/amount"))?, Note { description, metadata }))
}
