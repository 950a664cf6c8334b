//! The back-end of the example module, as a child of its own beside the kernel: what belongs to a module stays outside the
//! process that everybody shares.

use std::net::{Ipv4Addr, TcpListener};
use std::path::PathBuf;
use std::process::Stdio;
use std::time::{Duration, Instant};

use tokio::process::{Child, Command};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// The pause after the first unexpected end; it doubles up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// A child that lived this long did well: the next pause is the first again.
const DID_WELL: Duration = Duration::from_secs(60);
/// What a child gets to finish.
const PATIENCE: Duration = Duration::from_secs(2);

/// A back-end that is kept running.
#[derive(Debug)]
pub struct Backend {
    url: String,
    stop: watch::Sender<bool>,
    keeper: JoinHandle<()>,
}

struct Launch {
    program: PathBuf,
    port: u16,
    kernel_url: String,
    json: bool,
}

impl Backend {
    /// Starts the back-end of the CRM example on a free loopback port; it calls back to `kernel_url`. None when no port is
    /// free or the program can't be found again: the kernel does without.
    pub fn start(kernel_url: String, json: bool) -> Option<Self> {
        let port = match free_port() {
            Ok(port) => port,
            Err(error) => {
                tracing::warn!(%error, "no port for the example's back-end; it is not started");
                return None;
            }
        };
        let program = fabric::this_program()
            .inspect_err(|error| tracing::warn!(%error, "the program's own file is not to be found"))
            .ok()?;
        let launch = Launch { program, port, kernel_url, json };
        let (stop, stopped) = watch::channel(false);
        let keeper = tokio::spawn(keep(launch, stopped));
        Some(Self { url: format!("http://127.0.0.1:{port}"), stop, keeper })
    }

    /// Where it answers.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Tells it to stop and waits a moment.
    pub async fn stop(self) {
        self.stop.send_replace(true);
        if tokio::time::timeout(PATIENCE * 2, self.keeper).await.is_err() {
            tracing::warn!("the example's back-end did not stop in time");
        }
    }
}

/// The child binds it itself; until then somebody else might, and the next start says so.
fn free_port() -> std::io::Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}

async fn keep(launch: Launch, mut stop: watch::Receiver<bool>) {
    let mut pause = FIRST_PAUSE;
    loop {
        let began = Instant::now();
        match launch.spawn() {
            Ok(child) => {
                let Some(status) = attend(child, &mut stop).await else { return };
                tracing::warn!(status, "the example's back-end ended and is started again");
            }
            Err(error) => tracing::warn!(%error, "the example's back-end could not be started"),
        }
        if began.elapsed() >= DID_WELL {
            pause = FIRST_PAUSE;
        }
        tokio::select! {
            _ = stop.wait_for(|stop| *stop) => return,
            () = tokio::time::sleep(pause) => {}
        }
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// Waits for the child's end, and says how it ended; none when it was told to.
async fn attend(mut child: Child, stop: &mut watch::Receiver<bool>) -> Option<String> {
    // While this end is open the child lives: it closes also when this process is killed.
    let lifeline = child.stdin.take();
    let ended = tokio::select! {
        ended = child.wait() => Some(ended),
        _ = stop.wait_for(|stop| *stop) => None,
    };
    drop(lifeline);
    if let Some(ended) = ended {
        return Some(ended.map_or_else(|error| error.to_string(), |status| status.to_string()));
    }
    if tokio::time::timeout(PATIENCE, child.wait()).await.is_err() {
        child.kill().await.ok();
    }
    None
}

impl Launch {
    fn spawn(&self) -> std::io::Result<Child> {
        let listen = format!("127.0.0.1:{}", self.port);
        let log = if self.json { "json" } else { "text" };
        let mut command = Command::new(&self.program);
        command
            .arg0("platform-kernel")
            .args(["example", "crm", "--listen", &listen, "--kernel-url", &self.kernel_url, "--child", log])
            // It gets none of the kernel's settings: there are secrets among them.
            .env_clear()
            .stdin(Stdio::piped())
            .stdout(fabric::no_output()?)
            // Ctrl-C at the terminal is for the kernel, which then tells its child.
            .process_group(0)
            .kill_on_drop(true);
        for name in ["PATH", "LANG", "TZ", "NO_COLOR", "CRM_MODULE_KEYS"] {
            if let Some(value) = std::env::var_os(name) {
                command.env(name, value);
            }
        }
        command.spawn()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sleeper() -> Child {
        // Like the back-end it ends when its stdin does.
        Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::null()).kill_on_drop(true).spawn().unwrap()
    }

    #[tokio::test]
    async fn a_child_goes_when_its_lifeline_is_dropped() {
        let (stop, mut stopped) = watch::channel(false);
        let child = sleeper();
        let attended = tokio::spawn(async move { attend(child, &mut stopped).await });
        stop.send_replace(true);
        assert_eq!(attended.await.unwrap(), None);
    }

    #[tokio::test]
    async fn a_child_that_dies_is_noticed() {
        let (_stop, mut stopped) = watch::channel(false);
        let mut child = sleeper();
        child.start_kill().unwrap();
        let status = attend(child, &mut stopped).await.unwrap();
        assert!(status.contains("signal: 9"), "{status}");
    }
}
