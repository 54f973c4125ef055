//! What a bad network does, as a tester describes it: loss one by one and in bursts, delay, jitter, reordering, duplication, a bottleneck.
//!
//! `link` does it to packets, `pipe` to streams. As text, for the command line: `loss=2%,burst=3%,burst_length=8,delay=40ms,jitter=10ms,
//! reorder=1%,duplicate=1%,rate=300k,queue=200ms`.

use std::fmt;
use std::str::FromStr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::fault::name::nearest;
use crate::fault::order::duration;
use crate::twice::{self, Twice};

/// How packets are impaired on their way; the default is not at all.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Impairment {
    /// Share of packets lost one by one, 0 to 1.
    pub loss: f64,
    /// Losses that come together, beside those.
    pub burst: Option<Burst>,
    /// Every packet is this late.
    pub delay: Duration,
    /// And up to this much later, evenly spread. More than the packets' distance also reorders them.
    pub jitter: Duration,
    /// Share of packets that overtake the delay and so arrive before earlier ones, 0 to 1.
    pub reorder: f64,
    /// Share of packets that arrive twice, 0 to 1.
    pub duplicate: f64,
    /// A bottleneck: what comes faster waits, and is late.
    pub rate: Option<Rate>,
}

/// Losses that come together, by the model of Gilbert and Elliott: a path is good, where packets are lost one by one
/// ([`Impairment::loss`]), or bad for a while.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Burst {
    /// Probability, for each packet of a good path, that it is bad from that packet on, 0 to 1.
    pub begins: f64,
    /// Probability, for each packet of a bad path, that it is good again after it, 0 to 1.
    pub ends: f64,
    /// Share of packets lost while the path is bad, 0 to 1.
    pub loss: f64,
}

/// The length of a burst where none is given, in packets.
const BURST_LENGTH: f64 = 8.0;
/// The longest wait in front of a bottleneck where none is given.
const QUEUE: Duration = Duration::from_millis(200);

impl Burst {
    /// Bursts in which everything is lost, `length` packets long in the mean, and a `share` of all packets (0 to 1).
    pub fn of(share: f64, length: f64) -> Self {
        let (share, ends) = (share.clamp(0.0, 1.0), 1.0 / length.max(1.0));
        match share < 1.0 {
            true => Self { begins: (ends * share / (1.0 - share)).min(1.0), ends, loss: 1.0 },
            false => Self { begins: 1.0, ends: 0.0, loss: 1.0 },
        }
    }

    /// The share of packets that are in a burst, in the mean, 0 to 1.
    pub fn share(&self) -> f64 {
        if self.begins > 0.0 { self.begins / (self.begins + self.ends) } else { 0.0 }
    }
}

/// A bottleneck: a token bucket of one full packet with a bounded queue in front of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// What it lets through, in bits a second, IP and UDP headers counted.
    pub bits_per_second: u64,
    /// The longest that a packet waits; what would wait longer is lost. A stream is read more slowly instead.
    pub queue: Duration,
}

impl Rate {
    /// This many bits a second, with a queue of 200 ms.
    pub const fn bits(bits_per_second: u64) -> Self {
        Self { bits_per_second, queue: QUEUE }
    }

    /// How long so many bytes take.
    pub(crate) fn lasts(&self, bytes: usize) -> Duration {
        let nanoseconds = bytes as u128 * 8 * 1_000_000_000 / u128::from(self.bits_per_second.max(1));
        Duration::from_nanos(u64::try_from(nanoseconds).unwrap_or(u64::MAX))
    }
}

/// Why a description of an impairment is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadImpairment {
    /// No such word.
    #[error("{word:?} is none of {}{}", KEYS.join(", "), nearest.as_deref().map(|name| format!("; did you mean {name}?")).unwrap_or_default())]
    Key {
        /// What stands there.
        word: String,
        /// The one that is most like it, if one is.
        nearest: Option<String>,
    },
    /// The share 1 without a percent sign: one packet in a hundred, or every one?
    #[error(
        "{key}: {value:?} says two things: write 1% for one packet in a hundred, or 100% for all of them"
    )]
    Ambiguous {
        /// Of which key.
        key: &'static str,
        /// What stands there.
        value: String,
    },
    /// A value that is none.
    #[error("{key}: {value:?} is {wanted}")]
    Value {
        /// Of which key.
        key: &'static str,
        /// What stands there.
        value: String,
        /// What may.
        wanted: &'static str,
    },
    /// A key with two values.
    #[error(transparent)]
    Twice(#[from] Twice),
    /// A key that means something only beside another.
    #[error("{key} says something only beside {beside}")]
    Alone {
        /// Which.
        key: &'static str,
        /// What is missing.
        beside: &'static str,
    },
}

const KEYS: [&str; 9] =
    ["loss", "burst", "burst_length", "delay", "jitter", "reorder", "duplicate", "rate", "queue"];

