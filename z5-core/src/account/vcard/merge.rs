//! Three-way merge of a card: what both sides had, what we made of it, what the server has now. Field-wise: a property that may stand
//! once is a field, every line of one that may stand several times is a field of its own. Changes of both sides are kept; where both
//! changed the same field, ours stands and theirs is kept beside it in a property of its own, so nothing is lost.

use std::collections::BTreeSet;

use super::line::escape;
use super::{Card, Line};

/// What a field of theirs becomes that lost against ours.
const KEPT: &str = "X-Z5-CONFLICT";
/// Properties that stand at most once (RFC 6350 section 3.3: cardinality `1` and `*1`). FN is one of them as long as no side has several.
const ONCE: [&str; 10] =
    ["VERSION", "FN", "N", "BDAY", "ANNIVERSARY", "GENDER", "KIND", "UID", "REV", "PRODID"];
/// Where two values are no conflict: the later one, or theirs.
const NO_MATTER: [&str; 3] = ["REV", "PRODID", "VERSION"];

/// The outcome.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Merged {
    /// The card with both sides' changes.
    pub card: Card,
    /// Properties that both sides changed, differently; sorted.
    pub conflicts: Vec<String>,
}

/// Merges; without a base both sides made the card by themselves.
pub fn merge(base: &Card, ours: &Card, theirs: &Card) -> Merged {
    let mut conflicts = BTreeSet::new();
    let mut result: Vec<Line> = theirs.lines().to_vec();
    for name in names([base, ours, theirs]) {
        let several = |card: &Card| card.all(&name).nth(1).is_some();
        let once = ONCE.contains(&name.as_str()) && ![base, ours, theirs].into_iter().any(several);
        let conflict = match once {
            true => field(&name, base, ours, theirs, &mut result),
            false => lines(&name, base, ours, theirs, &mut result),
        };
        if conflict {
            conflicts.insert(name);
        }
    }
    Merged { card: Card::from_lines(result), conflicts: conflicts.into_iter().collect() }
}

/// Every property name in the order of its first appearance, in capital letters.
fn names(cards: [&Card; 3]) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for line in cards.into_iter().flat_map(Card::lines) {
        let name = line.name().to_ascii_uppercase();
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names
}

/// A property that stands once.
fn field(name: &str, base: &Card, ours: &Card, theirs: &Card, result: &mut Vec<Line>) -> bool {
    let (was, mine, now) = (base.first(name), ours.first(name), theirs.first(name));
    if name == "UID" && now.is_some() {
        // An identity stays what the server knows.
        return false;
    }
    if mine == was || mine == now {
        return false;
    }
    if now == was {
        put(name, mine, result);
        return false;
    }
    if NO_MATTER.contains(&name) {
        // Of two times the later one.
        if name == "REV" && mine.map(Line::value) > now.map(Line::value) {
            put(name, mine, result);
        }
        return false;
    }
    if mine.is_none() {
        // Removed here and changed there: the change says more.
        return true;
    }
    put(name, mine, result);
    if let Some(lost) = now {
        result.push(Line::new(KEPT, &[], &escape(lost.as_str())));
    }
    true
}

fn put(name: &str, line: Option<&Line>, result: &mut Vec<Line>) {
    let at = result.iter().position(|old| old.is(name));
    match (at, line) {
        (Some(at), Some(line)) => result[at] = line.clone(),
        (Some(at), None) => drop(result.remove(at)),
        (None, Some(line)) => result.push(line.clone()),
        (None, None) => {}
    }
}

/// A property whose lines stand for themselves.
fn lines(name: &str, base: &Card, ours: &Card, theirs: &Card, result: &mut Vec<Line>) -> bool {
    let without = |these: &Card, those: &Card| -> Vec<Line> {
        let mut left: Vec<&Line> = those.all(name).collect();
        let mut out = Vec::new();
        for line in these.all(name) {
            match left.iter().position(|other| *other == line) {
                Some(at) => drop(left.swap_remove(at)),
                None => out.push(line.clone()),
            }
        }
        out
    };
    let (added, removed) = (without(ours, base), without(base, ours));
    for line in &removed {
        if let Some(at) = result.iter().position(|old| old == line) {
            result.remove(at);
        }
    }
    let mut after = result.iter().rposition(|line| line.is(name)).map_or(result.len(), |at| at + 1);
    for line in &added {
        // Both added the same.
        if theirs.all(name).any(|other| other == line) {
            continue;
        }
        result.insert(after, regrouped(line, base, ours, theirs));
        after += 1;
    }
    // A line that both took away and replaced by different ones.
    let (their_added, their_removed) = (without(theirs, base), without(base, theirs));
    let both_replaced = removed.iter().any(|line| their_removed.contains(line));
    both_replaced
        && added.iter().any(|line| !their_added.contains(line))
        && their_added.iter().any(|line| !added.contains(line))
}

