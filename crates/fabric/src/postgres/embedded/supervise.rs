//! Keeps Postgres running: a thread that starts it, waits for it and starts it again.
//!
//! It is a thread and not a task because the parent-death signal of the child is bound to the thread that made it.

use std::path::PathBuf;
use std::process::{Child, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions};
use tokio::sync::{oneshot, watch};

use super::State;
use super::cluster::Server;
use super::error::EmbeddedError;
use super::place::Account;
use super::postmaster;
use super::server_log::Tail;
use super::spawn::spawn;
use crate::{no_input, no_output};

const POLL: Duration = Duration::from_millis(2);
/// Silence for so long before it is ready means that it hangs. (Recovery tells its progress every 5 s.)
const START_PATIENCE: Duration = Duration::from_secs(60);
/// How long the processes of an earlier Postgres may take to leave.
const LEAVING_PATIENCE: Duration = Duration::from_secs(10);
const FIRST_BACKOFF: Duration = Duration::from_millis(100);
const LONGEST_BACKOFF: Duration = Duration::from_secs(5);
/// After having run for so long the next failure counts as the first.
const STEADY: Duration = Duration::from_secs(30);

/// How to start Postgres.
#[derive(Debug)]
pub(super) struct Launch {
    pub(super) server: Server,
    pub(super) arguments: Vec<std::ffi::OsString>,
    pub(super) pgdata: PathBuf,
    pub(super) account: Account,
    pub(super) socket_dir: PathBuf,
    pub(super) port: u16,
}

/// The handle on the thread.
#[derive(Debug)]
pub(super) struct Supervisor {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    /// The running process. It is reaped only with this locked, so the number is never another's.
    child: Mutex<Option<Pid>>,
    stopping: AtomicBool,
    told: Condvar,
    state: watch::Sender<State>,
}

impl Supervisor {
    /// Starts the thread and waits until Postgres is ready for the first time.
    pub(super) async fn start(launch: Launch) -> Result<Self, EmbeddedError> {
        let shared = Arc::new(Shared {
            child: Mutex::new(None),
            stopping: AtomicBool::new(false),
            told: Condvar::new(),
            state: watch::Sender::new(State::Starting),
        });
        let (ready, first) = oneshot::channel();
        let supervisor = Self { shared: Arc::clone(&shared) };
        std::thread::Builder::new()
            .name("postgres".to_owned())
            .spawn(move || shared.run(&launch, ready))
            .map_err(EmbeddedError::Thread)?;
        // Dropped while waiting, `supervisor` ends the thread.
        match first.await {
            Ok(started) => started.map(|()| supervisor),
            Err(_) => Err(EmbeddedError::StartFailed {
                status: "it was told to stop".to_owned(),
                log: "nothing else is known".to_owned(),
            }),
        }
    }

    pub(super) fn state(&self) -> watch::Receiver<State> {
        self.shared.state.subscribe()
    }

    pub(super) fn pid(&self) -> Option<u32> {
        self.shared.child().map(|pid| pid.as_raw_nonzero().get().unsigned_abs())
    }

    /// Makes Postgres read its host file.
    pub(super) fn reload(&self) {
        self.shared.signal(Signal::HUP);
    }

    /// Stops Postgres for good: `gently` rolls back open transactions and writes everything out; not gently it just
    /// ends. Does not wait.
    pub(super) fn tell_to_stop(&self, gently: bool) {
        self.shared.stopping.store(true, Ordering::SeqCst);
        self.shared.signal(if gently { Signal::INT } else { Signal::QUIT });
        self.shared.told.notify_all();
    }

    /// Waits until Postgres is gone and won't come back.
    pub(super) async fn stopped(&self) {
        let mut state = self.state();
        // The sender lives in `self`.
        state.wait_for(|state| *state == State::Stopped).await.ok();
    }
}

impl Drop for Supervisor {
    fn drop(&mut self) {
        self.tell_to_stop(true);
    }
}

