//! The certificate authority of this machine's user: browsers that trust it take `https://…localhost` without a
//! warning. It lives in the user's folder, is shared by all data folders, and its name constraints allow nothing but
//! localhost and loopback addresses: whoever steals the key cannot play a bank.

use std::fmt;
use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use moka::policy::EvictionPolicy;
use moka::sync::Cache;
use rcgen::{
    BasicConstraints, CertificateParams, CidrSubnet, DistinguishedName, DnType, ExtendedKeyUsagePurpose,
    GeneralSubtree, IsCa, Issuer, KeyPair, KeyUsagePurpose, NameConstraints, SanType,
};
use rustls::sign::CertifiedKey;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};

use super::private_file::{Publish, lock, make_folder, read_private, temporary_name, write_private};
use super::{DoorError, der};

/// Key and certificate in one file, so that no reader ever sees one without the other.
const KEY_FILE: &str = "ca-key.pem";
/// The certificate alone, for `curl --cacert` and the trust stores.
const CERTIFICATE_FILE: &str = "ca.pem";
const LOCK_FILE: &str = "lock";

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
const AUTHORITY_DAYS: u32 = 3652;
const LEAF_DAYS: u32 = 90;
/// A leaf is replaced this long before it ends.
const LEAF_RENEWED_DAYS_BEFORE: u32 = 30;
/// Clocks of clients may be behind ours.
const BACKDATED: Duration = Duration::from_secs(60 * 60);
/// Leaves kept in memory; the least recently used goes first.
const LEAVES: u64 = 1_000;
/// X.520's upper bound of a common name.
const COMMON_NAME: usize = 64;

/// The local authority, ready to issue.
pub struct LocalCa {
    folder: PathBuf,
    certificate: CertificateDer<'static>,
    pem: String,
    name: String,
    issuer: Issuer<'static, KeyPair>,
    expires: SystemTime,
    leaves: Cache<Subject, Arc<Leaf>>,
}

/// Whom a leaf is for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Subject {
    Host(String),
    /// Clients that connect by address send no name: 127.0.0.1, ::1 and localhost.
    Loopback,
}

struct Leaf {
    key: Arc<CertifiedKey>,
    renew_at: SystemTime,
}

impl fmt::Debug for LocalCa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocalCa")
            .field("folder", &self.folder)
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

impl LocalCa {
    /// `$XDG_DATA_HOME/platform-kernel-ca`, else `~/.local/share/platform-kernel-ca`. `None` for a user without a
    /// home (a container): take a folder beside the data then.
    pub fn default_folder() -> Option<PathBuf> {
        let absolute =
            |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
        let data =
            absolute("XDG_DATA_HOME").or_else(|| absolute("HOME").map(|home| home.join(".local/share")));
        data.map(|data| data.join("platform-kernel-ca"))
    }

    /// Opens the authority in this folder, or makes it; an expired one is replaced. Safe to run in several processes
    /// at once: all get the same authority. Blocks on files, so it belongs to the start.
    ///
    /// Errors: a folder or file that cannot be used, or is not kept from others; files that do not hold an authority
    /// are never overwritten.
    pub fn load_or_create(folder: &Path) -> Result<LocalCa, DoorError> {
        make_folder(folder)?;
        let _lock = lock(&folder.join(LOCK_FILE))?;
        let key_file = folder.join(KEY_FILE);
        let found = match read_private(&key_file)? {
            Some(text) => Some(Self::from_text(folder, &key_file, &text)?),
            None => None,
        };
        let ca = match found {
            Some(ca) if ca.expires > SystemTime::now() => ca,
            outdated => {
                let text = make_authority()?;
                let publish = if outdated.is_some() { Publish::Replace } else { Publish::First };
                write_private(&key_file, &text, publish)?;
                // What is on the disk counts: where locks do not work, another process may have been first.
                let text = read_private(&key_file)?.ok_or_else(|| DoorError::File {
                    verb: "read",
                    path: key_file.clone(),
                    source: io::ErrorKind::NotFound.into(),
                })?;
                Self::from_text(folder, &key_file, &text)?
            }
        };
        ca.publish_certificate()?;
        Ok(ca)
    }

