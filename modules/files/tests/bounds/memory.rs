use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use futures::{StreamExt as _, stream};
use reqwest::Method;

use crate::support::{FORM, UPLOAD, form, ground, sent};

fn resident_bytes() -> usize {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap();
    text.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap() * 4096
}

/// The client is in this process, too; it sends the same megabyte again and again.
#[tokio::test(flavor = "multi_thread")]
async fn a_large_file_flows_through_without_filling_memory() {
    const PIECES: usize = 99;
    let _alone = crate::ALONE.lock().await;
    let ground = ground().await;
    let owner = ground.owner().await;
    let upload = |pieces: usize| {
        let whole = form("large.bin", "application/octet-stream", b"");
        let (head, tail) = whole.split_at(whole.len() - b"\r\n--bound--\r\n".len());
        let piece = Bytes::from(vec![0xfe; 1 << 20]);
        let length = whole.len() + pieces * piece.len();
        let parts = std::iter::once(Bytes::copy_from_slice(head))
            .chain(std::iter::repeat_n(piece, pieces))
            .chain([Bytes::copy_from_slice(tail)]);
        let parts: Vec<Result<Bytes, std::io::Error>> = parts.map(Ok).collect();
        let request =
            owner.raw(Method::POST, UPLOAD).header("content-type", FORM).header("content-length", length);
        sent(request.body(reqwest::Body::wrap_stream(stream::iter(parts))))
    };
    upload(30).await.expect(201);
    let before = resident_bytes();
    let (peak, done) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
    let watching = tokio::task::spawn_blocking({
        let (peak, done) = (Arc::clone(&peak), Arc::clone(&done));
        move || {
            while !done.load(Ordering::Relaxed) {
                peak.fetch_max(resident_bytes(), Ordering::Relaxed);
                std::thread::sleep(Duration::from_millis(2));
            }
        }
    });
    let made = upload(PIECES).await.expect(201);
    done.store(true, Ordering::Relaxed);
    watching.await.unwrap();
    let grown = peak.load(Ordering::Relaxed).saturating_sub(before);
    println!("{PIECES} MB uploaded; the process grew by {} KB at most", grown / 1024);
    assert!(grown < 20 << 20, "the process grew by {grown} bytes");

    let path = format!("/api/v1/files/{}", made.id());
    let response = owner.raw(Method::GET, &path).send().await.unwrap();
    let mut length = 0;
    let mut pieces = response.bytes_stream();
    while let Some(piece) = pieces.next().await {
        length += piece.unwrap().len();
    }
    assert_eq!(length, PIECES << 20);
    ground.close().await;
}
