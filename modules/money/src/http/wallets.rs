//! `/wallets`: making and looking at wallets, freezing them.

use kernel::{Slug, Timestamp, UserId, WalletId};
use ports::http::{Body, Created, Cx, One, Operation, Page, Path, Query, Result, Routes, State};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{App, READ, WRITE};
use crate::model::{Currency, WalletKind, WalletState};

/// A wallet to be made.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct WalletIn {
    /// Whose; the caller's unless said.
    pub user_id: Option<UserId>,
    /// What it keeps; never changed.
    pub currency: Currency,
    /// What people call it.
    pub label: Option<String>,
}

/// A wallet. Amounts are in minor units: with `exponent` 2, `available` 1050 is 10.50.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct WalletOut {
    /// Its id.
    pub id: WalletId,
    /// Whose it is; nobody's, if it is the tenant's own.
    pub user_id: Option<UserId>,
    /// How it came to be.
    pub kind: WalletKind,
    /// What people call it.
    pub label: Option<String>,
    /// ISO 4217.
    pub currency: Currency,
    /// Digits behind the point.
    pub exponent: u8,
    /// What can be used.
    pub available: i64,
    /// What is on its way in and can't be used yet. Nothing is, until payments from outside are announced.
    pub pending: i64,
    /// What holds have set aside.
    pub frozen: i64,
    /// Whether money may move.
    pub state: WalletState,
    /// Why it is frozen.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Made at.
    pub created_at: Timestamp,
}

/// What a wallet has.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct BalanceOut {
    /// What can be used.
    pub available: i64,
    /// What is on its way in and can't be used yet.
    pub pending: i64,
    /// What holds have set aside.
    pub frozen: i64,
    /// ISO 4217.
    pub currency: Currency,
    /// Digits behind the point.
    pub exponent: u8,
}

/// Which wallets to list.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct WalletsQuery {
    /// Entries a page, 1 to 100; 20 unless said.
    #[schemars(range(min = 1, max = 100))]
    pub limit: Option<u16>,
    /// The `meta.cursor` of the page before.
    pub cursor: Option<String>,
    /// Of one user only.
    pub user_id: Option<UserId>,
    /// In one currency only.
    pub currency: Option<Currency>,
}

/// Why a wallet is frozen.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct FreezeIn {
    /// For those who look at it later; 1 to 500 characters.
    pub reason: String,
}

pub(super) fn add(routes: Routes<App>) -> Routes<App> {
    routes
        .add(
            Operation::post("/wallets", "createWallet", WRITE)
                .summary("Make a wallet for a user")
                .body::<WalletIn>()
                .answer::<WalletOut>(201)
                .problems(&[Slug::LimitExceeded])
                .example(r#"{"currency":"EUR","label":"Travel"}"#),
            create,
        )
        .add(
            Operation::get("/wallets", "listWallets", READ)
                .summary("List the tenant's wallets")
                .query::<WalletsQuery>()
                .lists::<WalletOut>()
                .problems(&[Slug::InvalidCursor]),
            list,
        )
        .add(
            Operation::get("/wallets/{id}", "getWallet", READ)
                .summary("Read a wallet")
                .answer::<WalletOut>(200),
            read,
        )
        .add(
            Operation::get("/wallets/{id}/balance", "getWalletBalance", READ)
                .summary("Read what a wallet has")
                .answer::<BalanceOut>(200),
            balance,
        )
        .add(
            Operation::post("/wallets/{id}/freeze", "freezeWallet", WRITE)
                .summary("Freeze a wallet: no money moves in or out")
                .description("Its holds still end: what is cancelled or expires returns within the wallet.")
                .body::<FreezeIn>()
                .answer::<WalletOut>(200)
                .problems(&[Slug::InvalidState])
                .example(r#"{"reason":"A payment is disputed."}"#),
            freeze,
        )
        .add(
            Operation::post("/wallets/{id}/unfreeze", "unfreezeWallet", WRITE)
                .summary("Let money move again")
                .answer::<WalletOut>(200)
                .problems(&[Slug::InvalidState]),
            unfreeze,
        )
}

async fn create(
    State(money): State<App>,
    Cx(cx): Cx,
    Body(new): Body<WalletIn>,
) -> Result<Created<WalletOut>> {
    Ok(Created(money.create_wallet(&cx, new).await?))
}

async fn list(
    State(money): State<App>,
    Cx(cx): Cx,
    Query(query): Query<WalletsQuery>,
) -> Result<Page<WalletOut>> {
    Ok(money.wallets(&cx, &query).await?)
}

async fn read(State(money): State<App>, Cx(cx): Cx, Path(id): Path<WalletId>) -> Result<One<WalletOut>> {
    Ok(One::new(money.wallet(&cx, id).await?))
}

async fn balance(State(money): State<App>, Cx(cx): Cx, Path(id): Path<WalletId>) -> Result<One<BalanceOut>> {
    Ok(One::new(money.wallet_balance(&cx, id).await?))
}

async fn freeze(
    State(money): State<App>,
    Cx(cx): Cx,
    Path(id): Path<WalletId>,
    Body(body): Body<FreezeIn>,
) -> Result<One<WalletOut>> {
    Ok(One::new(money.freeze(&cx, id, body).await?))
}

async fn unfreeze(State(money): State<App>, Cx(cx): Cx, Path(id): Path<WalletId>) -> Result<One<WalletOut>> {
    Ok(One::new(money.unfreeze(&cx, id).await?))
}
