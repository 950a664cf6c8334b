//! `multipart/form-data` (RFC 7578) as it flows in: fields, then one file. Only what is being looked at is in memory.
//!
//! Written here because the quota wants to know how many bytes of the body belong to the file before the first of them is
//! stored: [`Multipart::taken`] tells where in the body the parser is, which parsers that read ahead can't.

use std::{pin::Pin, time::Duration};

use bytes::{Buf, Bytes, BytesMut};
use futures::{Stream, StreamExt};
use kernel::{Error, FieldCode, Result, Slug};
use memchr::memmem::Finder;

/// The longest time without a byte.
const IDLE: Duration = Duration::from_secs(30);
/// Most bytes of a part's head.
const HEAD: usize = 8 * 1024;
/// Longest boundary (RFC 2046 §5.1.1).
const BOUNDARY: usize = 70;

/// A body that is read part by part.
pub(crate) struct Multipart {
    body: Pin<Box<dyn Stream<Item = Result<Bytes>> + Send>>,
    buffer: BytesMut,
    /// `\r\n--boundary`.
    delimiter: Finder<'static>,
    /// Bytes of the body that have left the buffer.
    taken: u64,
    ended: bool,
    place: Place,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// Before a delimiter.
    Between,
    Inside,
    Over,
}

/// The head of a part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Part {
    pub name: String,
    pub filename: Option<String>,
    pub content_type: Option<String>,
}

/// The boundary that a `Content-Type` names.
///
/// # Errors
/// `unsupported-media-type` for another type of body.
pub(crate) fn boundary(content_type: Option<&str>) -> Result<String> {
    let wrong = || {
        Error::new(
            Slug::UnsupportedMediaType,
            "Send the file as multipart/form-data, in a part named \u{201c}file\u{201d}: curl -F file=@photo.jpg …",
        )
    };
    let text = content_type.ok_or_else(wrong)?;
    let (essence, rest) = text.split_once(';').ok_or_else(wrong)?;
    if !essence.trim().eq_ignore_ascii_case("multipart/form-data") {
        return Err(wrong());
    }
    let boundary = parameters(rest).find(|(name, _)| name == "boundary").map(|(_, value)| value);
    let fits = |text: &String| {
        (1..=BOUNDARY).contains(&text.len()) && text.bytes().all(|b| (0x20..0x7f).contains(&b))
    };
    boundary.filter(fits).ok_or_else(wrong)
}

impl Multipart {
    pub(crate) fn new(boundary: &str, body: impl Stream<Item = Result<Bytes>> + Send + 'static) -> Self {
        let delimiter = format!("\r\n--{boundary}");
        Self {
            body: Box::pin(body),
            // The first delimiter has no line before it.
            buffer: BytesMut::from(&b"\r\n"[..]),
            delimiter: Finder::new(&delimiter).into_owned(),
            taken: 0,
            ended: false,
            place: Place::Between,
        }
    }

    /// Bytes of the body before the next byte that [`Multipart::chunk`] will give.
    pub(crate) fn taken(&self) -> u64 {
        // The line break that was put before the body is none of its bytes.
        self.taken.saturating_sub(2)
    }

    /// Bytes of the line that ends a body after its last part; some clients leave out the line break at its end.
    pub(crate) fn closing(&self) -> u64 {
        self.delimiter.needle().len() as u64 + 4
    }

    /// The next part; what is left of the one before is passed over.
    ///
    /// # Errors
    /// `validation-error` for a body of another form, `payload-too-large`, or what the connection says.
    pub(crate) async fn next(&mut self) -> Result<Option<Part>> {
        while self.chunk().await?.is_some() {}
        if self.place == Place::Over {
            return Ok(None);
        }
        let at = loop {
            if let Some(at) = self.delimiter.find(&self.buffer) {
                break at;
            }
            if self.buffer.len() > HEAD || !self.more().await? {
                return Err(malformed("does not begin with its boundary"));
            }
        };
        self.take(at + self.delimiter.needle().len());
        self.at_least(2).await?;
        if self.buffer.starts_with(b"--") {
            self.place = Place::Over;
            return Ok(None);
        }
        let end = loop {
            if let Some(end) = memchr::memmem::find(&self.buffer, b"\r\n\r\n") {
                break end;
            }
            if self.buffer.len() > HEAD || !self.more().await? {
                return Err(malformed("has a part without the end of its head"));
            }
        };
        let head = self.take(end + 4);
        self.place = Place::Inside;
        part(&head[..end]).map(Some)
    }

