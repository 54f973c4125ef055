//! Uncompressed pictures in files: Y4M (YUV4MPEG2) in and out, and PNG snapshots.
//!
//! Y4M is read as 4:2:0 with 8 bits, which is what ffmpeg writes by `-pix_fmt yuv420p`. PNGs are written without
//! compression: a snapshot is rare, and every viewer reads it.

use std::io::{self, BufRead, Write};

use super::Picture;

/// Longest header line.
const MAX_LINE: usize = 512;

/// Why a Y4M stream cannot be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Y4mError {
    /// Reading failed, or the stream ended within a picture.
    #[error("cannot read the Y4M stream: {}", crate::file::words::system(.0))]
    Unreadable(#[from] io::Error),
    /// The header is none, or of a kind that is not read.
    #[error(
        "no Y4M stream that can be read ({seen}); make one: ffmpeg -i IN -pix_fmt yuv420p -f yuv4mpegpipe out.y4m"
    )]
    Header {
        /// What was found.
        seen: String,
    },
}

/// Reads pictures one after the other.
#[derive(Debug)]
pub struct Y4mReader<R> {
    input: R,
    width: usize,
    height: usize,
    frame_rate: f64,
}

impl<R: BufRead> Y4mReader<R> {
    /// Reads the header.
    ///
    /// # Errors
    /// When it is none, or tells of other sampling than 4:2:0 with 8 bits.
    pub fn new(mut input: R) -> Result<Self, Y4mError> {
        let line = line(&mut input)?.unwrap_or_default();
        let refuse = |seen: &str| Err(Y4mError::Header { seen: seen.chars().take(60).collect() });
        let mut words = line.split(' ');
        if words.next() != Some("YUV4MPEG2") {
            return refuse("no YUV4MPEG2 header");
        }
        let (mut width, mut height, mut frame_rate) = (0, 0, 25.0);
        for word in words {
            let (name, value) = word.split_at_checked(1).unwrap_or((word, ""));
            match name {
                "W" => width = value.parse().unwrap_or(0),
                "H" => height = value.parse().unwrap_or(0),
                "F" => {
                    let rate = value.split_once(':').and_then(|(n, d)| {
                        Some(n.parse::<f64>().ok()? / d.parse::<f64>().ok().filter(|d| *d > 0.0)?)
                    });
                    frame_rate = rate.filter(|rate| (1.0..=240.0).contains(rate)).unwrap_or(25.0);
                }
                "C" if !matches!(value, "420" | "420jpeg" | "420mpeg2" | "420paldv") => return refuse(word),
                _ => {}
            }
        }
        let size_fits = |size: usize| (16..=4096).contains(&size) && size.is_multiple_of(2);
        if !size_fits(width) || !size_fits(height) {
            return refuse(&format!("{width} by {height}"));
        }
        Ok(Self { input, width, height, frame_rate })
    }

    /// Pictures per second.
    #[must_use]
    pub fn frame_rate(&self) -> f64 {
        self.frame_rate
    }

    /// The next picture; `None` at the end.
    ///
    /// # Errors
    /// When the stream breaks off within a picture.
    pub fn next_picture(&mut self) -> Result<Option<Picture>, Y4mError> {
        let Some(line) = line(&mut self.input)? else { return Ok(None) };
        if !line.starts_with("FRAME") {
            return Err(Y4mError::Header { seen: "no FRAME line between pictures".into() });
        }
        let mut picture = Picture::new(self.width, self.height);
        self.input.read_exact(picture.planes_mut())?;
        Ok(Some(picture))
    }
}

/// A line without its end; `None` at the end of the input.
fn line(input: &mut impl BufRead) -> Result<Option<String>, Y4mError> {
    let mut bytes = Vec::new();
    let read = io::Read::take(&mut *input, MAX_LINE as u64).read_until(b'\n', &mut bytes)?;
    if read == 0 {
        return Ok(None);
    }
    if bytes.pop() != Some(b'\n') {
        return Err(Y4mError::Header { seen: "a header line without end".into() });
    }
    Ok(Some(String::from_utf8_lossy(&bytes).into_owned()))
}

/// Writes pictures one after the other; all have the size of the first.
#[derive(Debug)]
pub struct Y4mWriter<W> {
    output: W,
    frame_rate: u32,
    size: Option<(usize, usize)>,
}

impl<W: Write> Y4mWriter<W> {
    /// Writes to `output`, to be played at so many pictures a second.
    pub fn new(output: W, frame_rate: u32) -> Self {
        Self { output, frame_rate, size: None }
    }

    /// Appends a picture. Returns `false` when it has another size than the first one and was left out.
    ///
    /// # Errors
    /// What the system says.
    pub fn write(&mut self, picture: &Picture) -> io::Result<bool> {
        let size = (picture.width(), picture.height());
        if *self.size.get_or_insert(size) != size {
            return Ok(false);
        }
        if self.frame_rate > 0 {
            writeln!(
                self.output,
                "YUV4MPEG2 W{} H{} F{}:1 Ip A1:1 C420jpeg",
                size.0, size.1, self.frame_rate
            )?;
            self.frame_rate = 0;
        }
        self.output.write_all(b"FRAME\n")?;
        self.output.write_all(picture.planes())?;
        self.output.flush()?;
        Ok(true)
    }
}

