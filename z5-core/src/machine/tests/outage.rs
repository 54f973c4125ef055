//! 100 000 clients lose their carrier together and come back: how many register in each second after the outage.
//!
//! Each client waits as `Line` does and refreshes as a registrar with 600 s makes it (after half of them). `Z5_PLOT=FILE.svg` draws it.

use std::fmt::Write as _;

use z5_sip::ident::Ident;

use crate::machine::line::pause;

const CLIENTS: u64 = 100_000;
const REFRESH_S: f64 = 300.0;
const OUTAGE_S: f64 = 1800.0;
/// How long is counted after the outage, and in which steps.
const AFTER_S: f64 = 900.0;
const BIN_S: f64 = 5.0;

/// Registrations per second in each bin after the end of the outage.
fn rates() -> Vec<f64> {
    let mut lots = Ident::from_seed(1);
    let mut bins = vec![0_u64; (AFTER_S / BIN_S) as usize];
    for _ in 0..CLIENTS {
        let (mut now_s, mut failures) = (0.0, 0);
        while now_s < OUTAGE_S {
            now_s += pause(failures, lots.number()).as_secs_f64();
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
    let (rates, steady) = (rates(), CLIENTS as f64 / REFRESH_S);
    let peak = rates.iter().copied().fold(0.0, f64::max);
    assert!(peak <= 2.0 * steady, "{peak:.0} a second, steady {steady:.0}");
    let back: f64 = rates.iter().take((300.0 / BIN_S) as usize).sum::<f64>() * BIN_S;
    assert!(back >= CLIENTS as f64 * 0.999, "all are back after the longest pause: {back}");
    if let Ok(file) = std::env::var("Z5_PLOT") {
        std::fs::write(file, plot(&rates, steady)).unwrap();
    }
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
