//! Certificates of the HTTPS listener: the configured one, else the local authority of this machine's user.

use std::path::Path;
use std::sync::Arc;

use gateway::door::{CertificateFiles, Certificates, DoorError, LocalCa, TlsDoor};
use kernel::config::Config;

/// Opens the local authority: in the user's folder, shared by all data folders; beside the data where there is no home
/// to write to (a container).
///
/// # Errors
/// A sentence of the door's.
pub fn open(data_dir: &Path) -> Result<LocalCa, DoorError> {
    let beside = data_dir.join("ca");
    let Some(folder) = LocalCa::default_folder() else { return LocalCa::load_or_create(&beside) };
    match LocalCa::load_or_create(&folder) {
        // "make" is only said of the folder itself: there never was an authority in it.
        Err(DoorError::File { verb: "make", path, source }) => {
            tracing::debug!(path = %path.display(), error = %source, "no authority in the user's folder; it lies beside the data");
            LocalCa::load_or_create(&beside)
        }
        opened => opened,
    }
}

/// Certificates by name, and the door that uses them. Blocks on files.
///
/// # Errors
/// A sentence of the door's.
pub fn certificates(config: &Config) -> Result<(Arc<Certificates>, TlsDoor), DoorError> {
    let files: Vec<CertificateFiles> = config
        .listen
        .certificate
        .iter()
        .map(|files| CertificateFiles { certificate: files.chain.clone(), key: files.key.clone() })
        .collect();
    let ca = if files.is_empty() { Some(open(&config.data_dir)?) } else { None };
    let certificates = Arc::new(Certificates::new(files, ca, config.hosts.iter().cloned())?);
    let door = TlsDoor::new(Arc::clone(&certificates))?;
    Ok((certificates, door))
}
