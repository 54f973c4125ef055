//! Calls with video: to the far ends of the carrier, and between two sessions through the relay.

use std::sync::mpsc::Receiver;
use std::time::Duration;

use tempfile::TempDir;
use tokio::sync::mpsc;
use z5_core::events::MediaKind;
use z5_core::{AudioIn, AudioOut, CallId, CallMedia, CallRequest, Config, EventKind, VideoIn, VideoOut};
use z5_media::video::{FILM, OwnedFrame, VideoFeed, blank, feed, frames};
use z5_mock::{Carrier, Impairment};

use crate::support::{Client, Ear, carrier, config, hear};

/// No single picture takes longer.
const PATIENCE: Duration = Duration::from_secs(10);
/// Pictures of the built-in film.
const PICTURES: usize = 50;

/// Pictures of a call, read away from the runtime that carries the mock.
struct Screen(Option<Receiver<OwnedFrame>>);

impl Screen {
    /// Media whose pictures come to a screen.
    fn new(video_in: VideoIn) -> (CallMedia, Self) {
        let (sink, pictures) = frames();
        let video_out = VideoOut::Custom(Box::new(sink));
        (CallMedia { video_in: Some(video_in), video_out, ..CallMedia::default() }, Self(Some(pictures)))
    }

    /// The next pictures up to one that is wanted, that one included.
    async fn until(&mut self, wanted: impl Fn(&OwnedFrame) -> bool + Send + 'static) -> Vec<OwnedFrame> {
        let pictures = self.0.take().unwrap();
        let read = move || {
            let mut seen = Vec::new();
            loop {
                let picture = pictures.recv_timeout(PATIENCE).expect("a picture in time");
                let done = wanted(&picture);
                seen.push(picture);
                if done {
                    return (pictures, seen);
                }
            }
        };
        let (pictures, seen) = tokio::task::spawn_blocking(read).await.expect("pictures come");
        self.0 = Some(pictures);
        seen
    }

    async fn take(&mut self, count: usize) -> Vec<OwnedFrame> {
        let mut seen = Vec::new();
        while seen.len() < count {
            seen.extend(self.until(|_| true).await);
        }
        seen
    }
}

/// Alice and Bob in a call, with this media of each.
async fn call(
    carrier: &Carrier,
    of_alice: CallMedia,
    of_bob: CallMedia,
) -> ((Client, CallId), (Client, CallId)) {
    let usual = |account| config(carrier, account, |_| {});
    call_with((usual("alice"), of_alice), (usual("bob"), of_bob)).await
}

/// The same with a configuration of each.
async fn call_with(
    (of_alice, alices): ((Config, TempDir), CallMedia),
    (of_bob, bobs): ((Config, TempDir), CallMedia),
) -> ((Client, CallId), (Client, CallId)) {
    let mut alice = Client::ready(of_alice).await;
    let mut bob = Client::ready(of_bob).await;
    let call = alice.session.call(CallRequest::to("+15555550102").with(alices));
    let incoming = bob.until("incoming", |kind| matches!(kind, EventKind::Incoming { .. })).await;
    let EventKind::Incoming { call: at_bob, video: true, .. } = incoming else { panic!("{incoming:?}") };
    bob.session.answer(at_bob, bobs);
    for (client, call) in [(&mut alice, call), (&mut bob, at_bob)] {
        let stands = move |kind: &EventKind| matches!(kind, EventKind::CallEstablished { call: of, .. } if *of == call);
        client.until("established", stands).await;
    }
    ((alice, call), (bob, at_bob))
}

impl Client {
    /// Ends the call and the session; the figures of its video.
    async fn figures(mut self, call: CallId) -> z5_core::StreamStats {
        self.session.hangup(call);
        let ended = self.until("ended", |kind| matches!(kind, EventKind::CallEnded { .. })).await;
        let EventKind::CallEnded { report, .. } = ended else { unreachable!() };
        self.stop().await;
        report.video.expect("video was carried")
    }
}

/// The film from its first picture on, as far as it is part of it.
fn is_of_the_film(picture: &OwnedFrame) -> bool {
    FILM.windows(picture.data.len()).any(|part| part == picture.data)
}

