//! The installation: its folder and its key.

use std::{
    fs,
    io::Write as _,
    os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use fabric::crypto::RootKey;
use kernel::Secret;

use crate::{control::Control, error::OpenError};

/// Where an installation keeps what is its own.
#[derive(Clone)]
pub struct Installation {
    folder: PathBuf,
    key: RootKey,
    /// Whether the key was given: to several replicas, perhaps.
    is_given: bool,
}

impl Installation {
    /// Opens the folder, making it and the key file when they are not there. A configured key goes before the file.
    pub fn open(folder: &Path, configured: Option<&Secret>) -> Result<Self, OpenError> {
        let refused = |source| OpenError::Folder { path: folder.display().to_string(), source };
        if !folder.exists() {
            fs::create_dir_all(folder).map_err(refused)?;
            fs::set_permissions(folder, fs::Permissions::from_mode(0o711)).map_err(refused)?;
        }
        let key = match configured {
            Some(secret) => RootKey::new(secret.expose().as_bytes()),
            None => RootKey::new(&private_bytes(&folder.join("secret.key"))?),
        };
        Ok(Self { folder: folder.to_owned(), key, is_given: configured.is_some() })
    }

    /// The operator's key, in a file that only its owner reads. It follows from a key that was given, so that replicas have
    /// the same one.
    pub(crate) fn operator_key(&self, path: &Path) -> Result<String, OpenError> {
        let refused = |source| OpenError::Folder { path: path.display().to_string(), source };
        let kept = match fs::read_to_string(path) {
            Ok(text) => Some(text.trim().to_owned()),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
            Err(error) => return Err(refused(error)),
        };
        let text = |bytes: [u8; 32]| format!("ok_{}", URL_SAFE_NO_PAD.encode(bytes));
        let given = self.is_given.then(|| text(self.key.derive(&["operator"])));
        let key = match (given, kept) {
            (given, Some(kept)) if given.as_ref().is_none_or(|given| *given == kept) => return Ok(kept),
            (given, _) => given.unwrap_or_else(|| text(Control::cx().random::<32>())),
        };
        // Whoever reads sees the old one or the new one.
        fs::rename(beside(path, key.as_bytes()).map_err(refused)?, path).map_err(refused)?;
        Ok(key)
    }

    /// The installation's key.
    pub fn key(&self) -> &RootKey {
        &self.key
    }

    /// A file of the installation.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }
}

/// 32 random bytes in a file only its owner reads; made when it is not there, by one process only.
fn private_bytes(path: &Path) -> Result<Vec<u8>, OpenError> {
    let refused = |source| OpenError::Folder { path: path.display().to_string(), source };
    if !path.exists() {
        write_once(path, &Control::cx().random::<32>()).map_err(refused)?;
    }
    let bytes = fs::read(path).map_err(refused)?;
    if bytes.len() < 32 {
        return Err(OpenError::DamagedKey(path.display().to_string()));
    }
    Ok(bytes)
}

/// Writes beside and links into place, so that a reader never sees half a file and a second writer loses.
fn write_once(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let beside = beside(path, bytes)?;
    let linked = fs::hard_link(&beside, path);
    fs::remove_file(&beside)?;
    match linked {
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    }
}

/// A whole file beside another one, that only its owner reads.
fn beside(path: &Path, bytes: &[u8]) -> std::io::Result<PathBuf> {
    let beside = path.with_extension(format!("new-{}", std::process::id()));
    let mut file =
        fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&beside)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    Ok(beside)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_is_made_once_and_only_for_its_owner() {
        let folder = std::env::temp_dir().join(format!("pk-installation-{}", uuid::Uuid::new_v4()));
        let first = Installation::open(&folder, None).unwrap();
        let again = Installation::open(&folder, None).unwrap();
        assert_eq!(first.key().derive(&["x"]), again.key().derive(&["x"]));
        let mode = fs::metadata(first.path("secret.key")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        fs::write(first.path("secret.key"), b"short").unwrap();
        assert!(matches!(Installation::open(&folder, None), Err(OpenError::DamagedKey(_))));
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn the_operators_key_stays_and_follows_from_a_key_that_was_given() {
        let folders =
            [(); 3].map(|()| std::env::temp_dir().join(format!("pk-operator-{}", uuid::Uuid::new_v4())));
        let key = |folder: &Path, given: Option<&str>| {
            let given = given.map(Secret::new);
            let installation = Installation::open(folder, given.as_ref()).unwrap();
            let path = installation.path("operator.key");
            let key = installation.operator_key(&path).unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap(), key);
            assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
            key
        };
        let [one, two, three] = &folders;
        let own = key(one, None);
        assert!(own.starts_with("ok_") && own.len() > 40, "{own}");
        assert_eq!(key(one, None), own, "it stays");
        assert_ne!(key(two, None), own);
        let given = key(three, Some("a key that both replicas have"));
        assert_eq!(key(two, Some("a key that both replicas have")), given, "replicas have one operator");
        assert_ne!(key(one, Some("another key")), given);
        folders.iter().for_each(|folder| fs::remove_dir_all(folder).unwrap());
    }
}
