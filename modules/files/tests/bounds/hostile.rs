use std::io::Write as _;

use flate2::{Crc, write::ZlibEncoder};
use futures::{StreamExt as _, stream};
use testkit::Answer;
use vips::Output;

use crate::support::{ground, image, upload};

struct Case {
    name: String,
    media_type: &'static str,
    bytes: Vec<u8>,
}

fn case(name: impl Into<String>, media_type: &'static str, bytes: impl Into<Vec<u8>>) -> Case {
    Case { name: name.into(), media_type, bytes: bytes.into() }
}

fn chunk(kind: &[u8; 4], data: &[u8]) -> Vec<u8> {
    let mut crc = Crc::new();
    crc.update(kind);
    crc.update(data);
    [&(data.len() as u32).to_be_bytes()[..], kind, data, &crc.sum().to_be_bytes()].concat()
}

/// A PNG that says it has so many pixels, all of them black, packed as small as can be.
fn png_of(width: u32, height: u32, rows: u32) -> Vec<u8> {
    let head = [&width.to_be_bytes()[..], &height.to_be_bytes(), &[8, 0, 0, 0, 0]].concat();
    let mut packed = ZlibEncoder::new(Vec::new(), flate2::Compression::best());
    for _ in 0..rows {
        packed.write_all(&vec![0; width as usize + 1]).unwrap();
    }
    let data = packed.finish().unwrap();
    [&b"\x89PNG\r\n\x1a\n"[..], &chunk(b"IHDR", &head), &chunk(b"IDAT", &data), &chunk(b"IEND", b"")].concat()
}

/// A JPEG whose frame says it has other dimensions.
fn jpeg_of(jpeg: &[u8], width: u16, height: u16) -> Vec<u8> {
    let mut bent = jpeg.to_vec();
    let frame = bent.windows(2).position(|mark| mark == [0xff, 0xc0] || mark == [0xff, 0xc2]).unwrap();
    bent[frame + 5..frame + 7].copy_from_slice(&height.to_be_bytes());
    bent[frame + 7..frame + 9].copy_from_slice(&width.to_be_bytes());
    bent
}

const ZIP: &[u8] = b"PK\x03\x04\x0a\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x01\0\0\0aPK\x01\x02\x0a\0\x0a\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0aPK\x05\x06\0\0\0\0\x01\0\x01\0\x2f\0\0\0\x1f\0\0\0\0\0";

const SCRIPTS: [&str; 16] = [
    "<script>alert(1)</script>",
    "<script href='data:text/javascript,alert(1)'/>",
    "<g onload='alert(1)'/>",
    "<g ONCLICK=\"alert(1)\"/>",
    "<a href='javascript:alert(1)'><text>x</text></a>",
    "<a xlink:href='java&#115;cript:alert(1)'><text>x</text></a>",
    "<foreignObject><body xmlns='http://www.w3.org/1999/xhtml'/></foreignObject>",
    "<image href='https://example.com/track.png'/>",
    "<use href='https://example.com/a.svg#b'/>",
    "<style>@import url(https://example.com/a.css);</style>",
    "<rect style='fill:url(https://example.com/a)'/>",
    "<animate attributeName='href' values='javascript:alert(1)'/>",
    "<set attributeName='onmouseover' to='javascript:alert(1)'/>",
    "<iframe src='https://example.com'/>",
    "<embed src='x'/>",
    "<svg:script xmlns:svg='http://www.w3.org/2000/svg'>1</svg:script>",
];

