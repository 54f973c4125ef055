//! Makes the film that stands in `assets/film.h264`: `cargo run --example film --features openh264 > z5-media/assets/film.h264`.

#![cfg_attr(feature = "openh264", expect(clippy::unwrap_used, reason = "a tool, not part of the library"))]
#![cfg_attr(
    not(feature = "openh264"),
    expect(clippy::print_stderr, reason = "a tool, not part of the library")
)]

#[cfg(feature = "openh264")]
fn main() {
    use std::io::Write;
    use std::time::Duration;

    use z5_media::video::openh264::PictureEncoder;
    use z5_media::video::{Picture, Stamp};

    let mut encoder = PictureEncoder::new(25, 150_000).unwrap();
    let mut out = std::io::stdout().lock();
    for number in 0..50 {
        let mut picture = Picture::new(320, 240);
        picture.draw_pattern(Stamp { number, at: Duration::from_millis(40) * number });
        if number % 25 == 0 {
            encoder.force_key_frame();
        }
        out.write_all(&encoder.encode(&picture).unwrap()).unwrap();
    }
}

#[cfg(not(feature = "openh264"))]
fn main() {
    eprintln!("build it with --features openh264");
}