/// How an attempt to start ended.
enum Attempt {
    Ready,
    /// Processes of an earlier Postgres that was killed still hold its memory; they leave when they notice.
    Occupied(EmbeddedError),
    Failed(EmbeddedError),
}

impl Shared {
    fn run(&self, launch: &Launch, first: oneshot::Sender<Result<(), EmbeddedError>>) {
        let mut first = Some(first);
        let mut backoff = FIRST_BACKOFF;
        let mut occupied_until = None;
        while !self.stopping() {
            self.state.send_replace(State::Starting);
            let began = Instant::now();
            let reason = match self.start_once(launch) {
                Err(error) => Err(error),
                Ok((child, tail)) => match self.await_ready(launch, &child, &tail) {
                    Attempt::Occupied(error) => {
                        self.reap(child);
                        if began < *occupied_until.get_or_insert(began + LEAVING_PATIENCE) {
                            self.pause(FIRST_BACKOFF);
                            continue;
                        }
                        Err(error)
                    }
                    Attempt::Failed(error) => {
                        self.reap(child);
                        Err(error)
                    }
                    Attempt::Ready => {
                        occupied_until = None;
                        self.state.send_replace(State::Ready { since: Instant::now() });
                        if let Some(first) = first.take() {
                            first.send(Ok(())).ok();
                        }
                        wait_for_end(&child);
                        let status = self.reap(child);
                        // Ended connections complain too; only the end of the server itself is of interest.
                        let panic = tail.panic().map(|words| format!(": {words}")).unwrap_or_default();
                        Ok(format!("Postgres ended unexpectedly ({}){panic}", describe(status)))
                    }
                },
            };
            if self.stopping() {
                break;
            }
            let reason = match (reason, first.take()) {
                // The caller hears it and decides.
                (Err(error), Some(first)) => {
                    first.send(Err(error)).ok();
                    break;
                }
                (Err(error), None) => error.to_string(),
                (Ok(reason), _) => reason,
            };
            tracing::error!(target: "postgres", "{reason}; it is started again in {} ms", backoff.as_millis());
            self.state.send_replace(State::Down { reason });
            if began.elapsed() > STEADY {
                backoff = FIRST_BACKOFF;
            }
            self.pause(backoff);
            backoff = (backoff * 2).min(LONGEST_BACKOFF);
        }
        self.state.send_replace(State::Stopped);
    }

    /// Starts the process; what an earlier one left is waited for.
    fn start_once(&self, launch: &Launch) -> Result<(Child, Tail), EmbeddedError> {
        postmaster::wait_for_former(&launch.pgdata, LEAVING_PATIENCE, || self.stopping())?;
        postmaster::remove_sockets(&launch.socket_dir, launch.port)?;
        let mut command = launch.server.command(&launch.pgdata);
        command.arg("-D").arg(&launch.pgdata).args(&launch.arguments);
        let started = || {
            command.stdin(no_input()?).stdout(no_output()?).stderr(Stdio::piped());
            spawn(command, &launch.account)
        };
        let mut child = started().map_err(|error| {
            if launch.account.differs && error.kind() == std::io::ErrorKind::PermissionDenied {
                EmbeddedError::CannotChangeUser { uid: launch.account.uid }
            } else {
                EmbeddedError::io("start", &launch.server.folder.join("bin/postgres"), error)
            }
        })?;
        let stream = child.stderr.take();
        *self.lock() = Some(process(&child));
        if self.stopping() {
            self.signal(Signal::INT);
        }
        let tail = stream.map(Tail::follow).unwrap_or_else(|| {
            Err(EmbeddedError::Thread(std::io::Error::other("the error stream was not opened")))
        });
        match tail {
            Ok(tail) => Ok((child, tail)),
            Err(error) => {
                self.signal(Signal::QUIT);
                self.reap(child);
                Err(error)
            }
        }
    }

