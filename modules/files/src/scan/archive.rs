//! Archives: unpacked and counted, and thrown away as they come. What a directory says of sizes is not believed.

use std::{
    io::{self, Read},
    ops::Range,
};

use bytes::Bytes;
use flate2::read::{DeflateDecoder, MultiGzDecoder};
use kernel::{Error, Result};
use memchr::memmem;

use super::{Refusal, eicar};

/// Bytes that can be read anywhere.
pub(crate) trait Source {
    fn size(&self) -> u64;
    /// These bytes, all within the size.
    fn read(&mut self, range: Range<u64>) -> Result<Bytes>;
}

impl Source for Bytes {
    fn size(&self) -> u64 {
        self.len() as u64
    }

    fn read(&mut self, range: Range<u64>) -> Result<Bytes> {
        let within = |at: u64| usize::try_from(at).ok().filter(|at| *at <= self.len());
        match (within(range.start), within(range.end)) {
            (Some(start), Some(end)) if start <= end => Ok(self.slice(start..end)),
            _ => Err(Error::internal("a read beyond the end")),
        }
    }
}

/// Most bytes that an archive may unpack to.
const EXPANDED: u64 = 1_000_000_000;
/// Most that it may grow by; up to `GROWS_FREELY` bytes it may grow as it likes.
const GROWTH: u64 = 100;
const GROWS_FREELY: u64 = 50_000_000;
/// Most entries, those of archives within it included.
const ENTRIES: u64 = 10_000;
/// Archives within archives within archives.
const DEPTH: u8 = 3;
/// An archive within one is looked into up to this size.
const INNER: usize = 10_000_000;
/// Most bytes of a directory.
const DIRECTORY: u64 = 8_000_000;
/// Bytes read at a time.
const PIECE: u64 = 64 * 1024;

/// What the unpacking of one file may come to.
struct Budget {
    packed: u64,
    expanded: u64,
    entries: u64,
}

impl Budget {
    fn of(source: &dyn Source) -> Self {
        Self { packed: source.size(), expanded: 0, entries: 0 }
    }

    fn take(&mut self, bytes: u64) -> Result<(), Refusal> {
        self.expanded = self.expanded.saturating_add(bytes);
        let grown = self.expanded > GROWS_FREELY && self.expanded / GROWTH > self.packed;
        if grown || self.expanded > EXPANDED {
            return Err("It is an archive bomb: unpacked it would be far too large.".into());
        }
        Ok(())
    }

    fn entry(&mut self) -> Result<(), Refusal> {
        self.entries += 1;
        match self.entries > ENTRIES {
            true => Err(format!("An archive may have at most {ENTRIES} entries.").into()),
            false => Ok(()),
        }
    }
}

/// Why looking at an archive ended.
enum End {
    Refused(Refusal),
    Failed(Error),
}

