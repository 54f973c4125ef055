//! Steps: one action each, which `actions` reads, with the keys that belong to it. Loops are unrolled here, so that every round is
//! judged before the first step is done.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::actions::chosen;
use super::whole;
use crate::scenario::language::{EVERY_STEP, WORDS, WORLDS, Word};
use crate::scenario::model::{Action, Only, PartyPlan, Step};
use crate::scenario::read::{Fields, Reading, duration, unknown};
use crate::scenario::yaml::{Key, Node, Place, Value};

/// Steps in a scenario, loops unrolled.
const MAX_STEPS: usize = 20_000;
/// For how long a step may wait or pause.
const LONGEST: Duration = Duration::from_secs(7 * 86_400);

/// What is known while steps are read.
pub(super) struct Author<'a> {
    pub(super) reading: &'a mut Reading,
    pub(super) parties: &'a [PartyPlan],
    pub(super) folder: &'a Path,
    pub(super) patience: Duration,
    /// Steps so far.
    pub(super) count: usize,
    /// By party.
    pub(super) legs: Vec<Legs>,
}

/// The calls of a party that have names.
#[derive(Debug, Clone, Default)]
pub(super) struct Legs {
    pub(super) names: Vec<String>,
    /// Those that a step begins.
    begun: BTreeSet<usize>,
    /// Steps that are about one.
    used: Vec<(usize, Place)>,
}

