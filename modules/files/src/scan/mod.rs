//! The built-in scanner. It looks at every byte as it flows in ([`Passing`]), and at what needs a whole file afterwards
//! ([`examine`]): pictures are decoded, archives unpacked and counted, drawings read for scripts.

mod archive;
mod eicar;
mod image;
mod svg;

use bytes::Bytes;
use ring::digest::{Context, SHA256};

use crate::media::Kind;
pub(crate) use archive::Source;
pub(crate) use image::{Pictures, limits, look_at, pictures_of, refused};

/// Why a file is not kept, as a sentence for its uploader.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal(pub String);

impl<T: Into<String>> From<T> for Refusal {
    fn from(text: T) -> Self {
        Self(text.into())
    }
}

/// What is learnt of a file while it flows in.
pub(crate) struct Passing {
    digest: Context,
    eicar: eicar::Finder,
    size: u64,
}

impl Passing {
    pub(crate) fn new() -> Self {
        Self { digest: Context::new(&SHA256), eicar: eicar::Finder::new(), size: 0 }
    }

    /// Looks at the next bytes.
    pub(crate) fn see(&mut self, bytes: &[u8]) -> Result<(), Refusal> {
        self.digest.update(bytes);
        self.size += bytes.len() as u64;
        self.eicar.see(bytes)
    }

    pub(crate) fn size(&self) -> u64 {
        self.size
    }

    /// SHA-256 of all of it.
    pub(crate) fn digest(self) -> Vec<u8> {
        self.digest.finish().as_ref().to_vec()
    }
}

/// Looks at an archive or a drawing, on a thread for such work.
///
/// # Errors
/// The outer error is the store's, the inner one the refusal.
pub(crate) fn examine(kind: Kind, source: &mut dyn Source) -> kernel::Result<Result<(), Refusal>> {
    match kind {
        Kind::Zip => archive::zip(source),
        Kind::Gzip => archive::gzip(source),
        Kind::Svg => {
            let size = source.size();
            if size > svg::MOST {
                return Ok(Err(Refusal(format!("A drawing may have at most {} bytes.", svg::MOST))));
            }
            let bytes: Bytes = source.read(0..size)?;
            Ok(svg::check(&bytes))
        }
        Kind::Image(_) | Kind::Other => Ok(Ok(())),
    }
}
