//! Writes HTML that cannot be injected into: markup is only ever a constant of this program, everything else is escaped text.

use std::fmt::Write as _;

/// A word of so many characters fits any column.
const WHOLE: usize = 9;
/// What has more characters than this without a point is no word.
const LONGEST: usize = 16;

/// A piece of a page.
#[derive(Debug, Default)]
pub(super) struct Html(String);

impl Html {
    pub(super) fn new() -> Self {
        Self::default()
    }

    /// Markup. The type says that it is a constant.
    pub(super) fn raw(&mut self, markup: &'static str) -> &mut Self {
        self.0.push_str(markup);
        self
    }

    /// Text, as content or as the value of an attribute in double quotes. Characters that would change how their neighbours
    /// are shown (controls, directions) are made visible.
    pub(super) fn text(&mut self, text: &str) -> &mut Self {
        for c in text.chars() {
            match c {
                '&' => self.0.push_str("&amp;"),
                '<' => self.0.push_str("&lt;"),
                '>' => self.0.push_str("&gt;"),
                '"' => self.0.push_str("&quot;"),
                '\'' => self.0.push_str("&#39;"),
                '\n' | '\t' => self.0.push(c),
                '\r' => {}
                c if c.is_control() || is_direction(c) => {
                    // Writing to a String does not fail.
                    let _ = write!(self.0, "\\u{{{:x}}}", u32::from(c));
                }
                c => self.0.push(c),
            }
        }
        self
    }

    /// A number with at most so many decimals.
    pub(super) fn number(&mut self, value: f64, decimals: usize) -> &mut Self {
        self.0.push_str(&number(value, decimals));
        self
    }

    /// A whole number.
    pub(super) fn count(&mut self, value: usize) -> &mut Self {
        let _ = write!(self.0, "{value}");
        self
    }

    pub(super) fn add(&mut self, other: &Self) -> &mut Self {
        self.0.push_str(&other.0);
        self
    }

    /// A table cell.
    pub(super) fn cell(&mut self, text: &str) -> &mut Self {
        self.raw("<td>").breakable(text).raw("</td>")
    }

    /// Text that a narrow column may break within names such as `audio.packets_received` and `telephone-event/8000`, after their points, and
    /// within what has none and is too long for any column. Words stay whole.
    pub(super) fn breakable(&mut self, text: &str) -> &mut Self {
        for word in text.split_inclusive([' ', '\n']) {
            if word.chars().count() <= WHOLE {
                self.text(word);
                continue;
            }
            let mut run = 0;
            for c in word.chars() {
                self.text(c.encode_utf8(&mut [0; 4]));
                run = if matches!(c, '.' | '_' | '/' | ';' | ',' | ':' | '=' | '@' | '-') {
                    LONGEST
                } else {
                    run + 1
                };
                if run >= LONGEST {
                    self.raw("<wbr>");
                    run = 0;
                }
            }
        }
        self
    }

    /// The head of a table: its caption and the names of its columns.
    pub(super) fn table(&mut self, caption: &str, columns: &[&'static str]) -> &mut Self {
        self.raw("<div class=\"wide\" tabindex=\"0\" role=\"group\" aria-label=\"")
            .text(caption)
            .raw("\"><table>");
        self.raw("<caption>").text(caption).raw("</caption><thead><tr>");
        for column in columns {
            self.raw("<th scope=\"col\">").raw(column).raw("</th>");
        }
        self.raw("</tr></thead><tbody>")
    }

    pub(super) fn end_table(&mut self) -> &mut Self {
        self.raw("</tbody></table></div>")
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn finish(self) -> String {
        self.0
    }
}

/// Marks that turn the direction of writing (Unicode UAX 9), zero-width characters and line separators.
fn is_direction(c: char) -> bool {
    matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}' | '\u{061c}')
}

/// Without zeros that say nothing; what is no number is a dash.
pub(super) fn number(value: f64, decimals: usize) -> String {
    if !value.is_finite() {
        return "–".to_owned();
    }
    let text = format!("{value:.decimals$}");
    let text = match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.'),
        false => &text,
    };
    if text == "-0" { "0".to_owned() } else { text.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_stays_text() {
        let mut html = Html::new();
        html.raw("<p title=\"").text("\"><script>alert('1')</script>&\u{202e}x\u{1b}[2J").raw("\">");
        assert_eq!(
            html.finish(),
            "<p title=\"&quot;&gt;&lt;script&gt;alert(&#39;1&#39;)&lt;/script&gt;&amp;\\u{202e}x\\u{1b}[2J\">"
        );
    }

    #[test]
    fn names_may_break_after_their_points_and_words_stay_whole() {
        let told = |text: &str| Html::new().breakable(text).0.clone();
        assert_eq!(told("established, encrypted"), "established,<wbr> encrypted");
        assert_eq!(told("audio.packets_received"), "audio.<wbr>packets_<wbr>received");
        assert_eq!(told("PCMU/8000"), "PCMU/8000");
        assert_eq!(told(&"x".repeat(17)), format!("{}<wbr>x", "x".repeat(16)));
        assert_eq!(told("a<b>&c.defgh"), "a&lt;b&gt;&amp;c.<wbr>defgh");
    }

    #[test]
    fn numbers_are_short_and_never_nan() {
        for (value, shown) in
            [(1.0, "1"), (1.25, "1.25"), (-0.001, "0"), (1234.0, "1234"), (f64::NAN, "–"), (100.0, "100")]
        {
            assert_eq!(number(value, 2), shown);
        }
    }
}
