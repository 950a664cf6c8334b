use fabric::{
    log::Contexts,
    postgres::{Audit, Event, Reason},
};
use futures::future::join_all;
use kernel::{Ctx, Result, Slug, WalletId};
use ports::http::Page;
use serde::Serialize;

use crate::{
    Money, NAME,
    events::{self, ENTITY, LEDGER_DIFFERS, WALLET_FROZEN},
    http::{
        ledger::{AccountOut, DifferenceOut, LedgerAccount, TotalOut, VerifiedOut},
        wallets::WalletOut,
    },
    model::{Note, Operation, WalletState},
    store::{
        holds,
        ledger::{self, FindingRow},
        wallets,
    },
};

/// Wallets whose holds are ended at the same time.
const SWEPT_AT_ONCE: i64 = 200;

/// The alarm.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Differs<'a> {
    differences: &'a [DifferenceOut],
}

impl Money {
    /// The accounts of the ledger with their balances.
    ///
    /// # Errors
    /// What the database says.
    pub async fn accounts(&self, cx: &Ctx) -> Result<Page<AccountOut>> {
        let rows = ledger::accounts(&self.db, cx).await?;
        let read = |row: ledger::AccountRow| AccountOut {
            account: match row.account.as_str() {
                "wallets" => LedgerAccount::Wallets,
                "holds" => LedgerAccount::Holds,
                "fees" => LedgerAccount::Fees,
                _ => LedgerAccount::External,
            },
            currency: row.currency,
            exponent: row.currency.exponent(),
            balance: row.balance,
        };
        Ok(Page::whole(rows.into_iter().map(read).collect()))
    }

    /// Adds everything up again from the entries, for the caller's tenant.
    ///
    /// # Errors
    /// What the database says.
    pub async fn verify(&self, cx: &Ctx) -> Result<VerifiedOut> {
        Ok(verified(cx, ledger::check(&self.db.tenant(cx)?).await?))
    }

    /// The same for every tenant; what does not add up is frozen and told.
    pub(crate) async fn verify_all(&self, contexts: &Contexts) -> Result<()> {
        for tenant in ledger::tenants(&self.db, &contexts.own()).await? {
            let cx = contexts.own().within(tenant);
            let found = ledger::check(&self.db.system_of_tenant(&cx, Reason::Ledger)?).await?;
            let found = verified(&cx, found);
            if !found.valid {
                tracing::error!(%tenant, differences = ?found.differences, "the ledger does not add up");
                self.raise_alarm(&cx, &found.differences).await?;
            }
        }
        Ok(())
    }

    async fn raise_alarm(&self, cx: &Ctx, differences: &[DifferenceOut]) -> Result<()> {
        const REASON: &str = "Its balance is not what its entries add up to.";
        let mut tx = self.db.tenant(cx)?.begin().await?;
        let mut concerned: Vec<WalletId> =
            differences.iter().filter_map(|found| found.id.parse().ok()).collect();
        concerned.sort_unstable();
        concerned.dedup();
        for id in concerned {
            match wallets::lock_state(&mut tx, id).await {
                Ok(WalletState::Active) => {}
                Ok(WalletState::Frozen) => continue,
                // It is a transaction's id.
                Err(error) if error.slug() == Slug::NotFound => continue,
                Err(error) => return Err(error),
            }
            wallets::set_state(&mut tx, id, WalletState::Frozen, Some(REASON)).await?;
            let out = WalletOut::read(wallets::read_in(&mut tx, id, cx.now()).await?)?;
            tx.event(events::of_wallet(WALLET_FROZEN, &out)?)?;
            tx.audit(Audit::new(WALLET_FROZEN, ENTITY, id).after(&out))?;
        }
        let alarm = Differs { differences };
        tx.event(Event::new(NAME, LEDGER_DIFFERS, cx.tenant()?, &alarm)?)?;
        tx.audit(Audit::new(LEDGER_DIFFERS, "ledger", cx.tenant()?).after(&alarm))?;
        tx.commit(()).await
    }

    /// Ends the holds of the tenant that are over.
    pub(crate) async fn expire_holds(&self, cx: &Ctx) -> Result<()> {
        loop {
            let due = holds::wallets_due(&self.db, cx, SWEPT_AT_ONCE).await?;
            if due.is_empty() {
                return Ok(());
            }
            let sweeps = due
                .into_iter()
                .map(|wallet| self.writer.submit(cx, Operation::Sweep { wallet }, Note::default()));
            for done in join_all(sweeps).await {
                done?;
            }
        }
    }
}

fn verified(cx: &Ctx, found: Vec<FindingRow>) -> VerifiedOut {
    let mut out = VerifiedOut {
        valid: true,
        checked_at: cx.now(),
        wallets: 0,
        transactions: 0,
        entries: 0,
        totals: Vec::new(),
        differences: Vec::new(),
    };
    for row in found {
        let currency = row.currency.unwrap_or_default();
        match row.what.as_str() {
            "wallets" => out.wallets = row.counted,
            "transactions" => out.transactions = row.counted,
            "entries" => out.entries = row.counted,
            "total" => out.totals.push(TotalOut { currency, sum: row.counted }),
            _ => out.differences.push(DifferenceOut {
                what: row.what,
                id: row.id.unwrap_or_default(),
                currency,
                stored: row.stored,
                counted: row.counted,
            }),
        }
    }
    out.valid = out.differences.is_empty() && out.totals.iter().all(|total| total.sum == 0);
    out
}
