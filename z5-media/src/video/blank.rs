//! A blank picture: one plain colour, an intentional one, as a complete H.264 key frame (ITU-T H.264 sections 7.3 and 9.2).
//!
//! It is what the far end sees during privacy (RFC 9248 section 6.7): neither black nor green, which look like a fault, nor
//! the last frame, which would look alive. Written bit by bit, so that it needs no encoder: the first macroblock carries
//! its samples (I_PCM), every other one predicts the same colour from its neighbours and says nothing more.

/// Luma and chroma of the colour, a slate blue.
const COLOUR: [u8; 3] = [60, 150, 112];
/// `mb_type` of a macroblock that carries its samples, and of one predicted from the mean of its neighbours without any
/// residual (table 7-11).
const I_PCM: u32 = 25;
const I_16X16_DC: u32 = 3;
/// `coeff_token` for no coefficients, by how many the neighbours have (table 9-5).
const NO_COEFFICIENTS: (u32, u8) = (0b1, 1);
const NO_COEFFICIENTS_NEXT_TO_PCM: (u32, u8) = (0b00_0011, 6);
/// Level numbers and the most macroblocks of a picture each allows (table A-1).
const LEVELS: [(u8, u32); 6] = [(10, 99), (12, 396), (21, 792), (30, 1620), (31, 3600), (51, 36_864)];

/// Writes single bits.
#[derive(Default)]
struct Bits {
    bytes: Vec<u8>,
    used: u8,
}

impl Bits {
    fn put(&mut self, value: u32, count: u8) {
        for at in (0..count).rev() {
            if self.used == 0 {
                self.bytes.push(0);
            }
            let bit = (value >> at & 1) as u8;
            if let Some(last) = self.bytes.last_mut() {
                *last |= bit << (7 - self.used);
            }
            self.used = (self.used + 1) % 8;
        }
    }

    /// Exp-Golomb (section 9.1).
    fn golomb(&mut self, value: u32) {
        let length = 32 - (value + 1).leading_zeros() as u8;
        self.put(0, length - 1);
        self.put(value + 1, length);
    }

    fn align(&mut self, bit: u32) {
        while self.used != 0 {
            self.put(bit, 1);
        }
    }

    /// A NAL unit behind a start code, with its trailing bits and emulation prevention (section 7.4.1).
    fn nal(mut self, head: u8, to: &mut Vec<u8>) {
        self.put(1, 1);
        self.align(0);
        to.extend_from_slice(&[0, 0, 0, 1, head]);
        let mut zeros = 0;
        for byte in self.bytes {
            if zeros == 2 && byte <= 3 {
                to.push(3);
                zeros = 0;
            }
            zeros = if byte == 0 { zeros + 1 } else { 0 };
            to.push(byte);
        }
    }
}

/// A blank key frame with its parameter sets, as an Annex-B byte stream. Sizes are rounded down to even ones, from 16 to
/// 2048. Two in a row must differ in `number` (section 7.4.3, `idr_pic_id`); only its last bit counts.
#[must_use]
pub fn blank(width: u32, height: u32, number: u32) -> Vec<u8> {
    let even = |size: u32| size.clamp(16, 2048) & !1;
    let (width, height) = (even(width), even(height));
    let (columns, rows) = (width.div_ceil(16), height.div_ceil(16));
    let mut stream = Vec::with_capacity(512 + (columns * rows) as usize);
    sequence_parameter_set(width, height).nal(0x67, &mut stream);
    picture_parameter_set().nal(0x68, &mut stream);
    slice(columns, rows, number & 1).nal(0x65, &mut stream);
    stream
}

