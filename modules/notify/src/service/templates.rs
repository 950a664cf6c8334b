//! Words that are written once and sent often.

use std::collections::BTreeSet;

use fabric::postgres::Audit;
use kernel::{Ctx, Error, FieldCode, Result, Slug, check::Checks};
use ports::http::{Page, page_size};
use serde_json::{Map, Value};

use crate::{
    Notify, TemplateId,
    http::templates::{PreviewIn, PreviewOut, TemplateIn, TemplateOut, TemplatePatch, TemplatesQuery},
    mail::html_of_text,
    model::{self, Channel, MOST_BODY, MOST_INBOX_BODY, MOST_SUBJECT, check_type},
    store::templates::{self, TemplateRow, Words},
    template::{Form, Template},
};

const ENTITY: &str = "notification_template";
/// Most bytes of the variables of one message as JSON.
const MOST_VARIABLES: usize = 64_000;

/// A template with its variables filled in.
pub(super) struct Filled {
    pub subject: String,
    pub text: String,
    pub html: Option<String>,
    /// Variables that have no value.
    pub missing: Vec<String>,
}

impl Notify {
    /// Adds a template.
    ///
    /// # Errors
    /// `validation-error`, with the line of a mistake in a text; `already-exists`; `limit-exceeded`.
    pub(crate) async fn create_template(&self, cx: &Ctx, wish: TemplateIn) -> Result<TemplateOut> {
        let channel = model::channel("/channel", &wish.channel)?;
        let locale = model::locale("/locale", wish.locale.as_deref().unwrap_or("en"))?;
        let subject = wish.subject.unwrap_or_default();
        let mut checks = Checks::new();
        check_type(&mut checks, "/key", &wish.key);
        let words = Words { subject: &subject, body: &wish.body, html: wish.html.as_deref() };
        check(&mut checks, channel, &words);
        checks.finish()?;
        let mut tx = self.db.tenant(cx)?.begin().await?;
        let row = templates::insert(&mut tx, TemplateId::new(), &wish.key, channel, &locale, &words).await?;
        let out = TemplateOut::from(row);
        tx.audit(Audit::new("notification_template.created", ENTITY, out.id).after(&out))?;
        tx.commit(out).await
    }

    /// Makes a new version of a template; what the patch leaves out stays.
    ///
    /// # Errors
    /// `not-found`, `validation-error`, `precondition-failed`.
    pub(crate) async fn revise_template(
        &self,
        cx: &Ctx,
        id: TemplateId,
        patch: TemplatePatch,
        seen: Option<i32>,
    ) -> Result<TemplateOut> {
        let mut tx = self.db.tenant(cx)?.begin().await?;
        let row = templates::lock(&mut tx, id).await?.ok_or_else(no_template)?;
        if seen.is_some_and(|seen| seen != row.version) {
            let text = format!("The current version is {}; look at it before you change it.", row.version);
            return Err(Error::new(Slug::PreconditionFailed, text));
        }
        let subject = patch.subject.unwrap_or_else(|| row.subject.clone());
        let body = patch.body.unwrap_or_else(|| row.body.clone());
        let html = patch.html.unwrap_or_else(|| row.html.clone());
        let words = Words { subject: &subject, body: &body, html: html.as_deref() };
        let mut checks = Checks::new();
        check(&mut checks, row.channel, &words);
        checks.finish()?;
        let before = TemplateOut::from(row.clone());
        let out = TemplateOut::from(templates::revise(&mut tx, &row, &words).await?);
        tx.audit(Audit::new("notification_template.updated", ENTITY, id).before(&before).after(&out))?;
        tx.commit(out).await
    }

    /// Takes a template away.
    ///
    /// # Errors
    /// `not-found`.
    pub(crate) async fn delete_template(&self, cx: &Ctx, id: TemplateId) -> Result<()> {
        let mut tx = self.db.tenant(cx)?.begin().await?;
        let row = templates::lock(&mut tx, id).await?.ok_or_else(no_template)?;
        templates::delete(&mut tx, id).await?;
        tx.audit(Audit::new("notification_template.deleted", ENTITY, id).before(&TemplateOut::from(row)))?;
        tx.commit(()).await
    }

    /// One, in the words of a version.
    ///
    /// # Errors
    /// `not-found`, also for a version that is not kept any more.
    pub(crate) async fn template(
        &self,
        cx: &Ctx,
        id: TemplateId,
        version: Option<i32>,
    ) -> Result<TemplateOut> {
        let row = templates::read(&self.db.tenant(cx)?, id, version).await?;
        row.map(TemplateOut::from).ok_or_else(no_template)
    }

    /// The tenant's templates, by key.
    ///
    /// # Errors
    /// `invalid-cursor`, `validation-error`.
    pub(crate) async fn templates(&self, cx: &Ctx, query: &TemplatesQuery) -> Result<Page<TemplateOut>> {
        let (tenant, limit) = (cx.tenant().ok(), page_size(query.limit)?);
        let list = format!("templates/{}", query.key.as_deref().unwrap_or_default());
        let after: Option<(String, TemplateId)> =
            query.cursor.as_deref().map(|cursor| self.cursor.read(tenant, &list, cursor)).transpose()?;
        let rows = templates::list(&self.db.tenant(cx)?, query.key.as_deref(), after, limit).await?;
        let page =
            Page::cut(rows, limit, |last| self.cursor.write(tenant, &list, &(last.key.clone(), last.id)));
        Ok(page.map(TemplateOut::from))
    }

