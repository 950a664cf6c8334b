//! The configuration file: reading its keys with their lines, and writing an example of it.

use std::fmt::Write as _;

use toml::de::{DeTable, DeValue};

use super::form::Kind;
use super::settings::{DefaultValue, SETTINGS, Setting};

/// A longer file is not ours.
const FILE_LIMIT: usize = 256 * 1024;

/// One key of the file, or one fault in its grammar.
pub(super) struct Entry {
    pub key: String,
    /// Counted from 1.
    pub line: usize,
    pub value: Result<Value, Fault>,
}

/// A value in the spelling that environment and flags have.
pub(super) struct Value {
    pub text: String,
    pub is_list: bool,
}

/// Why an entry has no value.
pub(super) enum Fault {
    /// The file is not TOML at this line.
    Syntax(String),
    /// A table, a date, a fraction: no setting has that type.
    Type(&'static str),
}

impl Fault {
    /// What was found in place of a value.
    pub fn found(self) -> &'static str {
        match self {
            Self::Syntax(_) => "this",
            Self::Type(found) => found,
        }
    }
}

/// All entries in the order of the file. Faults in the grammar are entries too, so that all are told at once.
pub(super) fn entries(text: &str) -> Vec<Entry> {
    let fault =
        |line, message: String| Entry { key: "file".into(), line, value: Err(Fault::Syntax(message)) };
    if text.len() > FILE_LIMIT {
        return vec![fault(1, format!("the file is {} bytes long, at most {FILE_LIMIT}", text.len()))];
    }
    let (table, errors) = DeTable::parse_recoverable(text);
    let line_of = |offset: usize| text.as_bytes().iter().take(offset).filter(|b| **b == b'\n').count() + 1;
    if !errors.is_empty() {
        let told = |error: &toml::de::Error| {
            let line = line_of(error.span().map_or(0, |span| span.start));
            let hint = "text stands in quotes, as in data_dir = \"/srv/platform-kernel\"";
            fault(line, format!("not TOML: {}; {hint}", error.message()))
        };
        return errors.iter().take(10).map(told).collect();
    }
    let mut entries: Vec<Entry> = table
        .into_inner()
        .into_iter()
        .map(|(key, value)| Entry {
            line: line_of(key.span().start),
            key: key.into_inner().into_owned(),
            value: plain(value.get_ref()),
        })
        .collect();
    entries.sort_by_key(|entry| entry.line);
    entries
}

fn plain(value: &DeValue<'_>) -> Result<Value, Fault> {
    if let DeValue::Array(items) = value {
        let texts = items.iter().map(|item| scalar(item.get_ref())).collect::<Result<Vec<_>, _>>()?;
        return Ok(Value { text: texts.join(","), is_list: true });
    }
    scalar(value).map(|text| Value { text, is_list: false })
}

fn scalar(value: &DeValue<'_>) -> Result<String, Fault> {
    match value {
        DeValue::String(text) => Ok(text.to_string()),
        DeValue::Boolean(on) => Ok(on.to_string()),
        DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix())
            .map(|number| number.to_string())
            .map_err(|_| Fault::Type("a number that large")),
        DeValue::Float(_) => Err(Fault::Type("a fraction")),
        DeValue::Datetime(_) => Err(Fault::Type("a date")),
        DeValue::Array(_) => Err(Fault::Type("a list in a list")),
        DeValue::Table(_) => Err(Fault::Type("a table")),
    }
}

/// A value as one writes it in the file.
pub(super) fn literal(setting: &Setting, text: &str) -> String {
    match setting.kind {
        Kind::Switch | Kind::Number => text.to_owned(),
        Kind::Text => toml_text(text),
        Kind::List => {
            let entries = text.split(',').filter(|entry| !entry.is_empty()).map(toml_text);
            format!("[{}]", entries.collect::<Vec<_>>().join(", "))
        }
    }
}

fn toml_text(text: &str) -> String {
    // JSON's escapes are TOML's.
    serde_json::Value::from(text).to_string()
}

/// A configuration file with every setting of this version, all commented out. `# ` begins an explanation,
/// a bare `#` a setting: its default where it has a fixed one, otherwise an example.
pub fn example_toml() -> String {
    let mut file = String::from(
        "# Platform Kernel. Remove the # before a key to set it.\n\
         # Flags go before the environment, the environment before this file.\n",
    );
    for setting in SETTINGS.iter().filter(|setting| setting.available && !setting.outside_file) {
        let mut explain = |line: &str| {
            let _ = writeln!(file, "# {line}");
        };
        explain("");
        explain(setting.help);
        explain(&format!("It is {}; in the environment {}.", setting.shape, setting.name));
        let shown = match setting.default {
            DefaultValue::Fixed(value) => value,
            DefaultValue::Unset(words) | DefaultValue::Computed(words) => {
                explain(&format!("Not set: {words}."));
                setting.example
            }
        };
        let suffix = if setting.secret {
            explain(&format!("The file holds nothing else; {} takes the text itself.", setting.key()));
            "_file"
        } else {
            ""
        };
        let _ = writeln!(file, "#{}{suffix} = {}", setting.key(), literal(setting, shown));
    }
    file.replace("# \n", "\n")
}
