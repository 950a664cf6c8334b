//! The one place with `unsafe`: what a new process does before it becomes Postgres.
#![allow(unsafe_code)]

use std::io;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command};

use rustix::process::Signal;

use super::place::Account;

/// Starts `command` as `account`, in a session of its own (a terminal's Ctrl-C is not for it), with SIGINT as
/// its parent-death signal: when the **thread** that calls this ends, Postgres stops, with all commits kept.
pub(super) fn spawn(mut command: Command, account: &Account) -> io::Result<Child> {
    if account.differs {
        // Also drops the supplementary groups.
        command.uid(account.uid).gid(account.gid);
    }
    let parent = rustix::process::getpid();
    let prepare = move || {
        rustix::process::setsid()?;
        // After the change of user, which std does before it calls this: a change of user clears the signal.
        rustix::process::set_parent_process_death_signal(Some(Signal::INT))?;
        // A parent that died before the signal was set can't send it.
        if rustix::process::getppid() != Some(parent) {
            return Err(io::Error::from(io::ErrorKind::Interrupted));
        }
        Ok(())
    };
    // SAFETY: between fork and exec only async-signal-safe work is allowed. The closure makes three system calls
    // through rustix, compares two numbers and builds errors that own no memory; it takes no lock, allocates
    // nothing and touches no memory of other threads.
    unsafe { command.pre_exec(prepare) };
    command.spawn()
}
