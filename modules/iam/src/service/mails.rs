//! Mails that show whose an address is: verification, and a new password for whoever forgot it.
//!
//! Who asks for a mail is answered the same, after the same work, whether the address has an account or not: a durable job
//! looks the address up afterwards.

use std::{collections::BTreeMap, sync::Arc};

use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use fabric::{
    crypto::sha256,
    jobs::{Job, Jobs, NewJob, enqueue_as_system},
    postgres::{Audit, Reason, Tx},
};
use kernel::{Actor, Ctx, Error, FieldCode, Result, Secret, TenantId, UserId, check::Checks};
use ports::{Mail, PRIVATE_LINK, PRIVATE_MAIL_JOB, PrivateMail};
use serde::{Deserialize, Serialize};

use crate::{
    Iam,
    events::{Tell as _, UserUpdated},
    generations::Subject,
    http::auth::SessionsEndedOut,
    http::mails::{MailRequestedOut, RequestVerificationIn, ResetPasswordIn, VerifiedOut},
    model::{MOST_MAILS_AN_HOUR, MailPurpose, MemberState, SessionEnd, normal_email, password},
    store::{accounts, mail_tokens, sessions},
};

/// Somebody asked for a mail to an address.
const ASKED_JOB: &str = "iam.mail-asked";

/// The payload of [`ASKED_JOB`].
#[derive(Debug, Serialize, Deserialize)]
struct Asked {
    purpose: MailPurpose,
    email: String,
    locale: String,
    /// The person whose address it is, where they ask for themselves and are signed in.
    reader: Option<UserId>,
}

/// Who is written to.
pub(super) struct Recipient<'a> {
    pub user: UserId,
    pub email: &'a str,
    pub name: &'a str,
    /// The tenant in whose outbox the mail stands; an account belongs to none.
    pub tenant: Option<TenantId>,
    /// Who may read the mail there.
    pub reader: Option<UserId>,
}

/// What stands in a mail: 256 bits nobody can guess.
struct MailToken(String);

impl MailToken {
    fn make(cx: &Ctx, purpose: MailPurpose) -> Self {
        Self(format!("{}{}", purpose.prefix(), URL_SAFE_NO_PAD.encode(cx.random::<32>())))
    }

    fn hash(&self) -> [u8; 32] {
        sha256(&[self.0.as_bytes()])
    }

    /// As it comes back.
    fn read(text: &Secret, purpose: MailPurpose) -> Result<Self> {
        let text = text.expose();
        if text.len() != purpose.prefix().len() + 43 || !text.starts_with(purpose.prefix()) {
            return Err(spent());
        }
        Ok(Self(text.to_owned()))
    }
}

/// The same for a token that never was, was used or has ended.
fn spent() -> Error {
    let message = "is not good, or not any more: it was used, or its time is over; ask for another mail";
    Error::field("/token", FieldCode::NotAllowed, message)
}

impl Iam {
    /// Has a mail with a fresh token sent, if and when the transaction commits.
    pub(super) async fn send_token(
        &self,
        tx: &mut Tx,
        to: &Recipient<'_>,
        purpose: MailPurpose,
        locale: &str,
        asked_for: bool,
    ) -> Result<()> {
        let cx = tx.cx().clone();
        let token = MailToken::make(&cx, purpose);
        let ends = cx.now().plus(purpose.life());
        mail_tokens::add(tx, &token.hash(), to.user, purpose, asked_for, ends).await?;
        // In the fragment: browsers send it to no server, and no log or Referer shows it.
        let link = format!("{}#token={}", purpose.page(), token.0);
        let sealed = self.db.key().sealing(PRIVATE_LINK).seal(to.email.as_bytes(), link.as_bytes());
        let hours = purpose.life().as_secs() / 3600;
        let variables = BTreeMap::from([
            ("name".to_owned(), to.name.to_owned()),
            ("email".to_owned(), to.email.to_owned()),
            ("lifetime".to_owned(), if hours == 1 { "1 hour".to_owned() } else { format!("{hours} hours") }),
        ]);
        let mail = Mail {
            to: to.email.to_owned(),
            name: to.name.to_owned(),
            template: purpose.template().to_owned(),
            variables,
            locale: locale.to_owned(),
        };
        let mail = PrivateMail { mail, link: STANDARD.encode(sealed), reader: to.reader };
        let job = NewJob::new(PRIVATE_MAIL_JOB, &mail, cx.now())?;
        enqueue_as_system(tx, to.tenant, job).await.map(drop)
    }

