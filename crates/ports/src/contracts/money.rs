use kernel::{TenantId, TransactionId, WalletId};
use uuid::Uuid;

use crate::contract;

/// What a wallet has, in minor units of its currency.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Balance {
    /// What can be used.
    pub available: i64,
    /// What is on its way in.
    pub pending: i64,
    /// What is set aside by holds.
    pub frozen: i64,
    /// ISO 4217.
    pub currency: String,
}

contract! {
    /// What others ask money. All of it is within the context's tenant.
    pub trait Money via MoneyLink {
        /// The tenant's own wallet, in US dollars, from which it pays; made now if it is not there yet.
        async fn open_system_wallet(tenant: TenantId) -> WalletId;
        /// Takes an amount, in minor units, from a wallet to the platform's fees. The same key charges once, for ever,
        /// and answers the same transaction. `insufficient-funds`; `invalid-state` for a frozen wallet;
        /// `idempotency-key-reused` when the key named another wallet or amount.
        async fn charge(wallet: WalletId, amount: i64, key: Uuid, memo: String) -> TransactionId;
        /// What a wallet has; `not-found` else.
        async fn balance(wallet: WalletId) -> Balance;
    }
}
