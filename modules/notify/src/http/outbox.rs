//! The sandbox's outbox.

use kernel::{Slug, TenantId, Timestamp};
use ports::http::{Access, Cx, One, Operation, Page, Path, Query, Result, Routes, State};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Notifier;
use crate::{OutboxMailId, model::OutboxState};

/// A mail that left the sandbox, or would have.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct OutboxMailOut {
    /// Its id; of a tenant's notification that one's.
    pub id: OutboxMailId,
    /// Whose it is; null for mails to accounts, which belong to no tenant.
    pub tenant_id: Option<TenantId>,
    /// The recipient's address.
    pub to: String,
    /// The subject.
    pub subject: String,
    /// The template it was made from.
    pub template: Option<String>,
    /// Whether only the recipient and the operator may read it.
    pub private: bool,
    /// What became of it.
    pub status: OutboxState,
    /// Attempts to hand it to a server.
    pub attempts: i16,
    /// What the last one failed by.
    pub error: Option<String>,
    /// When it was written.
    pub created_at: Timestamp,
    /// Its headers as they are sent, where one mail was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub headers: Option<Vec<HeaderOut>>,
    /// Its text, where one mail was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// Its HTML, where one mail was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub html: Option<String>,
}

/// A header of a mail.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct HeaderOut {
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: String,
}

/// Which mails, and which page of them.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct OutboxQuery {
    /// To this address only.
    pub to: Option<String>,
    /// Entries a page, 1 to 100; 20 unless said.
    #[schemars(range(min = 1, max = 100))]
    pub limit: Option<u16>,
    /// The `meta.cursor` of the page before.
    pub cursor: Option<String>,
}

const SEE: Access = Access::OperatorOr("notifications.read");

pub(super) fn add(routes: Routes<Notifier>) -> Routes<Notifier> {
    const WHO: &str = "Without a mail server nothing leaves the sandbox: each mail lies here. With one a copy does. The \
                       operator sees all mails, others those of their tenant. A mail whose link is a credential is \
                       `private`: a verification mail is shown to its signed-in recipient and the operator, a reset mail to \
                       the operator alone; when it really left, its copy holds no link.";
    routes
        .add(
            Operation::get("/sandbox/outbox", "listOutbox", SEE)
                .summary("List mails of the sandbox, newest first")
                .description(WHO)
                .query::<OutboxQuery>()
                .lists::<OutboxMailOut>()
                .problems(&[Slug::InvalidCursor]),
            list,
        )
        .add(
            Operation::get("/sandbox/outbox/{id}", "getOutboxMail", SEE)
                .summary("Read a mail of the sandbox: headers, text, HTML")
                .description(WHO)
                .answer::<OutboxMailOut>(200),
            get,
        )
}

async fn list(
    State(notify): State<Notifier>,
    Cx(cx): Cx,
    Query(query): Query<OutboxQuery>,
) -> Result<Page<OutboxMailOut>> {
    Ok(notify.outbox(&cx, &query).await?)
}

async fn get(
    State(notify): State<Notifier>,
    Cx(cx): Cx,
    Path(id): Path<OutboxMailId>,
) -> Result<One<OutboxMailOut>> {
    Ok(One::new(notify.outbox_mail(&cx, id).await?))
}
