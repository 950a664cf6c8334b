//! `iam.mail_token`: what was sent to an address to see whose it is.

use fabric::{
    postgres::{Database, FromRow, Reason, Tx},
    sql,
};
use kernel::{Ctx, Result, Timestamp, UserId};

use crate::model::MailPurpose;

/// A person who gets a mail.
#[derive(Debug, Clone, FromRow)]
pub struct RecipientRow {
    /// Who.
    pub user_id: UserId,
    /// The address.
    pub email: String,
    /// The name.
    pub name: String,
    /// Whether the address was shown to be theirs.
    pub verified: bool,
}

/// The person behind an address, locked until the transaction ends: requests at the same moment are counted one by one.
pub async fn lock_recipient(tx: &mut Tx, email: &str) -> Result<Option<RecipientRow>> {
    tx.query(sql!(
        "select id as user_id, email, name, email_verified_at is not null as verified
         from iam.user_account where email = $1 for no key update"
    ))
    .bind(email)
    .optional()
    .await
}

/// How many mails for this purpose a person was sent within the last hour because somebody asked; in real time.
pub async fn asked_last_hour(tx: &mut Tx, user: UserId, purpose: MailPurpose) -> Result<i64> {
    tx.query(sql!(
        "select count(*) from iam.mail_token
         where user_id = $1 and purpose = $2 and asked_for and made_real > clock_timestamp() - interval '1 hour'"
    ))
    .bind(user)
    .bind(purpose)
    .value()
    .await
}

/// Keeps the hash of a token.
pub async fn add(
    tx: &mut Tx,
    hash: &[u8; 32],
    user: UserId,
    purpose: MailPurpose,
    asked_for: bool,
    expires_at: Timestamp,
) -> Result<()> {
    tx.query(sql!(
        "insert into iam.mail_token (hash, user_id, purpose, asked_for, expires_at) values ($1, $2, $3, $4, $5)"
    ))
    .bind(hash.as_slice())
    .bind(user)
    .bind(purpose)
    .bind(asked_for)
    .bind(expires_at)
    .run()
    .await
    .map(drop)
}

/// Whose token this is, while it is good. The address is in its normal form.
pub async fn holder(
    db: &Database,
    cx: &Ctx,
    hash: &[u8; 32],
    purpose: MailPurpose,
) -> Result<Option<RecipientRow>> {
    db.system(cx, Reason::SignIn)
        .query(sql!(
            "select u.id as user_id, u.email, u.name, u.email_verified_at is not null as verified
             from iam.mail_token t join iam.user_account u on u.id = t.user_id
             where t.hash = $1 and t.purpose = $2 and t.expires_at > $3"
        ))
        .bind(hash.as_slice())
        .bind(purpose)
        .bind(cx.now())
        .optional()
        .await
}

/// Uses a token up: of two at the same moment one gets the person. The person's other tokens for the purpose go with it.
pub async fn take(
    tx: &mut Tx,
    hash: &[u8; 32],
    purpose: MailPurpose,
    now: Timestamp,
) -> Result<Option<UserId>> {
    let user: Option<UserId> = tx
        .query(sql!(
            "delete from iam.mail_token where hash = $1 and purpose = $2 and expires_at > $3 returning user_id"
        ))
        .bind(hash.as_slice())
        .bind(purpose)
        .bind(now)
        .optional_value()
        .await?;
    if let Some(user) = user {
        tx.query(sql!("delete from iam.mail_token where user_id = $1 and purpose = $2"))
            .bind(user)
            .bind(purpose)
            .run()
            .await?;
    }
    Ok(user)
}

/// Removes tokens that ended more than an hour ago, when nobody counts them any more.
pub async fn forget_ended(db: &Database, cx: &Ctx, now: Timestamp) -> Result<u64> {
    db.system(cx, Reason::Jobs)
        .query(sql!(
            "delete from iam.mail_token
             where expires_at < $1 and made_real < clock_timestamp() - interval '1 hour'"
        ))
        .bind(now)
        .run()
        .await
}