    fn from_text(folder: &Path, key_file: &Path, text: &str) -> Result<LocalCa, DoorError> {
        let unusable = |why: &str| DoorError::Unusable {
            path: key_file.to_owned(),
            why: why.to_owned(),
            remedy: "delete it and start again: a new authority is made (then run `platform-kernel trust`)"
                .to_owned(),
        };
        let certificate = CertificateDer::from_pem_slice(text.as_bytes())
            .map_err(|_| unusable("does not hold the certificate of the local authority"))?;
        let private = PrivateKeyDer::from_pem_slice(text.as_bytes())
            .map_err(|_| unusable("does not hold the key of the local authority"))?;
        let key = KeyPair::try_from(&private).map_err(|_| unusable("holds a key that cannot be used"))?;
        certified(certificate.clone(), private)
            .map_err(|_| unusable("holds a certificate and a key that do not belong together"))?;
        let validity = der::validity(&certificate).ok_or_else(|| unusable("holds a broken certificate"))?;
        let fingerprint = fingerprint(&certificate);
        let issuer = Issuer::from_ca_cert_der(&certificate, key)
            .map_err(|_| unusable("holds a broken certificate"))?;
        Ok(LocalCa {
            folder: folder.to_owned(),
            pem: pem(&certificate),
            name: format!("Platform Kernel local CA {}", &fingerprint[..16]),
            certificate,
            issuer,
            expires: *validity.end(),
            leaves: Cache::builder().max_capacity(LEAVES).eviction_policy(EvictionPolicy::lru()).build(),
        })
    }

    /// The certificate alone beside the key, for other programs.
    fn publish_certificate(&self) -> Result<(), DoorError> {
        let path = self.certificate_path();
        if fs::read_to_string(&path).is_ok_and(|text| text == self.pem) {
            return Ok(());
        }
        let temporary = temporary_name(&path);
        fs::write(&temporary, &self.pem)
            .and_then(|()| fs::rename(&temporary, &path))
            .map_err(|source| DoorError::File { verb: "write", path, source })
    }

    /// The certificate as PEM.
    pub fn certificate_pem(&self) -> &str {
        &self.pem
    }

    /// The certificate as DER.
    pub fn certificate_der(&self) -> &CertificateDer<'static> {
        &self.certificate
    }

    /// The file that holds the certificate alone.
    pub fn certificate_path(&self) -> PathBuf {
        self.folder.join(CERTIFICATE_FILE)
    }

    /// SHA-256 of the certificate, 64 lower case hexadecimal digits.
    pub fn fingerprint_sha256(&self) -> String {
        fingerprint(&self.certificate)
    }

    /// What the trust stores call it: fixed words and the beginning of the fingerprint.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// When the authority ends; the next start makes a new one.
    pub fn expires(&self) -> SystemTime {
        self.expires
    }

    /// The certificate of exactly this host, made on first use and kept for its life.
    ///
    /// Names outside localhost are issued too, but every client that heeds name constraints refuses them.
    pub fn leaf(&self, host: &str) -> Result<Arc<CertifiedKey>, DoorError> {
        self.leaf_of(Subject::Host(host.to_ascii_lowercase()))
    }

    /// The certificate for clients that connect by a loopback address and send no name.
    pub fn loopback_leaf(&self) -> Result<Arc<CertifiedKey>, DoorError> {
        self.leaf_of(Subject::Loopback)
    }

    fn leaf_of(&self, subject: Subject) -> Result<Arc<CertifiedKey>, DoorError> {
        let now = SystemTime::now();
        if let Some(leaf) = self.leaves.get(&subject)
            && now < leaf.renew_at
        {
            return Ok(Arc::clone(&leaf.key));
        }
        let leaf = Arc::new(self.issue(&subject, now)?);
        self.leaves.insert(subject, Arc::clone(&leaf));
        Ok(Arc::clone(&leaf.key))
    }

    fn issue(&self, subject: &Subject, now: SystemTime) -> Result<Leaf, DoorError> {
        let refused =
            |e: rcgen::Error| DoorError::Crypto { doing: "issue a certificate", why: e.to_string() };
        let (name, alternatives) = match subject {
            Subject::Host(host) => {
                let name = host.as_str().try_into().map_err(refused)?;
                (host.as_str(), vec![SanType::DnsName(name)])
            }
            Subject::Loopback => {
                let localhost = SanType::DnsName("localhost".try_into().map_err(refused)?);
                let v4 = SanType::IpAddress(IpAddr::V4(Ipv4Addr::LOCALHOST));
                let v6 = SanType::IpAddress(IpAddr::V6(Ipv6Addr::LOCALHOST));
                ("localhost", vec![localhost, v4, v6])
            }
        };
        let until = (now + DAY * LEAF_DAYS).min(self.expires);
        let mut params = CertificateParams::default();
        params.distinguished_name = distinguished(name);
        params.subject_alt_names = alternatives;
        params.not_before = (now - BACKDATED).into();
        params.not_after = until.into();
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        let key = KeyPair::generate().map_err(refused)?;
        let certificate = params.signed_by(&key, &self.issuer).map_err(refused)?;
        let private = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let key = certified(certificate.der().clone(), private)
            .map_err(|e| DoorError::Crypto { doing: "use a certificate just issued", why: e.to_string() })?;
        Ok(Leaf { key: Arc::new(key), renew_at: until - DAY * LEAF_RENEWED_DAYS_BEFORE })
    }
}

