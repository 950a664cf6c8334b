mod holds;
mod transfers;

use std::collections::HashMap;

use kernel::{Error, FieldCode, FieldError, Result, Slug, Timestamp, TransactionId, WalletId};
use uuid::Uuid;

use super::{
    Account, Amount, Currency, HoldState, Kind, LARGEST, Line, MOST_PER_OPERATION, Note, Operation, Posting,
    WalletState,
};

/// Holds that a wallet may have open at the same time.
pub const MOST_OPEN_HOLDS: i16 = 100;

/// What a wallet has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WalletBalance {
    /// Which.
    pub wallet: WalletId,
    /// What can be used.
    pub available: i64,
    /// What is set aside.
    pub frozen: i64,
}

/// A wallet as the ledger found it.
#[derive(Debug, Clone, Copy)]
struct Wallet {
    currency: Currency,
    available: i64,
    frozen: i64,
    open_holds: i16,
    state: WalletState,
}

/// A hold as the ledger found it.
#[derive(Debug, Clone, Copy)]
pub struct HoldRow {
    /// The transaction that placed it.
    pub id: TransactionId,
    /// Where.
    pub wallet: WalletId,
    /// How much.
    pub amount: i64,
    /// Until when.
    pub expires_at: Timestamp,
    /// What became of it.
    pub state: HoldState,
}

/// A transaction that is to be reversed.
#[derive(Debug, Clone)]
pub struct Original {
    /// Which.
    pub id: TransactionId,
    /// What it did.
    pub kind: Kind,
    /// Whose it is.
    pub wallet: WalletId,
    /// The receiver of a transfer.
    pub counterparty: Option<WalletId>,
    /// How much it moved.
    pub amount: i64,
    /// When.
    pub at: Timestamp,
    /// Whether it was reversed.
    pub reversed: bool,
}

#[derive(Debug, Clone, Copy)]
struct Charge {
    transaction: TransactionId,
    wallet: WalletId,
    amount: i64,
}

/// What an operation came to.
#[derive(Debug)]
pub enum Outcome {
    /// Transactions to be written.
    Posted(Vec<Posting>),
    /// A charge that was made before under its key.
    Charged(TransactionId),
}

/// The state of the ledger as far as some operations need it. They are applied one after the other; one that is refused
/// leaves no trace.
#[derive(Debug)]
pub struct Book {
    now: Timestamp,
    most: i64,
    wallets: HashMap<WalletId, Wallet>,
    holds: HashMap<TransactionId, HoldRow>,
    originals: HashMap<TransactionId, Original>,
    charges: HashMap<Uuid, Charge>,
}

impl Book {
    /// An empty book at `now`, for a tenant whose operations move at most `most`.
    pub fn new(now: Timestamp, most: Option<i64>) -> Self {
        Self {
            now,
            most: most.unwrap_or(MOST_PER_OPERATION),
            wallets: HashMap::new(),
            holds: HashMap::new(),
            originals: HashMap::new(),
            charges: HashMap::new(),
        }
    }

    /// Notes a wallet.
    pub fn wallet(
        &mut self,
        balance: WalletBalance,
        currency: Currency,
        open_holds: i16,
        state: WalletState,
    ) {
        let WalletBalance { wallet, available, frozen } = balance;
        self.wallets.insert(wallet, Wallet { currency, available, frozen, open_holds, state });
    }

    /// Notes a hold.
    pub fn hold(&mut self, hold: HoldRow) {
        self.holds.insert(hold.id, hold);
    }

    /// Notes a transaction that may be reversed.
    pub fn original(&mut self, original: Original) {
        self.originals.insert(original.id, original);
    }

    /// Notes a charge that was made.
    pub fn charge(&mut self, key: Uuid, transaction: TransactionId, wallet: WalletId, amount: i64) {
        self.charges.insert(key, Charge { transaction, wallet, amount });
    }

    /// Whether a wallet was noted.
    pub fn knows(&self, wallet: WalletId) -> bool {
        self.wallets.contains_key(&wallet)
    }

    /// Ends the holds whose time is over.
    ///
    /// # Errors
    /// `internal` if a hold and its wallet don't fit.
    pub fn expire(&mut self) -> Result<Vec<Posting>> {
        let mut due: Vec<HoldRow> = self
            .holds
            .values()
            .filter(|hold| hold.state == HoldState::Held && hold.expires_at <= self.now)
            .copied()
            .collect();
        due.sort_unstable_by_key(|hold| (hold.expires_at, hold.id));
        due.into_iter().map(|hold| self.settle(hold, HoldState::Expired, 0, &Note::default())).collect()
    }

