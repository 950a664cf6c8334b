use std::{
    ffi::{c_int, c_void},
    ptr::{self, NonNull},
};

use crate::{
    Fault, Fit, Output,
    edit::pixels,
    ffi,
    library::{last_words, started},
};

/// A counted reference to an image of libvips.
pub(crate) struct Image(NonNull<ffi::VipsImage>);

// SAFETY: reference counts of GObject are atomic, and an image that was made is only read; libvips computes images on
// whichever thread asks (its documentation, "Threads": images may be shared between threads, operations on them run
// anywhere).
unsafe impl Send for Image {}

impl Image {
    /// Takes over the reference that a function of libvips gave.
    pub(crate) fn take(image: *mut ffi::VipsImage) -> Option<Self> {
        NonNull::new(image).map(Self)
    }

    /// Runs an operation `(in, &out) -> status` on this image.
    pub(crate) fn then(
        &self,
        operation: impl FnOnce(*mut ffi::VipsImage, *mut *mut ffi::VipsImage) -> c_int,
    ) -> Result<Self, Fault> {
        let mut out = ptr::null_mut();
        let status = operation(self.raw(), &mut out);
        match Self::take(out) {
            Some(image) if status == 0 => Ok(image),
            _ => Err(Fault::Unreadable(last_words())),
        }
    }

    pub(crate) fn raw(&self) -> *mut ffi::VipsImage {
        self.0.as_ptr()
    }

    pub(crate) fn width(&self) -> u32 {
        // SAFETY: the image is alive as long as `self`.
        u32::try_from(unsafe { ffi::vips_image_get_width(self.raw()) }).unwrap_or(0)
    }

    pub(crate) fn height(&self) -> u32 {
        // SAFETY: as in `width`.
        u32::try_from(unsafe { ffi::vips_image_get_height(self.raw()) }).unwrap_or(0)
    }

    pub(crate) fn has_alpha(&self) -> bool {
        // SAFETY: as in `width`.
        unsafe { ffi::vips_image_hasalpha(self.raw()) != 0 }
    }

    /// In sRGB with 8 bits a channel.
    pub(crate) fn in_srgb(self) -> Result<Self, Fault> {
        // SAFETY: as in `width`.
        let space = unsafe { ffi::vips_image_get_interpretation(self.raw()) };
        if space == ffi::INTERPRETATION_SRGB {
            return Ok(self);
        }
        // SAFETY: `then` gives an image that is alive and a place for the result; the list of options ends at once.
        self.then(|image, out| unsafe { ffi::vips_colourspace(image, out, ffi::INTERPRETATION_SRGB, END) })
    }
}

impl Drop for Image {
    fn drop(&mut self) {
        // SAFETY: the reference is ours, and it is given back once.
        unsafe { ffi::g_object_unref(self.raw().cast()) }
    }
}

/// Ends the list of options of an operation.
pub(crate) const END: *const c_void = ptr::null();

/// A picture, decoded: upright, in sRGB, 8 bits a channel, in memory of its own.
pub struct Picture(pub(crate) Image);

impl Picture {
    /// A picture from rows of red, green and blue, 3 bytes a pixel; with a fourth one for opacity when there is one.
    ///
    /// # Errors
    /// [`Fault::Library`] when the bytes are not `width` × `height` × 3 or 4.
    pub fn from_pixels(width: u16, height: u16, bytes: &[u8]) -> Result<Self, Fault> {
        started()?;
        let count = usize::from(width) * usize::from(height);
        let bands = if count > 0 && bytes.len().is_multiple_of(count) { bytes.len() / count } else { 0 };
        if bands != 3 && bands != 4 {
            let wrong = format!("{} bytes are no {width} × {height} pixels", bytes.len());
            return Err(Fault::Library(wrong));
        }
        // SAFETY: the bytes are as many as the dimensions say (unsigned bytes, format 0), and are copied.
        let image = unsafe {
            ffi::vips_image_new_from_memory_copy(
                bytes.as_ptr().cast(),
                bytes.len(),
                c_int::from(width),
                c_int::from(height),
                bands as c_int,
                0,
            )
        };
        let image = Image::take(image).ok_or_else(|| Fault::Library(last_words()))?;
        // SAFETY: as in `in_srgb`; what comes from memory is of no colour space yet.
        let image = image.then(|image, out| unsafe {
            ffi::vips_copy(image, out, c"interpretation".as_ptr(), ffi::INTERPRETATION_SRGB, END)
        })?;
        Ok(Self(image))
    }

    /// Pixels.
    pub fn width(&self) -> u32 {
        self.0.width()
    }

    /// Pixels.
    pub fn height(&self) -> u32 {
        self.0.height()
    }

    /// Its rows, 3 bytes a pixel, 4 when it has an opacity channel.
    ///
    /// # Errors
    /// [`Fault::Library`] when memory is out.
    pub fn pixels(&self) -> Result<Vec<u8>, Fault> {
        let mut size = 0;
        // SAFETY: the image is alive; on success there are `size` bytes, allocated by GLib, and they are ours to free.
        unsafe {
            let bytes = ffi::vips_image_write_to_memory(self.0.raw(), &mut size);
            if bytes.is_null() {
                return Err(Fault::Library(last_words()));
            }
            let pixels = std::slice::from_raw_parts(bytes.cast::<u8>(), size).to_vec();
            ffi::g_free(bytes);
            Ok(pixels)
        }
    }

