//! The two tables of impairments of a scenario file.

use super::file::ImpairmentTable;
use super::judge::Judge;
use crate::impairment;

/// None where something is wrong with it.
pub(super) fn impaired(
    table: &str,
    given: &ImpairmentTable,
    judge: &mut Judge<'_>,
) -> Option<crate::Impairment> {
    let key = |name: &str| format!("{table}.{name}");
    let length = given.burst_length.as_ref();
    if let Some(length) = length.filter(|length| !(1.0..=1e6).contains(length.get_ref())) {
        judge.wrong(length, &key("burst_length"), "a burst is one packet long at least");
    }
    let rate = given.rate.as_ref().and_then(|text| {
        let rate = impairment::bits(text.get_ref());
        if rate.is_none() {
            let why = format!(
                "{:?} is no rate; write bits a second, for example \"300k\" or \"2M\"",
                text.get_ref()
            );
            judge.wrong(text, &key("rate"), why);
        }
        rate
    });
    let parts = impairment::Parts {
        loss: judge.share(&key("loss"), given.loss.as_ref()),
        burst: given.burst.as_ref().map(|share| judge.share(&key("burst"), Some(share))),
        burst_length: length.map(|length| *length.get_ref()),
        reorder: judge.share(&key("reorder"), given.reorder.as_ref()),
        duplicate: judge.share(&key("duplicate"), given.duplicate.as_ref()),
        delay: judge.time(&key("delay"), &given.delay).unwrap_or_default(),
        jitter: judge.time(&key("jitter"), &given.jitter).unwrap_or_default(),
        rate,
        queue: judge.time(&key("queue"), &given.queue),
    };
    match (parts.whole(), length, &given.queue) {
        (Ok(impairment), ..) => return Some(impairment),
        (Err(why), Some(length), _) if parts.burst.is_none() => {
            judge.wrong(length, &key("burst_length"), why)
        }
        // A rate that cannot be read has been told already.
        (Err(why), _, Some(queue)) if given.rate.is_none() => judge.wrong(queue, &key("queue"), why),
        (Err(_), ..) => {}
    }
    None
}
