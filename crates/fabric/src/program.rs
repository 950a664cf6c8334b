//! The file this program runs from, and what its children read and write that nobody wants.

use std::{
    ffi::OsStr,
    io,
    os::unix::ffi::OsStrExt as _,
    path::{Path, PathBuf},
    process::Stdio,
};

/// A path that opens the running program, also when an update replaced its file meanwhile, and in a root without `/proc`.
///
/// # Errors
/// There is neither `/proc` nor, in what the kernel told the program at its start, a path that still leads to a file.
pub fn this_program() -> io::Result<PathBuf> {
    let running = Path::new("/proc/self/exe");
    if running.exists() {
        return Ok(running.to_owned());
    }
    let started_as = rustix::param::linux_execfn();
    let path = std::path::absolute(OsStr::from_bytes(started_as.to_bytes()))?;
    path.metadata().map(|_| path)
}

/// For a child: nothing to read. Unlike `/dev/null` it is there in an empty root, too.
///
/// # Errors
/// No pipe can be made.
pub fn no_input() -> io::Result<Stdio> {
    let (reader, _) = io::pipe()?;
    Ok(reader.into())
}

/// For a child: nobody reads what it says there. Where there is no `/dev/null`, saying something is its mistake.
///
/// # Errors
/// No pipe can be made.
pub fn no_output() -> io::Result<Stdio> {
    if Path::new("/dev/null").exists() {
        return Ok(Stdio::null());
    }
    let (_, writer) = io::pipe()?;
    Ok(writer.into())
}
