//! money: wallets, holds and the ledger. Double entry, whole numbers, nothing ever edited.

#![forbid(unsafe_code)]

mod contract;
mod events;
mod http;
mod model;
mod service;
mod store;
mod tasks;
mod writer;

use std::sync::{Arc, Weak};

use fabric::{jobs::Jobs, postgres::Database};
use ports::{
    IamLink, KernelService, Subscription, Task,
    http::{CursorKey, ServiceRoutes},
};

pub use http::{
    holds::{CancelIn, ConfirmIn, HoldIn},
    ledger::{AccountOut, DifferenceOut, LedgerAccount, TotalOut, VerifiedOut},
    movements::{MoveIn, ReversalIn},
    transactions::{EntryOut, TransactionOut, TransactionState, TransfersOut},
    transfers::{TransferIn, TransfersIn},
    wallets::{BalanceOut, FreezeIn, WalletIn, WalletOut, WalletsQuery},
};
pub use model::{
    Account, AmountIn, Currency, Kind, MOST_PER_OPERATION, UnknownCurrency, WalletKind, WalletState,
};
pub use service::SeedWallet;

/// The service's name.
const NAME: &str = "money";

/// The service.
pub struct Money {
    me: Weak<Self>,
    db: Database,
    iam: IamLink,
    cursor: CursorKey,
    writer: writer::Writer,
    verified: service::Verified,
}

/// What the service stands on.
pub struct MoneyDeps {
    /// The sandbox's data.
    pub db: Database,
    /// Who tells whose address is verified.
    pub iam: IamLink,
    /// Signs places in lists.
    pub cursor: CursorKey,
}

impl Money {
    /// The service; nothing runs yet.
    pub fn create(deps: MoneyDeps) -> Arc<Self> {
        Arc::new_cyclic(|me| Self {
            me: me.clone(),
            writer: writer::Writer::new(deps.db.clone()),
            db: deps.db,
            iam: deps.iam,
            cursor: deps.cursor,
            verified: service::Verified::new(),
        })
    }

    /// Adds what it does for durable jobs.
    pub fn jobs(self: &Arc<Self>, jobs: Jobs) -> Jobs {
        tasks::jobs(self, jobs)
    }

    fn arc(&self) -> Arc<Self> {
        self.me.upgrade().expect("because `self` is borrowed from the Arc that `create` made")
    }
}

impl KernelService for Money {
    fn name(&self) -> &'static str {
        NAME
    }

    fn routes(&self) -> ServiceRoutes {
        http::routes(self.arc())
    }

    fn subscriptions(&self) -> Vec<Subscription> {
        events::subscriptions(&self.arc())
    }

    fn tasks(&self) -> Vec<Task> {
        tasks::tasks(&self.arc())
    }
}