impl From<Refusal> for End {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<Error> for End {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

fn told(end: Result<(), End>) -> Result<Result<(), Refusal>> {
    match end {
        Ok(()) => Ok(Ok(())),
        Err(End::Refused(refusal)) => Ok(Err(refusal)),
        Err(End::Failed(error)) => Err(error),
    }
}

fn broken() -> End {
    End::Refused("The archive is broken.".into())
}

/// Looks at a ZIP file, and what is made of one.
pub(super) fn zip(source: &mut dyn Source) -> Result<Result<(), Refusal>> {
    let mut budget = Budget::of(source);
    told(zip_within(source, &mut budget, 1))
}

/// Looks at a gzip file.
pub(super) fn gzip(source: &mut dyn Source) -> Result<Result<(), Refusal>> {
    let mut budget = Budget::of(source);
    let all = 0..source.size();
    told(unpack(source, all, &mut budget, |packed| Box::new(MultiGzDecoder::new(packed))).map(drop))
}

/// The record at the end of a ZIP file: entries, bytes and place of the directory (APPNOTE.TXT §4.3.16).
pub(super) fn zip_end(tail: &[u8]) -> Option<(u16, u32, u32)> {
    let at = memmem::rfind(tail, b"PK\x05\x06")?;
    let record = tail.get(at..at + 22)?;
    Some((short(record, 10), long(record, 12), long(record, 16)))
}

/// As far as the end record may stand from the end: a comment of 64 KB follows it.
pub(super) const ZIP_TAIL: u64 = 22 + 65_535;

fn short(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([bytes[at], bytes[at + 1]])
}

fn long(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

fn zip_within(source: &mut dyn Source, budget: &mut Budget, depth: u8) -> Result<(), End> {
    let size = source.size();
    let tail = source.read(size.saturating_sub(ZIP_TAIL)..size)?;
    let (entries, length, offset) = zip_end(&tail).ok_or_else(broken)?;
    if entries == u16::MAX || length == u32::MAX || offset == u32::MAX {
        return Err(Refusal::from("The archive is of the kind for more than 4 GB.").into());
    }
    let (length, offset) = (u64::from(length), u64::from(offset));
    if length > DIRECTORY || offset + length > size {
        return Err(broken());
    }
    let directory = source.read(offset..offset + length)?;
    let mut rest = &directory[..];
    let mut packed = 0;
    for _ in 0..entries {
        budget.entry()?;
        let entry = Entry::read(&mut rest).ok_or_else(broken)?;
        if entry.leads_out {
            return Err(
                Refusal::from("An entry of the archive would be unpacked outside of its folder.").into()
            );
        }
        packed += entry.packed;
        if packed > size {
            return Err(Refusal::from("It is an archive bomb: its entries lie over each other.").into());
        }
        entry.look_into(source, budget, depth)?;
    }
    Ok(())
}

/// An entry of a directory (APPNOTE.TXT §4.3.12).
struct Entry {
    method: u16,
    is_encrypted: bool,
    packed: u64,
    expanded: u64,
    at: u64,
    leads_out: bool,
}

impl Entry {
    fn read(directory: &mut &[u8]) -> Option<Self> {
        let head = directory.get(..46).filter(|head| head.starts_with(b"PK\x01\x02"))?;
        let [name, extra, comment] = [28, 30, 32].map(|at| usize::from(short(head, at)));
        let entry = Self {
            method: short(head, 10),
            is_encrypted: short(head, 8) & 1 != 0,
            packed: u64::from(long(head, 20)),
            expanded: u64::from(long(head, 24)),
            at: u64::from(long(head, 42)),
            leads_out: leads_out(directory.get(46..46 + name)?),
        };
        *directory = directory.get(46 + name + extra + comment..)?;
        Some(entry)
    }

    fn look_into(&self, source: &mut dyn Source, budget: &mut Budget, depth: u8) -> Result<(), End> {
        let size = source.size();
        if self.at + 30 > size {
            return Err(broken());
        }
        let local = source.read(self.at..self.at + 30)?;
        if !local.starts_with(b"PK\x03\x04") {
            return Err(broken());
        }
        let start = self.at + 30 + u64::from(short(&local, 26)) + u64::from(short(&local, 28));
        let end = start + self.packed;
        if end > size {
            return Err(broken());
        }
        let inner = match (self.is_encrypted, self.method) {
            (false, 0) => unpack(source, start..end, budget, |stored| Box::new(stored))?,
            (false, 8) => unpack(source, start..end, budget, |packed| Box::new(DeflateDecoder::new(packed)))?,
            // Nobody opens these here: what the directory says counts.
            _ => {
                budget.take(self.expanded)?;
                None
            }
        };
        match inner {
            Some(_) if depth >= DEPTH => {
                Err(Refusal::from(format!("Archives may lie within each other {DEPTH} deep.")).into())
            }
            Some(mut inner) => zip_within(&mut inner, budget, depth + 1),
            None => Ok(()),
        }
    }
}

fn leads_out(name: &[u8]) -> bool {
    let is_separator = |b: &u8| matches!(b, b'/' | b'\\');
    name.first().is_some_and(is_separator)
        || name.get(1) == Some(&b':')
        || name.split(is_separator).any(|part| part == b"..")
}

/// Unpacks and counts; gives what came out if it is a ZIP file that is small enough to be looked into.
fn unpack(
    source: &mut dyn Source,
    range: Range<u64>,
    budget: &mut Budget,
    decoder: impl for<'s> FnOnce(Sequence<'s>) -> Box<dyn Read + 's>,
) -> Result<Option<Bytes>, End> {
    let mut failure = None;
    let mut expanded = decoder(Sequence { source, range, piece: Bytes::new(), failure: &mut failure });
    let mut eicar = eicar::Finder::new();
    let mut inner: Option<Vec<u8>> = None;
    let mut is_first = true;
    let mut buffer = vec![0; PIECE as usize];
    let ended = loop {
        match expanded.read(&mut buffer) {
            Ok(0) => break Ok(()),
            Ok(count) => {
                let bytes = &buffer[..count];
                budget.take(count as u64)?;
                eicar.see(bytes)?;
                if std::mem::take(&mut is_first) && bytes.starts_with(b"PK\x03\x04") {
                    inner = Some(Vec::new());
                }
                inner = inner.filter(|inner| inner.len() + count <= INNER);
                if let Some(inner) = &mut inner {
                    inner.extend_from_slice(bytes);
                }
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => break Err(broken()),
        }
    };
    drop(expanded);
    match failure {
        Some(error) => Err(End::Failed(error)),
        None => ended.map(|()| inner.map(Bytes::from)),
    }
}

/// A part of a source, read from its beginning to its end.
struct Sequence<'s> {
    source: &'s mut dyn Source,
    range: Range<u64>,
    piece: Bytes,
    failure: &'s mut Option<Error>,
}

impl Read for Sequence<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.piece.is_empty() && !self.range.is_empty() {
            let end = self.range.end.min(self.range.start + PIECE);
            match self.source.read(self.range.start..end) {
                Ok(piece) => self.piece = piece,
                Err(error) => {
                    *self.failure = Some(error);
                    return Err(io::Error::other("the file store does not answer"));
                }
            }
            self.range.start = end;
        }
        let count = self.piece.len().min(into.len());
        into[..count].copy_from_slice(&self.piece.split_to(count));
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::{Compression, Crc, write::DeflateEncoder, write::GzEncoder};

