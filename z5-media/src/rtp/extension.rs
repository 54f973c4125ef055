//! One-byte and two-byte header extension elements (RFC 8285 section 4).

/// One element of a header extension.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extension<'a> {
    /// Local identifier, as mapped by `a=extmap`.
    pub id: u8,
    /// Its data; may be empty in the two-byte form.
    pub data: &'a [u8],
}

/// The elements of a header extension with this profile word; none if the profile is not RFC 8285's.
///
/// An element that runs past the end stops the reading.
pub fn extensions(profile: u16, data: &[u8]) -> impl Iterator<Item = Extension<'_>> {
    let form = match profile {
        0xbede => Form::OneByte,
        // The lowest four bits are "appbits" (RFC 8285 section 4.3).
        0x1000..=0x100f => Form::TwoByte,
        _ => Form::Other,
    };
    let mut rest = data;
    std::iter::from_fn(move || next(form, &mut rest))
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    OneByte,
    TwoByte,
    Other,
}

fn next<'a>(form: Form, rest: &mut &'a [u8]) -> Option<Extension<'a>> {
    // Zero bytes between elements are padding.
    while let [0, tail @ ..] = rest {
        *rest = tail;
    }
    let (id, len, tail) = match (form, *rest) {
        // Identifier 15 ends the processing of the one-byte form (section 4.2).
        (Form::OneByte, [head, tail @ ..]) if head >> 4 != 15 => {
            (head >> 4, usize::from(head & 15) + 1, tail)
        }
        (Form::TwoByte, [id, len, tail @ ..]) => (*id, usize::from(*len), tail),
        (Form::OneByte | Form::TwoByte | Form::Other, _) => return None,
    };
    let (data, tail) = tail.split_at_checked(len)?;
    *rest = tail;
    Some(Extension { id, data })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(profile: u16, data: &[u8]) -> Vec<(u8, Vec<u8>)> {
        extensions(profile, data).map(|e| (e.id, e.data.to_vec())).collect()
    }

    #[test]
    fn one_byte_elements_with_padding() {
        let data = [0x10, 0xaa, 0x21, 0xbb, 0xcc, 0, 0, 0x30, 0xdd, 0];
        assert_eq!(read(0xbede, &data), [(1, vec![0xaa]), (2, vec![0xbb, 0xcc]), (3, vec![0xdd])]);
    }

    #[test]
    fn two_byte_elements_may_be_empty() {
        assert_eq!(read(0x1000, &[9, 0, 20, 2, 1, 2]), [(9, vec![]), (20, vec![1, 2])]);
    }

    #[test]
    fn overlong_elements_and_identifier_15_stop_the_reading() {
        assert_eq!(read(0xbede, &[0x13, 1, 2]), []);
        assert_eq!(read(0xbede, &[0xf0, 1, 0x10, 2]), []);
        assert_eq!(read(0x1003, &[1, 200, 1]), []);
        assert_eq!(read(0x1234, &[0x10, 0xaa]), []);
    }
}
