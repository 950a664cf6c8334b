//! Sending files: whole, in part, or not at all when the client has them.

use std::ops::Range;

use axum::{body::Body, response::Response};
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use kernel::{Error, Slug};
use ports::http::{Access, Cx, Operation, Path, Query, Result, Routes, State};
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, de::Error as _};

use super::Service;
use crate::{
    model::{self, FileId},
    service::Content,
};

/// How to send it.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct ContentQuery {
    /// To be shown in place (`?inline`) instead of downloaded. What a browser would run is downloaded all the same.
    #[serde(default)]
    #[schemars(with = "Option<bool>")]
    inline: Flag,
}

/// A parameter that says something by being there.
#[derive(Debug, Clone, Copy, Default)]
struct Flag(bool);

impl<'de> Deserialize<'de> for Flag {
    fn deserialize<D: Deserializer<'de>>(d: D) -> std::result::Result<Self, D::Error> {
        match String::deserialize(d)?.as_str() {
            "" | "true" | "1" => Ok(Self(true)),
            "false" | "0" => Ok(Self(false)),
            _ => Err(D::Error::custom("is true, false, or has no value")),
        }
    }
}

pub(super) fn add(routes: Routes<Service>) -> Routes<Service> {
    routes
        .add(
            Operation::get("/files/{id}", "downloadFile", Access::Permission("files.read"))
                .summary("Download a file, or a range of it")
                .description("`Range`, `If-Range` and `If-None-Match` are understood. What is known of it: …/metadata.")
                .query::<ContentQuery>()
                .problems(&[Slug::FileRejected, Slug::Gone, Slug::RangeNotSatisfiable]),
            download,
        )
        .add(
            Operation::get("/signed-files/{token}", "downloadSignedFile", Access::Public)
                .summary("Download a file by its signed address")
                .description(
                    "Where files lie in an S3 store, the answer is 302 and leads there, to an address that is good for a \
                     minute.",
                )
                .problems(&[Slug::FileRejected, Slug::Gone, Slug::RangeNotSatisfiable]),
            signed,
        )
}

async fn download(
    State(files): State<Service>,
    Cx(cx): Cx,
    Path(id): Path<FileId>,
    Query(query): Query<ContentQuery>,
    headers: HeaderMap,
) -> Result<Response> {
    let content = files.content(&cx, id, query.inline.0).await?;
    send(&content, &headers).await
}

async fn signed(
    State(files): State<Service>,
    Cx(cx): Cx,
    Path(token): Path<String>,
    method: Method,
    headers: HeaderMap,
) -> Result<Response> {
    let content = files.signed_content(&cx, &token).await?;
    // What a store signs is good for one method.
    if method == Method::GET
        && let Some(address) = content.address(&typed(&content.media_type)).await?
    {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::FOUND;
        response.headers_mut().insert(header::LOCATION, value(&address));
        response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        return Ok(response);
    }
    send(&content, &headers).await
}

/// What part of a file is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Whole,
    Bytes(Range<u64>),
    Nowhere,
}

async fn send(content: &Content, asked: &HeaderMap) -> Result<Response> {
    if has_already(asked, &content.tag) {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        describe(response.headers_mut(), content);
        return Ok(response);
    }
    let part = match part(asked, &content.tag, content.size) {
        Part::Nowhere => {
            let detail = format!("The file has {} bytes; the range lies behind them.", content.size);
            return Err(Error::new(Slug::RangeNotSatisfiable, detail).into());
        }
        Part::Whole => None,
        Part::Bytes(range) => Some(range),
    };
    let is_part = part.is_some();
    let blob = content.bytes(part).await?;
    let (size, range) = (blob.size, blob.range.clone());
    let mut response = Response::new(Body::from_stream(blob.body));
    let headers = response.headers_mut();
    describe(headers, content);
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(range.end - range.start));
    headers.insert(header::CONTENT_TYPE, value(&typed(&content.media_type)));
    headers.insert(header::CONTENT_DISPOSITION, value(&model::disposition(content.is_inline, &content.name)));
    if is_part {
        let text = format!("bytes {}-{}/{size}", range.start, range.end - 1);
        headers.insert(header::CONTENT_RANGE, value(&text));
        *response.status_mut() = StatusCode::PARTIAL_CONTENT;
    }
    Ok(response)
}

/// Headers of every answer, with or without bytes.
fn describe(headers: &mut HeaderMap, content: &Content) {
    headers.insert(header::ETAG, value(&content.tag));
    headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));
    guard(headers);
}

