//! Real-time priority for the packet threads (SCHED_FIFO, sched(7)), where the system permits it.

/// Priority above ordinary threads and below the kernel's own.
#[cfg(target_os = "linux")]
const PRIORITY: libc::c_int = 10;

/// Raises the calling thread. Says why not, with the way to permit it.
#[cfg(target_os = "linux")]
#[expect(unsafe_code, reason = "the system call has no safe form; see the SAFETY comment")]
pub(super) fn raise() -> Result<(), String> {
    let parameters = libc::sched_param { sched_priority: PRIORITY };
    // SAFETY: the parameters are live for the call, which reads them only; 0 names the calling thread.
    if unsafe { libc::sched_setscheduler(0, libc::SCHED_FIFO, &raw const parameters) } == 0 {
        return Ok(());
    }
    let error = std::io::Error::last_os_error();
    Err(format!(
        "{error}; permit it by `LimitRTPRIO={PRIORITY}` in the service's unit, `ulimit -r {PRIORITY}`, or CAP_SYS_NICE"
    ))
}

/// Elsewhere there is nothing to raise by.
#[cfg(not(target_os = "linux"))]
pub(super) fn raise() -> Result<(), String> {
    Err("this system has no SCHED_FIFO".into())
}

#[cfg(test)]
mod tests {
    #[test]
    fn it_works_or_says_how_to_permit_it() {
        // On a thread of its own, which takes its priority with it.
        let raised = std::thread::spawn(super::raise).join().unwrap();
        if let Err(why) = raised {
            assert!(why.contains("LimitRTPRIO") || why.contains("no SCHED_FIFO"), "{why}");
        }
    }
}
