use std::{
    fs,
    io::Write as _,
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};

/// A real Kafka 3.9 of a test's own, with one broker, in a folder that goes with it: for tests that kill it, or want it
/// shut.
pub struct Broker {
    folder: tempfile::TempDir,
    jars: PathBuf,
    ports: Ports,
    child: Option<Child>,
}

#[derive(Clone, Copy)]
struct Ports {
    open: u16,
    controller: u16,
    /// TLS alone; SASL over TLS.
    secured: Option<(u16, u16)>,
}

/// A user who may do everything.
pub const KAFKA_USER: &str = "kernel";
/// A user who may do nothing.
pub const KAFKA_STRANGER: &str = "stranger";
/// The password of both.
pub const KAFKA_PASSWORD: &str = "only-for-this-test";

const PATIENCE: Duration = Duration::from_secs(90);

impl Broker {
    /// One that everybody may use.
    pub fn open() -> Self {
        Self::made(false)
    }

    /// One that has listeners for TLS and for SASL over TLS, too, and rules about who may do what.
    pub fn secured() -> Self {
        Self::made(true)
    }

    fn made(is_secured: bool) -> Self {
        let folder = tempfile::Builder::new().prefix("pk-kafka").tempdir().expect("a folder");
        let [open, controller, tls, sasl] = free_ports();
        let secured = is_secured.then_some((tls, sasl));
        let mut broker =
            Self { folder, jars: jars(), ports: Ports { open, controller, secured }, child: None };
        broker.set_up();
        broker.start();
        broker
    }

    /// Its address, `host:port`.
    pub fn address(&self) -> String {
        format!("localhost:{}", self.ports.open)
    }

    /// Its address for TLS without a password.
    pub fn tls_address(&self) -> String {
        format!("localhost:{}", self.ports.secured.expect("a secured broker").0)
    }

    /// Its address for TLS with a password (SCRAM-SHA-256 or SCRAM-SHA-512).
    pub fn sasl_address(&self) -> String {
        format!("localhost:{}", self.ports.secured.expect("a secured broker").1)
    }

