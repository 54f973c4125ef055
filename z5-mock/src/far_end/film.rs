//! The built-in film as RTP payloads (RFC 6184 packetization mode 1), written apart from z5-media so that the two can disagree.

use z5_media::codec::h264::nal_units;
use z5_media::video::FILM;

/// Bytes of a payload at most.
const PAYLOAD: usize = 1100;
/// RTP timestamp units of a picture: 25 a second.
pub(super) const PICTURE_TICKS: u32 = 90_000 / 25;

/// Pictures one after the other, again and again.
pub(super) struct Film {
    pictures: Vec<Vec<&'static [u8]>>,
    next: usize,
}

impl Film {
    pub(super) fn new() -> Self {
        let mut pictures = Vec::new();
        let mut units = Vec::new();
        for unit in nal_units(FILM) {
            units.push(unit);
            // One slice per picture, behind its parameter sets.
            if matches!(unit[0] & 0x1f, 1 | 5) {
                pictures.push(std::mem::take(&mut units));
            }
        }
        Self { pictures, next: 0 }
    }

    /// The next picture is a key frame: that is how the film begins.
    pub(super) fn begin_anew(&mut self) {
        self.next = 0;
    }

    /// The payloads of the next picture.
    pub(super) fn next_picture(&mut self) -> Vec<Vec<u8>> {
        let units = self.pictures.get(self.next).map(Vec::as_slice).unwrap_or_default();
        self.next = (self.next + 1) % self.pictures.len().max(1);
        units.iter().flat_map(|unit| payloads(unit)).collect()
    }
}

/// A NAL unit as it is, or in fragments (FU-A, section 5.8).
fn payloads(unit: &[u8]) -> Vec<Vec<u8>> {
    let Some((head, body)) = unit.split_first().filter(|_| unit.len() > PAYLOAD) else {
        return vec![unit.to_vec()];
    };
    let parts = body.chunks(PAYLOAD - 2);
    let last = parts.len() - 1;
    let fragment = |(at, part): (usize, &[u8])| {
        let (start, end) = (u8::from(at == 0) << 7, u8::from(at == last) << 6);
        [&[head & 0x60 | 28, start | end | head & 0x1f], part].concat()
    };
    parts.enumerate().map(fragment).collect()
}

#[cfg(test)]
mod tests {
    use z5_media::codec::h264::Assembler;

    use super::*;

    #[test]
    fn another_hand_puts_the_film_together_again() {
        let mut film = Film::new();
        assert_eq!(film.pictures.len(), 50);
        let mut assembler = Assembler::default();
        let mut sequence = 0;
        let (mut pictures, mut key_frames) = (0, 0);
        for picture in 0..60 {
            let payloads = film.next_picture();
            for (at, payload) in payloads.iter().enumerate() {
                let marker = at + 1 == payloads.len();
                if let Some(unit) =
                    assembler.take(sequence, picture * PICTURE_TICKS, marker, payload).unwrap()
                {
                    assert!(unit.complete);
                    pictures += 1;
                    key_frames += usize::from(unit.key_frame);
                }
                sequence += 1;
            }
        }
        assert_eq!((pictures, key_frames), (60, 3));
    }
}
