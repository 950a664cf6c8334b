//! `notify.template` and `notify.template_version`.

use fabric::{
    postgres::{FromRow, Handle, Tx, violated},
    sql,
};
use kernel::{Error, Result, Slug, Timestamp};

use crate::{
    TemplateId,
    model::{Channel, MOST_TEMPLATES, MOST_VERSIONS},
};

/// A template with the words of one version.
#[derive(Debug, Clone, FromRow)]
pub struct TemplateRow {
    pub id: TemplateId,
    pub key: String,
    pub channel: Channel,
    pub locale: String,
    /// The version of these words.
    pub version: i32,
    pub subject: String,
    pub body: String,
    pub html: Option<String>,
    pub created_by: String,
    pub created_at: Timestamp,
    /// When this version was made.
    pub updated_at: Timestamp,
}

/// What a template says.
pub struct Words<'a> {
    pub subject: &'a str,
    pub body: &'a str,
    pub html: Option<&'a str>,
}

/// Adds a template with its first version.
///
/// Errors: already-exists, limit-exceeded.
pub async fn insert(
    tx: &mut Tx,
    id: TemplateId,
    key: &str,
    channel: Channel,
    locale: &str,
    words: &Words<'_>,
) -> Result<TemplateRow> {
    let (now, by) = (tx.cx().now(), tx.cx().actor().name());
    let made: Result<Option<TemplateRow>> = tx
        .query(sql!(
            "with room as (
                 select count(*) < $11 as left from notify.template where kernel.owns($1, tenant_id)
             ), made as (
                 insert into notify.template (id, tenant_id, key, channel, locale, created_at, updated_at)
                 select $2, $1, $3, $4, $5, $6, $6 from room r where r.left
                 returning id, key, channel, locale, version, created_at, updated_at
             ), worded as (
                 insert into notify.template_version (tenant_id, template_id, version, subject, body, html, created_by,
                                                      created_at)
                 select $1, m.id, 1, $7, $8, $9, $10, $6 from made m
             )
             select m.id, m.key, m.channel, m.locale, m.version, $7 as subject, $8 as body, $9 as html,
                    $10 as created_by, m.created_at, m.updated_at
             from made m"
        ))
        .bind(id)
        .bind(key)
        .bind(channel)
        .bind(locale)
        .bind(now)
        .bind(words.subject)
        .bind(words.body)
        .bind(words.html)
        .bind(by)
        .bind(MOST_TEMPLATES)
        .optional()
        .await;
    match made {
        Ok(Some(row)) => Ok(row),
        Ok(None) => {
            Err(Error::new(Slug::LimitExceeded, format!("A tenant has at most {MOST_TEMPLATES} templates.")))
        }
        Err(error) if violated(&error) == Some("template_words") => {
            let text =
                format!("There is a template {key} for {channel} in {locale} already; change that one.");
            Err(Error::new(Slug::AlreadyExists, text).because(error))
        }
        Err(error) => Err(error),
    }
}

/// One with the words of a version; of the newest where none is named.
pub async fn read(handle: &Handle, id: TemplateId, version: Option<i32>) -> Result<Option<TemplateRow>> {
    handle
        .query(sql!(
            "select t.id, t.key, t.channel, t.locale, v.version, v.subject, v.body, v.html, v.created_by, t.created_at,
                    v.created_at as updated_at
             from notify.template t
             join notify.template_version v
               on kernel.owns($1, v.tenant_id) and v.template_id = t.id and v.version = coalesce($3, t.version)
             where kernel.owns($1, t.tenant_id) and t.id = $2"
        ))
        .bind(id)
        .bind(version)
        .optional()
        .await
}

/// The newest words, locked until the transaction ends.
pub async fn lock(tx: &mut Tx, id: TemplateId) -> Result<Option<TemplateRow>> {
    tx.query(sql!(
        "select t.id, t.key, t.channel, t.locale, v.version, v.subject, v.body, v.html, v.created_by, t.created_at,
                v.created_at as updated_at
         from notify.template t
         join notify.template_version v
           on kernel.owns($1, v.tenant_id) and v.template_id = t.id and v.version = t.version
         where kernel.owns($1, t.tenant_id) and t.id = $2 for update of t"
    ))
    .bind(id)
    .optional()
    .await
}

