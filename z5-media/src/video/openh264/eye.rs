//! A sink that decodes what comes, judges it, and keeps snapshots and a film of what it saw.

use std::fs::File;
use std::io::BufWriter;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::{CodecError, PictureDecoder};
use crate::clock::{self, WallAnchor};
use crate::engine::simulated;
use crate::sink::SinkError;
use crate::stats::SeenFigures;
use crate::video::feed::FrameSink;
use crate::video::{Picture, Seen, SteadyFilm, VideoFrame, VideoSink, frames, write_png};

/// Least time between two snapshots.
const SNAPSHOT_EVERY: Duration = Duration::from_secs(2);

/// A sink that decodes what comes and judges it: [`VideoSink::seen`].
#[derive(Debug)]
pub struct Eye {
    frames: FrameSink,
    seen: Arc<Mutex<Seen>>,
}

/// What an eye keeps of what it sees.
#[derive(Debug, Default)]
pub struct Kept {
    /// A PNG file with the first picture and from then on, every two seconds, the latest.
    pub snapshot: Option<PathBuf>,
    /// A Y4M file of all of them, at a steady rate (see [`SteadyFilm`]). When it cannot be written any more, a warning is logged.
    pub film: Option<File>,
}

/// Decodes, judges and keeps, picture by picture.
struct Sight {
    decoder: PictureDecoder,
    snapshots: Option<Snapshots>,
    film: Option<SteadyFilm<BufWriter<File>>>,
}

impl Sight {
    fn new(kept: Kept) -> Result<Self, CodecError> {
        Ok(Self {
            decoder: PictureDecoder::new()?,
            snapshots: kept.snapshot.map(|path| Snapshots { path, last: None }),
            film: kept.film.map(|file| SteadyFilm::new(BufWriter::new(file))),
        })
    }

    /// Decodes an access unit; what is seen goes to `note`.
    fn look(
        &mut self,
        (unit, timestamp): (&[u8], u32),
        now: impl FnOnce() -> Instant,
        note: impl FnOnce(Result<&Picture, Undecodable>, Instant),
    ) {
        let decoded = self.decoder.decode(unit);
        let now = now();
        match decoded {
            Ok(Some(picture)) => {
                note(Ok(&picture), now);
                if let Some(snapshots) = &mut self.snapshots {
                    snapshots.take(&picture, now);
                }
                if let Some(Err(error)) = self.film.as_mut().map(|film| film.take(&picture, timestamp)) {
                    tracing::error!(%error, "no more pictures are kept");
                    self.film = None;
                }
            }
            Ok(None) => {}
            Err(_) => note(Err(Undecodable), now),
        }
    }
}

/// An access unit that makes no picture.
struct Undecodable;

/// A sink that judges decoded pictures and keeps what it is asked to. The thread ends with the sink.
///
/// # Errors
/// When OpenH264 refuses or there is no thread.
pub fn eye(kept: Kept) -> Result<(Eye, JoinHandle<()>), CodecError> {
    let (frames, pictures) = frames();
    let mut sight = Sight::new(kept)?;
    let seen = Arc::new(Mutex::new(Seen::default()));
    let shared = Arc::clone(&seen);
    let anchor = WallAnchor::read();
    let thread = std::thread::Builder::new()
        .name("z5-media-eye".into())
        .spawn(move || {
            while let Ok(frame) = pictures.recv() {
                sight.look((&frame.data, frame.timestamp), clock::now, |picture, now| {
                    let mut seen = shared.lock().unwrap_or_else(PoisonError::into_inner);
                    match picture {
                        Ok(picture) => seen.picture(picture, Duration::from_nanos(anchor.unix_nanos(now))),
                        Err(Undecodable) => seen.undecodable(),
                    }
                });
            }
        })
        .map_err(|error| CodecError { why: error.to_string() })?;
    Ok((Eye { frames, seen }, thread))
}

impl VideoSink for Eye {
    fn write(&mut self, frame: &VideoFrame<'_>) -> Result<(), SinkError> {
        self.frames.write(frame)
    }

