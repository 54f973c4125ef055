//! Video: offered, answered, refused, taken away, added, muted, and asked for by INFO.

use z5_media::FeedbackConfig;

use super::standing::AUDIO;
use super::*;
use crate::events::MediaKind;

/// A line as others write it: both packetization modes under numbers of their own.
pub(super) const VIDEO: &str = "m=video 40010 RTP/AVPF 99 100 34\r\na=rtpmap:99 H264/90000\r\n\
    a=fmtp:99 profile-level-id=42C00D;packetization-mode=1\r\na=rtpmap:100 H264/90000\r\na=fmtp:100 profile-level-id=42C00D\r\n\
    a=rtcp-fb:* nack pli\r\na=rtcp-fb:99 ccm fir\r\nb=TIAS:300000\r\n";
pub(super) const WITH_VIDEO: io::Wanted =
    io::Wanted { audio: true, text: Some(false), video: Some(true), record: false, echo: false };

pub(super) fn config(video: &str) -> String {
    format!("{CONFIG}[media]\nvideo = \"{video}\"\n")
}

impl World {
    /// One whose licence has video.
    fn with_licence(video: &str) -> Self {
        let mut world = Self::with(&config(video), false);
        world.features = Some(&["audio", "text", "video"]);
        world.start()
    }

    /// A call from the far end that stands with what was wanted of `media`.
    fn with_video(media: &str, wanted: io::Wanted) -> (Self, CallId) {
        let mut world = Self::with_licence("film");
        let call = world.ring(1, media).unwrap();
        world.establish_with(call, wanted);
        (world, call)
    }

    /// We call, and the far end answers so.
    fn called(video: &str, answer: &str) -> (Self, CallId) {
        let mut world = Self::with_licence(video);
        let call = CallId(9);
        world.command(Command::Call {
            call,
            target: "bob".into(),
            wanted: SOUND,
            anonymous: false,
            location: None,
        });
        world.make_ready(call);
        world.reply(200, answer);
        (world, call)
    }

    fn video(&self) -> io::VideoPlan {
        let plan = self.plans.iter().find(|plan| plan.kind == MediaKind::Video);
        match plan.map(|plan| &plan.codec) {
            Some(io::CodecPlan::Video(plan)) => plan.clone(),
            other => panic!("no video: {other:?}"),
        }
    }

    fn last(&self, method: &str) -> &str {
        self.sent.iter().rev().find(|message| message.starts_with(method)).unwrap()
    }

    fn flows(&self) -> Vec<(MediaKind, bool, bool)> {
        let media = self.events.iter().rev().find_map(|event| {
            let (EventKind::CallChanged { media, .. } | EventKind::CallEstablished { media, .. }) = event
            else {
                return None;
            };
            Some(media)
        });
        media.unwrap().streams.iter().map(|stream| (stream.kind, stream.send, stream.receive)).collect()
    }
}

#[test]
fn video_is_offered_in_both_modes_with_feedback_and_without_parameter_sets() {
    let mut world = World::with_licence("film");
    let call = CallId(9);
    world.command(Command::Call {
        call,
        target: "bob".into(),
        wanted: SOUND,
        anonymous: false,
        location: None,
    });
    assert_eq!(world.prepared, [MediaKind::Audio, MediaKind::Text, MediaKind::Video]);
    world.make_ready(call);
    let offer = world.last("INVITE ");
    for line in [
        "m=video 30004 RTP/AVP 96 97",
        "a=rtpmap:96 H264/90000",
        "a=fmtp:96 profile-level-id=42E01F;packetization-mode=1",
        "a=fmtp:97 profile-level-id=42E01F;packetization-mode=0",
        "b=TIAS:1500000",
        "a=rtcp-fb:* nack",
        "a=rtcp-fb:* nack pli",
        "a=rtcp-fb:* ccm fir",
        "a=rtcp-fb:* ccm tmmbr",
    ] {
        assert!(offer.lines().any(|other| other == line), "{line}: {offer}");
    }
    assert!(!offer.contains("sprop"), "{offer}");
}

