//! The kernel's own mails. They ship in the binary, in English.

use std::collections::{BTreeMap, BTreeSet};

use kernel::{Error, Result};
use serde_json::{Map, Value};

use super::Words;
use crate::template::{Form, Template};

/// What every mail of the kernel looks like.
const FRAME: &str = include_str!("../../assets/frame.html");
/// What stands in it where the mail has a link.
const BUTTON: &str = include_str!("../../assets/button.html");

/// One of the kernel's mails.
struct KernelTemplate {
    name: &'static str,
    subject: &'static str,
    heading: &'static str,
    /// Paragraphs, with an empty line between them.
    text: &'static str,
    /// What the link is called.
    button: &'static str,
    /// The last words, in small print.
    footer: &'static str,
}

const TEMPLATES: [KernelTemplate; 4] = [
    KernelTemplate {
        name: "iam.verify-email",
        subject: "Verify your e-mail address",
        heading: "Verify your e-mail address",
        text: "Hello {{name}},\n\nplease confirm that {{email}} is your address. The link is good once, for {{lifetime}}.",
        button: "Verify the address",
        footer: "You get this mail because an account was made with this address. If that was not you, ignore it: nothing \
                 happens.",
    },
    KernelTemplate {
        name: "iam.reset-password",
        subject: "Choose a new password",
        heading: "Choose a new password",
        text: "Hello {{name}},\n\nsomebody asked for a new password for {{email}}. The link is good once, for {{lifetime}}. \
               You are then signed out everywhere.",
        button: "Choose a new password",
        footer: "If you did not ask for this, ignore it: your password stays as it is.",
    },
    KernelTemplate {
        name: "iam.invitation",
        subject: "{{inviter}} invites you to {{organization}}",
        heading: "You are invited to {{organization}}",
        text: "Hello {{name}},\n\n{{inviter}} invites you to join {{organization}}. The link is good once, for {{lifetime}}.",
        button: "Accept the invitation",
        footer: "If you do not know the sender, ignore this mail: nothing happens.",
    },
    KernelTemplate {
        name: "billing.notice",
        subject: "{{subject}}",
        heading: "{{subject}}",
        text: "Hello {{name}},\n\n{{message}}",
        button: "Open billing",
        footer: "You get this mail because you own the account of your organisation.",
    },
];

/// A mail of the kernel. `link` is absolute.
///
/// # Errors
/// `internal` for a template that does not exist, or one that is broken.
pub fn render(name: &str, variables: &BTreeMap<String, String>, link: Option<&str>) -> Result<Words> {
    let template = TEMPLATES.iter().find(|template| template.name == name);
    let template = template.ok_or_else(|| Error::internal(format!("there is no mail called {name:?}")))?;
    let mut values: Map<String, Value> =
        variables.iter().map(|(name, value)| (name.clone(), Value::from(value.clone()))).collect();
    if let Some(link) = link {
        values.insert("link".to_owned(), link.into());
    }
    let mut missing = BTreeSet::new();
    let mut filled = |text: &str, form| {
        let parsed = Template::parse(text)
            .map_err(|mistake| Error::internal(format!("the mail {name:?} {mistake}")))?;
        Ok::<String, Error>(parsed.render(&values, form, &mut missing))
    };
    let subject = filled(template.subject, Form::Line)?;
    let mut text = filled(template.text, Form::Text)?;
    if let Some(link) = link {
        text.push_str(&format!("\n\n{}:\n{link}", template.button));
    }
    text.push_str(&format!("\n\n-- \n{}\n", template.footer));
    let paragraphs: Vec<String> = template
        .text
        .split("\n\n")
        .map(|paragraph| Ok(filled(paragraph, Form::Html)?.replace('\n', "<br>")))
        .collect::<Result<_>>()?;
    let body: String = paragraphs.iter().map(|p| format!("<p style=\"margin:0 0 16px\">{p}</p>")).collect();
    let button = match link {
        Some(_) => filled(BUTTON, Form::Html)?.replace("/*button*/", template.button),
        None => String::new(),
    };
    let html = FRAME
        .replace("/*heading*/", &filled(template.heading, Form::Html)?)
        .replace("/*button*/", &button)
        .replace("/*footer*/", template.footer)
        // Last: it holds values.
        .replace("/*body*/", &body);
    if !missing.is_empty() {
        tracing::warn!(template = name, ?missing, "a mail of the kernel lacks values");
    }
    Ok(Words { subject, text, html })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn variables(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn every_mail_can_be_written_with_and_without_a_link() {
        let all = ["name", "email", "lifetime", "inviter", "organization", "subject", "message"];
        let values = all.iter().map(|name| ((*name).to_owned(), format!("[{name}]"))).collect();
        for template in &TEMPLATES {
            let with = render(template.name, &values, Some("https://example.com/x#token=1")).unwrap();
            assert!(
                with.text.contains("https://example.com/x#token=1")
                    && with.html.contains("href=\"https://example.com/x#token=1\"")
            );
            for text in [&with.subject, &with.text, &with.html] {
                assert!(!text.contains("{{") && !text.contains("/*"), "{}: {text}", template.name);
            }
            assert!(!render(template.name, &values, None).unwrap().html.contains("href="));
        }
        assert!(render("iam.nothing", &values, None).is_err());
    }

    #[test]
    fn a_name_is_no_markup_and_no_header() {
        let values = variables(&[
            ("name", "<img src=x>"),
            ("subject", "a\r\nBcc: b@c.d"),
            ("message", "m /*button*/"),
        ]);
        let words = render("billing.notice", &values, None).unwrap();
        assert_eq!(words.subject, "a  Bcc: b@c.d");
        assert!(words.html.contains("&lt;img src=x&gt;") && !words.html.contains("<img"));
        assert!(words.text.contains("<img src=x>"));
    }
}
