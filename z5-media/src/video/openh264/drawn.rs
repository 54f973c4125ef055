//! Sources that encode as they go: the test pattern, a Y4M file, an embedder's raw pictures.
//!
//! Size and rate follow what the path carries and what can be made in time ([`Chooser`]), and what the far end's decoder takes
//! ([`Level`](crate::video::Level)).
//! The thread that draws and encodes begins with the stream, so that the first picture is a fresh one. In simulated time there is none:
//! each picture is drawn when it is due, by the same code, which takes none of that time.

use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::{CodecError, PictureEncoder};
use crate::clock::{self, Clock, WallAnchor};
use crate::engine::simulated;
use crate::file::{self, Limit};
use crate::video::{
    Chooser, FeedSource, Picture, Rung, Stamp, Terms, VideoFeed, VideoPoll, VideoSource, Y4mError, Y4mReader,
    feed,
};

/// Bits per second where nobody told any.
const START_RATE: u64 = 500_000;

/// It is read while it plays, so that its length does not matter.
const FILM: Limit = Limit::of("a video file", u64::MAX);

/// What a thread draws.
enum Drawing {
    Pattern(WallAnchor),
    File(Film),
    Camera(Slot),
}

/// What a source draws and encodes once it begins, within what was agreed.
struct Plan {
    /// Away when it has begun, or cannot.
    ready: Option<(Drawing, PictureEncoder)>,
    most: Rung,
    bits_per_second: u64,
}

impl Plan {
    /// The stream begins on these terms.
    fn agree(&mut self, terms: &Terms) {
        if let Some(level) = terms.level {
            self.most = level.within(self.most);
        }
        self.bits_per_second = terms.bits_per_second;
        let Some((drawing, encoder)) = self.ready.take() else { return };
        let encoder = match terms.largest_unit {
            Some(bytes) => encoder.with_largest_unit(bytes),
            None => Ok(encoder),
        };
        match encoder {
            Ok(encoder) => self.ready = Some((drawing, encoder)),
            Err(error) => tracing::error!(%error, "no pictures can be made"),
        }
    }

    /// Once: where it is drawn, for the clock that starts it.
    fn easel(&mut self) -> Option<impl FnOnce(Instant) -> Easel + use<>> {
        let (drawing, encoder) = self.ready.take()?;
        let pace = (Chooser::new(self.most, self.bits_per_second), self.bits_per_second);
        Some(move |now| Easel::new(drawing, encoder, pace, now))
    }
}

/// A source that draws and encodes on a thread of its own.
pub struct Drawn {
    plan: Plan,
    feed: Option<FeedSource>,
}

impl std::fmt::Debug for Drawn {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Drawn").field("most", &self.plan.most).finish_non_exhaustive()
    }
}

impl Drawn {
    fn new(drawing: Drawing, most: Rung) -> Result<Self, CodecError> {
        let encoder = PictureEncoder::new(most.frame_rate, START_RATE)?;
        let plan = Plan { ready: Some((drawing, encoder)), most, bits_per_second: START_RATE };
        Ok(Self { plan, feed: None })
    }

    /// The stream begins: so does the thread, once.
    fn start(&mut self) {
        let Some(easel) = self.plan.easel() else { return };
        let (feed, source) = feed();
        let thread = std::thread::Builder::new().name("z5-media-draw".into()).spawn(move || {
            if let Err(error) = draw(&feed, easel(clock::now())) {
                tracing::error!(%error, "no more pictures are made");
            }
        });
        match thread {
            Ok(_) => self.feed = Some(source),
            Err(error) => tracing::error!(%error, "no thread for pictures"),
        }
    }
}

impl VideoSource for Drawn {
    fn begin(&mut self, terms: &Terms) {
        self.plan.agree(terms);
        self.start();
    }

    fn next(&mut self, now: Duration, unit: &mut Vec<u8>) -> VideoPoll {
        self.start();
        self.feed.as_mut().map_or(VideoPoll::Ended, |feed| feed.next(now, unit))
    }

    fn want_key_frame(&mut self) {
        if let Some(feed) = &mut self.feed {
            feed.want_key_frame();
        }
    }

    fn set_target(&mut self, bits_per_second: u64) {
        if let Some(feed) = &mut self.feed {
            feed.set_target(bits_per_second);
        }
    }
}

/// The same without a thread.
struct Undisturbed {
    plan: Plan,
    easel: Option<Easel>,
    clock: Clock,
    key_frame: bool,
    target: Option<u64>,
}