fn sequence_parameter_set(width: u32, height: u32) -> Bits {
    let (columns, rows) = (width.div_ceil(16), height.div_ceil(16));
    let level = LEVELS.iter().find(|(_, most)| columns * rows <= *most).map_or(51, |(level, _)| *level);
    let mut set = Bits::default();
    set.put(66, 8);
    // Constrained baseline: every constraint up to set 2 holds.
    set.put(0xe0, 8);
    set.put(level.into(), 8);
    set.golomb(0); // seq_parameter_set_id
    set.golomb(0); // log2_max_frame_num_minus4
    set.golomb(2); // pic_order_cnt_type: output order is decoding order
    set.golomb(1); // max_num_ref_frames
    set.put(0, 1);
    set.golomb(columns - 1);
    set.golomb(rows - 1);
    set.put(1, 1); // frame_mbs_only_flag
    set.put(1, 1); // direct_8x8_inference_flag
    let (right, bottom) = ((columns * 16 - width) / 2, (rows * 16 - height) / 2);
    let cropped = right + bottom > 0;
    set.put(cropped.into(), 1);
    if cropped {
        [0, right, 0, bottom].into_iter().for_each(|side| set.golomb(side));
    }
    set.put(0, 1); // no usability information
    set
}

fn picture_parameter_set() -> Bits {
    let mut set = Bits::default();
    set.golomb(0);
    set.golomb(0);
    set.put(0, 2); // CAVLC, no field order
    set.golomb(0); // one slice group
    set.golomb(0);
    set.golomb(0);
    set.put(0, 3); // no weighted prediction
    set.golomb(0);
    set.golomb(0);
    set.golomb(0);
    set.put(0b100, 3); // deblocking_filter_control_present_flag
    set
}

fn slice(columns: u32, rows: u32, number: u32) -> Bits {
    let mut slice = Bits::default();
    slice.golomb(0); // first_mb_in_slice
    slice.golomb(7); // slice_type: I, and so are all of this picture
    slice.golomb(0); // pic_parameter_set_id
    slice.put(0, 4); // frame_num
    slice.golomb(number); // idr_pic_id
    slice.put(0, 2); // dec_ref_pic_marking
    slice.golomb(0); // slice_qp_delta
    slice.golomb(1); // disable_deblocking_filter_idc
    slice.golomb(I_PCM);
    slice.align(0);
    for (sample, count) in COLOUR.into_iter().zip([256, 64, 64]) {
        (0..count).for_each(|_| slice.put(sample.into(), 8));
    }
    for at in 1..columns * rows {
        slice.golomb(I_16X16_DC);
        slice.golomb(0); // intra_chroma_pred_mode: mean
        slice.golomb(0); // mb_qp_delta
        // The first has sixteen coefficients in each block as far as its neighbours are concerned (section 9.2.1); of those
        // only the right one and the lower one see nothing else.
        let (token, length) = match at == 1 && columns > 1 || at == columns {
            true => NO_COEFFICIENTS_NEXT_TO_PCM,
            false => NO_COEFFICIENTS,
        };
        slice.put(token, length);
    }
    slice
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::h264::nal_units;
    use crate::video::sequence_parameters;

    #[test]
    fn a_blank_picture_is_a_small_key_frame_of_the_size_asked_for() {
        for (width, height) in
            [(16, 16), (176, 144), (352, 288), (640, 480), (1280, 720), (1920, 1080), (98, 50)]
        {
            let stream = blank(width, height, 0);
            let kinds: Vec<u8> = nal_units(&stream).map(|unit| unit[0] & 0x1f).collect();
            assert_eq!(kinds, [7, 8, 5]);
            let set = nal_units(&stream).find_map(sequence_parameters).unwrap();
            assert_eq!((set.width, set.height), (width, height));
            assert!(
                stream.len() < 520 + (width as usize / 16 + 1) * (height as usize / 16 + 1),
                "{}",
                stream.len()
            );
        }
        assert_ne!(blank(176, 144, 0), blank(176, 144, 1));
        assert_eq!(blank(0, u32::MAX, 0), blank(16, 2048, 2));
    }

    #[cfg(feature = "openh264")]
    #[test]
    fn a_decoder_shows_one_colour_everywhere() {
        let mut decoder = crate::video::openh264::PictureDecoder::new().unwrap();
        for (width, height) in [(352, 288), (176, 144), (640, 480), (98, 50), (16, 64)] {
            for number in 0..2 {
                let picture = decoder.decode(&blank(width, height, number)).unwrap().unwrap();
                assert_eq!((picture.width(), picture.height()), (width as usize, height as usize));
                for (plane, sample) in picture.split().into_iter().zip(COLOUR) {
                    assert!(
                        plane.iter().all(|other| *other == sample),
                        "{width} {height} {:?}",
                        &plane[..20]
                    );
                }
            }
        }
    }
}
