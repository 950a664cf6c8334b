use std::fmt::Write as _;

use kernel::{Slug, problem::Entry};

use super::html::{escaped, page};
use crate::visit::Response;

const STYLE: &str = "\
:root{color-scheme:light dark}body{font:16px/1.55 system-ui,sans-serif;margin:0;padding:6vh 5vw}main{max-width:44rem;\
margin:auto}h1{font-size:1.6rem;line-height:1.25;margin:.2em 0 1em}h2{font-size:1rem;margin:1.6em 0 .2em}p{margin:0}\
code{font:.95em ui-monospace,monospace}.status{font:600 .9rem ui-monospace,monospace;opacity:.7}ul{padding:0;\
list-style:none}li{padding:.35em 0;border-top:1px solid #8884}a{color:inherit}.foot{margin-top:3em;opacity:.7}";

/// The page of one kind of problem.
pub(super) fn one(entry: &Entry) -> Response {
    let body = format!(
        "<p class=\"status\">{} {}</p><h1>{}</h1><h2>Why</h2><p>{}</p><h2>What to do</h2><p>{}</p>\
         <p class=\"foot\">Quote the <code>traceId</code> of the answer when you report it. \
         <a href=\"/problems\">All problems</a></p>",
        entry.status,
        escaped(entry.slug),
        escaped(entry.title),
        prose(entry.cause),
        prose(entry.remedy)
    );
    page(entry.title, STYLE, &body)
}

/// The page of all kinds.
pub(super) fn list() -> Response {
    let items = Slug::ALL.iter().fold(String::new(), |mut items, slug| {
        let Entry { slug, status, title, .. } = slug.entry();
        let _ = write!(
            items,
            "<li><span class=\"status\">{status}</span> <a href=\"/problems/{slug}\"><code>{slug}</code></a> {}</li>",
            escaped(title)
        );
        items
    });
    page("Problems", STYLE, &format!("<h1>Problems</h1><ul>{items}</ul>"))
}

/// Text of the catalogue; what stands in backticks is code.
fn prose(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 32);
    for (at, part) in text.split('`').enumerate() {
        match at % 2 {
            0 => out.push_str(&escaped(part)),
            _ => {
                let _ = write!(out, "<code>{}</code>", escaped(part));
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;

    use super::*;

    #[tokio::test]
    async fn a_page_tells_cause_and_remedy_under_a_strict_policy() {
        let response = one(Slug::RateLimited.entry());
        let policy = response.headers()["content-security-policy"].to_str().unwrap().to_owned();
        assert!(policy.starts_with("default-src 'none'; style-src 'sha256-") && !policy.contains("unsafe"));
        let text = response.into_body().collect().await.unwrap().to_bytes();
        let text = std::str::from_utf8(&text).unwrap();
        assert!(text.contains("Too many requests") && text.contains("<code>Retry-After</code>"), "{text}");
    }
}
