//! Somebody is to be told something.

use std::{
    collections::{BTreeSet, HashMap},
    time::Duration,
};

use fabric::postgres::{Audit, Tx};
use kernel::{Ctx, Error, FieldCode, FieldError, Result, Slug, Timestamp, UserId, check::Checks};
use ports::UserInfo;
use serde_json::{Map, Value};

use crate::{
    NotificationId, Notify,
    delivery::{self, When},
    events::Told,
    http::notifications::{BatchIn, NotificationIn, RecipientIn, SendTemplateIn, SentBatchOut, SentOut},
    model::{
        self, Channel, MOST_BATCH, MOST_BODY, MOST_INBOX_BODY, MOST_WAITING, Priority, State,
        preference::{Verdict, verdict},
    },
    service::templates::Filled,
    store::{
        notifications::{self, NewNotification},
        preferences, templates,
    },
};

/// What a notification is about, unless it says.
const GENERAL: &str = "general";

/// A notification that was checked; who the recipient is, is not known yet.
struct Draft {
    /// Where it stands in the body: empty, or `/notifications/3`.
    at: String,
    channel: Channel,
    to: To,
    kind: String,
    priority: Priority,
    subject: String,
    body: String,
    html: Option<String>,
    meta: Value,
    template: Option<String>,
}

enum To {
    Member(UserId),
    Address(String),
}

impl Notify {
    /// Tells somebody something.
    ///
    /// # Errors
    /// `validation-error`; `limit-exceeded` when too many wait.
    pub(crate) async fn send(&self, cx: &Ctx, wish: NotificationIn) -> Result<SentOut> {
        let draft = draft(String::new(), wish)?;
        self.queue_one(cx, draft).await
    }

    /// Tells up to 100 people something; all or nobody.
    ///
    /// # Errors
    /// As [`Notify::send`]; the field says which of them.
    pub(crate) async fn send_batch(&self, cx: &Ctx, batch: BatchIn) -> Result<SentBatchOut> {
        let count = batch.notifications.len();
        let mut checks = Checks::new();
        checks.ensure(count > 0, "/notifications", FieldCode::TooShort, "takes at least one notification");
        let most = format!(
            "takes at most {MOST_BATCH} notifications, got {count}; send the rest in further requests"
        );
        checks.ensure(count <= MOST_BATCH, "/notifications", FieldCode::TooLong, most);
        checks.finish()?;
        let (mut drafts, mut mistakes) = (Vec::new(), Vec::new());
        for (index, wish) in batch.notifications.into_iter().enumerate() {
            match draft(format!("/notifications/{index}"), wish) {
                Ok(draft) => drafts.push(draft),
                Err(error) => mistakes.extend(error.field_errors().iter().cloned()),
            }
        }
        if !mistakes.is_empty() {
            return Err(Error::fields(mistakes));
        }
        let rows = self.rows(cx, drafts).await?;
        let mut tx = self.db.tenant(cx)?.begin().await?;
        let notifications = queue(&mut tx, rows).await?;
        tx.audit(
            Audit::new("notification.batch_queued", "notification", cx.request())
                .metadata(&serde_json::json!({ "count": notifications.len() })),
        )?;
        tx.commit(SentBatchOut { notifications }).await
    }

    /// Tells somebody something in the words of a template.
    ///
    /// # Errors
    /// `validation-error`, also for a template that does not exist in any language; `limit-exceeded`.
    pub(crate) async fn send_template(&self, cx: &Ctx, wish: SendTemplateIn) -> Result<SentOut> {
        let channel = model::channel("/channel", &wish.channel)?;
        let locale = match &wish.locale {
            Some(locale) => model::locale("/locale", locale)?,
            None => cx.locale().to_ascii_lowercase(),
        };
        let variables = super::templates::variables("/variables", wish.variables)?;
        let handle = self.db.tenant(cx)?;
        let found = templates::find(&handle, &wish.template, channel, &model::fallbacks(&locale)).await?;
        let row = found.ok_or_else(|| {
            let message = format!("names no template for {channel}, neither in {locale} nor in English");
            Error::field("/template", FieldCode::NotAllowed, message)
        })?;
        let Filled { subject, text, html, missing } = super::templates::fill(&row, &variables)?;
        let plain = NotificationIn {
            channel: channel.as_str().to_owned(),
            recipient: wish.recipient,
            kind: wish.kind.or_else(|| Some(row.key.clone())),
            subject: Some(subject),
            body: text,
            priority: wish.priority,
            meta: wish.meta,
        };
        let mut draft = draft(String::new(), plain)?;
        draft.html = html;
        draft.template = Some(row.key);
        let sent = self.queue_one(cx, draft).await?;
        Ok(SentOut { missing: Some(missing), ..sent })
    }

