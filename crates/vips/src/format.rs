/// Formats that can be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Format {
    /// JPEG.
    Jpeg,
    /// PNG.
    Png,
    /// WebP.
    WebP,
    /// GIF; its first frame.
    Gif,
    /// TIFF; its first page.
    Tiff,
    /// AVIF and, where the HEVC decoder was built in, HEIC.
    Heif,
}

/// Formats that can be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Output {
    /// JPEG; what is transparent becomes white.
    Jpeg,
    /// PNG, without loss.
    Png,
    /// WebP.
    WebP,
    /// AVIF.
    Avif,
}

impl Format {
    /// What libvips calls the reader of this format from memory.
    pub(crate) fn loader(self) -> &'static str {
        match self {
            Self::Jpeg => "VipsForeignLoadJpegBuffer",
            Self::Png => "VipsForeignLoadPngBuffer",
            Self::WebP => "VipsForeignLoadWebpBuffer",
            Self::Gif => "VipsForeignLoadNsgifBuffer",
            Self::Tiff => "VipsForeignLoadTiffBuffer",
            Self::Heif => "VipsForeignLoadHeifBuffer",
        }
    }
}