impl Author<'_> {
    /// A list of steps.
    pub(super) fn list(&mut self, node: &Node, what: &str) -> Vec<Step> {
        let mut steps = Vec::new();
        for node in self.reading.list(node, what) {
            self.step(node, &mut steps);
        }
        steps
    }

    fn step(&mut self, node: &Node, steps: &mut Vec<Step>) {
        self.count += 1;
        let number = self.count;
        if self.count >= MAX_STEPS {
            if self.count == MAX_STEPS {
                self.reading
                    .mistake(node.at, format!("with its loops a scenario has at most {MAX_STEPS} steps"));
            }
            return;
        }
        // a word alone is an action without a value
        let alone;
        let node = match &node.value {
            Value::Text(word) => {
                let key = Key { at: node.at, name: word.clone() };
                let nothing = Node { at: node.at, value: Value::Nothing };
                alone = Node { at: node.at, value: Value::Map(vec![(key, nothing)]) };
                &alone
            }
            Value::Nothing | Value::List(_) | Value::Map(_) => node,
        };
        let Value::Map(entries) = &node.value else {
            return self
                .reading
                .mistake(node.at, "a step is an action with its keys, such as `- call: echo`");
        };
        let names = || WORDS.iter().map(|word| word.name);
        let mut actions = entries
            .iter()
            .filter_map(|(key, value)| Some((WORDS.iter().find(|w| w.name == key.name)?, key, value)));
        // `say`, `for` and others may also be keys of another action: none is, a test holds that
        let Some((word, key, value)) = actions.next() else {
            let why = match entries.iter().find(|(key, _)| !EVERY_STEP.contains(&key.name.as_str())) {
                Some((key, _)) => unknown("there is no action", &key.name, names()),
                None => format!("a step has an action: {}", names().collect::<Vec<_>>().join(", ")),
            };
            return self.reading.mistake(node.at, why);
        };
        if let Some((second, at, _)) = actions.next() {
            let why = format!(
                "a step has one action, and `{}` and `{}` are two: begin the second with `- `",
                word.name, second.name
            );
            return self.reading.mistake(at.at, why);
        }
        let mut known = vec![word.name];
        known.extend(word.keys);
        known.extend(EVERY_STEP);
        let mut fields = self.reading.fields(node, &format!("`{}`", word.name), &known);
        fields.take(word.name);
        let name = fields.take("name").and_then(|node| self.reading.text(node, "`name`"));
        let within = fields
            .take("within")
            .and_then(|node| self.reading.parsed(node, "`within`", bounded))
            .unwrap_or(self.patience);
        let party = self.party(word, value, &mut fields, key.at);
        let begins = matches!(word.name, "call" | "answer");
        let only = fields.take("only").and_then(|node| {
            let only = self.reading.parsed(node, "`only`", |text| chosen("world", text, WORLDS))?;
            Some((node.at, if only == "mock" { Only::Mock } else { Only::Real }))
        });
        let leg = fields.take("leg").map_or(0, |node| self.leg(party, node, begins));
        let before = steps.len();
        match word.name {
            "repeat" => self.repeat(value, &mut fields, steps),
            "for" => self.for_each(value, &mut fields, steps),
            _ => {}
        }
        if matches!(word.name, "repeat" | "for") {
            return self.narrow(only, steps.iter_mut().skip(before));
        }
        let refused = fields.take("refused").and_then(|node| self.code(node, "`refused`"));
        if let Some(action) = self.action(word, value, (party, leg), &mut fields) {
            let word = word.name;
            let only = only.map(|(_, only)| only);
            steps.push(Step { at: key.at, number, name, party, leg, within, refused, only, word, action });
        }
    }

    /// What a loop says of its world holds for its steps.
    fn narrow<'s>(&mut self, only: Option<(Place, Only)>, steps: impl Iterator<Item = &'s mut Step>) {
        let Some((at, only)) = only else { return };
        let mut never = false;
        for step in steps {
            never |= *step.only.get_or_insert(only) != only;
        }
        if never {
            self.reading
                .mistake(at, "`only`: a step of this loop says another world and would never be done");
        }
    }

    /// A call of the party by its name: an index behind the one without a name.
    pub(super) fn leg(&mut self, party: Option<usize>, node: &Node, begins: bool) -> usize {
        let Some(name) = self.reading.text(node, "`leg`") else { return 0 };
        if !super::is_name(&name) {
            self.reading.mistake(node.at, format!("`{name}` is no name: letters, digits, _ and -"));
            return 0;
        }
        let Some(legs) = party.and_then(|party| self.legs.get_mut(party)) else { return 0 };
        let known = legs.names.iter().position(|known| *known == name).map(|place| place + 1);
        let leg = known.unwrap_or_else(|| {
            legs.names.push(name);
            legs.names.len()
        });
        if begins {
            legs.begun.insert(leg);
        } else {
            legs.used.push((leg, node.at));
        }
        leg
    }

    /// Every call that a step is about is begun by another one.
    pub(super) fn judge_legs(&mut self) {
        for legs in &self.legs {
            let name = |leg: &usize| legs.names.get(leg - 1).map_or("", String::as_str);
            let begun: Vec<&str> = legs.begun.iter().map(name).collect();
            for (leg, at) in legs.used.iter().filter(|(leg, _)| !legs.begun.contains(leg)) {
                let why = match begun.is_empty() {
                    true => format!("no `call` or `answer` of this party begins the leg `{}`", name(leg)),
                    false => unknown(
                        "no `call` or `answer` of this party begins the leg",
                        name(leg),
                        begun.iter().copied(),
                    ),
                };
                self.reading.mistake(*at, why);
            }
        }
    }

    /// Who does it.
    fn party(&mut self, word: &Word, value: &Node, fields: &mut Fields<'_>, at: Place) -> Option<usize> {
        let mut named = fields.take("as");
        if word.names_party && value.value != Value::Nothing {
            if let Some(twice) = named {
                self.reading
                    .mistake(twice.at, format!("`{}` names who does it already: leave `as` out", word.name));
            }
            named = Some(value);
        }
        if let (Some(node), false) = (named, word.by_party || word.may_name_party) {
            self.reading
                .mistake(node.at, format!("nobody in particular does `{}`: leave `as` out", word.name));
            return None;
        }
        let names: Vec<&str> = self.parties.iter().map(|party| party.name.as_str()).collect();
        match (named, names.as_slice()) {
            (Some(node), _) => self.known_party(node, "`as`"),
            (None, [_]) if word.by_party => Some(0),
            (None, [_, _, ..]) if word.by_party => {
                let how = if word.names_party { "say" } else { "say with `as`" };
                self.reading.mistake(at, format!("who does `{}`? {how}: {}", word.name, names.join(" or ")));
                None
            }
            (None, _) => None,
        }
    }

    /// The party of this name.
    pub(super) fn known_party(&mut self, node: &Node, what: &str) -> Option<usize> {
        let name = self.reading.text(node, what)?;
        let names: Vec<&str> = self.parties.iter().map(|party| party.name.as_str()).collect();
        let found = names.iter().position(|known| *known == name);
        if found.is_none() {
            self.reading.mistake(node.at, unknown("there is no party", &name, names));
        }
        found
    }

    fn repeat(&mut self, value: &Node, fields: &mut Fields<'_>, steps: &mut Vec<Step>) {
        let Some(rounds) = self.reading.parsed(value, "`repeat`", whole::<u32>) else { return };
        let rounds: Vec<String> = (1..=rounds.min(MAX_STEPS as u32)).map(|round| round.to_string()).collect();
        self.rounds("round", &rounds, fields, value, steps);
    }

    fn for_each(&mut self, value: &Node, fields: &mut Fields<'_>, steps: &mut Vec<Step>) {
        let Some(name) = self.reading.text(value, "`for`") else { return };
        let items = match fields.take("in") {
            Some(node) => self.reading.texts(node, "`in`").into_iter().map(|(_, text)| text).collect(),
            None => {
                self.reading.mistake(value.at, "`for` goes with `in`, a list, and `do`, the steps");
                Vec::new()
            }
        };
        self.rounds(&name, &items, fields, value, steps);
    }

    fn rounds(
        &mut self,
        name: &str,
        items: &[String],
        fields: &mut Fields<'_>,
        value: &Node,
        steps: &mut Vec<Step>,
    ) {
        let Some(body) = fields.take("do") else {
            return self.reading.mistake(value.at, "a loop goes with `do`, the steps");
        };
        let outer = self.reading.vars.get(name).cloned();
        for item in items {
            self.reading.vars.insert(name.to_owned(), item.clone());
            steps.extend(self.list(body, "`do`"));
            if self.count >= MAX_STEPS {
                break;
            }
        }
        match outer {
            Some(outer) => self.reading.vars.insert(name.to_owned(), outer),
            None => self.reading.vars.remove(name),
        };
    }

    /// Branches that run at the same time; each party is in one of them.
    pub(super) fn parallel(&mut self, value: &Node) -> Action {
        let mut taken = BTreeSet::new();
        let mut branches = Vec::new();
        for node in self.reading.list(value, "`parallel`") {
            // a branch of one step needs no list
            let mut steps = Vec::new();
            match &node.value {
                Value::List(_) => steps = self.list(node, "a branch of `parallel`"),
                Value::Nothing | Value::Text(_) | Value::Map(_) => self.step(node, &mut steps),
            }
            let mut own = BTreeSet::new();
            who(&steps, &mut own);
            if let Some(both) = own.intersection(&taken).next() {
                let name = self.parties.get(*both).map_or("", |party| &party.name);
                self.reading.mistake(node.at, format!("`{name}` is in two branches of one `parallel`"));
            }
            taken.extend(own);
            branches.push(Arc::new(steps));
        }
        Action::Parallel(branches)
    }
}

/// Who takes part in steps.
fn who(steps: &[Step], into: &mut BTreeSet<usize>) {
    for step in steps {
        into.extend(step.party);
        if let Action::Parallel(branches) = &step.action {
            branches.iter().for_each(|branch| who(branch, into));
        }
    }
}

/// A time that somebody lives to see.
pub(super) fn bounded(text: &str) -> Result<Duration, String> {
    match duration(text)? {
        time if time <= LONGEST => Ok(time),
        _ => Err("a week is the longest".to_owned()),
    }
}
