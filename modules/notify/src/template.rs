//! Templates: text with `{{variables}}`. Pure.
//!
//! A variable is a name, or names with dots between them that lead into objects. Values are written as text; in HTML they
//! are escaped, always. A value that is not there is empty and is reported.

use std::{borrow::Cow, collections::BTreeSet};

use serde_json::{Map, Value};

/// Most variables of one text.
const MOST_VARIABLES: usize = 500;
/// Longest name.
const MOST_NAME: usize = 100;

/// A text, read.
#[derive(Debug, PartialEq, Eq)]
pub struct Template<'t>(Vec<Part<'t>>);

#[derive(Debug, PartialEq, Eq)]
enum Part<'t> {
    Text(&'t str),
    Variable(&'t str),
}

/// For what a text is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// Values go in as they are.
    Text,
    /// Values go in on one line: what would begin another becomes a space.
    Line,
    /// Values go in escaped.
    Html,
}

impl<'t> Template<'t> {
    /// Reads a text.
    ///
    /// # Errors
    /// A sentence for its author, completing the name of the field.
    pub fn parse(text: &'t str) -> Result<Self, String> {
        let mut parts = Vec::new();
        let (mut rest, mut variables) = (text, 0);
        while let Some(open) = rest.find("{{") {
            let line = text[..text.len() - rest.len() + open].matches('\n').count() + 1;
            if open > 0 {
                parts.push(Part::Text(&rest[..open]));
            }
            let inside = &rest[open + 2..];
            let close = inside
                .find("}}")
                .ok_or_else(|| format!("has a {{{{ in line {line} that is never closed with }}}}"))?;
            let name = inside[..close].trim();
            if !is_name(name) {
                let shown: String = name.chars().take(40).collect();
                return Err(format!(
                    "has {{{{{shown}}}}} in line {line}, which is no name: letters, digits, underscores and dots, a \
                     letter first"
                ));
            }
            variables += 1;
            if variables > MOST_VARIABLES {
                return Err(format!("has more than {MOST_VARIABLES} variables"));
            }
            parts.push(Part::Variable(name));
            rest = &inside[close + 2..];
        }
        if !rest.is_empty() {
            parts.push(Part::Text(rest));
        }
        Ok(Self(parts))
    }

    /// The text with values for its variables. Names of those that are not there are added to `missing`.
    pub fn render(&self, values: &Map<String, Value>, form: Form, missing: &mut BTreeSet<String>) -> String {
        let mut out = String::new();
        for part in &self.0 {
            match part {
                Part::Text(text) => out.push_str(text),
                Part::Variable(name) => match value_of(values, name) {
                    Some(value) => out.push_str(&written(&value, form)),
                    None => {
                        missing.insert((*name).to_owned());
                    }
                },
            }
        }
        out
    }
}

fn is_name(name: &str) -> bool {
    (1..=MOST_NAME).contains(&name.len())
        && name.split('.').all(|word| {
            word.bytes().next().is_some_and(|b| b.is_ascii_alphabetic())
                && word.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
        })
}

/// What stands under a name, as text; nothing for what has no text of its own.
fn value_of<'v>(values: &'v Map<String, Value>, name: &str) -> Option<Cow<'v, str>> {
    let mut words = name.split('.');
    let first = values.get(words.next()?)?;
    match words.try_fold(first, |value, word| value.get(word))? {
        Value::String(text) => Some(text.as_str().into()),
        Value::Number(number) => Some(number.to_string().into()),
        Value::Bool(yes) => Some(if *yes { "true" } else { "false" }.into()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

fn written<'v>(value: &'v str, form: Form) -> Cow<'v, str> {
    match form {
        Form::Text => value.into(),
        Form::Line if value.chars().any(char::is_control) => {
            value.chars().map(|c| if c.is_control() { ' ' } else { c }).collect::<String>().into()
        }
        Form::Line => value.into(),
        Form::Html => escaped(value),
    }
}

/// Text that can stand in an element or a quoted attribute.
pub fn escaped(text: &str) -> Cow<'_, str> {
    if !text.contains(['&', '<', '>', '"', '\'']) {
        return text.into();
    }
    let mut out = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    out.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn render(text: &str, values: Value, form: Form) -> (String, Vec<String>) {
        let mut missing = BTreeSet::new();
        let values = values.as_object().unwrap().clone();
        let out = Template::parse(text).unwrap().render(&values, form, &mut missing);
        (out, missing.into_iter().collect())
    }

    #[test]
    fn values_stand_where_their_names_stood() {
        let values = json!({ "name": "Ada", "order": { "total": 12.5, "paid": true } });
        let (text, missing) =
            render("Hi {{name}}: {{ order.total }} {{order.paid}}{{name}}", values, Form::Text);
        assert_eq!((text.as_str(), missing.len()), ("Hi Ada: 12.5 trueAda", 0));
    }

    #[test]
    fn a_missing_value_is_empty_and_reported_once() {
        let values = json!({ "order": { "lines": [1] }, "nothing": null });
        let (text, missing) =
            render("[{{name}}{{name}}{{order.lines}}{{order}}{{nothing}}{{a.b}}]", values, Form::Text);
        assert_eq!(text, "[]");
        assert_eq!(missing, ["a.b", "name", "nothing", "order", "order.lines"]);
    }

    #[test]
    fn a_value_becomes_no_markup_no_header_and_no_other_variable() {
        let values = json!({ "x": "<b a='1' b=\"2\">&\r\n{{y}}", "y": "never" });
        assert_eq!(
            render("{{x}}", values.clone(), Form::Html).0,
            "&lt;b a=&#39;1&#39; b=&quot;2&quot;&gt;&amp;\r\n{{y}}"
        );
        assert_eq!(render("{{x}}", values, Form::Line).0, "<b a='1' b=\"2\">&  {{y}}");
    }

    #[test]
    fn a_mistake_is_named_with_its_line() {
        assert!(Template::parse("a\nb {{name").unwrap_err().contains("line 2"));
        for bad in ["{{}}", "{{ 1a }}", "{{a b}}", "{{a..b}}", "{{#if x}}", "{{{a}}}"] {
            assert!(Template::parse(bad).is_err(), "{bad}");
        }
        assert!(Template::parse(&"{{a}}".repeat(501)).is_err());
        assert_eq!(render("} {x} }}", json!({}), Form::Text).0, "} {x} }}");
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused_and_escaping_leaves_no_markup(text in "[a-z{}<>&\"'. \\n]{0,60}", value in ".{0,40}") {
            if let Ok(template) = Template::parse(&text) {
                let mut missing = BTreeSet::new();
                template.render(&Map::new(), Form::Html, &mut missing);
            }
            let safe = escaped(&value).into_owned();
            let has_markup = safe.contains(['<', '>', '"', '\'']);
            prop_assert!(!has_markup);
        }
    }
}
