//! notify: telling people, by mail and in their inbox; the sandbox's outbox; live data over the websocket. See README.md
//! for its words and invariants.

#![forbid(unsafe_code)]

mod delivery;
mod events;
mod http;
mod mail;
mod model;
mod pace;
mod service;
mod store;
mod tasks;
mod template;
mod ws;

use std::{
    sync::{Arc, Weak},
    time::Duration,
};

use fabric::{jobs::Jobs, log::EventLog, postgres::Database};
use kernel::{Clock, Id, SandboxName, Secret};
use lettre::message::Mailbox;
use ports::{
    BillingLink, DomainsLink, Hear, IamLink, KernelService, ModulesLink, Subscription, Task,
    http::{CursorKey, ServiceRoutes},
};

pub use service::seed::SeedMessage;

/// The service's name.
const NAME: &str = "notify";

/// Kinds of what this service identifies.
pub mod kind {
    /// A notification, and its entry in an inbox.
    #[derive(Debug, Clone, Copy)]
    pub enum Notification {}
    /// A template.
    #[derive(Debug, Clone, Copy)]
    pub enum Template {}
    /// A mail in the outbox.
    #[derive(Debug, Clone, Copy)]
    pub enum OutboxMail {}
}

/// A notification, and its entry in an inbox.
pub type NotificationId = Id<kind::Notification>;
/// A template.
pub type TemplateId = Id<kind::Template>;
/// A mail in the outbox.
pub type OutboxMailId = Id<kind::OutboxMail>;

/// What the service stands on.
pub struct NotifyDeps {
    /// The sandbox's data.
    pub db: Database,
    /// Its log, which websockets follow.
    pub log: Arc<dyn EventLog>,
    /// Who a recipient is, and whose a token.
    pub iam: IamLink,
    /// Which modules a tenant has.
    pub modules: ModulesLink,
    /// Which tenant a host names.
    pub domains: DomainsLink,
    /// Which tenants are closed.
    pub billing: BillingLink,
    /// Signs places in lists.
    pub cursor: CursorKey,
    /// The sandbox.
    pub sandbox: SandboxName,
    /// Its clock.
    pub clock: Clock,
    /// The sandbox's own address, without a slash at the end: links of mails begin with it.
    pub public_url: String,
    /// Where mail goes, and how.
    pub mail: MailSettings,
}

/// Where mail goes, and how.
#[derive(Debug, Clone)]
pub struct MailSettings {
    /// The server; without one nothing leaves.
    pub server: Option<Secret>,
    /// The sender; `no-reply` at the public address's host unless said.
    pub from: Option<String>,
    /// The time for each attempt.
    pub timeout: Duration,
}

impl Default for MailSettings {
    fn default() -> Self {
        Self { server: None, from: None, timeout: Duration::from_secs(10) }
    }
}

/// The service.
pub struct Notify {
    me: Weak<Self>,
    db: Database,
    iam: IamLink,
    cursor: CursorKey,
    public_url: Arc<str>,
    from: Mailbox,
    smtp: Option<mail::smtp::Smtp>,
    pace: pace::Pace,
    sockets: Arc<ws::Sockets>,
}

impl Notify {
    /// The service; nothing runs yet.
    ///
    /// # Errors
    /// `internal` with a sentence when the mail server's address or the sender's is not usable.
    pub fn create(deps: NotifyDeps) -> kernel::Result<Arc<Self>> {
        let smtp = deps.mail.server.as_ref().map(|url| mail::smtp::Smtp::new(url, deps.mail.timeout));
        let smtp = smtp.transpose().map_err(kernel::Error::internal)?;
        let from = mail::sender(deps.mail.from.as_deref(), &deps.public_url);
        let from = from.map_err(kernel::Error::internal)?;
        let sockets = ws::Sockets::new(ws::SocketsDeps {
            db: deps.db.clone(),
            log: deps.log,
            iam: deps.iam.clone(),
            modules: deps.modules,
            domains: deps.domains,
            billing: deps.billing,
            sandbox: deps.sandbox,
            clock: deps.clock,
        });
        Ok(Arc::new_cyclic(|me| Self {
            me: me.clone(),
            db: deps.db,
            iam: deps.iam,
            cursor: deps.cursor,
            public_url: deps.public_url.into(),
            from,
            smtp,
            pace: pace::Pace::new(model::MOST_PER_SECOND),
            sockets,
        }))
    }

    /// What this service does for durable jobs.
    pub fn jobs(self: &Arc<Self>, jobs: Jobs) -> Jobs {
        delivery::jobs(&self.me, jobs)
    }
}

impl KernelService for Notify {
    fn name(&self) -> &'static str {
        NAME
    }

    fn routes(&self) -> ServiceRoutes {
        let me = self.me.upgrade().expect("because `self` is borrowed from the Arc that `create` made");
        http::routes(me)
    }

    fn subscriptions(&self) -> Vec<Subscription> {
        let db = self.db.clone();
        let hear: Hear = Arc::new(move |cx, event| {
            let db = db.clone();
            Box::pin(async move {
                match event.tenant_id {
                    Some(tenant) => store::purge::tenant(&db, &cx, tenant).await,
                    None => Ok(()),
                }
            })
        });
        vec![Subscription { name: "notify.purged-tenants", types: &["auth.tenant.purged"], hear }]
    }

    fn tasks(&self) -> Vec<Task> {
        tasks::tasks(&self.db, &self.sockets)
    }
}
