use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The kind of the job that notify does for a [`Mail`].
pub const MAIL_JOB: &str = "notify.mail";

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