/// An uploaded file is nobody's page here: it runs nothing, fetches nothing and has no origin.
pub(super) fn guard(headers: &mut HeaderMap) {
    headers.insert(
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static("default-src 'none'; style-src 'unsafe-inline'; img-src data:; sandbox"),
    );
    headers.insert("cross-origin-resource-policy", HeaderValue::from_static("same-origin"));
}

/// Texts are UTF-8, as far as the scan looked.
fn typed(media_type: &str) -> String {
    if media_type.starts_with("text/") {
        format!("{media_type}; charset=utf-8")
    } else {
        media_type.to_owned()
    }
}

fn value(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).unwrap_or(HeaderValue::from_static(""))
}

/// `If-None-Match` (RFC 9110 §13.1.2): the comparison is weak.
pub(super) fn has_already(asked: &HeaderMap, tag: &str) -> bool {
    asked.get_all(header::IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok()).any(|list| {
        list.split(',').map(str::trim).any(|known| known == "*" || known.trim_start_matches("W/") == tag)
    })
}

/// `Range` and `If-Range` (RFC 9110 §14.2). Several ranges at once, and units other than bytes, are answered with the whole
/// file, as the standard allows.
fn part(asked: &HeaderMap, tag: &str, size: u64) -> Part {
    let text = |name| asked.get(name).and_then(|value: &HeaderValue| value.to_str().ok()).map(str::trim);
    let Some(range) = text(header::RANGE) else { return Part::Whole };
    if text(header::IF_RANGE).is_some_and(|known| known != tag) {
        return Part::Whole;
    }
    let Some((from, to)) = range.strip_prefix("bytes=").and_then(|range| range.split_once('-')) else {
        return Part::Whole;
    };
    let number = |text: &str| match text.trim() {
        "" => Ok(None),
        text => text.parse::<u64>().map(Some),
    };
    match (number(from), number(to)) {
        (Ok(Some(from)), Ok(to)) => {
            let end = to.map_or(size, |to| to.saturating_add(1).min(size));
            match to {
                Some(to) if to < from => Part::Whole,
                _ if from >= size => Part::Nowhere,
                _ => Part::Bytes(from..end),
            }
        }
        (Ok(None), Ok(Some(0))) => Part::Nowhere,
        (Ok(None), Ok(Some(last))) if size > 0 => Part::Bytes(size.saturating_sub(last)..size),
        (Ok(None), Ok(Some(_))) => Part::Nowhere,
        _ => Part::Whole,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(pairs: &[(header::HeaderName, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, text)| (name.clone(), value(text))).collect()
    }

    #[test]
    fn a_range_is_cut_at_the_end_and_refused_behind_it() {
        for (text, wanted) in [
            ("bytes=0-4", Part::Bytes(0..5)),
            ("bytes=5-", Part::Bytes(5..10)),
            ("bytes=-3", Part::Bytes(7..10)),
            ("bytes=-30", Part::Bytes(0..10)),
            ("bytes=8-99", Part::Bytes(8..10)),
            ("bytes=10-", Part::Nowhere),
            ("bytes=-0", Part::Nowhere),
            ("bytes=4-2", Part::Whole),
            ("bytes=0-1,4-5", Part::Whole),
            ("pages=1-2", Part::Whole),
            ("bytes=x-y", Part::Whole),
            ("bytes=-", Part::Whole),
        ] {
            assert_eq!(part(&asked(&[(header::RANGE, text)]), "\"a\"", 10), wanted, "{text}");
        }
        assert_eq!(part(&HeaderMap::new(), "\"a\"", 10), Part::Whole);
        assert_eq!(part(&asked(&[(header::RANGE, "bytes=-1")]), "\"a\"", 0), Part::Nowhere);
    }

    #[test]
    fn a_range_of_other_bytes_is_not_given() {
        let range = (header::RANGE, "bytes=0-4");
        let same = asked(&[range.clone(), (header::IF_RANGE, "\"a\"")]);
        assert_eq!(part(&same, "\"a\"", 10), Part::Bytes(0..5));
        let other = asked(&[range, (header::IF_RANGE, "\"b\"")]);
        assert_eq!(part(&other, "\"a\"", 10), Part::Whole);
    }

    #[test]
    fn what_the_client_has_is_not_sent_again() {
        for (text, has) in
            [("\"a\"", true), ("W/\"a\"", true), ("\"b\", \"a\"", true), ("*", true), ("\"b\"", false)]
        {
            assert_eq!(has_already(&asked(&[(header::IF_NONE_MATCH, text)]), "\"a\""), has, "{text}");
        }
    }
}
