use fabric::{jobs::enqueue, postgres::Audit};
use kernel::{Ctx, Result};

use super::domains::{ENTITY, place, proof, unknown};
use crate::{
    DomainResolver,
    events::Told,
    http::domains::DomainOut,
    jobs,
    registry::{Claim, DomainId},
    store::{self, DomainRow, Status},
};

/// Most characters of somebody else's text that are repeated.
const MOST_TEXT: usize = 100;

impl DomainResolver {
    /// Looks for the proof now.
    ///
    /// Errors: not-found.
    pub(crate) async fn verify(&self, cx: &Ctx, id: DomainId) -> Result<DomainOut> {
        let row = store::get(&self.db, cx, id).await?.ok_or_else(unknown)?;
        if row.status == Status::Verified {
            return Ok(self.out(row));
        }
        let missing = self.missing(&row).await;
        self.settle(cx, id, missing, false).await?.map(|row| self.out(row)).ok_or_else(unknown)
    }

    /// Looks for the proof, as it is done every 30 s; a durable job.
    pub(crate) async fn look_again(&self, cx: &Ctx, id: DomainId) -> Result<()> {
        let Some(row) = store::get(&self.db, cx, id).await? else { return Ok(()) };
        if row.status != Status::Pending {
            return Ok(());
        }
        let missing = self.missing(&row).await;
        self.settle(cx, id, missing, true).await.map(drop)
    }

    /// What is missing from the proof, as a sentence; none when it is there.
    async fn missing(&self, row: &DomainRow) -> Option<String> {
        let (place, wanted) = (place(&row.hostname), proof(&row.token));
        match self.dns.texts(&place).await {
            Ok(texts) if texts.iter().any(|text| text.trim() == wanted) => None,
            Ok(texts) => Some(match texts.first() {
                None => format!("There is no TXT record at {place} yet."),
                Some(other) => {
                    let other: String = other.chars().filter(|c| !c.is_control()).take(MOST_TEXT).collect();
                    format!(
                        "The TXT record at {place} says \u{201c}{other}\u{201d}, not \u{201c}{wanted}\u{201d}."
                    )
                }
            }),
            Err(error) => {
                tracing::debug!(%error, causes = error.causes(), place, "no answer about a domain");
                Some("The name server did not answer.".to_owned())
            }
        }
    }

    /// Notes what was seen and what follows from it. `None` when the domain is gone.
    async fn settle(
        &self,
        cx: &Ctx,
        id: DomainId,
        missing: Option<String>,
        goes_on: bool,
    ) -> Result<Option<DomainRow>> {
        let mut tx = self.db.tenant(cx)?.begin().await?;
        let Some(before) = store::lock(&mut tx, id).await? else { return Ok(None) };
        if before.status == Status::Verified {
            return tx.commit(Some(())).await.map(|_| Some(before));
        }
        let (status, seen) = match missing {
            // Whoever removes the domain meanwhile waits for the row, and so gives up what is claimed here.
            None if self.claim(cx, &before).await? => (Status::Verified, None),
            None => {
                let text = format!("{} belongs to another tenant of this installation.", before.hostname);
                (Status::Failed, Some(text))
            }
            Some(missing) if before.status == Status::Failed || cx.now() >= before.ends_at => {
                (Status::Failed, Some(missing))
            }
            Some(missing) => (Status::Pending, Some(missing)),
        };
        let row = store::see(&mut tx, id, status, seen.as_deref()).await?;
        if status == Status::Pending && goes_on {
            enqueue(&mut tx, jobs::look(cx, id)?).await?;
        }
        if status != before.status {
            let action = match status {
                Status::Verified => {
                    tx.event(Told::Verified.of(&row)?)?;
                    tx.event(Told::Activated.of(&row)?)?;
                    "domain.hostname.verified"
                }
                _ => {
                    tx.event(Told::Failed.of(&row)?)?;
                    "domain.hostname.failed"
                }
            };
            let (before, after) = (self.out(before), self.out(row.clone()));
            tx.audit(Audit::new(action, ENTITY, id).before(&before).after(&after))?;
        }
        tx.commit(()).await?;
        Ok(Some(row))
    }

    async fn claim(&self, cx: &Ctx, row: &DomainRow) -> Result<bool> {
        let claim = Claim { id: row.id, hostname: row.hostname.clone(), tenant: cx.tenant()? };
        self.hostnames.claim(claim).await
    }
}
