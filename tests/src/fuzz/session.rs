//! What of z5-core meets bytes from outside: SIP messages that are explained, and configuration files. Apart from the others
//! because all of z5-core, with its TLS and HTTP, has to be built for them (feature `session`).

use z5_core::config::SrtpMode;
use z5_core::explain::{Framing, Options, Verdict, options};
use z5_media::clock;

/// `z5 explain`: every way to read the bytes comes to a verdict, and no place lies outside them.
///
/// # Panics
/// When a verdict has no reason or a place is outside the input.
pub fn explain(bytes: &[u8]) {
    let Ok(options) = options(SrtpMode::Optional, true) else { return };
    for framing in [None, Some(Framing::Datagram), Some(Framing::Stream)] {
        let told = z5_core::explain::explain(bytes, &Options { framing, ..options.clone() }, clock::now());
        let judgement = &told.judgement;
        assert!(
            judgement.verdict == Verdict::Accept || judgement.reason.is_some(),
            "a bad verdict has a reason"
        );
        assert_eq!(
            judgement.verdict == Verdict::Refuse,
            judgement.status.is_some(),
            "and a refusal a status"
        );
        for message in &told.messages {
            assert!(message.offset + message.length <= bytes.len(), "a message lies inside the input");
            for fault in &message.faults {
                assert!((message.offset..=bytes.len()).contains(&fault.offset), "so does its fault");
            }
        }
    }
    let fixed = Options { fix_newlines: true, ..options };
    let _ = z5_core::explain::explain(bytes, &fixed, clock::now());
}

/// A configuration file.
pub fn config(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Err(error) = z5_core::Config::parse(text, "fuzz.toml") {
        assert!(error.code().starts_with("config."), "every refusal has a code");
        assert!(!error.to_string().is_empty(), "and words");
    }
}