#[tokio::test]
async fn another_sound_and_other_pictures_are_sent_within_a_call() {
    let carrier = carrier(|carrier| carrier).await;
    let mut client = Client::ready(config(&carrier, "alice", |_| {})).await;
    let (media, mut screen) = Screen::new(VideoIn::Film);
    let (ear, mut sound) = mpsc::unbounded_channel();
    let tone = |hz| AudioIn::Tone { hz, level_dbm0: -10.0 };
    let media = CallMedia { audio_in: tone(400.0), audio_out: AudioOut::Custom(Box::new(Ear(ear))), ..media };
    let call = client.session.call(CallRequest::to("+15555550900").with(media));
    client.until("a picture", |kind| matches!(kind, EventKind::FirstPicture { .. })).await;
    hear(&mut sound, 400).await;
    let mut seen = screen.take(2).await;
    assert!(seen.iter().all(is_of_the_film));

    client.session.set_audio_in(call, tone(1000.0));
    client.session.set_video_in(call, VideoIn::Blank);
    hear(&mut sound, 1000).await;
    seen.extend(screen.until(|picture| !is_of_the_film(picture)).await);
    assert!(seen.last().is_some_and(|picture| picture.key_frame));
    let later = |pair: &[OwnedFrame]| (pair[1].timestamp.wrapping_sub(pair[0].timestamp) as i32) > 0;
    assert!(seen.windows(2).all(later), "time goes on");

    // What cannot be sent is told, and nothing changes.
    let nowhere = std::path::PathBuf::from("no-such-file");
    client.session.set_video_in(call, VideoIn::Off);
    client.session.set_video_in(call, VideoIn::File { path: nowhere.clone(), rate: None });
    client.session.set_audio_in(call, AudioIn::Wav { path: nowhere, looping: false });
    client.session.set_audio_in(call, AudioIn::Echo);
    for code in ["call.video-source", "call.video-source", "call.audio-file", "call.media"] {
        let refused = client.until("refused", |kind| matches!(kind, EventKind::CommandRefused { .. })).await;
        let EventKind::CommandRefused { error, .. } = refused else { unreachable!() };
        assert_eq!(error.code(), code, "{error}");
    }
    hear(&mut sound, 1000).await;
    client.session.set_video_in(call, VideoIn::Film);
    screen.until(is_of_the_film).await;
    let figures = client.figures(call).await;
    assert_eq!(figures.video.map(|video| video.pictures_left_out), Some(0));
}

#[tokio::test]
async fn an_echo_call_carries_video_both_ways_and_records_it() {
    let carrier = carrier(|carrier| carrier).await;
    let mut client = Client::ready(config(&carrier, "alice", |_| {})).await;
    let folder = tempfile::tempdir().unwrap();
    let film = folder.path().join("seen.h264");
    let video_out = VideoOut::Watched { film: Some(film.clone()), snapshot: None, pictures: None };
    let media = CallMedia { video_in: Some(VideoIn::Film), video_out, ..CallMedia::default() };
    let call = client.session.call(CallRequest::to("+15555550900").with(media));
    client.until("a picture", |kind| matches!(kind, EventKind::FirstPicture { .. })).await;
    let figures = client.figures(call).await;
    let video = figures.video.expect("pictures");
    assert!(video.pictures_sent >= 1 && video.pictures_received >= 1, "{video:?}");
    assert_eq!((video.width, video.height), (Some(320), Some(240)));
    let kept = std::fs::read(film).unwrap();
    assert!(FILM.starts_with(&kept) && !kept.is_empty(), "{} bytes", kept.len());
}

#[tokio::test]
async fn an_announcement_shows_its_film() {
    let carrier = carrier(|carrier| carrier).await;
    let client = Client::ready(config(&carrier, "alice", |_| {})).await;
    let (media, mut screen) = Screen::new(VideoIn::Blank);
    let call = client.session.call(CallRequest::to("+15555550906").with(media));
    let seen = screen.take(10).await;
    assert!(seen[0].key_frame && seen.iter().all(is_of_the_film));
    let figures = client.figures(call).await;
    assert_eq!(figures.lost, Some(0), "{figures:?}");
}

#[tokio::test]
async fn two_sessions_see_each_other() {
    let carrier = carrier(|carrier| carrier).await;
    let (of_alice, mut at_alice) = Screen::new(VideoIn::Film);
    let (of_bob, mut at_bob) = Screen::new(VideoIn::Blank);
    let ((alice, call), (bob, _)) = call(&carrier, of_alice, of_bob).await;
    let seen = at_bob.take(PICTURES).await;
    let film: Vec<u8> = seen.into_iter().flat_map(|picture| picture.data).collect();
    assert!(film == FILM, "the film is the same byte for byte");
    assert_eq!(at_alice.take(1).await[0].data, blank(352, 288, 0));
    let sent = alice.figures(call).await;
    assert!(sent.video.is_some_and(|video| video.pictures_sent >= PICTURES as u64), "{sent:?}");
    bob.stop().await;
}

#[tokio::test]
async fn lost_packets_of_video_are_asked_for_and_come_again() {
    let impairment = Impairment { loss: 0.08, ..Impairment::default() };
    let carrier = carrier(|carrier| carrier.impairment(impairment)).await;
    let (of_alice, _) = Screen::new(VideoIn::Film);
    let (of_bob, mut at_bob) = Screen::new(VideoIn::Blank);
    let ((alice, call), (bob, at)) = call(&carrier, of_alice, of_bob).await;
    at_bob.take(PICTURES).await;
    let seen = bob.figures(at).await;
    let asked = seen.feedback.expect("feedback");
    assert!(asked.nacks_sent > 0 && asked.packets_recovered > 0, "{asked:?}");
    let mut alice = alice;
    let ended = alice.until("ended", |kind| matches!(kind, EventKind::CallEnded { .. })).await;
    let EventKind::CallEnded { report, call: of, .. } = ended else { unreachable!() };
    assert_eq!(of, call);
    let answered = report.video.and_then(|video| video.feedback).expect("feedback");
    assert!(answered.packets_resent >= asked.packets_recovered, "{answered:?} {asked:?}");
    alice.stop().await;
}

