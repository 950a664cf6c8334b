//! Mails: how they are put together and how they leave.

pub mod kernel_templates;
pub mod smtp;

use std::time::SystemTime;

use kernel::{Error, Result, Timestamp};
use lettre::{
    Address,
    message::{Mailbox, Message, MultiPart, header},
};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::template::escaped;

/// What a mail says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Words {
    /// One line.
    pub subject: String,
    /// For programs that show text.
    pub text: String,
    /// For those that show HTML.
    pub html: String,
}

/// Whom a mail is from and for.
#[derive(Debug, Clone)]
pub struct Envelope {
    /// The sender.
    pub from: Mailbox,
    /// The recipient's address.
    pub to: String,
    /// What the recipient is called.
    pub name: Option<String>,
    /// The same at every attempt: a server that has it already can tell.
    pub id: Uuid,
    /// When it was written.
    pub date: Timestamp,
}

/// A mail as it is kept in the outbox.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    /// As they are sent.
    pub headers: Vec<(String, String)>,
    /// The text.
    pub text: String,
    /// The HTML.
    pub html: String,
}

/// The mail in the form that servers take.
///
/// # Errors
/// `internal` with the reason when an address can't be that of a mail.
pub fn compose(envelope: &Envelope, words: &Words) -> Result<Message> {
    let to: Address = envelope.to.parse().map_err(Error::internal)?;
    let id = format!("<{}@{}>", envelope.id, envelope.from.email.domain());
    Message::builder()
        .from(envelope.from.clone())
        .to(Mailbox::new(envelope.name.clone().filter(|name| !name.is_empty()), to))
        .subject(words.subject.clone())
        .date(SystemTime::from(envelope.date.datetime()))
        .message_id(Some(id))
        // No out-of-office notes in return (RFC 3834).
        .raw_header(header::HeaderValue::new(
            header::HeaderName::new_from_ascii_str("Auto-Submitted"),
            "auto-generated".to_owned(),
        ))
        .multipart(MultiPart::alternative_plain_html(words.text.clone(), words.html.clone()))
        .map_err(Error::internal)
}

/// The mail in the form that people look at later.
pub fn keep(message: &Message, words: &Words) -> Kept {
    let raw = message.formatted();
    let raw = String::from_utf8_lossy(&raw);
    // Continued lines begin with white space (RFC 5322 §2.2.3).
    let head = raw.split("\r\n\r\n").next().unwrap_or_default();
    let block = head.replace("\r\n ", " ").replace("\r\n\t", " ");
    let headers = block
        .lines()
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    Kept { headers, text: words.text.clone(), html: words.html.clone() }
}

/// HTML for a mail of which only the text was given: its paragraphs, and nothing else of it is markup.
pub fn html_of_text(text: &str) -> String {
    let paragraphs = text.split("\n\n").map(str::trim).filter(|paragraph| !paragraph.is_empty());
    let body: String = paragraphs.map(|p| format!("<p>{}</p>", escaped(p).replace('\n', "<br>"))).collect();
    format!("<!doctype html><html><head><meta charset=\"utf-8\"></head><body>{body}</body></html>")
}

/// The sender of a sandbox: the configured address, or `no-reply` at the host of its public address.
///
/// # Errors
/// A sentence when neither can be that of a mail.
pub fn sender(configured: Option<&str>, public_url: &str) -> std::result::Result<Mailbox, String> {
    let address = match configured {
        Some(address) => address.to_owned(),
        None => {
            let host = public_url.split_once("://").map_or(public_url, |(_, rest)| rest);
            let host = host.split('/').next().unwrap_or_default();
            let host = match host.rsplit_once(':') {
                Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
                _ => host,
            };
            format!("no-reply@{host}")
        }
    };
    let address = address.parse().map_err(|error| format!("{address} can't send mail: {error}"))?;
    Ok(Mailbox::new(Some("Platform Kernel".to_owned()), address))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn envelope() -> Envelope {
        Envelope {
            from: sender(None, "http://acme.localhost:8080").unwrap(),
            to: "ada@example.com".into(),
            name: Some("Ada Łoś".into()),
            id: Uuid::nil(),
            date: Timestamp::from_micros(1_700_000_000_000_000).unwrap(),
        }
    }

    #[test]
    fn a_mail_says_the_same_in_two_forms_and_who_it_is() {
        let words = Words {
            subject: "Grüße".into(),
            text: "Hi\n\nthere".into(),
            html: html_of_text("Hi <b>\nyou\n\nthere"),
        };
        let message = compose(&envelope(), &words).unwrap();
        let raw = String::from_utf8(message.formatted()).unwrap();
        assert!(
            raw.contains("text/plain") && raw.contains("text/html") && raw.contains("multipart/alternative")
        );
        let kept = keep(&message, &words);
        let header = |wanted: &str| kept.headers.iter().find(|(name, _)| name == wanted).unwrap().1.clone();
        assert_eq!(header("Message-ID"), format!("<{}@acme.localhost>", Uuid::nil()));
        assert_eq!(header("From"), "\"Platform Kernel\" <no-reply@acme.localhost>");
        assert_eq!(header("Auto-Submitted"), "auto-generated");
        assert!(header("Content-Type").starts_with("multipart/alternative;"));
        assert!(header("To").contains("<ada@example.com>"));
        assert_eq!(kept.html.matches("<p>").count(), 2);
        assert!(kept.html.contains("Hi &lt;b&gt;<br>you"));
    }

    #[test]
    fn what_is_no_address_is_no_mail() {
        let bad = Envelope { to: "nobody".into(), ..envelope() };
        let words = Words { subject: "s".into(), text: "t".into(), html: String::new() };
        assert!(compose(&bad, &words).is_err());
    }

    #[test]
    fn the_sender_is_the_configured_address_or_the_host() {
        for (configured, url, expected) in [
            (None, "http://localhost:8080", "no-reply@localhost"),
            (None, "https://api.example.com", "no-reply@api.example.com"),
            (Some("hello@example.com"), "http://localhost", "hello@example.com"),
        ] {
            assert_eq!(sender(configured, url).unwrap().email.to_string(), expected);
        }
    }
}
