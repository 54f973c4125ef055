//! z5-sip.