/// Adds a version with other words; the oldest of too many goes.
pub async fn revise(tx: &mut Tx, row: &TemplateRow, words: &Words<'_>) -> Result<TemplateRow> {
    let (now, by) = (tx.cx().now(), tx.cx().actor().name());
    let version = row.version + 1;
    tx.query(sql!(
        "with moved as (
             update notify.template set version = $3, updated_at = $8 where kernel.owns($1, tenant_id) and id = $2
         ), forgotten as (
             delete from notify.template_version
             where kernel.owns($1, tenant_id) and template_id = $2 and version <= $3 - $9
         )
         insert into notify.template_version (tenant_id, template_id, version, subject, body, html, created_by, created_at)
         values ($1, $2, $3, $4, $5, $6, $7, $8)"
    ))
    .bind(row.id)
    .bind(version)
    .bind(words.subject)
    .bind(words.body)
    .bind(words.html)
    .bind(by.clone())
    .bind(now)
    .bind(MOST_VERSIONS)
    .run()
    .await?;
    Ok(TemplateRow {
        version,
        subject: words.subject.to_owned(),
        body: words.body.to_owned(),
        html: words.html.map(str::to_owned),
        created_by: by,
        updated_at: now,
        ..row.clone()
    })
}

/// Takes a template away with its versions.
pub async fn delete(tx: &mut Tx, id: TemplateId) -> Result<()> {
    tx.query(sql!("delete from notify.template where kernel.owns($1, tenant_id) and id = $2"))
        .bind(id)
        .run()
        .await
        .map(drop)
}

/// The tenant's, by key; one more than `limit`.
pub async fn list(
    handle: &Handle,
    key: Option<&str>,
    after: Option<(String, TemplateId)>,
    limit: usize,
) -> Result<Vec<TemplateRow>> {
    let (after_key, after_id) = after.unzip();
    handle
        .query(sql!(
            "select t.id, t.key, t.channel, t.locale, v.version, v.subject, v.body, v.html, v.created_by, t.created_at,
                    v.created_at as updated_at
             from notify.template t
             join notify.template_version v
               on kernel.owns($1, v.tenant_id) and v.template_id = t.id and v.version = t.version
             where kernel.owns($1, t.tenant_id) and ($2::text is null or t.key = $2)
               and ($3::text is null or (t.key, t.id) > ($3, $4))
             order by t.key, t.id limit $5"
        ))
        .bind(key)
        .bind(after_key)
        .bind(after_id)
        .bind(i64::try_from(limit + 1).unwrap_or(i64::MAX))
        .all()
        .await
}

/// The versions that are kept of one, the newest first.
pub async fn versions(handle: &Handle, id: TemplateId) -> Result<Vec<TemplateRow>> {
    handle
        .query(sql!(
            "select t.id, t.key, t.channel, t.locale, v.version, v.subject, v.body, v.html, v.created_by, t.created_at,
                    v.created_at as updated_at
             from notify.template t
             join notify.template_version v on kernel.owns($1, v.tenant_id) and v.template_id = t.id
             where kernel.owns($1, t.tenant_id) and t.id = $2
             order by v.version desc limit 100"
        ))
        .bind(id)
        .all()
        .await
}

/// The words for a key and channel in the first of these languages that there are some in.
pub async fn find(
    handle: &Handle,
    key: &str,
    channel: Channel,
    locales: &[String],
) -> Result<Option<TemplateRow>> {
    handle
        .query(sql!(
            "select t.id, t.key, t.channel, t.locale, v.version, v.subject, v.body, v.html, v.created_by, t.created_at,
                    v.created_at as updated_at
             from notify.template t
             join notify.template_version v
               on kernel.owns($1, v.tenant_id) and v.template_id = t.id and v.version = t.version
             where kernel.owns($1, t.tenant_id) and t.key = $2 and t.channel = $3 and t.locale = any($4)
             order by array_position($4, t.locale) limit 1"
        ))
        .bind(key)
        .bind(channel)
        .bind(locales)
        .optional()
        .await
}
