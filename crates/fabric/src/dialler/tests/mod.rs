//! Against real sockets of this machine.

use std::{collections::HashMap, convert::Infallible, io, net::IpAddr, sync::Mutex};

use futures::future::BoxFuture;
use http::StatusCode;
use http_body_util::{Empty, StreamBody};
use hyper::{body::Frame, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use kernel::config::Target;
use rustls::{
    ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

use super::*;

const SOON: Duration = Duration::from_secs(5);

/// Answers from a list, and counts how often it was asked.
#[derive(Default)]
struct Names {
    known: HashMap<&'static str, Vec<IpAddr>>,
    asked: Mutex<Vec<String>>,
}

impl Resolve for Names {
    fn addresses(&self, name: String) -> BoxFuture<'static, io::Result<Vec<IpAddr>>> {
        let found = self.known.get(name.as_str()).cloned();
        self.asked.lock().unwrap().push(name);
        Box::pin(async move { found.ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "unknown name")) })
    }
}

fn addresses(list: &[&str]) -> Vec<IpAddr> {
    list.iter().map(|text| text.parse().unwrap()).collect()
}

fn dialler(options: DiallerOptions) -> Dialler {
    Dialler::new(options).unwrap()
}

fn get(uri: &str) -> Request<Empty<Bytes>> {
    Request::get(uri).body(Empty::new()).unwrap()
}

/// Serves HTTP on loopback: what a test's back-end would be. `/to?…` redirects, `/slow` never answers, `/endless` never
/// stops, everything else tells what came.
async fn backend() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(
                http1::Builder::new()
                    .serve_connection(TokioIo::new(stream), service_fn(answer))
                    .with_upgrades(),
            );
        }
    });
    port
}

async fn answer(
    mut request: Request<Incoming>,
) -> Result<Response<UnsyncBoxBody<Bytes, Infallible>>, Infallible> {
    let text = |text: String| Full::new(Bytes::from(text)).boxed_unsync();
    let path = request.uri().path().to_owned();
    match path.as_str() {
        "/to" => {
            let to = request.uri().query().unwrap_or_default().to_owned();
            let response = Response::builder().status(302).header(header::LOCATION, to);
            Ok(response.body(text(String::new())).unwrap())
        }
        "/slow" => std::future::pending().await,
        "/endless" => {
            let pieces = futures::stream::repeat_with(|| Ok(Frame::data(Bytes::from_static(&[b'x'; 1024]))));
            Ok(Response::new(StreamBody::new(pieces).boxed_unsync()))
        }
        "/echo" => {
            let upgrade = hyper::upgrade::on(&mut request);
            tokio::spawn(async move {
                let mut stream = TokioIo::new(upgrade.await.unwrap());
                let mut word = [0; 4];
                stream.read_exact(&mut word).await.unwrap();
                stream.write_all(&word).await.unwrap();
            });
            let response =
                Response::builder().status(101).header("connection", "upgrade").header("upgrade", "echo");
            Ok(response.body(text(String::new())).unwrap())
        }
        _ => {
            let (head, body) = request.into_parts();
            let body = body.collect().await.unwrap().to_bytes();
            let header = |name| {
                head.headers.get(name).map_or("-", |value: &http::HeaderValue| value.to_str().unwrap())
            };
            let told = format!(
                "{} {} {} {} {}",
                head.method,
                head.uri,
                header("host"),
                header("authorization"),
                body.len()
            );
            Ok(Response::new(text(told)))
        }
    }
}

async fn text(response: Response<Incoming>) -> String {
    String::from_utf8(read_body(response.into_body(), 10_000, SOON).await.unwrap().to_vec()).unwrap()
}

#[tokio::test]
async fn a_request_goes_to_what_the_operator_listed_and_its_answer_comes_back() {
    let port = backend().await;
    let dialler = dialler(DiallerOptions::default().and_loopback());
    for host in ["127.0.0.1", "localhost", "crm.localhost"] {
        let answer = dialler.request(get(&format!("http://{host}:{port}/a?b=c")), SOON).await.unwrap();
        assert_eq!(text(answer).await, format!("GET /a?b=c {host}:{port} - 0"));
    }
}

