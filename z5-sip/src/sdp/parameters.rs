//! Format parameters that change what is sent: Opus (RFC 7587 section 6.1), telephone-event (RFC 4733 section 2.4.1) and the
//! `cps` of T.140 (RFC 4103 section 6). What cannot be read counts as not written. H.264's are in `h264`.

/// What a receiver of Opus asks for. The default is what holds without any parameter (RFC 7587 section 6.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OpusFormat {
    /// `maxplaybackrate`: the highest sample rate it can play, in hertz.
    pub max_playback_rate: Option<u32>,
    /// `maxaveragebitrate`: the most bits per second it wants.
    pub max_average_bit_rate: Option<u32>,
    /// `stereo=1`: it prefers two channels.
    pub stereo: bool,
    /// `useinbandfec=1`: it makes use of redundancy.
    pub in_band_fec: bool,
    /// `usedtx=1`: it prefers that nothing is sent while there is silence.
    pub dtx: bool,
    /// `cbr=1`: it prefers a constant bit rate.
    pub constant_rate: bool,
}

impl OpusFormat {
    /// Reads the value of an `a=fmtp` without the payload type.
    #[must_use]
    pub fn parse(fmtp: Option<&str>) -> Self {
        let mut format = Self::default();
        for (name, value) in fmtp.into_iter().flat_map(pairs) {
            let (number, on) = (value.parse::<u32>().ok(), value == "1");
            match name.as_str() {
                "maxplaybackrate" => {
                    format.max_playback_rate = number.filter(|hertz| (8000..=48_000).contains(hertz));
                }
                "maxaveragebitrate" => {
                    format.max_average_bit_rate = number.filter(|bits| (6000..=510_000).contains(bits));
                }
                "stereo" => format.stereo = on,
                "useinbandfec" => format.in_band_fec = on,
                "usedtx" => format.dtx = on,
                "cbr" => format.constant_rate = on,
                _ => {}
            }
        }
        format
    }

    /// As the value of an `a=fmtp`, without what holds anyway.
    pub(crate) fn to_fmtp(self) -> String {
        let mut parts = vec!["minptime=10".to_owned()];
        parts.extend(self.max_playback_rate.map(|hertz| format!("maxplaybackrate={hertz}")));
        parts.extend(self.max_average_bit_rate.map(|bits| format!("maxaveragebitrate={bits}")));
        let flags = [
            ("stereo", self.stereo),
            ("useinbandfec", self.in_band_fec),
            ("usedtx", self.dtx),
            ("cbr", self.constant_rate),
        ];
        parts.extend(flags.iter().filter(|(_, on)| *on).map(|(name, _)| format!("{name}=1")));
        parts.join(";")
    }
}

/// `name=value` pairs; names in small letters.
fn pairs(fmtp: &str) -> impl Iterator<Item = (String, &str)> {
    fmtp.split(';').filter_map(|part| {
        let (name, value) = part.split_once('=')?;
        Some((name.trim().to_ascii_lowercase(), value.trim()))
    })
}

/// The highest characters per second a receiver of text asks for (`cps`); `None` when it says nothing of the kind.
#[must_use]
pub fn characters_per_second(fmtp: Option<&str>) -> Option<u32> {
    fmtp.into_iter()
        .flat_map(pairs)
        .find(|(name, _)| name == "cps")
        .and_then(|(_, value)| value.parse().ok())
        .filter(|cps| *cps > 0)
}

/// Which telephone events from 0 to 16 a receiver knows; 0 to 15 when it does not say (RFC 4733 section 2.4.1).
#[must_use]
pub fn telephone_events(fmtp: Option<&str>) -> [bool; 17] {
    let mut known = [false; 17];
    let list = fmtp.map(str::trim).filter(|list| !list.is_empty()).unwrap_or("0-15");
    for part in list.trim_start_matches("events=").split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        if let (Ok(first), Ok(last)) = (first.trim().parse::<usize>(), last.trim().parse::<usize>()) {
            known
                .iter_mut()
                .enumerate()
                .filter(|(event, _)| (first..=last).contains(event))
                .for_each(|(_, slot)| *slot = true);
        }
    }
    known
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn opus_parameters_are_read_and_written() {
        let all = OpusFormat {
            max_playback_rate: Some(16_000),
            max_average_bit_rate: Some(20_000),
            stereo: true,
            in_band_fec: true,
            dtx: true,
            constant_rate: true,
        };
        assert_eq!(OpusFormat::parse(Some(&all.to_fmtp())), all);
        assert_eq!(
            OpusFormat::parse(Some(" UseInbandFEC=1 ; stereo=0;maxplaybackrate=1;cbr")),
            OpusFormat { in_band_fec: true, ..OpusFormat::default() }
        );
        assert_eq!(OpusFormat::parse(None).to_fmtp(), "minptime=10");
    }

    #[test]
    fn the_rate_of_text_is_read() {
        assert_eq!(characters_per_second(Some("cps=90")), Some(90));
        assert_eq!(characters_per_second(Some("x=1; CPS = 10")), Some(10));
        assert_eq!((characters_per_second(Some("cps=0")), characters_per_second(None)), (None, None));
    }

    #[test]
    fn the_events_a_far_end_knows_are_read() {
        let count = |fmtp| telephone_events(fmtp).iter().filter(|known| **known).count();
        assert_eq!((count(None), count(Some("0-16")), count(Some("0-11,16"))), (16, 17, 13));
        assert_eq!((count(Some("0-4000000000")), count(Some("x-")), count(Some("5"))), (17, 0, 1));
    }
}
