//! Who can sign in to a sandbox that was just made: the people of the demo, or the owner of an empty platform.

use std::sync::Arc;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use fabric::{crypto::RootKey, postgres::Logins};
use gateway::DemoSignIn;
use kernel::{
    Result, SandboxName, Secret,
    config::{Config, Template},
};

use crate::{cell::Cell, control::SandboxRow, error::OpenError, estate::Estate, seed::Seed};

/// The demo's published password, good on loopback.
const DEMO_PASSWORD: &str = "Sandbox2026!";

/// What the link into the log carries, by which a stranger becomes the owner of the process's own sandbox. It follows from
/// the sandbox's key, so that every replica prints and takes the same one, and a sandbox that is reset another. None for
/// all other sandboxes, and where the template brings an owner.
pub(crate) fn set_up_token(row: &SandboxRow, key: &RootKey) -> Option<Secret> {
    let is_empty = row.name == SandboxName::default_sandbox().as_str() && row.template == "empty";
    is_empty.then(|| Secret::new(format!("su_{}", URL_SAFE_NO_PAD.encode(key.derive(&["set up"])))))
}

/// Refuses an owner whom iam would not take, before anything is made.
pub(crate) fn check_owner(config: &Config) -> Result<(), OpenError> {
    let Some(owner) = config.owner.as_ref().filter(|_| config.template == Template::Empty) else {
        return Ok(());
    };
    iam::check_owner(&owner.email, &owner.password).map_err(|error| {
        let wrong = error.field_errors().first();
        OpenError::Owner {
            name: match wrong.map(|wrong| wrong.field.as_str()) {
                Some("/email") => "KERNEL_OWNER_EMAIL",
                _ => "KERNEL_OWNER_PASSWORD",
            },
            why: wrong.map_or_else(|| error.detail().to_owned(), |wrong| wrong.message.clone()),
        }
    })
}

impl Estate {
    /// Sees to it that an empty platform gets its owner: the one of the settings, or else whoever follows the link that
    /// is told to the log.
    pub(crate) async fn see_to_owner(&self, cell: &Cell) -> Result<()> {
        let iam = &cell.services().iam;
        if iam.set_up_token().is_none() {
            return Ok(());
        }
        let cx = cell.cx("sandbox");
        if let Some(owner) = &self.options.config.owner {
            if iam.set_up_owner(&cx, &owner.email, &owner.password).await? {
                tracing::info!(email = owner.email, "the platform has its owner");
            }
        } else if let Some(link) = self.set_up_link(cell).await? {
            tracing::warn!("nobody owns this platform yet; whoever opens this link first does: {link}");
        }
        Ok(())
    }

    /// Where a stranger becomes the owner of the sandbox; None once it has one.
    async fn set_up_link(&self, cell: &Cell) -> Result<Option<String>> {
        let iam = &cell.services().iam;
        let Some(token) = iam.set_up_token() else { return Ok(None) };
        if iam.has_platform(&cell.cx("sandbox")).await? {
            return Ok(None);
        }
        let public = self.options.public_url.trim_end_matches('/');
        // In the fragment: browsers send it to no server.
        Ok(Some(format!("{public}/set-up#token={}", token.expose())))
    }

    /// How people get into the default sandbox, in a few words; None where only they know.
    ///
    /// # Errors
    /// What the database says.
    pub async fn way_in(self: &Arc<Self>) -> Result<Option<String>> {
        match (&self.options.config.template, &self.options.config.owner) {
            (Template::Demo, _) => Ok(Some(self.demo_sign_in())),
            (Template::Empty, Some(owner)) => {
                Ok(Some(format!("{} (Owner); the first password is that of the settings", owner.email)))
            }
            (Template::Empty, None) => {
                let cell = self.cell(&SandboxName::default_sandbox()).await?;
                Ok(self.set_up_link(&cell).await?.map(|link| format!("become the owner: {link}")))
            }
            (Template::File(_), _) => Ok(None),
        }
    }

    fn is_demo_published(&self) -> bool {
        let config = &self.options.config;
        config.listen.host.is_loopback() || config.demo_on_network
    }

    /// The password of the demo's users: the published one, or off loopback one of this installation's own.
    pub(crate) fn demo_password(&self) -> Secret {
        if self.is_demo_published() {
            return Secret::new(DEMO_PASSWORD);
        }
        let bytes = self.installation.key().derive(&["demo password"]);
        Secret::new(bytes.iter().take(12).fold(String::new(), |text, byte| format!("{text}{byte:02x}")))
    }

    /// A password of this installation's own is told once, at its first start.
    fn demo_sign_in(&self) -> String {
        let told = if self.is_demo_published() || self.first.load(std::sync::atomic::Ordering::Relaxed) {
            self.demo_password().expose().to_owned()
        } else {
            "as told at the first start".to_owned()
        };
        format!("admin@sandbox.localhost (Owner), dev@ (Admin), viewer@ (Member), password {told}")
    }

    /// Whom the console offers to be with one click: the people of a demo whose password is the published one.
    pub(crate) fn demo_people(&self, row: &SandboxRow) -> Option<DemoSignIn> {
        if row.template != "demo" || !self.is_demo_published() {
            return None;
        }
        let people = Seed::demo_people().to_vec();
        Some(DemoSignIn { password: DEMO_PASSWORD.to_owned(), people })
    }

    /// Off loopback, the demo's users get a password that is not published.
    pub(crate) async fn close_demo(
        self: &Arc<Self>,
        row: &SandboxRow,
        name: &SandboxName,
    ) -> Result<(), OpenError> {
        if row.template != "demo" || self.is_demo_published() {
            return Ok(());
        }
        let logins = Logins::new(name, self.sandbox_key(row));
        let cell = self.cell_on(&name.database(), name, row, logins, self.blobs_of(row)?).await?;
        let (cx, password) = (cell.cx("sandbox"), self.demo_password());
        let mut done = Ok(());
        for email in Seed::named("demo")?.map(|seed| seed.emails()).unwrap_or_default() {
            done = done.and(cell.services().iam.set_password(&cx, &email, &password).await);
        }
        cell.close().await;
        Ok(done?)
    }
}
