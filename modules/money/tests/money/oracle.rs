//! A ledger that fits on a page, to hold the real one against.

use std::collections::HashMap;

use uuid::Uuid;

/// A transaction as the real ledger has it.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct Done {
    pub id: Uuid,
    pub kind: String,
    pub wallet_id: Uuid,
    pub counterparty_id: Option<Uuid>,
    pub amount: i64,
    pub hold_id: Option<Uuid>,
    pub reverses: Option<Uuid>,
}

/// What wallets have, by what was done to them.
#[derive(Default)]
pub struct Oracle {
    available: HashMap<Uuid, i64>,
    /// Hold → wallet and amount.
    open: HashMap<Uuid, (Uuid, i64)>,
    done: HashMap<Uuid, Done>,
}

impl Oracle {
    /// Does what the real ledger did; says why it should not have.
    pub fn replay(&mut self, done: &Done) -> Result<(), String> {
        let Done { wallet_id: wallet, amount, .. } = *done;
        match done.kind.as_str() {
            "credit" => self.add(wallet, amount),
            "debit" => self.add(wallet, -amount),
            "transfer" => {
                let to = done.counterparty_id.ok_or("a transfer to nobody")?;
                self.add(wallet, -amount).and(self.add(to, amount))
            }
            "hold" => {
                self.open.insert(done.id, (wallet, amount));
                self.add(wallet, -amount)
            }
            "confirm" | "cancel" => {
                let hold = done.hold_id.ok_or("no hold")?;
                let (of, held) = self.open.remove(&hold).ok_or("the hold was settled before")?;
                if of != wallet || amount > held {
                    return Err("more than was held, or another's".into());
                }
                self.add(wallet, if done.kind == "confirm" { held - amount } else { held })
            }
            "reversal" => {
                let undone = done
                    .reverses
                    .and_then(|id| self.done.remove(&id))
                    .ok_or("reversed before, or never done")?;
                match undone.kind.as_str() {
                    "credit" => self.add(undone.wallet_id, -undone.amount),
                    "debit" | "confirm" => self.add(undone.wallet_id, undone.amount),
                    "transfer" => self
                        .add(undone.counterparty_id.ok_or("nobody")?, -undone.amount)
                        .and(self.add(undone.wallet_id, undone.amount)),
                    other => Err(format!("{other} is not reversed here")),
                }
            }
            other => Err(format!("nobody asked for {other}")),
        }?;
        self.done.insert(done.id, done.clone());
        Ok(())
    }

    fn add(&mut self, wallet: Uuid, change: i64) -> Result<(), String> {
        let has = self.available.entry(wallet).or_default();
        *has += change;
        if *has < 0 { Err(format!("{wallet} is overdrawn by {}", -*has)) } else { Ok(()) }
    }

    /// Available and frozen.
    pub fn has(&self, wallet: Uuid) -> (i64, i64) {
        let frozen = self.open.values().filter(|(of, _)| *of == wallet).map(|(_, amount)| amount).sum();
        (self.available.get(&wallet).copied().unwrap_or(0), frozen)
    }
}
