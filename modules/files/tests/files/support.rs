use std::{
    path::{Path, PathBuf},
    sync::Mutex,
    time::{Duration, Instant},
};

use kernel::ClockSetting;
use reqwest::Method;
use serde_json::Value;
use testkit::{Answer, Api, Kernel, KernelOptions};
use vips::{Output, Picture};

/// A kernel whose data folder can be looked into.
pub struct Ground {
    pub kernel: Kernel,
    pub folder: tempfile::TempDir,
    email: Mutex<String>,
}

pub async fn ground() -> Ground {
    ground_with(KernelOptions::default().with("KERNEL_TEMPLATE", "empty")).await
}

pub async fn ground_with(options: KernelOptions) -> Ground {
    let folder = testkit::data_folder();
    let kernel = Kernel::start(options.on(&folder.path().join("data"))).await;
    Ground { kernel, folder, email: Mutex::default() }
}

/// With the bucket of `make parts`; the kernel's key gives it a root of its own there.
pub fn in_bucket(options: KernelOptions) -> KernelOptions {
    ["S3_ENDPOINT", "S3_BUCKET", "S3_ACCESS_KEY_ID", "S3_SECRET_ACCESS_KEY"].into_iter().fold(
        options,
        |options, name| {
            let value = std::env::var(format!("TEST_{name}")).unwrap_or_else(|_| {
                panic!(
                    "TEST_{name} is not set: run `make parts` and `source ~/.cache/platform-kernel/parts/env`"
                )
            });
            options.with(name, &value)
        },
    )
}

impl Ground {
    pub async fn owner(&self) -> Api {
        let (owner, body) = self.kernel.api().register("Acme Tools").await;
        *self.email.lock().unwrap() = body["user"]["email"].as_str().unwrap().to_owned();
        // Its trial is there before a test says what the plan allows.
        owner.get("/api/v1/billing/subscriptions/current").await.expect(200);
        owner
    }

    /// The owner, with a token of today.
    pub async fn signed_in(&self) -> Api {
        let email = self.email.lock().unwrap().clone();
        self.kernel.api().sign_in(&email, "correct horse battery").await
    }

    /// Every blob on disk, by its path below the folder of blobs.
    pub fn blobs(&self) -> Vec<PathBuf> {
        let root = self.folder.path().join("data/blobs");
        let mut found = Vec::new();
        walk(&root, &mut found);
        found.into_iter().map(|path| path.strip_prefix(&root).unwrap().to_owned()).collect()
    }

