//! Hidden verbs for the build: the executable carries PostgreSQL and a prepared data folder at its end.

use std::fs;
use std::path::PathBuf;

use fabric::postgres::embedded::Payload;

use crate::failure::Failure;
use crate::{output, settings};

/// Makes the packed data folder: templates and a spare, without any secret.
#[derive(Debug, clap::Args)]
pub struct PackData {
    /// The archive to write, `data.tar.zst`.
    out: PathBuf,
}

/// Puts the archives at the end of an executable.
#[derive(Debug, clap::Args)]
pub struct Append {
    /// `postgres-17.tar.zst`.
    server: PathBuf,
    /// The executable to write.
    out: PathBuf,
    /// `data.tar.zst`.
    #[arg(long)]
    data: Option<PathBuf>,
    /// The executable to put them on; this one if it is left out.
    #[arg(long)]
    exe: Option<PathBuf>,
}

/// Opens a kernel in a folder of its own, closes it and packs what it left.
///
/// # Errors
/// What kept it from opening.
pub fn pack_data(args: &PackData) -> Result<(), Failure> {
    let folder = std::env::temp_dir().join(format!("platform-kernel-pack-{}", std::process::id()));
    let data_dir = folder.to_str().ok_or_else(|| Failure::new("TMPDIR is not UTF-8; set another"))?;
    // Nothing of this machine's configuration goes into a release.
    let flags = [("data-dir", data_dir), ("template", "demo"), ("durability", "hybrid")];
    let flags = flags.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
    let config = settings::resolve(flags)?.config;
    crate::logs::to_stderr(false, "info")?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::new(format!("the system refused the threads a server needs: {error}")))?;
    let packed = runtime.block_on(Box::pin(sandbox::build_packed_data(config, &args.out)));
    runtime.shutdown_background();
    fs::remove_dir_all(&folder).ok();
    packed.map_err(Failure::new)?;
    output::line(args.out.display().to_string())
}

/// Writes the executable with its archives.
///
/// # Errors
/// Files that can't be read or written.
pub fn append(args: &Append) -> Result<(), Failure> {
    let exe = match &args.exe {
        Some(exe) => exe.clone(),
        None => std::env::current_exe().map_err(|error| {
            Failure::new(format!("the program's own file is not to be found ({error}); use --exe"))
        })?,
    };
    Payload::append(&exe, &args.server, args.data.as_deref(), &args.out).map_err(Failure::new)?;
    output::line(args.out.display().to_string())
}
