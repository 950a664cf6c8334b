use fabric::postgres::Audit;
use kernel::{Ctx, Error, FieldCode, Result, Slug, Timestamp, WalletId, check::Checks};
use ports::http::{Page, page_size};

use crate::{
    Money,
    events::{self, ENTITY, WALLET_CREATED, WALLET_FROZEN, WALLET_UNFROZEN},
    http::wallets::{BalanceOut, FreezeIn, WalletIn, WalletOut, WalletsQuery},
    model::{MOST_TEXT, WalletKind, WalletState},
    store::wallets::{self, NewWallet, WalletRow},
};

/// Wallets of one user.
const MOST_WALLETS: i64 = 100;
/// Characters of a label.
const MOST_LABEL: usize = 100;

impl Money {
    /// Makes a wallet for a member of the tenant.
    ///
    /// # Errors
    /// `validation-error`, also for a user who is no member; `limit-exceeded` for the hundred and first.
    pub async fn create_wallet(&self, cx: &Ctx, new: WalletIn) -> Result<WalletOut> {
        if let Some(label) = &new.label {
            Checks::new().length("/label", label, 1, MOST_LABEL).finish()?;
        }
        let user = match new.user_id.or(cx.actor().user()) {
            Some(user) => user,
            None => {
                return Err(Error::field(
                    "/userId",
                    FieldCode::Required,
                    "is needed: a program has no wallet",
                ));
            }
        };
        if self.iam.user(cx, user).await?.is_none() {
            return Err(Error::field("/userId", FieldCode::NotAllowed, "is no member of the tenant"));
        }
        let made = NewWallet {
            id: WalletId::new(),
            kind: WalletKind::User,
            user: Some(user),
            label: new.label.as_deref(),
            currency: new.currency,
        };
        let mut tx = self.db.tenant(cx)?.begin().await?;
        if wallets::count_for_user(&mut tx, user).await? >= MOST_WALLETS {
            let text = format!("A user has at most {MOST_WALLETS} wallets.");
            return Err(Error::new(Slug::LimitExceeded, text));
        }
        wallets::insert(&mut tx, made).await?;
        let out = WalletOut::new(made, cx.now());
        tx.event(events::of_wallet(WALLET_CREATED, &out)?)?;
        tx.audit(Audit::new(WALLET_CREATED, ENTITY, out.id).after(&out))?;
        tx.commit(out).await
    }

    /// The tenant's wallets in the order in which they were made.
    ///
    /// # Errors
    /// `invalid-cursor`.
    pub async fn wallets(&self, cx: &Ctx, query: &WalletsQuery) -> Result<Page<WalletOut>> {
        let most = page_size(query.limit)?;
        let tenant = cx.tenant().ok();
        let list = format!("wallets of {:?} in {:?}", query.user_id, query.currency);
        let after: Option<(i64, WalletId)> =
            query.cursor.as_deref().map(|cursor| self.cursor.read(tenant, &list, cursor)).transpose()?;
        let after = after.and_then(|(micros, id)| Timestamp::from_micros(micros).map(|at| (at, id)));
        let rows = wallets::list(&self.db, cx, query.user_id, query.currency, after, most + 1).await?;
        let place = |last: &WalletRow| self.cursor.write(tenant, &list, &(last.created_at.micros(), last.id));
        let Page { data, meta } = Page::cut(rows, most, place);
        Ok(Page { data: data.into_iter().map(WalletOut::read).collect::<Result<_>>()?, meta })
    }

    /// A wallet.
    ///
    /// # Errors
    /// `not-found`.
    pub async fn wallet(&self, cx: &Ctx, id: WalletId) -> Result<WalletOut> {
        WalletOut::read(wallets::read(&self.db.tenant(cx)?, id, cx.now()).await?)
    }

    /// What a wallet has. Holds that are over count as returned.
    ///
    /// # Errors
    /// `not-found`.
    pub async fn wallet_balance(&self, cx: &Ctx, id: WalletId) -> Result<BalanceOut> {
        let row = wallets::read(&self.db.tenant(cx)?, id, cx.now()).await?;
        Ok(BalanceOut {
            available: row.available,
            pending: 0,
            frozen: row.frozen,
            currency: row.currency,
            exponent: row.currency.exponent(),
        })
    }

    /// Lets no more money move in or out of a wallet.
    ///
    /// # Errors
    /// `not-found`; `invalid-state` when it is frozen already.
    pub async fn freeze(&self, cx: &Ctx, id: WalletId, body: FreezeIn) -> Result<WalletOut> {
        Checks::new().length("/reason", &body.reason, 1, MOST_TEXT).finish()?;
        self.change_state(cx, id, WalletState::Frozen, Some(&body.reason)).await
    }

    /// Lets money move again.
    ///
    /// # Errors
    /// `not-found`; `invalid-state` when it is not frozen.
    pub async fn unfreeze(&self, cx: &Ctx, id: WalletId) -> Result<WalletOut> {
        self.change_state(cx, id, WalletState::Active, None).await
    }

    async fn change_state(
        &self,
        cx: &Ctx,
        id: WalletId,
        state: WalletState,
        reason: Option<&str>,
    ) -> Result<WalletOut> {
        let tenant = self.db.tenant(cx)?;
        let mut tx = tenant.begin().await?;
        if wallets::lock_state(&mut tx, id).await? == state {
            let text = format!("The wallet is {} already.", state.word());
            return Err(Error::new(Slug::InvalidState, text));
        }
        let before = WalletOut::read(wallets::read_in(&mut tx, id, cx.now()).await?)?;
        wallets::set_state(&mut tx, id, state, reason).await?;
        let out = WalletOut { state, reason: reason.map(str::to_owned), ..before.clone() };
        let told = match state {
            WalletState::Frozen => WALLET_FROZEN,
            WalletState::Active => WALLET_UNFROZEN,
        };
        tx.event(events::of_wallet(told, &out)?)?;
        tx.audit(Audit::new(told, ENTITY, id).before(&before).after(&out))?;
        tx.commit(out).await
    }
}

impl WalletOut {
    pub(super) fn new(made: NewWallet<'_>, now: Timestamp) -> Self {
        Self {
            id: made.id,
            user_id: made.user,
            kind: made.kind,
            label: made.label.map(str::to_owned),
            currency: made.currency,
            exponent: made.currency.exponent(),
            available: 0,
            pending: 0,
            frozen: 0,
            state: WalletState::Active,
            reason: None,
            created_at: now,
        }
    }

    pub(super) fn read(row: WalletRow) -> Result<Self> {
        Ok(Self {
            id: row.id,
            user_id: row.user_id,
            kind: WalletKind::read(&row.kind)?,
            label: row.label,
            currency: row.currency,
            exponent: row.currency.exponent(),
            available: row.available,
            pending: 0,
            frozen: row.frozen,
            state: WalletState::read(&row.state)?,
            reason: row.reason,
            created_at: row.created_at,
        })
    }
}