fn cases() -> Vec<Case> {
    let whole = [
        ("image/jpeg", image(Output::Jpeg, 640, 480)),
        ("image/png", image(Output::Png, 160, 120)),
        ("image/webp", image(Output::WebP, 640, 480)),
        ("image/avif", image(Output::Avif, 320, 240)),
    ];
    let mut cases = Vec::new();
    for (media_type, file) in &whole {
        // Broken off.
        for part in 1..=15 {
            let end = file.len() * part / 16;
            cases.push(case(
                format!("{media_type} up to byte {end} of {}", file.len()),
                media_type,
                &file[..end],
            ));
        }
        // Something else under that name.
        for (other, bytes) in whole.iter().filter(|(other, _)| other != media_type) {
            cases.push(case(format!("{other} as {media_type}"), media_type, bytes.as_slice()));
        }
        for (name, bytes) in [
            ("a text", &b"Once upon a time"[..]),
            ("nothing", b""),
            ("a page", b"<html><script>alert(1)</script></html>"),
            ("an archive", ZIP),
            ("a document", b"%PDF-1.7\n"),
            ("a program", b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0"),
        ] {
            cases.push(case(format!("{name} as {media_type}"), media_type, bytes));
        }
        // An image, and something else besides.
        for (name, tail) in [
            ("an archive", ZIP),
            ("a page", &b"<html><body>"[..]),
            ("a script", b"<script>alert(document.cookie)</script>"),
            ("PHP", b"<?php system($_GET['c']); ?>"),
            ("a document", b"%PDF-1.7 1 0 obj"),
            ("a RAR archive", b"Rar!\x1a\x07\x01\0"),
        ] {
            cases.push(case(
                format!("{media_type} and {name}"),
                media_type,
                [file.as_slice(), tail].concat(),
            ));
        }
    }
    // Checksums tell of each turned bit, from the first one of a pixel on.
    let png = &whole[1].1;
    for at in (70..png.len()).step_by(png.len() / 25) {
        let mut bent = png.clone();
        bent[at] ^= 1 << (at % 8);
        cases.push(case(format!("image/png with a turned bit at {at}"), "image/png", bent));
    }
    // A good beginning, and noise.
    for seed in 0..8_u32 {
        let noise: Vec<u8> = (0..5000_u32)
            .map(|n| (n.wrapping_add(seed << 16).wrapping_mul(2_654_435_761) >> 24) as u8)
            .collect();
        for (media_type, file) in &whole {
            cases.push(case(
                format!("{media_type} and noise {seed}"),
                media_type,
                [&file[..32], &noise].concat(),
            ));
        }
    }
    for (width, height, rows) in [
        (30_000, 30_000, 1),
        (10_000, 5_001, 5_001),
        (50_001, 1_000, 3),
        (2_000_000_000, 2, 0),
        (0, 10, 0),
        (7, 0, 0),
        (100, 100, 3),
    ] {
        cases.push(case(
            format!("a PNG that says {width} × {height}"),
            "image/png",
            png_of(width, height, rows.min(200)),
        ));
    }
    for (width, height) in [(65_500, 65_500), (65_500, 1_000), (0, 480), (60_000, 60_000)] {
        cases.push(case(
            format!("a JPEG that says {width} × {height}"),
            "image/jpeg",
            jpeg_of(&whole[0].1, width, height),
        ));
    }
    for script in SCRIPTS {
        let drawing = format!("<?xml version='1.0'?><svg xmlns='http://www.w3.org/2000/svg'>{script}</svg>");
        cases.push(case(script, "image/svg+xml", drawing.clone()));
        cases.push(case(format!("as text: {script}"), "text/plain", drawing));
    }
    cases.push(case("GIF and a script", "image/gif", &b"GIF89a/*\x01\0\0\0\0*/=1;alert(1)//"[..]));
    cases.push(case("half a GIF", "image/gif", &b"GIF89a\x10\0\x10\0\xf0\0\0\0\0\0\xff\xff\xff!\xf9"[..]));
    cases.push(case("half a TIFF", "image/tiff", &b"II*\0\x08\0\0\0\xff\xff\0\x01\x03\0"[..]));
    cases
}

fn resident_bytes() -> usize {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap();
    text.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap() * 4096
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_files_are_refused_one_by_one_and_leave_nothing_behind() {
    let _alone = crate::ALONE.lock().await;
    let ground = ground().await;
    let owner = ground.owner().await;
    let good = image(Output::Jpeg, 640, 480);
    for _ in 0..5 {
        upload(&owner, "good.jpg", "image/jpeg", &good).await.expect(201);
    }
    let (used, blobs, before) = (ground.used().await, ground.blobs().len(), resident_bytes());
    let cases = cases();
    let count = cases.len();
    assert!(count >= 200, "{count} cases");
    let answers: Vec<(Case, Answer)> = stream::iter(cases)
        .map(|case| {
            let owner = owner.clone();
            async move {
                let answer = upload(&owner, "a.img", case.media_type, &case.bytes).await;
                (case, answer)
            }
        })
        .buffer_unordered(4)
        .collect()
        .await;
    let wrong: Vec<String> = answers
        .iter()
        .filter(|(_, answer)| answer.status != 422 || !answer.text.contains("/problems/file-rejected"))
        .map(|(case, answer)| format!("{}: {} {}", case.name, answer.status, answer.text))
        .collect();
    assert!(wrong.is_empty(), "{} of {count} were not refused: {wrong:#?}", wrong.len());
    assert_eq!((ground.used().await, ground.blobs().len()), (used, blobs), "nothing of them is kept");
    assert_eq!(vips::memory_in_use(), 0, "no pixel is held");
    let grown = resident_bytes().saturating_sub(before);
    println!("{count} hostile files refused; the process has grown by {} KB", grown / 1024);
    assert!(grown < 60 << 20, "the process has grown by {grown} bytes");
    let rejected = owner.get("/api/v1/files?state=rejected&limit=100").await.expect(200);
    assert_eq!(rejected.data().len(), 100);
    let id = rejected.data()[0]["id"].as_str().unwrap();
    owner.get(&format!("/api/v1/files/{id}")).await.expect_problem(422, "file-rejected");
    assert_eq!(ground.told(id).await, ["files.file.uploaded", "files.file.rejected"]);
    assert_eq!(ground.audited(id).await, ["files.file.uploaded", "files.file.rejected"]);
    upload(&owner, "good.jpg", "image/jpeg", &good).await.expect(201);
    ground.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn test_viruses_programs_and_bombs_are_refused() {
    let _alone = crate::ALONE.lock().await;
    let ground = ground().await;
    let owner = ground.owner().await;
    let eicar = [r"X5O!P%@AP[4\PZX54(P^)7CC)7}$EICAR-STANDARD-", "ANTIVIRUS-TEST-FILE!$H+H*"].concat();
    let mut bomb = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    for _ in 0..60 {
        bomb.write_all(&vec![0; 1_000_000]).unwrap();
    }
    let bomb = bomb.finish().unwrap();
    let late = [&vec![b'.'; 700_000][..], eicar.as_bytes()].concat();
    for (name, media_type, content, word) in [
        ("eicar.com", "text/plain", eicar.as_bytes(), "EICAR"),
        ("late.txt", "text/plain", &late, "EICAR"),
        ("run", "application/octet-stream", b"\x7fELF\x02\x01\x01\0", "program"),
        ("run.sh", "text/plain", b"#!/bin/sh\nrm -rf /\n", "script"),
        ("bomb.gz", "application/gzip", &bomb, "bomb"),
        ("half.zip", "application/zip", b"PK\x03\x04half", "broken"),
    ] {
        let answer = upload(&owner, name, media_type, content).await.expect_problem(422, "file-rejected");
        assert!(answer.body["detail"].as_str().unwrap().contains(word), "{name}: {}", answer.text);
    }
    upload(&owner, "a.zip", "application/zip", ZIP).await.expect(201);
    assert_eq!(ground.blobs().len(), 1);
    ground.close().await;
}
