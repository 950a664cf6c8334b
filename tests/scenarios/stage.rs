use std::{
    process::ExitStatus,
    sync::Arc,
    time::{Duration, Instant},
};

use tempfile::TempDir;
use testkit::{Api, Binary, Broker, DEMO_OWNER, DEMO_PASSWORD, Launch, Postgres, Recording, Valkey};

/// What a kernel stands on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ground {
    /// On what it carries itself.
    Embedded,
    /// On a PostgreSQL of one's own.
    Postgres,
    /// On PostgreSQL, Valkey, Kafka and a bucket of one's own.
    Whole,
    /// Two replicas on all of that; requests go to the one and the other in turn.
    Replicas,
}

/// A kernel, the people in front of it, and what it answered to them.
pub struct Stage {
    pub kernels: Vec<Binary>,
    launch: Launch,
    /// Of kernels that were started again.
    folders: Vec<TempDir>,
    recording: Arc<Recording>,
    /// They end after the kernel.
    _servers: (Option<Postgres>, Option<Valkey>, Option<Broker>),
}

impl Stage {
    pub async fn on(ground: Ground) -> Self {
        Self::with(ground, &[]).await
    }

    /// With more settings.
    pub async fn with(ground: Ground, settings: &[(&str, &str)]) -> Self {
        let mut launch = Launch::default().with("KERNEL_PUBLIC_URL", "http://localhost:8080");
        for (name, value) in settings {
            launch = launch.with(name, value);
        }
        let (mut server, mut valkey, mut broker) = (None, None, None);
        if ground != Ground::Embedded {
            let postgres = Postgres::bare().await;
            let role = "create role kernel_admin login createdb createrole password 'secret'";
            postgres.run("postgres", role).await;
            launch = launch
                .with("DATABASE_URL", &postgres.url("kernel_admin", "postgres"))
                .with("KERNEL_SECRET_KEY", "a key that both replicas have been given");
            server = Some(postgres);
        }
        if matches!(ground, Ground::Whole | Ground::Replicas) {
            let cache = Valkey::start(&[]);
            let log = tokio::task::spawn_blocking(Broker::open).await.unwrap();
            launch = launch.with("VALKEY_URL", &cache.url()).with("KAFKA_BROKERS", &log.address());
            for name in ["S3_ENDPOINT", "S3_BUCKET", "S3_ACCESS_KEY_ID", "S3_SECRET_ACCESS_KEY"] {
                let value = std::env::var(format!("TEST_{name}")).unwrap_or_else(|_| {
                    panic!("TEST_{name} is not set: run `make parts` and `source ~/.cache/platform-kernel/parts/env`")
                });
                launch = launch.with(name, &value);
            }
            (valkey, broker) = (Some(cache), Some(log));
        }
        let mut kernels = vec![start(launch.clone()).await];
        if ground == Ground::Replicas {
            kernels.push(start(launch.clone()).await);
        }
        let _servers = (server, valkey, broker);
        Self { kernels, launch, folders: Vec::new(), recording: Arc::default(), _servers }
    }

    /// Tells a kernel to stop, as a supervisor does, and starts it again on the same data folder; answers how it ended and
    /// how long it was away.
    pub async fn restart(&mut self, place: usize) -> (ExitStatus, Duration) {
        let mut kernel = self.kernels.remove(place);
        let data = kernel.data().to_owned();
        self.folders.extend(kernel.keep_data());
        let begun = Instant::now();
        let stopped = tokio::task::spawn_blocking(move || kernel.stop()).await.unwrap();
        self.kernels.insert(place, start(self.launch.clone().on(&data)).await);
        (stopped, begun.elapsed())
    }

    /// Somebody in front of the default sandbox; what they are answered is noted.
    pub fn stranger(&self) -> Api {
        Api::of_replicas(self.kernels.iter().map(Binary::url), "localhost").recorded(&self.recording)
    }

    /// Who runs the process: each has a key of its own.
    pub fn operator(&self) -> Api {
        self.kernels[0].operator().recorded(&self.recording)
    }

    pub async fn demo_owner(&self) -> Api {
        self.stranger().sign_in(DEMO_OWNER, DEMO_PASSWORD).await
    }

    /// A right, a module or a sandbox has changed: everywhere it has within a second.
    pub async fn settle(&self) {
        tokio::time::sleep(Duration::from_millis(1_050)).await;
    }

    pub fn answers(&self) -> Vec<serde_json::Value> {
        self.recording.answers()
    }
}

async fn start(launch: Launch) -> Binary {
    let starting = move || launch.start(env!("CARGO_BIN_EXE_platform-kernel"));
    tokio::task::spawn_blocking(starting).await.unwrap()
}
