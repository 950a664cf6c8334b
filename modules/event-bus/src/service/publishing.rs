use std::{collections::BTreeMap, sync::Arc};

use fabric::{
    log::topic_of,
    postgres::{Event, Tx},
};
use jsonschema::Validator;
use kernel::{Actor, Ctx, Error, EventId, FieldCode, Result, Slug};
use serde_json::Value;
use uuid::Uuid;

use crate::{
    EventBus,
    http::events::{PublishIn, PublishedBatchOut, PublishedOut},
    model::{self, MOST_BATCH, MOST_BYTES},
    store,
};

/// An event that may be published; its schema is not looked at yet.
pub(super) struct Draft {
    at: String,
    kind: String,
    key: String,
    version: Option<semver::Version>,
    data: Value,
    /// Of one that came from outside: the id under which it is known there, and who tells it.
    pub known: Option<(EventId, String)>,
}

impl EventBus {
    /// Publishes one event.
    ///
    /// Errors: validation-error, event-not-declared, payload-too-large.
    pub(crate) async fn publish(&self, cx: &Ctx, event: PublishIn) -> Result<PublishedOut> {
        let drafts = self.drafts(cx, vec![(String::new(), event)]).await?;
        let mut tx = self.db.tenant(cx)?.begin().await?;
        let mut published = self.queue(&mut tx, drafts).await?;
        let one =
            published.pop().ok_or_else(|| Error::internal("an event was published and is not there"))?;
        tx.commit(one).await
    }

    /// Publishes up to 500 events, all or none, in the order given.
    ///
    /// Errors: as [`EventBus::publish`].
    pub(crate) async fn publish_batch(&self, cx: &Ctx, events: Vec<PublishIn>) -> Result<PublishedBatchOut> {
        if events.is_empty() {
            return Err(Error::field("/events", FieldCode::TooShort, "takes at least one event"));
        }
        if events.len() > MOST_BATCH {
            let message = format!("takes at most {MOST_BATCH} events, got {}", events.len());
            return Err(Error::field("/events", FieldCode::TooLong, message));
        }
        let placed = events.into_iter().enumerate().map(|(index, event)| (format!("/events/{index}"), event));
        let drafts = self.drafts(cx, placed.collect()).await?;
        let mut tx = self.db.tenant(cx)?.begin().await?;
        let events = self.queue(&mut tx, drafts).await?;
        tx.commit(PublishedBatchOut { events }).await
    }

    pub(super) async fn drafts(&self, cx: &Ctx, events: Vec<(String, PublishIn)>) -> Result<Vec<Draft>> {
        let tenant = cx.tenant()?;
        let modules = self.modules.snapshot(cx).await?;
        events
            .into_iter()
            .map(|(at, event)| {
                model::check_type(&at, &event.kind)?;
                model::may_publish(cx.actor(), tenant, &modules, &event.kind)?;
                let version = event.schema_version.as_deref();
                let version =
                    version.map(|v| model::version(&format!("{at}/schemaVersion"), v)).transpose()?;
                if !event.data.is_object() {
                    let message = "is an object";
                    return Err(Error::field(format!("{at}/data"), FieldCode::InvalidFormat, message));
                }
                let key = model::key_of(&at, event.key, &event.data)?;
                // Without an entity the event stands alone, and waits for no other.
                let key = key.unwrap_or_else(|| EventId::new().to_string());
                Ok(Draft { at, kind: event.kind, key, version, data: event.data, known: None })
            })
            .collect()
    }

    /// Checks the data against registered schemas and leaves the events in the transaction.
    pub(super) async fn queue(&self, tx: &mut Tx, drafts: Vec<Draft>) -> Result<Vec<PublishedOut>> {
        let own = source_of(tx.cx());
        let mut types: Vec<&str> = drafts.iter().map(|draft| draft.kind.as_str()).collect();
        types.sort_unstable();
        types.dedup();
        let mut registered: BTreeMap<String, Vec<(String, Uuid)>> = BTreeMap::new();
        for row in store::versions(tx, &types).await? {
            registered.entry(row.kind).or_default().push((row.version, row.id));
        }
        let mut published = Vec::with_capacity(drafts.len());
        for draft in drafts {
            let versions = registered.get(&draft.kind).map(Vec::as_slice).unwrap_or_default();
            let (version, schema) = chosen(&draft, versions)?;
            let data = match schema {
                Some(id) => {
                    let validator = self.validator(tx, id).await?;
                    self.schemas.fit(validator, format!("{}/data", draft.at), draft.data).await?
                }
                None => draft.data,
            };
            let (known, source) = draft.known.unzip();
            let source = source.unwrap_or_else(|| own.clone());
            let mut event = Event::new(source, draft.kind.clone(), &draft.key, &data)
                .map_err(|error| too_large(error, &draft.at))?
                .version(version);
            if let Some(id) = known {
                event = event.known_as(id);
            }
            published.push(PublishedOut::queued(event.id(), topic_of(&draft.kind)));
            tx.event(event)?;
        }
        Ok(published)
    }

    async fn validator(&self, tx: &mut Tx, id: Uuid) -> Result<Arc<Validator>> {
        match self.schemas.kept(id) {
            Some(validator) => Ok(validator),
            None => self.schemas.keep(id, store::schema(tx, id).await?).await,
        }
    }
}

/// Which version the data has: the one named, else the newest registered one, else the first.
fn chosen(draft: &Draft, versions: &[(String, Uuid)]) -> Result<(String, Option<Uuid>)> {
    match (&draft.version, versions.last()) {
        (None, None) => Ok(("1.0.0".to_owned(), None)),
        (None, Some((version, id))) => Ok((version.clone(), Some(*id))),
        (Some(named), None) => Ok((named.to_string(), None)),
        (Some(named), Some(_)) => {
            let named = named.to_string();
            match versions.iter().find(|(version, _)| *version == named) {
                Some((version, id)) => Ok((version.clone(), Some(*id))),
                None => Err(Error::field(
                    format!("{}/schemaVersion", draft.at),
                    FieldCode::NotAllowed,
                    format!("is not a registered version of {}; register its schema first", draft.kind),
                )),
            }
        }
    }
}

/// Who tells it: the module by its name, anybody else by kind and id.
fn source_of(cx: &Ctx) -> String {
    match cx.actor() {
        Actor::Module { slug, .. } => slug.to_string(),
        other => other.name(),
    }
}

fn too_large(error: Error, at: &str) -> Error {
    if error.slug() != Slug::PayloadTooLarge {
        return error;
    }
    let field = kernel::FieldError::new(
        format!("{at}/data"),
        FieldCode::TooLong,
        format!("takes at most {MOST_BYTES} bytes; publish an id, and let hearers fetch the rest"),
    );
    error.with_fields(vec![field])
}
