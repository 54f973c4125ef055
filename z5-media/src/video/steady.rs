//! Received pictures as a Y4M film of a steady rate, which plays as fast as they came: one that stands still is repeated, and of
//! several in one place the latest is seen.

use std::io::{self, Write};

use super::{CLOCK_RATE, Picture, Y4mWriter};

/// Pictures a second of the film.
const RATE: u32 = 25;
/// The longest gap that is filled, in pictures: beyond ten seconds time is left out, and so is a step back.
const MOST_REPEATED: u64 = 10 * RATE as u64;

/// Writes such a film.
#[derive(Debug)]
pub struct SteadyFilm<W> {
    writer: Y4mWriter<W>,
    /// RTP timestamp of the picture before, and its time from the beginning, in units of it.
    before: Option<(u32, u64)>,
    /// Pictures in the film.
    written: u64,
    latest: Option<Picture>,
}

impl<W: Write> SteadyFilm<W> {
    /// A film that is written to `output`.
    pub fn new(output: W) -> Self {
        Self { writer: Y4mWriter::new(output, RATE), before: None, written: 0, latest: None }
    }

    /// Takes the picture of that RTP timestamp. One of another size than the first is stretched to it.
    ///
    /// # Errors
    /// What the system says.
    pub fn take(&mut self, picture: &Picture, timestamp: u32) -> io::Result<()> {
        let per_picture = u64::from(CLOCK_RATE / RATE);
        let time = match self.before {
            None => 0,
            Some((before, time)) => {
                let step = u64::from(timestamp.wrapping_sub(before));
                time + if step <= MOST_REPEATED * per_picture { step } else { per_picture }
            }
        };
        self.before = Some((timestamp, time));
        let place = (time + per_picture / 2) / per_picture;
        if let Some(latest) = &self.latest {
            while self.written < place {
                self.writer.write(latest)?;
                self.written += 1;
            }
        }
        let size = self
            .latest
            .as_ref()
            .map_or((picture.width(), picture.height()), |first| (first.width(), first.height()));
        let picture = picture.stretched_to(size);
        if self.written == place {
            self.writer.write(&picture)?;
            self.written += 1;
        }
        self.latest = Some(picture);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::video::{Stamp, Y4mReader};

    fn drawn(number: u32, size: (usize, usize)) -> Picture {
        let mut picture = Picture::new(size.0, size.1);
        picture.draw_pattern(Stamp { number, at: Duration::ZERO });
        picture
    }

    /// The numbers in the film of pictures with these timestamps, numbered from 0 on.
    fn film(timestamps: &[u32]) -> Vec<u32> {
        let mut bytes = Vec::new();
        let mut film = SteadyFilm::new(&mut bytes);
        for (number, timestamp) in timestamps.iter().enumerate() {
            film.take(&drawn(number as u32, (176, 144)), *timestamp).unwrap();
        }
        let mut reader = Y4mReader::new(&bytes[..]).unwrap();
        let mut numbers = Vec::new();
        while let Some(picture) = reader.next_picture().unwrap() {
            numbers.push(picture.stamp().unwrap().number);
        }
        numbers
    }

    #[test]
    fn a_film_plays_as_fast_as_its_pictures_came() {
        let at = |ms: u32| (u32::MAX - 20_000).wrapping_add(ms * 90);
        assert_eq!(film(&[at(0), at(40), at(80), at(120)]), [0, 1, 2, 3]);
        // A freeze is seen as one.
        assert_eq!(film(&[at(0), at(40), at(200), at(240)]), [0, 1, 1, 1, 1, 2, 3]);
        // Twice as fast, half of them have a place.
        assert_eq!(film(&[at(0), at(20), at(40), at(60), at(80)]).len(), 3);
        // Another sender's clock, an hour away and back: time is left out.
        assert_eq!(film(&[at(0), at(40), at(3_600_000), at(3_600_040), at(80)]), [0, 1, 2, 3, 4]);
    }

    #[test]
    fn pictures_of_another_size_are_stretched_to_the_first() {
        let mut bytes = Vec::new();
        let mut film = SteadyFilm::new(&mut bytes);
        for (number, size) in [(0, (352, 288)), (1, (176, 144)), (2, (704, 576))] {
            film.take(&drawn(number, size), number * 3600).unwrap();
        }
        let mut reader = Y4mReader::new(&bytes[..]).unwrap();
        for number in 0..3 {
            let picture = reader.next_picture().unwrap().unwrap();
            assert_eq!((picture.width(), picture.height()), (352, 288));
            assert_eq!(picture.stamp().map(|stamp| stamp.number), Some(number), "it can be read");
        }
    }
}