fn make_authority() -> Result<String, DoorError> {
    authority(SystemTime::now(), DAY * AUTHORITY_DAYS)
}

/// A new authority as text: its certificate and its key, both PEM.
fn authority(from: SystemTime, life: Duration) -> Result<String, DoorError> {
    let refused =
        |e: rcgen::Error| DoorError::Crypto { doing: "make the local authority", why: e.to_string() };
    let machine: String = fs::read_to_string("/proc/sys/kernel/hostname")
        .unwrap_or_default()
        .chars()
        .filter(|c| c.is_ascii_alphanumeric() || *c == '-' || *c == '.')
        .take(COMMON_NAME / 3)
        .collect();
    let machine = if machine.is_empty() { "this machine".to_owned() } else { machine };
    let date = chrono::DateTime::<chrono::Utc>::from(from).format("%Y-%m-%d");
    let mut params = CertificateParams::default();
    params.distinguished_name = distinguished(&format!("Platform Kernel CA, {machine}, {date}"));
    params.not_before = (from - BACKDATED).into();
    params.not_after = (from + life).into();
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    // Name constraints speak of host names and addresses only; this closes mail and code signing.
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.name_constraints = Some(NameConstraints {
        permitted_subtrees: vec![
            GeneralSubtree::DnsName("localhost".to_owned()), // and every name below it
            GeneralSubtree::IpAddress(CidrSubnet::from_v4_prefix(Ipv4Addr::LOCALHOST.octets(), 8)),
            GeneralSubtree::IpAddress(CidrSubnet::from_v6_prefix(Ipv6Addr::LOCALHOST.octets(), 128)),
        ],
        excluded_subtrees: Vec::new(),
    });
    let key = KeyPair::generate().map_err(refused)?;
    let certificate = params.self_signed(&key).map_err(refused)?;
    Ok(format!("{}{}", certificate.pem(), key.serialize_pem()))
}

fn distinguished(common_name: &str) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    name.push(DnType::OrganizationName, "Platform Kernel");
    if common_name.len() <= COMMON_NAME {
        name.push(DnType::CommonName, common_name);
    }
    name
}

/// Certificate and key as rustls wants them; an error when they do not belong together.
fn certified(
    certificate: CertificateDer<'static>,
    key: PrivateKeyDer<'static>,
) -> Result<CertifiedKey, rustls::Error> {
    CertifiedKey::from_der(vec![certificate], key, &rustls::crypto::ring::default_provider())
}

fn fingerprint(certificate: &[u8]) -> String {
    let digest = ring::digest::digest(&ring::digest::SHA256, certificate);
    digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

fn pem(certificate: &[u8]) -> String {
    use base64::Engine;
    let text = base64::engine::general_purpose::STANDARD.encode(certificate);
    let lines: Vec<&str> =
        text.as_bytes().chunks(64).filter_map(|line| std::str::from_utf8(line).ok()).collect();
    format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", lines.join("\n"))
}

#[cfg(test)]
pub(super) mod tests;
