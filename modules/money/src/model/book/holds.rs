use std::time::Duration;

use kernel::{Error, Result, Slug, TransactionId, WalletId};

use super::{Book, HoldRow, MOST_OPEN_HOLDS};
use crate::model::{Account, Amount, HoldChange, HoldState, Kind, Line, Note, Posting};

impl Book {
    pub(super) fn place(
        &mut self,
        wallet: WalletId,
        amount: Amount,
        ttl_seconds: u32,
        note: &Note,
    ) -> Result<Posting> {
        self.within_plan(amount)?;
        let found = self.active(wallet)?;
        if found.open_holds >= MOST_OPEN_HOLDS {
            let text =
                format!("A wallet has at most {MOST_OPEN_HOLDS} open holds; confirm or cancel some first.");
            return Err(Error::new(Slug::LimitExceeded, text));
        }
        let lines = vec![Line::wallet(wallet, -amount.get()), Line::held(wallet, amount.get())];
        let mut posting = self.post(Kind::Hold, wallet, None, amount.get(), found.currency, lines, note)?;
        let expires_at = self.now.plus(Duration::from_secs(u64::from(ttl_seconds)));
        posting.hold = Some(HoldChange::Placed { expires_at });
        self.count_holds(wallet, 1);
        self.hold(HoldRow {
            id: posting.id,
            wallet,
            amount: amount.get(),
            expires_at,
            state: HoldState::Held,
        });
        Ok(posting)
    }

    /// The hold, if it still is one.
    pub(super) fn open_hold(&self, wallet: WalletId, id: TransactionId) -> Result<HoldRow> {
        self.known(wallet)?;
        let hold = self.holds.get(&id).filter(|hold| hold.wallet == wallet);
        let hold = hold.copied().ok_or_else(|| Error::not_found("hold"))?;
        match hold.state {
            HoldState::Held => Ok(hold),
            settled => {
                Err(Error::new(Slug::InvalidState, format!("The hold is {} already.", settled.word())))
            }
        }
    }

    /// Ends a hold: `taken` goes out, the rest returns.
    pub(super) fn settle(
        &mut self,
        hold: HoldRow,
        state: HoldState,
        taken: i64,
        note: &Note,
    ) -> Result<Posting> {
        let kind = match state {
            HoldState::Confirmed => Kind::Confirm,
            HoldState::Canceled => Kind::Cancel,
            HoldState::Expired => Kind::Expiry,
            HoldState::Held => return Err(Error::internal("a hold is not settled by holding it")),
        };
        let currency = self.known(hold.wallet)?.currency;
        let rest = hold.amount - taken;
        let mut lines = vec![Line::held(hold.wallet, -hold.amount)];
        if rest > 0 {
            lines.push(Line::wallet(hold.wallet, rest));
        }
        if taken > 0 {
            lines.push(Line::system(Account::External, taken));
        }
        let amount = if taken > 0 { taken } else { hold.amount };
        let mut posting = self.post(kind, hold.wallet, None, amount, currency, lines, note)?;
        posting.hold = Some(HoldChange::Settled { hold: hold.id, state });
        self.count_holds(hold.wallet, -1);
        self.hold(HoldRow { state, ..hold });
        Ok(posting)
    }

    fn count_holds(&mut self, wallet: WalletId, change: i16) {
        if let Some(wallet) = self.wallets.get_mut(&wallet) {
            wallet.open_holds += change;
        }
    }
}