#[tokio::test]
async fn this_machine_is_refused_under_every_spelling_unless_it_is_listed() {
    let port = backend().await;
    let dialler = dialler(DiallerOptions::default());
    for host in [
        "127.0.0.1",
        "localhost",
        "LOCALHOST.",
        "x.localhost",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "[::127.0.0.1]",
        "0.0.0.0",
        "[::]",
        "[2002:7f00:1::]",
        "[64:ff9b::7f00:1]",
        "2130706433",
        "0x7f000001",
        "0177.0.0.1",
        "127.1",
    ] {
        let uri: Uri = format!("http://{host}:{port}/").parse().unwrap();
        let error = dialler.request(get(&uri.to_string()), SOON).await.unwrap_err();
        assert!(error.is_refusal(), "{host}: {error}");
        assert!(
            dialler.check(&uri).is_err_and(|error| error.is_refusal()),
            "{host} is refused when it is entered"
        );
        assert!(
            dialler.dial(&uri).await.is_err_and(|error| error.is_refusal()),
            "{host} is refused for other protocols"
        );
    }
}

#[tokio::test]
async fn a_name_is_asked_for_once_and_every_address_it_has_is_checked() {
    let port = backend().await;
    let known = HashMap::from([
        ("inside.example", addresses(&["10.0.0.1", "169.254.169.254", "fd00::1", "::ffff:192.168.1.1"])),
        ("mixed.example", addresses(&["10.0.0.1", "127.0.0.1"])),
        ("nowhere.example", addresses(&[])),
        ("listed.example", addresses(&["127.0.0.1"])),
    ]);
    let names = Arc::new(Names { known, ..Names::default() });
    let only_loopback =
        DiallerOptions { resolver: names.clone(), ..DiallerOptions::default() }.and_loopback();
    let one = dialler(only_loopback);
    let inside = one.request(get(&format!("http://inside.example:{port}/")), SOON).await.unwrap_err();
    assert!(matches!(inside, DialError::Refused { .. }), "{inside}");
    let mixed = one.request(get(&format!("http://mixed.example:{port}/")), SOON).await.unwrap();
    assert_eq!(mixed.status(), StatusCode::OK, "only the address that may be dialled was dialled");
    for name in ["nowhere.example", "unknown.example"] {
        let error = one.request(get(&format!("http://{name}:{port}/")), SOON).await.unwrap_err();
        assert!(matches!(error, DialError::Unresolved { .. }), "{error}");
    }
    assert_eq!(names.asked.lock().unwrap().len(), 4, "one question for each name");

    let allowed = vec![Target::Host("listed.example".to_owned())];
    let other = dialler(DiallerOptions { allowed, resolver: names, ..DiallerOptions::default() });
    let listed = other.request(get(&format!("http://Listed.Example:{port}/")), SOON).await.unwrap();
    assert_eq!(listed.status(), StatusCode::OK);
}

#[tokio::test]
async fn a_dead_address_does_not_keep_from_the_next_one() {
    let port = backend().await;
    let known = HashMap::from([("two.example", addresses(&["127.0.0.2", "127.0.0.1"]))]);
    let names = Arc::new(Names { known, ..Names::default() });
    let dialler = dialler(DiallerOptions { resolver: names, ..DiallerOptions::default() }.and_loopback());
    // The back-end listens on 127.0.0.1 alone, so 127.0.0.2 refuses.
    let answer = dialler.request(get(&format!("http://two.example:{port}/")), SOON).await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
    let error = dialler.request(get(&format!("http://127.0.0.1:{free}/")), SOON).await.unwrap_err();
    assert!(matches!(error, DialError::Unreachable { .. }) && error.was_not_sent(), "{error}");
}

#[tokio::test]
async fn a_redirect_comes_back_unless_it_is_asked_to_be_followed_and_each_step_is_checked() {
    let port = backend().await;
    let dialler = dialler(DiallerOptions::default().and_loopback());
    let base = format!("http://127.0.0.1:{port}");
    let plain = dialler.request(get(&format!("{base}/to?/there")), SOON).await.unwrap();
    assert_eq!(plain.status(), StatusCode::FOUND);

    let post = |to: &str| {
        let request = Request::post(format!("{base}/to?{to}")).header(header::AUTHORIZATION, "Bearer x");
        request.body(Bytes::from_static(b"body")).unwrap()
    };
    let same = dialler.request_following(post("/there"), 3, SOON).await.unwrap();
    assert_eq!(text(same).await, format!("GET /there 127.0.0.1:{port} Bearer x 0"));
    let elsewhere =
        dialler.request_following(post(&format!("http://localhost:{port}/x")), 3, SOON).await.unwrap();
    assert_eq!(text(elsewhere).await, format!("GET /x localhost:{port} - 0"));
    for inside in
        ["http://169.254.169.254/latest", "http://[::ffff:10.0.0.1]/", "ftp://127.0.0.1/", "http://0x0a.1/"]
    {
        let error = dialler.request_following(post(inside), 3, SOON).await.unwrap_err();
        assert!(error.is_refusal(), "{inside}: {error}");
    }
    let deep = "/to?/to?/to?/to?/end";
    let error = dialler.request_following(post(deep), 9, SOON).await.unwrap_err();
    assert!(matches!(error, DialError::TooManyRedirects { most: 3, .. }), "{error}");
}

