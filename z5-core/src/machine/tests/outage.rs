//! 100 000 clients lose their carrier together and come back: how many register in each second after a long outage, and after each
//! of several restarts of seconds.
//!
//! Each client waits as `Line` does and refreshes as a registrar with 600 s makes it (after half of them). `Z5_PLOT=FILE.svg` draws
//! the former.

use std::fmt::Write as _;

use z5_sip::ident::Ident;

use std::time::Duration;

use crate::machine::line::{RESTART, left_of, pause, pause_for_restart};

const CLIENTS: u64 = 100_000;
const REFRESH_S: f64 = 300.0;
const OUTAGE_S: f64 = 1800.0;
/// How long is counted after the outage, and in which steps.
const AFTER_S: f64 = 900.0;
const BIN_S: f64 = 5.0;

/// How long a client waits when its connection is lost (the first of a row) and when it is not made, by what that looks like.
#[derive(Clone, Copy, PartialEq)]
enum Away {
    /// The port is closed.
    Refuses,
    /// Connections vanish, or are taken and lost again, as by a balancer with nobody behind it.
    Silent,
}

impl Away {
    fn pause_s(self, first: bool, failures: u32, lots: &mut Ident) -> f64 {
        let pause = if self == Self::Refuses && !first { pause_for_restart } else { pause };
        pause(failures, lots.number()).as_secs_f64()
    }
}

/// Registrations per second in each bin after the end of the outage.
fn rates(away: Away) -> Vec<f64> {
    let mut lots = Ident::from_seed(1);
    let mut bins = vec![0_u64; (AFTER_S / BIN_S) as usize];
    for _ in 0..CLIENTS {
        let (mut now_s, mut failures) = (0.0, 0);
        while now_s < OUTAGE_S {
            now_s += away.pause_s(failures == 0, failures, &mut lots);
            failures += 1;
        }
        // Registered, and refreshed from then on.
        let mut after_s = now_s - OUTAGE_S;
        while after_s < AFTER_S {
            bins[(after_s / BIN_S) as usize] += 1;
            after_s += REFRESH_S;
        }
    }
    bins.iter().map(|count| *count as f64 / BIN_S).collect()
}

#[test]
fn after_an_outage_registrations_stay_below_twice_their_steady_rate() {
    for away in [Away::Refuses, Away::Silent] {
        let (rates, steady) = (rates(away), CLIENTS as f64 / REFRESH_S);
        let peak = rates.iter().copied().fold(0.0, f64::max);
        assert!(peak <= 2.0 * steady, "{peak:.0} a second, steady {steady:.0}");
        let back: f64 = rates.iter().take((300.0 / BIN_S) as usize).sum::<f64>() * BIN_S;
        assert!(back >= CLIENTS as f64 * 0.999, "all are back after the longest pause: {back}");
        if away == Away::Silent
            && let Ok(file) = std::env::var("Z5_PLOT")
        {
            std::fs::write(file, plot(&rates, steady)).unwrap();
        }
    }
}

/// A day of failures is no reason to stay away for minutes when one connection is lost later.
#[test]
fn a_long_outage_costs_a_minute_at_most_once_a_registration_stood() {
    assert!(pause(left_of(400, Duration::ZERO), 9_999) <= Duration::from_secs(64));
    assert!(pause(left_of(400, Duration::from_secs(360)), 9_999) <= Duration::from_secs(1));
    assert_eq!(left_of(400, Duration::from_secs(480)), 0);
}

/// Restarts of so many seconds, one in every so many.
const RESTART_S: f64 = 5.0;
const EVERY_S: f64 = 60.0;
const RESTARTS: usize = 12;

