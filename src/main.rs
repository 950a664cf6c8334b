//! Platform Kernel: the door. Reads the command line and does what it says; `serve` is in [`boot`].

#![forbid(unsafe_code)]

mod authority;
mod backend;
mod boot;
mod cli;
mod client;
mod data_folder;
mod failure;
mod greeting;
mod listeners;
mod logs;
mod output;
mod running;
mod settings;
mod signals;

use std::process::ExitCode;

fn main() -> ExitCode {
    match cli::run(std::env::args_os()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.tell(),
    }
}
