use fabric::{jobs::enqueue, postgres::Audit};
use kernel::{Ctx, Error, Result, Slug, Timestamp};
use ports::http::{Page, page_size};

use crate::{
    DomainResolver,
    events::Told,
    hostname::{self, PROOF_LABEL},
    http::domains::{DomainIn, DomainOut, DomainsQuery, Instructions, Look, Record},
    jobs,
    registry::DomainId,
    store::{self, DomainRow, Status},
};

/// How long the proof is looked for.
const LOOKED_FOR: std::time::Duration = std::time::Duration::from_secs(72 * 3600);

/// The place of the list; also in its cursors.
const LIST: &str = "domains";

pub(super) const ENTITY: &str = "domain";

/// What stands at the proof's place.
pub(super) fn proof(token: &str) -> String {
    format!("verify-{token}")
}

/// The proof's place.
pub(super) fn place(hostname: &str) -> String {
    format!("{PROOF_LABEL}.{hostname}")
}

impl DomainResolver {
    /// Adds a domain, whose proof is looked for from now on.
    ///
    /// Errors: validation-error, already-exists, limit-exceeded.
    pub(crate) async fn add_domain(&self, cx: &Ctx, new: DomainIn) -> Result<DomainOut> {
        let hostname = hostname::read(&new.hostname, &self.own)?;
        let mut tx = self.db.tenant(cx)?.begin().await?;
        // Only a name that was shown to be somebody's is taken: asking for one must not keep its owner from it.
        if self.hostnames.is_taken(&hostname, cx.tenant()?).await? {
            let text = format!("{hostname} belongs to another tenant of this installation.");
            return Err(Error::new(Slug::AlreadyExists, text));
        }
        let token = cx.random::<16>().iter().fold(String::new(), |text, byte| format!("{text}{byte:02x}"));
        let row = store::insert(&mut tx, &hostname, &token, cx.now().plus(LOOKED_FOR)).await?;
        enqueue(&mut tx, jobs::look(cx, row.id)?).await?;
        tx.event(Told::Added.of(&row)?)?;
        let out = self.out(row);
        tx.audit(Audit::new("domain.hostname.added", ENTITY, out.id).after(&out))?;
        tx.commit(out).await
    }

    /// One domain.
    ///
    /// Errors: not-found.
    pub(crate) async fn domain(&self, cx: &Ctx, id: DomainId) -> Result<DomainOut> {
        store::get(&self.db, cx, id).await?.map(|row| self.out(row)).ok_or_else(unknown)
    }

    /// Domains by name.
    ///
    /// Errors: invalid-cursor.
    pub(crate) async fn domains(&self, cx: &Ctx, query: &DomainsQuery) -> Result<Page<DomainOut>> {
        let most = page_size(query.limit)?;
        let tenant = cx.tenant().ok();
        let after =
            query.cursor.as_deref().map(|cursor| self.cursor.read(tenant, LIST, cursor)).transpose()?;
        let rows = store::list(&self.db, cx, after, most + 1).await?;
        let place = |last: &DomainRow| self.cursor.write(tenant, LIST, &last.hostname);
        Ok(Page::cut(rows, most, place).map(|row| self.out(row)))
    }

    /// Removes a domain. Its hostname leads nowhere from then on, and may be added by anybody.
    ///
    /// Errors: not-found.
    pub(crate) async fn remove_domain(&self, cx: &Ctx, id: DomainId) -> Result<()> {
        let mut tx = self.db.tenant(cx)?.begin().await?;
        let row = store::lock(&mut tx, id).await?.ok_or_else(unknown)?;
        store::delete(&mut tx, id).await?;
        // If the process ends before the next step, the job does it.
        enqueue(&mut tx, jobs::release(cx, id)?).await?;
        tx.event(Told::Removed.of(&row)?)?;
        tx.audit(Audit::new("domain.hostname.removed", ENTITY, id).before(&self.out(row)))?;
        tx.commit(()).await?;
        if let Err(error) = self.hostnames.release(id).await {
            tracing::warn!(?error, "a removed hostname is given up a moment later");
        }
        Ok(())
    }

    pub(super) fn out(&self, row: DomainRow) -> DomainOut {
        let proof = Record { kind: "TXT", name: place(&row.hostname), value: proof(&row.token) };
        let kind = match self.target.parse::<std::net::IpAddr>() {
            Ok(std::net::IpAddr::V4(_)) => "A",
            Ok(std::net::IpAddr::V6(_)) => "AAAA",
            Err(_) => "CNAME",
        };
        let route = Record { kind, name: row.hostname.clone(), value: self.target.clone() };
        DomainOut {
            id: row.id,
            hostname: row.hostname,
            status: row.status,
            verification_token: row.token,
            instructions: Instructions { proof, route },
            last_look: row.seen_at.map(|at: Timestamp| Look { at, missing: row.seen }),
            created_at: row.created_at,
            looked_for_until: (row.status == Status::Pending).then_some(row.ends_at),
            verified_at: row.verified_at,
        }
    }
}

pub(super) fn unknown() -> Error {
    Error::not_found("domain")
}
