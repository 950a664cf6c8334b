use std::{
    ffi::{CStr, c_void},
    marker::PhantomData,
    ptr,
    time::Instant,
};

use crate::{
    Fault, Fit, Format, Limits, Picture,
    edit::pixels,
    ffi,
    library::{last_words, started},
    picture::{END, Image, in_memory},
};

/// What the head of an image says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// Pixels of the upright image.
    pub width: u32,
    /// Pixels of the upright image.
    pub height: u32,
    /// It has an opacity channel.
    pub has_alpha: bool,
    /// It lies on its side, or is mirrored, and says so.
    pub is_turned: bool,
    /// It says by a profile what its colours mean.
    pub has_profile: bool,
}

/// An image whose pixels are still in the bytes it was read from.
pub(crate) struct Source<'b> {
    pub(crate) image: Image,
    /// libvips reads from the caller's bytes for as long as the image lives.
    _bytes: PhantomData<&'b [u8]>,
}

impl<'b> Source<'b> {
    /// Reads the head.
    pub(crate) fn open(bytes: &'b [u8]) -> Result<Self, Fault> {
        // SAFETY: the bytes outlive the image, which `Source` sees to; the options are an empty C string, names of the
        // operation with values of the type it takes (enums: `int`), and the end.
        let image = unsafe {
            ffi::vips_image_new_from_buffer(
                bytes.as_ptr().cast(),
                bytes.len(),
                c"".as_ptr(),
                c"access".as_ptr(),
                ffi::ACCESS_SEQUENTIAL,
                c"fail-on".as_ptr(),
                ffi::FAIL_ON_ERROR,
                END,
            )
        };
        let image = Image::take(image).ok_or_else(|| Fault::Unreadable(last_words()))?;
        Ok(Self { image, _bytes: PhantomData })
    }
}

/// Reads what the head of an image says, and holds it against the limits. No pixel is decoded.
///
/// # Errors
/// [`Fault::Unreadable`] for what is not a readable image of this format, [`Fault::TooLarge`].
pub fn inspect(bytes: &[u8], format: Format, limits: &Limits) -> Result<Header, Fault> {
    started()?;
    let found = loader_of(bytes);
    if found.as_deref() != Some(format.loader()) {
        let found = found.unwrap_or_else(|| "nothing that is read".to_owned());
        return Err(Fault::Unreadable(format!("announced as {format:?}, but it is {found}")));
    }
    if format == Format::Jpeg && is_cut_off(bytes) {
        return Err(Fault::Unreadable("the JPEG has no end".to_owned()));
    }
    let source = Source::open(bytes)?;
    let image = &source.image;
    let (mut width, mut height) = (image.width(), image.height());
    // SAFETY: the image is alive.
    let orientation = unsafe { ffi::vips_image_get_orientation(image.raw()) };
    // EXIF: 5 to 8 lie on their side.
    if orientation >= 5 {
        (width, height) = (height, width);
    }
    let fits = width > 0 && height > 0 && u64::from(width) * u64::from(height) <= limits.pixels;
    if !fits {
        return Err(Fault::TooLarge { width, height });
    }
    // SAFETY: the image is alive, the name a C string.
    let profile = unsafe { ffi::vips_image_get_typeof(image.raw(), c"icc-profile-data".as_ptr()) };
    Ok(Header {
        width,
        height,
        has_alpha: image.has_alpha(),
        is_turned: orientation > 1,
        has_profile: profile != 0,
    })
}

/// Whether a JPEG breaks off: after the last beginning of a scan no end of image follows. (In scans, FF is followed by 00.)
/// libvips 8.14 does not always notice that in memory.
fn is_cut_off(bytes: &[u8]) -> bool {
    let last = |mark: u8| bytes.windows(2).rposition(|pair| pair == [0xff, mark]);
    match (last(0xda), last(0xd9)) {
        (Some(scan), Some(end)) => end < scan,
        _ => true,
    }
}

