//! Streams for load generation: media encoded beforehand, sent by the packet thread itself, and received media that is
//! opened, ordered and counted but neither decoded nor played. No codec, no ring and no worker has a part in them.

use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use super::config::{AudioCodec, OpusOptions};
use super::wheel::Again;
use crate::codec::audio::Encoder;
use crate::source::{AudioSource, SourceState};

/// Longest payload of a pre-encoded packet: with RTP and SRTP it fits a slot.
pub(super) const MAX_PAYLOAD: usize = 1400;

/// Payloads of consecutive packets, played round and round. Cheap to clone: every call of a load shares them.
#[derive(Clone, PartialEq, Eq)]
pub struct EncodedMedia(Arc<[Box<[u8]>]>);

impl fmt::Debug for EncodedMedia {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("EncodedMedia").field(&self.0.len()).finish()
    }
}

impl EncodedMedia {
    /// These payloads, as they are. `None` when there are none, or one is empty or longer than 1400 bytes.
    #[must_use]
    pub fn new(payloads: impl IntoIterator<Item = Vec<u8>>) -> Option<Self> {
        let payloads: Arc<[Box<[u8]>]> = payloads.into_iter().map(Vec::into_boxed_slice).collect();
        let fit = payloads.iter().all(|payload| (1..=MAX_PAYLOAD).contains(&payload.len()));
        (fit && !payloads.is_empty()).then_some(Self(payloads))
    }

    /// At most `packets` packets of `ptime_ms` milliseconds of `source`. `None` when it holds nothing a packet would be
    /// longer than 1400 bytes, or this build has no such codec.
    #[must_use]
    pub fn encode(
        codec: AudioCodec,
        source: &mut dyn AudioSource,
        ptime_ms: u32,
        packets: usize,
    ) -> Option<Self> {
        let rate = codec.sample_rate();
        source.open(rate);
        let mut encoder = Encoder::new(codec, rate, &OpusOptions::default()).ok()?;
        let mut samples = vec![0; (rate as usize / 1000).checked_mul(ptime_ms as usize)?];
        let mut encoded = vec![0; samples.len().max(MAX_PAYLOAD)];
        let mut payloads = Vec::new();
        for _ in 0..packets {
            let state = source.fill(&mut samples);
            let len = encoder.encode(&samples, &mut encoded);
            payloads.push(encoded[..len].to_vec());
            if state == SourceState::Ended {
                break;
            }
        }
        Self::new(payloads)
    }
}

/// A stream of pre-encoded audio.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoadConfig {
    /// What the payloads are encoded with; says the clock rate and what the figures call it.
    pub codec: AudioCodec,
    /// Payload type we send.
    pub send_payload_type: u8,
    /// Payload type we accept.
    pub receive_payload_type: u8,
    /// Milliseconds per packet: a multiple of 10 from 10 to 60.
    pub ptime_ms: u32,
    /// What is sent.
    pub media: EncodedMedia,
}

/// The sending half of a load stream.
#[derive(Debug)]
pub(super) struct LoadSource {
    media: EncodedMedia,
    position: usize,
    pub(super) payload_type: u8,
    timestamp: u32,
    step: u32,
    /// The next packet begins a talkspurt.
    marker: bool,
    pub(super) ptime_ms: u32,
    pub(super) send: bool,
    /// Packets until the next keep-alive while nothing is to be sent.
    keep_alive_in: u32,
    /// When the far end's last packet came.
    came: Option<Instant>,
    /// Packets until its place is compared with that, and whether it was before.
    look_in: u32,
    placed: bool,
}

/// While held a packet leaves at least this often (RFC 6263).
const KEEP_ALIVE_MS: u32 = 15_000;

/// Time after which a stream's place may move again, by a millisecond.
const PLACE_HOLDS: u32 = 1000;

/// One packet to be sent.
pub(super) struct LoadPacket {
    pub(super) len: usize,
    pub(super) timestamp: u32,
    pub(super) marker: bool,
}

impl LoadSource {
    pub(super) fn new(config: LoadConfig, first_timestamp: u32, send: bool) -> Self {
        Self {
            step: config.codec.clock_rate() / 1000 * config.ptime_ms,
            media: config.media,
            position: 0,
            payload_type: config.send_payload_type,
            timestamp: first_timestamp,
            marker: true,
            ptime_ms: config.ptime_ms,
            send,
            keep_alive_in: 0,
            came: None,
            look_in: 0,
            placed: false,
        }
    }

    /// A packet of the far end came.
    pub(super) fn came(&mut self, now: Instant) {
        self.came = Some(now);
    }

