//! The rules of notifications; pure.

pub mod preference;
pub mod schedule;

use fabric::words;
use kernel::{Error, FieldCode, Result, check::Checks};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Most notifications of one batch.
pub const MOST_BATCH: usize = 100;
/// Most notifications of a tenant that wait at a time.
pub const MOST_WAITING: i64 = 20_000;
/// Deliveries of a tenant in a second.
pub const MOST_PER_SECOND: u32 = 100;
/// Longest subject, in characters.
pub const MOST_SUBJECT: usize = 200;
/// Longest body, in characters.
pub const MOST_BODY: usize = 100_000;
/// Longest body of a message in the inbox, in characters.
pub const MOST_INBOX_BODY: usize = 10_000;
/// Most bytes of `meta` as JSON.
pub const MOST_META: usize = 8_000;
/// Most templates of a tenant.
pub const MOST_TEMPLATES: i64 = 1_000;
/// Most versions of a template that are kept; the oldest makes room.
pub const MOST_VERSIONS: i32 = 100;

words! {
    /// Ways to a person that this version has.
    pub enum Channel {
        /// A mail.
        Email = "email",
        /// The person's inbox, in the console and over the websocket.
        InApp = "in_app",
    }
}

words! {
    /// What became of a notification.
    pub enum State {
        /// It waits for its first or next attempt.
        Queued = "queued",
        /// A server took it, or the sandbox's outbox.
        Sent = "sent",
        /// It lies in the recipient's inbox.
        Delivered = "delivered",
        /// Five attempts failed, or the server refused it for good.
        Failed = "failed",
        /// The recipient does not want it.
        Suppressed = "suppressed",
        /// It waited when the sandbox was copied, and is the source's to send.
        Cancelled = "cancelled",
    }
}

words! {
    /// What became of a mail.
    pub enum OutboxState {
        /// It was kept here and left for nowhere.
        Captured = "captured",
        /// It waits for its next attempt.
        Waiting = "waiting",
        /// A server took it; this is a copy.
        Sent = "sent",
        /// No server took it.
        Failed = "failed",
    }
}

/// What goes first.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Priority {
    /// When there is nothing else to do.
    Low,
    /// As it comes.
    #[default]
    Normal,
    /// Before others.
    High,
    /// Before everything else, and in quiet hours, too.
    Critical,
}

impl Priority {
    /// As it stands in its column.
    pub const fn number(self) -> i16 {
        self as i16
    }

    /// From its column.
    pub const fn of(number: i16) -> Self {
        match number {
            ..=0 => Self::Low,
            1 => Self::Normal,
            2 => Self::High,
            _ => Self::Critical,
        }
    }
}

/// Channels that the product knows and this version does not have.
const LATER: [&str; 9] =
    ["sms", "push", "webhook", "websocket", "telegram", "slack", "discord", "whatsapp", "viber"];

/// Reads a channel's name.
///
/// # Errors
/// `validation-error` that says which there are, and of one that comes later that it does.
pub fn channel(field: &str, name: &str) -> Result<Channel> {
    match name {
        "email" => Ok(Channel::Email),
        "in_app" => Ok(Channel::InApp),
        later if LATER.contains(&later) => Err(Error::field(
            field,
            FieldCode::NotAllowed,
            format!("the channel {later} is not in this version; use email or in_app"),
        )),
        _ => Err(Error::field(field, FieldCode::InvalidFormat, "is no channel; use email or in_app")),
    }
}

/// Checks what a notification is about: words of letters, digits and underscores, with dots between them.
pub fn check_type(checks: &mut Checks, field: &str, kind: &str) {
    checks.ensure(
        is_type(kind),
        field,
        FieldCode::InvalidFormat,
        "takes 1 to 100 lower-case letters, digits, underscores and hyphens, with dots between words: orders.shipped",
    );
}

/// Whether it looks like `orders.shipped`.
pub fn is_type(kind: &str) -> bool {
    (1..=100).contains(&kind.len())
        && kind.split('.').all(|word| {
            !word.is_empty()
                && word
                    .bytes()
                    .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'_' | b'-'))
        })
}

