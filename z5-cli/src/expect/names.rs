//! The names that `--expect` knows: what each means, what it may be compared with, and where it stands in the result object.
//!
//! docs/expect.md lists them; a test keeps both the same. Reading and judging of expressions is in `expr`.

use serde_json::Value;

/// One name.
#[derive(Debug)]
pub(crate) struct Name {
    /// As it is written.
    pub(crate) name: &'static str,
    /// What it can be compared with.
    pub(crate) kind: Kind,
    from: From,
}

/// What a value is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Kind {
    /// Yes or no.
    Flag,
    /// A number of this unit; empty: a count or a share.
    Number(&'static str),
    /// One of these words.
    Word(&'static [&'static str]),
    /// The code of a failure, or "ok".
    Code,
    /// Any text.
    Text,
}

/// Where a value comes from.
#[derive(Debug, Clone, Copy)]
enum From {
    /// A member of the result object, as a JSON pointer (RFC 6901).
    Member(&'static str),
    /// Made of several.
    Made(fn(&Value) -> Option<Value>),
}

/// Names whose values are of the session, whatever its calls.
pub(super) const OF_SESSIONS: &[&str] = &[
    "resolve_ms",
    "sign_in_ms",
    "provision_ms",
    "register_ms",
    "ready_ms",
    "total_ms",
    "servers_failed",
    "unregistered",
    "calls",
];

impl PartialEq for Name {
    /// No two have the same name.
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Name {
    /// The name that is written so.
    pub(crate) fn find(name: &str) -> Option<&'static Self> {
        NAMES.iter().find(|known| known.name == name)
    }

    /// The name that is spelt most like it, when one is near.
    pub(crate) fn nearest(name: &str) -> Option<&'static str> {
        nearest(name, NAMES.iter().map(|known| known.name))
    }

    /// The measured value; `None` when it was not measured.
    pub(crate) fn read(&self, result: &Value) -> Option<Value> {
        let value = match self.from {
            From::Member(pointer) => result.pointer(pointer).cloned(),
            From::Made(make) => make(result),
        };
        value.filter(|value| !value.is_null())
    }

    /// Where it stands in the result object; none when it is made of several members.
    #[cfg(test)]
    pub(crate) fn pointer(&self) -> Option<&'static str> {
        match self.from {
            From::Member(pointer) => Some(pointer),
            From::Made(_) => None,
        }
    }
}

/// The word of `words` that is spelt most like `word`.
pub(crate) fn nearest<'a>(word: &str, words: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let alike = |other: &str| strsim::jaro_winkler(word, other);
    let best = words.into_iter().map(|other| (alike(other), other)).max_by(|a, b| a.0.total_cmp(&b.0))?;
    (best.0 >= NEAR).then_some(best.1)
}

/// From here on two words count as alike; lower, and the suggestion would be a guess.
const NEAR: f64 = 0.75;

/// The words of `ended_by`.
const SIDES: &[&str] = &["local", "remote", "network"];
/// A number without a unit.
const COUNT: Kind = Kind::Number("");
/// Milliseconds.
const MS: Kind = Kind::Number("ms");

const fn name(name: &'static str, kind: Kind, pointer: &'static str) -> Name {
    Name { name, kind, from: From::Member(pointer) }
}

const fn made(name: &'static str, kind: Kind, make: fn(&Value) -> Option<Value>) -> Name {
    Name { name, kind, from: From::Made(make) }
}

