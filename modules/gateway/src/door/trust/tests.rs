use std::fs;
use std::os::unix::fs::PermissionsExt;

use super::*;
use crate::door::ca::tests::Folder;

/// A machine of a test: its own root, home and programs.
struct Machine {
    folder: Folder,
    ca: LocalCa,
    stores: TrustStores,
}

impl Machine {
    fn new(name: &str) -> Self {
        let folder = Folder::new(name);
        let ca = LocalCa::load_or_create(&folder.0.join("ca")).unwrap();
        let stores = TrustStores {
            root: folder.0.join("root"),
            home: Some(folder.0.join("home")),
            path: vec![folder.0.join("bin")],
        };
        for part in ["root", "home", "bin"] {
            fs::create_dir_all(folder.0.join(part)).unwrap();
        }
        Self { folder, ca, stores }
    }

    fn program(&self, name: &str, script: &str) {
        let path = self.folder.0.join("bin").join(name);
        fs::write(&path, format!("#!/bin/sh\nROOT='{}'\n{script}\n", self.folder.0.join("root").display()))
            .unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    fn debian(&self) {
        for part in ["usr/local/share/ca-certificates", "etc/ssl/certs"] {
            fs::create_dir_all(self.folder.0.join("root").join(part)).unwrap();
        }
        self.program(
            "update-ca-certificates",
            r#"cat "$ROOT"/usr/local/share/ca-certificates/*.crt 2>/dev/null > "$ROOT/etc/ssl/certs/ca-certificates.crt"; true"#,
        );
    }

    /// A certutil that keeps one file for each name in the database's folder.
    fn certutil(&self) {
        self.program(
            "certutil",
            r#"act=$1; shift
while [ $# -gt 0 ]; do case $1 in -d) db=${2#sql:}; shift;; -n) name=$2; shift;; -i) file=$2; shift;; esac; shift; done
case $act in
-N) touch "$db/cert9.db";;
-A) cp "$file" "$db/$name";;
-D) rm "$db/$name";;
-V|-L) test -f "$db/$name";;
esac"#,
        );
    }

    fn outcomes(report: &Report) -> Vec<Outcome> {
        report.entries.iter().map(|entry| entry.outcome.clone()).collect()
    }
}

#[tokio::test]
async fn the_authority_goes_into_the_systems_store_and_out_again() {
    let machine = Machine::new("system");
    machine.debian();
    let (ca, stores) = (&machine.ca, &machine.stores);

    assert!(!stores.is_trusted(ca).await);
    assert_eq!(Machine::outcomes(&stores.install(ca).await), [Outcome::Installed]);
    assert!(stores.is_trusted(ca).await);
    assert_eq!(Machine::outcomes(&stores.install(ca).await), [Outcome::Trusted]);
    assert_eq!(Machine::outcomes(&stores.remove(ca).await), [Outcome::Removed]);
    assert!(!stores.is_trusted(ca).await);
    assert_eq!(Machine::outcomes(&stores.remove(ca).await), [Outcome::Absent]);
}

#[tokio::test]
async fn every_browser_database_has_a_line_of_its_own() {
    let machine = Machine::new("browsers");
    machine.debian();
    machine.certutil();
    let home = machine.folder.0.join("home");
    fs::create_dir_all(home.join(".config/chromium")).unwrap(); // installed, has no database yet
    let profile = home.join(".mozilla/firefox/abc.default");
    fs::create_dir_all(&profile).unwrap();
    fs::write(profile.join("cert9.db"), "").unwrap();
    let (ca, stores) = (&machine.ca, &machine.stores);

    let report = stores.install(ca).await;

    assert_eq!(Machine::outcomes(&report), vec![Outcome::Installed; 3], "{report}");
    assert!(home.join(".pki/nssdb").join(ca.name()).is_file());
    assert!(report.to_string().contains("Firefox, ") && stores.is_trusted(ca).await);
    assert_eq!(Machine::outcomes(&stores.remove(ca).await), vec![Outcome::Removed; 3]);
}

#[tokio::test]
async fn a_missing_certutil_is_said_and_nothing_counts_as_trusted() {
    let machine = Machine::new("no-certutil");
    machine.debian();
    let profile = machine.folder.0.join("home/.mozilla/firefox/abc.default");
    fs::create_dir_all(&profile).unwrap();
    fs::write(profile.join("cert9.db"), "").unwrap();

    let report = machine.stores.install(&machine.ca).await;

    assert!(!report.is_done());
    assert_eq!(report.entries[0].outcome, Outcome::Installed);
    assert!(report.to_string().contains("libnss3-tools"), "{report}");
}

#[tokio::test]
async fn a_store_that_does_not_take_it_is_a_failure_with_the_programs_words() {
    let machine = Machine::new("failing");
    machine.debian();
    machine.program("update-ca-certificates", "echo 'the disk is full' >&2; exit 3");

    let report = machine.stores.install(&machine.ca).await;

    assert!(report.to_string().contains("exit status: 3: the disk is full"), "{report}");
}

#[tokio::test]
async fn an_unknown_system_names_the_file_to_add_by_hand() {
    let machine = Machine::new("unknown");

    let report = machine.stores.install(&machine.ca).await;

    assert!(report.to_string().contains("ca.pem by hand"), "{report}");
}

#[test]
fn a_path_with_quotes_stays_one_word() {
    assert_eq!(quoted(Path::new("/home/o'neil/ca.pem")), r"'/home/o'\''neil/ca.pem'");
}

#[tokio::test]
async fn what_is_printed_is_the_certificate_with_its_fingerprint() {
    let machine = Machine::new("print");

    let text = print(&machine.ca);

    assert!(text.contains(&machine.ca.fingerprint_sha256()) && text.contains("BEGIN CERTIFICATE"));
}