/// An impairment as it is put together from its keys; every reader of one (command line, scenario files) ends here.
#[derive(Clone, Debug, Default)]
pub struct Parts {
    /// Share of single losses.
    pub loss: f64,
    /// Share of losses in bursts.
    pub burst: Option<f64>,
    /// Their mean length in packets.
    pub burst_length: Option<f64>,
    /// As in [`Impairment`].
    pub delay: Duration,
    /// As in [`Impairment`].
    pub jitter: Duration,
    /// As in [`Impairment`].
    pub reorder: f64,
    /// As in [`Impairment`].
    pub duplicate: f64,
    /// Bits a second.
    pub rate: Option<u64>,
    /// The longest wait in front of the bottleneck.
    pub queue: Option<Duration>,
}

impl Parts {
    /// The impairment.
    ///
    /// # Errors
    /// A length of bursts without bursts, a queue without a bottleneck.
    pub fn whole(&self) -> Result<Impairment, BadImpairment> {
        if self.burst.is_none() && self.burst_length.is_some() {
            return Err(BadImpairment::Alone { key: "burst_length", beside: "burst" });
        }
        if self.rate.is_none() && self.queue.is_some() {
            return Err(BadImpairment::Alone { key: "queue", beside: "rate" });
        }
        let length = self.burst_length.unwrap_or(BURST_LENGTH);
        Ok(Impairment {
            loss: self.loss,
            burst: self.burst.map(|share| Burst::of(share, length)),
            delay: self.delay,
            jitter: self.jitter,
            reorder: self.reorder,
            duplicate: self.duplicate,
            rate: self
                .rate
                .map(|bits_per_second| Rate { bits_per_second, queue: self.queue.unwrap_or(QUEUE) }),
        })
    }
}

/// What may stand for each kind of value.
const SHARE: &str = "no share; write for example 2.5% or 0.025";
const TIME: &str = "no time; write for example 40ms or 1s";
const LENGTH: &str = "no number of packets from 1 on";
const BITS: &str = "no rate; write bits a second, for example 300k or 2M";

/// `2.5%` or `0.025`.
pub fn share(text: &str) -> Option<f64> {
    let (number, part) = text.strip_suffix('%').map_or((text, 1.0), |number| (number, 100.0));
    let share = number.trim().parse::<f64>().ok()? / part;
    (0.0..=1.0).contains(&share).then_some(share)
}

/// `300k`, `2M`, `64000`: bits a second.
pub fn bits(text: &str) -> Option<u64> {
    let (number, times) = match text.strip_suffix(['k', 'K']) {
        Some(number) => (number, 1_000.0),
        None => text.strip_suffix('M').map_or((text, 1.0), |number| (number, 1_000_000.0)),
    };
    let bits = number.trim().parse::<f64>().ok()? * times;
    (1.0..=1e12).contains(&bits).then_some(bits as u64)
}

/// A mean length in packets.
pub fn length(text: &str) -> Option<f64> {
    text.parse::<f64>().ok().filter(|length| (1.0..=1e6).contains(length))
}

impl Impairment {
    /// The keys of it that only datagrams feel: what is lost, doubled or overtakes in a stream is TCP's to mend.
    pub fn of_datagrams(&self) -> Vec<&'static str> {
        let keys = [
            ("loss", self.loss > 0.0),
            ("burst", self.burst.is_some()),
            ("reorder", self.reorder > 0.0),
            ("duplicate", self.duplicate > 0.0),
        ];
        keys.into_iter().filter(|(_, given)| *given).map(|(key, _)| key).collect()
    }
}

impl FromStr for Impairment {
    type Err = BadImpairment;

    /// `KEY=VALUE,...`, or `off`.
    fn from_str(text: &str) -> Result<Self, BadImpairment> {
        let mut parts = Parts::default();
        if text == "off" {
            return parts.whole();
        }
        twice::check(text)?;
        for entry in text.split(',') {
            let (word, value) = entry.split_once('=').unwrap_or((entry, ""));
            let (word, value) = (word.trim(), value.trim());
            let Some(key) = KEYS.into_iter().find(|key| *key == word) else {
                let nearest = nearest(word, KEYS.iter().map(|key| (*key).to_owned()));
                return Err(BadImpairment::Key { word: word.to_owned(), nearest });
            };
            let bad = |wanted| BadImpairment::Value { key, value: value.to_owned(), wanted };
            let a_share = || match share(value) {
                Some(1.0) if !value.ends_with('%') => {
                    Err(BadImpairment::Ambiguous { key, value: value.to_owned() })
                }
                Some(share) => Ok(share),
                None => Err(bad(SHARE)),
            };
            let a_time = || duration(value).ok_or_else(|| bad(TIME));
            match key {
                "loss" => parts.loss = a_share()?,
                "burst" => parts.burst = Some(a_share()?),
                "burst_length" => parts.burst_length = Some(length(value).ok_or_else(|| bad(LENGTH))?),
                "delay" => parts.delay = a_time()?,
                "jitter" => parts.jitter = a_time()?,
                "reorder" => parts.reorder = a_share()?,
                "duplicate" => parts.duplicate = a_share()?,
                "rate" => parts.rate = Some(bits(value).ok_or_else(|| bad(BITS))?),
                _ => parts.queue = Some(a_time()?),
            }
        }
        parts.whole()
    }
}