/// Writes a picture as PNG (RGB, 8 bits, ITU-R BT.601).
///
/// # Errors
/// What the system says.
pub fn write_png(picture: &Picture, output: &mut impl Write) -> io::Result<()> {
    let (width, height) = (picture.width(), picture.height());
    output.write_all(b"\x89PNG\r\n\x1a\n")?;
    let mut head = Vec::with_capacity(13);
    head.extend_from_slice(&(width as u32).to_be_bytes());
    head.extend_from_slice(&(height as u32).to_be_bytes());
    head.extend_from_slice(&[8, 2, 0, 0, 0]);
    chunk(output, *b"IHDR", &head)?;
    let [y, u, v] = picture.split();
    let mut rows = Vec::with_capacity((3 * width + 1) * height);
    for line in 0..height {
        // Filter 0: samples as they are.
        rows.push(0);
        for column in 0..width {
            let chroma = line / 2 * (width / 2) + column / 2;
            rows.extend_from_slice(&rgb(y[line * width + column], u[chroma], v[chroma]));
        }
    }
    chunk(output, *b"IDAT", &stored(&rows))?;
    chunk(output, *b"IEND", &[])
}

/// Video range to full range, BT.601.
fn rgb(y: u8, u: u8, v: u8) -> [u8; 3] {
    let luma = 298 * (i32::from(y) - 16);
    let (u, v) = (i32::from(u) - 128, i32::from(v) - 128);
    let byte = |value: i32| ((value + 128) >> 8).clamp(0, 255) as u8;
    [byte(luma + 409 * v), byte(luma - 100 * u - 208 * v), byte(luma + 516 * u)]
}

/// A zlib stream (RFC 1950) of stored blocks (RFC 1951 section 3.2.4).
fn stored(bytes: &[u8]) -> Vec<u8> {
    let mut out = vec![0x78, 0x01];
    let mut blocks = bytes.chunks(0xffff).peekable();
    while let Some(block) = blocks.next() {
        out.push(u8::from(blocks.peek().is_none()));
        let len = block.len() as u16;
        out.extend_from_slice(&len.to_le_bytes());
        out.extend_from_slice(&(!len).to_le_bytes());
        out.extend_from_slice(block);
    }
    let (mut a, mut b) = (1_u32, 0_u32);
    for byte in bytes {
        a = (a + u32::from(*byte)) % 65521;
        b = (b + a) % 65521;
    }
    out.extend_from_slice(&(b << 16 | a).to_be_bytes());
    out
}

fn chunk(output: &mut impl Write, kind: [u8; 4], data: &[u8]) -> io::Result<()> {
    output.write_all(&(data.len() as u32).to_be_bytes())?;
    output.write_all(&kind)?;
    output.write_all(data)?;
    let mut crc = u32::MAX;
    for byte in kind.iter().chain(data) {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 };
        }
    }
    output.write_all(&(!crc).to_be_bytes())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::video::Stamp;

    fn pictures() -> Vec<Picture> {
        let draw = |number| {
            let mut picture = Picture::new(176, 144);
            picture.draw_pattern(Stamp { number, at: Duration::ZERO });
            picture
        };
        (0..3).map(draw).collect()
    }

    #[test]
    fn pictures_written_as_y4m_are_read_back() {
        let mut bytes = Vec::new();
        let mut writer = Y4mWriter::new(&mut bytes, 30);
        for picture in &pictures() {
            assert!(writer.write(picture).unwrap());
        }
        assert!(!writer.write(&Picture::new(16, 16)).unwrap());
        let mut reader = Y4mReader::new(&bytes[..]).unwrap();
        assert_eq!(reader.frame_rate(), 30.0);
        for picture in pictures() {
            assert_eq!(reader.next_picture().unwrap(), Some(picture));
        }
        assert_eq!(reader.next_picture().unwrap(), None);
        let mut cut = Y4mReader::new(&bytes[..bytes.len() - 1]).unwrap();
        let read: Vec<_> = (0..3).map(|_| cut.next_picture().is_ok()).collect();
        assert_eq!(read, [true, true, false]);
    }

    #[test]
    fn what_is_no_y4m_is_refused() {
        for text in ["", "YUV4MPEG2", "PNG W16 H16\n", "YUV4MPEG2 W0 H16\n", "YUV4MPEG2 W16 H16 C444\n"] {
            assert!(Y4mReader::new(text.as_bytes()).is_err(), "{text}");
        }
        assert!(Y4mReader::new(&[b'Y'; 5000][..]).is_err());
    }

    #[test]
    fn a_png_has_right_sums_and_colours() {
        assert_eq!((rgb(16, 128, 128), rgb(235, 128, 128)), ([0; 3], [255; 3]));
        let red = rgb(81, 90, 240);
        assert!(red[0] > 250 && red[1] < 5 && red[2] < 5, "{red:?}");
        let mut png = Vec::new();
        write_png(&Picture::new(16, 16), &mut png).unwrap();
        // The end of every PNG, its sum is known.
        assert!(png.ends_with(&[0, 0, 0, 0, b'I', b'E', b'N', b'D', 0xae, 0x42, 0x60, 0x82]));
        assert_eq!(png.len(), 8 + 25 + 12 + (2 + 5 + 49 * 16 + 4) + 12);
    }
}
