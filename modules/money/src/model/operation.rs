use kernel::{Error, Result, TransactionId, WalletId};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::Amount;

/// Names that are lower_snake on the wire and in the tables.
macro_rules! words {
    ($(#[$about:meta])* $name:ident { $($(#[$doc:meta])* $variant:ident = $word:literal,)+ }) => {
        $(#[$about])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
        #[serde(rename_all = "snake_case")]
        pub enum $name { $($(#[$doc])* $variant,)+ }

        impl $name {
            /// The word for it.
            pub const fn word(self) -> &'static str {
                match self { $(Self::$variant => $word,)+ }
            }

            /// What the word means.
            ///
            /// # Errors
            /// `internal` for a word that the tables don't let in.
            pub fn read(word: &str) -> Result<Self> {
                match word {
                    $($word => Ok(Self::$variant),)+
                    other => Err(Error::internal(format!("{other} is no {}", stringify!($name)))),
                }
            }
        }
    };
}
pub(crate) use words;

words! {
    /// Whose a wallet is.
    WalletKind {
        /// A user's, as asked for.
        User = "user",
        /// The Owner's, made with the tenant.
        Owner = "owner",
        /// The tenant's own, from which it pays.
        Tenant = "tenant",
    }
}

words! {
    /// Whether money may move.
    WalletState {
        /// It may.
        Active = "active",
        /// It takes nothing and gives nothing; its holds still end.
        Frozen = "frozen",
    }
}

words! {
    /// What a transaction did.
    Kind {
        /// From outside into a wallet.
        Credit = "credit",
        /// From a wallet to outside.
        Debit = "debit",
        /// From wallet to wallet.
        Transfer = "transfer",
        /// Set aside in a wallet.
        Hold = "hold",
        /// From what was set aside to outside; the rest returned.
        Confirm = "confirm",
        /// What was set aside returned.
        Cancel = "cancel",
        /// What was set aside returned, its time being over.
        Expiry = "expiry",
        /// The opposite of an earlier transaction.
        Reversal = "reversal",
        /// From a wallet to the platform.
        Charge = "charge",
    }
}

words! {
    /// What became of a hold.
    HoldState {
        /// Still set aside.
        Held = "held",
        /// Taken, wholly or in part.
        Confirmed = "confirmed",
        /// Given back.
        Canceled = "canceled",
        /// Given back because its time was over.
        Expired = "expired",
    }
}

/// What is asked of the ledger.
#[derive(Debug, Clone)]
pub enum Operation {
    /// Money comes in.
    Credit { wallet: WalletId, amount: Amount },
    /// Money goes out.
    Debit { wallet: WalletId, amount: Amount },
    /// From wallet to wallet.
    Transfer(TransferOrder),
    /// Transfers, all or none.
    Transfers(Vec<TransferOrder>),
    /// Set aside for a time.
    Hold { wallet: WalletId, amount: Amount, ttl_seconds: u32 },
    /// Take what was set aside, or a part of it.
    Confirm { wallet: WalletId, hold: TransactionId, amount: Option<Amount> },
    /// Give back what was set aside.
    Cancel { wallet: WalletId, hold: TransactionId },
    /// Undo a transaction by its opposite.
    Reverse { wallet: WalletId, transaction: TransactionId },
    /// Take what the platform is owed, once under this key.
    Charge { wallet: WalletId, amount: Amount, key: Uuid },
    /// Nothing but the holds that are over.
    Sweep { wallet: WalletId },
}

/// One transfer.
#[derive(Debug, Clone)]
pub struct TransferOrder {
    /// From whom.
    pub from: WalletId,
    /// To whom.
    pub to: WalletId,
    /// How much.
    pub amount: Amount,
    /// What the parties call it.
    pub note: Note,
}

/// What the caller wrote beside an operation.
#[derive(Debug, Clone, Default)]
pub struct Note {
    /// A sentence.
    pub description: Option<String>,
    /// Anything, as a JSON object.
    pub metadata: Option<serde_json::Value>,
}

impl Operation {
    /// The wallets that it names. Those of a reversed transaction are found with it.
    pub fn wallets(&self) -> Vec<WalletId> {
        match self {
            Self::Credit { wallet, .. }
            | Self::Debit { wallet, .. }
            | Self::Hold { wallet, .. }
            | Self::Confirm { wallet, .. }
            | Self::Cancel { wallet, .. }
            | Self::Reverse { wallet, .. }
            | Self::Charge { wallet, .. }
            | Self::Sweep { wallet } => vec![*wallet],
            Self::Transfer(order) => vec![order.from, order.to],
            Self::Transfers(orders) => orders.iter().flat_map(|order| [order.from, order.to]).collect(),
        }
    }

    /// How many transactions it makes at most: what it counts for in a batch.
    pub fn weight(&self) -> usize {
        match self {
            Self::Transfers(orders) => orders.len(),
            _ => 1,
        }
    }
}