    fn seen(&self) -> Option<SeenFigures> {
        Some(self.seen.lock().unwrap_or_else(PoisonError::into_inner).figures())
    }
}

/// The same without a thread, in the time of a network in memory: each picture is decoded as it comes, which takes none of that time.
///
/// # Errors
/// When OpenH264 refuses.
pub fn simulated_eye(kept: Kept, network: &simulated::Network) -> Result<Box<dyn VideoSink>, CodecError> {
    Ok(Box::new(StillEye { sight: Sight::new(kept)?, seen: Seen::default(), anchor: network.anchor() }))
}

struct StillEye {
    sight: Sight,
    seen: Seen,
    anchor: WallAnchor,
}

impl VideoSink for StillEye {
    fn write(&mut self, frame: &VideoFrame<'_>) -> Result<(), SinkError> {
        let Self { sight, seen, anchor } = self;
        sight.look(
            (frame.data, frame.timestamp),
            || frame.at,
            |picture, now| match picture {
                Ok(picture) => seen.picture(picture, Duration::from_nanos(anchor.unix_nanos(now))),
                Err(Undecodable) => seen.undecodable(),
            },
        );
        Ok(())
    }

    fn seen(&self) -> Option<SeenFigures> {
        Some(self.seen.figures())
    }
}

struct Snapshots {
    path: PathBuf,
    last: Option<Instant>,
}

impl Snapshots {
    fn take(&mut self, picture: &Picture, now: Instant) {
        if self.last.is_some_and(|last| now.saturating_duration_since(last) < SNAPSHOT_EVERY) {
            return;
        }
        self.last = Some(now);
        let mut bytes = Vec::new();
        let written = write_png(picture, &mut bytes).and_then(|()| std::fs::write(&self.path, bytes));
        if let Err(error) = written {
            tracing::warn!(path = %self.path.display(), %error, "a snapshot was not written");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::BufReader;

    use super::*;
    use crate::codec::h264::nal_units;
    use crate::video::Y4mReader;

    #[test]
    fn an_eye_judges_what_it_sees_and_takes_snapshots() {
        let dir = tempfile::tempdir().unwrap();
        let (png, y4m) = (dir.path().join("seen.png"), dir.path().join("seen.y4m"));
        let film = Some(File::create(&y4m).unwrap());
        let (mut eye, thread) = eye(Kept { snapshot: Some(png.clone()), film }).unwrap();
        for (number, unit) in film_units().into_iter().enumerate() {
            let key_frame = nal_units(&unit).any(|nal| nal[0] & 0x1f == 5);
            // The decoder is behind: a sink never waits for it.
            let frame =
                VideoFrame { timestamp: 3600 * number as u32, data: &unit, key_frame, at: clock::now() };
            eye.write(&frame).unwrap();
        }
        drop(eye.frames);
        thread.join().unwrap();
        let seen = eye.seen.lock().unwrap().figures();
        assert!(seen.decoded >= 25 && seen.changed + 1 >= seen.decoded, "{seen:?}");
        assert_eq!((seen.undecodable, seen.stamped), (0, seen.decoded));
        assert!(std::fs::read(png).unwrap().starts_with(b"\x89PNG"));
        let mut kept = Y4mReader::new(BufReader::new(File::open(y4m).unwrap())).unwrap();
        let mut last = None;
        for _ in 0..seen.decoded {
            let stamp = kept.next_picture().unwrap().unwrap().stamp().unwrap();
            assert!(last.is_none_or(|last| last <= stamp.number));
            last = Some(stamp.number);
        }
    }

    fn film_units() -> Vec<Vec<u8>> {
        let mut source = crate::video::AnnexBSource::of(crate::video::FILM.to_vec()).unwrap();
        let mut units = Vec::new();
        loop {
            let mut unit = Vec::new();
            match crate::video::VideoSource::next(&mut source, Duration::from_secs(3600), &mut unit) {
                crate::video::VideoPoll::Picture { .. } => units.push(unit),
                crate::video::VideoPoll::Wait { .. } | crate::video::VideoPoll::Ended => return units,
            }
        }
    }
}
