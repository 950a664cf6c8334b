//! `iam.user_account` and `iam.credential`: people and their password hashes.

use fabric::{
    postgres::{Database, FromRow, Reason, Tx},
    sql,
};
use kernel::{Ctx, Result, TenantId, Timestamp, UserId};

use crate::model::{MailPurpose, TenantKind};

/// What sign-in needs to know of a person.
#[derive(Debug, Clone, FromRow)]
pub struct SignInRow {
    /// Who.
    pub user_id: UserId,
    /// The hash, if a password was ever set.
    pub password_hash: Option<String>,
    /// When the password was last changed.
    pub changed_at: Option<Timestamp>,
    /// Where the last sign-in went.
    pub last_tenant_id: Option<TenantId>,
}

/// A tenant that a person can sign in to.
#[derive(Debug, Clone, FromRow)]
pub struct OpenTenantRow {
    /// Its id.
    pub id: TenantId,
    /// Its name in hosts.
    pub slug: String,
    /// Its name.
    pub name: String,
    /// Its kind.
    pub kind: TenantKind,
}

/// A person to be added.
pub struct NewAccount<'a> {
    /// The id.
    pub id: UserId,
    /// In its normal form.
    pub email: &'a str,
    /// What the person is called.
    pub name: &'a str,
    /// PHC string.
    pub password_hash: &'a str,
    /// Since when the address counts as verified.
    pub verified_at: Option<Timestamp>,
    /// Where the next sign-in goes.
    pub last_tenant: Option<TenantId>,
}

/// By address in its normal form.
pub async fn for_sign_in(db: &Database, cx: &Ctx, email: &str) -> Result<Option<SignInRow>> {
    db.system(cx, Reason::SignIn)
        .query(sql!(
            "select u.id as user_id, c.password_hash, c.changed_at, u.last_tenant_id
             from iam.user_account u left join iam.credential c on c.user_id = u.id
             where u.email = $1"
        ))
        .bind(email)
        .optional()
        .await
}

/// By id.
pub async fn for_sign_in_by_id(db: &Database, cx: &Ctx, user: UserId) -> Result<Option<SignInRow>> {
    db.system(cx, Reason::SignIn)
        .query(sql!(
            "select u.id as user_id, c.password_hash, c.changed_at, u.last_tenant_id
             from iam.user_account u left join iam.credential c on c.user_id = u.id
             where u.id = $1"
        ))
        .bind(user)
        .optional()
        .await
}

/// The tenants that a person can sign in to now, by name; at most 100.
pub async fn open_tenants(db: &Database, cx: &Ctx, user: UserId) -> Result<Vec<OpenTenantRow>> {
    db.system(cx, Reason::SignIn)
        .query(sql!(
            "select t.id, t.slug, t.name, t.kind
             from iam.membership m join iam.tenant t on t.id = m.tenant_id
             where m.user_id = $1 and m.state = 'active'
               and not exists (select 1 from iam.tenant_path p join iam.tenant a on a.id = p.ancestor_id
                               where p.descendant_id = t.id and a.state <> 'active')
             order by t.name, t.id limit 100"
        ))
        .bind(user)
        .all()
        .await
}

/// Adds a person with a password. False when the address has an account already; nothing is changed then.
pub async fn add(tx: &mut Tx, account: &NewAccount<'_>, now: Timestamp) -> Result<bool> {
    let added: i64 = tx
        .query(sql!(
            "with added as (
                 insert into iam.user_account (id, email, name, email_verified_at, last_tenant_id, created_at)
                 values ($1, $2, $3, $4, $5, $6)
                 on conflict (email) do nothing
                 returning id
             ), secret as (
                 insert into iam.credential (user_id, password_hash, changed_at)
                 select id, $7, $6 from added
             )
             select count(*) from added"
        ))
        .bind(account.id)
        .bind(account.email)
        .bind(account.name)
        .bind(account.verified_at)
        .bind(account.last_tenant)
        .bind(now)
        .bind(account.password_hash)
        .value()
        .await?;
    Ok(added == 1)
}

/// The id behind an address, inside of a transaction across tenants.
pub async fn find(tx: &mut Tx, email: &str) -> Result<Option<UserId>> {
    tx.query(sql!("select id from iam.user_account where email = $1")).bind(email).optional_value().await
}

/// Keeps a new password hash and ends the links to set it anew, which still count against what may be asked for in an
/// hour. False when there is no such person.
pub async fn set_password(tx: &mut Tx, user: UserId, hash: &str, now: Timestamp) -> Result<bool> {
    let set = tx
        .query(sql!(
            "with closed as (
                 update iam.mail_token set expires_at = $3
                 where user_id = $1 and purpose = $4 and expires_at > $3
             )
             insert into iam.credential (user_id, password_hash, changed_at)
             select id, $2, $3 from iam.user_account where id = $1
             on conflict (user_id) do update
                 set password_hash = excluded.password_hash, changed_at = excluded.changed_at"
        ))
        .bind(user)
        .bind(hash)
        .bind(now)
        .bind(MailPurpose::Reset)
        .run()
        .await?;
    Ok(set == 1)
}

/// Remembers where the next sign-in goes.
pub async fn remember_tenant(tx: &mut Tx, user: UserId, tenant: TenantId) -> Result<()> {
    tx.query(sql!(
        "update iam.user_account set last_tenant_id = $2
         where id = $1 and last_tenant_id is distinct from $2"
    ))
    .bind(user)
    .bind(tenant)
    .run()
    .await
    .map(drop)
}

/// Notes that the address was shown to be the person's; one that was before keeps its date.
pub async fn verify(tx: &mut Tx, user: UserId, now: Timestamp) -> Result<()> {
    tx.query(sql!(
        "update iam.user_account set email_verified_at = $2 where id = $1 and email_verified_at is null"
    ))
    .bind(user)
    .bind(now)
    .run()
    .await
    .map(drop)
}

/// The tenants in which a person is an active member; at most 1,000.
pub async fn tenants_of(tx: &mut Tx, user: UserId) -> Result<Vec<TenantId>> {
    let found: Vec<(TenantId,)> = tx
        .query(sql!(
            "select tenant_id from iam.membership where user_id = $1 and state = 'active' order by tenant_id limit 1000"
        ))
        .bind(user)
        .all()
        .await?;
    Ok(found.into_iter().map(|(tenant,)| tenant).collect())
}
