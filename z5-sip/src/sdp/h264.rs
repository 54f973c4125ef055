//! When two H.264 formats are the same, and what is answered to one (RFC 6184 sections 8.1 and 8.2.2).
//!
//! `packetization-mode` and the profile must be equal on both sides; the level may differ downwards. Baseline and
//! Constrained Baseline count as one profile here: no encoder in the field uses the tools that set them apart, and end
//! points write either for the same stream. Parameter sets and picture sizes are not looked at.

use super::negotiated::H264Terms;

/// The three bytes of a `profile-level-id`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct ProfileLevelId {
    idc: u8,
    /// The constraint bits.
    iop: u8,
    level: u8,
}

/// Profiles that a decoder of one can decode another stream of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Profile {
    Baseline,
    Main,
    Extended,
    High,
    Other(u8),
}

/// Why two formats are not the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mismatch {
    PacketizationMode,
    Profile,
}

impl ProfileLevelId {
    /// Where level 1b stands among the others.
    const RANK_1B: u16 = 105;
    /// Without one, Baseline at level 1 is meant (RFC 6184 section 8.1).
    const DEFAULT: Self = Self { idc: 66, iop: 0, level: 10 };

    fn of(fmtp: Option<&str>) -> Self {
        parameter(fmtp, "profile-level-id").and_then(Self::parse).unwrap_or(Self::DEFAULT)
    }

    fn parse(text: &str) -> Option<Self> {
        if text.len() != 6 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return None;
        }
        let [_, idc, iop, level] = u32::from_str_radix(text, 16).ok()?.to_be_bytes();
        Some(Self { idc, iop, level })
    }

    /// RFC 6184 table 5.
    fn profile(self) -> Profile {
        let bits = |mask: u8| self.iop & mask == mask;
        match self.idc {
            66 => Profile::Baseline,
            77 if bits(0x80) => Profile::Baseline,
            88 if bits(0x80) => Profile::Baseline,
            77 => Profile::Main,
            88 => Profile::Extended,
            100 => Profile::High,
            other => Profile::Other(other),
        }
    }

    /// Levels in their order: 1b, written as 11 with a constraint bit or as 9, stands between 1 and 1.1.
    fn rank(self) -> u16 {
        let is_1b = match self.idc {
            66 | 77 | 88 => self.level == 11 && self.iop & 0x10 != 0,
            _ => self.level == 9,
        };
        if is_1b { Self::RANK_1B } else { u16::from(self.level) * 10 }
    }
}

/// What a format says of its writer's decoder.
pub(super) fn terms(fmtp: Option<&str>) -> H264Terms {
    let set = ProfileLevelId::of(fmtp);
    let packetization_mode =
        parameter(fmtp, "packetization-mode").and_then(|mode| mode.parse().ok()).unwrap_or(0);
    let is_1b = set.rank() == ProfileLevelId::RANK_1B;
    H264Terms { packetization_mode, level: if is_1b { 9 } else { set.level } }
}

/// Whether the parameters of two H.264 formats go together.
pub(super) fn fit(ours: Option<&str>, theirs: Option<&str>) -> Result<(), Mismatch> {
    let mode = |fmtp| parameter(fmtp, "packetization-mode").unwrap_or("0").to_owned();
    if mode(ours) != mode(theirs) {
        return Err(Mismatch::PacketizationMode);
    }
    if ProfileLevelId::of(ours).profile() != ProfileLevelId::of(theirs).profile() {
        return Err(Mismatch::Profile);
    }
    Ok(())
}