/// Every name, in the order of docs/expect.md.
pub(crate) const NAMES: &[Name] = &[
    made("code", Kind::Code, code),
    // times
    name("resolve_ms", MS, "/timings_ms/resolve"),
    name("sign_in_ms", MS, "/timings_ms/sign_in"),
    name("provision_ms", MS, "/timings_ms/provision"),
    name("register_ms", MS, "/timings_ms/register"),
    name("ready_ms", MS, "/timings_ms/ready"),
    name("post_dial_ms", MS, "/timings_ms/call_post_dial"),
    name("setup_ms", MS, "/timings_ms/call_setup"),
    name("total_ms", MS, "/timings_ms/total"),
    // registration
    made("servers_failed", COUNT, servers_failed),
    name("unregistered", Kind::Flag, "/unregistered"),
    name("calls", COUNT, "/calls"),
    // the call
    name("established", Kind::Flag, "/call/established"),
    made("encrypted", Kind::Flag, encrypted),
    name("ended_by", Kind::Word(SIDES), "/call/ended_by"),
    name("cause", Kind::Text, "/call/cause"),
    name("duration_ms", MS, "/call/duration_ms"),
    name("digits", Kind::Text, "/call/digits_received"),
    // sound
    name("mos", COUNT, "/call/audio/voice/mos_listening"),
    name("mos_conversation", COUNT, "/call/audio/voice/mos_conversation"),
    name("r_factor", COUNT, "/call/audio/voice/r_factor"),
    name("audio.heard", Kind::Flag, "/call/audio/heard/audible"),
    name("audio.active_ms", MS, "/call/audio/heard/active_ms"),
    name("audio.level", Kind::Number("dBm0"), "/call/audio/heard/level_dbm0"),
    name("audio.frequency", Kind::Number("Hz"), "/call/audio/heard/dominant_hz"),
    name("audio.tone_share", COUNT, "/call/audio/heard/tone_share"),
    name("audio.codec", Kind::Text, "/call/audio/codec"),
    name("audio.first_ms", MS, "/timings_ms/first_audio"),
    name("audio.played_ms", MS, "/call/audio/playout/played_ms"),
    name("audio.concealed_ms", MS, "/call/audio/playout/concealed_ms"),
    name("audio.delay_ms", MS, "/call/audio/playout/target_delay_ms"),
    name("audio.packets_sent", COUNT, "/call/audio/packets_sent"),
    name("audio.packets_received", COUNT, "/call/audio/packets_received"),
    name("audio.lost", COUNT, "/call/audio/lost"),
    made("audio.loss", Kind::Number("%"), |result| loss(result, "audio")),
    name("audio.reordered", COUNT, "/call/audio/reordered"),
    name("audio.duplicates", COUNT, "/call/audio/duplicates"),
    name("audio.jitter_ms", MS, "/call/audio/jitter_ms"),
    name("audio.round_trip_ms", MS, "/call/audio/round_trip_ms"),
    // pictures
    name("video.pictures_received", COUNT, "/call/video/video/pictures_received"),
    name("video.pictures_sent", COUNT, "/call/video/video/pictures_sent"),
    name("video.pictures_dropped", COUNT, "/call/video/video/pictures_dropped"),
    name("video.key_frames_received", COUNT, "/call/video/video/key_frames_received"),
    name("video.fps", COUNT, "/call/video/video/frame_rate"),
    name("video.freezes", COUNT, "/call/video/video/freezes"),
    name("video.frozen_ms", MS, "/call/video/video/frozen_ms"),
    name("video.first_frame_ms", MS, "/call/video/video/first_frame_ms"),
    name("video.width", COUNT, "/call/video/video/width"),
    name("video.height", COUNT, "/call/video/video/height"),
    name("video.recoveries", COUNT, "/call/video/video/recoveries"),
    name("video.longest_recovery_ms", MS, "/call/video/video/longest_recovery_ms"),
    name("video.first_picture_ms", MS, "/timings_ms/first_picture"),
    name("video.moved", COUNT, "/call/video/video/seen/changed"),
    name("video.delay_p50_ms", MS, "/call/video/video/seen/delay_p50_ms"),
    name("video.delay_p95_ms", MS, "/call/video/video/seen/delay_p95_ms"),
    name("video.skew_ms", MS, "/call/skew_ms"),
    name("video.recovered", COUNT, "/call/video/feedback/packets_recovered"),
    name("video.codec", Kind::Text, "/call/video/codec"),
    name("video.packets_sent", COUNT, "/call/video/packets_sent"),
    name("video.packets_received", COUNT, "/call/video/packets_received"),
    name("video.lost", COUNT, "/call/video/lost"),
    made("video.loss", Kind::Number("%"), |result| loss(result, "video")),
    name("video.jitter_ms", MS, "/call/video/jitter_ms"),
    name("video.round_trip_ms", MS, "/call/video/round_trip_ms"),
    // text
    name("text.echo", Kind::Text, "/call/text_received"),
    name("text.received", Kind::Text, "/call/text_received"),
    name("text.sent", Kind::Text, "/call/text_sent"),
    name("text.first_ms", MS, "/timings_ms/first_text"),
    name("text.characters_sent", COUNT, "/call/text/text/characters_sent"),
    name("text.characters_received", COUNT, "/call/text/text/characters_received"),
    name("text.characters_recovered", COUNT, "/call/text/text/characters_recovered"),
    name("text.losses", COUNT, "/call/text/text/losses_marked"),
    name("text.latency_p50_ms", MS, "/call/text/text/latency_p50_ms"),
    name("text.latency_p95_ms", MS, "/call/text/text/latency_p95_ms"),
    name("text.packets_sent", COUNT, "/call/text/packets_sent"),
    name("text.packets_received", COUNT, "/call/text/packets_received"),
    name("text.lost", COUNT, "/call/text/lost"),
];