    /// The versions of a template that are kept, the newest first.
    ///
    /// # Errors
    /// `not-found`.
    pub(crate) async fn template_versions(&self, cx: &Ctx, id: TemplateId) -> Result<Page<TemplateOut>> {
        let rows = templates::versions(&self.db.tenant(cx)?, id).await?;
        if rows.is_empty() {
            return Err(no_template());
        }
        Ok(Page::whole(rows).map(TemplateOut::from))
    }

    /// What a template says with these variables.
    ///
    /// # Errors
    /// `not-found`, `validation-error`.
    pub(crate) async fn preview(&self, cx: &Ctx, id: TemplateId, wish: PreviewIn) -> Result<PreviewOut> {
        let variables = variables("/variables", wish.variables)?;
        let row = templates::read(&self.db.tenant(cx)?, id, wish.version).await?.ok_or_else(no_template)?;
        let filled = fill(&row, &variables)?;
        let html = match row.channel {
            Channel::Email => Some(filled.html.unwrap_or_else(|| html_of_text(&filled.text))),
            Channel::InApp => None,
        };
        let Filled { subject, text, missing, .. } = filled;
        Ok(PreviewOut { subject, text, html, missing })
    }
}

fn no_template() -> Error {
    Error::not_found("template")
}

/// Checks the words of a template.
fn check(checks: &mut Checks, channel: Channel, words: &Words<'_>) {
    let most = if channel == Channel::Email { MOST_BODY } else { MOST_INBOX_BODY };
    checks.length("/subject", words.subject, usize::from(channel == Channel::Email), MOST_SUBJECT);
    checks.length("/body", words.body, 1, most);
    if let Some(html) = words.html {
        checks.length("/html", html, 1, MOST_BODY);
        let fits = channel == Channel::Email;
        checks.ensure(
            fits,
            "/html",
            FieldCode::NotAllowed,
            "belongs to mails; messages in the inbox are text",
        );
    }
    let texts =
        [("/subject", words.subject), ("/body", words.body), ("/html", words.html.unwrap_or_default())];
    for (field, text) in texts {
        if let Err(mistake) = Template::parse(text) {
            checks.refuse(field, FieldCode::InvalidFormat, mistake);
        }
    }
}

/// Reads the variables of a message.
///
/// # Errors
/// `validation-error` when they are too many.
pub(super) fn variables(field: &str, given: Option<Map<String, Value>>) -> Result<Map<String, Value>> {
    let given = given.unwrap_or_default();
    let bytes = serde_json::to_string(&given).map_or(usize::MAX, |text| text.len());
    let message = format!("takes at most {MOST_VARIABLES} bytes as JSON");
    Checks::new().ensure(bytes <= MOST_VARIABLES, field, FieldCode::TooLong, message).finish()?;
    Ok(given)
}

/// Fills a template in.
///
/// # Errors
/// `validation-error` when what comes out is too long; `internal` for a kept template that can't be read.
pub(super) fn fill(row: &TemplateRow, variables: &Map<String, Value>) -> Result<Filled> {
    let mut missing = BTreeSet::new();
    let mut filled = |text: &str, form: Form| {
        let template = Template::parse(text)
            .map_err(|mistake| Error::internal(format!("template {}: {mistake}", row.id)))?;
        Ok::<String, Error>(template.render(variables, form, &mut missing))
    };
    let subject = filled(&row.subject, Form::Line)?;
    let text = filled(&row.body, Form::Text)?;
    let html = row.html.as_deref().map(|html| filled(html, Form::Html)).transpose()?;
    let most = if row.channel == Channel::Email { MOST_BODY } else { MOST_INBOX_BODY };
    let fits = |text: &str, most: usize| text.chars().count() <= most && !text.contains('\0');
    let mut checks = Checks::new();
    let message = format!(
        "make a text of more than {most} characters, a subject of more than {MOST_SUBJECT}, or one with a NUL character"
    );
    let all_fit = fits(&subject, MOST_SUBJECT)
        && fits(&text, most)
        && html.as_deref().is_none_or(|html| fits(html, MOST_BODY * 2));
    checks.ensure(all_fit, "/variables", FieldCode::TooLong, message);
    checks.finish()?;
    Ok(Filled { subject, text, html, missing: missing.into_iter().collect() })
}

impl From<TemplateRow> for TemplateOut {
    fn from(row: TemplateRow) -> Self {
        Self {
            id: row.id,
            key: row.key,
            channel: row.channel,
            locale: row.locale,
            version: row.version,
            subject: row.subject,
            body: row.body,
            html: row.html,
            created_by: row.created_by,
            created_at: row.created_at,
            updated_at: row.updated_at,
        }
    }
}
