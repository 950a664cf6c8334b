use std::collections::BTreeMap;

use kernel::UserId;
use serde::{Deserialize, Serialize};

/// The kind of the job that notify does for a [`Mail`].
pub const MAIL_JOB: &str = "notify.mail";

/// The kind of the job that notify does for a [`PrivateMail`].
pub const PRIVATE_MAIL_JOB: &str = "notify.private-mail";

/// The use of the sandbox's key that seals the link of a [`PrivateMail`]; the address in `to` is bound in.
pub const PRIVATE_LINK: &str = "private-mail-link";

/// A mail that a service wants sent because of a change. It is enqueued as a durable job of kind [`MAIL_JOB`] in the
/// transaction of that change, so it goes out if and only if the change holds; notify does the job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Mail {
    /// The address it goes to.
    pub to: String,
    /// What the recipient is called.
    pub name: String,
    /// One of the kernel's own templates, `{service}.{what}`: `iam.verify-email`.
    pub template: String,
    /// What stands for the template's `{{variables}}`. Links are given as paths with their query; notify puts the
    /// sandbox's public address in front.
    pub variables: BTreeMap<String, String>,
    /// BCP 47 language.
    pub locale: String,
}

/// A mail whose link is a credential: whoever follows it is taken for the owner of the address. The link travels sealed,
/// so that neither the queue nor a copy of the sandbox holds it, and only few may read the mail in the sandbox's outbox.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PrivateMail {
    /// The mail; its variable `link` comes from here.
    pub mail: Mail,
    /// The link as a path, sealed under [`PRIVATE_LINK`], base64.
    pub link: String,
    /// Who may read the mail in the outbox beside the operator: its recipient, where they are signed in by another
    /// credential than the one that the link gives; nobody else where there is none.
    pub reader: Option<UserId>,
}