    /// Does one operation.
    ///
    /// # Errors
    /// Why it can't be done: `not-found`, `validation-error`, `invalid-amount`, `invalid-state`, `insufficient-funds`,
    /// `limit-exceeded`, `idempotency-key-reused` for a charge.
    pub fn apply(&mut self, operation: &Operation, note: &Note) -> Result<Outcome> {
        let posting = match operation {
            Operation::Credit { wallet, amount } => {
                self.within_plan(*amount)?;
                self.moved(Kind::Credit, *wallet, amount.get(), Account::External, note)?
            }
            Operation::Debit { wallet, amount } => {
                self.within_plan(*amount)?;
                self.moved(Kind::Debit, *wallet, -amount.get(), Account::External, note)?
            }
            Operation::Transfer(order) => self.transfer(order)?,
            Operation::Transfers(orders) => return self.transfers(orders).map(Outcome::Posted),
            Operation::Hold { wallet, amount, ttl_seconds } => {
                self.place(*wallet, *amount, *ttl_seconds, note)?
            }
            Operation::Confirm { wallet, hold, amount } => {
                let hold = self.open_hold(*wallet, *hold)?;
                self.active(*wallet)?;
                let taken = amount.map_or(hold.amount, Amount::get);
                if taken > hold.amount {
                    let message = format!("is more than the {} that are held", hold.amount);
                    return Err(Error::new(Slug::InvalidAmount, format!("/amount: {message}"))
                        .with_fields(vec![FieldError::new("/amount", FieldCode::OutOfRange, message)]));
                }
                self.settle(hold, HoldState::Confirmed, taken, note)?
            }
            Operation::Cancel { wallet, hold } => {
                let hold = self.open_hold(*wallet, *hold)?;
                self.settle(hold, HoldState::Canceled, 0, note)?
            }
            Operation::Reverse { wallet, transaction } => self.reverse(*wallet, *transaction, note)?,
            Operation::Charge { wallet, amount, key } => {
                if let Some(made) = self.charges.get(key) {
                    return if (made.wallet, made.amount) == (*wallet, amount.get()) {
                        Ok(Outcome::Charged(made.transaction))
                    } else {
                        Err(Error::new(
                            Slug::IdempotencyKeyReused,
                            "This key named a charge of another wallet or amount.",
                        ))
                    };
                }
                let mut posting = self.moved(Kind::Charge, *wallet, -amount.get(), Account::Fees, note)?;
                posting.charge_key = Some(*key);
                self.charge(*key, posting.id, *wallet, amount.get());
                posting
            }
            Operation::Sweep { .. } => return Ok(Outcome::Posted(Vec::new())),
        };
        Ok(Outcome::Posted(vec![posting]))
    }

    /// Between a wallet and an account of the system.
    fn moved(
        &mut self,
        kind: Kind,
        wallet: WalletId,
        change: i64,
        against: Account,
        note: &Note,
    ) -> Result<Posting> {
        let currency = self.active(wallet)?.currency;
        let lines = vec![Line::wallet(wallet, change), Line::system(against, -change)];
        self.post(kind, wallet, None, change.abs(), currency, lines, note)
    }

    /// Moves the money in the book, or refuses and moves none.
    #[allow(
        clippy::too_many_arguments,
        reason = "they are the parts of a transaction, each named where it is made"
    )]
    fn post(
        &mut self,
        kind: Kind,
        wallet: WalletId,
        counterparty: Option<WalletId>,
        amount: i64,
        currency: Currency,
        lines: Vec<Line>,
        note: &Note,
    ) -> Result<Posting> {
        let mut after: Vec<(WalletId, Wallet)> = Vec::with_capacity(2);
        for line in &lines {
            let Some(id) = line.wallet else { continue };
            let place = match after.iter().position(|(known, _)| *known == id) {
                Some(place) => place,
                None => {
                    after.push((id, *self.known(id)?));
                    after.len() - 1
                }
            };
            let changed = &mut after[place].1;
            let balance = match line.account {
                Account::Holds => &mut changed.frozen,
                _ => &mut changed.available,
            };
            *balance = fits(balance.checked_add(line.amount), *balance, line.amount, currency)?;
        }
        // With what is set aside, which comes back when a hold ends: that must never be refused.
        if after.iter().any(|(_, now)| now.available.saturating_add(now.frozen) > LARGEST) {
            return Err(too_large());
        }
        let balances = after
            .iter()
            .map(|(wallet, now)| WalletBalance {
                wallet: *wallet,
                available: now.available,
                frozen: now.frozen,
            })
            .collect();
        self.wallets.extend(after);
        let posting = Posting {
            id: TransactionId::new(),
            kind,
            wallet,
            counterparty,
            amount,
            currency,
            hold: None,
            reverses: None,
            charge_key: None,
            description: note.description.clone(),
            metadata: note.metadata.clone(),
            at: self.now,
            lines,
            balances,
        };
        // Money is neither made nor lost, whatever led here.
        assert_eq!(posting.imbalance(), 0, "a transaction of kind {} is not balanced", kind.word());
        Ok(posting)
    }

    fn known(&self, wallet: WalletId) -> Result<&Wallet> {
        self.wallets.get(&wallet).ok_or_else(|| Error::not_found("wallet"))
    }

    fn active(&self, id: WalletId) -> Result<Wallet> {
        let wallet = self.known(id)?;
        match wallet.state {
            WalletState::Active => Ok(*wallet),
            WalletState::Frozen => {
                Err(Error::new(Slug::InvalidState, "The wallet is frozen: money moves when it is unfrozen."))
            }
        }
    }

    fn within_plan(&self, amount: Amount) -> Result<()> {
        if amount.get() <= self.most {
            return Ok(());
        }
        let message = format!("is above the {} that one operation may move", self.most);
        Err(Error::new(Slug::LimitExceeded, format!("The amount, {amount}, {message}."))
            .with_fields(vec![FieldError::new("/amount", FieldCode::OutOfRange, message)]))
    }
}

/// The balance after a change, if there can be one.
fn fits(after: Option<i64>, before: i64, change: i64, currency: Currency) -> Result<i64> {
    match after {
        Some(after) if after < 0 => {
            let (has, needs) = (currency.decimal(before), currency.decimal(change.saturating_abs()));
            let text =
                format!("The wallet has {has} {currency} available, and {needs} {currency} are needed.");
            Err(Error::new(Slug::InsufficientFunds, text))
        }
        Some(after) if after <= LARGEST => Ok(after),
        _ => Err(too_large()),
    }
}

fn too_large() -> Error {
    Error::new(Slug::LimitExceeded, format!("A wallet holds at most {LARGEST} minor units."))
}

#[cfg(test)]
#[path = "book_tests.rs"]
mod tests;