    /// The authority of its certificate.
    pub fn authority(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    /// Ends it at once, as a loss of power would.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().expect("it can be killed");
            child.wait().expect("it ends");
        }
    }

    /// Starts it again, on the same folder and ports, and waits until it answers.
    pub fn start(&mut self) {
        assert!(self.child.is_none(), "it runs");
        let log = self.folder.path().join("log");
        let output = fs::File::create(&log).expect("a log");
        let errors = output.try_clone().expect("a log");
        let child = self
            .java("kafka.Kafka")
            .arg(self.properties())
            .stdout(output)
            .stderr(errors)
            .spawn()
            .expect("java starts");
        self.child = Some(child);
        let until = Instant::now() + PATIENCE;
        loop {
            let said = fs::read_to_string(&log).unwrap_or_default();
            if said.contains("Kafka Server started") {
                return;
            }
            let ended = self.child.as_mut().and_then(|child| child.try_wait().ok().flatten());
            assert!(ended.is_none() && Instant::now() < until, "Kafka does not start:\n{said}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// A program of Kafka's own, on the way to being run; what it logs goes to its errors.
    pub fn java(&self, class: &str) -> Command {
        let mut command = Command::new("java");
        let log = self.folder.path().join("log4j.properties");
        command
            .args(["-Xmx512m", "-cp", &format!("{}/*", self.jars.display())])
            .arg(format!("-Dlog4j.configuration=file:{}", log.display()))
            .arg(class)
            .stdin(Stdio::null());
        command
    }

    fn properties(&self) -> PathBuf {
        self.folder.path().join("server.properties")
    }

    fn set_up(&self) {
        let place = self.folder.path();
        let Ports { open, controller, secured } = self.ports;
        let mut text = format!(
            "process.roles=broker,controller
node.id=1
controller.quorum.voters=1@localhost:{controller}
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAINTEXT
log.dirs={data}
offsets.topic.replication.factor=1
offsets.topic.num.partitions=3
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
group.initial.rebalance.delay.ms=0
auto.create.topics.enable=false
",
            data = place.join("data").display()
        );
        let mut listeners = format!("PLAINTEXT://localhost:{open}");
        let mut protocols = "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT".to_owned();
        if let Some((tls, sasl)) = secured {
            listeners += &format!(",SSL://localhost:{tls},SASL_SSL://localhost:{sasl}");
            protocols += ",SSL:SSL,SASL_SSL:SASL_SSL";
            text += &format!(
                "sasl.enabled.mechanisms=SCRAM-SHA-256,SCRAM-SHA-512
listener.name.sasl_ssl.scram-sha-256.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;
listener.name.sasl_ssl.scram-sha-512.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;
ssl.keystore.type=PEM
ssl.keystore.location={keys}
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
super.users=User:ANONYMOUS;User:{KAFKA_USER}
",
                keys = self.certificates().display()
            );
        }
        text += &format!(
            "listeners={listeners},CONTROLLER://localhost:{controller}\nadvertised.listeners={listeners}\n\
             listener.security.protocol.map={protocols}\n"
        );
        write(&self.properties(), &text);
        write(
            &place.join("log4j.properties"),
            "log4j.rootLogger=INFO, log\nlog4j.appender.log=org.apache.log4j.ConsoleAppender\n\
             log4j.appender.log.target=System.err\nlog4j.appender.log.layout=org.apache.log4j.PatternLayout\n\
             log4j.appender.log.layout.ConversionPattern=%d %p %c{1}: %m%n\n",
        );
        let mut format = self.java("kafka.tools.StorageTool");
        format.args(["format", "-t", "MkU3OEVBNTcwNTJENDM2Qg", "-c"]).arg(self.properties());
        if secured.is_some() {
            for (mechanism, user) in [
                ("SCRAM-SHA-256", KAFKA_USER),
                ("SCRAM-SHA-512", KAFKA_USER),
                ("SCRAM-SHA-512", KAFKA_STRANGER),
            ] {
                let user = format!("{mechanism}=[name={user},password={KAFKA_PASSWORD}]");
                format.args(["--add-scram", &user]);
            }
        }
        let done = format.output().expect("java starts");
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stdout));
    }

    /// A certificate for localhost and its key in one file, from an authority of this test.
    fn certificates(&self) -> PathBuf {
        // Without names of their own both would be called the same, and the second taken for self-signed.
        let called = |params: &mut CertificateParams, name: &str| {
            params.distinguished_name.push(DnType::CommonName, name);
        };
        let mut authority = CertificateParams::default();
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        called(&mut authority, "the authority of a test");
        let key = || KeyPair::generate().expect("a key");
        let authority = CertifiedIssuer::self_signed(authority, key()).expect("an authority");
        let own = key();
        let mut params = CertificateParams::new(vec!["localhost".to_owned()]).expect("a name");
        called(&mut params, "localhost");
        let certificate = params.signed_by(&own, &authority).expect("a certificate");
        write(&self.authority(), &authority.pem());
        let path = self.folder.path().join("keys.pem");
        write(&path, &format!("{}{}", own.serialize_pem(), certificate.pem()));
        path
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The folder of Kafka's jars, fetched if they are not there.
fn jars() -> PathBuf {
    if let Some(given) = std::env::var_os("TEST_KAFKA_JARS") {
        return given.into();
    }
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tools/parts/kafka.sh");
    let told = Command::new(&script).arg("programs").output();
    let told = told.unwrap_or_else(|error| panic!("{}: {error}", script.display()));
    assert!(told.status.success(), "{}", String::from_utf8_lossy(&told.stderr));
    String::from_utf8(told.stdout).expect("a path").trim().into()
}

fn free_ports() -> [u16; 4] {
    let held = [0; 4].map(|_| TcpListener::bind("localhost:0").expect("a free port"));
    held.each_ref().map(|listener| listener.local_addr().expect("its number").port())
}

fn write(path: &Path, text: &str) {
    let mut file = fs::File::create(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    file.write_all(text.as_bytes()).expect("room on the disk");
}
