use fabric::postgres::{Audit, Tx};
use kernel::{Ctx, Error, EventId, Result, TenantId, UserId, WalletId};

use crate::{
    Money,
    events::{self, ENTITY, WALLET_CREATED},
    http::wallets::WalletOut,
    model::{Currency, WalletKind},
    store::wallets::{self, NewWallet},
};

/// The name under which it is noted which foundings were heard of.
const CONSUMER: &str = "money.wallets";

impl Money {
    /// A new tenant's Owner gets a wallet, once.
    pub(crate) async fn open_owner_wallet(&self, cx: &Ctx, event: EventId, owner: UserId) -> Result<()> {
        let mut tx = self.db.tenant(cx)?.begin().await?;
        if tx.first_time(CONSUMER, event).await? {
            make(&mut tx, WalletKind::Owner, Some(owner)).await?;
        }
        tx.commit(()).await
    }

    /// The tenant's own wallet, made now if it is not there yet.
    pub(crate) async fn tenant_wallet(&self, cx: &Ctx, tenant: TenantId) -> Result<WalletId> {
        // Whoever is within a tenant asks for that one; services ask for any.
        let cx = match cx.tenant() {
            Ok(own) if own != tenant => {
                return Err(Error::internal(format!(
                    "the wallet of tenant {tenant} was asked for within {own}"
                )));
            }
            _ => cx.within(tenant).with_idempotency(None),
        };
        let bound = self.db.tenant(&cx)?;
        if let Some(there) = wallets::only(&bound, WalletKind::Tenant, Currency::USD).await? {
            return Ok(there);
        }
        let mut tx = bound.begin().await?;
        if let Some(made) = make(&mut tx, WalletKind::Tenant, None).await? {
            return tx.commit(made).await;
        }
        tx.rollback().await;
        let made = wallets::only(&bound, WalletKind::Tenant, Currency::USD).await?;
        made.ok_or_else(|| Error::internal("a wallet that was just there is gone"))
    }
}

/// Makes a wallet of a kind that exists once; none if there is one.
async fn make(tx: &mut Tx, kind: WalletKind, user: Option<UserId>) -> Result<Option<WalletId>> {
    let new = NewWallet { id: WalletId::new(), kind, user, label: None, currency: Currency::USD };
    if !wallets::insert(tx, new).await? {
        return Ok(None);
    }
    let out = WalletOut::new(new, tx.cx().now());
    tx.event(events::of_wallet(WALLET_CREATED, &out)?)?;
    tx.audit(Audit::new(WALLET_CREATED, ENTITY, out.id).after(&out))?;
    Ok(Some(new.id))
}
