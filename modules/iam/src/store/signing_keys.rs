//! `iam.signing_key`.

use fabric::{
    postgres::{Database, FromRow, Reason},
    sql,
};
use kernel::{Ctx, Result, Timestamp};

/// A pair as it is kept.
#[derive(FromRow)]
pub struct KeyRow {
    /// Its name.
    pub kid: String,
    /// The uncompressed point.
    pub public_key: Vec<u8>,
    /// PKCS #8, sealed.
    pub private_sealed: Vec<u8>,
    /// When it was made, on the sandbox's clock.
    pub created_at: Timestamp,
    /// When a newer one took over, on the sandbox's clock.
    pub retired_at: Option<Timestamp>,
    /// The same in real time.
    pub retired_real: Option<Timestamp>,
}

/// All pairs that are there, the newest first.
pub async fn all(db: &Database, cx: &Ctx) -> Result<Vec<KeyRow>> {
    db.system(cx, Reason::SignIn)
        .query(sql!(
            "select kid, public_key, private_sealed, created_at, retired_at, retired_real
             from iam.signing_key order by created_at desc, kid limit 100"
        ))
        .all()
        .await
}

/// Makes a pair the current one, unless another replica was first: then nothing changes, and the caller reads again.
pub async fn succeed(db: &Database, cx: &Ctx, old: Option<&str>, new: &KeyRow) -> Result<()> {
    // Its own transaction: the caller's request may be repeated, the key is there for all.
    let mut tx = db.system(&cx.with_idempotency(None), Reason::SignIn).begin().await?;
    if let Some(old) = old {
        let retired = tx
            .query(sql!(
                "update iam.signing_key set retired_at = $2, retired_real = clock_timestamp()
                 where kid = $1 and retired_at is null"
            ))
            .bind(old)
            .bind(new.created_at)
            .run()
            .await?;
        if retired == 0 {
            return Ok(());
        }
    }
    tx.query(sql!(
        "insert into iam.signing_key (kid, public_key, private_sealed, created_at) values ($1, $2, $3, $4)
         on conflict do nothing"
    ))
    .bind(new.kid.as_str())
    .bind(new.public_key.as_slice())
    .bind(new.private_sealed.as_slice())
    .bind(new.created_at)
    .run()
    .await?;
    tx.commit(()).await
}

/// Removes pairs that were retired before `sandbox` on its clock and before `real`.
pub async fn forget_retired(db: &Database, cx: &Ctx, sandbox: Timestamp, real: Timestamp) -> Result<u64> {
    db.system(cx, Reason::SignIn)
        .query(sql!("delete from iam.signing_key where retired_at < $1 and retired_real < $2"))
        .bind(sandbox)
        .bind(real)
        .run()
        .await
}
