//! `z5 call` and `z5 answer`: what is offered, sent and kept.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use z5_core::config::{AudioCodec, SrtpMode, SrtpSuite, VideoSetting, audio_codec, srtp_suite};

use super::session::SessionArgs;
use super::value::{some_time, speed, target};
use crate::act::Act;
use crate::audio::AudioArg;
use crate::read::time;

#[derive(Debug, Args)]
pub(crate) struct CallArgs {
    /// A number (+15555550900, 911), a SIP URI, or a user name of the provider's domain
    #[arg(value_parser = target)]
    pub(crate) target: String,
    /// Give up when nobody has answered for this time, in place of timeouts.call (185s)
    #[arg(long, value_name = "TIME", value_parser = some_time)]
    pub(crate) ring_timeout: Option<Duration>,
    /// Do not let the far end learn who calls (RFC 3323)
    #[arg(long)]
    pub(crate) anonymous: bool,
    /// Where the call comes from: geo:LATITUDE,LONGITUDE, a PIDF-LO file, or a location server
    #[arg(long, value_name = "FILE|geo:...|https:...")]
    pub(crate) location: Option<String>,
    #[command(flatten)]
    pub(crate) media: MediaArgs,
    #[command(flatten)]
    pub(crate) offer: OfferArgs,
    #[command(flatten)]
    pub(crate) session: SessionArgs,
}

#[derive(Debug, Args)]
pub(crate) struct AnswerArgs {
    #[command(flatten)]
    pub(crate) media: MediaArgs,
    #[command(flatten)]
    pub(crate) offer: OfferArgs,
    /// Give up when no call came in this time
    #[arg(long, value_name = "TIME", value_parser = some_time, default_value = "60s")]
    pub(crate) wait: Duration,
    /// Let it ring for this time before answering
    #[arg(long, value_name = "TIME", value_parser = time, default_value = "0s")]
    pub(crate) ring: Duration,
    /// Send back what comes, as a test number does: sound, pictures, text and keys
    #[arg(long, conflicts_with_all = ["audio", "video"])]
    pub(crate) echo: bool,
    /// With --echo, take every call that comes in this time, several at once too, instead of one; that nobody calls is no
    /// failure unless --expect 'calls>=1' says so
    #[arg(long, value_name = "TIME", value_parser = some_time, requires = "echo",
        conflicts_with_all = ["record", "text", "at", "duration", "wait", "ring"])]
    pub(crate) stay: Option<Duration>,
    #[command(flatten)]
    pub(crate) session: SessionArgs,
}

/// What a call sends, where it is recorded, how long it lasts.
#[derive(Debug, Args)]
pub(crate) struct MediaArgs {
    /// Sound to send: a WAV file, "tone", "tone:HZ", "tone:HZ:DBM0", "none", or "silence" (default)
    #[arg(long, value_name = "WHAT", default_value = "silence", hide_default_value = true)]
    pub(crate) audio: AudioArg,
    /// What to send as video: FILE.h264 or FILE.y4m (either with @FPS), "pattern", "pattern:WIDTHxHEIGHT@FPS", "film"
    /// (built in), "blank" or "off"
    #[arg(long, value_name = "WHAT")]
    pub(crate) video: Option<VideoSetting>,
    /// Record heard.wav, seen.h264 and seen.png in this folder; heard-2.wav and so on when taken
    #[arg(long, value_name = "DIR")]
    pub(crate) record: Option<PathBuf>,
    /// With --record, also every picture uncompressed in seen.y4m: 4 MB a second at 352x288
    #[arg(long, requires = "record")]
    pub(crate) y4m: bool,
    /// Text to type once the call is up; may be given several times, each is one line
    #[arg(long, value_name = "TEXT")]
    pub(crate) text: Vec<String>,
    /// Characters a second at which --text is typed, such as 5; at once when nothing is said
    #[arg(long, value_name = "SPEED", requires = "text", value_parser = speed,
        allow_negative_numbers = true)]
    pub(crate) typing: Option<f64>,
    /// Do this so long after the answer: hold, resume, mute, mute:video,
    /// unmute (also :audio, :text), dtmf:KEYS, text:TEXT, add:text, add:video, transfer:TARGET, hangup
    #[arg(long, value_name = "TIME=ACTION")]
    pub(crate) at: Vec<Act>,
    /// Hang up this long after the answer; without it the far end or Ctrl-C ends the call
    #[arg(long, value_name = "TIME", value_parser = some_time)]
    pub(crate) duration: Option<Duration>,
    /// Lines in a terminal too, in place of the view with a place to type; for screen readers
    #[arg(long)]
    pub(crate) plain: bool,
}

/// What a call offers and takes, in place of the configuration's.
#[derive(Debug, Args)]
pub(crate) struct OfferArgs {
    /// Audio codecs in order of preference: opus, G722, PCMU, PCMA
    #[arg(long, value_name = "NAME,...", value_delimiter = ',', value_parser = audio_codec)]
    pub(crate) codec: Vec<AudioCodec>,
    /// Encryption of media: off, optional or required
    #[arg(long, value_name = "MODE")]
    pub(crate) srtp: Option<SrtpMode>,
    /// SRTP suites in order of preference, such as AEAD_AES_256_GCM
    #[arg(long, value_name = "NAME,...", value_delimiter = ',', value_parser = srtp_suite)]
    pub(crate) suite: Vec<SrtpSuite>,
}
