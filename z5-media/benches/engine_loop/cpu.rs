//! CPU time of threads, and the clock.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

/// The threads of this process.
pub(crate) fn threads() -> BTreeSet<u32> {
    let tasks = std::fs::read_dir("/proc/self/task").expect("Linux lists threads there");
    tasks.filter_map(|task| task.ok()?.file_name().to_str()?.parse().ok()).collect()
}

/// CPU time of these threads so far.
pub(crate) fn of(threads: &BTreeSet<u32>) -> Duration {
    threads.iter().map(|thread| read(&format!("/proc/self/task/{thread}/schedstat"))).sum()
}

fn read(path: &str) -> Duration {
    let text = std::fs::read_to_string(path).expect("Linux tells CPU time there");
    Duration::from_nanos(text.split(' ').next().and_then(|n| n.parse().ok()).expect("a number"))
}

/// How often these threads went to sleep so far.
pub(crate) fn sleeps(threads: &BTreeSet<u32>) -> u64 {
    let of = |thread| {
        let status = std::fs::read_to_string(format!("/proc/self/task/{thread}/status")).expect("it runs");
        let count = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
        count.and_then(|count| count.trim().parse::<u64>().ok()).expect("a number")
    };
    threads.iter().map(of).sum()
}

#[expect(clippy::disallowed_methods, reason = "a benchmark measures real time")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// Lets that much time pass.
pub(crate) fn pass(time: Duration) {
    let end = now() + time;
    while now() < end {
        std::thread::park_timeout(end.saturating_duration_since(now()));
    }
}

/// The middle of some values.
pub(crate) fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN)
}
