use std::time::{Duration, Instant};

use super::*;

fn limits() -> Limits {
    Limits { pixels: 50_000_000, deadline: Instant::now() + Duration::from_secs(30) }
}

/// A picture whose corners have colours of their own: red, green, blue, white, clockwise from the upper left.
fn corners(width: u16, height: u16) -> Picture {
    let (half_width, half_height) = (width / 2, height / 2);
    let pixels: Vec<u8> = (0..height)
        .flat_map(|y| (0..width).map(move |x| (x < half_width, y < half_height)))
        .flat_map(|(left, upper)| match (left, upper) {
            (true, true) => [255, 0, 0],
            (false, true) => [0, 255, 0],
            (false, false) => [0, 0, 255],
            (true, false) => [255, 255, 255],
        })
        .collect();
    Picture::from_pixels(width, height, &pixels).unwrap()
}

fn clear(width: u16, height: u16, opacity: u8) -> Picture {
    let pixels = [10, 20, 30, opacity].repeat(usize::from(width) * usize::from(height));
    Picture::from_pixels(width, height, &pixels).unwrap()
}

/// A picture without two equal places.
fn noise(width: u16, height: u16) -> Picture {
    let mut state = 1_u32;
    let pixels: Vec<u8> = (0..usize::from(width) * usize::from(height) * 3)
        .map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8
        })
        .collect();
    Picture::from_pixels(width, height, &pixels).unwrap()
}

/// A pixel near the upper left corner.
fn upper_left(picture: &Picture) -> [u8; 3] {
    let pixels = picture.pixels().unwrap();
    let bytes = pixels.len() / (picture.width() * picture.height()) as usize;
    let at = (2 * picture.width() as usize + 2) * bytes;
    pixels[at..at + 3].try_into().unwrap()
}

/// Puts an EXIF part into a JPEG, with the maker of the camera, an orientation, and the pointer to a place on earth.
fn with_exif(jpeg: &[u8], orientation: u8) -> Vec<u8> {
    let mut tiff = b"MM\0\x2a\0\0\0\x08\0\x03".to_vec();
    tiff.extend([0x01, 0x0f, 0, 2, 0, 0, 0, 10, 0, 0, 0, 50]);
    tiff.extend([0x01, 0x12, 0, 3, 0, 0, 0, 1, 0, orientation, 0, 0]);
    tiff.extend([0x88, 0x25, 0, 4, 0, 0, 0, 1, 0, 0, 0, 60, 0, 0, 0, 0]);
    tiff.extend(b"SECRETCAM\0");
    tiff.extend([0, 1, 0, 1, 0, 2, 0, 0, 0, 2, b'N', 0, 0, 0, 0, 0, 0, 0]);
    let mut part = b"Exif\0\0".to_vec();
    part.extend(tiff);
    let mut whole = jpeg[..2].to_vec();
    whole.extend([0xff, 0xe1]);
    whole.extend(u16::try_from(part.len() + 2).unwrap().to_be_bytes());
    whole.extend(part);
    whole.extend(&jpeg[2..]);
    whole
}

fn contains(bytes: &[u8], word: &[u8]) -> bool {
    bytes.windows(word.len()).any(|window| window == word)
}

const BOX: Fit = Fit { width: 30, height: 30, cover: false };

#[test]
fn what_is_written_reads_back() {
    let picture = corners(80, 40);
    for (output, format) in [
        (Output::Jpeg, Format::Jpeg),
        (Output::Png, Format::Png),
        (Output::WebP, Format::WebP),
        (Output::Avif, Format::Heif),
    ] {
        let file = picture.encode(output, 80).unwrap();
        let header = inspect(&file, format, &limits()).unwrap();
        assert_eq!((header.width, header.height, header.is_turned), (80, 40, false), "{output:?}");
        let small = thumbnail(&file, format, BOX, &limits()).unwrap();
        assert_eq!((small.width(), small.height()), (30, 15), "{output:?}");
    }
}

#[test]
fn a_thumbnail_lies_within_its_box_or_covers_it_and_is_never_larger_than_the_image() {
    let png = corners(80, 40).encode(Output::Png, 90).unwrap();
    let cover = thumbnail(&png, Format::Png, Fit { cover: true, ..BOX }, &limits()).unwrap();
    assert_eq!((cover.width(), cover.height()), (30, 30));
    let large =
        thumbnail(&png, Format::Png, Fit { width: 300, height: 300, cover: false }, &limits()).unwrap();
    assert_eq!((large.width(), large.height()), (80, 40));
    let icon = large.shrunk(Fit { width: 16, height: 16, cover: true }).unwrap();
    assert_eq!((icon.width(), icon.height()), (16, 16));
}

#[test]
fn what_lies_on_its_side_is_put_upright_and_tells_no_place() {
    let jpeg = corners(80, 40).encode(Output::Jpeg, 95).unwrap();
    let turned = with_exif(&jpeg, 6);
    assert!(contains(&turned, b"SECRETCAM"));
    let header = inspect(&turned, Format::Jpeg, &limits()).unwrap();
    assert_eq!((header.width, header.height, header.is_turned), (40, 80, true));
    let picture =
        thumbnail(&turned, Format::Jpeg, Fit { width: 80, height: 80, cover: false }, &limits()).unwrap();
    assert_eq!((picture.width(), picture.height()), (40, 80));
    // Turned to the right, the lower left corner comes up.
    let [red, green, blue] = upper_left(&picture);
    assert!(red > 200 && green > 200 && blue > 200, "{red} {green} {blue}");
    for output in [Output::Jpeg, Output::Png, Output::WebP, Output::Avif] {
        let file = picture.encode(output, 80).unwrap();
        assert!(!contains(&file, b"SECRETCAM") && !contains(&file, &[0x88, 0x25, 0, 4]), "{output:?}");
    }
}

