//! Source descriptions (RFC 3550 section 6.5): what sources are called. Only CNAME and NAME are read; a mixer describes those
//! it mixes by their CSRC (RFC 9071 has it do so, for labels).

use super::{SDES, next};

const CNAME: u8 = 1;
const NAME: u8 = 2;

/// What a source is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Called<'a> {
    /// The canonical name: one for all streams of an end; often random (RFC 7022).
    Cname(&'a [u8]),
    /// The name of the person.
    Name(&'a [u8]),
}

/// Tells what a compound calls its sources, UTF-8 by their word. Of a compound that [`read`](super::read) refuses the beginning
/// is told.
pub fn descriptions(compound: &[u8], mut tell: impl FnMut(u32, Called<'_>)) {
    let mut rest = compound;
    while let Ok(((count, kind), body, tail)) = next(rest) {
        if kind == SDES {
            let mut chunks = body;
            for _ in 0..count {
                let Some(after) = chunk(chunks, &mut tell) else { break };
                chunks = after;
            }
        }
        rest = tail;
    }
}

/// One source and its items, up to the zero that ends them and fills a word; what follows it.
fn chunk<'a>(bytes: &'a [u8], tell: &mut impl FnMut(u32, Called<'_>)) -> Option<&'a [u8]> {
    let ssrc = u32::from_be_bytes(*bytes.first_chunk()?);
    let mut at = 4;
    loop {
        let kind = *bytes.get(at)?;
        if kind == 0 {
            // At least one, up to the next word.
            return bytes.get(at / 4 * 4 + 4..);
        }
        let len = usize::from(*bytes.get(at + 1)?);
        let text = bytes.get(at + 2..at + 2 + len)?;
        match kind {
            CNAME => tell(ssrc, Called::Cname(text)),
            NAME => tell(ssrc, Called::Name(text)),
            _ => {}
        }
        at += 2 + len;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A description of sources, each with its items.
    fn described(sources: &[(u32, &[(u8, &str)])]) -> Vec<u8> {
        let mut body = Vec::new();
        for (ssrc, items) in sources {
            body.extend(ssrc.to_be_bytes());
            for (kind, text) in *items {
                body.extend([*kind, text.len() as u8]);
                body.extend(text.as_bytes());
            }
            body.resize(body.len() / 4 * 4 + 4, 0);
        }
        let words = (body.len() / 4) as u8;
        [vec![0x80 | sources.len() as u8, SDES, 0, words], body].concat()
    }

    fn all(compound: &[u8]) -> Vec<(u32, String)> {
        let mut told = Vec::new();
        descriptions(compound, |ssrc, called| told.push((ssrc, format!("{called:?}"))));
        told
    }

    #[test]
    fn each_source_of_a_compound_is_told_with_its_names() {
        let receiver = [0x80, 201, 0, 1, 0, 0, 0, 1];
        let names =
            described(&[(7, &[(1, "a@b"), (4, "elsewhere"), (2, "Ann")]), (9, &[]), (11, &[(2, "Bo")])]);
        let more = described(&[(13, &[(1, "12")])]);
        let compound = [&receiver[..], &names, &more].concat();
        assert!(super::super::read(&compound, drop).is_ok());
        let name = |text: &str| format!("{:?}", Called::Name(text.as_bytes()));
        let cname = |text: &str| format!("{:?}", Called::Cname(text.as_bytes()));
        let told = [(7, cname("a@b")), (7, name("Ann")), (11, name("Bo")), (13, cname("12"))];
        assert_eq!(all(&compound), told);
        // An item that goes beyond its packet ends the reading of it.
        let cut = described(&[(7, &[(2, "Ann")])]);
        assert_eq!(all(&[&[0x81, SDES, 0, 2], &cut[4..9], &[200, 0, 0]].concat()), []);
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic_and_no_name_is_longer_than_its_packet(
            bytes in proptest::collection::vec(any::<u8>(), 0..120), count in 0_u8..32
        ) {
            let mut bytes = bytes;
            if bytes.len() > 3 {
                bytes[..3].copy_from_slice(&[0x80 | count, SDES, 0]);
                bytes[3] &= 31;
            }
            descriptions(&bytes, |_, called| {
                let (Called::Cname(text) | Called::Name(text)) = called;
                assert!(text.len() < bytes.len());
            });
        }
    }
}
