//! The kernel's own mails: what services enqueue with their changes.

use std::time::{Duration, Instant};

use base64::{Engine, engine::general_purpose::STANDARD};
use fabric::{
    jobs::{Job, NewJob, enqueue_as_system},
    postgres::Reason,
};
use kernel::{Ctx, Error, Result, TenantId, UserId};
use ports::{Mail, PRIVATE_LINK, PrivateMail};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::MAIL_AGAIN_JOB;
use crate::{
    Notify, OutboxMailId,
    mail::{Envelope, compose, keep, kernel_templates::render},
    model::{OutboxState, schedule::pause_after},
    store::outbox::{self, NewOutboxMail},
};

/// The variable whose value is a path and becomes an absolute address.
const LINK: &str = "link";
/// The time for the statements of one delivery.
const STATEMENTS: Duration = Duration::from_secs(15);

/// A mail of either kind, on its way.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Letter {
    /// Its id in the outbox and its Message-ID: that of the job that brought it.
    id: Uuid,
    /// Attempts made so far.
    attempts: i16,
    mail: Mail,
    /// Of a private one.
    secret: Option<Secrecy>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Secrecy {
    /// The link, sealed.
    link: String,
    reader: Option<UserId>,
}

impl Notify {
    /// Sends a mail of another service.
    pub(super) async fn mail(&self, cx: &Ctx, job: &Job) -> Result<()> {
        let mail: Mail = job.payload()?;
        self.post(cx, job.tenant, Letter { id: job.id.uuid(), attempts: 0, mail, secret: None }).await
    }

    /// Sends a mail whose link is a credential.
    pub(super) async fn private_mail(&self, cx: &Ctx, job: &Job) -> Result<()> {
        let PrivateMail { mail, link, reader } = job.payload()?;
        let secret = Some(Secrecy { link, reader });
        self.post(cx, job.tenant, Letter { id: job.id.uuid(), attempts: 0, mail, secret }).await
    }

    /// Sends a mail that no server took so far.
    pub(super) async fn mail_again(&self, cx: &Ctx, job: &Job) -> Result<()> {
        self.post(cx, job.tenant, job.payload()?).await
    }

    async fn post(&self, cx: &Ctx, tenant: Option<TenantId>, mut letter: Letter) -> Result<()> {
        let Some(path) = self.path(&letter) else { return Ok(()) };
        let link = path.as_deref().map(|path| self.absolute(path));
        let words = render(&letter.mail.template, &letter.mail.variables, link.as_deref())?;
        let server = self.server(cx).await?;
        let id = OutboxMailId::from_uuid(letter.id);
        let envelope = Envelope {
            from: self.from.clone(),
            to: letter.mail.to.clone(),
            name: Some(letter.mail.name.clone()),
            id: letter.id,
            date: Self::date(cx, server.is_some()),
        };
        let message = compose(&envelope, &words)?;
        // The link of a mail that leaves is in that mail alone.
        let shown = match (&letter.secret, server, &path) {
            (Some(_), Some(_), Some(path)) => {
                let page = path.split(['#', '?']).next().unwrap_or_default();
                let hidden = format!("{}#token=\u{2026}", self.absolute(page));
                render(&letter.mail.template, &letter.mail.variables, Some(&hidden))?
            }
            _ => words,
        };
        let content = self.sealed(id, &keep(&message, &shown))?;
        let taken = match server {
            Some(server) => Some(server.send(message).await),
            None => None,
        };
        if taken.is_some() {
            letter.attempts += 1;
        }
        let pause = pause_after(letter.attempts, rand::random());
        let (state, error) = match &taken {
            None => (OutboxState::Captured, None),
            Some(Ok(())) => (OutboxState::Sent, None),
            Some(Err(refused)) if refused.for_good || pause.is_none() => {
                (OutboxState::Failed, Some(refused.why.as_str()))
            }
            Some(Err(refused)) => (OutboxState::Waiting, Some(refused.why.as_str())),
        };
        let cx = cx.until(Instant::now() + STATEMENTS);
        let mut tx = self.db.system(&cx, Reason::Jobs).begin().await?;
        let kept = NewOutboxMail {
            id,
            tenant,
            private: letter.secret.is_some(),
            reader: letter.secret.as_ref().and_then(|secret| secret.reader),
            address: &letter.mail.to,
            subject: &shown.subject,
            template: Some(&letter.mail.template),
            state,
            attempts: letter.attempts,
            error,
            content: &content,
        };
        outbox::keep(&mut tx, &kept).await?;
        match (state, pause) {
            (OutboxState::Waiting, Some(pause)) => {
                let job = NewJob::new(MAIL_AGAIN_JOB, &letter, cx.now().plus(pause))?;
                // By the mail's name: an attempt that is made twice goes on once.
                let job = job.named(format!("{}/{}", letter.id, letter.attempts));
                enqueue_as_system(&mut tx, tenant, job).await?;
            }
            (OutboxState::Failed, _) => tracing::warn!(
                mail = %id, template = letter.mail.template, error, "a mail of the kernel was taken by no server"
            ),
            _ => {}
        }
        tx.commit(()).await
    }

    /// The path of the mail's link: of a private one it is opened. None at all when it does not open: the mail is another
    /// sandbox's, of which this one is a copy, and is that one's to send.
    fn path(&self, letter: &Letter) -> Option<Option<String>> {
        let Some(secret) = &letter.secret else { return Some(letter.mail.variables.get(LINK).cloned()) };
        let opened = STANDARD
            .decode(&secret.link)
            .map_err(Error::internal)
            .and_then(|sealed| self.db.key().sealing(PRIVATE_LINK).open(letter.mail.to.as_bytes(), &sealed))
            .and_then(|path| String::from_utf8(path).map_err(Error::internal));
        match opened {
            Ok(path) => Some(Some(path)),
            Err(error) => {
                tracing::warn!(mail = %letter.id, ?error, "a private mail is not of this sandbox and is left");
                None
            }
        }
    }

    /// An address of this sandbox.
    fn absolute(&self, path: &str) -> String {
        format!("{}/{}", self.public_url, path.trim_start_matches('/'))
    }
}
