use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use axum::extract::Extension;
use axum::routing::get;
use http_body_util::BodyExt;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::Notify;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::*;
use crate::door::ca::tests::Folder;
use crate::door::{Certificates, LocalCa, Wanted, bind};

/// No condition of these tests takes this long unless it never comes.
const PATIENCE: Duration = Duration::from_secs(20);

struct Gate {
    address: SocketAddr,
    shutdown: Shutdown,
    connections: Connections,
    /// A request to `/slow` has come in.
    arrived: Arc<Notify>,
    /// Lets it be answered.
    release: Arc<Notify>,
}

impl Gate {
    fn open(mode: Mode, max: usize, limits: Limits) -> Self {
        let mut bound = bind(None, &[Wanted { name: "http", port: 0, env: "GATEWAY_PORT" }]).unwrap();
        let listening = bound.take("http").unwrap();
        let address = SocketAddr::from(([127, 0, 0, 1], listening.port));
        let (arrived, release) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let (there, go) = (Arc::clone(&arrived), Arc::clone(&release));
        let router = Router::new()
            .route("/facts", get(facts))
            .route(
                "/slow",
                get(async move || {
                    there.notify_one();
                    go.notified().await;
                    "done"
                }),
            )
            .into_service::<Body>();
        let (connections, shutdown) = (Connections::new(max, limits), Shutdown::new());
        serve(listening, mode, router, &connections, &shutdown);
        Self { address, shutdown, connections, arrived, release }
    }

    fn plain() -> Self {
        Self::open(Mode::Plain, 100, Limits::default())
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }
}

async fn facts(
    Extension(peer): Extension<PeerAddr>,
    Extension(listener): Extension<Listener>,
    Extension(secure): Extension<Secure>,
    request: Request<Body>,
) -> impl axum::response::IntoResponse {
    let text = format!("{:?} {} {} {}", request.version(), peer.0.ip(), listener.0, secure.0);
    ([(header::SERVER, "a banner")], text)
}

/// A TLS port with a fresh authority.
struct SecureGate {
    gate: Gate,
    authority: rustls::pki_types::CertificateDer<'static>,
    _folder: Folder,
}

impl SecureGate {
    fn open(extra: &[&str]) -> Self {
        let folder = Folder::new("gate");
        let ca = LocalCa::load_or_create(&folder.0.join("ca")).unwrap();
        let authority = ca.certificate_der().clone();
        let extra = extra.iter().map(|name| (*name).to_owned());
        let certificates = Certificates::new(vec![], Some(ca), extra).unwrap();
        let door = TlsDoor::new(Arc::new(certificates)).unwrap();
        Self { gate: Gate::open(Mode::Tls(door), 100, Limits::default()), authority, _folder: folder }
    }

    async fn handshake(
        &self,
        name: &'static str,
        versions: &[&'static SupportedProtocolVersion],
        alpn: &[&str],
    ) -> io::Result<tokio_rustls::client::TlsStream<TcpStream>> {
        let mut roots = RootCertStore::empty();
        roots.add(self.authority.clone()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(versions)
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
        let name = ServerName::try_from(name).unwrap();
        TlsConnector::from(Arc::new(config)).connect(name, self.gate.connect().await).await
    }
}

const TLS13: &[&SupportedProtocolVersion] = &[&rustls::version::TLS13];

/// Sends one HTTP/1.1 request and reads until the other end closes.
async fn ask<T: AsyncRead + AsyncWrite + Unpin>(stream: &mut T, path: &str) -> String {
    let request = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    read_all(stream).await
}

async fn read_all<T: AsyncRead + Unpin>(stream: &mut T) -> String {
    let mut answer = Vec::new();
    let _ = timeout(PATIENCE, stream.read_to_end(&mut answer)).await.unwrap(); // a reset is an end too
    String::from_utf8_lossy(&answer).into_owned()
}

async fn http2<T>(stream: T, path: &str) -> (StatusCode, String)
where
    T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let uri = format!("http://localhost{path}");
    let response = sender.send_request(Request::get(uri).body(Body::empty()).unwrap()).await.unwrap();
    let status = response.status();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (status, String::from_utf8_lossy(&body).into_owned())
}

#[tokio::test]
async fn a_plain_request_knows_its_connection_and_the_answer_has_no_banner() {
    let gate = Gate::plain();

    let answer = ask(&mut gate.connect().await, "/facts").await.to_ascii_lowercase();

    assert!(
        answer.starts_with("http/1.1 200") && answer.ends_with("http/1.1 127.0.0.1 http false"),
        "{answer}"
    );
    assert!(!answer.contains("\nserver:") && answer.contains("\ndate:"), "{answer}");
}

#[tokio::test]
async fn http2_by_prior_knowledge_is_spoken_on_the_plain_port() {
    let gate = Gate::plain();

    let answer = http2(gate.connect().await, "/facts").await;

    assert_eq!(answer, (StatusCode::OK, "HTTP/2.0 127.0.0.1 http false".to_owned()));
}

#[tokio::test]
async fn a_preface_in_single_bytes_is_still_http2_and_a_near_miss_is_not() {
    let gate = Gate::plain();
    let mut stream = gate.connect().await;
    stream.set_nodelay(true).unwrap();
    for byte in b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" {
        stream.write_all(&[*byte]).await.unwrap();
        tokio::task::yield_now().await;
    }
    stream.write_all(&[0, 0, 0, 4, 0, 0, 0, 0, 0]).await.unwrap(); // an empty SETTINGS frame

