use fabric::{
    postgres::{Database, FromRow, Handle, Tx},
    sql,
};
use kernel::{Ctx, Error, Result, Timestamp, UserId, WalletId};

use crate::model::{Currency, WalletKind, WalletState};

/// A wallet as it is at the moment of reading: holds whose time is over count as returned, whether or not that is
/// written yet.
#[derive(Debug, Clone, FromRow)]
pub struct WalletRow {
    pub id: WalletId,
    pub kind: String,
    pub user_id: Option<UserId>,
    pub label: Option<String>,
    pub currency: Currency,
    pub available: i64,
    pub frozen: i64,
    pub state: String,
    pub reason: Option<String>,
    pub created_at: Timestamp,
}

/// A wallet to be made.
#[derive(Debug, Clone, Copy)]
pub struct NewWallet<'a> {
    pub id: WalletId,
    pub kind: WalletKind,
    pub user: Option<UserId>,
    pub label: Option<&'a str>,
    pub currency: Currency,
}

const READ: &str = sql!(
    "select w.id, w.kind, w.user_id, w.label, w.currency, w.available + d.amount as available,
             w.frozen - d.amount as frozen, w.state, w.reason, w.created_at
      from money.wallet w
      cross join lateral (
          select coalesce(sum(h.amount), 0)::bigint as amount from money.hold h
          where kernel.owns($1, h.tenant_id) and h.wallet_id = w.id and h.state = 'held' and w.open_holds > 0
            and h.expires_at <= $3
      ) d
      where kernel.owns($1, w.tenant_id) and w.id = $2"
);

/// Wallets in the order in which they were made, from behind `after`.
pub async fn list(
    db: &Database,
    cx: &Ctx,
    user: Option<UserId>,
    currency: Option<Currency>,
    after: Option<(Timestamp, WalletId)>,
    most: usize,
) -> Result<Vec<WalletRow>> {
    let (after_at, after_id) = after.unzip();
    db.tenant(cx)?
        .query(sql!(
            "select w.id, w.kind, w.user_id, w.label, w.currency, w.available + d.amount as available,
                    w.frozen - d.amount as frozen, w.state, w.reason, w.created_at
             from money.wallet w
             cross join lateral (
                 select coalesce(sum(h.amount), 0)::bigint as amount from money.hold h
                 where kernel.owns($1, h.tenant_id) and h.wallet_id = w.id and h.state = 'held' and w.open_holds > 0
                   and h.expires_at <= $7
             ) d
             where kernel.owns($1, w.tenant_id)
               and ($2::uuid is null or w.user_id = $2) and ($3::text is null or w.currency = $3)
               and ($4::timestamptz is null or (w.created_at, w.id) > ($4, $5))
             order by w.created_at, w.id limit $6"
        ))
        .bind(user)
        .bind(currency.map(Currency::code))
        .bind(after_at)
        .bind(after_id)
        .bind(i64::try_from(most).unwrap_or(i64::MAX))
        .bind(cx.now())
        .all()
        .await
}

/// A wallet.
pub async fn read(tenant: &Handle, id: WalletId, now: Timestamp) -> Result<WalletRow> {
    let found = tenant.query(READ).bind(id).bind(now).optional().await?;
    found.ok_or_else(|| Error::not_found("wallet"))
}

/// A wallet, as the transaction sees it.
pub async fn read_in(tx: &mut Tx, id: WalletId, now: Timestamp) -> Result<WalletRow> {
    let found = tx.query(READ).bind(id).bind(now).optional().await?;
    found.ok_or_else(|| Error::not_found("wallet"))
}

/// Makes a wallet unless there is one of a kind that exists once; says whether it was made.
pub async fn insert(tx: &mut Tx, new: NewWallet<'_>) -> Result<bool> {
    let made = tx
        .query(sql!(
            "insert into money.wallet (id, tenant_id, kind, user_id, label, currency) values ($2, $1, $3, $4, $5, $6)
             on conflict (tenant_id, kind, currency) where kind <> 'user' do nothing"
        ))
        .bind(new.id)
        .bind(new.kind.word())
        .bind(new.user)
        .bind(new.label)
        .bind(new.currency.code())
        .run()
        .await?;
    Ok(made == 1)
}

/// The wallet of a kind that exists once in a currency.
pub async fn only(tenant: &Handle, kind: WalletKind, currency: Currency) -> Result<Option<WalletId>> {
    tenant
        .query(sql!(
            "select w.id from money.wallet w
             where kernel.owns($1, w.tenant_id) and w.kind = $2 and w.currency = $3 and w.kind <> 'user'"
        ))
        .bind(kind.word())
        .bind(currency.code())
        .optional_value()
        .await
}

/// How many wallets a user has; nobody else makes one for the same user until the transaction ends.
pub async fn count_for_user(tx: &mut Tx, user: UserId) -> Result<i64> {
    tx.query(sql!("select pg_advisory_xact_lock(hashtextextended($1::text || $2::text, 40))"))
        .bind(user)
        .run()
        .await?;
    tx.query(sql!(
        "select count(*) from money.wallet w where kernel.owns($1, w.tenant_id) and w.user_id = $2"
    ))
    .bind(user)
    .value()
    .await
}

/// A wallet of this label, currency and user: what a seed planted before.
pub async fn labelled(
    tenant: &Handle,
    user: UserId,
    label: Option<&str>,
    currency: Currency,
) -> Result<Option<WalletId>> {
    tenant
        .query(sql!(
            "select w.id from money.wallet w
             where kernel.owns($1, w.tenant_id) and w.user_id = $2 and w.label is not distinct from $3
               and w.currency = $4
             order by w.created_at, w.id limit 1"
        ))
        .bind(user)
        .bind(label)
        .bind(currency.code())
        .optional_value()
        .await
}

/// Freezes or unfreezes a wallet that is in the other state; says whether it was.
pub async fn set_state(tx: &mut Tx, id: WalletId, state: WalletState, reason: Option<&str>) -> Result<bool> {
    let changed = tx
        .query(sql!(
            "update money.wallet w set state = $3, reason = $4
             where kernel.owns($1, w.tenant_id) and w.id = $2 and w.state <> $3"
        ))
        .bind(id)
        .bind(state.word())
        .bind(reason)
        .run()
        .await?;
    Ok(changed == 1)
}

/// The state of a wallet, which stays so until the transaction ends.
pub async fn lock_state(tx: &mut Tx, id: WalletId) -> Result<WalletState> {
    let found: Option<String> = tx
        .query(sql!(
            "select w.state from money.wallet w where kernel.owns($1, w.tenant_id) and w.id = $2 for no key update"
        ))
        .bind(id)
        .optional_value()
        .await?;
    WalletState::read(&found.ok_or_else(|| Error::not_found("wallet"))?)
}
