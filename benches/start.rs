//! From exec to ready: with an empty data folder and with an existing one. Medians. And what the process holds then, with
//! one open sandbox and nothing to do.
//!
//! Takes the packed binary from `dist/platform-kernel` (`make build`), or the one that `PLATFORM_KERNEL_BIN` names.

#![allow(clippy::unwrap_used, missing_docs, reason = "a measuring program: what it can't do ends it")]

use std::{
    path::PathBuf,
    process::Command,
    time::{Duration, Instant},
};

use testkit::{Launch, data_folder};

fn program() -> PathBuf {
    let named = std::env::var("PLATFORM_KERNEL_BIN").map(PathBuf::from);
    named.unwrap_or_else(|_| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("dist/platform-kernel"))
}

fn median(mut times: Vec<Duration>) -> (u128, u128, u128) {
    times.sort();
    (times[0].as_millis(), times[times.len() / 2].as_millis(), times[times.len() - 1].as_millis())
}

fn main() {
    let program = program();
    let runs: usize = std::env::var("RUNS").ok().and_then(|n| n.parse().ok()).unwrap_or(10);
    let (mut empty, mut existing, mut stop) = (Vec::new(), Vec::new(), Vec::new());
    let mut idle = Vec::new();
    for _ in 0..runs {
        let folder = data_folder();
        let data = folder.path().join("data");
        let begun = Instant::now();
        let mut first = Launch::default().on(&data).start(&program);
        empty.push(begun.elapsed());
        std::thread::sleep(Duration::from_secs(1));
        idle.push(first.resident_megabytes());
        first.stop();
        let begun = Instant::now();
        let mut second = Launch::default().on(&data).start(&program);
        existing.push(begun.elapsed());
        let begun = Instant::now();
        Command::new("kill").args(["-INT", &second.pid().to_string()]).status().unwrap();
        second.wait();
        stop.push(begun.elapsed());
    }
    println!("start, {runs} runs           least  median    most   (ms, exec to ready)");
    for (name, times) in [("empty data folder", empty), ("existing data", existing), ("stop by ^C", stop)] {
        let (least, middle, most) = median(times);
        println!("{name:<24} {least:>6} {middle:>7} {most:>7}");
    }
    println!("resident after the first start, idle: at most {} MB (limit 80)", idle.iter().max().unwrap());
}
