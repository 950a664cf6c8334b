//! Drawings are programs to a browser: what would run there, or fetch something, is refused.

use super::Refusal;

/// Most bytes of a drawing.
pub(super) const MOST: u64 = 10_000_000;

/// Elements that run or bring in something.
const ELEMENTS: [&str; 10] =
    ["script", "foreignobject", "iframe", "embed", "object", "handler", "listener", "audio", "video", "link"];

/// Looks for scripts, handlers of events, entities and references to elsewhere. It reads tags as a browser would, not by
/// looking for words: the words may stand in texts.
pub(super) fn check(bytes: &[u8]) -> Result<(), Refusal> {
    let text = std::str::from_utf8(bytes).map_err(|_| "The drawing is not UTF-8.")?;
    if text.contains("<!ENTITY") || text.to_ascii_uppercase().contains("<!ENTITY") {
        return Err("The drawing declares entities.".into());
    }
    let mut rest = text;
    while let Some(open) = rest.find('<') {
        rest = &rest[open + 1..];
        if let Some(comment) = rest.strip_prefix("!--") {
            rest = comment.split_once("-->").map_or("", |(_, after)| after);
            continue;
        }
        if let Some(data) = rest.strip_prefix("![CDATA[") {
            let (inside, after) = data.split_once("]]>").unwrap_or((data, ""));
            style(inside)?;
            rest = after;
            continue;
        }
        if rest.starts_with("?xml-stylesheet") {
            return Err("The drawing fetches a style sheet.".into());
        }
        let (tag, after) = cut_tag(rest);
        element(tag)?;
        if name_of(tag).eq_ignore_ascii_case("style") {
            let end = after.find("</").unwrap_or(after.len());
            style(&after[..end])?;
        }
        rest = after;
    }
    Ok(())
}

/// A tag up to its `>`, which may stand in quotes before.
fn cut_tag(text: &str) -> (&str, &str) {
    let mut quote = None;
    for (at, letter) in text.char_indices() {
        match (quote, letter) {
            (None, '"' | '\'') => quote = Some(letter),
            (Some(open), letter) if open == letter => quote = None,
            (None, '>') => return (&text[..at], &text[at + 1..]),
            _ => {}
        }
    }
    (text, "")
}

/// The name of an element without its namespace.
fn name_of(tag: &str) -> &str {
    let name = tag.split(|c: char| c.is_whitespace() || c == '/').next().unwrap_or("");
    name.rsplit(':').next().unwrap_or(name)
}

fn element(tag: &str) -> Result<(), Refusal> {
    let name = name_of(tag).to_ascii_lowercase();
    if ELEMENTS.contains(&name.as_str()) {
        return Err(format!("The drawing holds a <{name}>.").into());
    }
    for (attribute, value) in attributes(tag) {
        let attribute = attribute.rsplit(':').next().unwrap_or(&attribute).to_ascii_lowercase();
        if attribute.starts_with("on") {
            return Err(format!("The drawing runs something at {attribute}.").into());
        }
        let value = plain(&value);
        if ["href", "src", "action", "from", "to", "values", "data"].contains(&attribute.as_str())
            && (value.contains("javascript:") || value.contains("vbscript:") || value.contains("data:text"))
        {
            return Err(format!("The drawing runs something in its {attribute}.").into());
        }
        // A link for people to follow is not fetched; everything else is.
        let fetched = matches!(attribute.as_str(), "href" | "src") && name != "a";
        if fetched && !(value.is_empty() || value.starts_with('#') || value.starts_with("data:image/")) {
            return Err(format!("The drawing fetches something from elsewhere in its {attribute}.").into());
        }
        style(&value)?;
    }
    Ok(())
}

/// Style rules, and values of attributes, which may hold some.
fn style(text: &str) -> Result<(), Refusal> {
    let text = plain(text);
    if text.contains("@import") || text.contains("expression(") || text.contains("-moz-binding") {
        return Err("A style of the drawing runs or fetches something.".into());
    }
    let elsewhere = text.match_indices("url(").any(|(at, _)| {
        let target = text[at + 4..].trim_start_matches(['"', '\'']);
        !(target.starts_with('#') || target.starts_with("data:image/") || target.starts_with("data:font/"))
    });
    if elsewhere {
        return Err("A style of the drawing fetches something from elsewhere.".into());
    }
    Ok(())
}

/// A value as a browser takes it: character references resolved, white space and control characters left out, lower case.
fn plain(value: &str) -> String {
    let mut text = String::with_capacity(value.len());
    let mut rest = value;
    while let Some(at) = rest.find('&') {
        text.push_str(&rest[..at]);
        rest = &rest[at..];
        let end = rest.find(';').filter(|end| *end <= 12);
        let letter = end.and_then(|end| referred(&rest[1..end]));
        match (letter, end) {
            (Some(letter), Some(end)) => {
                text.push(letter);
                rest = &rest[end + 1..];
            }
            _ => {
                text.push('&');
                rest = &rest[1..];
            }
        }
    }
    text.push_str(rest);
    text.retain(|c| !c.is_whitespace() && !c.is_control());
    text.make_ascii_lowercase();
    text
}