/// Checks a line that becomes a header of a mail: nothing in it may begin another line.
pub fn check_line(checks: &mut Checks, field: &str, text: &str, least: usize) {
    checks.length(field, text, least, MOST_SUBJECT);
    checks.ensure(
        !text.chars().any(char::is_control),
        field,
        FieldCode::InvalidFormat,
        "is one line, without control characters",
    );
}

/// Checks what travels beside a notification.
pub fn check_meta(checks: &mut Checks, field: &str, meta: &serde_json::Value) {
    let fits = meta.to_string().len() <= MOST_META;
    checks.ensure(meta.is_object(), field, FieldCode::InvalidFormat, "is an object");
    checks.ensure(fits, field, FieldCode::TooLong, format!("takes at most {MOST_META} bytes as JSON"));
    checks.ensure(
        !meta.to_string().contains("\\u0000"),
        field,
        FieldCode::InvalidFormat,
        "must not contain a NUL character",
    );
}

/// Reads a language: `en`, `pt-BR`; in the form in which it is kept.
///
/// # Errors
/// `validation-error` for what is no BCP 47 tag of letters and digits.
pub fn locale(field: &str, tag: &str) -> Result<String> {
    let fits = (2..=35).contains(&tag.len())
        && tag
            .split('-')
            .all(|part| (1..=8).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_alphanumeric()));
    if fits {
        return Ok(tag.to_ascii_lowercase());
    }
    Err(Error::field(field, FieldCode::InvalidFormat, "is no language tag like en or pt-BR"))
}

/// The languages to look for a template in, the best first: `de-ch`, `de`, `en`.
pub fn fallbacks(locale: &str) -> Vec<String> {
    let mut wanted = vec![locale.to_ascii_lowercase()];
    while let Some((shorter, _)) = wanted.last().and_then(|last| last.rsplit_once('-')) {
        let shorter = shorter.to_owned();
        wanted.push(shorter);
    }
    if wanted.iter().all(|tag| tag != "en") {
        wanted.push("en".to_owned());
    }
    wanted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_channel_that_comes_later_says_so() {
        assert_eq!(channel("/channel", "in_app").unwrap(), Channel::InApp);
        let later = channel("/channel", "sms").unwrap_err();
        assert_eq!(
            (later.field_errors()[0].field.as_str(), later.field_errors()[0].code),
            ("/channel", FieldCode::NotAllowed)
        );
        assert!(later.field_errors()[0].message.contains("not in this version"));
        assert_eq!(
            channel("/channel", "pigeon").unwrap_err().field_errors()[0].code,
            FieldCode::InvalidFormat
        );
    }

    #[test]
    fn priorities_are_in_order_and_survive_their_column() {
        let all = [Priority::Low, Priority::Normal, Priority::High, Priority::Critical];
        assert!(all.is_sorted());
        all.iter().for_each(|priority| assert_eq!(Priority::of(priority.number()), *priority));
    }

    #[test]
    fn a_type_is_words_with_dots() {
        for good in ["general", "orders.shipped", "a-b.c_d.1"] {
            assert!(is_type(good), "{good}");
        }
        for bad in ["", "Orders", "a..b", ".a", "a.", "a b", &"a".repeat(101)] {
            assert!(!is_type(bad), "{bad}");
        }
    }

    #[test]
    fn a_subject_can_not_smuggle_a_header_in() {
        let mut checks = Checks::new();
        check_line(&mut checks, "/subject", "Hello\r\nBcc: everyone@example.com", 1);
        assert_eq!(checks.finish().unwrap_err().field_errors()[0].code, FieldCode::InvalidFormat);
    }

    #[test]
    fn a_language_falls_back_to_its_stem_and_to_english() {
        assert_eq!(fallbacks("de-CH"), ["de-ch", "de", "en"]);
        assert_eq!(fallbacks("en"), ["en"]);
        assert_eq!(fallbacks("en-GB"), ["en-gb", "en"]);
        assert_eq!(locale("/locale", "pt-BR").unwrap(), "pt-br");
        for bad in ["", "e", "en_GB", "en-", "../../etc"] {
            assert!(locale("/locale", bad).is_err(), "{bad}");
        }
    }
}
