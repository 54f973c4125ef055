//! The redundancy payload (RFC 2198): block headers, then the blocks, oldest first.

/// Bits of a redundant block's timestamp offset.
pub(super) const MAX_OFFSET: u32 = (1 << 14) - 1;
/// Longest redundant block.
pub(super) const MAX_BLOCK: usize = (1 << 10) - 1;

/// One block of a redundancy payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Block<'a> {
    /// Payload type of its data.
    pub payload_type: u8,
    /// How much older than the packet's timestamp; 0 for the primary.
    pub offset: u32,
    /// Its data; may be empty.
    pub data: &'a [u8],
}

/// The blocks of a payload in order, the primary last.
#[derive(Debug, Clone)]
pub struct Blocks<'a> {
    headers: &'a [u8],
    data: &'a [u8],
    count: usize,
}

/// Splits a redundancy payload; `None` when headers or lengths run past its end.
#[must_use]
pub fn blocks(payload: &[u8]) -> Option<Blocks<'_>> {
    let (mut at, mut total, mut count) = (0, 0, 1);
    while payload.get(at)? & 0x80 != 0 {
        let header = payload.get(at..at + 4)?;
        total += usize::from(u16::from_be_bytes([header[2], header[3]])) & MAX_BLOCK;
        at += 4;
        count += 1;
    }
    let (headers, data) = payload.split_at(at + 1);
    (data.len() >= total).then_some(Blocks { headers, data, count })
}

impl Blocks<'_> {
    /// How many blocks are left, the primary included.
    #[must_use]
    pub fn count_left(&self) -> usize {
        self.count
    }
}

impl<'a> Iterator for Blocks<'a> {
    type Item = Block<'a>;

    fn next(&mut self) -> Option<Block<'a>> {
        let (first, _) = self.headers.split_first()?;
        self.count -= 1;
        if first & 0x80 == 0 {
            self.headers = &[];
            return Some(Block { payload_type: *first, offset: 0, data: self.data });
        }
        let (header, rest) = self.headers.split_at_checked(4)?;
        let word = u32::from_be_bytes([header[0], header[1], header[2], header[3]]);
        let (data, tail) = self.data.split_at_checked(word as usize & MAX_BLOCK)?;
        self.headers = rest;
        self.data = tail;
        Some(Block { payload_type: first & 0x7f, offset: word >> 10 & MAX_OFFSET, data })
    }
}

/// Writes the header of a redundant block.
pub(super) fn redundant_header(payload_type: u8, offset: u32, len: usize) -> [u8; 4] {
    let word = 0x8000_0000
        | u32::from(payload_type & 0x7f) << 24
        | (offset & MAX_OFFSET) << 10
        | (len & MAX_BLOCK) as u32;
    word.to_be_bytes()
}
