use std::{
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use serde_json::Value;

use crate::{Api, data_folder};

/// The real binary, running on free ports with a data folder of its own.
pub struct Binary {
    program: PathBuf,
    child: Child,
    folder: Option<tempfile::TempDir>,
    data: PathBuf,
    runtime: Value,
}

/// How the binary is started.
#[derive(Clone, Default)]
pub struct Launch {
    /// Settings, as environment variables.
    pub settings: Vec<(String, String)>,
    /// An existing data folder.
    pub data: Option<PathBuf>,
}

impl Launch {
    /// With one more setting.
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.settings.push((name.to_owned(), value.to_owned()));
        self
    }

    /// On an existing data folder.
    pub fn on(mut self, data: &Path) -> Self {
        self.data = Some(data.to_owned());
        self
    }

    /// Starts `program` and waits until it is ready.
    pub fn start(self, program: impl Into<PathBuf>) -> Binary {
        let program = program.into();
        let (folder, data) = match self.data {
            Some(data) => (None, data),
            None => {
                let folder = data_folder();
                let data = folder.path().join("data");
                (Some(folder), data)
            }
        };
        let runtime_file = data.join("runtime.json");
        let _ = std::fs::remove_file(&runtime_file);
        let mut command = Command::new(&program);
        command.env("KERNEL_DATA_DIR", &data).stdin(Stdio::null());
        for port in ["GATEWAY_PORT", "GATEWAY_TLS_PORT", "IAM_PORT", "GRPC_PORT"] {
            command.env(port, "0");
        }
        command.envs(self.settings).env("LOG_LEVEL", "warn");
        command.stdout(Stdio::null()).stderr(Stdio::inherit());
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{}: {error}", program.display()));
        let give_up = Instant::now() + Duration::from_secs(120);
        let runtime = loop {
            if let Some(status) = child.try_wait().unwrap() {
                panic!("the binary ended before it was ready: {status}");
            }
            let read = std::fs::read_to_string(&runtime_file).ok();
            if let Some(runtime) = read.and_then(|text| serde_json::from_str::<Value>(&text).ok()) {
                break runtime;
            }
            assert!(Instant::now() < give_up, "the binary was not ready in two minutes");
            std::thread::sleep(Duration::from_millis(3));
        };
        Binary { program, child, folder, data, runtime }
    }
}

impl Binary {
    /// Where its data lies.
    pub fn data(&self) -> &Path {
        &self.data
    }

    /// What it wrote about itself when it was ready.
    pub fn runtime(&self) -> &Value {
        &self.runtime
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What the process holds of the machine's memory, in megabytes of 10^6 bytes; its Postgres apart.
    pub fn resident_megabytes(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024 / 1_000_000
    }

    /// Its plain HTTP address.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.runtime["ports"]["http"].as_u64().expect("the http port"))
    }

    /// A stranger in the default sandbox.
    pub fn api(&self) -> Api {
        Api::new(self.url(), "localhost")
    }

    /// The operator.
    pub fn operator(&self) -> Api {
        let key = std::fs::read_to_string(self.data.join("operator.key")).expect("the operator key");
        self.api().with(key.trim())
    }

    /// Runs a verb of the binary against this process.
    pub fn verb(&self, arguments: &[&str]) -> std::process::Output {
        Command::new(&self.program)
            .args(arguments)
            .env("KERNEL_DATA_DIR", &self.data)
            .output()
            .expect("the binary runs")
    }

    /// Kills it as `kill -9` does, and waits until it is gone.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Asks it to stop and waits.
    pub fn stop(&mut self) -> std::process::ExitStatus {
        Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status().unwrap();
        self.child.wait().unwrap()
    }

    /// Waits for its end.
    pub fn wait(&mut self) -> std::process::ExitStatus {
        self.child.wait().unwrap()
    }

    /// Gives the data folder to the test; it stays after the process.
    pub fn keep_data(&mut self) -> Option<tempfile::TempDir> {
        self.folder.take()
    }
}

impl Drop for Binary {
    fn drop(&mut self) {
        // Its number may be another process's by now.
        if self.child.try_wait().ok().flatten().is_some() {
            return;
        }
        let _ = Command::new("kill").args(["-INT", &self.child.id().to_string()]).status();
        let give_up = Instant::now() + Duration::from_secs(10);
        while Instant::now() < give_up {
            if self.child.try_wait().ok().flatten().is_some() {
                return;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