/// The parameters of our answer: our own, with the offered profile as it was written and a level that is not above the
/// offered one, unless both sides say that levels may differ.
pub(super) fn answered(ours: Option<&str>, theirs: Option<&str>) -> String {
    let (own, offered) = (ProfileLevelId::of(ours), ProfileLevelId::of(theirs));
    let asymmetric = |fmtp| parameter(fmtp, "level-asymmetry-allowed") == Some("1");
    let free = asymmetric(ours) && asymmetric(theirs);
    // the bit that tells 1b from 1.1 belongs to the level
    let lower = if free || own.rank() <= offered.rank() { own } else { offered };
    let level_bit = if matches!(offered.idc, 66 | 77 | 88) && lower.level == 11 { 0x10 } else { 0 };
    let iop = (offered.iop & !level_bit) | (lower.iop & level_bit);
    let chosen = format!("profile-level-id={:02X}{iop:02X}{:02X}", offered.idc, lower.level);
    let rest = ours.into_iter().flat_map(|fmtp| fmtp.split(';')).map(str::trim).filter(|part| {
        let name = part.split('=').next().unwrap_or_default().trim();
        !part.is_empty() && !name.eq_ignore_ascii_case("profile-level-id")
    });
    std::iter::once(chosen.as_str()).chain(rest).collect::<Vec<_>>().join(";")
}

/// One parameter of an `fmtp` value of the form `a=1;b=2`.
fn parameter<'a>(fmtp: Option<&'a str>, name: &str) -> Option<&'a str> {
    fmtp?.split(';').find_map(|part| {
        let (key, value) = part.split_once('=')?;
        key.trim().eq_ignore_ascii_case(name).then(|| value.trim())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fits(ours: &str, theirs: &str) -> Result<(), Mismatch> {
        fit(Some(ours), Some(theirs))
    }

    #[test]
    fn the_profile_is_read_from_all_its_spellings() {
        for baseline in ["42E01F", "42001f", "42C00C", "4D8014", "58C01E", "428014"] {
            let theirs = format!("profile-level-id={baseline}");
            assert_eq!(fits("profile-level-id=42E01F", &theirs), Ok(()), "{baseline}");
        }
        for other in ["4D001F", "64001F", "640C1F", "58001F", "6E001F"] {
            let theirs = format!("profile-level-id={other}");
            assert_eq!(fits("profile-level-id=42E01F", &theirs), Err(Mismatch::Profile), "{other}");
        }
        assert_eq!(fit(Some("profile-level-id=42E01F"), None), Ok(()), "the default is Baseline");
        assert_eq!(
            fits("profile-level-id=42E01F", "profile-level-id=zz"),
            Ok(()),
            "so is what cannot be read"
        );
    }

    #[test]
    fn a_sender_learns_mode_and_level() {
        for (fmtp, packetization_mode, level) in [
            ("profile-level-id=42E01F;packetization-mode=1", 1, 31),
            ("profile-level-id=42F00B", 0, 9),
            ("profile-level-id=640009", 0, 9),
            ("packetization-mode=x", 0, 10),
        ] {
            assert_eq!(terms(Some(fmtp)), H264Terms { packetization_mode, level }, "{fmtp}");
        }
        assert_eq!(terms(None), H264Terms { packetization_mode: 0, level: 10 });
    }

    #[test]
    fn packetization_modes_are_not_mixed() {
        assert_eq!(fits("packetization-mode=1", "packetization-mode=0"), Err(Mismatch::PacketizationMode));
        assert_eq!(fits("packetization-mode=0", "profile-level-id=42E01F"), Ok(()), "0 is the default");
    }

    #[test]
    fn the_answer_repeats_the_profile_and_never_raises_the_level() {
        for (ours, theirs, expected) in [
            (
                "profile-level-id=42E01F;packetization-mode=1",
                "profile-level-id=428014",
                "profile-level-id=428014;packetization-mode=1",
            ),
            ("profile-level-id=42E00D", "profile-level-id=42001f", "profile-level-id=42000D"),
            ("profile-level-id=42E01F", "", "profile-level-id=42000A"),
            (
                "profile-level-id=42E01F;level-asymmetry-allowed=1",
                "profile-level-id=42C014;level-asymmetry-allowed=1",
                "profile-level-id=42C01F;level-asymmetry-allowed=1",
            ),
            // 1b is above 1 and below 1.1
            ("profile-level-id=42E00B", "profile-level-id=42F00B", "profile-level-id=42F00B"),
            ("profile-level-id=42F00B", "profile-level-id=42E00B", "profile-level-id=42F00B"),
            ("profile-level-id=42E00A", "profile-level-id=42F00B", "profile-level-id=42F00A"),
        ] {
            assert_eq!(answered(Some(ours), Some(theirs)), expected, "{ours} {theirs}");
        }
    }
}