    async fn queue_one(&self, cx: &Ctx, draft: Draft) -> Result<SentOut> {
        let rows = self.rows(cx, vec![draft]).await?;
        let mut tx = self.db.tenant(cx)?.begin().await?;
        let mut sent = queue(&mut tx, rows).await?;
        let one = sent.pop().ok_or_else(|| Error::internal("a notification was queued and is not there"))?;
        tx.audit(Audit::new("notification.queued", "notification", one.notification_id))?;
        tx.commit(one).await
    }

    /// Looks the recipients up, before a transaction begins.
    async fn rows(&self, cx: &Ctx, drafts: Vec<Draft>) -> Result<Vec<NewNotification>> {
        let mut people: HashMap<UserId, Option<UserInfo>> = HashMap::new();
        let (mut rows, mut mistakes) = (Vec::new(), Vec::new());
        let (now, created_by) = (cx.now(), cx.actor().name());
        for draft in drafts {
            let (user_id, address) = match draft.to {
                To::Address(address) => (None, Some(address)),
                To::Member(id) => {
                    if let std::collections::hash_map::Entry::Vacant(place) = people.entry(id) {
                        place.insert(self.iam.user(cx, id).await?);
                    }
                    match people.get(&id).and_then(Option::as_ref) {
                        Some(person) => (Some(id), Some(person.email.clone())),
                        None => {
                            let field = format!("{}/recipient/userId", draft.at);
                            mistakes.push(FieldError::new(
                                field,
                                FieldCode::NotAllowed,
                                "is no member of this tenant",
                            ));
                            continue;
                        }
                    }
                }
            };
            rows.push(NewNotification {
                id: NotificationId::new(),
                channel: draft.channel,
                kind: draft.kind,
                priority: draft.priority.number(),
                user_id,
                address: address.filter(|_| draft.channel == Channel::Email),
                subject: draft.subject,
                body: draft.body,
                html: draft.html,
                meta: draft.meta,
                template: draft.template,
                state: State::Queued,
                due_at: now,
                created_by: created_by.clone(),
                created_at: now,
                settled_at: None,
            });
        }
        if mistakes.is_empty() { Ok(rows) } else { Err(Error::fields(mistakes)) }
    }
}

/// Queues notifications in the transaction, as their recipients want it.
async fn queue(tx: &mut Tx, mut rows: Vec<NewNotification>) -> Result<Vec<SentOut>> {
    let (now, count) = (tx.cx().now(), rows.len() as i64);
    if notifications::waiting(tx, MOST_WAITING).await? + count > MOST_WAITING {
        let text =
            format!("A tenant has at most {MOST_WAITING} notifications that wait; send on when fewer do.");
        return Err(Error::new(Slug::LimitExceeded, text));
    }
    let users: BTreeSet<UserId> = rows.iter().filter_map(|row| row.user_id).collect();
    let users: Vec<UserId> = users.into_iter().collect();
    let wishes = if users.is_empty() { Vec::new() } else { preferences::of(tx, &users).await? };
    let mut times: BTreeSet<Timestamp> = BTreeSet::new();
    for row in &mut rows {
        let wish = wishes.iter().find(|wish| Some(wish.user_id) == row.user_id);
        let asked = wish.map_or(Verdict::Now, |wish| {
            let quiet = wish.quiet.as_ref().map(|quiet| &quiet.0);
            verdict(&wish.rules, quiet, &row.kind, row.channel, Priority::of(row.priority), now)
        });
        match asked {
            Verdict::Now => {}
            Verdict::After(left) => row.due_at = now.plus(left),
            Verdict::Never => {
                row.state = State::Suppressed;
                row.settled_at = Some(now);
            }
        }
        if row.state == State::Queued {
            times.insert(row.due_at);
            tx.event(told(row).event("queued")?)?;
        }
    }
    notifications::insert(tx, &rows).await?;
    for at in times {
        let when = if at.since(now) == Duration::ZERO { When::Now } else { When::At(at) };
        delivery::enqueue(tx, when).await?;
    }
    Ok(rows.iter().map(|row| SentOut { notification_id: row.id, status: row.state, missing: None }).collect())
}