#[test]
fn a_file_whose_pictures_fit_no_packet_whole_is_offered_in_fragments_alone() {
    let mut world = World::with_licence("film");
    world.fragments = true;
    let call = CallId(9);
    world.command(Command::Call {
        call,
        target: "bob".into(),
        wanted: SOUND,
        anonymous: false,
        location: None,
    });
    world.make_ready(call);
    let offer = world.last("INVITE ");
    assert!(offer.contains("m=video 30004 RTP/AVP 96\r\n"), "{offer}");
    assert!(offer.contains("packetization-mode=1") && !offer.contains("packetization-mode=0"), "{offer}");

    // A caller that takes no fragments gets sound, and the reason is told.
    let mut world = World::with_licence("film");
    world.fragments = true;
    let whole = "m=video 40010 RTP/AVP 97\r\na=rtpmap:97 H264/90000\r\na=fmtp:97 profile-level-id=42E00C\r\n";
    let call = world.ring(1, &format!("{AUDIO}{whole}")).unwrap();
    world.establish_with(call, WITH_VIDEO);
    assert_eq!(world.flows(), [(MediaKind::Audio, true, true)]);
    let refused = world.events.iter().find_map(|event| {
        let EventKind::CallEstablished { media, .. } = event else { return None };
        Some(media.refused.clone())
    });
    assert!(refused.is_some_and(|why| why.iter().any(|why| why.contains("video"))), "{:?}", world.names());
}

#[test]
fn the_far_ends_numbers_mode_level_rate_and_feedback_hold() {
    let answer = format!("{AUDIO}m=text 0 RTP/AVP 98\r\n{VIDEO}").replace("99 100 34", "99 100");
    let (world, _) = World::called("film", &answer);
    let plan = world.video();
    // Each end is sent the numbers that it wrote itself.
    assert_eq!((plan.send, plan.receive, &plan.also_received[..]), (99, 96, &[97][..]));
    assert_eq!((plan.packetization_mode, plan.level, plan.max_bits_per_second), (1, 13, 300_000));
    let feedback = FeedbackConfig { pli: true, fir: true, ..FeedbackConfig::default() };
    assert_eq!(plan.feedback, feedback);

    // Mode 0 alone.
    let whole = "m=video 40010 RTP/AVP 97\r\na=rtpmap:97 H264/90000\r\na=fmtp:97 profile-level-id=42E00C\r\n";
    let (world, _) = World::called("film", &format!("{AUDIO}m=text 0 RTP/AVP 98\r\n{whole}"));
    let plan = world.video();
    assert_eq!((plan.send, plan.packetization_mode, plan.level), (97, 0, 12));
    assert_eq!((plan.max_bits_per_second, plan.feedback), (1_500_000, FeedbackConfig::default()));
}

#[test]
fn offered_video_is_answered_under_the_offerers_numbers() {
    let (world, _) = World::with_video(&format!("{AUDIO}{VIDEO}"), WITH_VIDEO);
    let answer = world.last("SIP/2.0 200");
    assert!(answer.contains("m=video 30002 RTP/AVPF 99 100\r\n"), "{answer}");
    assert!(answer.contains("a=fmtp:99 profile-level-id=42C00D;packetization-mode=1\r\n"), "{answer}");
    let plan = world.video();
    assert_eq!((plan.send, plan.receive, &plan.also_received[..]), (99, 99, &[100][..]));
    let Some(EventKind::Incoming { video: true, .. }) =
        world.events.iter().find(|event| event.name() == "incoming")
    else {
        panic!("{:?}", world.events)
    };
}

#[test]
fn a_far_end_without_video_gets_a_call_without() {
    let (world, _) =
        World::called("film", &format!("{AUDIO}m=text 0 RTP/AVP 98\r\nm=video 0 RTP/AVP 96\r\n"));
    assert_eq!(world.flows(), [(MediaKind::Audio, true, true)]);
    assert!(world.events.iter().any(|event| matches!(event,
        EventKind::CallEstablished { media, .. } if media.refused.iter().any(|why| why.starts_with("video:")))));
}

#[test]
fn video_is_carried_only_where_it_is_licensed() {
    let mut world = World::with(&config("film"), false);
    world.features = Some(&["audio", "text"]);
    let mut world = world.start();
    let call = |call, video| Command::Call {
        call: CallId(call),
        target: "bob".into(),
        wanted: io::Wanted { video, ..SOUND },
        anonymous: false,
        location: None,
    };
    world.command(call(9, Some(true)));
    let Some(EventKind::CallFailed { error, .. }) = world.events.last() else { panic!("{:?}", world.events) };
    assert_eq!(error.code(), "call.licence-forbids");
    // Video that is only configured is left out.
    world.command(call(10, None));
    assert_eq!(world.prepared, [MediaKind::Audio, MediaKind::Text]);
    // Nobody is kept from help by a licence.
    world.command(Command::Call {
        call: CallId(11),
        target: "911".into(),
        wanted: SOUND,
        anonymous: false,
        location: None,
    });
    assert_eq!(world.prepared, [MediaKind::Audio, MediaKind::Text, MediaKind::Video]);
}