    /// Asks for a verification mail: to the caller's own address, or to the one named.
    ///
    /// # Errors
    /// `validation-error` for what is no address, or when nobody is signed in and none is named.
    pub async fn request_verification(
        &self,
        cx: &Ctx,
        input: RequestVerificationIn,
    ) -> Result<MailRequestedOut> {
        let own = match cx.actor() {
            Actor::User { id, email, .. } => Some((*id, normal_email(email))),
            _ => None,
        };
        let named = input.email.as_deref().map(normal_email);
        let Some(email) = named.or_else(|| own.as_ref().map(|(_, email)| email.clone())) else {
            let message = "is needed unless you are signed in";
            return Err(Error::field("/email", FieldCode::Required, message));
        };
        let reader = own.filter(|(_, own)| *own == email).map(|(id, _)| id);
        self.ask(cx, MailPurpose::Verify, email, reader).await
    }

    /// Asks for a mail with which the password of an address can be set anew.
    ///
    /// # Errors
    /// `validation-error` for what is no address.
    pub async fn request_reset(&self, cx: &Ctx, email: &str) -> Result<MailRequestedOut> {
        // Nobody reads it in the outbox but the operator: a borrowed session must not become a password.
        self.ask(cx, MailPurpose::Reset, normal_email(email), None).await
    }

    async fn ask(
        &self,
        cx: &Ctx,
        purpose: MailPurpose,
        email: String,
        reader: Option<UserId>,
    ) -> Result<MailRequestedOut> {
        Checks::new().email("/email", &email).finish()?;
        // Of many requests for one address one waits at a time.
        let name = sha256(&[purpose.as_str().as_bytes(), b"\0", email.as_bytes()]);
        let tenant = if reader.is_some() { cx.tenant().ok() } else { None };
        let asked = Asked { purpose, email, locale: cx.locale().to_owned(), reader };
        let job = NewJob::new(ASKED_JOB, &asked, cx.now())?.named(URL_SAFE_NO_PAD.encode(name));
        let mut tx = self.db.system(cx, Reason::SignIn).begin().await?;
        enqueue_as_system(&mut tx, tenant, job).await?;
        tx.commit(MailRequestedOut { requested: true }).await
    }

    /// What was asked for, if the address has an account that has use for it.
    async fn answer_asked(&self, cx: &Ctx, job: &Job) -> Result<()> {
        let asked: Asked = job.payload()?;
        let mut tx = self.db.system(cx, Reason::SignIn).begin().await?;
        let Some(person) = mail_tokens::lock_recipient(&mut tx, &asked.email).await? else { return Ok(()) };
        let needless = asked.purpose == MailPurpose::Verify && person.verified;
        let recent = mail_tokens::asked_last_hour(&mut tx, person.user_id, asked.purpose).await?;
        if needless || recent >= MOST_MAILS_AN_HOUR {
            return Ok(());
        }
        let to = Recipient {
            user: person.user_id,
            email: &person.email,
            name: &person.name,
            tenant: job.tenant,
            reader: asked.reader.filter(|reader| *reader == person.user_id),
        };
        self.send_token(&mut tx, &to, asked.purpose, &asked.locale, true).await?;
        tx.commit(()).await
    }

