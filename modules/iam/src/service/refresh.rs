//! One refresh token for the next.

use fabric::postgres::{Audit, Reason};
use kernel::{Ctx, Error, Result};
use serde_json::json;

use super::tokens::{RefreshToken, Standing};
use crate::{
    Iam,
    generations::Subject,
    http::auth::{RefreshIn, TokensOut},
    model::SessionEnd,
    store::{
        sessions::{self, RefreshRow},
        standing::{self, StandingRow},
    },
};

impl Iam {
    /// Exchanges a refresh token for a new pair. The same token within 10 s of real time gives the same refresh token
    /// and a fresh access token; later it ends the session, for one of the two who had it had no right to it.
    ///
    /// # Errors
    /// `unauthorized`, without a hint why.
    pub async fn refresh(&self, cx: &Ctx, input: RefreshIn) -> Result<TokensOut> {
        let old = RefreshToken::read(input.refresh_token.expose())?;
        let ring = self.keys.ring(cx).await?;
        let mut tx = self.db.system(cx, Reason::SignIn).begin().await?;
        let found = sessions::lock_refresh(&mut tx, &old.hash()).await?;
        let row = found
            .filter(|row| !row.revoked)
            .ok_or_else(|| refused("is unknown, or its session has ended"))?;
        if row.used && !row.in_grace {
            tx.rollback().await;
            self.end_family(cx, &row).await?;
            return Err(refused("was used before: its session has been ended"));
        }
        if row.expires_at <= cx.now() {
            return Err(refused("has expired"));
        }
        let (tenant, user, session) = (row.tenant_id, row.user_id, row.session_id);
        let standing = standing::read_in(&mut tx, tenant, user, Some(session)).await?;
        let standing = standing
            .filter(StandingRow::is_open)
            .ok_or_else(|| refused("is of a blocked member or tenant"))?;
        let next = old.next(self.db.key());
        if !row.used {
            sessions::rotate(&mut tx, cx, &row, &old.hash(), &next.hash()).await?;
        }
        let tokens = self.tokens(cx, &ring, Standing::of(user, tenant, standing), session, next)?;
        tx.commit(tokens).await
    }

    async fn end_family(&self, cx: &Ctx, row: &RefreshRow) -> Result<()> {
        // Not under the request's key: what is kept there would be taken for its answer.
        let cx = cx.with_idempotency(None);
        let mut tx = self.db.system(&cx, Reason::SignIn).begin().await?;
        if sessions::end(&mut tx, row.session_id, SessionEnd::Reuse, cx.now()).await? {
            tx.audit(
                Audit::new("session.reuse_detected", "session", row.session_id)
                    .of(row.tenant_id)
                    .description("A refresh token came a second time; the session was ended.")
                    .metadata(&json!({ "userId": row.user_id })),
            )?;
        }
        tx.commit(()).await?;
        self.memory.changed(Subject::Session(row.session_id));
        Ok(())
    }
}

fn refused(why: &'static str) -> Error {
    Error::unauthorized().because(format!("the refresh token {why}"))
}
