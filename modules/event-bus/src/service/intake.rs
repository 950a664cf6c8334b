use fabric::log::kafka::FROM_KAFKA;
use kernel::{Actor, BadName, Caller, Ctx, DomainEvent, Error, FieldCode, ModuleSlug, Result};

use crate::{EventBus, http::events::PublishIn, store};

/// Under which name the events that came in are noted.
const INTAKE: &str = "event-bus.intake";
/// Most characters of what an outsider says of itself.
const MOST_SOURCE: usize = 100;

impl EventBus {
    /// Takes in an event that an outsider put into a module's topic at Kafka: as if the module had published it, under
    /// the id that it came with. False: it was taken in before, or is one of our own. `cx` is within the event's tenant.
    ///
    /// # Errors
    /// validation-error, event-not-declared, payload-too-large: it can't be used.
    pub async fn take_in(&self, cx: &Ctx, event: DomainEvent) -> Result<bool> {
        let domain = event.kind.split('.').next().unwrap_or_default();
        let wrong = |error: BadName| Error::field("/type", FieldCode::InvalidFormat, error.to_string());
        let slug: ModuleSlug = domain.parse().map_err(wrong)?;
        let cx = cx.with_caller(Caller {
            tenant: Some(cx.tenant()?),
            actor: Actor::Module { slug, on_behalf_of: None },
            permissions: Default::default(),
        });
        let said: String = event.source.chars().take(MOST_SOURCE).collect();
        let source = format!("{FROM_KAFKA}{}", if said.is_empty() { domain } else { &said });
        let publish = PublishIn {
            kind: event.kind,
            data: event.data,
            key: Some(event.key).filter(|key| !key.is_empty()),
            schema_version: Some(event.schema_version).filter(|version| !version.is_empty()),
        };
        let mut drafts = self.drafts(&cx, vec![(String::new(), publish)]).await?;
        for draft in &mut drafts {
            draft.known = Some((event.id, source.clone()));
        }
        let mut tx = self.db.tenant(&cx)?.begin().await?;
        if !tx.first_time(INTAKE, event.id).await? || store::is_known(&mut tx, event.id).await? {
            tx.rollback().await;
            return Ok(false);
        }
        self.queue(&mut tx, drafts).await?;
        tx.commit(true).await
    }
}
