use std::{
    ffi::c_int,
    sync::{Mutex, PoisonError},
};

use crate::{
    Fault, Fit, Header, Limits, Picture, ffi,
    picture::{END, Image, in_memory},
    source::thumbnail,
};

/// What is to be done with an image.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Edit {
    /// Keep this area only.
    pub crop: Option<Area>,
    /// Then turn it.
    pub turn: Turn,
    /// Then bring it to a size.
    pub resize: Option<Resize>,
}

/// A part of the upright image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Area {
    /// Pixels from the left.
    pub left: u32,
    /// Pixels from the top.
    pub top: u32,
    /// Pixels.
    pub width: u32,
    /// Pixels.
    pub height: u32,
}

/// Clockwise.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Turn {
    /// As it is.
    #[default]
    None,
    /// By 90°.
    Right,
    /// By 180°.
    Around,
    /// By 270°.
    Left,
}

/// A size to bring an image to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resize {
    /// No larger than the box; a small image stays as it is.
    Within(Fit),
    /// Exactly this, whatever becomes of its proportions.
    Exactly {
        /// Pixels.
        width: u32,
        /// Pixels.
        height: u32,
    },
}

impl Area {
    fn lies_within(self, header: &Header) -> bool {
        let inside = |from: u32, length: u32, all: u32| {
            length > 0 && from.checked_add(length).is_some_and(|end| end <= all)
        };
        inside(self.left, self.width, header.width) && inside(self.top, self.height, header.height)
    }
}

impl Turn {
    /// VIPS_ANGLE_D0 and on.
    fn angle(self) -> c_int {
        match self {
            Self::None => 0,
            Self::Right => 1,
            Self::Around => 2,
            Self::Left => 3,
        }
    }
}

/// The longest side that libvips knows.
const LARGEST: u32 = 10_000_000;

/// Images that have to be decoded whole are so one at a time: 50 megapixels are 200 MB.
static WHOLE: Mutex<()> = Mutex::new(());

pub(crate) fn apply(bytes: &[u8], header: &Header, edit: &Edit, limits: &Limits) -> Result<Picture, Fault> {
    if let Some(area) = edit.crop
        && !area.lies_within(header)
    {
        return Err(Fault::Outside { width: header.width, height: header.height });
    }
    match *edit {
        // The way that decodes at reduced size.
        Edit { crop: None, turn: Turn::None, resize: Some(Resize::Within(fit)) } => {
            thumbnail(bytes, header, fit, limits)
        }
        _ => {
            let _alone = WHOLE.lock().unwrap_or_else(PoisonError::into_inner);
            let whole = upright(bytes, header, limits)?;
            changed(&whole, edit)
        }
    }
}

/// The whole image: upright, in sRGB, in memory.
fn upright(bytes: &[u8], header: &Header, limits: &Limits) -> Result<Picture, Fault> {
    // The largest box there is: nothing is enlarged, and colour and orientation are taken care of as for thumbnails.
    thumbnail(bytes, header, Fit { width: LARGEST, height: LARGEST, cover: false }, limits)
}

fn changed(whole: &Picture, edit: &Edit) -> Result<Picture, Fault> {
    let mut steps: Vec<Image> = Vec::with_capacity(3);
    if let Some(area) = edit.crop {
        let [left, top, width, height] = [area.left, area.top, area.width, area.height].map(pixels);
        // SAFETY: the image is alive, the list of options ends at once.
        steps.push(whole.0.then(|image, out| unsafe {
            ffi::vips_extract_area(image, out, left, top, width, height, END)
        })?);
    }
    if edit.turn != Turn::None {
        // SAFETY: as above.
        let turned = steps
            .last()
            .unwrap_or(&whole.0)
            .then(|image, out| unsafe { ffi::vips_rot(image, out, edit.turn.angle(), END) })?;
        steps.push(turned);
    }
    let image = in_memory(steps.last().unwrap_or(&whole.0))?;
    match edit.resize {
        None => Ok(Picture(image)),
        Some(Resize::Within(fit)) => Picture(image).shrunk(fit),
        Some(Resize::Exactly { width, height }) => forced(&image, width, height),
    }
}

fn forced(image: &Image, width: u32, height: u32) -> Result<Picture, Fault> {
    // SAFETY: the image is alive; each option is a name of the operation with a value of the type it takes (`int`), and
    // the list is ended.
    let sized = image.then(|image, out| unsafe {
        ffi::vips_thumbnail_image(
            image,
            out,
            pixels(width),
            c"height".as_ptr(),
            pixels(height),
            c"size".as_ptr(),
            ffi::SIZE_FORCE,
            END,
        )
    })?;
    in_memory(&sized).map(Picture)
}

pub(crate) fn pixels(n: u32) -> c_int {
    c_int::try_from(n).unwrap_or(c_int::MAX)
}