    /// The next piece of the current part; none at its end.
    ///
    /// # Errors
    /// As [`Multipart::next`].
    pub(crate) async fn chunk(&mut self) -> Result<Option<Bytes>> {
        if self.place != Place::Inside {
            return Ok(None);
        }
        loop {
            match self.delimiter.find(&self.buffer) {
                Some(0) => {
                    self.place = Place::Between;
                    return Ok(None);
                }
                Some(at) => return Ok(Some(self.take(at).freeze())),
                None => {
                    // The beginning of a delimiter may stand at the end.
                    let sure = self.buffer.len().saturating_sub(self.delimiter.needle().len() - 1);
                    if sure > 0 {
                        return Ok(Some(self.take(sure).freeze()));
                    }
                }
            }
            if !self.more().await? {
                return Err(malformed("ends within a part"));
            }
        }
    }

    /// The whole of the current part as text.
    ///
    /// # Errors
    /// `validation-error` over `most` bytes or when it is not UTF-8; as [`Multipart::next`].
    pub(crate) async fn text(&mut self, field: &str, most: usize) -> Result<String> {
        let mut text = Vec::new();
        while let Some(piece) = self.chunk().await? {
            if text.len() + piece.len() > most {
                return Err(Error::field(field, FieldCode::TooLong, format!("takes at most {most} bytes")));
            }
            text.extend_from_slice(&piece);
        }
        String::from_utf8(text).map_err(|_| Error::field(field, FieldCode::InvalidFormat, "is not UTF-8"))
    }

    /// Reads on for a while after a refusal, so that the client hears it instead of a broken connection.
    pub(crate) async fn drain(&mut self, most: u64) {
        let until = self.taken + most;
        self.take(self.buffer.len());
        while self.taken < until && matches!(self.more().await, Ok(true)) {
            self.take(self.buffer.len());
        }
    }

    fn take(&mut self, bytes: usize) -> BytesMut {
        self.taken += bytes as u64;
        self.buffer.split_to(bytes)
    }

    async fn at_least(&mut self, bytes: usize) -> Result<()> {
        while self.buffer.len() < bytes {
            if !self.more().await? {
                return Err(malformed("ends within a boundary"));
            }
        }
        Ok(())
    }

    /// Waits for more of the body; false at its end.
    async fn more(&mut self) -> Result<bool> {
        if self.ended {
            return Ok(false);
        }
        match tokio::time::timeout(IDLE, self.body.next()).await {
            Ok(Some(piece)) => {
                let piece = piece?;
                // What was taken apart so far needs no copy when nothing is left of it.
                if self.buffer.is_empty() {
                    self.buffer = BytesMut::from(piece);
                } else {
                    self.buffer.extend_from_slice(piece.chunk());
                }
                Ok(true)
            }
            Ok(None) => {
                self.ended = true;
                Ok(false)
            }
            Err(_) => {
                let detail = format!("Nothing of the body came for {} seconds.", IDLE.as_secs());
                Err(Error::new(Slug::DeadlineExceeded, detail))
            }
        }
    }
}

fn malformed(what: &str) -> Error {
    Error::field("/", FieldCode::InvalidFormat, format!("the multipart body {what}"))
}

/// Reads the head of a part: lines of `Name: value`, the first of them still behind the boundary's own line break.
fn part(head: &[u8]) -> Result<Part> {
    let head = std::str::from_utf8(head).map_err(|_| malformed("has a part whose head is not UTF-8"))?;
    let (mut name, mut filename, mut content_type) = (None, None, None);
    for line in head.split("\r\n") {
        let Some((header, value)) = line.split_once(':') else { continue };
        if header.trim().eq_ignore_ascii_case("content-disposition") {
            for (parameter, value) in parameters(value) {
                match parameter.as_str() {
                    "name" => name = Some(value),
                    "filename" => filename = Some(value),
                    _ => {}
                }
            }
        } else if header.trim().eq_ignore_ascii_case("content-type") {
            content_type = Some(value.trim().to_owned());
        }
    }
    let name = name.ok_or_else(|| malformed("has a part without a name"))?;
    Ok(Part { name, filename, content_type })
}

