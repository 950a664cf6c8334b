//! On a real store: `make parts` starts SeaweedFS.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use futures::{StreamExt, stream};
use kernel::{Secret, Slug};
use object_store::{ObjectStore, ObjectStoreExt, path::Path};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use tokio::net::{TcpListener, TcpStream};
use uuid::Uuid;

use super::*;
use crate::blobs::{BlobKey, Blobs, Put, STAGING, contract};

fn setting(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| {
        panic!("{name} is not set: run `make parts` and `source ~/.cache/platform-kernel/parts/env`")
    })
}

/// The store of `make parts`, below a root of the test's own.
fn options() -> BucketOptions {
    BucketOptions {
        endpoint: Some(setting("TEST_S3_ENDPOINT")),
        public_endpoint: None,
        bucket: setting("TEST_S3_BUCKET"),
        region: "us-east-1".to_owned(),
        access_key_id: Secret::new(setting("TEST_S3_ACCESS_KEY_ID")),
        secret_access_key: Secret::new(setting("TEST_S3_SECRET_ACCESS_KEY")),
        authorities: None,
        root: format!("test-{}", Uuid::new_v4()),
    }
}

fn bucket(options: &BucketOptions) -> Arc<Bucket> {
    Arc::new(Bucket::new(options).unwrap())
}

fn blobs(options: &BucketOptions) -> Blobs {
    Blobs::in_bucket(options, "default".parse().unwrap()).unwrap()
}

fn key(text: &str) -> BlobKey {
    text.parse().unwrap()
}

async fn notes(bucket: &Bucket) -> usize {
    bucket.store().list(Some(&Path::from(STAGING))).count().await
}

#[tokio::test]
async fn a_bucket_keeps_the_contract() {
    contract::check(&blobs(&options())).await.unwrap();
}

#[tokio::test]
async fn a_bucket_is_found_sound() {
    let checked = blobs(&options()).check().await.unwrap().unwrap();
    assert!(checked.writes_once);
    assert!(checked.skew.unwrap() < Duration::from_secs(5));
    assert!(blobs(&options()).answers().await.is_ok());
}

#[tokio::test]
async fn a_stream_of_unknown_length_is_whole_or_absent() {
    let options = options();
    let (bucket, blobs) = (bucket(&options), blobs(&options));
    let megabyte = Bytes::from(vec![3; 1 << 20]);
    for megabytes in [0_u64, 1, 5, 6, 11] {
        let pieces = stream::iter((0..megabytes).map(|_| Ok(megabyte.clone())).collect::<Vec<_>>());
        let at = key(&format!("stream-{megabytes}"));
        assert_eq!(blobs.put_stream(&at, pieces, 20 << 20).await.unwrap(), Put::Stored(megabytes << 20));
        assert_eq!(blobs.size(&at).await.unwrap(), Some(megabytes << 20));
    }
    assert_eq!(notes(&bucket).await, 0);
    blobs.delete_below(None).await.unwrap();
}

#[tokio::test]
async fn of_streams_to_one_key_at_the_same_moment_one_is_kept_whole() {
    let blobs = blobs(&options());
    let at = key("race");
    let write = |byte: u8| {
        let (blobs, at) = (blobs.clone(), at.clone());
        let pieces = stream::iter((0..6).map(|_| Ok(Bytes::from(vec![byte; 1 << 20]))).collect::<Vec<_>>());
        async move { blobs.put_stream(&at, pieces, 20 << 20).await.unwrap() }
    };
    let became = futures::future::join_all((0..4).map(write)).await;
    // Amazon S3 keeps the first and refuses the others. This server looks for the key and writes it in two steps: of those
    // that come in between, the last is kept.
    assert!(became.iter().any(|put| matches!(put, Put::Stored(_))), "{became:?}");
    assert_eq!(write(9).await, Put::AlreadyThere);
    let kept = blobs.get(&at, None).await.unwrap().unwrap().bytes(20 << 20).await.unwrap();
    assert!(kept.len() == 6 << 20 && kept.iter().all(|byte| *byte == kept[0]));
    assert!(
        matches!(became[usize::from(kept[0])], Put::Stored(_)),
        "whose bytes are kept was told so: {became:?}"
    );
    blobs.delete_below(None).await.unwrap();
}