/// A run without a failure ends with "ok".
fn code(result: &Value) -> Option<Value> {
    let failure = result.get("failure")?;
    Some(failure.get("code").cloned().unwrap_or_else(|| Value::from(OK)))
}

/// What stands for no failure.
pub(crate) const OK: &str = "ok";

fn servers_failed(result: &Value) -> Option<Value> {
    // the member is left out when there is none, and nothing is known before there was a registration
    let failed = result.get("servers_failed").and_then(Value::as_array).map(Vec::len);
    let registered = result.pointer("/timings_ms/register").is_some_and(|ms| !ms.is_null());
    failed.or(registered.then_some(0)).map(Value::from)
}

/// Every agreed stream has keys.
fn encrypted(result: &Value) -> Option<Value> {
    let streams = result.pointer("/call/media/streams")?.as_array()?;
    (!streams.is_empty()).then(|| streams.iter().all(|stream| stream["crypto"].is_string()).into())
}

/// Packets that did not come, of those that were expected, in percent.
fn loss(result: &Value, medium: &str) -> Option<Value> {
    let stream = result.get("call")?.get(medium)?;
    let lost = stream.get("lost")?.as_u64()? as f64;
    let received = stream.get("packets_received")?.as_u64()? as f64;
    (lost + received > 0.0).then(|| (lost * 100.0 / (lost + received)).into())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn the_document_lists_every_name() {
        let document = include_str!("../../../docs/expect.md");
        let listed: BTreeSet<&str> = document
            .lines()
            .filter(|line| line.starts_with("| `"))
            .filter_map(|line| line.split('|').nth(1))
            .flat_map(|cell| cell.split(',').map(|name| name.trim().trim_matches('`')))
            .collect();
        let known: BTreeSet<&str> = NAMES.iter().map(|name| name.name).collect();
        assert_eq!(known.len(), NAMES.len(), "a name stands twice");
        assert_eq!(listed, known);
    }

    /// The figures that a run may lack are still members of what the engine gives.
    #[test]
    fn every_figure_is_one_of_the_engines() {
        let json = |value| -> Value { value };
        let audio = serde_json::json!({
            "heard": z5_media::Heard::default(),
            "playout": z5_media::stats::Playout::default(),
            "voice": z5_media::stats::VoiceQuality { r_factor: None, mos_listening: 1.0, mos_conversation: None },
        });
        let groups = json(serde_json::json!({
            "call": {
                "audio": audio,
                "video": {
                    "video": z5_media::stats::VideoFigures {
                        seen: Some(z5_media::stats::SeenFigures::default()),
                        ..z5_media::stats::VideoFigures::default()
                    },
                    "feedback": z5_media::stats::FeedbackFigures::default(),
                },
                "text": { "text": z5_media::stats::TextFigures::default() },
            }
        }));
        let mut checked = 0;
        for name in NAMES {
            let Some(pointer) = name.pointer() else { continue };
            // /call/MEDIUM/GROUP/FIGURE, or one level deeper
            if pointer.split('/').count() >= 5 {
                assert!(groups.pointer(pointer).is_some(), "{}: {pointer}", name.name);
                checked += 1;
            }
        }
        assert!(checked > 20, "{checked}");
    }

    #[test]
    fn a_loss_is_a_share_of_what_was_expected() {
        let result =
            |lost: Value| serde_json::json!({"call": {"audio": {"lost": lost, "packets_received": 99}}});
        assert_eq!(loss(&result(1.into()), "audio"), Some(1.0.into()));
        assert_eq!(loss(&result(Value::Null), "audio"), None);
        assert_eq!(loss(&result(1.into()), "video"), None);
    }

    #[test]
    fn the_code_of_a_run_without_a_failure_is_ok() {
        let name = Name::find("code").unwrap();
        assert_eq!(name.read(&serde_json::json!({"failure": null})), Some("ok".into()));
        assert_eq!(
            name.read(&serde_json::json!({"failure": {"code": "call.busy"}})),
            Some("call.busy".into())
        );
        assert_eq!(name.read(&serde_json::json!({})), None);
    }

    #[test]
    fn what_is_near_is_found_and_what_is_far_is_not() {
        assert_eq!(Name::nearest("audio.herd"), Some("audio.heard"));
        assert_eq!(Name::nearest("setup"), Some("setup_ms"));
        assert_eq!(Name::nearest("video.freeze"), Some("video.freezes"));
        assert_eq!(Name::nearest("zzz"), None);
    }
}