impl Undisturbed {
    fn new(drawn: Drawn, network: &simulated::Network) -> Self {
        let (plan, clock) = (drawn.plan, network.clock().clone());
        Self { plan, easel: None, clock, key_frame: false, target: None }
    }

    /// Where pictures are drawn; from the first one that is asked for.
    fn easel(&mut self, now: Instant) -> Option<&mut Easel> {
        if let Some(easel) = self.plan.easel() {
            self.easel = Some(easel(now));
        }
        self.easel.as_mut()
    }
}

impl VideoSource for Undisturbed {
    fn begin(&mut self, terms: &Terms) {
        self.plan.agree(terms);
    }

    fn next(&mut self, now: Duration, unit: &mut Vec<u8>) -> VideoPoll {
        let at = self.clock.now();
        let (wish, target) = (std::mem::take(&mut self.key_frame), self.target);
        let Some(easel) = self.easel(at) else { return VideoPoll::Ended };
        if at < easel.due {
            let until = now + (easel.due - at);
            self.key_frame |= wish;
            return VideoPoll::Wait { until };
        }
        match easel.next(at, target, wish) {
            Ok(Some(next)) => {
                *unit = next;
                VideoPoll::Picture { at: now }
            }
            Ok(None) => VideoPoll::Wait { until: now + easel.due.saturating_duration_since(at) },
            Err(error) => {
                tracing::error!(%error, "no more pictures are made");
                self.easel = None;
                VideoPoll::Ended
            }
        }
    }

    fn want_key_frame(&mut self) {
        self.key_frame = true;
    }

    fn set_target(&mut self, bits_per_second: u64) {
        self.target = Some(bits_per_second).filter(|target| *target > 0);
    }
}

/// [`pattern()`] in the time of a network in memory.
///
/// # Errors
/// When OpenH264 refuses.
pub fn simulated_pattern(
    most: Rung,
    network: &simulated::Network,
) -> Result<Box<dyn VideoSource>, CodecError> {
    let drawn = Drawn::new(Drawing::Pattern(network.anchor()), most)?;
    Ok(Box::new(Undisturbed::new(drawn, network)))
}

/// [`y4m`] in the time of a network in memory.
///
/// # Errors
/// When it cannot be read, or OpenH264 refuses.
pub fn simulated_y4m(
    path: impl AsRef<Path>,
    rate: Option<f64>,
    network: &simulated::Network,
) -> Result<Box<dyn VideoSource>, Y4mError> {
    Ok(Box::new(Undisturbed::new(y4m(path, rate)?, network)))
}

/// The test pattern, at most as large and fast as `most`. Its stamps count the milliseconds of the wall clock.
///
/// # Errors
/// When OpenH264 refuses.
pub fn pattern(most: Rung) -> Result<Drawn, CodecError> {
    Drawn::new(Drawing::Pattern(WallAnchor::read()), most)
}

/// A Y4M file, played again and again at `rate` pictures a second, or at its own.
///
/// # Errors
/// When it cannot be read, or OpenH264 refuses.
pub fn y4m(path: impl AsRef<Path>, rate: Option<f64>) -> Result<Drawn, Y4mError> {
    let film = Film::open(path.as_ref(), rate)?;
    let frame_rate = film.rate.round().clamp(1.0, 60.0) as u32;
    let most = Rung { width: film.size.0 as u32, height: film.size.1 as u32, frame_rate };
    Drawn::new(Drawing::File(film), most)
        .map_err(|error| Y4mError::Unreadable(std::io::Error::other(error.to_string())))
}

type Slot = Arc<Mutex<Option<Picture>>>;

/// The embedder's end of [`camera`].
#[derive(Debug, Clone)]
pub struct Camera(Slot);

impl Camera {
    /// Hands over a picture; one that was not encoded yet is replaced. Never waits for the encoder. `false` when the stream
    /// has ended.
    pub fn show(&self, picture: Picture) -> bool {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(picture);
        Arc::strong_count(&self.0) > 1
    }
}

/// An embedder's raw pictures, at most as large and fast as `most`; the latest wins.
///
/// # Errors
/// When OpenH264 refuses.
pub fn camera(most: Rung) -> Result<(Camera, Drawn), CodecError> {
    let slot = Slot::default();
    let drawn = Drawn::new(Drawing::Camera(Arc::clone(&slot)), most)?;
    Ok((Camera(slot), drawn))
}

