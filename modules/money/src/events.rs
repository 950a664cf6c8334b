//! What the service tells, on `platform.money.events`, keyed by the wallet; and what it hears.

use std::sync::Arc;

use fabric::postgres::{Audit, Event};
use kernel::{Result, TransactionId, UserId, WalletId};
use ports::Subscription;
use serde::{Deserialize, Serialize};

use crate::{
    Money, NAME,
    http::wallets::WalletOut,
    model::{Currency, HoldChange, Kind, Posting},
};

/// A wallet was made.
pub(crate) const WALLET_CREATED: &str = "money.wallet.created";
/// A wallet was frozen.
pub(crate) const WALLET_FROZEN: &str = "money.wallet.frozen";
/// A frozen wallet is free again.
pub(crate) const WALLET_UNFROZEN: &str = "money.wallet.unfrozen";
/// The alarm: a balance is not what its entries add up to.
pub(crate) const LEDGER_DIFFERS: &str = "money.ledger.differs";

/// The kind of thing that audit records of this service are about.
pub(crate) const ENTITY: &str = "wallet";

/// What a transaction is told as; the audit record of it has the same name.
const fn told_as(kind: Kind) -> &'static str {
    match kind {
        Kind::Credit => "money.wallet.credited",
        Kind::Debit | Kind::Charge => "money.wallet.debited",
        Kind::Transfer => "money.transfer.completed",
        Kind::Hold => "money.hold.placed",
        Kind::Confirm => "money.hold.confirmed",
        Kind::Cancel => "money.hold.canceled",
        Kind::Expiry => "money.hold.expired",
        Kind::Reversal => "money.transaction.reversed",
    }
}

/// Money moved.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Movement<'a> {
    transaction_id: TransactionId,
    kind: Kind,
    wallet_id: WalletId,
    #[serde(skip_serializing_if = "Option::is_none")]
    counterparty_id: Option<WalletId>,
    amount: i64,
    currency: Currency,
    #[serde(skip_serializing_if = "Option::is_none")]
    hold_id: Option<TransactionId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reverses: Option<TransactionId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<&'a str>,
    /// The wallets as they are after it.
    balances: Vec<After>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct After {
    wallet_id: WalletId,
    available: i64,
    frozen: i64,
}

impl<'a> Movement<'a> {
    pub(crate) fn of(posting: &'a Posting) -> Self {
        let hold_id = match posting.hold {
            Some(HoldChange::Settled { hold, .. }) => Some(hold),
            Some(HoldChange::Placed { .. }) | None => None,
        };
        Self {
            transaction_id: posting.id,
            kind: posting.kind,
            wallet_id: posting.wallet,
            counterparty_id: posting.counterparty,
            amount: posting.amount,
            currency: posting.currency,
            hold_id,
            reverses: posting.reverses,
            description: posting.description.as_deref(),
            balances: posting
                .balances
                .iter()
                .map(|after| After {
                    wallet_id: after.wallet,
                    available: after.available,
                    frozen: after.frozen,
                })
                .collect(),
        }
    }

    pub(crate) fn event(&self) -> Result<Event> {
        Event::new(NAME, told_as(self.kind), self.wallet_id, self)
    }

    pub(crate) fn audit(&self) -> Audit {
        Audit::new(told_as(self.kind), ENTITY, self.wallet_id).after(self)
    }
}

/// Something about a wallet itself.
pub(crate) fn of_wallet(kind: &'static str, wallet: &WalletOut) -> Result<Event> {
    Event::new(NAME, kind, wallet.id, wallet)
}

/// What this service reads of `auth.tenant.created`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Founded {
    owner_id: Option<UserId>,
}

/// A new tenant's Owner gets a wallet.
pub(crate) fn subscriptions(money: &Arc<Money>) -> Vec<Subscription> {
    let money = Arc::clone(money);
    vec![Subscription {
        name: "money.wallets",
        types: &["auth.tenant.created"],
        hear: Arc::new(move |cx, event| {
            let money = Arc::clone(&money);
            Box::pin(async move {
                let founded = Founded::deserialize(&event.data).map_err(kernel::Error::internal)?;
                match founded.owner_id {
                    Some(owner) => money.open_owner_wallet(&cx, event.id, owner).await,
                    // A seeded tenant: its people come later, and their wallets with the seed.
                    None => Ok(()),
                }
            })
        }),
    }]
}