    /// When it sends again after it had its place at `moment`. It would rather be at the first place after the far end's
    /// packets: once it goes there at once, by sending a packet early; later, as the two clocks part, a millisecond at a time.
    pub(super) fn again(&mut self, moment: Instant) -> Again {
        let after = u64::from(self.ptime_ms);
        let usual = Again { after, rather: after };
        self.look_in = self.look_in.saturating_sub(1);
        let (0, Some(came)) = (self.look_in, self.came) else { return usual };
        self.look_in = PLACE_HOLDS / self.ptime_ms.max(1);
        // Milliseconds begun since the packet came, but for the first.
        let late = match moment.checked_duration_since(came) {
            Some(since) => since.as_millis() as i64,
            None => -1 - (came - moment).as_millis() as i64,
        };
        let late = late.rem_euclid(i64::from(self.ptime_ms.max(1))) as u64;
        let rather = match late {
            0 => after,
            late if !std::mem::replace(&mut self.placed, true) => after - late,
            late if late <= after / 2 => after - 1,
            _ => after + 1,
        };
        Again { after, rather }
    }

    pub(super) fn set_send(&mut self, send: bool) {
        self.marker |= send && !self.send;
        self.send = send;
    }

    /// Moves one packet time on and writes the payload that is due, if any. Also held a packet leaves now and then.
    pub(super) fn next(&mut self, payload: &mut [u8]) -> Option<LoadPacket> {
        let timestamp = self.timestamp;
        self.timestamp = timestamp.wrapping_add(self.step);
        if !self.send && self.keep_alive_in > 0 {
            self.keep_alive_in -= 1;
            return None;
        }
        self.keep_alive_in = (KEEP_ALIVE_MS / self.ptime_ms.max(1)).saturating_sub(1);
        let bytes = self.media.0.get(self.position)?;
        self.position = (self.position + 1) % self.media.0.len();
        payload.get_mut(..bytes.len())?.copy_from_slice(bytes);
        Some(LoadPacket { len: bytes.len(), timestamp, marker: std::mem::take(&mut self.marker) })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::source::Tone;

    fn config(media: EncodedMedia) -> LoadConfig {
        LoadConfig {
            codec: AudioCodec::Pcmu,
            send_payload_type: 0,
            receive_payload_type: 0,
            ptime_ms: 20,
            media,
        }
    }

    #[test]
    fn payloads_go_round_and_the_timestamp_goes_on() {
        let media = EncodedMedia::new([vec![1; 160], vec![2; 160], vec![3; 160]]).unwrap();
        let mut source = LoadSource::new(config(media), u32::MAX - 159, true);
        let mut payload = [0; 200];
        let sent: Vec<_> = (0..4)
            .map(|_| {
                let packet = source.next(&mut payload).unwrap();
                (payload[0], packet.len, packet.timestamp, packet.marker)
            })
            .collect();
        let wrapped = u32::MAX - 159;
        assert_eq!(
            sent,
            [(1, 160, wrapped, true), (2, 160, 0, false), (3, 160, 160, false), (1, 160, 320, false)]
        );
    }

    #[test]
    fn held_it_sends_at_once_and_then_every_fifteen_seconds() {
        let media = EncodedMedia::new([vec![1; 160]]).unwrap();
        let mut source = LoadSource::new(config(media), 0, false);
        let mut payload = [0; 200];
        let sent: Vec<usize> = (0..2000).filter(|_| source.next(&mut payload).is_some()).collect();
        assert_eq!(sent, [0, 750, 1500]);
        source.set_send(true);
        assert!(source.next(&mut payload).unwrap().marker);
        assert!(!source.next(&mut payload).unwrap().marker);
    }

    #[test]
    fn it_moves_to_the_place_after_the_far_ends_packets_at_once_and_then_slowly() {
        let media = EncodedMedia::new([vec![1; 160]]).unwrap();
        let mut source = LoadSource::new(config(media), 0, true);
        let start = crate::clock::now();
        let ms = |ms: f64| start + Duration::from_secs_f64(ms / 1000.0);
        let usual = Again { after: 20, rather: 20 };
        assert_eq!(source.again(ms(5.0)), usual, "nothing came yet");
        source.came(ms(12.3));
        // At 25 it is twelve places behind the one at 13.
        assert_eq!(source.again(ms(25.0)), Again { after: 20, rather: 8 });
        source.came(ms(32.3));
        let later = |n: f64, source: &mut LoadSource| {
            (0..49).for_each(|_| assert_eq!(source.again(ms(33.0 + n)), usual));
            source.again(ms(33.0 + n))
        };
        assert_eq!(later(0.0, &mut source), usual);
        assert_eq!(later(3.0, &mut source), Again { after: 20, rather: 19 });
        assert_eq!(later(-3.0, &mut source), Again { after: 20, rather: 21 });
        // It has just come, within the millisecond after its place.
        source.came(ms(33.5));
        assert_eq!(later(0.0, &mut source), Again { after: 20, rather: 21 });
    }

    #[test]
    fn a_source_is_encoded_once_for_all_and_what_does_not_fit_is_refused() {
        let mut tone = Tone::new(1000.0, -12.0).lasting(Duration::from_millis(100));
        let media = EncodedMedia::encode(AudioCodec::Pcmu, &mut tone, 20, 50).unwrap();
        assert!((5..=6).contains(&media.0.len()) && media.0.iter().all(|payload| payload.len() == 160));
        assert_eq!(EncodedMedia::new([]), None);
        assert_eq!(EncodedMedia::new([vec![]]), None);
        assert_eq!(EncodedMedia::new([vec![0; MAX_PAYLOAD + 1]]), None);
    }
}
