//! How many sockets the process may have open (RLIMIT_NOFILE, getrlimit(2)): asked for before thousands of calls come, so that
//! the refusal is clear and comes first.

/// Descriptors that a program needs besides its calls: files, threads' wakers, SIP, standard streams.
const BESIDES: u64 = 64;
/// Sockets of a stream with ports of its own: RTP and RTCP.
const PER_STREAM: u64 = 2;

/// The system does not allow so many open sockets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "{streams} media streams with ports of their own need {wanted} open files, and the system allows {allowed}: raise it by \
     `ulimit -n {wanted}` or `LimitNOFILE={wanted}` in the service's unit, or let the streams share ports"
)]
pub struct TooFewFiles {
    /// Streams that were asked for.
    pub streams: usize,
    /// Open files they need.
    pub wanted: u64,
    /// What can be had.
    pub allowed: u64,
}

/// Makes room for so many streams with ports of their own, as far as the system lets a program do that itself. Where the limit
/// is not known (not Unix-like Linux) nothing is done, and a port that cannot be bound tells.
///
/// # Errors
/// When the system does not allow as many.
pub fn room_for(streams: usize) -> Result<(), TooFewFiles> {
    let wanted = PER_STREAM * streams as u64 + BESIDES;
    let Some((soft, hard)) = system::limits() else { return Ok(()) };
    match limit(wanted, soft, hard) {
        Ok(None) => Ok(()),
        Ok(Some(raised)) if system::raise(raised, hard) => Ok(()),
        Ok(Some(_)) => Err(TooFewFiles { streams, wanted, allowed: soft }),
        Err(allowed) => Err(TooFewFiles { streams, wanted, allowed }),
    }
}

/// The soft limit to set, `None` when it is high enough; or the most that can be had.
fn limit(wanted: u64, soft: u64, hard: u64) -> Result<Option<u64>, u64> {
    match wanted {
        _ if wanted <= soft => Ok(None),
        _ if wanted <= hard => Ok(Some(wanted)),
        _ => Err(hard),
    }
}

#[cfg(target_os = "linux")]
mod system {
    /// The soft and the hard limit.
    #[expect(unsafe_code, reason = "the system call has no safe form; see the SAFETY comment")]
    pub(super) fn limits() -> Option<(u64, u64)> {
        let mut limits = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
        // SAFETY: the structure is live for the call, which writes it only.
        let done = unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limits) } == 0;
        done.then_some((limits.rlim_cur, limits.rlim_max))
    }

    /// Sets the soft limit; says whether that was done.
    #[expect(unsafe_code, reason = "the system call has no safe form; see the SAFETY comment")]
    pub(super) fn raise(soft: u64, hard: u64) -> bool {
        let limits = libc::rlimit { rlim_cur: soft, rlim_max: hard };
        // SAFETY: the structure is live for the call, which reads it only.
        unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limits) == 0 }
    }
}

#[cfg(not(target_os = "linux"))]
mod system {
    pub(super) fn limits() -> Option<(u64, u64)> {
        None
    }

    pub(super) fn raise(_soft: u64, _hard: u64) -> bool {
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_raised_as_far_as_the_system_allows_and_no_further() {
        assert_eq!(limit(1024, 1024, 4096), Ok(None));
        assert_eq!(limit(1025, 1024, 4096), Ok(Some(1025)));
        assert_eq!(limit(4096, 1024, 4096), Ok(Some(4096)));
        assert_eq!(limit(4097, 1024, 4096), Err(4096));
    }

    #[test]
    fn a_few_streams_have_room_and_an_absurd_number_is_refused_with_advice() {
        room_for(10).unwrap();
        let Err(error) = room_for(usize::MAX / 4) else { return };
        assert!(error.to_string().contains("ulimit -n"), "{error}");
    }
}
