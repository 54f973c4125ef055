//! The far ends of a scenario file: each by itself, beside the others and the customers, and where they send callers to.

use super::file::FarEndEntry;
use super::judge::{Judge, one_of};
use crate::account::{self, Account};
use crate::far_end::script::{self, Media, Script, Step};
use crate::fault::name::nearest;
use crate::{FarEnd, Impairment};

const STEPS: &str = "far_end.steps";

/// All of them that can be played.
pub(super) fn far_ends(entries: &[FarEndEntry], accounts: &[Account], judge: &mut Judge<'_>) -> Vec<Script> {
    let usual = account::default_accounts();
    let accounts = if accounts.is_empty() { &usual } else { accounts };
    let mut scripts: Vec<(&FarEndEntry, Script)> = Vec::new();
    for entry in entries {
        if let Some(script) = far_end(entry, judge) {
            alone(entry, &scripts, accounts, judge);
            scripts.push((entry, script));
        }
    }
    for (entry, script) in &scripts {
        leads_somewhere(entry, script, &scripts, accounts, judge);
    }
    scripts.into_iter().map(|(_, script)| script).collect()
}

fn far_end(entry: &FarEndEntry, judge: &mut Judge<'_>) -> Option<Script> {
    let mut steps = Vec::new();
    for text in entry.steps.get_ref() {
        match text.get_ref().parse::<Step>() {
            Ok(step) => steps.push(step),
            Err(why) => judge.wrong(text, STEPS, why),
        }
    }
    // What one is that cannot be read is not known, so neither is whether their order means something.
    if steps.len() == entry.steps.get_ref().len()
        && let Err((at, why)) = script::check(&steps)
    {
        match entry.steps.get_ref().get(at) {
            Some(step) => judge.wrong(step, STEPS, why),
            None => judge.wrong(&entry.steps, STEPS, why),
        }
        steps.clear();
    }
    let mut script = Script::numbered(entry.number.get_ref(), steps)
        .map_err(|why| judge.wrong(&entry.number, "far_end.number", why))
        .ok()?;
    if let Some(name) = &entry.name {
        if name.get_ref().is_empty() {
            judge.wrong(name, "far_end.name", "nobody can dial nothing: write a name, or leave it out");
        }
        script.name.clone_from(name.get_ref());
    }
    if let Some(media) = &entry.media {
        script.media = match media.get_ref().as_str() {
            "echo" => Media::Echo,
            "tone" => Media::Tone,
            "announcement" => Media::Announcement,
            "silent" => Media::Silent,
            other => {
                let why = one_of(other, &["echo", "tone", "announcement", "silent"]);
                judge.wrong(media, "far_end.media", why);
                return None;
            }
        };
    }
    if let Some(says) = &entry.says {
        if script.media != Media::Announcement {
            let why = "only an announcement says something: write media = \"announcement\", or a step \"type TEXT\"";
            judge.wrong(says, "far_end.says", why);
        }
        script.says.clone_from(says.get_ref());
    }
    if let Some(text) = &entry.impairment {
        match text.get_ref().parse::<Impairment>() {
            Ok(impairment) if impairment == Impairment::default() => {
                judge.wrong(text, "far_end.impairment", "it does nothing: leave it out");
            }
            Ok(impairment) => script.impairment = Some(impairment),
            Err(why) => judge.wrong(text, "far_end.impairment", why),
        }
    }
    Some(script)
}

/// Whether nobody else has its number or its name.
fn alone(
    entry: &FarEndEntry,
    others: &[(&FarEndEntry, Script)],
    accounts: &[Account],
    judge: &mut Judge<'_>,
) {
    let name = entry.name.as_ref().filter(|name| !name.get_ref().is_empty());
    for (what, key) in [(Some(&entry.number), "far_end.number"), (name, "far_end.name")] {
        let Some(text) = what else { continue };
        if let Some(why) = script::taken(text.get_ref(), others.iter().map(|(_, other)| other), accounts) {
            judge.wrong(text, key, why);
        }
    }
}

/// Whether there is somebody where it sends callers to, and a caller gets somewhere in the end.
fn leads_somewhere(
    entry: &FarEndEntry,
    script: &Script,
    scripts: &[(&FarEndEntry, Script)],
    accounts: &[Account],
    judge: &mut Judge<'_>,
) {
    let Some((at, target)) = script.leads_to() else { return };
    let Some(step) = entry.steps.get_ref().get(at) else { return };
    if let Some(why) = nobody(target, scripts, accounts) {
        judge.wrong(step, STEPS, why);
        return;
    }
    let mut next = target;
    for _ in 0..=scripts.len() {
        if script.is_dialled_by(next) {
            let why = match script.is_dialled_by(target) {
                true => {
                    format!("{target} is this far end itself: nobody would ever get anywhere; name another")
                }
                false => format!("{target} leads back here: nobody would ever get anywhere; name another"),
            };
            judge.wrong(step, STEPS, why);
            return;
        }
        let dialled = scripts.iter().find(|(_, other)| other.is_dialled_by(next));
        match dialled.and_then(|(_, other)| other.leads_to()) {
            Some((_, further)) => next = further,
            None => return,
        }
    }
}

/// Why nobody is there, if nobody is.
fn nobody(target: &str, scripts: &[(&FarEndEntry, Script)], accounts: &[Account]) -> Option<String> {
    let scripted = scripts.iter().any(|(_, script)| script.is_dialled_by(target));
    if scripted || FarEnd::of(target).is_some() || account::find(accounts, target).is_some() {
        return None;
    }
    let numbers = accounts.iter().flat_map(Account::numbers).map(|number| number.e164.clone());
    let far_ends = FarEnd::all().map(|(number, _)| number);
    let all = scripts.iter().map(|(_, script)| script.number.clone()).chain(numbers).chain(far_ends);
    let hint = nearest(target, all).map_or_else(String::new, |name| format!("; did you mean {name}?"));
    Some(format!("{target} is nobody's number here{hint}"))
}