fn told(row: &NewNotification) -> Told<'_> {
    Told { notification_id: row.id, channel: row.channel, kind: &row.kind, user_id: row.user_id, attempts: 0 }
}

fn draft(at: String, wish: NotificationIn) -> Result<Draft> {
    let field = |name: &str| format!("{at}/{name}");
    let channel = model::channel(&field("channel"), &wish.channel)?;
    let to = recipient(&field("recipient"), channel, wish.recipient)?;
    let kind = wish.kind.unwrap_or_else(|| GENERAL.to_owned());
    let meta = wish.meta.unwrap_or_else(|| Value::Object(Map::new()));
    let subject = wish.subject.unwrap_or_default();
    let mut checks = Checks::new();
    model::check_type(&mut checks, &field("type"), &kind);
    model::check_line(&mut checks, &field("subject"), &subject, usize::from(channel == Channel::Email));
    let most = if channel == Channel::Email { MOST_BODY } else { MOST_INBOX_BODY };
    checks.length(&field("body"), &wish.body, 1, most);
    model::check_meta(&mut checks, &field("meta"), &meta);
    checks.finish()?;
    let priority = wish.priority.unwrap_or_default();
    Ok(Draft { at, channel, to, kind, priority, subject, body: wish.body, html: None, meta, template: None })
}

/// Reads for whom it is: exactly one of the ways to say that, and one that the channel knows.
fn recipient(at: &str, channel: Channel, wish: RecipientIn) -> Result<To> {
    let given = [
        ("userId", wish.user_id.is_some()),
        ("email", wish.email.is_some()),
        ("phone", wish.phone.is_some()),
        ("address", wish.address.is_some()),
    ];
    let takes: &[&str] = if channel == Channel::Email { &["userId", "email"] } else { &["userId"] };
    let mut checks = Checks::new();
    let count = given.iter().filter(|(_, given)| *given).count();
    let wanted = takes.join(" or ");
    checks.ensure(count == 1, at, FieldCode::Required, format!("says for whom by exactly one of {wanted}"));
    for (name, _) in given.iter().filter(|(name, given)| *given && !takes.contains(name)) {
        let message = format!("means nothing for the channel {channel}; use {wanted}");
        checks.refuse(&format!("{at}/{name}"), FieldCode::NotAllowed, message);
    }
    let email = wish.email.map(|email| email.trim().to_lowercase());
    if let Some(email) = &email {
        checks.email(&format!("{at}/email"), email);
    }
    checks.finish()?;
    match (wish.user_id, email) {
        (Some(user), _) => Ok(To::Member(user)),
        (None, Some(email)) => Ok(To::Address(email)),
        (None, None) => Err(Error::field(at, FieldCode::Required, format!("says for whom by {wanted}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn mistakes(wish: Value) -> Vec<(String, FieldCode)> {
        let wish: NotificationIn = serde_json::from_value(wish).unwrap();
        let error = draft(String::new(), wish).map(drop).unwrap_err();
        error.field_errors().iter().map(|error| (error.field.clone(), error.code)).collect()
    }

    #[test]
    fn a_recipient_is_named_in_exactly_one_way_that_the_channel_knows() {
        let body = |channel: &str, recipient: Value| json!({ "channel": channel, "recipient": recipient, "subject": "s", "body": "b" });
        let user = UserId::new();
        for (channel, recipient, field) in [
            ("email", json!({}), "/recipient"),
            ("email", json!({ "email": "a@b.example", "userId": user }), "/recipient"),
            ("email", json!({ "phone": "+431" }), "/recipient/phone"),
            ("in_app", json!({ "email": "a@b.example" }), "/recipient/email"),
            ("email", json!({ "email": "nobody" }), "/recipient/email"),
            ("sms", json!({ "phone": "+431" }), "/channel"),
        ] {
            assert_eq!(mistakes(body(channel, recipient.clone()))[0].0, field, "{channel} {recipient}");
        }
    }

    #[test]
    fn all_mistakes_of_the_words_are_told_at_once() {
        let wish = json!({ "channel": "email", "recipient": { "email": "a@b.example" }, "type": "A B", "body": " ", "meta": [] });
        let fields: Vec<String> = mistakes(wish).into_iter().map(|(field, _)| field).collect();
        assert_eq!(fields, ["/type", "/subject", "/body", "/meta"]);
    }
}
