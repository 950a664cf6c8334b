//! Servers of Valkey and Redis that a test starts for itself, to stop, freeze and start again.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use crate::data_folder;

/// How long a server may take to answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// A server of its own on a free loopback port, which goes with the test.
pub struct Valkey {
    program: PathBuf,
    arguments: Vec<String>,
    port: u16,
    password: Option<String>,
    child: Option<Child>,
    folder: tempfile::TempDir,
}

/// The address of the Valkey server that the tests share.
pub fn shared_valkey() -> String {
    format!("valkey://{}", told("TEST_VALKEY_ADDR"))
}

/// The address of the Redis server with TLS that the tests share, and the file of its authority.
pub fn shared_redis() -> (String, PathBuf) {
    (format!("rediss://{}", told("TEST_REDIS_TLS_ADDR")), told("TEST_REDIS_TLS_CA").into())
}

fn told(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| {
        panic!("{name} is not set: run `make parts` and `source ~/.cache/platform-kernel/parts/env`")
    })
}

impl Valkey {
    /// Valkey, with these settings of its configuration as arguments: `["--requirepass", "secret"]`.
    pub fn start(arguments: &[&str]) -> Self {
        Self::of(program("valkey", "valkey-server"), arguments)
    }

    /// Redis, which Debian builds with TLS, and it alone. The authority is in [`Valkey::authority`].
    pub fn redis_with_tls(arguments: &[&str]) -> Self {
        let program = program("redis", "redis-server");
        let folder = data_folder();
        let port = free_port();
        certificates(folder.path());
        let at = |name: &str| folder.path().join(name).display().to_string();
        let tls = [
            ("--tls-port", port.to_string()),
            ("--tls-cert-file", at("server.pem")),
            ("--tls-key-file", at("server.key")),
            ("--tls-ca-cert-file", at("authority.pem")),
            ("--tls-auth-clients", "no".to_owned()),
        ];
        let mut all = vec!["--port".to_owned(), "0".to_owned()];
        all.extend(tls.into_iter().flat_map(|(name, value)| [name.to_owned(), value]));
        all.extend(arguments.iter().map(|argument| (*argument).to_owned()));
        let mut server = Self { program, arguments: all, port, password: None, child: None, folder };
        server.spawn();
        server.wait(|port| TcpStream::connect(("127.0.0.1", port)).is_ok());
        server
    }

    fn of(program: PathBuf, arguments: &[&str]) -> Self {
        let port = free_port();
        let password = arguments.iter().position(|argument| *argument == "--requirepass");
        let password = password.map(|at| arguments[at + 1].to_owned());
        let mut all = vec!["--port".to_owned(), port.to_string()];
        all.extend(arguments.iter().map(|argument| (*argument).to_owned()));
        let folder = data_folder();
        let mut server = Self { program, arguments: all, port, password, child: None, folder };
        server.start_again();
        server
    }

    /// Three servers that share the slots of a cluster.
    pub fn cluster() -> [Self; 3] {
        let nodes = [0, 1, 2].map(|_| Self::start(&["--cluster-enabled", "yes"]));
        for (at, slots) in [["0", "5460"], ["5461", "10922"], ["10923", "16383"]].into_iter().enumerate() {
            nodes[at].ask(&["CLUSTER", "ADDSLOTSRANGE", slots[0], slots[1]]);
            nodes[at].ask(&["CLUSTER", "MEET", "127.0.0.1", &nodes[(at + 1) % 3].port.to_string()]);
        }
        let joined = |node: &Self| {
            let told = node.ask(&["CLUSTER", "INFO"]);
            told.contains("cluster_state:ok") && told.contains("cluster_known_nodes:3")
        };
        let begun = Instant::now();
        while !nodes.iter().all(joined) {
            assert!(begun.elapsed() < PATIENCE, "the cluster does not form");
            std::thread::sleep(Duration::from_millis(50));
        }
        nodes
    }

    /// A sentinel that watches `primary` under the name `cache`.
    pub fn sentinel(primary: &Self) -> Self {
        let folder = data_folder();
        let port = free_port();
        let file = folder.path().join("sentinel.conf");
        let text = format!(
            "sentinel monitor cache 127.0.0.1 {} 1\nsentinel down-after-milliseconds cache 500\n\
             sentinel failover-timeout cache 2000\n",
            primary.port
        );
        std::fs::write(&file, text).expect("a configuration");
        let arguments = [file.display().to_string(), "--sentinel".into(), "--port".into(), port.to_string()];
        let mut sentinel = Self {
            program: primary.program.clone(),
            arguments: arguments.into(),
            port,
            password: None,
            child: None,
            folder,
        };
        sentinel.start_again();
        sentinel
    }