    let mut frame = [0; 9];
    timeout(PATIENCE, stream.read_exact(&mut frame)).await.unwrap().unwrap();
    assert_eq!(frame[3], 4, "the server's own SETTINGS");

    let mut near = gate.connect().await;
    near.write_all(b"PRI * HTTP/2.0\r\n\r\nSX\r\n\r\n").await.unwrap();
    assert!(read_all(&mut near).await.starts_with("HTTP/1.1 400"));
}

#[tokio::test]
async fn tls_serves_every_localhost_name_and_the_address_to_clients_that_trust_the_authority() {
    let gate = SecureGate::open(&[]);

    for name in ["localhost", "acme.localhost", "shop.acme.localhost", "127.0.0.1"] {
        let mut stream = gate.handshake(name, TLS13, &[]).await.unwrap();
        let answer = ask(&mut stream, "/facts").await;
        assert!(answer.ends_with("HTTP/1.1 127.0.0.1 http true"), "{name}: {answer}");
    }
}

#[tokio::test]
async fn tls_speaks_http2_by_alpn() {
    let gate = SecureGate::open(&[]);
    let stream = gate.handshake("acme.localhost", TLS13, &["h2", "http/1.1"]).await.unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(b"h2".as_slice()));

    let answer = http2(stream, "/facts").await;

    assert_eq!(answer, (StatusCode::OK, "HTTP/2.0 127.0.0.1 http true".to_owned()));
}

#[tokio::test]
async fn tls_1_2_is_refused() {
    let gate = SecureGate::open(&[]);

    let error = gate.handshake("localhost", &[&rustls::version::TLS12], &[]).await.unwrap_err();

    assert!(error.to_string().contains("ProtocolVersion"), "{error}");
}

#[tokio::test]
async fn a_name_that_is_not_served_is_unrecognized() {
    let gate = SecureGate::open(&[]);

    let error = gate.handshake("bank.example", TLS13, &[]).await.unwrap_err();

    assert!(error.to_string().contains("UnrecognisedName"), "{error}");
}

#[tokio::test]
async fn the_authority_cannot_speak_for_a_name_outside_its_constraints() {
    let gate = SecureGate::open(&["kernel.internal"]);

    let error = gate.handshake("kernel.internal", TLS13, &[]).await.unwrap_err();

    assert!(error.to_string().contains("NameConstraintViolation"), "{error}");
}

#[tokio::test]
async fn plain_http_on_the_tls_port_is_told_so() {
    let gate = SecureGate::open(&[]);

    let answer = ask(&mut gate.gate.connect().await, "/facts").await;

    assert!(answer.starts_with("HTTP/1.1 400") && answer.contains("https://"), "{answer}");
}

#[tokio::test]
async fn draining_finishes_the_request_in_flight_and_takes_no_new_ones() {
    let gate = Gate::plain();
    let mut stream = gate.connect().await;
    stream.write_all(b"GET /slow HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
    timeout(PATIENCE, gate.arrived.notified()).await.unwrap();

    gate.shutdown.drain();
    while TcpStream::connect(gate.address).await.is_ok() {
        tokio::task::yield_now().await;
    }
    gate.release.notify_one();

    let answer = read_all(&mut stream).await;
    assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("done"), "{answer}");
    assert_eq!(gate.shutdown.finished(PATIENCE).await, 0);
    assert_eq!(gate.connections.free(), 100);
}

#[tokio::test]
async fn draining_finishes_the_http2_stream_in_flight() {
    let gate = Gate::plain();
    let asked = tokio::spawn(http2(gate.connect().await, "/slow"));
    timeout(PATIENCE, gate.arrived.notified()).await.unwrap();

    gate.shutdown.drain();
    gate.release.notify_one();

    assert_eq!(timeout(PATIENCE, asked).await.unwrap().unwrap(), (StatusCode::OK, "done".to_owned()));
    assert_eq!(gate.shutdown.finished(PATIENCE).await, 0);
}

#[tokio::test]
async fn a_request_that_reached_the_system_before_draining_is_answered() {
    let gate = Gate::plain();
    // No await between connecting and draining: on this single thread the accept loop has not run yet.
    let mut early = std::net::TcpStream::connect(gate.address).unwrap();
    std::io::Write::write_all(&mut early, b"GET /facts HTTP/1.1\r\nhost: localhost\r\n\r\n").unwrap();
    gate.shutdown.drain();

    early.set_nonblocking(true).unwrap();
    let mut early = TcpStream::from_std(early).unwrap();

    assert!(read_all(&mut early).await.starts_with("HTTP/1.1 200"));
}