/// For each restart: the most registrations in a second after it over the steady rate, the clients that came back before the next
/// one, and how long after its end on average.
fn restarts(away: Away) -> Vec<(f64, u64, f64)> {
    let mut lots = Ident::from_seed(1);
    let begins = |restart: usize| restart as f64 * EVERY_S;
    let seconds = (begins(RESTARTS) + 600.0) as usize;
    let mut rates = vec![0_u64; seconds];
    let mut back = vec![(0_u64, 0.0); RESTARTS];
    for _ in 0..CLIENTS {
        let (mut failures, mut standing_since_s, mut restart) = (0, f64::NEG_INFINITY, 0);
        while restart < RESTARTS {
            let mut now_s = begins(restart);
            failures = left_of(
                failures,
                Duration::try_from_secs_f64(now_s - standing_since_s).unwrap_or(Duration::MAX),
            );
            let before = failures;
            let mut tries = 0;
            loop {
                now_s += away.pause_s(tries == 0, failures, &mut lots);
                (failures, tries) = (failures + 1, tries + 1);
                restart = ((now_s / EVERY_S) as usize).min(RESTARTS - 1);
                if now_s >= begins(restart) + RESTART_S {
                    break;
                }
            }
            if away == Away::Refuses && tries > 1 {
                failures = before;
            }
            standing_since_s = now_s;
            rates[now_s as usize] += 1;
            back[restart].0 += 1;
            back[restart].1 += now_s - begins(restart) - RESTART_S;
            restart += 1;
        }
    }
    let steady = CLIENTS as f64 / REFRESH_S;
    let figures = |(restart, (count, waited_s)): (usize, (u64, f64))| {
        let until = if restart + 1 == RESTARTS { seconds } else { begins(restart + 1) as usize };
        let peak = rates[begins(restart) as usize..until].iter().copied().max().unwrap_or(0);
        (peak as f64 / steady, count, waited_s / count.max(1) as f64)
    };
    back.into_iter().enumerate().map(figures).collect()
}

fn table(restarts: &[(f64, u64, f64)]) -> String {
    let mut table = String::from("restart  peak/steady  back before the next  after s");
    for (at, (peak, count, waited_s)) in (1..).zip(restarts) {
        let _ = write!(table, "\n{at:>7}  {peak:>11.1}  {count:>20}  {waited_s:>7.1}");
    }
    table
}

/// A closed port tells a restart from a lost connection: from the first one on clients come back apart, all of them within a minute.
#[test]
fn clients_of_a_server_that_refuses_while_it_restarts_come_back_apart() {
    let restarts = restarts(Away::Refuses);
    for (peak, _, waited_s) in &restarts {
        assert!(*peak <= 6.0, "{peak:.1} times the steady rate");
        assert!(*waited_s <= RESTART.as_secs_f64(), "{waited_s}");
    }
    insta::assert_snapshot!(table(&restarts));
}

/// Where nothing is refused the first restart finds every client quick: within 2 s it is back, on average, and all come together.
/// That is the price of the 2 s, for nobody can tell it from a connection that was lost alone. Each further one finds them further
/// apart.
#[test]
fn restarts_in_a_row_find_clients_further_apart_each_time() {
    let restarts = restarts(Away::Silent);
    let (first, _, waited_s) = restarts[0];
    assert!(waited_s <= 2.0, "{waited_s}");
    let later = restarts[4..].iter().map(|(peak, ..)| *peak).fold(0.0, f64::max);
    assert!(later <= first / 10.0, "{first:.0} at first, {later:.1} later");
    insta::assert_snapshot!(table(&restarts));
}

/// A line of rates over time, with the steady rate and twice it.
fn plot(rates: &[f64], steady: f64) -> String {
    let (width, height, top) = (720.0, 240.0, steady * 2.2);
    let x = |bin: usize| 60.0 + bin as f64 / rates.len() as f64 * width;
    let y = |rate: f64| 20.0 + height - rate / top * height;
    let points = rates.iter().enumerate().fold(String::new(), |mut text, (bin, rate)| {
        let _ = write!(text, "{:.1},{:.1} ", x(bin), y(*rate));
        text
    });
    let level = |rate: f64, words: &str| {
        format!(
            "<line x1=\"60\" x2=\"780\" y1=\"{0:.1}\" y2=\"{0:.1}\" stroke=\"#999\" stroke-dasharray=\"4\"/>\
             <text x=\"64\" y=\"{1:.1}\">{words}: {rate:.0}/s</text>",
            y(rate),
            y(rate) - 4.0
        )
    };
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"800\" height=\"300\" font-family=\"sans-serif\" font-size=\"12\">\
         <rect width=\"800\" height=\"300\" fill=\"#fff\"/>{}{}<polyline points=\"{}\" fill=\"none\" stroke=\"#06c\" stroke-width=\"2\"/>\
         <text x=\"60\" y=\"285\">0 s after the outage</text><text x=\"690\" y=\"285\">{:.0} s</text></svg>\n",
        level(steady, "steady"),
        level(steady * 2.0, "twice"),
        points.trim_end(),
        AFTER_S,
    )
}
