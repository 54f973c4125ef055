//! One small plot: a line per direction over time, with the figures as words above it and as a table below, so that nobody depends on
//! seeing it.

use super::html::{Html, number};

/// Units of the drawing. As wide as a phone shows it, so that its letters stay readable; wide windows show several beside each other.
const WIDTH: f64 = 360.0;
const HEIGHT: f64 = 140.0;
const LEFT: f64 = 46.0;
const RIGHT: f64 = 10.0;
const TOP: f64 = 10.0;
const BOTTOM: f64 = 24.0;
/// Rows of the table at most; more samples than that are put together.
const ROWS: usize = 40;

/// A line.
pub(super) struct Line {
    /// What it is, where there are several.
    pub(super) name: &'static str,
    /// The dashed one.
    pub(super) ours: bool,
    /// Seconds since the answer, and the value; absent where nothing was measured.
    pub(super) points: Vec<(f64, Option<f64>)>,
}

/// A plot.
pub(super) struct Plot {
    pub(super) title: &'static str,
    pub(super) unit: &'static str,
    pub(super) lines: Vec<Line>,
    /// Bars in place of a line: sums of each interval.
    pub(super) bars: bool,
}

impl Plot {
    /// Draws it; nothing where nothing was measured.
    pub(super) fn draw(&self, html: &mut Html) {
        let measured: Vec<&Line> =
            self.lines.iter().filter(|line| line.points.iter().any(|(_, value)| value.is_some())).collect();
        if measured.is_empty() {
            return;
        }
        let values = measured.iter().flat_map(|line| line.points.iter().filter_map(|(_, value)| *value));
        let top = ceiling(values.fold(0.0, f64::max));
        let end = measured.iter().flat_map(|line| line.points.last()).map(|(at, _)| *at).fold(0.0, f64::max);
        let end = end.max(0.001);
        html.raw("<figure><figcaption><b>").raw(self.title).raw("</b>");
        for line in &measured {
            self.words(html, line, measured.len() > 1);
        }
        html.raw("</figcaption>");
        self.picture(html, &measured, top, end);
        self.numbers(html, &measured);
        html.raw("</figure>");
    }

    /// Lowest, highest and middle, in words.
    fn words(&self, html: &mut Html, line: &Line, several: bool) {
        let values: Vec<f64> = line.points.iter().filter_map(|(_, value)| *value).collect();
        if several {
            html.raw("<span class=\"key\"><svg viewBox=\"0 0 32 10\" aria-hidden=\"true\" focusable=\"false\"><path class=\"");
            html.raw(class(line)).raw("\" d=\"M1 5H31\"/></svg> ").raw(line.name).raw(":</span> ");
        }
        let sum: f64 = values.iter().sum();
        if self.bars {
            html.number(sum, 0).raw(" ").raw(self.unit).raw(" in all");
        } else {
            let lowest = values.iter().copied().fold(f64::INFINITY, f64::min);
            let highest = values.iter().copied().fold(0.0, f64::max);
            html.number(lowest, 1).raw(" to ").number(highest, 1).raw(" ").raw(self.unit).raw(", mean ");
            html.number(sum / values.len().max(1) as f64, 1);
        }
        html.raw("<br>");
    }

    fn picture(&self, html: &mut Html, lines: &[&Line], top: f64, end: f64) {
        let x = |seconds: f64| LEFT + seconds / end * (WIDTH - LEFT - RIGHT);
        let y = |value: f64| HEIGHT - BOTTOM - value / top * (HEIGHT - TOP - BOTTOM);
        html.raw("<svg class=\"plot\" viewBox=\"0 0 360 140\" aria-hidden=\"true\" focusable=\"false\">");
        for part in [0.0, 0.5, 1.0] {
            let (value, at) = (part * top, y(part * top));
            html.raw("<path class=\"grid\" d=\"M").number(LEFT, 1).raw(" ").number(at, 1).raw("H");
            html.number(WIDTH - RIGHT, 1).raw("\"/><text text-anchor=\"end\" x=\"").number(LEFT - 6.0, 1);
            html.raw("\" y=\"").number(at + 4.0, 1).raw("\">").text(&short(value)).raw("</text>");
        }
        for (part, anchor) in [(0.0, "start"), (0.5, "middle"), (1.0, "end")] {
            html.raw("<text text-anchor=\"")
                .raw(anchor)
                .raw("\" x=\"")
                .number(x(part * end), 1)
                .raw("\" y=\"");
            html.number(HEIGHT - 6.0, 1).raw("\">").text(&clock(part * end)).raw("</text>");
        }
        for line in lines {
            if self.bars {
                bars(html, line, &x, &y);
            } else {
                path(html, line, &x, &y);
            }
        }
        html.raw("</svg>");
    }

