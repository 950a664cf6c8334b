//! Wallets, holds and the ledger as rules: no I/O. What an operation does to the state it finds is decided here; the
//! database refuses on its own what must never be.

mod amount;
mod book;
mod currency;
mod operation;
mod posting;

pub use amount::{Amount, AmountIn, LARGEST, MOST_PER_OPERATION};
pub use book::{Book, HoldRow, Original, Outcome, WalletBalance};
pub use currency::{Currency, UnknownCurrency};
pub use operation::{HoldState, Kind, Note, Operation, TransferOrder, WalletKind, WalletState};
pub use posting::{Account, HoldChange, Line, Posting};

use std::time::Duration;

/// How long a hold lasts unless said: three days.
pub const DEFAULT_HOLD_SECONDS: u32 = 259_200;
/// How long a hold lasts at most: seven days.
pub const LONGEST_HOLD_SECONDS: u32 = 604_800;
/// Overdue holds that are ended in one transaction.
pub const MOST_EXPIRIES: i64 = 500;
/// Transfers of one batch.
pub const MOST_TRANSFERS: usize = 1_000;
/// A transaction can be reversed this long.
pub const REVERSIBLE_FOR: Duration = Duration::from_secs(365 * 24 * 3_600);
/// Characters of a description, a label or a reason.
pub const MOST_TEXT: usize = 500;
/// Bytes of the metadata of a transaction, as JSON.
pub const MOST_METADATA: usize = 4_096;