    /// What this service does for durable jobs.
    pub fn jobs(self: &Arc<Self>, jobs: Jobs) -> Jobs {
        let iam = Arc::downgrade(self);
        jobs.on(ASKED_JOB, move |cx, job| {
            let iam = iam.upgrade();
            async move {
                match iam {
                    Some(iam) => iam.answer_asked(&cx, &job).await,
                    None => Err(Error::internal("the service has ended")),
                }
            }
        })
    }

    /// Takes the token of a verification mail: the address is its account's.
    ///
    /// # Errors
    /// `validation-error` for a token that is not good any more.
    pub async fn verify_email(&self, cx: &Ctx, token: &Secret) -> Result<VerifiedOut> {
        let mut tx = self.db.system(cx, Reason::SignIn).begin().await?;
        let hash = MailToken::read(token, MailPurpose::Verify)?.hash();
        let user = mail_tokens::take(&mut tx, &hash, MailPurpose::Verify, cx.now()).await?;
        let user = user.ok_or_else(spent)?;
        accounts::verify(&mut tx, user, cx.now()).await?;
        let tenants = tell_tenants(&mut tx, user, &["emailVerified"], "user.email_verified").await?;
        let out = tx.commit(VerifiedOut { email_verified: true }).await?;
        self.person_changed(user, &tenants);
        Ok(out)
    }

    /// Sets the password anew with the token of a mail and ends all of the person's sessions. Whoever read the mail owns
    /// the address, so it is verified, too.
    ///
    /// # Errors
    /// `validation-error` for a token that is not good any more, or for the password; `rate-limited` when the hash pool
    /// is full.
    pub async fn reset_password(&self, cx: &Ctx, input: ResetPasswordIn) -> Result<SessionsEndedOut> {
        let handle = self.db.system(cx, Reason::SignIn);
        let hash = MailToken::read(&input.token, MailPurpose::Reset)?.hash();
        let Some(person) = mail_tokens::holder(&self.db, cx, &hash, MailPurpose::Reset).await? else {
            if cx.idempotency().is_some() {
                // It may be spent because this very request has used it before: then its answer comes again.
                handle.begin().await?.rollback().await;
            }
            return Err(spent());
        };
        let mut checks = Checks::new();
        password::check(&mut checks, "/newPassword", input.new_password.expose(), &person.email);
        checks.finish()?;
        let password_hash = self.passwords.hash(cx, &input.new_password).await?;

        let mut tx = handle.begin().await?;
        let user = mail_tokens::take(&mut tx, &hash, MailPurpose::Reset, cx.now()).await?;
        let user = user.ok_or_else(spent)?;
        accounts::set_password(&mut tx, user, &password_hash, cx.now()).await?;
        accounts::verify(&mut tx, user, cx.now()).await?;
        let ended = sessions::end_all(&mut tx, user, None, SessionEnd::Password, cx.now()).await?;
        let changed: &[&str] = if person.verified { &["password"] } else { &["password", "emailVerified"] };
        let tenants = tell_tenants(&mut tx, user, changed, "user.password_reset").await?;
        let sessions_ended = i64::try_from(ended.len()).unwrap_or(i64::MAX);
        let out = tx.commit(SessionsEndedOut { sessions_ended }).await?;
        ended.into_iter().for_each(|session| self.memory.changed(Subject::Session(session)));
        self.person_changed(user, &tenants);
        Ok(out)
    }

    fn person_changed(&self, user: UserId, tenants: &[TenantId]) {
        tenants.iter().for_each(|tenant| self.memory.changed(Subject::Member(*tenant, user)));
    }
}

/// Tells of a change of an account in each of the person's tenants.
async fn tell_tenants(
    tx: &mut Tx,
    user: UserId,
    changed: &[&str],
    action: &'static str,
) -> Result<Vec<TenantId>> {
    let tenants = accounts::tenants_of(tx, user).await?;
    for tenant in &tenants {
        let told = UserUpdated { user_id: user, tenant_id: *tenant, state: MemberState::Active, changed };
        tx.event(told.event()?)?;
        tx.audit(Audit::new(action, "user", user).of(*tenant))?;
    }
    Ok(tenants)
}