    /// Its port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Its address without user and password.
    pub fn url(&self) -> String {
        format!("valkey://127.0.0.1:{}", self.port)
    }

    /// The authority of a server with TLS, in PEM.
    pub fn authority(&self) -> PathBuf {
        self.folder.path().join("authority.pem")
    }

    /// Ends it without a word.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().expect("a process that can be killed");
            child.wait().expect("its end");
        }
    }

    /// Lets it stand still (`STOP`) or go on (`CONT`).
    pub fn signal(&self, signal: &str) {
        let pid = self.child.as_ref().expect("a running server").id().to_string();
        let status = Command::new("kill").args([&format!("-{signal}"), &pid]).status().expect("kill");
        assert!(status.success());
    }

    /// Starts it on the same port, and waits until it answers.
    pub fn start_again(&mut self) {
        self.spawn();
        self.wait(|port| ask(port, None, &["PING"]).is_some_and(|said| said.starts_with(['+', '-'])));
    }

    /// Has it do something, by the name and arguments of a command; what it says is not taken apart.
    pub fn ask(&self, command: &[&str]) -> String {
        let said = ask(self.port, self.password.as_deref(), command);
        said.unwrap_or_else(|| panic!("the server does not answer to {command:?}"))
    }

    fn spawn(&mut self) {
        let child = Command::new(&self.program)
            .args(&self.arguments)
            .args(["--dir", &self.folder.path().display().to_string(), "--save", "", "--appendonly", "no"])
            .args(["--bind", "127.0.0.1"])
            .stdout(Stdio::null())
            .spawn();
        self.child = Some(child.unwrap_or_else(|error| panic!("{}: {error}", self.program.display())));
    }

    fn wait(&mut self, answers: impl Fn(u16) -> bool) {
        let begun = Instant::now();
        while !answers(self.port) {
            let child = self.child.as_mut().expect("a server that was started");
            assert!(child.try_wait().expect("its state").is_none(), "{}: it ended", self.program.display());
            assert!(begun.elapsed() < PATIENCE, "the server does not answer on {}", self.port);
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Valkey {
    fn drop(&mut self) {
        self.kill();
    }
}

fn free_port() -> u16 {
    let free = TcpListener::bind("127.0.0.1:0").expect("a free port");
    free.local_addr().expect("its number").port()
}

/// A program where `make parts` laid it: in a folder that begins with the part's name.
fn program(part: &str, name: &str) -> PathBuf {
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let cache = cache.or_else(|| Some(Path::new(&std::env::var_os("HOME")?).join(".cache")));
    let programs = cache.map(|cache| cache.join("platform-kernel/programs"));
    let folders = programs.and_then(|folder| folder.read_dir().ok()).into_iter().flatten().flatten();
    let of_part = folders.filter(|folder| folder.file_name().to_string_lossy().starts_with(part));
    let found = of_part.map(|folder| folder.path().join(name)).find(|file| file.is_file());
    found.unwrap_or_else(|| panic!("{name} is not there: run `make parts`"))
}

/// The protocol by hand, on a connection for this one command.
fn ask(port: u16, password: Option<&str>, command: &[&str]) -> Option<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    stream.set_read_timeout(Some(PATIENCE)).ok()?;
    let login = password.map(|password| vec!["AUTH", password]);
    let commands = login.iter().map(Vec::as_slice).chain([command]);
    let mut said = String::new();
    for command in commands {
        let mut text = format!("*{}\r\n", command.len());
        command.iter().for_each(|word| text.push_str(&format!("${}\r\n{word}\r\n", word.len())));
        stream.write_all(text.as_bytes()).ok()?;
        let mut reader = BufReader::new(&stream);
        said.clear();
        reader.read_line(&mut said).ok()?;
        if let Some(length) = said.strip_prefix('$').and_then(|length| length.trim().parse::<usize>().ok()) {
            let mut bytes = vec![0; length + 2];
            reader.read_exact(&mut bytes).ok()?;
            said = String::from_utf8_lossy(&bytes).into_owned();
        }
    }
    Some(said)
}

/// An authority, and what it gives a server at localhost.
fn certificates(folder: &Path) {
    use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
    let write = |name: &str, text: String| std::fs::write(folder.join(name), text).expect("a file");
    let key = KeyPair::generate().expect("a key");
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    write("authority.pem", params.self_signed(&key).expect("an authority").pem());
    let authority = Issuer::new(params, key);
    let key = KeyPair::generate().expect("a key");
    let names = ["localhost".to_owned(), "127.0.0.1".to_owned()];
    let params = CertificateParams::new(names).expect("names");
    write("server.pem", params.signed_by(&key, &authority).expect("a certificate").pem());
    write("server.key", key.serialize_pem());
}