    /// Waits until the blobs on disk are as wished.
    pub async fn blobs_become(&self, what: &str, fine: impl Fn(&[PathBuf]) -> bool) {
        let give_up = Instant::now() + Duration::from_secs(30);
        while !fine(&self.blobs()) {
            assert!(Instant::now() < give_up, "{what}: {:#?}", self.blobs());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// What was told of a file, in order.
    pub async fn told(&self, file: &str) -> Vec<String> {
        let mut owner = self.kernel.owner_sql("default").await;
        let give_up = Instant::now() + Duration::from_secs(30);
        loop {
            let waiting: bool = sqlx::query_scalar("select exists (select from kernel.outbox)")
                .fetch_one(&mut owner)
                .await
                .unwrap();
            if !waiting {
                let told = "select type from kernel.event where key = $1 and topic = 'platform.files.events' order by position";
                return sqlx::query_scalar(told).bind(file).fetch_all(&mut owner).await.unwrap();
            }
            assert!(Instant::now() < give_up, "the outbox is not emptied");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// What the audit trail says of a file, in order.
    pub async fn audited(&self, file: &str) -> Vec<String> {
        let mut owner = self.kernel.owner_sql("default").await;
        let records = "select action from kernel.audit_record where entity_type = 'file' and entity_id = $1 order by arrival";
        sqlx::query_scalar(records).bind(file).fetch_all(&mut owner).await.unwrap()
    }

    /// Bytes that count against the plans, of all tenants.
    pub async fn used(&self) -> i64 {
        let mut owner = self.kernel.owner_sql("default").await;
        let used = "select coalesce(sum(used), 0)::bigint from kernel.allowance where name = 'storageBytes'";
        sqlx::query_scalar(used).fetch_one(&mut owner).await.unwrap()
    }

    /// Waits until so many bytes count.
    pub async fn used_becomes(&self, bytes: i64) {
        let give_up = Instant::now() + Duration::from_secs(30);
        loop {
            let used = self.used().await;
            if used == bytes {
                return;
            }
            assert!(Instant::now() < give_up, "{used} bytes are in use instead of {bytes}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// What the plan of every tenant allows.
    pub async fn allow(&self, bytes: i64) {
        let mut admin = self.kernel.admin_sql("pk_default").await;
        let allowed = "insert into kernel.allowance (tenant_id, name, used, most) select id, 'storageBytes', 0, $1 from iam.tenant
                       on conflict (tenant_id, name) do update set most = excluded.most";
        sqlx::query(allowed).bind(bytes).execute(&mut admin).await.unwrap();
    }

    /// Puts the sandbox's clock forward.
    pub async fn forward(&self, days: i64) {
        let offset_micros = days * 86_400 * 1_000_000;
        let mut admin = self.kernel.admin_sql("pk_default").await;
        sqlx::query("update kernel.clock set offset_micros = $1")
            .bind(offset_micros)
            .execute(&mut admin)
            .await
            .unwrap();
        let cell = self.kernel.cell("default").await;
        cell.clock().adjust(ClockSetting { offset_micros, frozen_at: None });
    }

    pub async fn close(self) {
        self.kernel.close().await;
    }
}

fn walk(at: &Path, found: &mut Vec<PathBuf>) {
    let Ok(entries) = std::fs::read_dir(at) else { return };
    for entry in entries.flatten() {
        let path = entry.path();
        if path.is_dir() { walk(&path, found) } else { found.push(path) }
    }
}

/// A multipart body with one file.
pub fn form(name: &str, media_type: &str, content: &[u8]) -> Vec<u8> {
    let mut body = format!(
        "--bound\r\nContent-Disposition: form-data; name=\"bucket\"\r\n\r\nassets\r\n--bound\r\n\
         Content-Disposition: form-data; name=\"file\"; filename=\"{name}\"\r\nContent-Type: {media_type}\r\n\r\n"
    )
    .into_bytes();
    body.extend_from_slice(content);
    body.extend_from_slice(b"\r\n--bound--\r\n");
    body
}

pub const FORM: &str = "multipart/form-data; boundary=bound";
pub const UPLOAD: &str = "/api/v1/files/upload";

pub async fn upload(api: &Api, name: &str, media_type: &str, content: &[u8]) -> Answer {
    sent(api.raw(Method::POST, UPLOAD).header("content-type", FORM).body(form(name, media_type, content)))
        .await
}

pub async fn sent(request: reqwest::RequestBuilder) -> Answer {
    let response = request.send().await.unwrap();
    let (status, headers) = (response.status(), response.headers().clone());
    let text = String::from_utf8_lossy(&response.bytes().await.unwrap()).into_owned();
    let body = serde_json::from_str(&text).unwrap_or(Value::Null);
    Answer { asked: "a request".to_owned(), status, headers, body, text }
}

/// The bytes of an answer, which must be a success.
pub async fn bytes(api: &Api, path: &str) -> (reqwest::header::HeaderMap, Vec<u8>) {
    let response = api.raw(Method::GET, path).send().await.unwrap();
    assert!(response.status().is_success(), "{path}: {}", response.status());
    (response.headers().clone(), response.bytes().await.unwrap().to_vec())
}

/// A picture with something to see at every place.
pub fn picture(width: u16, height: u16) -> Picture {
    let mut pixels = Vec::with_capacity(usize::from(width) * usize::from(height) * 3);
    for y in 0..u32::from(height) {
        for x in 0..u32::from(width) {
            let spot = ((x / 7) ^ (y / 5)).wrapping_mul(2_654_435_761) >> 27;
            pixels.extend([
                (x * 255 / u32::from(width)) as u8,
                (y * 255 / u32::from(height)) as u8,
                spot as u8 * 6,
            ]);
        }
    }
    Picture::from_pixels(width, height, &pixels).unwrap()
}

pub fn image(output: Output, width: u16, height: u16) -> Vec<u8> {
    picture(width, height).encode(output, 85).unwrap()
}