/// `; name=value; name="value"`, as they come. Browsers write quotes in names as `%22` (HTML Standard, "Multipart form
/// data"), programs as `\"`.
fn parameters(text: &str) -> impl Iterator<Item = (String, String)> {
    let mut rest = text;
    std::iter::from_fn(move || {
        loop {
            let (name, after) = rest.split_once('=')?;
            let name = name.rsplit(';').next().unwrap_or(name).trim().to_ascii_lowercase();
            let after = after.trim_start();
            let value;
            if let Some(quoted) = after.strip_prefix('"') {
                let mut text = String::new();
                let mut end = quoted.len();
                let mut letters = quoted.char_indices();
                while let Some((at, letter)) = letters.next() {
                    match letter {
                        '"' => {
                            end = at + 1;
                            break;
                        }
                        '\\' => match letters.next() {
                            Some((_, next @ ('"' | '\\'))) => text.push(next),
                            Some((_, next)) => text.extend(['\\', next]),
                            None => {}
                        },
                        letter => text.push(letter),
                    }
                }
                rest = quoted.get(end..).unwrap_or("");
                value = text.replace("%22", "\"").replace("%0D", "\r").replace("%0A", "\n");
            } else {
                let end = after.find(';').unwrap_or(after.len());
                value = after[..end].trim().to_owned();
                rest = &after[end..];
            }
            if !name.is_empty() {
                return Some((name, value));
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use futures::stream;
    use proptest::prelude::*;

    use super::*;

    fn reader(body: &[u8], step: usize) -> Multipart {
        let pieces: Vec<Result<Bytes>> =
            body.chunks(step).map(|piece| Ok(Bytes::copy_from_slice(piece))).collect();
        Multipart::new("XyZ", stream::iter(pieces))
    }

    async fn file(reader: &mut Multipart) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        while let Some(piece) = reader.chunk().await? {
            bytes.extend_from_slice(&piece);
        }
        Ok(bytes)
    }

    fn body(content: &[u8]) -> Vec<u8> {
        let mut body = b"--XyZ\r\nContent-Disposition: form-data; name=\"bucket\"\r\n\r\nassets\r\n--XyZ\r\n\
            content-disposition: form-data; name=\"file\"; filename=\"a \\\"b\\\"; c=%22d.txt\"\r\nContent-Type: text/plain\r\n\r\n"
            .to_vec();
        body.extend(content);
        body.extend(b"\r\n--XyZ--\r\n");
        body
    }

    proptest! {
        #[test]
        fn a_body_reads_the_same_however_it_is_cut(content in prop::collection::vec(prop::sample::select(b"\r\n-XyZa".to_vec()), 0..200), step in 1_usize..40) {
            prop_assume!(memchr::memmem::find(&[b"\r\n".as_slice(), &content].concat(), b"\r\n--XyZ").is_none());
            let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
            runtime.block_on(async {
                let whole = body(&content);
                let mut reader = reader(&whole, step);
                let first = reader.next().await.unwrap().unwrap();
                assert_eq!((first.name.as_str(), first.filename), ("bucket", None));
                assert_eq!(reader.text("/bucket", 10).await.unwrap(), "assets");
                let second = reader.next().await.unwrap().unwrap();
                assert_eq!(second.filename.as_deref(), Some("a \"b\"; c=\"d.txt"));
                assert_eq!(second.content_type.as_deref(), Some("text/plain"));
                let size = whole.len() as u64 - reader.taken() - reader.closing();
                assert_eq!(size, content.len() as u64, "the size is known before the first byte");
                assert_eq!(file(&mut reader).await.unwrap(), content);
                assert_eq!(reader.next().await.unwrap(), None);
            });
        }
    }

    #[tokio::test]
    async fn a_body_of_another_form_says_what_is_wrong() {
        for (bad, word) in [
            (&b"hello"[..], "boundary"),
            (b"--XyZ\r\nContent-Type: text/plain\r\n\r\nx\r\n--XyZ--", "without a name"),
            (b"--XyZ\r\nContent-Disposition: form-data; name=a", "head"),
            (b"--XyZ\r\nContent-Disposition: form-data; name=a\r\n\r\nhalf", "within a part"),
        ] {
            let mut reader = reader(bad, 7);
            let told = loop {
                match reader.next().await {
                    Ok(Some(_)) => {}
                    Ok(None) => panic!("{bad:?}"),
                    Err(error) => break error,
                }
            };
            assert!(told.detail().contains(word), "{told}");
        }
        let mut long = reader(&body(&[b'a'; 10]), 9);
        long.next().await.unwrap();
        assert_eq!(long.text("/bucket", 3).await.unwrap_err().field_errors()[0].code, FieldCode::TooLong);
    }

    #[test]
    fn the_boundary_is_what_the_header_says() {
        for (text, found) in [
            ("multipart/form-data; boundary=abc", Some("abc")),
            ("Multipart/Form-Data; charset=utf-8; Boundary=\"a b\"", Some("a b")),
            ("multipart/form-data", None),
            ("multipart/form-data; boundary=", None),
            ("application/json; boundary=abc", None),
        ] {
            assert_eq!(boundary(Some(text)).ok().as_deref(), found, "{text}");
        }
        assert_eq!(boundary(None).unwrap_err().slug(), Slug::UnsupportedMediaType);
    }
}