/// The decoder that libvips would choose.
fn loader_of(bytes: &[u8]) -> Option<String> {
    // SAFETY: the bytes are only looked at during the call; the name is a C string that lives for ever.
    unsafe {
        let name = ffi::vips_foreign_find_load_buffer(bytes.as_ptr().cast(), bytes.len());
        if name.is_null() {
            last_words();
            return None;
        }
        Some(CStr::from_ptr(name).to_string_lossy().into_owned())
    }
}

pub(crate) fn thumbnail(bytes: &[u8], header: &Header, fit: Fit, limits: &Limits) -> Result<Picture, Fault> {
    let crop = if fit.cover { ffi::INTERESTING_CENTRE } else { ffi::INTERESTING_NONE };
    // Colours without a profile are sRGB as they are; libvips would bend them a little on the way from sRGB to sRGB.
    let (profile_option, profile) = match header.has_profile {
        true => (c"export-profile".as_ptr(), c"srgb".as_ptr()),
        false => (END.cast(), END.cast()),
    };
    let mut out = ptr::null_mut();
    // SAFETY: libvips takes the bytes as `void *` but only reads them, and they outlive the image (`source` below); each
    // option is a name of the operation with a value of the type it takes (int, enums: `int`; a C string that it
    // copies), and the list is ended.
    let status = unsafe {
        ffi::vips_thumbnail_buffer(
            bytes.as_ptr().cast_mut().cast(),
            bytes.len(),
            &mut out,
            pixels(fit.width),
            c"height".as_ptr(),
            pixels(fit.height),
            c"size".as_ptr(),
            ffi::SIZE_DOWN,
            c"crop".as_ptr(),
            crop,
            c"option-string".as_ptr(),
            c"[fail-on=error]".as_ptr(),
            profile_option,
            profile,
            END,
        )
    };
    let image = match Image::take(out) {
        Some(image) if status == 0 => image,
        _ => return Err(Fault::Unreadable(last_words())),
    };
    let source = Source { image: image.in_srgb()?, _bytes: PhantomData };
    computed(&source, limits)
}

/// Decodes: computes the pixels into memory, by the deadline.
pub(crate) fn computed(source: &Source<'_>, limits: &Limits) -> Result<Picture, Fault> {
    if Instant::now() >= limits.deadline {
        return Err(Fault::Late);
    }
    ends_at(&source.image, limits.deadline);
    match in_memory(&source.image) {
        Ok(image) => Ok(Picture(image)),
        Err(_) if Instant::now() >= limits.deadline => Err(Fault::Late),
        Err(fault) => Err(fault),
    }
}

/// Has libvips stop computing an image when its time is over: it tells of its progress, and is told to stop then.
fn ends_at(image: &Image, deadline: Instant) {
    // SAFETY: the image is alive, and a GObject with a signal `eval` whose handlers take (image, progress, data), which
    // is what `look_at_the_clock` takes; the data belong to the handler, which drops them with itself by `drop_deadline`.
    unsafe {
        ffi::vips_image_set_progress(image.raw(), 1);
        let handler = look_at_the_clock as unsafe extern "C" fn(_, _, _);
        let handler: ffi::GCallback = std::mem::transmute(handler);
        ffi::g_signal_connect_data(
            image.raw().cast(),
            c"eval".as_ptr(),
            Some(handler),
            Box::into_raw(Box::new(deadline)).cast(),
            Some(drop_deadline),
            0,
        );
    }
}

unsafe extern "C" fn look_at_the_clock(image: *mut ffi::VipsImage, _: *mut c_void, deadline: *mut c_void) {
    // SAFETY: the deadline is the one of `ends_at`, alive as long as the handler; the image is the one that is computed.
    unsafe {
        if Instant::now() >= *deadline.cast::<Instant>() {
            ffi::vips_image_set_kill(image, 1);
        }
    }
}

unsafe extern "C" fn drop_deadline(deadline: *mut c_void, _: *mut c_void) {
    // SAFETY: made by `Box::into_raw` in `ends_at`, and given back once, with the handler.
    drop(unsafe { Box::from_raw(deadline.cast::<Instant>()) });
}
