//! What z5 makes of bytes, without a session: [`z5_sip::explain`] with what a session with default media can do.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use z5_sip::sdp::{DtlsIdentity, Fingerprint, FingerprintHash};
use zeroize::Zeroizing;

pub use z5_sip::explain::{
    Body, Chosen, Explained, Explanation, FaultAt, Framing, Handshake, HeaderLine, Judgement, Key, Kind,
    LineSeen, Options, Refused, SessionSeen, StartSeen, Typed, UserAgentSays, Verdict, explain,
};

use crate::config::{Media, SrtpMode};
use crate::error::CallError;
use crate::events::MediaKind;
use crate::machine::call_media::capabilities;
use crate::machine::io::{KeyPool, PortPair, ReadyMedium};

/// Options with the audio codecs and the text of [`Media::default`] and this encryption; `dtls`: of an end that has a certificate
/// for DTLS-SRTP besides.
///
/// # Errors
/// Never with the suites of this version; whatever would keep a session from offering its media.
pub fn options(srtp: SrtpMode, dtls: bool) -> Result<Options, CallError> {
    let address = IpAddr::V4(Ipv4Addr::LOCALHOST);
    // Ports and keys take part in no reason: an explanation shows neither.
    let ready = [(MediaKind::Audio, 20_000), (MediaKind::Text, 20_002)].map(|(kind, port)| ReadyMedium {
        kind,
        ports: PortPair { rtp: SocketAddr::new(address, port), rtcp: SocketAddr::new(address, port + 1) },
        keys: KeyPool(Zeroizing::new([0; KeyPool::LEN])),
        fragments: false,
    });
    let media = Media { srtp, ..Media::default() };
    let mut capabilities = capabilities(&ready, (&media, None), &[], address, false)?;
    // Which certificate takes part in no reason either.
    let fingerprint = Fingerprint::new(FingerprintHash::Sha256, &[0; 32]).ok().filter(|_| dtls);
    for medium in &mut capabilities.media {
        medium.dtls = fingerprint.clone().map(DtlsIdentity::new);
    }
    Ok(Options { kind: None, framing: None, fix_newlines: false, capabilities })
}
