//! TLS 1.3, with a certificate chosen by the name the client asks for.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::SystemTime;

use rustls::ServerConfig;
use rustls::client::verify_server_name;
use rustls::crypto::CryptoProvider;
use rustls::server::{Acceptor, ClientHello, ParsedCertificate, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio_rustls::LazyConfigAcceptor;
use tokio_rustls::server::TlsStream;

use super::connection::Protocol;
use super::{DoorError, LocalCa, der};

/// A TLS record: alert, fatal, unrecognized_name (RFC 6066, 3). rustls itself says access_denied, which browsers do
/// not explain.
const UNRECOGNIZED_NAME: [u8; 7] = [21, 3, 3, 0, 2, 2, 112];
/// The answer to a client that speaks plain HTTP to the TLS port: its first byte is a letter, that of TLS is 22.
const SPEAK_TLS: &[u8] = b"HTTP/1.1 400 Bad Request\r\ncontent-type: text/plain\r\nconnection: close\r\n\
    content-length: 51\r\n\r\nThis port speaks HTTPS. Use https:// in the address";

/// A certificate that the operator configured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateFiles {
    /// PEM: the certificate and its intermediates.
    pub certificate: PathBuf,
    /// PEM: its private key.
    pub key: PathBuf,
}

/// All certificates of the door: configured ones first, then those of the local authority.
pub struct Certificates {
    files: Vec<CertificateFiles>,
    configured: RwLock<Arc<[Arc<CertifiedKey>]>>,
    ca: Option<LocalCa>,
    extra_names: Vec<String>,
    provider: Arc<CryptoProvider>,
}

impl fmt::Debug for Certificates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificates")
            .field("files", &self.files)
            .field("ca", &self.ca)
            .finish_non_exhaustive()
    }
}

impl Certificates {
    /// Reads the configured certificates. `extra_names` (`KERNEL_HOSTS`) without a configured certificate get one of
    /// the local authority too: clients that check refuse it (its name constraints allow localhost only), others
    /// (`curl -k`, a proxy that does not check) come through.
    ///
    /// Errors: a file that cannot be read, is not PEM, or a key of another certificate.
    pub fn new(
        files: Vec<CertificateFiles>,
        ca: Option<LocalCa>,
        extra_names: impl IntoIterator<Item = String>,
    ) -> Result<Self, DoorError> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let configured = RwLock::new(read_all(&files, &provider)?);
        let extra_names = extra_names.into_iter().map(|name| name.to_ascii_lowercase()).collect();
        Ok(Self { files, configured, ca, extra_names, provider })
    }

    /// Reads the configured files again. On an error the certificates in use stay.
    pub fn reload(&self) -> Result<(), DoorError> {
        let fresh = read_all(&self.files, &self.provider)?;
        *self.configured.write().unwrap_or_else(PoisonError::into_inner) = fresh;
        Ok(())
    }

    /// The local authority, if there is one.
    pub fn ca(&self) -> Option<&LocalCa> {
        self.ca.as_ref()
    }

    /// When the first of the configured certificates ends.
    pub fn first_expiry(&self) -> Option<SystemTime> {
        self.configured().iter().filter_map(|key| Some(*der::validity(key.cert.first()?)?.end())).min()
    }

    fn configured(&self) -> Arc<[Arc<CertifiedKey>]> {
        Arc::clone(&self.configured.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// The certificate for a name; `None` as name is a client that connects by address.
    fn choose(&self, name: Option<&str>) -> Option<Arc<CertifiedKey>> {
        let configured = self.configured();
        let found = match name {
            Some(name) => configured.iter().find(|key| is_for(key, name)),
            None => configured.first(),
        };
        if let Some(key) = found {
            return Some(Arc::clone(key));
        }
        let ca = self.ca.as_ref()?;
        let issued = match name {
            None => ca.loopback_leaf(),
            Some(name) if self.may_issue(name) => ca.leaf(name),
            Some(_) => return None,
        };
        issued.inspect_err(|e| tracing::error!(name, error = %e, "no certificate could be issued")).ok()
    }

    fn may_issue(&self, name: &str) -> bool {
        let name = name.to_ascii_lowercase();
        name == "localhost" || name.ends_with(".localhost") || self.extra_names.contains(&name)
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.choose(hello.server_name())
    }
}

/// Whether a client would take this certificate for this name: the same rule clients use, wildcards included.
fn is_for(key: &CertifiedKey, name: &str) -> bool {
    let Some(Ok(certificate)) = key.cert.first().map(ParsedCertificate::try_from) else { return false };
    let Ok(name) = ServerName::try_from(name) else { return false };
    verify_server_name(&certificate, &name).is_ok()
}

fn read_all(
    files: &[CertificateFiles],
    provider: &CryptoProvider,
) -> Result<Arc<[Arc<CertifiedKey>]>, DoorError> {
    files.iter().map(|files| read(files, provider).map(Arc::new)).collect()
}

fn read(files: &CertificateFiles, provider: &CryptoProvider) -> Result<CertifiedKey, DoorError> {
    let text = |path: &PathBuf| {
        std::fs::read(path).map_err(|source| DoorError::File { verb: "read", path: path.clone(), source })
    };
    let unusable = |path: &PathBuf, why: String, remedy: &str| DoorError::Unusable {
        path: path.clone(),
        why,
        remedy: remedy.to_owned(),
    };
    let chain = CertificateDer::pem_slice_iter(&text(&files.certificate)?)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|e| unusable(&files.certificate, format!("is not PEM ({e})"), "write it again"))?;
    let Some(first) = chain.first() else {
        let remedy = "it needs a part that begins with -----BEGIN CERTIFICATE-----";
        return Err(unusable(&files.certificate, "holds no certificate".to_owned(), remedy));
    };
    ParsedCertificate::try_from(first).map_err(|e| {
        unusable(
            &files.certificate,
            format!("holds a certificate that cannot be read ({e})"),
            "have it issued again",
        )
    })?;
    let key = PrivateKeyDer::from_pem_slice(&text(&files.key)?).map_err(|_| {
        let remedy = "it needs a part that begins with -----BEGIN PRIVATE KEY-----, without a passphrase";
        unusable(&files.key, "holds no private key".to_owned(), remedy)
    })?;
    CertifiedKey::from_der(chain, key, provider).map_err(|e| {
        let why = format!("cannot be used with the certificate {} ({e})", files.certificate.display());
        unusable(&files.key, why, "the key must be the one the first certificate of that file was issued for")
    })
}

