use super::*;

const DATABASE: &str = "postgres://kernel:secret@db/platform_kernel";

#[test]
fn durability_is_refused_with_an_external_database() {
    assert_eq!(
        env("DATABASE_URL", DATABASE).flag("durability", "memory").mistake(),
        "--durability (flag): this is for the embedded PostgreSQL, but DATABASE_URL (environment) names another \
         server, whose own setting holds; remove one of the two"
    );
    assert!(
        env("DATABASE_URL", DATABASE).env("KERNEL_POSTGRES_PORT", "5432").mistake().contains("remove one")
    );
}

#[test]
fn single_mode_needs_a_database() {
    assert_eq!(
        env("KERNEL_SANDBOX_MODE", "single").mistake(),
        "KERNEL_SANDBOX_MODE (environment): single makes the given database the one sandbox, and none is given; \
         set DATABASE_URL"
    );
    let config = env("KERNEL_SANDBOX_MODE", "single")
        .env("DATABASE_URL", DATABASE)
        .env("DATABASE_OWNER_URL", DATABASE)
        .env("KERNEL_ADOPT_DATABASE", "true")
        .config();
    let (url, owner_url) = (Secret::new(DATABASE), Some(Secret::new(DATABASE)));
    assert_eq!(config.database.server, DatabaseServer::External { url, owner_url, adopt: true });
    assert_eq!(config.sandbox_mode, SandboxMode::Single);
}

#[test]
fn a_database_url_that_does_not_parse_is_not_told_twice() {
    let given = env("KERNEL_SANDBOX_MODE", "single").env("DATABASE_URL", "mysql://db");
    assert!(given.mistake().starts_with("DATABASE_URL (environment): "));
}

#[test]
fn an_owners_address_needs_the_administrators() {
    assert!(env("DATABASE_OWNER_URL", DATABASE).mistake().contains("set DATABASE_URL too"));
    let many = env("DATABASE_URL", DATABASE).env("DATABASE_OWNER_URL", DATABASE).resolved();
    assert_eq!(many.warnings(), ["DATABASE_OWNER_URL has no effect unless KERNEL_SANDBOX_MODE=single"]);
}

#[test]
fn adopting_without_a_database_warns() {
    let warned = env("KERNEL_ADOPT_DATABASE", "true").resolved();
    assert_eq!(warned.warnings(), ["KERNEL_ADOPT_DATABASE has no effect without DATABASE_URL"]);
}

#[test]
fn an_owner_has_both_address_and_password() {
    let told = env("KERNEL_OWNER_PASSWORD", "long enough").mistake();
    assert!(
        told.starts_with("KERNEL_OWNER_PASSWORD (environment): ")
            && told.contains("set KERNEL_OWNER_EMAIL too")
    );
    let told = env("KERNEL_OWNER_EMAIL", "ada@example.com").mistake();
    assert!(
        told.contains("one-time set-up link") && told.contains("set KERNEL_OWNER_PASSWORD too"),
        "{told}"
    );
    let demo =
        env("KERNEL_OWNER_EMAIL", "ada@example.com").env("KERNEL_OWNER_PASSWORD", "long enough").resolved();
    assert_eq!(demo.warnings(), ["KERNEL_OWNER_EMAIL has no effect unless KERNEL_TEMPLATE=empty"]);
}

#[test]
fn a_certificate_has_a_chain_and_a_key() {
    assert!(env("GATEWAY_TLS_CERT", "/tls.crt").mistake().contains("set GATEWAY_TLS_KEY too"));
    assert!(env("GATEWAY_TLS_KEY", "/tls.key").mistake().contains("set GATEWAY_TLS_CERT too"));
    let files =
        env("GATEWAY_TLS_CERT", "/tls.crt").env("GATEWAY_TLS_KEY", "/tls.key").config().listen.certificate;
    assert_eq!(files, Some(CertificateFiles { chain: "/tls.crt".into(), key: "/tls.key".into() }));
}