#[tokio::test]
async fn an_announced_end_answers_and_closes_each_connection() {
    let gate = Gate::plain();
    gate.shutdown.announce();

    let mut stream = gate.connect().await;
    stream.write_all(b"GET /facts HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();

    let answer = read_all(&mut stream).await.to_ascii_lowercase();
    assert!(answer.starts_with("http/1.1 200") && answer.contains("connection: close"), "{answer}");
}

#[tokio::test]
async fn what_does_not_finish_in_time_is_cut_and_counted() {
    let gate = Gate::plain();
    let mut stream = gate.connect().await;
    stream.write_all(b"GET /slow HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
    timeout(PATIENCE, gate.arrived.notified()).await.unwrap();

    assert_eq!(gate.shutdown.finished(Duration::from_millis(50)).await, 1);

    assert_eq!(read_all(&mut stream).await, "");
}

#[tokio::test]
async fn a_client_that_sends_its_head_slowly_is_cut() {
    let limits = Limits { head: Duration::from_millis(100), ..Limits::default() };
    let gate = Gate::open(Mode::Plain, 100, limits);
    for start in ["P", "GET /facts HTTP/1.1\r\nhost: loc"] {
        let mut stream = gate.connect().await;
        stream.write_all(start.as_bytes()).await.unwrap();

        let answer = read_all(&mut stream).await;

        assert!(!answer.contains("200"), "{start}: {answer}");
    }
}

#[tokio::test]
async fn a_client_that_says_nothing_is_cut() {
    let limits = Limits { first_request: Duration::from_millis(50), ..Limits::default() };
    let gate = Gate::open(Mode::Plain, 100, limits);

    assert_eq!(read_all(&mut gate.connect().await).await, "");
}

#[tokio::test]
async fn an_idle_connection_outlives_the_time_for_a_head() {
    let limits = Limits { head: Duration::from_millis(50), ..Limits::default() };
    let gate = Gate::open(Mode::Plain, 100, limits);
    let mut stream = gate.connect().await;
    stream.write_all(b"GET /facts HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
    let mut some = [0; 1024];
    assert!(timeout(PATIENCE, stream.read(&mut some)).await.unwrap().unwrap() > 0);

    tokio::time::sleep(Duration::from_millis(200)).await; // what is shown is that this much time passes unharmed

    assert!(ask(&mut stream, "/facts").await.starts_with("HTTP/1.1 200"));
}

#[tokio::test]
async fn heads_beyond_the_limits_are_refused() {
    let gate = Gate::plain();
    let large = format!("GET /facts HTTP/1.1\r\nhost: localhost\r\nx: {}\r\n\r\n", "x".repeat(20_000));
    let many = format!("GET /facts HTTP/1.1\r\nhost: localhost\r\n{}\r\n", "x: y\r\n".repeat(101));
    for head in [large, many] {
        let mut stream = gate.connect().await;
        let _ = stream.write_all(head.as_bytes()).await; // it may be refused before all is sent

        assert!(read_all(&mut stream).await.starts_with("HTTP/1.1 431"));
    }
}

#[tokio::test]
async fn too_many_headers_are_refused_on_http2_too() {
    let gate = Gate::plain();
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(gate.connect().await))
            .await
            .unwrap();
    tokio::spawn(connection);
    let mut request = Request::get("http://localhost/facts");
    for at in 0..101 {
        request = request.header(format!("x-{at}"), "y");
    }

    let response = sender.send_request(request.body(Body::empty()).unwrap()).await.unwrap();

    assert_eq!(response.status(), StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE);
}

#[tokio::test]
async fn beyond_the_limit_of_connections_accepting_waits() {
    let gate = Gate::open(Mode::Plain, 1, Limits::default());
    let mut first = gate.connect().await;
    first.write_all(b"GET /slow HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").await.unwrap();
    timeout(PATIENCE, gate.arrived.notified()).await.unwrap();

    let answered = Arc::new(AtomicUsize::new(0));
    let mut second = gate.connect().await;
    let count = Arc::clone(&answered);
    let second = tokio::spawn(async move {
        let answer = ask(&mut second, "/facts").await;
        count.fetch_add(1, Ordering::SeqCst);
        answer
    });
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    assert_eq!((answered.load(Ordering::SeqCst), gate.connections.free()), (0, 0));
    gate.release.notify_one();

    assert!(read_all(&mut first).await.ends_with("done"));
    assert!(timeout(PATIENCE, second).await.unwrap().unwrap().starts_with("HTTP/1.1 200"));
}

#[test]
fn only_errors_of_one_connection_go_on_without_a_pause() {
    for errno in [24, 23, 12, 105] {
        assert!(
            !is_of_one_connection(&io::Error::from_raw_os_error(errno)),
            "EMFILE, ENFILE, ENOMEM, ENOBUFS"
        );
    }
    assert!(is_of_one_connection(&io::Error::from_raw_os_error(103)), "ECONNABORTED");
}