    /// Whether something shows through. A picture with an opacity channel that is full everywhere is not transparent.
    pub fn is_transparent(&self) -> bool {
        if !self.0.has_alpha() {
            return false;
        }
        // SAFETY: the image is alive; the last band is there, because there is an opacity channel; lists of options end
        // at once; the result is written to a place of ours.
        let least = unsafe {
            let last = ffi::vips_image_get_bands(self.0.raw()) - 1;
            self.0.then(|image, out| ffi::vips_extract_band(image, out, last, END)).and_then(|opacity| {
                let mut least = 0.0;
                match ffi::vips_min(opacity.raw(), &mut least, END) {
                    0 => Ok(least),
                    _ => Err(Fault::Library(last_words())),
                }
            })
        };
        least.is_ok_and(|least| least < 255.0)
    }

    /// A smaller version.
    ///
    /// # Errors
    /// [`Fault::Library`] when memory is out.
    pub fn shrunk(&self, fit: Fit) -> Result<Self, Fault> {
        let crop = if fit.cover { ffi::INTERESTING_CENTRE } else { ffi::INTERESTING_NONE };
        // SAFETY: the image is alive; each option is a name of the operation with a value of the type it takes (int), and
        // the list is ended.
        let small = self.0.then(|image, out| unsafe {
            ffi::vips_thumbnail_image(
                image,
                out,
                pixels(fit.width),
                c"height".as_ptr(),
                pixels(fit.height),
                c"size".as_ptr(),
                ffi::SIZE_DOWN,
                c"crop".as_ptr(),
                crop,
                END,
            )
        })?;
        in_memory(&small).map(Self)
    }

    /// The picture as a file, without metadata. `quality` is 1 to 100 and means nothing for PNG.
    ///
    /// # Errors
    /// [`Fault::Library`] when libvips can't write the format.
    pub fn encode(&self, output: Output, quality: u8) -> Result<Vec<u8>, Fault> {
        let quality = c_int::from(quality.clamp(1, 100));
        let opaque;
        let image = match output {
            Output::Jpeg if self.0.has_alpha() => {
                opaque = on_white(&self.0)?;
                opaque.raw()
            }
            _ => self.0.raw(),
        };
        let (mut bytes, mut size) = (ptr::null_mut(), 0);
        let (out, len) = (&raw mut bytes, &raw mut size);
        let (strip, q) = (c"strip".as_ptr(), c"Q".as_ptr());
        // SAFETY: the image is alive; `out` and `len` are places of ours; each option is a name of the operation with a
        // value of the type it takes (int, gboolean, enum: all `int`), and the lists are ended.
        let status = unsafe {
            match output {
                Output::Jpeg => {
                    let coding = c"optimize-coding".as_ptr();
                    ffi::vips_jpegsave_buffer(image, out, len, q, quality, coding, 1, strip, 1, END)
                }
                Output::Png => ffi::vips_pngsave_buffer(image, out, len, strip, 1, END),
                Output::WebP => ffi::vips_webpsave_buffer(image, out, len, q, quality, strip, 1, END),
                Output::Avif => {
                    let (compression, effort) = (c"compression".as_ptr(), c"effort".as_ptr());
                    let (depth, av1) = (c"bitdepth".as_ptr(), ffi::HEIF_COMPRESSION_AV1);
                    ffi::vips_heifsave_buffer(
                        image,
                        out,
                        len,
                        q,
                        quality,
                        compression,
                        av1,
                        effort,
                        2,
                        depth,
                        8,
                        strip,
                        1,
                        END,
                    )
                }
            }
        };
        if status != 0 || bytes.is_null() {
            return Err(Fault::Library(last_words()));
        }
        // SAFETY: on success there are `size` bytes at `bytes`, allocated by GLib, and they are ours to free.
        unsafe {
            let file = std::slice::from_raw_parts(bytes.cast::<u8>(), size).to_vec();
            ffi::g_free(bytes);
            Ok(file)
        }
    }
}

/// With white where something showed through.
fn on_white(image: &Image) -> Result<Image, Fault> {
    let white = [255.0; 3];
    // SAFETY: three numbers lie at the address given, and are copied; the reference to the copy is ours and given back
    // after its last use; the option `background` takes it; the list is ended.
    unsafe {
        let background = ffi::vips_array_double_new(white.as_ptr(), 3);
        let flat =
            image.then(|image, out| ffi::vips_flatten(image, out, c"background".as_ptr(), background, END));
        ffi::vips_area_unref(background);
        flat
    }
}

/// Computes an image into memory of its own: nothing of what it was made from is referred to any more, and nothing but the
/// pixels is kept of it: not the camera, not the place.
pub(crate) fn in_memory(image: &Image) -> Result<Image, Fault> {
    // SAFETY: the image is alive. The copy is a whole image in memory, which libvips does not tie to its source.
    let copy = unsafe { ffi::vips_image_copy_memory(image.raw()) };
    let copy = Image::take(copy).ok_or_else(|| Fault::Unreadable(last_words()))?;
    // SAFETY: the copy is alive and nobody else's. The names are a list of C strings that ends with null, ours to free; what
    // an image can't be without (its width …) is not removed by its name.
    unsafe {
        let names = ffi::vips_image_get_fields(copy.raw());
        if !names.is_null() {
            let mut name = names;
            while !(*name).is_null() {
                ffi::vips_image_remove(copy.raw(), *name);
                name = name.add(1);
            }
            ffi::g_strfreev(names);
        }
    }
    Ok(copy)
}
