//! Domains that the tenant added.

use std::sync::Arc;

use kernel::{Slug, Timestamp};
use ports::http::{
    Access, Body, Created, Cx, NoContent, One, Operation, Page, Path, Query, Result, Routes, State,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{DomainResolver, registry::DomainId, store::Status};

/// A domain to be added.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct DomainIn {
    /// The name of a host, like `app.example.com`; letters beyond ASCII are taken, too.
    pub hostname: String,
}

/// A domain.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct DomainOut {
    /// Its id.
    pub id: DomainId,
    /// The hostname in its one form: lower case, punycode.
    pub hostname: String,
    /// How it stands.
    pub status: Status,
    /// What the proof carries; no secret.
    pub verification_token: String,
    /// What its owner enters at the name's provider.
    pub instructions: Instructions,
    /// The last look for the proof.
    pub last_look: Option<Look>,
    /// When it was added.
    pub created_at: Timestamp,
    /// While it is pending: until when the proof is looked for, every 30 s.
    pub looked_for_until: Option<Timestamp>,
    /// When it was verified.
    pub verified_at: Option<Timestamp>,
}

/// What the name's owner enters at its provider.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Instructions {
    /// The proof that the name is the tenant's.
    pub proof: Record,
    /// What makes the name lead here.
    pub route: Record,
}

/// A record of DNS.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Record {
    /// `TXT`, `CNAME`, `A` or `AAAA`.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// At which name.
    pub name: String,
    /// What it says.
    pub value: String,
}

/// A look for the proof.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Look {
    /// When.
    pub at: Timestamp,
    /// What was missing; null when the proof was there.
    pub missing: Option<String>,
}

/// The page wanted.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct DomainsQuery {
    /// Entries a page, 1 to 100; 20 unless said.
    #[schemars(range(min = 1, max = 100))]
    pub limit: Option<u16>,
    /// The `meta.cursor` of the page before.
    pub cursor: Option<String>,
}

const READ: Access = Access::Permission("domains.read");
const CONFIGURE: Access = Access::Permission("domains.configure");

type Resolver = Arc<DomainResolver>;

pub(super) fn add(routes: Routes<Resolver>) -> Routes<Resolver> {
    routes
        .add(
            Operation::get("/domains", "listDomains", READ)
                .summary("List the domains that the tenant added, by name")
                .query::<DomainsQuery>()
                .lists::<DomainOut>()
                .problems(&[Slug::InvalidCursor]),
            list,
        )
        .add(
            Operation::post("/domains", "addDomain", CONFIGURE)
                .summary("Add a domain")
                .description(
                    "Enter the TXT record of `instructions.proof` at the name's provider: it is looked for every 30 s, for \
                     72 hours. From then on the name leads to the tenant, if `instructions.route` is entered, too. A name \
                     belongs to one tenant in the whole installation.",
                )
                .body::<DomainIn>()
                .answer::<DomainOut>(201)
                .problems(&[Slug::AlreadyExists, Slug::LimitExceeded])
                .example(r#"{"hostname":"app.customer.example"}"#),
            create,
        )
        .add(
            Operation::get("/domains/{id}", "getDomain", READ)
                .summary("Get a domain")
                .answer::<DomainOut>(200),
            get,
        )
        .add(
            Operation::post("/domains/{id}/verify", "verifyDomain", CONFIGURE)
                .summary("Look for a domain's proof now")
                .description("`lastLook` says what is missing. A domain that failed may be looked at again.")
                .answer::<DomainOut>(200),
            verify,
        )
        .add(
            Operation::delete("/domains/{id}", "deleteDomain", CONFIGURE)
                .summary("Remove a domain; its name leads here no more"),
            delete,
        )
}

async fn list(
    State(resolver): State<Resolver>,
    Cx(cx): Cx,
    Query(query): Query<DomainsQuery>,
) -> Result<Page<DomainOut>> {
    Ok(resolver.domains(&cx, &query).await?)
}

async fn create(
    State(resolver): State<Resolver>,
    Cx(cx): Cx,
    Body(new): Body<DomainIn>,
) -> Result<Created<DomainOut>> {
    Ok(Created(resolver.add_domain(&cx, new).await?))
}

async fn get(
    State(resolver): State<Resolver>,
    Cx(cx): Cx,
    Path(id): Path<DomainId>,
) -> Result<One<DomainOut>> {
    Ok(One::new(resolver.domain(&cx, id).await?))
}

async fn verify(
    State(resolver): State<Resolver>,
    Cx(cx): Cx,
    Path(id): Path<DomainId>,
) -> Result<One<DomainOut>> {
    Ok(One::new(resolver.verify(&cx, id).await?))
}

async fn delete(State(resolver): State<Resolver>, Cx(cx): Cx, Path(id): Path<DomainId>) -> Result<NoContent> {
    resolver.remove_domain(&cx, id).await?;
    Ok(NoContent)
}
