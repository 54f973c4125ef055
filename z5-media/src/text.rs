//! Real-time text: T.140 over RTP (RFC 4103), with redundancy by RFC 2198.
//!
//! One primary and two redundant generations, text buffered 300 ms at most, lost text shown as U+FFFD. Of a mixer that
//! names its sources (RFC 9071) each is told apart.

mod names;
mod parties;
mod receiver;
mod red;
mod sender;

pub use names::Labels;
pub use parties::Said;
pub use receiver::TextReceiver;
pub use red::{Block, Blocks, blocks};
pub use sender::{TextNews, TextPacket, TextSender};

use std::time::Duration;

/// Redundant generations sent (RFC 4103 section 4).
pub const GENERATIONS: usize = 2;
/// Longest time text waits for company, and between transmissions (RFC 4103 section 5.1).
pub const BUFFERING: Duration = Duration::from_millis(300);
/// A packet leaves at least this often, so that the relay's and the NAT's bindings live (RFC 6263).
pub const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// Longest wait for a packet that may only be late (RFC 4103 section 5.4).
pub const REORDER_WAIT: Duration = Duration::from_secs(1);
/// Shown in place of text that was lost (RFC 4103 section 5.4).
pub const LOST: char = '\u{fffd}';
/// Byte order mark: sent first and as keep-alive, ignored when received (T.140 section 8.3).
pub const BOM: char = '\u{feff}';
/// T.140's line separator.
pub const LINE_SEPARATOR: char = '\u{2028}';

#[cfg(test)]
mod tests;