#[tokio::test]
async fn nobody_is_waited_for_beyond_the_limit() {
    let port = backend().await;
    let dialler = dialler(DiallerOptions::default().and_loopback());
    let limit = Duration::from_millis(100);
    let error = dialler.request(get(&format!("http://127.0.0.1:{port}/slow")), limit).await.unwrap_err();
    assert!(matches!(error, DialError::Late { .. }), "{error}");
    assert_eq!(kernel::Error::from(error).slug(), kernel::Slug::DependencyUnavailable);
}

#[tokio::test]
async fn an_answer_is_read_up_to_its_limit_and_not_further() {
    let port = backend().await;
    let dialler = dialler(DiallerOptions::default().and_loopback());
    let answer = dialler.request(get(&format!("http://127.0.0.1:{port}/endless")), SOON).await.unwrap();
    let error = read_body(answer.into_body(), 100_000, SOON).await.unwrap_err();
    assert!(matches!(error, DialError::TooLong { most: 100_000 }), "{error}");
}

#[tokio::test]
async fn a_connection_can_be_taken_over_for_another_protocol() {
    let port = backend().await;
    let dialler = dialler(DiallerOptions::default().and_loopback());
    for scheme in ["http", "ws"] {
        let request = Request::get(format!("{scheme}://127.0.0.1:{port}/echo"))
            .header("connection", "upgrade")
            .header("upgrade", "echo")
            .body(Empty::<Bytes>::new())
            .unwrap();
        let response = dialler.request(request, SOON).await.unwrap();
        assert_eq!(response.status(), StatusCode::SWITCHING_PROTOCOLS);
        let mut stream = TokioIo::new(hyper::upgrade::on(response).await.unwrap());
        stream.write_all(b"ping").await.unwrap();
        let mut word = [0; 4];
        stream.read_exact(&mut word).await.unwrap();
        assert_eq!(&word, b"ping");
    }
}

/// Serves TLS on loopback with the certificate in `tls/`, made for `dial.test` and 127.0.0.1.
async fn tls_backend() -> u16 {
    let certificate = CertificateDer::from_pem_slice(include_bytes!("tls/server.pem")).unwrap();
    let key = PrivateKeyDer::from_pem_slice(include_bytes!("tls/server.key")).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                if let Ok(stream) = acceptor.accept(stream).await {
                    let _ = http1::Builder::new()
                        .serve_connection(TokioIo::new(stream), service_fn(answer))
                        .await;
                }
            });
        }
    });
    port
}

#[tokio::test]
async fn the_other_end_must_prove_its_name() {
    let port = tls_backend().await;
    let known =
        HashMap::from([("dial.test", addresses(&["127.0.0.1"])), ("other.test", addresses(&["127.0.0.1"]))]);
    let options = |trust| {
        let resolver = Arc::new(Names { known: known.clone(), ..Names::default() });
        DiallerOptions { resolver, trust, ..DiallerOptions::default() }.and_loopback()
    };
    let authority = CertificateDer::from_pem_slice(include_bytes!("tls/authority.pem")).unwrap();
    let ours = dialler(options(Trust::Only(vec![authority])));
    for host in ["dial.test", "127.0.0.1"] {
        let answer = ours.request(get(&format!("https://{host}:{port}/")), SOON).await.unwrap();
        assert_eq!(text(answer).await, format!("GET / {host}:{port} - 0"));
    }
    let other = ours.request(get(&format!("https://other.test:{port}/")), SOON).await.unwrap_err();
    assert!(matches!(other, DialError::Tls { .. }), "{other}");
    let public = dialler(options(Trust::PublicAuthorities));
    let unknown = public.request(get(&format!("https://dial.test:{port}/")), SOON).await.unwrap_err();
    assert!(matches!(unknown, DialError::Tls { .. }), "{unknown}");
}
