use std::{
    ffi::{CStr, c_char, c_int, c_void},
    ptr,
    sync::OnceLock,
};

use crate::{Fault, ffi};

/// Starts libvips at the first call. Every function that calls into it asks here first.
pub(crate) fn started() -> Result<(), Fault> {
    static STARTED: OnceLock<Result<(), String>> = OnceLock::new();
    STARTED.get_or_init(start).clone().map_err(Fault::Library)
}

fn start() -> Result<(), String> {
    // SAFETY: the name is a C string that lives for ever; `OnceLock` lets one thread in, and nothing of libvips is used
    // before. The handler is a function that lives for ever and takes any data.
    unsafe {
        if ffi::vips_init(c"platform-kernel".as_ptr()) != 0 {
            return Err(last_words());
        }
        // What a decoder has to say about a broken upload is in the error; on the standard error it is only noise.
        for domain in [c"VIPS", c"GLib", c"GLib-GObject"] {
            ffi::g_log_set_handler(domain.as_ptr(), ffi::LOG_LEVELS_ALL, Some(drop_message), ptr::null_mut());
        }
        // Only decoders that are fuzzed by their makers; and jobs side by side instead of threads within one.
        ffi::vips_block_untrusted_set(1);
        ffi::vips_concurrency_set(1);
        // No two uploads are the same: nothing to be gained by remembering operations, and memory to be lost.
        ffi::vips_cache_set_max(0);
    }
    Ok(())
}

unsafe extern "C" fn drop_message(_: *const c_char, _: c_int, _: *const c_char, _: *mut c_void) {}

/// What libvips said last. Its buffer is one for all threads, so that a word of a neighbour may be among it: for the log
/// only.
pub(crate) fn last_words() -> String {
    // SAFETY: the function takes the buffer's lock, empties the buffer and gives a C string that is ours to free.
    unsafe {
        let text = ffi::vips_error_buffer_copy();
        if text.is_null() {
            return String::new();
        }
        let words = CStr::from_ptr(text).to_string_lossy().trim().replace('\n', "; ");
        ffi::g_free(text.cast());
        words
    }
}

/// The version of libvips: 8, 14, 1.
///
/// # Errors
/// [`Fault::Library`] when it does not start.
pub fn version() -> Result<[i32; 3], Fault> {
    started()?;
    // SAFETY: reads a constant; 0, 1 and 2 are the parts that exist.
    Ok([0, 1, 2].map(|part| unsafe { ffi::vips_version(part) }))
}

/// Bytes of pixels that libvips holds just now, over all threads.
pub fn memory_in_use() -> usize {
    if started().is_err() {
        return 0;
    }
    // SAFETY: reads a counter under its lock.
    unsafe { ffi::vips_tracked_get_mem() }
}

/// Frees what libvips keeps for the calling thread; to be called before a thread ends that worked on images.
pub fn leave_thread() {
    if started().is_ok() {
        // SAFETY: libvips is started, and no picture refers to what is kept by thread.
        unsafe { ffi::vips_thread_shutdown() }
    }
}