/// A line of ours in a group that is new here and that they use for something else gets a group of its own, with all of its group.
fn regrouped(line: &Line, base: &Card, ours: &Card, theirs: &Card) -> Line {
    let Some(group) = line.group() else { return line.clone() };
    let has = |card: &Card, group: &str| {
        card.lines().iter().any(|line| line.group().is_some_and(|other| other.eq_ignore_ascii_case(group)))
    };
    if has(base, group) || !has(theirs, group) {
        return line.clone();
    }
    let free = (1..).map(|n| format!("{group}-{n}")).find(|name| !has(theirs, name) && !has(ours, name));
    line.in_group(free.as_deref())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn card(lines: &[&str]) -> Card {
        let mut all = vec!["VERSION:4.0"];
        all.extend(lines);
        Card::from_lines(all.into_iter().map(|line| Line::parse(line).unwrap()).collect())
    }

    fn merged(base: &[&str], ours: &[&str], theirs: &[&str]) -> (Vec<String>, Vec<String>) {
        let Merged { card, conflicts } = merge(&card(base), &card(ours), &card(theirs));
        (card.lines().iter().skip(1).map(|line| line.as_str().to_owned()).collect(), conflicts)
    }

    #[test]
    fn changes_of_both_sides_to_different_fields_are_kept_without_a_conflict() {
        let (lines, conflicts) = merged(
            &["FN:Bob", "TEL:1", "TEL:2", "NOTE:n", "X-KEEP;A=b:c"],
            &["FN:Robert", "TEL:1", "TEL:3", "NOTE:n", "X-KEEP;A=b:c"],
            &["FN:Bob", "TEL:1", "TEL:2", "TEL:4", "X-KEEP;A=b:c", "ORG:o"],
        );
        assert_eq!(lines, ["FN:Robert", "TEL:1", "TEL:4", "TEL:3", "X-KEEP;A=b:c", "ORG:o"]);
        assert!(conflicts.is_empty(), "{conflicts:?}");
    }

    #[test]
    fn where_both_changed_the_same_nothing_is_lost_and_it_is_told() {
        let (lines, conflicts) =
            merged(&["FN:Bob", "TEL:1"], &["FN:Robert", "TEL:2"], &["FN:Bobby", "TEL:3"]);
        assert_eq!(lines, ["FN:Robert", "TEL:3", "TEL:2", "X-Z5-CONFLICT:FN:Bobby"]);
        assert_eq!(conflicts, ["FN", "TEL"]);
        let (lines, conflicts) = merged(&["BDAY:1990"], &[], &["BDAY:1991"]);
        assert_eq!((lines, conflicts), (vec!["BDAY:1991".to_owned()], vec!["BDAY".to_owned()]));
    }

    #[test]
    fn the_same_change_on_both_sides_is_one() {
        let (lines, conflicts) =
            merged(&["FN:Bob", "TEL:1"], &["FN:Robert", "TEL:2", "X-A:1"], &["FN:Robert", "TEL:2", "X-A:1"]);
        assert_eq!(lines, ["FN:Robert", "TEL:2", "X-A:1"]);
        assert!(conflicts.is_empty());
    }

    #[test]
    fn what_was_removed_here_stays_removed_and_times_are_no_conflict() {
        let (lines, conflicts) = merged(
            &["FN:Bob", "TEL:1", "REV:20260101", "PRODID:a", "UID:u"],
            &["FN:Bob", "REV:20260103", "PRODID:b", "UID:v"],
            &["FN:Bob", "TEL:1", "REV:20260102", "PRODID:c", "UID:u"],
        );
        assert_eq!(lines, ["FN:Bob", "REV:20260103", "PRODID:c", "UID:u"]);
        assert!(conflicts.is_empty());
    }

    #[test]
    fn groups_of_two_origins_stay_apart() {
        let (lines, _) = merged(
            &["FN:Bob"],
            &["FN:Bob", "item1.TEL:1", "item1.X-ABLabel:ours"],
            &["FN:Bob", "item1.TEL:2", "item1.X-ABLabel:theirs"],
        );
        assert!(lines.contains(&"item1-1.TEL:1".to_owned()), "{lines:?}");
        assert!(lines.contains(&"item1-1.X-ABLabel:ours".to_owned()), "{lines:?}");
        assert!(lines.contains(&"item1.X-ABLabel:theirs".to_owned()), "{lines:?}");
    }

    /// A merge against an unchanged side is the other side; every line of ours and theirs that is new is in the result.
    #[test]
    fn no_line_of_either_side_is_lost_whatever_they_did() {
        let pool = ["FN:A", "FN:B", "TEL:1", "TEL:2", "TEL:3", "NOTE:x", "N:a;b", "N:c;d", "X-Q:1", "BDAY:1"];
        let mut seed = 7_u64;
        let mut pick = || {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let bits = seed >> 40;
            let lines: Vec<&str> =
                pool.iter().enumerate().filter(|(n, _)| bits >> n & 1 == 1).map(|(_, line)| *line).collect();
            lines
        };
        for _ in 0..3000 {
            let (base, ours, theirs) = (pick(), pick(), pick());
            assert_eq!(merge(&card(&base), &card(&base), &card(&theirs)).card, card(&theirs));
            let same = merge(&card(&base), &card(&ours), &card(&base)).card;
            let sorted = |card: &Card| {
                let mut lines: Vec<_> = card.lines().iter().map(|line| line.as_str().to_owned()).collect();
                lines.sort();
                lines
            };
            assert_eq!(sorted(&same), sorted(&card(&ours)));
            let text = merge(&card(&base), &card(&ours), &card(&theirs)).card.to_text();
            for line in ours.iter().chain(&theirs).filter(|line| !base.contains(line)) {
                let escaped = escape(line);
                assert!(
                    text.contains(*line) || text.contains(&escaped),
                    "{line} of {base:?} {ours:?} {theirs:?}: {text}"
                );
            }
        }
    }
}