    /// Waits until Postgres takes connections, however long it works on it, or has ended.
    fn await_ready(&self, launch: &Launch, child: &Child, tail: &Tail) -> Attempt {
        let pid = child.id();
        let began = Instant::now();
        let mut told = began;
        loop {
            if postmaster::is_ready(&launch.pgdata, pid) {
                return Attempt::Ready;
            }
            if has_ended(child) {
                // The last words may still be in the pipe.
                let until = Instant::now() + Duration::from_millis(200);
                while !tail.ended() && Instant::now() < until {
                    std::thread::sleep(POLL);
                }
                let error = explain(launch, child, tail);
                return match tail.mentions("pre-existing shared memory block") {
                    true => Attempt::Occupied(error),
                    false => Attempt::Failed(error),
                };
            }
            if tail.heard().elapsed() > START_PATIENCE {
                self.signal(Signal::QUIT);
                wait_for_end(child);
                return Attempt::Failed(EmbeddedError::StartTimeout {
                    waited: began.elapsed(),
                    log: tail.words(),
                });
            }
            if told.elapsed() > Duration::from_secs(5) {
                told = Instant::now();
                tracing::info!(target: "postgres", "Postgres is still starting after {} s: {}", began.elapsed().as_secs(), tail.words());
            }
            std::thread::sleep(POLL);
        }
    }

    /// Takes the ended (or ending) process off the system's table.
    fn reap(&self, mut child: Child) -> Option<ExitStatus> {
        wait_for_end(&child);
        let mut running = self.lock();
        let status = child.wait().ok();
        *running = None;
        status
    }

    fn pause(&self, time: Duration) {
        let running = self.lock();
        let waited = self.told.wait_timeout_while(running, time, |_| !self.stopping());
        drop(waited);
    }

    fn signal(&self, signal: Signal) {
        let running = self.lock();
        if let Some(pid) = *running {
            // It may have ended by itself a moment ago.
            rustix::process::kill_process(pid, signal).ok();
        }
    }

    fn child(&self) -> Option<Pid> {
        *self.lock()
    }

    fn stopping(&self) -> bool {
        self.stopping.load(Ordering::SeqCst)
    }

    fn lock(&self) -> MutexGuard<'_, Option<Pid>> {
        self.child.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Why a Postgres that has ended did not start.
fn explain(launch: &Launch, child: &Child, tail: &Tail) -> EmbeddedError {
    if tail.mentions("could not create any TCP/IP sockets") {
        return EmbeddedError::PortTaken { port: launch.port };
    }
    if tail.mentions("No space left on device") {
        return EmbeddedError::DiskFull { path: launch.pgdata.clone() };
    }
    let status = match ended(child) {
        Some(status) => status,
        None => "its end was not seen".to_owned(),
    };
    EmbeddedError::StartFailed { status, log: tail.words() }
}

fn process(child: &Child) -> Pid {
    Pid::from_child(child)
}

/// Blocks until the process has ended; it stays on the system's table.
fn wait_for_end(child: &Child) {
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
    while let Err(rustix::io::Errno::INTR) = rustix::process::waitid(WaitId::Pid(process(child)), options) {}
}

fn has_ended(child: &Child) -> bool {
    ended(child).is_some()
}

/// How the process ended, if it has; it stays on the system's table.
fn ended(child: &Child) -> Option<String> {
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT | WaitIdOptions::NOHANG;
    let status = rustix::process::waitid(WaitId::Pid(process(child)), options).ok()??;
    Some(match (status.exit_status(), status.terminating_signal()) {
        (Some(code), _) => format!("exit code {code}"),
        (None, Some(signal)) => format!("signal {signal}"),
        (None, None) => "ended".to_owned(),
    })
}

fn describe(status: Option<ExitStatus>) -> String {
    status.map_or_else(|| "its end was not seen".to_owned(), |status| status.to_string())
}
