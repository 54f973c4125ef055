//! Borders to other crates: for programs that already use one, and as a second opinion in tests.

#[cfg(feature = "rsip")]
pub mod rsip;
