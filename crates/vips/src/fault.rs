use std::fmt;

/// Why there is no picture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// The decoder found it broken, or it is of another format than announced. The text is the decoder's, for the log.
    Unreadable(String),
    /// It has more pixels than are decoded.
    TooLarge {
        /// Pixels.
        width: u32,
        /// Pixels.
        height: u32,
    },
    /// The area that was to be cut out is not in the image.
    Outside {
        /// Pixels of the upright image.
        width: u32,
        /// Pixels of the upright image.
        height: u32,
    },
    /// It was not ready by the deadline.
    Late,
    /// It can't be written in this format, or libvips does not start. The text is libvips' own.
    Library(String),
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable(why) => write!(f, "the image can't be read: {why}"),
            Self::TooLarge { width, height } => write!(f, "{width} × {height} pixels are too many"),
            Self::Outside { width, height } => {
                write!(f, "the area does not lie within the image of {width} × {height} pixels")
            }
            Self::Late => f.write_str("decoding took too long"),
            Self::Library(why) => write!(f, "libvips: {why}"),
        }
    }
}

impl std::error::Error for Fault {}
