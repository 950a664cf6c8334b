//! Small versions of photos beside the command-line program `vipsthumbnail` (Debian: libvips-tools), in the same run.
//!
//! `cargo bench -p vips --bench images`. Promised: at least 0.9 of its speed, and at most 200 MB with four jobs at once.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use vips::{Fit, Format, Limits, Output, Picture};

/// 36 megapixels.
const PHOTO: (u16, u16) = (7360, 4912);
/// Photos of a round.
const PHOTOS: usize = 12;
/// Rounds of each, by turns; the best one counts, because others work on the machine, too.
const ROUNDS: usize = 5;
const TARGET: f64 = 0.9;
const BOX: Fit = Fit { width: 512, height: 512, cover: false };

fn photo(width: u16, height: u16) -> Result<Vec<u8>, vips::Fault> {
    let mut pixels = Vec::with_capacity(usize::from(width) * usize::from(height) * 3);
    for y in 0..u32::from(height) {
        for x in 0..u32::from(width) {
            let spot = ((x / 9) ^ (y / 7)).wrapping_mul(2_654_435_761) >> 26;
            let (across, down) = (x * 190 / u32::from(width), y * 190 / u32::from(height));
            pixels.extend([
                (across + spot) as u8,
                (down + spot) as u8,
                ((across + down) / 2 + spot / 2) as u8,
            ]);
        }
    }
    Picture::from_pixels(width, height, &pixels)?.encode(Output::Jpeg, 88)
}

fn small(bytes: &[u8]) -> Result<Vec<u8>, vips::Fault> {
    let limits = Limits { pixels: 50_000_000, deadline: Instant::now() + Duration::from_secs(30) };
    vips::thumbnail(bytes, Format::Jpeg, BOX, &limits)?.encode(Output::WebP, 80)
}

/// So many photos on so many threads.
fn ours(bytes: &[u8], photos: usize, threads: usize) -> Duration {
    let left = Mutex::new(photos);
    let begun = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    {
                        let mut left = left.lock().unwrap_or_else(PoisonError::into_inner);
                        match left.checked_sub(1) {
                            Some(fewer) => *left = fewer,
                            None => break,
                        }
                    }
                    small(bytes).expect("because the photo was made here");
                }
                vips::leave_thread();
            });
        }
    });
    begun.elapsed()
}

/// The same photos by the program: one process for all of them, with as many threads as it likes.
fn theirs(photos: &[PathBuf]) -> Option<Duration> {
    let begun = Instant::now();
    let done = Command::new("vipsthumbnail")
        .args(photos)
        .args(["--size", "512x512>", "--output", "small_%s.webp[Q=80,strip]"])
        .stderr(Stdio::null())
        .status()
        .ok()?;
    done.success().then(|| begun.elapsed())
}

fn peak_kilobytes() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok()).unwrap_or(0)
}

fn folder() -> std::io::Result<PathBuf> {
    let place = if Path::new("/dev/shm").is_dir() { "/dev/shm" } else { "/tmp" };
    let folder = Path::new(place).join(format!("pk-images-{}", std::process::id()));
    fs::create_dir_all(&folder)?;
    Ok(folder)
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    // The photo is made in another process, so that its pixels do not count as memory of ours.
    let mut arguments = std::env::args().skip(1);
    if arguments.next().as_deref() == Some("--make-photo") {
        fs::write(arguments.next().unwrap_or_default(), photo(PHOTO.0, PHOTO.1)?)?;
        return Ok(());
    }
    let folder = folder()?;
    let first = folder.join("0.jpg");
    let made = Command::new(std::env::current_exe()?).arg("--make-photo").arg(&first).status()?;
    assert!(made.success(), "the photo could not be made");
    let bytes = fs::read(&first)?;
    let photos: Vec<PathBuf> = (0..PHOTOS).map(|n| folder.join(format!("{n}.jpg"))).collect();
    for copy in &photos[1..] {
        fs::hard_link(&first, copy)?;
    }
    let tiny = folder.join("tiny.jpg");
    fs::write(&tiny, photo(32, 32)?)?;
    let threads = std::thread::available_parallelism().map_or(2, usize::from);
    println!(
        "libvips {:?}: {} photos of {} × {} ({} KB) to 512 px WebP, {threads} threads",
        vips::version()?,
        PHOTOS,
        PHOTO.0,
        PHOTO.1,
        bytes.len() / 1024
    );
    ours(&bytes, threads, threads);
    let (mut own, mut peer, mut start) = (Duration::MAX, None::<Duration>, None::<Duration>);
    for _ in 0..ROUNDS {
        own = own.min(ours(&bytes, PHOTOS, threads));
        peer = peer.into_iter().chain(theirs(&photos)).min();
        start = start.into_iter().chain(theirs(std::slice::from_ref(&tiny))).min();
    }
    println!("ours           {:7.1} ms a photo", own.as_secs_f64() * 1000.0 / PHOTOS as f64);
    let mut kept = true;
    if let (Some(peer), Some(start)) = (peer, start) {
        // The program's own start does not count against it.
        let working = peer.saturating_sub(start);
        let ratio = working.as_secs_f64() / own.as_secs_f64();
        println!(
            "vipsthumbnail  {:7.1} ms a photo (and {start:?} to start)",
            working.as_secs_f64() * 1000.0 / PHOTOS as f64
        );
        println!("ratio          {ratio:7.2} (promised: {TARGET})");
        kept = ratio >= TARGET;
    } else {
        println!("vipsthumbnail is not installed (libvips-tools): nothing to hold it against");
    }
    ours(&bytes, 8, 4);
    println!("peak memory    {:7.1} MB with up to 4 jobs at once", peak_kilobytes() as f64 / 1024.0);
    fs::remove_dir_all(&folder)?;
    if !kept {
        std::process::exit(1);
    }
    Ok(())
}