#[tokio::test]
async fn a_stream_that_is_given_up_leaves_nothing() {
    let options = options();
    let (bucket, blobs) = (bucket(&options), blobs(&options));
    let at = key("given-up");
    let never_ends = stream::iter((0..7).map(|_| Ok(Bytes::from(vec![0; 1 << 20])))).chain(stream::pending());
    let writing = blobs.put_stream(&at, Box::pin(never_ends), 100 << 20);
    assert!(tokio::time::timeout(Duration::from_secs(2), writing).await.is_err());
    tokio::time::timeout(Duration::from_secs(10), async {
        while notes(&bucket).await > 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await
    .expect("the note goes with the upload");
    assert_eq!(blobs.size(&at).await.unwrap(), None);
}

#[tokio::test]
async fn uploads_of_the_dead_are_cleared_and_those_of_the_living_stay() {
    let options = options();
    let bucket = bucket(&options);
    let at = Path::from("default/dead");
    // As a process leaves it that is killed.
    std::mem::forget(bucket.begin(&at).await.unwrap());
    assert_eq!(blobs(&options).clear_staging().await.unwrap(), 0, "it began a moment ago");
    assert_eq!(notes(&bucket).await, 1);
    assert_eq!(bucket.clear_uploads_older_than(Duration::ZERO).await.unwrap(), 1);
    assert_eq!(notes(&bucket).await, 0);
}

#[tokio::test]
async fn what_else_is_in_the_bucket_is_not_ours() {
    let (ours, others) = (options(), options());
    let (ours, others) = (blobs(&ours), blobs(&others));
    others.put(&key("a"), "theirs").await.unwrap();
    assert!(ours.prefixes().await.unwrap().is_empty());
    assert_eq!(ours.size(&key("a")).await.unwrap(), None);
    assert!(others.written_within(Duration::from_secs(60)).await.unwrap());
    assert!(!others.written_within(Duration::ZERO).await.unwrap());
    others.delete_below(None).await.unwrap();
}

#[tokio::test]
async fn each_mistake_has_its_sentence() {
    async fn told(change: impl FnOnce(&mut BucketOptions)) -> String {
        let mut options = options();
        change(&mut options);
        blobs(&options).check().await.unwrap_err().to_string()
    }
    let secret = told(|options| options.secret_access_key = Secret::new("wrong")).await;
    assert!(secret.contains("SignatureDoesNotMatch") && secret.contains("set S3_ACCESS_KEY_ID"), "{secret}");
    assert!(!secret.contains("wrong"), "{secret}");
    let id = told(|options| options.access_key_id = Secret::new("nobody")).await;
    assert!(id.contains("does not accept the key (InvalidAccessKeyId)"), "{id}");
    let bucket = told(|options| options.bucket = "not-there-at-all".to_owned()).await;
    assert!(bucket.contains("there is no bucket not-there-at-all"), "{bucket}");
    let nobody = told(|options| options.endpoint = Some("http://127.0.0.1:9".to_owned())).await;
    assert!(
        nobody.contains("http://127.0.0.1:9 can't be reached") && nobody.contains("S3_ENDPOINT"),
        "{nobody}"
    );
    let plain = told(|options| {
        options.endpoint = options.endpoint.as_ref().map(|url| url.replace("http:", "https:"));
    })
    .await;
    assert!(plain.contains("can't be reached"), "{plain}");
    let file = Bucket::new(&BucketOptions { authorities: Some("/not/there.pem".into()), ..options() });
    assert!(file.unwrap_err().to_string().starts_with("S3_CA_FILE /not/there.pem can't be read"));
}

/// Encrypts for the store, which speaks plainly.
async fn in_front_of(store: String) -> u16 {
    let certificate =
        CertificateDer::from_pem_slice(include_bytes!("../../dialler/tests/tls/server.pem")).unwrap();
    let key = PrivateKeyDer::from_pem_slice(include_bytes!("../../dialler/tests/tls/server.key")).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let tls = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(tls));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (acceptor, store) = (acceptor.clone(), store.clone());
            tokio::spawn(async move {
                let Ok(mut stream) = acceptor.accept(stream).await else { return };
                let mut store = TcpStream::connect(&store).await.unwrap();
                let _ = tokio::io::copy_bidirectional(&mut stream, &mut store).await;
            });
        }
    });
    port
}

#[tokio::test]
async fn a_store_with_a_certificate_of_its_own_is_trusted_by_its_file() {
    let plain = options();
    let store = plain.endpoint.clone().unwrap().replace("http://", "");
    let port = in_front_of(store).await;
    let encrypted = BucketOptions { endpoint: Some(format!("https://127.0.0.1:{port}")), ..plain };
    let told = blobs(&encrypted).check().await.unwrap_err().to_string();
    assert!(told.contains("not trusted") && told.contains("S3_CA_FILE"), "{told}");
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/src/dialler/tests/tls/authority.pem");
    let trusting = BucketOptions { authorities: Some(file.into()), ..encrypted };
    assert!(blobs(&trusting).check().await.unwrap().unwrap().writes_once);
}

#[tokio::test]
async fn a_signed_address_is_good_for_one_thing() {
    let options = options();
    let (bucket, blobs) = (bucket(&options), blobs(&options));
    blobs.put(&key("a"), "hello").await.unwrap();
    let at = Path::from("default/a");
    let shown = Shown { media_type: "text/plain", disposition: "attachment; filename=\"a.txt\"" };
    let minute = Duration::from_secs(60);
    let url = bucket.address(Method::GET, &at, minute, &shown.options()).await.unwrap();
    let answer = bucket.wire.knock(&url.parse().unwrap()).await.unwrap();
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.headers()["content-disposition"], shown.disposition);
    for bent in [url.replace("/default/a", "/default/b"), url.replace("a.txt", "b.txt")] {
        assert_eq!(bucket.wire.knock(&bent.parse().unwrap()).await.unwrap().status(), 403, "{bent}");
    }
    let elsewhere =
        Bucket::new(&BucketOptions { public_endpoint: Some("https://files.example".to_owned()), ..options });
    let url = elsewhere.unwrap().address(Method::GET, &at, minute, &shown.options()).await.unwrap();
    assert!(url.starts_with("https://files.example/"), "{url}");
    blobs.delete_below(None).await.unwrap();
}

#[tokio::test]
async fn a_store_that_is_away_is_an_answer_to_come_back() {
    let away = BucketOptions { endpoint: Some("http://127.0.0.1:9".to_owned()), ..options() };
    let error = blobs(&away).put(&key("a"), "x").await.unwrap_err();
    assert_eq!(error.slug(), Slug::DependencyUnavailable);
    assert!(bucket(&away).store().head(&Path::from("a")).await.is_err());
}
