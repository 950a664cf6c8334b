//! The certificate databases of Chromium and Firefox (NSS), worked by Mozilla's own `certutil`.

use std::fs;
use std::path::{Path, PathBuf};

use super::{Entry, LocalCa, Outcome, TrustStores};

/// Databases looked at; a home with more profiles is cut off and says so.
const DATABASES: usize = 64;

/// The database all Chromium-like browsers share, below the home folder.
const CHROMIUM: &str = ".pki/nssdb";
/// Where such a browser keeps its settings: it is installed, though it may not have made its database yet.
const CHROMIUM_SETTINGS: [&str; 5] = [
    ".config/google-chrome",
    ".config/chromium",
    ".config/BraveSoftware",
    ".config/microsoft-edge",
    ".config/vivaldi",
];
/// Chromium of the snap store has a home of its own.
const CHROMIUM_SNAP: &str = "snap/chromium/current/.pki/nssdb";
/// Folders of Firefox profiles.
const FIREFOX: [&str; 4] = [
    ".mozilla/firefox",
    ".config/mozilla/firefox",
    "snap/firefox/common/.mozilla/firefox",
    ".var/app/org.mozilla.firefox/.mozilla/firefox",
];

const MISSING: Outcome = Outcome::NeedsProgram {
    program: "certutil",
    remedy: "install libnss3-tools (Debian, Ubuntu), nss-tools (Fedora), nss (Arch) and run this again",
};

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Act {
    Install,
    Remove,
    Inspect,
}

struct Database {
    browser: &'static str,
    folder: PathBuf,
    exists: bool,
}

impl TrustStores {
    pub(super) async fn each_browser(&self, ca: &LocalCa, act: Act) -> Vec<Entry> {
        let databases = self.databases();
        let certutil = self.program("certutil");
        let mut entries = Vec::with_capacity(databases.len());
        for database in databases.iter().take(DATABASES) {
            let outcome = match &certutil {
                Some(certutil) => self.act_on(database, certutil, ca, act).await,
                None => MISSING,
            };
            entries.push(Entry {
                store: format!("{}, {}", database.browser, database.folder.display()),
                outcome,
            });
        }
        if databases.len() > DATABASES {
            let why = format!("only the first {DATABASES} of {} profiles were looked at", databases.len());
            entries
                .push(Entry { store: "more browser profiles".to_owned(), outcome: Outcome::Failed { why } });
        }
        entries
    }

    fn databases(&self) -> Vec<Database> {
        let Some(home) = &self.home else { return Vec::new() };
        let mut found = Vec::new();
        let shared = home.join(CHROMIUM);
        let exists = is_database(&shared);
        if exists || CHROMIUM_SETTINGS.iter().any(|settings| home.join(settings).is_dir()) {
            found.push(Database { browser: "Chromium", folder: shared, exists });
        }
        let snap = home.join(CHROMIUM_SNAP);
        if is_database(&snap) {
            found.push(Database { browser: "Chromium (snap)", folder: snap, exists: true });
        }
        for profiles in FIREFOX.iter().filter_map(|folder| fs::read_dir(home.join(folder)).ok()) {
            let mut profiles: Vec<PathBuf> = profiles.flatten().map(|profile| profile.path()).collect();
            profiles.retain(|profile| is_database(profile));
            profiles.sort();
            found.extend(profiles.into_iter().map(|folder| Database {
                browser: "Firefox",
                folder,
                exists: true,
            }));
        }
        found
    }

    async fn act_on(&self, database: &Database, certutil: &Path, ca: &LocalCa, act: Act) -> Outcome {
        let address = format!("sql:{}", database.folder.display());
        let trusted = database.exists && self.trusts(certutil, &address, ca).await;
        let outcome = match (act, trusted) {
            (Act::Inspect | Act::Install, true) => Ok(Outcome::Trusted),
            (Act::Inspect, false) => Ok(Outcome::NotTrusted),
            (Act::Install, false) => self.add(database, certutil, &address, ca).await,
            (Act::Remove, _) => self.take_out(database, certutil, &address, ca).await,
        };
        outcome.unwrap_or_else(|why| Outcome::Failed { why })
    }

    /// `certutil -V -u L`: valid as an authority for TLS servers, which also says that its trust flags are right.
    async fn trusts(&self, certutil: &Path, address: &str, ca: &LocalCa) -> bool {
        let arguments = ["-V", "-d", address, "-u", "L", "-n", ca.name()];
        self.run(certutil, &arguments).await.is_ok_and(|output| output.status.success())
    }

    async fn holds(&self, certutil: &Path, address: &str, ca: &LocalCa) -> bool {
        let arguments = ["-L", "-d", address, "-n", ca.name()];
        self.run(certutil, &arguments).await.is_ok_and(|output| output.status.success())
    }

    async fn add(
        &self,
        database: &Database,
        certutil: &Path,
        address: &str,
        ca: &LocalCa,
    ) -> Result<Outcome, String> {
        if !database.exists {
            let folder = &database.folder;
            fs::create_dir_all(folder).map_err(|e| format!("{} cannot be made: {e}", folder.display()))?;
            self.run_well(certutil, &["-N", "-d", address, "--empty-password"]).await?;
        }
        let file = ca.certificate_path().display().to_string();
        self.run_well(certutil, &["-A", "-d", address, "-t", "C,,", "-n", ca.name(), "-i", &file]).await?;
        if self.trusts(certutil, address, ca).await {
            Ok(Outcome::Installed)
        } else {
            Err("certutil added the authority, but the database does not trust it".to_owned())
        }
    }

    async fn take_out(
        &self,
        database: &Database,
        certutil: &Path,
        address: &str,
        ca: &LocalCa,
    ) -> Result<Outcome, String> {
        if !database.exists || !self.holds(certutil, address, ca).await {
            return Ok(Outcome::Absent);
        }
        self.run_well(certutil, &["-D", "-d", address, "-n", ca.name()]).await?;
        Ok(Outcome::Removed)
    }
}

fn is_database(folder: &Path) -> bool {
    folder.join("cert9.db").is_file()
}
