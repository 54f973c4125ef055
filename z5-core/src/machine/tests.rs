//! The five-step machine with fake time.