#[test]
fn transparent_is_what_something_shows_through() {
    assert!(clear(8, 8, 100).is_transparent());
    assert!(!clear(8, 8, 255).is_transparent());
    assert!(!corners(8, 8).is_transparent());
    let png = clear(40, 40, 100).encode(Output::Png, 90).unwrap();
    assert!(thumbnail(&png, Format::Png, BOX, &limits()).unwrap().is_transparent());
    let jpeg = clear(40, 40, 0).encode(Output::Jpeg, 90).unwrap();
    let dot = upper_left(&thumbnail(&jpeg, Format::Jpeg, BOX, &limits()).unwrap());
    assert_eq!(dot, [255; 3], "what was clear is white");
}

#[test]
fn an_edit_cuts_out_then_turns_then_sizes() {
    let png = corners(80, 40).encode(Output::Png, 90).unwrap();
    let right_half = Some(Area { left: 40, top: 0, width: 40, height: 40 });
    let change = Edit { crop: right_half, turn: Turn::Right, resize: None };
    let picture = edit(&png, Format::Png, &change, &limits()).unwrap();
    assert_eq!((picture.width(), picture.height()), (40, 40));
    assert_eq!(upper_left(&picture), [0, 0, 255], "the lower part comes to the left, that is up");
    let exactly = Resize::Exactly { width: 10, height: 70 };
    let change = Edit { resize: Some(exactly), ..change };
    let picture = edit(&png, Format::Png, &change, &limits()).unwrap();
    assert_eq!((picture.width(), picture.height()), (10, 70));
    for outside in [(41, 0, 40, 40), (0, 0, 80, 41), (0, 0, 0, 10), (u32::MAX, 0, 2, 2)] {
        let (left, top, width, height) = outside;
        let change = Edit { crop: Some(Area { left, top, width, height }), ..Edit::default() };
        let fault = edit(&png, Format::Png, &change, &limits()).err();
        assert_eq!(fault, Some(Fault::Outside { width: 80, height: 40 }), "{outside:?}");
    }
}

#[test]
fn broken_images_are_refused_and_leave_nothing_behind() {
    let picture = noise(600, 400);
    let jpeg = picture.encode(Output::Jpeg, 90).unwrap();
    let png = picture.encode(Output::Png, 90).unwrap();
    let webp = picture.encode(Output::WebP, 90).unwrap();
    let avif = picture.encode(Output::Avif, 50).unwrap();
    let mut bent = png.clone();
    bent[png.len() / 2] ^= 0x55;
    // One that is not made smaller takes another way through libvips.
    let little = noise(24, 18).encode(Output::Png, 90).unwrap();
    let mut little_bent = little.clone();
    little_bent[little.len() / 2] ^= 0x55;
    let little_jpeg = noise(24, 18).encode(Output::Jpeg, 90).unwrap();
    let cases: Vec<(&[u8], Format)> = vec![
        (&jpeg[..jpeg.len() / 2], Format::Jpeg),
        (&png[..png.len() / 2], Format::Png),
        (&webp[..webp.len() / 2], Format::WebP),
        (&avif[..avif.len() / 2], Format::Heif),
        (&bent, Format::Png),
        (&little[..little.len() / 2], Format::Png),
        (&little_bent, Format::Png),
        (&little_jpeg[..little_jpeg.len() / 2], Format::Jpeg),
        (&jpeg, Format::Png),
        (b"GIF89a", Format::Gif),
        (b"", Format::Jpeg),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", Format::Png),
        (b"%PDF-1.7", Format::Png),
    ];
    for (bytes, format) in cases {
        let told = thumbnail(bytes, format, BOX, &limits()).map(|p| p.width());
        assert!(matches!(told, Err(Fault::Unreadable(_))), "{format:?} {}: {told:?}", bytes.len());
    }
}

#[test]
fn pixels_are_counted_before_they_are_decoded() {
    let png = corners(600, 400).encode(Output::Png, 90).unwrap();
    let few = Limits { pixels: 600 * 400 - 1, ..limits() };
    assert_eq!(
        thumbnail(&png, Format::Png, BOX, &few).err(),
        Some(Fault::TooLarge { width: 600, height: 400 })
    );
}

#[test]
fn decoding_ends_at_its_deadline() {
    let png = noise(2000, 1500).encode(Output::Png, 90).unwrap();
    let past = Limits { deadline: Instant::now(), ..limits() };
    assert_eq!(thumbnail(&png, Format::Png, BOX, &past).err(), Some(Fault::Late));
    let begun = Instant::now();
    let soon = Limits { deadline: begun + Duration::from_millis(3), ..limits() };
    let turn = Edit { turn: Turn::Right, ..Edit::default() };
    assert_eq!(edit(&png, Format::Png, &turn, &soon).err(), Some(Fault::Late));
}

#[test]
fn threads_work_side_by_side() {
    let jpeg = corners(900, 600).encode(Output::Jpeg, 90).unwrap();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..10 {
                    let small = thumbnail(&jpeg, Format::Jpeg, BOX, &limits()).unwrap();
                    assert_eq!((small.width(), small.height()), (30, 20));
                }
                leave_thread();
            });
        }
    });
}
