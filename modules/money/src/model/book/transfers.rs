use kernel::{Error, FieldCode, FieldError, Result, Slug, TransactionId, WalletId};

use super::{Book, Original, Wallet};
use crate::model::{Account, Kind, Line, Note, Posting, REVERSIBLE_FOR, TransferOrder};

impl Book {
    /// All of them, or none.
    pub(super) fn transfers(&mut self, orders: &[TransferOrder]) -> Result<Vec<Posting>> {
        let touched = orders.iter().flat_map(|order| [order.from, order.to]);
        let before: Vec<(WalletId, Wallet)> =
            touched.filter_map(|id| self.wallets.get(&id).map(|wallet| (id, *wallet))).collect();
        let mut posted = Vec::with_capacity(orders.len());
        for (number, order) in orders.iter().enumerate() {
            match self.transfer(order) {
                Ok(posting) => posted.push(posting),
                Err(refused) => {
                    self.wallets.extend(before);
                    return Err(at(number, &refused));
                }
            }
        }
        Ok(posted)
    }

    pub(super) fn transfer(&mut self, order: &TransferOrder) -> Result<Posting> {
        let TransferOrder { from, to, amount, note } = order;
        if from == to {
            return Err(Error::field(
                "/to",
                FieldCode::NotAllowed,
                "is the wallet that the money comes from",
            ));
        }
        self.within_plan(*amount)?;
        let (sender, receiver) = (self.known(*from)?, self.known(*to)?);
        if sender.currency != receiver.currency {
            let message = format!("is kept in {}, and the money is {}", receiver.currency, sender.currency);
            return Err(Error::field("/to", FieldCode::NotAllowed, message));
        }
        self.active(*from)?;
        self.active(*to)?;
        let lines = vec![Line::wallet(*from, -amount.get()), Line::wallet(*to, amount.get())];
        self.post(Kind::Transfer, *from, Some(*to), amount.get(), sender.currency, lines, note)
    }

    pub(super) fn reverse(&mut self, wallet: WalletId, id: TransactionId, note: &Note) -> Result<Posting> {
        self.known(wallet)?;
        let original = self.originals.get(&id).cloned();
        let original = original
            .filter(|original| original.wallet == wallet || original.counterparty == Some(wallet))
            .ok_or_else(|| Error::not_found("transaction"))?;
        let refused = |text: &str| Err(Error::new(Slug::InvalidState, text.to_owned()));
        if original.reversed {
            return refused("The transaction was reversed already.");
        }
        if self.now.since(original.at) > REVERSIBLE_FOR {
            return refused("The transaction is older than 365 days.");
        }
        let (owner, amount) = (original.wallet, original.amount);
        let lines = match (original.kind, original.counterparty) {
            (Kind::Credit, _) => vec![Line::wallet(owner, -amount), Line::system(Account::External, amount)],
            (Kind::Debit | Kind::Confirm, _) => {
                vec![Line::wallet(owner, amount), Line::system(Account::External, -amount)]
            }
            // Else a tenant that may move its own money would take back what the platform took.
            (Kind::Charge, _) => return refused("A charge is given back by the platform alone."),
            (Kind::Transfer, Some(receiver)) => {
                vec![Line::wallet(receiver, -amount), Line::wallet(owner, amount)]
            }
            (Kind::Hold, _) => return refused("A hold is cancelled, or its confirmation is reversed."),
            _ => return refused("Only a credit, debit, transfer or confirmed hold is reversed."),
        };
        for line in &lines {
            if let Some(wallet) = line.wallet {
                self.active(wallet)?;
            }
        }
        let currency = self.known(owner)?.currency;
        let mut posting = self.post(Kind::Reversal, owner, None, amount, currency, lines, note)?;
        posting.reverses = Some(id);
        self.original(Original { reversed: true, ..original });
        Ok(posting)
    }
}

/// A refusal of one of many: which.
fn at(number: usize, refused: &Error) -> Error {
    let fields = refused.field_errors().iter().map(|field| {
        FieldError::new(format!("/transfers/{number}{}", field.field), field.code, field.message.clone())
    });
    let fields: Vec<FieldError> = fields.collect();
    Error::new(refused.slug(), format!("Transfer {number} of the list: {}", refused.detail()))
        .with_fields(fields)
}