/// Makes TLS connections out of TCP ones. Clones share everything.
#[derive(Clone)]
pub struct TlsDoor {
    config: Arc<ServerConfig>,
    certificates: Arc<Certificates>,
}

impl fmt::Debug for TlsDoor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsDoor").field("certificates", &self.certificates).finish_non_exhaustive()
    }
}

impl TlsDoor {
    /// TLS 1.3 only, HTTP/2 and HTTP/1.1 by ALPN, sessions resumed by ticket, no early data.
    ///
    /// Errors: the system gives no random numbers.
    pub fn new(certificates: Arc<Certificates>) -> Result<Self, DoorError> {
        let refused = |e: rustls::Error| DoorError::Crypto { doing: "set up TLS", why: e.to_string() };
        let mut config = ServerConfig::builder_with_provider(Arc::clone(&certificates.provider))
            .with_protocol_versions(&[&rustls::version::TLS13])
            .map_err(refused)?
            .with_no_client_auth()
            .with_cert_resolver(Arc::clone(&certificates) as Arc<dyn ResolvesServerCert>);
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        config.ticketer = rustls::crypto::ring::Ticketer::new().map_err(refused)?;
        Ok(Self { config: Arc::new(config), certificates })
    }

    /// The handshake. The caller sets its time limit.
    pub(super) async fn accept(&self, mut stream: TcpStream) -> io::Result<(TlsStream<TcpStream>, Protocol)> {
        let mut first = [0];
        if stream.peek(&mut first).await? == 1 && first[0].is_ascii_uppercase() {
            stream.write_all(SPEAK_TLS).await?;
            stream.shutdown().await?;
            return Err(io::Error::new(io::ErrorKind::InvalidData, "the client spoke plain HTTP"));
        }
        let start = LazyConfigAcceptor::new(Acceptor::default(), stream).await?;
        let name = start.client_hello().server_name().map(str::to_owned);
        if self.certificates.choose(name.as_deref()).is_none() {
            let mut stream = start.io;
            stream.write_all(&UNRECOGNIZED_NAME).await?;
            stream.shutdown().await?;
            let name = name.unwrap_or_else(|| "no name".to_owned());
            return Err(io::Error::new(io::ErrorKind::NotFound, format!("no certificate for {name}")));
        }
        let stream = start.into_stream(Arc::clone(&self.config)).await?;
        let protocol = match stream.get_ref().1.alpn_protocol() {
            Some(b"h2") => Protocol::Http2,
            _ => Protocol::Http1,
        };
        Ok((stream, protocol))
    }
}

#[cfg(test)]
mod tests;