impl fmt::Display for Impairment {
    /// As it is read.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut words = Vec::new();
        let mut share = |key: &str, share: f64| {
            if share > 0.0 {
                // all of them in the one way that is read
                words.push(if share < 1.0 { format!("{key}={share}") } else { format!("{key}=100%") });
            }
        };
        share("loss", self.loss);
        if let Some(burst) = &self.burst {
            share("burst", burst.share());
        }
        share("reorder", self.reorder);
        share("duplicate", self.duplicate);
        if let Some(burst) = self.burst.filter(|burst| burst.ends > 0.0) {
            words.push(format!("burst_length={}", 1.0 / burst.ends));
        }
        for (key, time) in [("delay", self.delay), ("jitter", self.jitter)] {
            if !time.is_zero() {
                words.push(format!("{key}={}ms", time.as_millis()));
            }
        }
        if let Some(rate) = &self.rate {
            words.push(format!("rate={},queue={}ms", rate.bits_per_second, rate.queue.as_millis()));
        }
        f.write_str(if words.is_empty() { "off" } else { "" })?;
        f.write_str(&words.join(","))
    }
}

/// An impairment that may change while everything runs; cheap to clone, one for all ways that have it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Conditions(Arc<Mutex<Impairment>>);

impl Conditions {
    pub(crate) fn new(impairment: Impairment) -> Self {
        Self(Arc::new(Mutex::new(impairment)))
    }

    /// From the next packet on.
    pub(crate) fn set(&self, impairment: Impairment) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = impairment;
    }

    pub(crate) fn with<T>(&self, read: impl FnOnce(&Impairment) -> T) -> T {
        read(&self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_impairment_is_read_and_written_as_text() {
        let text = "loss=2%,burst=20%,burst_length=4,delay=40ms,jitter=10ms,reorder=0.01,duplicate=1%,rate=300k,queue=1s";
        let read: Impairment = text.parse().unwrap();
        assert_eq!(read.burst, Some(Burst { begins: 0.0625, ends: 0.25, loss: 1.0 }));
        assert_eq!(read.rate, Some(Rate { bits_per_second: 300_000, queue: Duration::from_secs(1) }));
        assert_eq!(read.loss, 0.02);
        assert_eq!(read.to_string().parse(), Ok(read));
        assert_eq!("off".parse(), Ok(Impairment::default()));
        let all = Impairment { loss: 1.0, ..Impairment::default() };
        assert_eq!((all.to_string().as_str(), "loss=100%".parse()), ("loss=100%", Ok(all)));
        assert_eq!(Impairment::default().to_string(), "off");
        assert_eq!("rate=2M".parse::<Impairment>().unwrap().rate, Some(Rate::bits(2_000_000)));
    }

    /// Nobody loses every packet for want of a percent sign.
    #[test]
    fn one_without_a_percent_sign_is_refused_with_both_that_it_may_mean() {
        for text in ["loss=1", "burst=1.0", "reorder= 1", "duplicate=1"] {
            let why = text.parse::<Impairment>().unwrap_err().to_string();
            assert!(why.contains("1% for one") && why.contains("100% for all"), "{text}: {why}");
        }
        assert_eq!("loss=1%".parse::<Impairment>().unwrap().loss, 0.01);
        assert_eq!("loss=0.5".parse::<Impairment>().unwrap().loss, 0.5);
    }

    #[test]
    fn what_only_datagrams_feel_is_known() {
        let keys = |text: &str| text.parse::<Impairment>().unwrap().of_datagrams();
        assert_eq!(
            keys("loss=1%,burst=1%,reorder=1%,duplicate=1%"),
            ["loss", "burst", "reorder", "duplicate"]
        );
        assert!(keys("delay=1s,jitter=1s,rate=1M").is_empty() && keys("off").is_empty());
    }

    #[test]
    fn what_cannot_be_meant_is_refused_with_what_may_stand_there() {
        for (text, part) in [
            ("los=2%", "did you mean loss?"),
            ("", "is none of loss"),
            ("loss=2", "2.5%"),
            ("loss=-1%", "2.5%"),
            ("loss=NaN", "2.5%"),
            ("delay=40", "40ms"),
            ("burst=1%,burst_length=0", "from 1 on"),
            ("burst_length=4", "beside burst"),
            ("queue=1s", "beside rate"),
            ("rate=0", "300k"),
            ("rate=inf", "300k"),
            ("loss=1%,delay=1s,loss=2%", "\"loss=1%\" at character 1 and \"loss=2%\" at character 18"),
        ] {
            let why = text.parse::<Impairment>().unwrap_err().to_string();
            assert!(why.contains(part), "{text}: {why}");
        }
    }
}