/// A Y4M file that is played.
struct Film {
    path: PathBuf,
    reader: Y4mReader<BufReader<File>>,
    rate: f64,
    size: (usize, usize),
    /// Pictures read.
    read: u64,
    latest: Picture,
}

impl Film {
    fn open(path: &Path, rate: Option<f64>) -> Result<Self, Y4mError> {
        let film = file::open(path, FILM).map_err(std::io::Error::from)?;
        let mut reader = Y4mReader::new(BufReader::new(film))?;
        let empty = || Y4mError::Header { seen: "no picture".into() };
        let latest = reader.next_picture()?.ok_or_else(empty)?;
        let rate = rate.unwrap_or_else(|| reader.frame_rate());
        let size = (latest.width(), latest.height());
        Ok(Self { path: path.to_owned(), reader, rate, size, read: 1, latest })
    }

    /// The picture of that moment.
    fn at(&mut self, elapsed: Duration) -> Result<Picture, CodecError> {
        let failed = |error: Y4mError| CodecError { why: error.to_string() };
        let wanted = (elapsed.as_secs_f64() * self.rate) as u64 + 1;
        while self.read < wanted {
            match self.reader.next_picture().map_err(failed)? {
                Some(picture) => self.latest = picture,
                None => {
                    let begun_anew = Self::open(&self.path, Some(self.rate)).map_err(failed)?;
                    (self.reader, self.latest) = (begun_anew.reader, begun_anew.latest);
                }
            }
            self.read += 1;
        }
        Ok(self.latest.clone())
    }
}

/// Draws and encodes picture after picture.
struct Easel {
    drawing: Drawing,
    encoder: PictureEncoder,
    chooser: Chooser,
    start_rate: u64,
    start: Instant,
    /// When the next picture is.
    due: Instant,
    number: u32,
}

impl Easel {
    fn new(
        drawing: Drawing,
        encoder: PictureEncoder,
        (chooser, start_rate): (Chooser, u64),
        start: Instant,
    ) -> Self {
        Self { drawing, encoder, chooser, start_rate, start, due: start, number: 0 }
    }

    /// The picture of this moment; none when a camera has none.
    fn next(
        &mut self,
        now: Instant,
        target: Option<u64>,
        key_frame: bool,
    ) -> Result<Option<Vec<u8>>, CodecError> {
        let at = self.chooser.next(target.unwrap_or(self.start_rate), now);
        self.encoder.set_rate(at.frame_rate, self.chooser.bits_per_second())?;
        if key_frame {
            self.encoder.force_key_frame();
        }
        let picture = match &mut self.drawing {
            Drawing::Pattern(anchor) => {
                let mut picture = Picture::new(at.width as usize, at.height as usize);
                let wall = Duration::from_nanos(anchor.unix_nanos(now));
                picture.draw_pattern(Stamp { number: self.number, at: wall });
                Some(picture)
            }
            Drawing::File(film) => Some(film.at(now - self.start)?.scaled_to(at)),
            Drawing::Camera(slot) => {
                let latest = slot.lock().unwrap_or_else(PoisonError::into_inner).take();
                latest.map(|picture| picture.scaled_to(at))
            }
        };
        self.number = self.number.wrapping_add(1);
        self.due = now.max(self.due + Duration::from_secs(1) / at.frame_rate.max(1));
        picture.map(|picture| self.encoder.encode(&picture)).transpose()
    }
}

