//! What z5 makes of bytes, without a session: [`z5_sip::explain`] with what a session with default media can do.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use zeroize::Zeroizing;

pub use z5_sip::explain::{
    Body, Chosen, Explained, Explanation, FaultAt, Framing, HeaderLine, Judgement, Key, Kind, LineSeen,
    Options, Refused, SessionSeen, StartSeen, Typed, UserAgentSays, Verdict, explain,
};

use crate::config::{Media, SrtpMode};
use crate::error::CallError;
use crate::events::MediaKind;
use crate::machine::call_media::capabilities;
use crate::machine::io::{KeyPool, PortPair, ReadyMedium};

/// Options with the audio codecs and the text of [`Media::default`] and this encryption.
///
/// # Errors
/// Never with the suites of this version; whatever would keep a session from offering its media.
pub fn options(srtp: SrtpMode) -> Result<Options, CallError> {
    let address = IpAddr::V4(Ipv4Addr::LOCALHOST);
    // Ports and keys take part in no reason: an explanation shows neither.
    let ready = [(MediaKind::Audio, 20_000), (MediaKind::Text, 20_002)].map(|(kind, port)| ReadyMedium {
        kind,
        ports: PortPair { rtp: SocketAddr::new(address, port), rtcp: SocketAddr::new(address, port + 1) },
        keys: KeyPool(Zeroizing::new([0; KeyPool::LEN])),
    });
    let media = Media { srtp, ..Media::default() };
    let capabilities = capabilities(&ready, &media, &[], address, false)?;
    Ok(Options { kind: None, framing: None, fix_newlines: false, capabilities })
}