#[test]
fn a_bucket_is_named_with_its_key() {
    let told = env("S3_ENDPOINT", "https://s3.example.com").mistake();
    assert!(told.starts_with("S3_ENDPOINT (environment): ") && told.contains("set S3_BUCKET too"), "{told}");
    assert!(env("S3_BUCKET", "kernel").mistake().contains("set S3_ACCESS_KEY_ID too"));
    let half = env("S3_BUCKET", "kernel").env("S3_ACCESS_KEY_ID", "id").mistake();
    assert!(half.contains("set S3_SECRET_ACCESS_KEY too"), "{half}");
    let whole = || {
        env("S3_BUCKET", "kernel")
            .env("S3_ACCESS_KEY_ID", "id")
            .env("S3_SECRET_ACCESS_KEY_FILE", "/run/key")
            .secret_file("/run/key", "hidden\n")
    };
    let bucket = whole().config().files.bucket.unwrap();
    assert_eq!((bucket.name.as_str(), bucket.region.as_str()), ("kernel", "us-east-1"));
    assert_eq!((bucket.endpoint, bucket.secret_access_key.expose()), (None, "hidden"));
    let url = whole().env("S3_ENDPOINT", "http://seaweed:8333/").config().files.bucket.unwrap().endpoint;
    assert_eq!(url.unwrap().as_str(), "http://seaweed:8333");
    assert_eq!(nothing().config().files.bucket, None);
    for bad in ["ab", "My-Bucket", "a/b", "-abc", "https://s3.example.com"] {
        let named = env("S3_BUCKET", bad).env("S3_ACCESS_KEY_ID", "id").env("S3_SECRET_ACCESS_KEY", "hidden");
        assert!(named.mistake().contains("is not the name of a bucket"), "{bad}");
    }
}

#[test]
fn a_name_and_its_file_together_are_refused() {
    assert_eq!(
        env("KERNEL_SECRET_KEY", &"k".repeat(32)).flag("secret-key-file", "/run/k").mistake(),
        "KERNEL_SECRET_KEY (environment): --secret-key-file (flag) is set too; keep one of the two"
    );
}

#[test]
fn two_listeners_on_one_port_are_refused() {
    assert_eq!(
        env("GATEWAY_PORT", "8443").mistake(),
        "GATEWAY_PORT (environment): port 8443 is also GATEWAY_TLS_PORT (default); give each listener its own, or 0"
    );
    assert!(
        env("GATEWAY_TLS_PORT", "8080")
            .mistake()
            .starts_with("GATEWAY_TLS_PORT (environment): port 8080 is also")
    );
    assert!(env("KERNEL_POSTGRES_PORT", "8081").mistake().contains("is also IAM_PORT"));
    let free = env("GATEWAY_PORT", "0").env("IAM_PORT", "0").config().listen;
    assert_eq!((free.http_port, free.iam_port), (0, 0));
}

#[test]
fn a_port_that_does_not_parse_collides_with_nothing() {
    assert!(env("GATEWAY_PORT", "soup").env("IAM_PORT", "8080").mistake().starts_with("GATEWAY_PORT"));
}

#[test]
fn an_offset_moves_every_port_but_zero() {
    let resolved =
        flag("port-offset", "100").env("IAM_PORT", "0").env("KERNEL_POSTGRES_PORT", "5432").resolved();
    let listen = &resolved.config.listen;
    assert_eq!(
        [listen.tls_port, listen.http_port, listen.iam_port, listen.grpc_port],
        [8543, 8180, 0, 50150]
    );
    let DatabaseServer::Embedded { tcp_port, .. } = resolved.config.database.server else {
        panic!("external")
    };
    assert_eq!(tcp_port, Some(5532));
    assert_eq!((shown(&resolved, "GATEWAY_PORT"), shown(&resolved, "--port-offset")), ("8180", "100"));
}

#[test]
fn an_offset_beyond_the_last_port_is_refused() {
    assert_eq!(
        flag("port-offset", "20000").mistake(),
        "GRPC_PORT (default): 50050 + 20000 of --port-offset is beyond 65535; choose a smaller offset"
    );
}

#[test]
fn a_shutdown_longer_than_kubernetes_waits_warns() {
    let resolved = env("SHUTDOWN_GRACE", "20s").resolved();
    assert!(resolved.warnings()[0].contains("add up to 35 s; raise terminationGracePeriodSeconds"));
}

#[test]
fn a_secret_in_a_flag_warns_and_its_file_does_not() {
    let key = "k".repeat(32);
    let warned = flag("secret-key", &key).resolved();
    assert_eq!(
        warned.warnings(),
        ["--secret-key shows the secret to every user of this machine; use --secret-key-file"]
    );
    let quiet = flag("secret-key-file", "/k").secret_file("/k", &key).resolved();
    assert_eq!(quiet.warnings(), [""; 0]);
}
