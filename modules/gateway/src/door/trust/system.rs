//! The system's own store: a folder of additional authorities and a program that builds the bundle from it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;

use super::{Entry, LocalCa, Outcome, TrustStores, quoted};

/// How one family of systems does it.
struct Family {
    name: &'static str,
    /// Where additional authorities are put.
    anchors: &'static str,
    extension: &'static str,
    refresh: &'static str,
    arguments: &'static [&'static str],
    /// What programs read in the end.
    bundle: &'static str,
}

/// In this order: some systems have an empty folder of another family.
const FAMILIES: [Family; 4] = [
    Family {
        name: "Fedora",
        anchors: "etc/pki/ca-trust/source/anchors",
        extension: "pem",
        refresh: "update-ca-trust",
        arguments: &["extract"],
        bundle: "etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    },
    Family {
        name: "Debian",
        anchors: "usr/local/share/ca-certificates",
        extension: "crt",
        refresh: "update-ca-certificates",
        arguments: &[],
        bundle: "etc/ssl/certs/ca-certificates.crt",
    },
    Family {
        name: "Arch",
        anchors: "etc/ca-certificates/trust-source/anchors",
        extension: "crt",
        refresh: "trust",
        arguments: &["extract-compat"],
        bundle: "etc/ca-certificates/extracted/tls-ca-bundle.pem",
    },
    Family {
        name: "openSUSE",
        anchors: "etc/pki/trust/anchors",
        extension: "pem",
        refresh: "update-ca-certificates",
        arguments: &[],
        bundle: "var/lib/ca-certificates/ca-bundle.pem",
    },
];

impl Family {
    fn refresh_line(&self) -> String {
        let words: Vec<&str> = std::iter::once(&self.refresh).chain(self.arguments).copied().collect();
        format!("sudo {}", words.join(" "))
    }
}

impl TrustStores {
    pub(super) async fn install_in_system(&self, ca: &LocalCa) -> Entry {
        let Some((family, program)) = self.family() else { return unknown(ca) };
        let outcome = if self.bundle_holds(family, ca) {
            Outcome::Trusted
        } else {
            self.install_with(family, &program, ca).await
        };
        entry(family, outcome)
    }

    async fn install_with(&self, family: &Family, program: &Path, ca: &LocalCa) -> Outcome {
        let anchor = self.anchor(family, ca);
        let by_hand = || {
            let (from, to) = (ca.certificate_path(), quoted(&anchor));
            format!("sudo install -m 0644 {} {to} && {}", quoted(&from), family.refresh_line())
        };
        match fs::write(&anchor, ca.certificate_pem()) {
            Ok(()) => {}
            Err(e) if needs_rights(&e) => return Outcome::NeedsRights { command: by_hand() },
            Err(e) => return Outcome::Failed { why: format!("{} cannot be written: {e}", anchor.display()) },
        }
        match self.run_well(program, family.arguments).await {
            Err(why) => Outcome::Failed { why },
            Ok(()) if self.bundle_holds(family, ca) => Outcome::Installed,
            Ok(()) => Outcome::Failed {
                why: format!("{} ran, but {} does not hold the authority", family.refresh, family.bundle),
            },
        }
    }

    pub(super) async fn remove_from_system(&self, ca: &LocalCa) -> Entry {
        let Some((family, program)) = self.family() else { return unknown(ca) };
        let anchor = self.anchor(family, ca);
        let outcome = match fs::remove_file(&anchor) {
            Ok(()) => self.refresh_after_removal(family, &program, ca).await,
            Err(e) if e.kind() == io::ErrorKind::NotFound && !self.bundle_holds(family, ca) => {
                Outcome::Absent
            }
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                self.refresh_after_removal(family, &program, ca).await
            }
            Err(e) if needs_rights(&e) => Outcome::NeedsRights {
                command: format!("sudo rm {} && {}", quoted(&anchor), family.refresh_line()),
            },
            Err(e) => Outcome::Failed { why: format!("{} cannot be removed: {e}", anchor.display()) },
        };
        entry(family, outcome)
    }

    async fn refresh_after_removal(&self, family: &Family, program: &Path, ca: &LocalCa) -> Outcome {
        match self.run_well(program, family.arguments).await {
            Err(why) => Outcome::Failed { why },
            Ok(()) if !self.bundle_holds(family, ca) => Outcome::Removed,
            Ok(()) => Outcome::Failed {
                why: format!("{} still holds the authority: somebody else installed it too", family.bundle),
            },
        }
    }

    pub(super) fn inspect_system(&self, ca: &LocalCa) -> Entry {
        let Some((family, _)) = self.family() else { return unknown(ca) };
        let trusted = self.bundle_holds(family, ca);
        entry(family, if trusted { Outcome::Trusted } else { Outcome::NotTrusted })
    }

    fn family(&self) -> Option<(&'static Family, PathBuf)> {
        FAMILIES.iter().find_map(|family| {
            let program = self.program(family.refresh)?;
            self.root.join(family.anchors).is_dir().then_some((family, program))
        })
    }

    /// Named by the fingerprint: users of one machine have authorities of their own.
    fn anchor(&self, family: &Family, ca: &LocalCa) -> PathBuf {
        let name = format!("platform-kernel-{}.{}", &ca.fingerprint_sha256()[..16], family.extension);
        self.root.join(family.anchors).join(name)
    }

    fn bundle_holds(&self, family: &Family, ca: &LocalCa) -> bool {
        let Ok(bundle) = fs::read(self.root.join(family.bundle)) else { return false };
        CertificateDer::pem_slice_iter(&bundle)
            .flatten()
            .any(|certificate| certificate == *ca.certificate_der())
    }
}

fn entry(family: &Family, outcome: Outcome) -> Entry {
    Entry { store: format!("the system's store ({})", family.name), outcome }
}

fn unknown(ca: &LocalCa) -> Entry {
    let why = format!(
        "this system's store is of no kind that is known here (Debian, Fedora, Arch, openSUSE); add {} by hand",
        ca.certificate_path().display()
    );
    Entry { store: "the system's store".to_owned(), outcome: Outcome::Failed { why } }
}

fn needs_rights(e: &io::Error) -> bool {
    matches!(e.kind(), io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem)
}
