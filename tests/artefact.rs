//! The file that people download: one static file for any Linux on x86_64. Run by name and as root: `make test` gives it
//! the static program of the tests in `PLATFORM_KERNEL_ARTEFACT`; without that it takes what `make release` built.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    missing_docs,
    reason = "a test: what fails here fails the test"
)]

use std::{
    fs,
    os::unix::fs::{PermissionsExt as _, chown},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use testkit::{Api, DEMO_OWNER, DEMO_PASSWORD, Postgres};

const ORDINARY: u32 = 10_001;

fn artefact() -> PathBuf {
    let named = std::env::var_os("PLATFORM_KERNEL_ARTEFACT").map(PathBuf::from);
    let path =
        named.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("dist/static/platform-kernel"));
    assert!(path.exists(), "{} is not there: make release", path.display());
    path
}

fn said(tool: &str, arguments: &[&str]) -> String {
    let output = Command::new(tool).args(arguments).arg(artefact()).output();
    let output = output.unwrap_or_else(|error| panic!("{tool}: {error}"));
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

#[test]
fn it_needs_no_interpreter_and_no_library() {
    let file = said("file", &["--brief"]);
    assert!(
        file.contains("ELF 64-bit")
            && (file.contains("static-pie linked") || file.contains("statically linked")),
        "{file}"
    );
    assert!(file.contains("stripped") && !file.contains("not stripped"), "{file}");
    let ldd = said("ldd", &[]);
    assert!(ldd.contains("statically linked") || ldd.contains("not a dynamic executable"), "{ldd}");
    let headers = said("readelf", &["--program-headers", "--wide"]);
    assert!(headers.contains("LOAD") && !headers.contains("INTERP"), "{headers}");
    let dynamic = said("readelf", &["--dynamic", "--wide"]);
    assert!(!dynamic.contains("(NEEDED)"), "{dynamic}");
}

/// A root folder with the file and nothing else but a place for data.
struct EmptyRoot {
    folder: tempfile::TempDir,
    child: Option<Child>,
}

impl EmptyRoot {
    fn new() -> Self {
        let folder = tempfile::Builder::new().prefix("pk-root").tempdir().unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        fs::copy(artefact(), folder.path().join("platform-kernel")).unwrap();
        let data = folder.path().join("data");
        fs::create_dir(&data).unwrap();
        chown(&data, Some(ORDINARY), Some(ORDINARY)).expect("this test is for root");
        Self { folder, child: None }
    }

    fn command(&self) -> Command {
        let mut command = Command::new("/usr/sbin/chroot");
        command.arg(format!("--userspec={ORDINARY}:{ORDINARY}")).arg(self.folder.path());
        command.arg("/platform-kernel").env_clear().env("KERNEL_DATA_DIR", "/data");
        for port in ["GATEWAY_PORT", "GATEWAY_TLS_PORT", "IAM_PORT", "GRPC_PORT"] {
            command.env(port, "0");
        }
        command
    }

    /// Starts it and waits until it is ready.
    fn start(&mut self, settings: &[(&str, &str)]) -> Api {
        let runtime = self.folder.path().join("data/runtime.json");
        let mut command = self.command();
        let child = command.envs(settings.iter().copied()).env("LOG_LEVEL", "warn").stdin(Stdio::null());
        self.child = Some(child.stdout(Stdio::null()).spawn().unwrap());
        let give_up = Instant::now() + Duration::from_secs(60);
        let runtime: Value = loop {
            let read = fs::read_to_string(&runtime).ok();
            if let Some(runtime) = read.and_then(|text| serde_json::from_str(&text).ok()) {
                break runtime;
            }
            assert!(self.child.as_mut().unwrap().try_wait().unwrap().is_none(), "it ended");
            assert!(Instant::now() < give_up, "not ready in a minute");
            std::thread::sleep(Duration::from_millis(5));
        };
        Api::new(format!("http://127.0.0.1:{}", runtime["ports"]["http"]), "localhost")
    }

    fn stop(&mut self) {
        let mut child = self.child.take().unwrap();
        Command::new("kill").arg(child.id().to_string()).status().unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(0));
    }
}

impl Drop for EmptyRoot {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

async fn is_used(api: &Api) {
    let owner = api.sign_in(DEMO_OWNER, DEMO_PASSWORD).await;
    let contacts = owner.get("/api/v1/data/crm/contacts?limit=1&count=true").await.expect(200);
    assert_eq!(contacts.body["meta"]["total"], 200);
    owner.post("/api/v1/data/crm/companies", json!({ "name": "Empty Root" })).await.expect(201);
    assert_eq!(owner.get("/api/v1/audit/verify").await.expect(200).body["valid"], true);
}

#[tokio::test(flavor = "multi_thread")]
async fn it_runs_in_an_empty_root_on_embedded_parts() {
    let mut root = EmptyRoot::new();
    let api = root.start(&[]);
    is_used(&api).await;
    root.stop();
    // What it acknowledged is there at the next start.
    let api = root.start(&[]);
    let owner = api.sign_in(DEMO_OWNER, DEMO_PASSWORD).await;
    let found = owner.get("/api/v1/data/crm/companies?name=eq.Empty%20Root").await.expect(200);
    assert_eq!(found.data().len(), 1);
    root.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn it_runs_in_an_empty_root_against_an_external_postgres() {
    let server = Postgres::bare().await;
    server.run("postgres", "create role kernel_admin login createdb createrole password 'secret'").await;
    let mut root = EmptyRoot::new();
    let api = root.start(&[("DATABASE_URL", &server.url("kernel_admin", "postgres"))]);
    is_used(&api).await;
    root.stop();
}
