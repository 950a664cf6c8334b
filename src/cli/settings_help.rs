//! The settings in `--help`, in groups, made from the one table.

use std::fmt::Write;

use kernel::config::{Kind, SETTINGS, Setting};

/// Headings and which settings stand under them, by the beginning of their names. The longest that fits holds.
const GROUPS: [(&str, &[&str]); 8] = [
    ("Data and first start", &["KERNEL_"]),
    ("Listeners", &["GATEWAY_", "IAM_", "GRPC_", "KERNEL_PORT_OFFSET", "KERNEL_TRUSTED_PROXIES"]),
    ("Bounds and shutdown", &["GATEWAY_REQUEST_", "GATEWAY_SHUTDOWN_", "SHUTDOWN_", "RATE_", "ENVOY_"]),
    (
        "PostgreSQL",
        &[
            "DATABASE_",
            "DB_",
            "KERNEL_ADOPT_",
            "KERNEL_DURABILITY",
            "KERNEL_POSTGRES_",
            "KERNEL_SANDBOX_MODE",
        ],
    ),
    ("Parts outside", &["VALKEY_", "SSL_"]),
    ("Events, sandboxes, modules", &["KAFKA_", "SANDBOX_", "MODULE_", "KERNEL_ALLOWED_"]),
    ("Mail, files, flags, names", &["SMTP_", "NOTIFY_", "FILES_", "S3_", "FLAGS_", "KERNEL_DNS_"]),
    ("Log", &["LOG_"]),
];

/// The heading of a setting.
fn heading(setting: &Setting) -> &'static str {
    let fitting = GROUPS.iter().filter_map(|(heading, beginnings)| {
        let longest = beginnings.iter().filter(|b| setting.name.starts_with(**b)).map(|b| b.len()).max()?;
        Some((longest, *heading))
    });
    fitting.max_by_key(|(length, _)| *length).map_or("Others", |(_, heading)| heading)
}

/// Every setting of this version under its heading: flag, default, what it does.
pub fn text() -> String {
    let mut text = String::from(
        "Settings (a flag goes before the environment, the environment before the file of --config):\n",
    );
    for (group, _) in GROUPS {
        let _ = write!(text, "\n{group}:\n");
        for setting in SETTINGS.iter().filter(|setting| setting.available && heading(setting) == group) {
            let file = if setting.secret { "[-file]" } else { "" };
            let default = match setting.default.text() {
                "" => "none",
                words => words,
            };
            let env = if setting.flag_only { String::new() } else { format!("; {}", setting.name) };
            let _ = write!(
                text,
                "  --{}{file} <{}>\n      {} [default: {default}{env}]\n",
                setting.flag(),
                shape(setting.kind),
                setting.help,
            );
        }
    }
    text.push_str("\n`platform-kernel config` shows what is in force and where it comes from.");
    text
}

fn shape(kind: Kind) -> &'static str {
    match kind {
        Kind::Switch => "true|false",
        Kind::Number => "NUMBER",
        Kind::Text => "VALUE",
        Kind::List => "A,B",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_setting_of_this_version_stands_in_the_help() {
        let text = text();
        for setting in SETTINGS.iter().filter(|setting| setting.available) {
            assert_ne!(heading(setting), "Others", "{}", setting.name);
            assert!(text.contains(&format!("--{}", setting.flag())), "{}", setting.name);
        }
    }
}
