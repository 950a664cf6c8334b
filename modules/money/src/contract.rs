//! What other services ask.

use async_trait::async_trait;
use kernel::{Ctx, Error, Result, Slug, TenantId, TransactionId, WalletId};
use ports::Balance;
use uuid::Uuid;

use crate::{Money, model::Amount};

#[async_trait]
impl ports::Money for Money {
    async fn open_system_wallet(&self, cx: &Ctx, tenant: TenantId) -> Result<WalletId> {
        self.tenant_wallet(cx, tenant).await
    }

    async fn charge(
        &self,
        cx: &Ctx,
        wallet: WalletId,
        amount: i64,
        key: Uuid,
        memo: String,
    ) -> Result<TransactionId> {
        let amount = Amount::new(amount)
            .ok_or_else(|| Error::new(Slug::InvalidAmount, format!("{amount} is not an amount of money.")))?;
        // The charge has a key of its own, which holds for ever; that of the request is the asking service's.
        self.take_charge(&cx.with_idempotency(None), wallet, amount, key, memo).await
    }

    async fn balance(&self, cx: &Ctx, wallet: WalletId) -> Result<Balance> {
        let has = self.wallet_balance(cx, wallet).await?;
        let currency = has.currency.to_string();
        Ok(Balance { available: has.available, pending: has.pending, frozen: has.frozen, currency })
    }
}
