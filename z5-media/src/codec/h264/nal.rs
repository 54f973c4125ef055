//! NAL units of an Annex-B byte stream (ITU-T H.264 annex B).

/// The NAL units of a byte stream, without start codes and trailing zeros; bytes before the first start code are skipped.
#[derive(Debug, Clone)]
pub struct NalUnits<'a> {
    rest: Option<&'a [u8]>,
}

/// Splits a byte stream with three-byte or four-byte start codes.
#[must_use]
pub fn nal_units(stream: &[u8]) -> NalUnits<'_> {
    NalUnits { rest: after_start_code(stream) }
}

/// Where the next start code (00 00 01) begins.
fn start_code(bytes: &[u8]) -> Option<usize> {
    bytes.windows(3).position(|window| window == [0, 0, 1])
}

fn after_start_code(bytes: &[u8]) -> Option<&[u8]> {
    start_code(bytes).map(|at| &bytes[at + 3..])
}

impl<'a> Iterator for NalUnits<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        loop {
            let rest = self.rest?;
            let end = start_code(rest);
            self.rest = end.map(|at| &rest[at + 3..]);
            let mut unit = &rest[..end.unwrap_or(rest.len())];
            // A four-byte start code and trailing zeros both leave zeros here; a NAL unit never ends with one.
            while let [head @ .., 0] = unit {
                unit = head;
            }
            if !unit.is_empty() {
                return Some(unit);
            }
        }
    }
}
