//! Session descriptions: what we can do, what the far end offered, and what both agreed on.
//!
//! RFC 8866 (the text format), RFC 3264 (offer and answer), RFC 4568 (keys in the description, "SDES"),
//! RFC 4103 (real-time text), RFC 4733 (telephone-event), RFC 7587 (Opus), RFC 6184 (H.264), RFC 3605 (`a=rtcp`), RFC 5761
//! (`a=rtcp-mux`), RFC 5763 and RFC 8842 (DTLS-SRTP), RFC 3611 (`a=rtcp-xr`), RFC 5506 (`a=rtcp-rsize`), RFC 9071 (`a=rtt-mixer`), RFC 4585 and RFC 5104 (`a=rtcp-fb`), RFC 3890 (`b=TIAS`).
//!
//! The border is [`Capabilities`] in and [`Negotiated`] out; no session description text crosses it. The lossless
//! container is [`sdp_types::Session`]; everything typed is ours. Not here: candidates (ICE) and bundling: lines that need
//! them are refused in their place with the reason, never dropped.

mod accept;
mod answer;
mod capability;
mod crypto;
mod description;
mod dtls;
mod feedback;
mod formats;
mod h264;
mod negotiated;
mod offer;
mod parameters;
mod printing;
mod reading;

#[cfg(test)]
mod tests;

pub use accept::accept_answer;
pub use answer::answer;
pub(crate) use answer::answer_within;
pub use capability::{Capabilities, Codec, Direction, Marks, MediaCapability, MediaKind, Security};
pub use crypto::{CryptoError, CryptoSuite, SdesKey};
pub use description::{Origin, SdpError, SessionDescription};
pub use dtls::{
    DtlsError, DtlsIdentity, DtlsRole, Fingerprint, FingerprintHash, NegotiatedDtls, OfferedDtls,
};
pub use feedback::Feedback;
pub use negotiated::{
    H264Terms, Negotiated, NegotiatedCodec, NegotiatedCrypto, NegotiatedMedia, NegotiationFailure,
    OfferSummary, OfferedMedia, RefusedCodec, RefusedMedia, RefusedWhy,
};
pub use offer::{make_offer, reoffer};
pub use parameters::{OpusFormat, characters_per_second, telephone_events};