#[test]
fn video_that_the_far_end_takes_away_and_gives_again() {
    let (mut world, _) = World::with_video(&format!("{AUDIO}{VIDEO}"), WITH_VIDEO);
    world.change(2, &format!("{AUDIO}m=video 0 RTP/AVPF 99\r\n"));
    assert_eq!(world.flows(), [(MediaKind::Audio, true, true), (MediaKind::Video, false, false)]);
    world.change(3, &format!("{AUDIO}{VIDEO}"));
    assert_eq!(world.flows(), [(MediaKind::Audio, true, true), (MediaKind::Video, true, true)]);
    assert_eq!(world.trouble(), None);
}

#[test]
fn video_that_the_far_end_adds_is_taken_where_it_was_wanted_and_nobody_is_seen_by_surprise() {
    let (mut world, call) = World::with_video(AUDIO, WITH_VIDEO);
    world.prepared.clear();
    world.offer(2, &format!("{AUDIO}{VIDEO}"));
    assert_eq!(world.prepared, [MediaKind::Video]);
    world.make_ready(call);
    assert_eq!(world.video().send, 99);

    let (mut world, _) = World::with_video(AUDIO, io::Wanted { video: Some(false), ..WITH_VIDEO });
    world.prepared.clear();
    world.change(2, &format!("{AUDIO}{VIDEO}"));
    assert_eq!(world.prepared, []);
    let answer = world.last("SIP/2.0 200");
    assert!(answer.contains("m=video 0 "), "{answer}");
}

#[test]
fn muted_video_is_a_blank_picture_without_signalling_also_across_changes() {
    let (mut world, call) = World::with_video(&format!("{AUDIO}{VIDEO}"), WITH_VIDEO);
    let sent = world.sent.len();
    world.command(Command::Mute { call, kind: MediaKind::Video, muted: true });
    assert_eq!(world.pictured, [Effect::Privacy { call, private: true }]);
    assert_eq!(world.sent.len(), sent, "nothing is signalled");
    world.change(2, &format!("{AUDIO}{}", VIDEO.replace("40010", "40020")));
    let moved = world.changes.iter().find(|change| change.kind == MediaKind::Video).unwrap();
    assert!(moved.send && moved.moved.is_some(), "the blank picture goes on, to the new address");
    world.command(Command::Mute { call, kind: MediaKind::Video, muted: false });
    assert_eq!(world.pictured.last(), Some(&Effect::Privacy { call, private: false }));
}

#[test]
fn pictures_are_asked_for_by_info_both_ways_until_the_far_end_refuses() {
    let (mut world, call) = World::with_video(&format!("{AUDIO}{VIDEO}"), WITH_VIDEO);
    let want = |world: &mut World| {
        world.input(Input::Media { call, kind: MediaKind::Video, fact: io::MediaFact::KeyFrameWanted });
        world.settle();
        world.sent.iter().filter(|message| message.starts_with("INFO ")).count()
    };
    assert_eq!(want(&mut world), 1);
    assert!(world.last("INFO ").contains("<picture_fast_update/>"));
    let answer = |world: &mut World, status| {
        let info = Message::parse_datagram(Bytes::from(world.last("INFO ").to_owned())).unwrap();
        let response = ResponseBuilder::to_request(&info, status, "Words").build().unwrap();
        world.input(Input::Received { flow: FlowId(1), bytes: response.as_bytes() });
        world.settle();
    };
    answer(&mut world, 500);
    assert_eq!(want(&mut world), 2, "it had no time: it is asked again");
    answer(&mut world, 415);
    assert_eq!(want(&mut world), 2, "it cannot: it is not asked again");

    let to = world.last("SIP/2.0 200").lines().find(|line| line.starts_with("To:")).unwrap().to_owned();
    let body = "<media_control><vc_primitive><to_encoder><picture_fast_update/></to_encoder></vc_primitive></media_control>";
    let info = format!(
        "INFO {} SIP/2.0\r\nVia: SIP/2.0/TCP 127.0.0.1:5060;branch=z9hG4bKi\r\nMax-Forwards: 70\r\n\
         From: <sip:bob@c.test>;tag=f1\r\n{to}\r\nCall-ID: c1\r\nCSeq: 7 INFO\r\n\
         Content-Type: application/media_control+xml\r\nContent-Length: {}\r\n\r\n{body}",
        world.contact,
        body.len()
    );
    world.input(Input::Received { flow: FlowId(1), bytes: info.as_bytes() });
    world.settle();
    assert_eq!(world.pictured, [Effect::SendKeyFrame { call }]);
}
