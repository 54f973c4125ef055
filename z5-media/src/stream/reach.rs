//! Where media may be sent at most: a stream learns no source outside (see the latch), takes nothing from there and sends nothing
//! there. Which addresses these are is the application's to say.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

/// A rule for addresses. Asked once for a source that is new, not for every packet of one that is known.
#[derive(Clone)]
pub struct Reach(Arc<dyn Fn(SocketAddr) -> bool + Send + Sync>);

impl Reach {
    /// This rule; it must be quick and must not block, packets wait for it.
    pub fn new(permits: impl Fn(SocketAddr) -> bool + Send + Sync + 'static) -> Self {
        Self(Arc::new(permits))
    }

    /// Whether media may be sent there.
    pub fn permits(&self, address: SocketAddr) -> bool {
        (self.0)(address)
    }
}

impl fmt::Debug for Reach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Reach")
    }
}
