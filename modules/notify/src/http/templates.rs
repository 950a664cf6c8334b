//! Templates.

use kernel::{Slug, Timestamp};
use ports::http::{
    Access, Body, Created, Cx, IfMatch, NoContent, One, Operation, Page, Path, Query, Result, Routes, State,
};
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};

use super::Notifier;
use crate::{TemplateId, model::Channel};

/// A template to be added. Texts hold `{{variables}}`, also `{{order.total}}`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct TemplateIn {
    /// What it is called: `orders.shipped`. One for each channel and language.
    pub key: String,
    /// `email` or `in_app`.
    pub channel: String,
    /// The language; `en` unless said.
    pub locale: Option<String>,
    /// The first line; a mail needs one.
    pub subject: Option<String>,
    /// The text.
    pub body: String,
    /// HTML of a mail; made from the text unless given. Values are escaped in it.
    pub html: Option<String>,
}

/// A new version of a template; what is left out stays.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct TemplatePatch {
    /// The first line.
    pub subject: Option<String>,
    /// The text.
    pub body: Option<String>,
    /// HTML of a mail; null to have it made from the text.
    #[serde(default, deserialize_with = "given")]
    pub html: Option<Option<String>>,
}

/// Tells what is null from what is left out.
pub(super) fn given<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
    d: D,
) -> std::result::Result<Option<Option<T>>, D::Error> {
    Option::deserialize(d).map(Some)
}

/// A template.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct TemplateOut {
    /// Its id.
    pub id: TemplateId,
    /// What it is called.
    pub key: String,
    /// Its channel.
    pub channel: Channel,
    /// Its language.
    pub locale: String,
    /// The version of these words.
    pub version: i32,
    /// The first line.
    pub subject: String,
    /// The text.
    pub body: String,
    /// HTML of a mail.
    pub html: Option<String>,
    /// Who made this version.
    pub created_by: String,
    /// When the template was made.
    pub created_at: Timestamp,
    /// When this version was made.
    pub updated_at: Timestamp,
}

/// Which templates, and which page of them.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct TemplatesQuery {
    /// Of this key only.
    pub key: Option<String>,
    /// Entries a page, 1 to 100; 20 unless said.
    #[schemars(range(min = 1, max = 100))]
    pub limit: Option<u16>,
    /// The `meta.cursor` of the page before.
    pub cursor: Option<String>,
}

/// Which words.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct TemplateQuery {
    /// Of this version; of the newest unless said.
    pub version: Option<i32>,
}

/// What to fill in.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct PreviewIn {
    /// What stands for the variables.
    pub variables: Option<Map<String, Value>>,
    /// Of this version; of the newest unless said.
    pub version: Option<i32>,
}

/// What would be sent.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PreviewOut {
    /// The first line.
    pub subject: String,
    /// The text.
    pub text: String,
    /// The HTML of a mail.
    pub html: Option<String>,
    /// Variables without a value; they are empty.
    pub missing: Vec<String>,
}

const READ: Access = Access::Permission("notifications.read");
const CONFIGURE: Access = Access::Permission("notifications.configure");

pub(super) fn add(routes: Routes<Notifier>) -> Routes<Notifier> {
    routes
        .add(
            Operation::post("/notifications/templates", "createNotificationTemplate", CONFIGURE)
                .summary("Add a template")
                .body::<TemplateIn>()
                .answer::<TemplateOut>(201)
                .problems(&[Slug::AlreadyExists, Slug::LimitExceeded])
                .example(
                    r#"{"key":"orders.shipped","channel":"email","locale":"en","subject":"Your order, {{name}}","body":"Hello {{name}}, order {{order.number}} was shipped.","html":"<p>Hello {{name}}, order <b>{{order.number}}</b> was shipped.</p>"}"#,
                ),
            create,
        )
        .add(
            Operation::get("/notifications/templates", "listNotificationTemplates", READ)
                .summary("List templates, by key")
                .query::<TemplatesQuery>()
                .lists::<TemplateOut>()
                .problems(&[Slug::InvalidCursor]),
            list,
        )
        .add(
            Operation::get("/notifications/templates/{id}", "getNotificationTemplate", READ)
                .summary("Get a template, in the words of a version")
                .query::<TemplateQuery>()
                .answer::<TemplateOut>(200),
            get,
        )
        .add(
            Operation::patch("/notifications/templates/{id}", "updateNotificationTemplate", CONFIGURE)
                .summary("Make a new version of a template")
                .body::<TemplatePatch>()
                .answer::<TemplateOut>(200)
                .problems(&[Slug::PreconditionFailed])
                .example(r#"{"subject":"On its way, {{name}}"}"#),
            revise,
        )
        .add(
            Operation::delete("/notifications/templates/{id}", "deleteNotificationTemplate", CONFIGURE)
                .summary("Take a template away, with its versions"),
            delete,
        )
        .add(
            Operation::get("/notifications/templates/{id}/versions", "listNotificationTemplateVersions", READ)
                .summary("List the versions of a template, newest first; the last 100 are kept")
                .lists::<TemplateOut>(),
            versions,
        )
        .add(
            Operation::post("/notifications/templates/{id}/preview", "previewNotificationTemplate", READ)
                .summary("See what a template says with some variables")
                .harmless()
                .body::<PreviewIn>()
                .answer::<PreviewOut>(200)
                .example(r#"{"variables":{"name":"Ada"}}"#),
            preview,
        )
}

async fn create(
    State(notify): State<Notifier>,
    Cx(cx): Cx,
    Body(wish): Body<TemplateIn>,
) -> Result<Created<TemplateOut>> {
    Ok(Created(notify.create_template(&cx, wish).await?))
}

async fn list(
    State(notify): State<Notifier>,
    Cx(cx): Cx,
    Query(query): Query<TemplatesQuery>,
) -> Result<Page<TemplateOut>> {
    Ok(notify.templates(&cx, &query).await?)
}

async fn get(
    State(notify): State<Notifier>,
    Cx(cx): Cx,
    Path(id): Path<TemplateId>,
    Query(query): Query<TemplateQuery>,
) -> Result<One<TemplateOut>> {
    let template = notify.template(&cx, id, query.version).await?;
    let version = template.version;
    Ok(One::versioned(template, version))
}

async fn revise(
    State(notify): State<Notifier>,
    Cx(cx): Cx,
    Path(id): Path<TemplateId>,
    IfMatch(seen): IfMatch,
    Body(patch): Body<TemplatePatch>,
) -> Result<One<TemplateOut>> {
    let template = notify.revise_template(&cx, id, patch, seen).await?;
    let version = template.version;
    Ok(One::versioned(template, version))
}

async fn delete(State(notify): State<Notifier>, Cx(cx): Cx, Path(id): Path<TemplateId>) -> Result<NoContent> {
    notify.delete_template(&cx, id).await?;
    Ok(NoContent)
}

async fn versions(
    State(notify): State<Notifier>,
    Cx(cx): Cx,
    Path(id): Path<TemplateId>,
) -> Result<Page<TemplateOut>> {
    Ok(notify.template_versions(&cx, id).await?)
}

async fn preview(
    State(notify): State<Notifier>,
    Cx(cx): Cx,
    Path(id): Path<TemplateId>,
    Body(wish): Body<PreviewIn>,
) -> Result<One<PreviewOut>> {
    Ok(One::new(notify.preview(&cx, id, wish).await?))
}