    /// The same as numbers.
    fn numbers(&self, html: &mut Html, lines: &[&Line]) {
        html.raw("<details><summary>")
            .raw(self.title)
            .raw(" as a table</summary><div class=\"wide\" tabindex=\"0\" role=\"group\" aria-label=\"");
        html.raw(self.title).raw("\"><table><thead><tr><th scope=\"col\" class=\"n\">Seconds</th>");
        for line in lines {
            html.raw("<th scope=\"col\" class=\"n\">");
            if lines.len() > 1 {
                html.raw(line.name).raw(", ");
            }
            html.raw(self.unit).raw("</th>");
        }
        html.raw("</tr></thead><tbody>");
        let count = lines.iter().map(|line| line.points.len()).max().unwrap_or(0);
        let width = count.div_ceil(ROWS).max(1);
        for row in (0..count).step_by(width) {
            let last = (row + width).min(count) - 1;
            let at = lines.iter().find_map(|line| line.points.get(last)).map_or(0.0, |(at, _)| *at);
            html.raw("<tr><th scope=\"row\" class=\"n\">").number(at, 1).raw("</th>");
            for line in lines {
                let points = line.points.get(row..=last).unwrap_or_default();
                let values: Vec<f64> = points.iter().filter_map(|(_, value)| *value).collect();
                let sum: f64 = values.iter().sum();
                let shown = match (values.is_empty(), self.bars) {
                    (true, _) => "not measured".to_owned(),
                    (false, true) => number(sum, 1),
                    (false, false) => number(sum / values.len() as f64, 2),
                };
                html.raw("<td class=\"n\">").text(&shown).raw("</td>");
            }
            html.raw("</tr>");
        }
        html.raw("</tbody></table></div></details>");
    }
}

fn class(line: &Line) -> &'static str {
    if line.ours { "out" } else { "in" }
}

/// A line with a hole where nothing was measured; a lonely point is a dot.
fn path(html: &mut Html, line: &Line, x: &impl Fn(f64) -> f64, y: &impl Fn(f64) -> f64) {
    for run in line.points.split(|(_, value)| value.is_none()) {
        let points: Vec<(f64, f64)> =
            run.iter().filter_map(|(at, value)| Some((x(*at), y((*value)?)))).collect();
        if let [(x, y)] = points[..] {
            html.raw("<circle class=\"").raw(if line.ours { "dot-out" } else { "dot-in" });
            html.raw("\" r=\"2.5\" cx=\"").number(x, 1).raw("\" cy=\"").number(y, 1).raw("\"/>");
        } else if !points.is_empty() {
            html.raw("<path class=\"").raw(class(line)).raw("\" d=\"");
            for (at, (x, y)) in points.iter().enumerate() {
                html.raw(if at == 0 { "M" } else { "L" }).number(*x, 1).raw(" ").number(*y, 1);
            }
            html.raw("\"/>");
        }
    }
}

/// A bar over each interval that has something.
fn bars(html: &mut Html, line: &Line, x: &impl Fn(f64) -> f64, y: &impl Fn(f64) -> f64) {
    let mut before = 0.0;
    for (at, value) in &line.points {
        if let Some(value) = value.filter(|value| *value > 0.0) {
            let (left, right) = (x(before), x(*at));
            html.raw("<rect class=\"freeze\" x=\"").number(left, 1).raw("\" y=\"").number(y(value), 1);
            html.raw("\" width=\"").number((right - left).max(1.0), 1).raw("\" height=\"");
            html.number((y(0.0) - y(value)).max(1.0), 1).raw("\"/>");
        }
        before = *at;
    }
}

/// The next round number, so that the line does not touch the top.
fn ceiling(highest: f64) -> f64 {
    if !highest.is_finite() || highest <= 0.0 {
        return 1.0;
    }
    let unit = 10_f64.powf(highest.log10().floor());
    let round = [1.0, 2.0, 4.0, 5.0, 8.0, 10.0].into_iter().map(|step| step * unit);
    round.into_iter().find(|step| *step >= highest * 1.02).unwrap_or(20.0 * unit)
}

/// A value on the axis, in at most five characters.
fn short(value: f64) -> String {
    match value {
        value if value >= 10_000.0 => format!("{}k", number(value / 1000.0, 0)),
        value if value >= 1000.0 => format!("{}k", number(value / 1000.0, 1)),
        value if value >= 10.0 => number(value, 0),
        value => number(value, 2),
    }
}

/// A time on the axis.
fn clock(seconds: f64) -> String {
    match seconds {
        seconds if seconds < 120.0 => format!("{} s", number(seconds, 1)),
        seconds if seconds < 7200.0 => format!("{} min", number(seconds / 60.0, 1)),
        seconds => format!("{} h", number(seconds / 3600.0, 1)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_axis_ends_at_a_round_number_above_the_line() {
        for (highest, top) in [(0.0, 1.0), (0.7, 0.8), (3.1, 4.0), (15.0, 20.0), (64.0, 80.0), (99.5, 200.0)]
        {
            assert!((ceiling(highest) - top).abs() < 1e-9, "{highest}: {}", ceiling(highest));
        }
        assert!((ceiling(f64::NAN) - 1.0).abs() < 1e-9);
        assert_eq!([short(0.25), short(64.0), short(1500.0), short(20_000.0)], ["0.25", "64", "1.5k", "20k"]);
    }

    #[test]
    fn what_was_not_measured_is_a_hole_and_never_a_zero() {
        let points = vec![(0.5, Some(1.0)), (1.0, Some(2.0)), (1.5, None), (2.0, Some(3.0))];
        let line = Line { name: "came", ours: false, points };
        let plot = Plot { title: "Jitter", unit: "ms", lines: vec![line], bars: false };
        let mut html = Html::new();
        plot.draw(&mut html);
        let page = html.finish();
        assert!(page.contains("1 to 3 ms, mean 2"), "{page}");
        assert_eq!((page.matches("class=\"in\"").count(), page.matches("<circle").count()), (1, 1), "{page}");
        assert!(
            page.contains("<th scope=\"row\" class=\"n\">1.5</th><td class=\"n\">not measured</td>"),
            "{page}"
        );
        let none = Line { name: "came", ours: false, points: vec![(0.5, None)] };
        let mut html = Html::new();
        Plot { title: "Jitter", unit: "ms", lines: vec![none], bars: false }.draw(&mut html);
        assert!(html.is_empty());
    }
}
