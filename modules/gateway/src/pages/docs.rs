//! The reference: one page that loads nothing from elsewhere and reads `/openapi.json`.

use http::HeaderValue;

use super::html::source_of;

const PAGE: &str = include_str!("../../assets/docs.html");
const STYLE: &str = include_str!("../../assets/docs.css");
const SCRIPT: &str = include_str!("../../assets/docs.js");

/// The page and the policy under which a browser opens it: exactly this style and this script, and calls to its own
/// origin.
pub(super) fn page() -> (String, HeaderValue) {
    let text = PAGE.replace("/*style*/", STYLE).replace("/*script*/", SCRIPT);
    let policy = format!(
        "default-src 'none'; script-src {}; style-src {}; connect-src 'self'; base-uri 'none'; form-action 'none'; \
         frame-ancestors 'none'",
        source_of(SCRIPT),
        source_of(STYLE)
    );
    (text, HeaderValue::from_str(&policy).unwrap_or(HeaderValue::from_static("default-src 'none'")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_is_whole_and_loads_nothing() {
        let (text, policy) = page();
        assert!(
            text.contains(&format!("<style>{STYLE}</style>"))
                && text.contains(&format!("<script>{SCRIPT}</script>"))
        );
        for outside in [
            "http://",
            "https://",
            "src=",
            "@import",
            "url(",
            "<link",
            "innerHTML",
            "eval(",
            " style=",
            "onclick=",
        ] {
            assert!(!text.contains(outside), "{outside}");
        }
        let policy = policy.to_str().unwrap();
        assert_eq!(policy.matches("'sha256-").count(), 2);
        assert!(!policy.contains("unsafe"));
    }
}
