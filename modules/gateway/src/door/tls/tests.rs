use rustls_pki_types::pem::PemObject;

use super::*;
use crate::door::ca::tests::Folder;

fn issued_for(folder: &Folder, names: &[&str]) -> CertificateFiles {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let made = rcgen::generate_simple_self_signed(names).unwrap();
    let files = CertificateFiles { certificate: folder.0.join("tls.pem"), key: folder.0.join("tls-key.pem") };
    std::fs::write(&files.certificate, made.cert.pem()).unwrap();
    std::fs::write(&files.key, made.signing_key.serialize_pem()).unwrap();
    files
}

fn first(files: &CertificateFiles) -> CertificateDer<'static> {
    CertificateDer::from_pem_file(&files.certificate).unwrap()
}

#[test]
fn a_configured_certificate_goes_before_the_authority() {
    let folder = Folder::new("configured");
    let files = issued_for(&folder, &["*.example.com", "localhost"]);
    let ca = LocalCa::load_or_create(&folder.0.join("ca")).unwrap();
    let certificates = Certificates::new(vec![files.clone()], Some(ca), []).unwrap();

    for name in [Some("api.example.com"), Some("localhost"), None] {
        assert_eq!(certificates.choose(name).unwrap().cert[0], first(&files), "{name:?}");
    }
    assert_ne!(certificates.choose(Some("acme.localhost")).unwrap().cert[0], first(&files));
    assert!(certificates.choose(Some("a.b.example.com")).is_none());
}

#[test]
fn names_of_others_get_nothing_and_extra_names_get_a_leaf() {
    let folder = Folder::new("names");
    let ca = LocalCa::load_or_create(&folder.0.join("ca")).unwrap();
    let certificates = Certificates::new(vec![], Some(ca), ["Kernel.Internal".to_owned()]).unwrap();

    assert!(certificates.choose(Some("KERNEL.internal")).is_some());
    for stranger in ["example.com", "notlocalhost", "localhost.example.com", "x.kernel.internal"] {
        assert!(certificates.choose(Some(stranger)).is_none(), "{stranger}");
    }
}

#[test]
fn reloading_takes_the_new_file_and_a_broken_one_changes_nothing() {
    let folder = Folder::new("reload");
    let files = issued_for(&folder, &["example.com"]);
    let certificates = Certificates::new(vec![files.clone()], None, []).unwrap();
    let old = first(&files);

    std::fs::write(&files.certificate, "broken").unwrap();
    let error = certificates.reload().unwrap_err().to_string();
    assert!(error.contains("holds no certificate"), "{error}");
    assert_eq!(certificates.choose(Some("example.com")).unwrap().cert[0], old);

    issued_for(&folder, &["example.com"]);
    certificates.reload().unwrap();
    assert_eq!(certificates.choose(Some("example.com")).unwrap().cert[0], first(&files));
    assert_ne!(first(&files), old);
}

#[test]
fn a_key_of_another_certificate_is_a_sentence_with_both_files() {
    let folder = Folder::new("mismatch");
    let files = issued_for(&folder, &["example.com"]);
    std::fs::write(&files.key, rcgen::KeyPair::generate().unwrap().serialize_pem()).unwrap();

    let error = Certificates::new(vec![files], None, []).unwrap_err().to_string();

    assert!(
        error.contains("tls-key.pem cannot be used with the certificate") && error.contains("tls.pem"),
        "{error}"
    );
}

#[test]
fn the_plain_answer_says_how_long_it_is() {
    let text = std::str::from_utf8(SPEAK_TLS).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();

    assert!(head.contains(&format!("content-length: {}", body.len())), "{}", body.len());
}