fn referred(name: &str) -> Option<char> {
    let number = name.strip_prefix('#');
    match (name, number) {
        (_, Some(number)) => {
            let code = match number.strip_prefix(['x', 'X']) {
                Some(hex) => u32::from_str_radix(hex, 16).ok()?,
                None => number.parse().ok()?,
            };
            char::from_u32(code)
        }
        ("colon", None) => Some(':'),
        ("lpar", None) => Some('('),
        ("Tab" | "NewLine", None) => Some(' '),
        ("amp", None) => Some('&'),
        ("quot", None) => Some('"'),
        ("apos", None) => Some('\''),
        ("lt", None) => Some('<'),
        ("gt", None) => Some('>'),
        _ => None,
    }
}

/// `name="value"` of a tag, in order.
fn attributes(tag: &str) -> impl Iterator<Item = (String, String)> {
    let mut rest = tag.find(|c: char| c.is_whitespace() || c == '/').map_or("", |at| &tag[at..]);
    std::iter::from_fn(move || {
        rest = rest.trim_start_matches(|c: char| c.is_whitespace() || c == '/');
        if rest.is_empty() {
            return None;
        }
        let end = rest.find(|c: char| c.is_whitespace() || c == '=' || c == '/').unwrap_or(rest.len());
        let name = rest[..end.max(1).min(rest.len())].to_owned();
        rest = rest[name.len()..].trim_start();
        let Some(value) = rest.strip_prefix('=') else { return Some((name, String::new())) };
        let value = value.trim_start();
        let quote = value.chars().next().filter(|c| matches!(c, '"' | '\''));
        let (value, after) = match quote {
            Some(quote) => value[1..].split_once(quote).unwrap_or((&value[1..], "")),
            None => value.split_at(value.find(char::is_whitespace).unwrap_or(value.len())),
        };
        rest = after;
        Some((name, value.to_owned()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn svg(inside: &str) -> Result<(), Refusal> {
        check(
            format!("<?xml version=\"1.0\"?><svg xmlns=\"http://www.w3.org/2000/svg\">{inside}</svg>")
                .as_bytes(),
        )
    }

    #[test]
    fn a_drawing_is_a_drawing() {
        for fine in [
            "<path d=\"M0 0\" style=\"fill:url(#g)\"/><title>On script and onload=1</title>",
            "<a href=\"https://example.com\"><text>javascript: the good parts</text></a>",
            "<use xlink:href='#part'/><image href=\"data:image/png;base64,AAAA\"/>",
            "<!-- <script>old</script> --><style>.a{fill:red}</style><style><![CDATA[ .b > .c {fill:blue} ]]></style>",
            "<metadata><rdf:li>on</rdf:li></metadata><g/><rect width='1' height=1 />",
        ] {
            assert_eq!(svg(fine), Ok(()), "{fine}");
        }
    }

    #[test]
    fn what_would_run_or_fetch_is_refused() {
        for bad in [
            "<script>alert(1)</script>",
            "<SCRIPT href='#x'/>",
            "<svg:script>1</svg:script>",
            "<g onload=\"alert(1)\"/>",
            "<g\nONLOAD=alert(1)>",
            "<g/onclick='1'/>",
            "<a href=\"javascript:alert(1)\">x</a>",
            "<a xlink:href=\" java&#x73;cript&colon;alert(1)\">x</a>",
            "<a href='jav\tascript:1'>x</a>",
            "<animate attributeName=href values=\"javascript:alert(1)\"/>",
            "<set attributeName='href' to='javascript:1'/>",
            "<image href=\"https://example.com/a.png\"/>",
            "<use href='other.svg#x'/>",
            "<foreignObject><p/></foreignObject>",
            "<iframe src='x'/>",
            "<style>@import 'x'</style>",
            "<style><![CDATA[ .a{background:url(https://x.test)} ]]></style>",
            "<rect style=\"fill:url(&#104;ttp://x.test)\"/>",
            "<image href='data:text/html,<script>1</script>'/>",
        ] {
            assert!(svg(bad).is_err(), "{bad}");
        }
        let entity = b"<!DOCTYPE svg [<!entity a 'javascript:'>]><svg/>";
        assert!(check(entity).is_err() && check(b"<svg>\xff</svg>").is_err());
        assert!(check(b"<?xml-stylesheet href='x.css'?><svg/>").is_err());
    }
}
