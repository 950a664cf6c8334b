use std::os::unix::fs::PermissionsExt;

use super::*;

/// A folder that goes away with the test.
pub(crate) struct Folder(pub(crate) PathBuf);

impl Folder {
    pub(crate) fn new(name: &str) -> Self {
        let path = temporary_name(&std::env::temp_dir().join(format!("door-{name}")));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn the_authority_is_made_once_and_kept_from_others() {
    let home = Folder::new("once");
    let folder = home.0.join("share/platform-kernel-ca");

    let first = LocalCa::load_or_create(&folder).unwrap();
    let second = LocalCa::load_or_create(&folder).unwrap();

    assert_eq!(first.fingerprint_sha256(), second.fingerprint_sha256());
    assert_eq!(first.fingerprint_sha256().len(), 64);
    assert_eq!(mode(&folder), 0o700);
    assert_eq!(mode(&folder.join(KEY_FILE)), 0o600);
    let published = fs::read_to_string(first.certificate_path()).unwrap();
    assert_eq!(published, first.certificate_pem());
    assert!(!published.contains("PRIVATE"));
    let names: Vec<_> = fs::read_dir(&folder).unwrap().flatten().map(|entry| entry.file_name()).collect();
    assert_eq!(names.len(), 3, "no temporary file stays: {names:?}");
}

#[test]
fn many_at_once_get_the_same_authority() {
    let home = Folder::new("race");
    let folder = home.0.join("ca");

    let fingerprints: Vec<String> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8)
            .map(|_| scope.spawn(|| LocalCa::load_or_create(&folder).unwrap().fingerprint_sha256()))
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });

    assert!(fingerprints.iter().all(|fingerprint| *fingerprint == fingerprints[0]));
}

#[test]
fn the_first_of_two_without_locks_stays() {
    let home = Folder::new("link");
    let path = home.0.join(KEY_FILE);

    write_private(&path, "first", Publish::First).unwrap();
    write_private(&path, "second", Publish::First).unwrap();

    assert_eq!(fs::read_to_string(&path).unwrap(), "first");
}

#[test]
fn a_broken_key_file_is_a_sentence_and_stays_untouched() {
    let home = Folder::new("broken");
    let path = home.0.join(KEY_FILE);
    make_folder(&home.0).unwrap();
    write_private(&path, "not an authority", Publish::First).unwrap();

    let error = LocalCa::load_or_create(&home.0).unwrap_err().to_string();

    assert!(error.contains("ca-key.pem does not hold the certificate"), "{error}");
    assert!(error.contains("delete it and start again"), "{error}");
    assert_eq!(fs::read_to_string(&path).unwrap(), "not an authority");
}

#[test]
fn a_certificate_with_another_key_is_a_sentence() {
    let home = Folder::new("mixed");
    let [one, two] = [make_authority().unwrap(), make_authority().unwrap()];
    let end = "-----END CERTIFICATE-----\n";
    let mixed = format!("{}{end}{}", one.split_once(end).unwrap().0, two.split_once(end).unwrap().1);
    write_private(&home.0.join(KEY_FILE), &mixed, Publish::First).unwrap();

    let error = LocalCa::load_or_create(&home.0).unwrap_err().to_string();

    assert!(error.contains("do not belong together"), "{error}");
}

#[test]
fn an_expired_authority_is_replaced() {
    let home = Folder::new("expired");
    let long_ago = SystemTime::now() - DAY * 400;
    let old = authority(long_ago, DAY * 365).unwrap();
    write_private(&home.0.join(KEY_FILE), &old, Publish::First).unwrap();

    let ca = LocalCa::load_or_create(&home.0).unwrap();

    assert!(ca.expires() > SystemTime::now() + DAY * 3650);
    assert!(!old.contains(ca.certificate_pem()));
    assert_eq!(LocalCa::load_or_create(&home.0).unwrap().fingerprint_sha256(), ca.fingerprint_sha256());
}

#[test]
fn a_key_that_others_can_read_is_refused() {
    let home = Folder::new("open");
    LocalCa::load_or_create(&home.0).unwrap();
    fs::set_permissions(home.0.join(KEY_FILE), fs::Permissions::from_mode(0o644)).unwrap();

    let error = LocalCa::load_or_create(&home.0).unwrap_err().to_string();

    assert!(error.contains("others can read (mode 644)") && error.contains("chmod 600"), "{error}");
}

#[test]
fn a_leaf_is_made_once_for_its_host_in_any_case() {
    let home = Folder::new("leaf");
    let ca = LocalCa::load_or_create(&home.0).unwrap();

    let leaf = ca.leaf("acme.localhost").unwrap();

    assert!(Arc::ptr_eq(&leaf, &ca.leaf("ACME.localhost").unwrap()));
    assert!(!Arc::ptr_eq(&leaf, &ca.leaf("other.localhost").unwrap()));
    let validity = der::validity(&leaf.cert[0]).unwrap();
    let life = validity.end().duration_since(*validity.start()).unwrap();
    assert!(life > DAY * 89 && life < DAY * 91);
}

#[test]
fn the_leaves_in_memory_are_bounded() {
    let home = Folder::new("bounded");
    let ca = LocalCa::load_or_create(&home.0).unwrap();

    for at in 0..LEAVES + 50 {
        ca.leaf(&format!("t{at}.localhost")).unwrap();
    }

    ca.leaves.run_pending_tasks();
    assert!(ca.leaves.entry_count() <= LEAVES);
}

#[test]
fn a_name_too_long_for_a_common_name_still_gets_a_leaf() {
    let home = Folder::new("long");
    let ca = LocalCa::load_or_create(&home.0).unwrap();

    ca.leaf(&format!("{}.{}.localhost", "t".repeat(63), "s".repeat(40))).unwrap();
}
