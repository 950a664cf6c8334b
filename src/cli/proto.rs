//! `proto`: the gRPC contracts, for generators of clients.

use std::path::{Path, PathBuf};

use crate::failure::Failure;
use crate::output;

/// Print the gRPC contracts, or write them to a folder.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  platform-kernel proto                    every file, one after the other
  platform-kernel proto --out proto        proto/platform/iam/v1/iam.proto …, for protoc -I proto
A running kernel tells the same by reflection: grpcurl -plaintext localhost:50050 list")]
pub struct Args {
    /// The folder; it is made if it is not there, and files of the same name in it are replaced.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

/// Prints or writes them. No kernel need run.
///
/// # Errors
/// What the system says.
pub fn run(args: &Args) -> Result<(), Failure> {
    let Some(out) = &args.out else {
        let texts = ::proto::FILES.iter().map(|(name, text)| format!("// {name}\n{text}"));
        return output::print(&texts.collect::<Vec<_>>().join("\n"));
    };
    for (name, text) in ::proto::FILES {
        let path = out.join(name);
        let folder = path.parent().unwrap_or(out);
        std::fs::create_dir_all(folder).map_err(|error| refused("make", folder, &error))?;
        std::fs::write(&path, text).map_err(|error| refused("write", &path, &error))?;
        output::print(&format!("{}\n", path.display()))?;
    }
    Ok(())
}

fn refused(verb: &str, path: &Path, error: &std::io::Error) -> Failure {
    Failure::new(format!("cannot {verb} {}: {error}; choose another folder with --out", path.display()))
}