    use super::*;

    struct Packed {
        name: &'static str,
        content: Vec<u8>,
        /// What the directory says of the size.
        says: u32,
    }

    fn entry(name: &'static str, content: impl Into<Vec<u8>>) -> Packed {
        let content = content.into();
        let says = content.len() as u32;
        Packed { name, content, says }
    }

    fn zipped(entries: &[Packed]) -> Bytes {
        let (mut file, mut directory) = (Vec::new(), Vec::new());
        for Packed { name, content, says } in entries {
            let mut encoder = DeflateEncoder::new(Vec::new(), Compression::best());
            encoder.write_all(content).unwrap();
            let packed = encoder.finish().unwrap();
            let mut crc = Crc::new();
            crc.update(content);
            let mut head = Vec::new();
            head.extend([20, 0, 0, 0, 8, 0, 0, 0, 0, 0]);
            head.extend(crc.sum().to_le_bytes());
            head.extend((packed.len() as u32).to_le_bytes());
            head.extend(says.to_le_bytes());
            head.extend((name.len() as u16).to_le_bytes());
            head.extend([0, 0]);
            let at = file.len() as u32;
            file.extend(b"PK\x03\x04");
            file.extend(&head);
            file.extend(name.as_bytes());
            file.extend(&packed);
            directory.extend(b"PK\x01\x02\x14\0");
            directory.extend(&head);
            directory.extend([0; 10]);
            directory.extend(at.to_le_bytes());
            directory.extend(name.as_bytes());
        }
        let (length, at) = (directory.len() as u32, file.len() as u32);
        file.extend(directory);
        file.extend(b"PK\x05\x06\0\0\0\0");
        file.extend([(entries.len() as u16).to_le_bytes(); 2].concat());
        file.extend(length.to_le_bytes());
        file.extend(at.to_le_bytes());
        file.extend([0, 0]);
        file.into()
    }

    fn refusal(mut file: Bytes) -> Option<String> {
        zip(&mut file).unwrap().err().map(|refusal| refusal.0)
    }

    #[test]
    fn an_archive_of_documents_is_kept() {
        let inner = zipped(&[entry("a.txt", "hello")]);
        let file =
            zipped(&[entry("docs/a.txt", "hello"), entry("docs/b.zip", inner.to_vec()), entry("e", "")]);
        assert_eq!(refusal(file), None);
        assert_eq!(refusal(zipped(&[])), None);
    }

    #[test]
    fn a_bomb_is_one_whatever_its_directory_says() {
        let mut bomb = entry("zeros", vec![0; 60_000_000]);
        assert!(refusal(zipped(&[entry("zeros", vec![0; 60_000_000])])).unwrap().contains("bomb"));
        bomb.says = 10;
        assert!(refusal(zipped(&[bomb])).unwrap().contains("bomb"));
        // Small outside, large inside.
        let inner = zipped(&[entry("zeros", vec![0; 60_000_000])]);
        assert!(refusal(zipped(&[entry("inner.zip", inner.to_vec())])).unwrap().contains("bomb"));
    }

    #[test]
    fn what_is_broken_or_leads_elsewhere_is_refused() {
        let file = zipped(&[entry("a", "hello")]);
        assert!(refusal(file.slice(..file.len() - 10)).unwrap().contains("broken"));
        assert!(refusal(Bytes::from_static(b"PK\x03\x04")).unwrap().contains("broken"));
        for name in ["../a", "/etc/passwd", "a/../../b", "C:\\x", "..\\x"] {
            assert!(refusal(zipped(&[entry(name, "x")])).unwrap().contains("outside"), "{name}");
        }
        let mut deep = zipped(&[entry("a", "x")]);
        for _ in 0..3 {
            deep = zipped(&[entry("in.zip", deep.to_vec())]);
        }
        assert!(refusal(deep).unwrap().contains("deep"));
        let names: Vec<Packed> = (0..10_001).map(|_| entry("a", "")).collect();
        assert!(refusal(zipped(&names)).unwrap().contains("entries"));
    }

    #[test]
    fn any_bytes_are_looked_at_without_a_panic() {
        let file = zipped(&[entry("a.txt", "hello hello hello"), entry("b", "x")]);
        for at in 0..file.len() {
            for flip in [0x01, 0x80, 0xff] {
                let mut bent = file.to_vec();
                bent[at] ^= flip;
                let _ = refusal(bent.into());
            }
            let _ = refusal(file.slice(..at));
        }
    }

    #[test]
    fn gzip_is_counted_too() {
        let packed = |content: &[u8]| {
            let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
            encoder.write_all(content).unwrap();
            Bytes::from(encoder.finish().unwrap())
        };
        assert_eq!(gzip(&mut packed(b"hello")).unwrap(), Ok(()));
        let refused = gzip(&mut packed(&vec![0; 60_000_000])).unwrap().unwrap_err();
        assert!(refused.0.contains("bomb"));
        let whole = packed(b"hello hello");
        assert!(gzip(&mut whole.slice(..whole.len() - 9)).unwrap().is_err());
    }
}
