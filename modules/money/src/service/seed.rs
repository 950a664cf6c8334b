use kernel::{Ctx, Result, UserId, WalletId};

use crate::{
    Money,
    http::{movements::MoveIn, wallets::WalletIn},
    model::Currency,
    store::{history, wallets},
};

/// A wallet of a seed.
#[derive(Debug, Clone)]
pub struct SeedWallet {
    /// Whose.
    pub user: UserId,
    /// What it keeps.
    pub currency: Currency,
    /// What people call it.
    pub label: Option<String>,
    /// What it has from the beginning, in minor units; with 0 it stays empty.
    pub opening: i64,
}

impl Money {
    /// Plants a wallet with its opening balance; what is there already stays. Says which it is, and whether it is new.
    ///
    /// # Errors
    /// As [`Money::create_wallet`] and [`Money::credit`].
    pub async fn seed_wallet(&self, cx: &Ctx, seed: SeedWallet) -> Result<(WalletId, bool)> {
        let SeedWallet { user, currency, label, opening } = seed;
        let there = wallets::labelled(&self.db.tenant(cx)?, user, label.as_deref(), currency).await?;
        let id = match there {
            // A seed that was cut short may have left it empty.
            Some(there)
                if opening > 0 && history::of_wallet(&self.db, cx, there, None, 1).await?.is_empty() =>
            {
                there
            }
            Some(there) => return Ok((there, false)),
            None => self.create_wallet(cx, WalletIn { user_id: Some(user), currency, label }).await?.id,
        };
        if opening > 0 {
            let description = Some("Opening balance".to_owned());
            self.credit(cx, id, MoveIn { amount: opening.into(), description, metadata: None }).await?;
        }
        Ok((id, true))
    }
}
