//! The functions of libvips, GObject and GLib that are used here, as their headers declare them (libvips 8.13 to 8.17).

use std::ffi::{c_char, c_double, c_int, c_uint, c_ulong, c_void};

/// An image: a GObject, shared by counted references.
#[repr(C)]
pub struct VipsImage {
    _opaque: [u8; 0],
}

/// Numbers as an argument of an operation: a counted `VipsArea`.
#[repr(C)]
pub struct VipsArrayDouble {
    _opaque: [u8; 0],
}

/// A callback of a signal; GLib calls it with the arguments of that signal.
pub type GCallback = unsafe extern "C" fn();

pub const ACCESS_SEQUENTIAL: c_int = 1;
pub const FAIL_ON_ERROR: c_int = 2;
pub const SIZE_DOWN: c_int = 2;
pub const SIZE_FORCE: c_int = 3;
pub const INTERESTING_NONE: c_int = 0;
pub const INTERESTING_CENTRE: c_int = 1;
pub const INTERPRETATION_SRGB: c_int = 22;
pub const HEIF_COMPRESSION_AV1: c_int = 4;
pub const LOG_LEVELS_ALL: c_int = !0b11;

unsafe extern "C" {
    pub fn vips_init(program: *const c_char) -> c_int;
    pub fn vips_version(part: c_int) -> c_int;
    pub fn vips_concurrency_set(threads: c_int);
    pub fn vips_cache_set_max(operations: c_int);
    pub fn vips_block_untrusted_set(state: c_int);
    pub fn vips_thread_shutdown();
    pub fn vips_tracked_get_mem() -> usize;
    pub fn vips_error_buffer_copy() -> *mut c_char;

    pub fn vips_foreign_find_load_buffer(data: *const c_void, size: usize) -> *const c_char;
    pub fn vips_image_new_from_buffer(
        data: *const c_void,
        size: usize,
        options: *const c_char,
        ...
    ) -> *mut VipsImage;
    pub fn vips_image_copy_memory(image: *mut VipsImage) -> *mut VipsImage;
    pub fn vips_image_write_to_memory(image: *mut VipsImage, size: *mut usize) -> *mut c_void;
    pub fn vips_image_get_width(image: *const VipsImage) -> c_int;
    pub fn vips_image_get_height(image: *const VipsImage) -> c_int;
    pub fn vips_image_get_interpretation(image: *const VipsImage) -> c_int;
    pub fn vips_image_get_orientation(image: *mut VipsImage) -> c_int;
    pub fn vips_image_get_typeof(image: *const VipsImage, name: *const c_char) -> usize;
    pub fn vips_image_get_fields(image: *mut VipsImage) -> *mut *mut c_char;
    pub fn vips_image_remove(image: *mut VipsImage, name: *const c_char) -> c_int;
    pub fn vips_image_hasalpha(image: *mut VipsImage) -> c_int;
    pub fn vips_image_set_progress(image: *mut VipsImage, progress: c_int);
    pub fn vips_image_set_kill(image: *mut VipsImage, kill: c_int);

    pub fn vips_thumbnail_buffer(
        data: *mut c_void,
        size: usize,
        out: *mut *mut VipsImage,
        width: c_int,
        ...
    ) -> c_int;
    pub fn vips_thumbnail_image(image: *mut VipsImage, out: *mut *mut VipsImage, width: c_int, ...) -> c_int;

    pub fn vips_rot(image: *mut VipsImage, out: *mut *mut VipsImage, angle: c_int, ...) -> c_int;
    pub fn vips_extract_area(
        image: *mut VipsImage,
        out: *mut *mut VipsImage,
        left: c_int,
        top: c_int,
        width: c_int,
        height: c_int,
        ...
    ) -> c_int;
    pub fn vips_colourspace(image: *mut VipsImage, out: *mut *mut VipsImage, space: c_int, ...) -> c_int;
    pub fn vips_copy(image: *mut VipsImage, out: *mut *mut VipsImage, ...) -> c_int;
    pub fn vips_flatten(image: *mut VipsImage, out: *mut *mut VipsImage, ...) -> c_int;
    pub fn vips_min(image: *mut VipsImage, out: *mut c_double, ...) -> c_int;
    pub fn vips_extract_band(image: *mut VipsImage, out: *mut *mut VipsImage, band: c_int, ...) -> c_int;
    pub fn vips_image_get_bands(image: *const VipsImage) -> c_int;
    pub fn vips_image_new_from_memory_copy(
        data: *const c_void,
        size: usize,
        width: c_int,
        height: c_int,
        bands: c_int,
        format: c_int,
    ) -> *mut VipsImage;

    pub fn vips_jpegsave_buffer(image: *mut VipsImage, out: *mut *mut c_void, size: *mut usize, ...)
    -> c_int;
    pub fn vips_pngsave_buffer(image: *mut VipsImage, out: *mut *mut c_void, size: *mut usize, ...) -> c_int;
    pub fn vips_webpsave_buffer(image: *mut VipsImage, out: *mut *mut c_void, size: *mut usize, ...)
    -> c_int;
    pub fn vips_heifsave_buffer(image: *mut VipsImage, out: *mut *mut c_void, size: *mut usize, ...)
    -> c_int;

    pub fn vips_array_double_new(values: *const c_double, count: c_int) -> *mut VipsArrayDouble;
    pub fn vips_area_unref(area: *mut VipsArrayDouble);

    pub fn g_object_unref(object: *mut c_void);
    pub fn g_free(memory: *mut c_void);
    pub fn g_strfreev(texts: *mut *mut c_char);
    pub fn g_signal_connect_data(
        instance: *mut c_void,
        signal: *const c_char,
        handler: Option<GCallback>,
        data: *mut c_void,
        drop_data: Option<unsafe extern "C" fn(data: *mut c_void, closure: *mut c_void)>,
        flags: c_uint,
    ) -> c_ulong;
    pub fn g_log_set_handler(
        domain: *const c_char,
        levels: c_int,
        handler: Option<
            unsafe extern "C" fn(
                domain: *const c_char,
                level: c_int,
                message: *const c_char,
                data: *mut c_void,
            ),
        >,
        data: *mut c_void,
    ) -> c_uint;
}
