use std::collections::BTreeMap;

use kernel::{Ctx, TenantId, TenantSlug, UserId, WalletId};
use money::{SeedWallet, TransferIn};

use super::{Seed, SeedError, named};
use crate::cell::Cell;

/// Plants wallets and the transfers between those that are new.
///
/// # Errors
/// What money refused, and names that nothing has.
pub(super) async fn plant(
    seed: &Seed,
    cell: &Cell,
    cx: &Ctx,
    tenants: &BTreeMap<&TenantSlug, TenantId>,
    users: &BTreeMap<&str, UserId>,
) -> Result<(), SeedError> {
    let money = &cell.services().money;
    let mut wallets: BTreeMap<&str, (WalletId, TenantId, bool)> = BTreeMap::new();
    for wallet in &seed.wallets {
        let what = format!("the {} wallet of {}", wallet.currency, wallet.user);
        let tenant = named(tenants, &wallet.tenant)?;
        let user = *users
            .get(wallet.user.as_str())
            .ok_or_else(|| SeedError::Unknown(format!("{what}: the seed names no such user")))?;
        let planted = SeedWallet {
            user,
            currency: wallet.currency,
            label: wallet.label.clone(),
            opening: wallet.opening,
        };
        let refused = |source| SeedError::Refused { what, source };
        let (id, is_new) = money.seed_wallet(&cx.within(tenant), planted).await.map_err(refused)?;
        if let Some(name) = &wallet.name {
            wallets.insert(name, (id, tenant, is_new));
        }
    }
    for transfer in &seed.transfers {
        let what = format!("the transfer \"{}\"", transfer.description);
        let known = |name: &str| {
            let found = wallets.get(name).copied();
            found.ok_or_else(|| SeedError::Unknown(format!("{what}: there is no wallet named {name}")))
        };
        let ((from, tenant, new_from), (to, _, new_to)) = (known(&transfer.from)?, known(&transfer.to)?);
        // Both were there: so is the transfer.
        if !new_from && !new_to {
            continue;
        }
        let body = TransferIn {
            from,
            to,
            amount: transfer.amount.into(),
            description: Some(transfer.description.clone()),
            metadata: None,
        };
        let done = money.transfer(&cx.within(tenant), body).await;
        done.map_err(|source| SeedError::Refused { what: what.clone(), source })?;
    }
    Ok(())
}
