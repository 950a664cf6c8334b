//! A person's own password.

use fabric::postgres::{Audit, Reason};
use kernel::{Actor, Ctx, Error, FieldCode, Result, check::Checks};

use super::person;
use crate::{
    Iam,
    events::{Tell as _, UserUpdated},
    generations::Subject,
    http::auth::{ChangePasswordIn, SessionsEndedOut},
    model::{MemberState, SessionEnd, password},
    store::{accounts, sessions},
};

impl Iam {
    /// Changes the password and ends the person's other sessions, in all tenants.
    ///
    /// # Errors
    /// `invalid-credentials` when the current one is wrong; `too-many-attempts`; `validation-error` for the new one;
    /// `forbidden` for keys and modules.
    pub async fn change_password(&self, cx: &Ctx, input: ChangePasswordIn) -> Result<SessionsEndedOut> {
        let (user, session) = person(cx)?;
        let Actor::User { email, .. } = cx.actor() else { return Err(Error::unauthorized()) };
        let (current, new) = (&input.current_password, &input.new_password);
        let mut checks = Checks::new();
        password::check(&mut checks, "/newPassword", new.expose(), email);
        let changed = current.expose() != new.expose();
        checks.ensure(changed, "/newPassword", FieldCode::NotAllowed, "is the one you have");
        checks.finish()?;
        let account = accounts::for_sign_in_by_id(&self.db, cx, user).await?;
        let handle = self.db.system(cx, Reason::SignIn);
        if let Err(wrong) = self.prove(cx, email, account, current).await {
            if cx.idempotency().is_some() {
                // It may be wrong because this very request has changed it before: then its answer comes again.
                handle.begin().await?.rollback().await;
            }
            return Err(wrong);
        }
        let hash = self.passwords.hash(cx, new).await?;

        let mut tx = handle.begin().await?;
        accounts::set_password(&mut tx, user, &hash, cx.now()).await?;
        let ended = sessions::end_all(&mut tx, user, Some(session), SessionEnd::Password, cx.now()).await?;
        let told = UserUpdated {
            user_id: user,
            tenant_id: cx.tenant()?,
            state: MemberState::Active,
            changed: &["password"],
        };
        tx.event(told.event()?)?;
        tx.audit(Audit::new("user.password_changed", "user", user))?;
        let sessions_ended = i64::try_from(ended.len()).unwrap_or(i64::MAX);
        let out = tx.commit(SessionsEndedOut { sessions_ended }).await?;
        ended.into_iter().for_each(|session| self.memory.changed(Subject::Session(session)));
        Ok(out)
    }
}