/// A picture that builds upon others.
const INTER: [u8; 8] = [0, 0, 0, 1, 0x41, 0x88, 7, 7];

/// The first picture of the film.
fn key_frame() -> Vec<u8> {
    blank(320, 240, 1)
}

/// Gives a key frame. The feed may still be full of what was given before.
async fn give_key_frame(feed: &VideoFeed) {
    while feed.push(key_frame()).is_err() {
        tokio::task::yield_now().await;
    }
}

/// Gives pictures until a key frame is wanted.
async fn until_wish(feed: &VideoFeed) {
    while !feed.take_key_frame_wish() {
        let _ = feed.push(INTER.to_vec());
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_picture_that_stands_still_is_asked_for_and_given() {
    let carrier = carrier(|carrier| carrier).await;
    let (feed, source) = feed();
    let (of_alice, _) = Screen::new(VideoIn::Custom(Box::new(source)));
    let (of_bob, mut at_bob) = Screen::new(VideoIn::Off);
    let of_bob = CallMedia { video_in: Some(VideoIn::Blank), ..of_bob };
    let ((alice, call), (bob, at)) = call(&carrier, of_alice, of_bob).await;
    until_wish(&feed).await;
    give_key_frame(&feed).await;
    at_bob.until(|picture| picture.data == key_frame()).await;
    let seen = bob.figures(at).await;
    assert!(seen.feedback.is_some_and(|feedback| feedback.plis_sent > 0), "{seen:?}");
    let mut alice = alice;
    let over = move |kind: &EventKind| matches!(kind, EventKind::CallEnded { call: of, .. } if *of == call);
    alice.until("ended", over).await;
    alice.stop().await;
}

#[tokio::test]
async fn privacy_shows_a_blank_picture_and_then_the_source_again_without_signalling() {
    let carrier = carrier(|carrier| carrier).await;
    let (of_alice, _) = Screen::new(VideoIn::Film);
    let (of_bob, mut at_bob) = Screen::new(VideoIn::Blank);
    let ((mut alice, call), (bob, _)) = call(&carrier, of_alice, of_bob).await;
    at_bob.take(3).await;
    alice.session.mute(call, MediaKind::Video, true);
    // Of the size that went out before.
    at_bob.until(|picture| picture.data == blank(320, 240, 0)).await;
    alice.session.mute(call, MediaKind::Video, false);
    let seen = at_bob.until(is_of_the_film).await;
    assert!(seen.last().is_some_and(|picture| picture.key_frame), "the film goes on with a key frame");
    let muted =
        |kind: &EventKind| matches!(kind, EventKind::CallMuted { kind: MediaKind::Video, muted: false, .. });
    alice.until("unmuted", muted).await;
    assert!(!alice.seen.iter().any(|event| matches!(event.kind, EventKind::CallChanged { .. })));
    alice.figures(call).await;
    bob.stop().await;
}

#[tokio::test]
async fn video_on_hold_goes_on_with_a_key_frame() {
    let carrier = carrier(|carrier| carrier).await;
    let (feed, source) = feed();
    let (of_alice, _) = Screen::new(VideoIn::Custom(Box::new(source)));
    let (of_bob, mut at_bob) = Screen::new(VideoIn::Blank);
    let ((mut alice, call), (bob, _)) = call(&carrier, of_alice, of_bob).await;
    give_key_frame(&feed).await;
    at_bob.take(1).await;
    let _ = feed.take_key_frame_wish();
    let holds = |wanted| move |kind: &EventKind| matches!(kind, EventKind::CallHold { local, .. } if *local == wanted);
    alice.session.hold(call);
    alice.until("hold", holds(true)).await;
    alice.session.resume(call);
    alice.until("resumed", holds(false)).await;
    until_wish(&feed).await;
    give_key_frame(&feed).await;
    at_bob.until(|picture| picture.key_frame).await;
    alice.figures(call).await;
    bob.stop().await;
}

#[tokio::test]
async fn the_rate_that_the_far_end_takes_bounds_what_is_sent() {
    let carrier = carrier(|carrier| carrier).await;
    let (feed, source) = feed();
    let (of_alice, _) = Screen::new(VideoIn::Custom(Box::new(source)));
    let (of_bob, _) = Screen::new(VideoIn::Blank);
    let mut of_bobs = config(&carrier, "bob", |_| {});
    of_bobs.0.media.video_kbps = 150;
    let of_alices = config(&carrier, "alice", |_| {});
    let ((alice, call), (bob, _)) = call_with((of_alices, of_alice), (of_bobs, of_bob)).await;
    // b=TIAS of the answer is known before the first picture is asked for.
    until_wish(&feed).await;
    assert_eq!(feed.target(), Some(150_000));
    alice.figures(call).await;
    bob.stop().await;
}