/// Draws and encodes until the stream has ended.
fn draw(feed: &VideoFeed, mut easel: Easel) -> Result<(), CodecError> {
    loop {
        let mut now = clock::now();
        while now < easel.due {
            std::thread::park_timeout(easel.due - now);
            now = clock::now();
        }
        let unit = easel.next(now, feed.target(), feed.take_key_frame_wish())?;
        if unit.is_some() {
            easel.chooser.took(clock::now().saturating_duration_since(now));
        }
        match unit.map(|unit| feed.push(unit)) {
            None if feed.is_ended() => return Ok(()),
            None | Some(Ok(())) => {}
            Some(Err(full)) if full.ended => return Ok(()),
            // The next picture would build upon one that was never sent.
            Some(Err(_)) => easel.encoder.force_key_frame(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::h264::nal_units;
    use crate::video::feed::LOOK;
    use crate::video::{Level, Y4mWriter, sequence_parameters};

    const VGA: Rung = Rung { width: 640, height: 480, frame_rate: 30 };

    /// The next picture of a source that lives on another thread.
    fn next(source: &mut Drawn) -> Vec<u8> {
        let mut unit = Vec::new();
        while source.next(Duration::ZERO, &mut unit) == (VideoPoll::Wait { until: LOOK }) {
            std::thread::park_timeout(LOOK);
        }
        unit
    }

    fn width(unit: &[u8]) -> Option<u32> {
        nal_units(unit).find_map(sequence_parameters).map(|set| set.width)
    }

    #[test]
    fn the_pattern_follows_its_target_and_gives_key_frames_when_asked() {
        let mut source = pattern(VGA).unwrap();
        let key = |unit: &[u8]| nal_units(unit).any(|nal| nal[0] & 0x1f == 5);
        assert!(key(&next(&mut source)) && !key(&next(&mut source)));
        source.want_key_frame();
        assert!((0..20).any(|_| key(&next(&mut source))));
        source.set_target(150_000);
        assert!((0..20).any(|_| width(&next(&mut source)).is_some_and(|width| width < 640)));
    }

    #[test]
    fn what_the_far_end_can_decode_bounds_the_picture() {
        let mut source = pattern(VGA).unwrap();
        let (level, largest_unit) = (Some(Level::of(12)), Some(1100));
        source.begin(&Terms { level, largest_unit, bits_per_second: 384_000 });
        let unit = next(&mut source);
        assert_eq!(width(&unit), Some(320));
        assert!(nal_units(&unit).all(|unit| unit.len() <= 1100));
    }

    #[test]
    fn in_simulated_time_each_picture_is_drawn_when_it_is_due_and_carries_that_time() {
        let begins = Duration::from_secs(1_800_000_000);
        let now = Arc::new(Mutex::new(clock::now()));
        let clock = Arc::clone(&now);
        let network = simulated::Network::new(move || *clock.lock().unwrap(), begins, || ());
        let mut source =
            simulated_pattern(Rung { width: 320, height: 240, frame_rate: 25 }, &network).unwrap();
        let mut decoder = super::super::PictureDecoder::new().unwrap();
        let (start, mut at, mut stamps, mut keys) = (*now.lock().unwrap(), Duration::ZERO, Vec::new(), 0);
        while at < Duration::from_secs(1) {
            *now.lock().unwrap() = start + at;
            let mut unit = Vec::new();
            match source.next(at, &mut unit) {
                VideoPoll::Picture { at: drawn } => {
                    assert_eq!(drawn, at);
                    keys += usize::from(nal_units(&unit).any(|nal| nal[0] & 0x1f == 5));
                    stamps.push(decoder.decode(&unit).unwrap().unwrap().stamp().unwrap());
                }
                VideoPoll::Wait { until } => at = until,
                VideoPoll::Ended => panic!("it has no end"),
            }
            if stamps.len() == 10 {
                source.want_key_frame();
            }
        }
        let drawn: Vec<Stamp> =
            (0..25).map(|number| Stamp { number, at: begins + Duration::from_millis(40) * number }).collect();
        assert_eq!(stamps.iter().map(|stamp| stamp.number).collect::<Vec<_>>(), (0..25).collect::<Vec<_>>());
        let ms = |stamp: &Stamp| stamp.at.as_millis() as u32;
        assert_eq!(stamps.iter().map(ms).collect::<Vec<_>>(), drawn.iter().map(ms).collect::<Vec<_>>());
        assert_eq!(keys, 2, "the first, and the one that was asked for");
    }

    #[test]
    fn a_y4m_file_and_an_embedders_pictures_are_encoded() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("film.y4m");
        let mut writer = Y4mWriter::new(File::create(&path).unwrap(), 50);
        let mut picture = Picture::new(176, 144);
        for number in 0..3 {
            picture.draw_pattern(Stamp { number, at: Duration::ZERO });
            writer.write(&picture).unwrap();
        }
        let mut film = y4m(&path, None).unwrap();
        // More pictures than the file has: it begins anew.
        let mut units: Vec<_> = (0..5).map(|_| next(&mut film)).collect();
        assert_eq!(width(&units.remove(0)), Some(176));
        assert!(units.iter().all(|unit| !unit.is_empty()));
        std::fs::write(&path, "no film").unwrap();
        assert!(y4m(&path, None).is_err());

        let (eye, mut source) = camera(VGA).unwrap();
        assert!(eye.show(Picture::new(1280, 720)));
        assert_eq!(width(&next(&mut source)), Some(740));
        drop(source);
        // The thread notices at its next picture.
        while eye.show(Picture::new(16, 16)) {
            std::thread::park_timeout(LOOK);
        }
    }
}
