use fabric::log::{Cursor, KERNEL_TOPICS, PARTITIONS, Read};
use kernel::{Ctx, DomainEvent, Error, FieldCode, Result, Timestamp};
use ports::{
    ModuleSnapshot,
    http::{Page, PageMeta, page_size},
};

use crate::{
    EventBus,
    http::{
        schemas::SchemaOut,
        topics::{MessagesQuery, TopicConfigOut, TopicOut, TopicSchemaOut},
    },
    model::{self, MOST_BYTES},
    offset, store,
};

/// A tenant has at most this many schemas, so a topic's are one page.
const ALL_SCHEMAS: usize = 2000;

impl EventBus {
    /// The topics that exist for the tenant: the kernel's, and one of each installed module.
    pub(crate) async fn topics(&self, cx: &Ctx) -> Result<Page<TopicOut>> {
        let tenant = cx.tenant()?;
        let modules = self.modules.snapshot(cx).await?;
        let kernels =
            KERNEL_TOPICS.iter().map(|word| TopicOut::new(format!("platform.{word}.events"), "kernel", &[]));
        let installed = modules.installed.get(&tenant).into_iter().flatten();
        let own = installed.filter_map(|slug| modules.modules.get(slug)).map(|module| {
            TopicOut::new(format!("platform.{}.events", module.slug), module.slug.as_str(), &module.publishes)
        });
        Ok(Page::whole(kernels.chain(own).collect()))
    }

    /// The schemas of a topic's types.
    ///
    /// Errors: not-found.
    pub(crate) async fn topic_schema(&self, cx: &Ctx, topic: String) -> Result<TopicSchemaOut> {
        self.existing(cx, &topic).await?;
        let rows = store::list(&self.db, cx, None, Some(&topic), None, ALL_SCHEMAS).await?;
        Ok(TopicSchemaOut { topic, schemas: rows.into_iter().map(SchemaOut::from).collect() })
    }

    /// How a topic is set up.
    ///
    /// Errors: not-found.
    pub(crate) async fn topic_config(&self, cx: &Ctx, topic: String) -> Result<TopicConfigOut> {
        let modules = self.existing(cx, &topic).await?;
        let owner = model::owner(cx.tenant()?, &modules, &topic).unwrap_or("kernel").to_owned();
        Ok(TopicConfigOut {
            partitions: PARTITIONS,
            retention_hours: model::retention_hours(&topic),
            ordering: "key",
            most_event_bytes: MOST_BYTES,
            owner,
            topic,
        })
    }

    async fn existing(&self, cx: &Ctx, topic: &str) -> Result<std::sync::Arc<ModuleSnapshot>> {
        let modules = self.modules.snapshot(cx).await?;
        match model::owner(cx.tenant()?, &modules, topic) {
            Some(_) => Ok(modules),
            None => Err(Error::not_found("topic")),
        }
    }

    /// The tenant's events of a topic from a place on. The cursor of the answer goes on behind them, also at the end,
    /// where what comes later will be found.
    ///
    /// Errors: not-found, event-not-declared (a module that declares none of it), invalid-cursor.
    pub(crate) async fn messages(
        &self,
        cx: &Ctx,
        topic: &str,
        query: &MessagesQuery,
    ) -> Result<Page<DomainEvent>> {
        let most = page_size(query.limit)?;
        let tenant = cx.tenant()?;
        let modules = self.modules.snapshot(cx).await?;
        let patterns = model::readable(cx.actor(), tenant, &modules, topic)?;
        let list = format!("topics/{topic}");
        let from = match query.from.as_deref() {
            None | Some("beginning") => Cursor::beginning(),
            Some("end") => self.log.head(cx, &patterns).await?,
            Some(text) => match text.parse::<chrono::DateTime<chrono::Utc>>() {
                Ok(at) => self.log.at_time(cx, &patterns, Timestamp::new(at)).await?,
                Err(_) => offset::open(self.db.key(), tenant, &list, text)?,
            },
        };
        let read = Read { patterns: &patterns, tenant: Some(tenant), from: &from, most };
        let batch = self.log.read(cx, read).await?;
        let cursor = offset::seal(self.db.key(), tenant, &list, &batch.next);
        let meta = PageMeta { cursor: Some(cursor), has_more: batch.more, total: None };
        Ok(Page { data: batch.events, meta })
    }
}

/// Reads where to go on in a subscription.
pub(super) fn exactly_one(timestamp: bool, offset: bool) -> Result<()> {
    match (timestamp, offset) {
        (true, false) | (false, true) => Ok(()),
        (false, false) => Err(Error::field("/offset", FieldCode::Required, "say a timestamp or an offset")),
        (true, true) => Err(Error::field(
            "/offset",
            FieldCode::NotAllowed,
            "say either a timestamp or an offset, not both",
        )),
    }
}
