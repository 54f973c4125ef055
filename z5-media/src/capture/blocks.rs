//! The blocks of a pcapng file (draft-ietf-opsawg-pcapng): section header, one interface of link type RAW, enhanced packet
//! blocks, and decryption secrets blocks with the key log of TLS.

use std::io::{self, Write};

/// Section header block.
pub(super) const SECTION: u32 = 0x0a0d_0d0a;
/// Interface description block.
pub(super) const INTERFACE: u32 = 1;
/// Enhanced packet block.
pub(super) const PACKET: u32 = 6;
/// Decryption secrets block.
pub(super) const SECRETS: u32 = 10;
/// Secrets of the type "TLS key log", in the form of SSLKEYLOGFILE. There is no type for SRTP.
const TLS_KEY_LOG: u32 = 0x544c_534b;
/// Link type RAW: an IPv4 or IPv6 packet without anything before it.
const RAW: u16 = 101;
/// Option `if_tsresol`: timestamps in nanoseconds.
const RESOLUTION: [u8; 8] = [9, 0, 1, 0, 9, 0, 0, 0];

/// Writes the head of the file.
pub(super) fn begin(file: &mut impl Write) -> io::Result<()> {
    // Byte order, version 1.0, length of the section unknown.
    let mut section = Vec::from(0x1a2b_3c4d_u32.to_le_bytes());
    section.extend_from_slice(&[1, 0, 0, 0]);
    section.extend_from_slice(&[0xff; 8]);
    block(file, SECTION, &[&section])?;
    let mut interface = Vec::from(RAW.to_le_bytes());
    interface.extend_from_slice(&[0; 6]);
    interface.extend_from_slice(&RESOLUTION);
    interface.extend_from_slice(&[0; 4]);
    block(file, INTERFACE, &[&interface])?;
    file.flush()
}

/// Writes one IP packet.
pub(super) fn packet(file: &mut impl Write, nanos: u64, packet: &[u8]) -> io::Result<()> {
    let mut head = [0_u8; 20];
    head[4..8].copy_from_slice(&((nanos >> 32) as u32).to_le_bytes());
    head[8..12].copy_from_slice(&(nanos as u32).to_le_bytes());
    let len = (packet.len() as u32).to_le_bytes();
    head[12..16].copy_from_slice(&len);
    head[16..20].copy_from_slice(&len);
    block(file, PACKET, &[&head, packet])
}

/// Writes lines of a TLS key log. They must stand before the packets that they open.
pub(super) fn secrets(file: &mut impl Write, lines: &[u8]) -> io::Result<()> {
    block(file, SECRETS, &[&TLS_KEY_LOG.to_le_bytes(), &(lines.len() as u32).to_le_bytes(), lines])
}

/// A block: type, length, body filled up to a word, length again.
fn block(file: &mut impl Write, kind: u32, parts: &[&[u8]]) -> io::Result<()> {
    let body: usize = parts.iter().map(|part| part.len()).sum();
    let padding = body.next_multiple_of(4) - body;
    let len = ((12 + body + padding) as u32).to_le_bytes();
    file.write_all(&kind.to_le_bytes())?;
    file.write_all(&len)?;
    for part in parts {
        file.write_all(part)?;
    }
    file.write_all(&[0; 4][..padding])?;
    file.write_all(&len)
}
