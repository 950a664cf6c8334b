//! Names that a tenant may add. Pure.

use kernel::{Error, FieldCode, Result};

use crate::model::normal;

/// In front of the name stands the proof.
pub(crate) const PROOF_LABEL: &str = "_platform-verify";

/// Longest name: with the label in front it must still be one.
const LONGEST: usize = 253 - PROOF_LABEL.len() - 1;

/// Names at the top that nobody owns (RFC 6761, RFC 6762, RFC 7686, and what is used inside of networks).
const NOBODYS: [&str; 9] =
    ["localhost", "local", "internal", "invalid", "onion", "arpa", "lan", "home", "corp"];

/// A host's name in its one form: lower case, without a dot at its end, punycode. `own` are the platform's own.
///
/// # Errors
/// `validation-error` that names what is wrong and what to do.
pub(crate) fn read(text: &str, own: &[String]) -> Result<String> {
    let wrong = |code, message: &str| Err(Error::field("/hostname", code, message));
    let text = text.trim().trim_end_matches('.');
    if text.contains('*') {
        return wrong(FieldCode::NotAllowed, "a wildcard can't be added; add each host by its name");
    }
    if text.contains(['/', ':', '@', '[']) || normal(text).parse::<std::net::IpAddr>().is_ok() {
        return wrong(
            FieldCode::InvalidFormat,
            "must be a name like app.example.com: no scheme, port or address",
        );
    }
    let Ok(name) = idna::domain_to_ascii_strict(text) else {
        return wrong(FieldCode::InvalidFormat, "is not the name of a host");
    };
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    if name.len() > LONGEST {
        return wrong(FieldCode::TooLong, "takes at most 236 characters");
    }
    let Some((_, top)) = name.rsplit_once('.') else {
        return wrong(FieldCode::InvalidFormat, "needs at least two parts, like example.com");
    };
    if !name.split('.').all(label) || top.bytes().all(|b| b.is_ascii_digit()) {
        return wrong(FieldCode::InvalidFormat, "is not the name of a host");
    }
    if NOBODYS.contains(&top) {
        return wrong(FieldCode::NotAllowed, "ends in a name that nobody can own");
    }
    if own
        .iter()
        .any(|own| name == *own || name.strip_suffix(own.as_str()).is_some_and(|rest| rest.ends_with('.')))
    {
        return wrong(FieldCode::NotAllowed, "belongs to the platform itself");
    }
    if psl::domain_str(&name).is_none() {
        return wrong(FieldCode::NotAllowed, "is a public suffix, below which everybody registers names");
    }
    Ok(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_it(text: &str) -> Result<String> {
        read(text, &["platform.example".to_owned(), "kernel.acme.com".to_owned()])
    }

    #[test]
    fn a_name_has_one_form() {
        for (text, name) in [
            ("app.example.com", "app.example.com"),
            (" App.EXAMPLE.com. ", "app.example.com"),
            ("example.com", "example.com"),
            ("bücher.example", "xn--bcher-kva.example"),
            ("BÜCHER.example", "xn--bcher-kva.example"),
            ("xn--bcher-kva.example", "xn--bcher-kva.example"),
            ("例え.jp", "xn--r8jz45g.jp"),
            ("ⓔxample.com", "example.com"),
            ("me.github.io", "me.github.io"),
            ("shop.co.uk.example.com", "shop.co.uk.example.com"),
            ("acme.com", "acme.com"),
            ("notplatform.example", "notplatform.example"),
        ] {
            assert_eq!(read_it(text).unwrap(), name, "{text}");
        }
    }

    #[test]
    fn what_nobody_can_own_is_refused() {
        for text in [
            "*.example.com",
            "*",
            "127.0.0.1",
            "[::1]",
            "::1",
            "2130706433",
            "1.2.3",
            "com",
            "co.uk",
            "github.io",
            "localhost",
            "shop.localhost",
            "shop.acme.localhost",
            "router.local",
            "db.internal",
            "1.0.0.127.in-addr.arpa",
            "platform.example",
            "shop.platform.example",
            "kernel.acme.com",
            "a.kernel.acme.com",
            "",
            ".",
            "a..example.com",
            "-a.example.com",
            "a-.example.com",
            "a_b.example.com",
            "a b.example.com",
            "https://example.com",
            "example.com:443",
            "user@example.com",
            "example.com/x",
            "xn--a.example",
            "ex\u{0}ample.com",
        ] {
            let error = read_it(text).unwrap_err();
            assert_eq!(error.field_errors()[0].field, "/hostname", "{text}");
        }
        let long = format!("{}.com", vec!["a".repeat(60); 4].join("."));
        assert!(read_it(&long).is_err());
    }
}
