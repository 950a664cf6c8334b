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

/// A request takes and gives back many small pieces; glibc's allocator was a fifth of its time.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    match cli::run(std::env::args_os()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.tell(),
    }
}
