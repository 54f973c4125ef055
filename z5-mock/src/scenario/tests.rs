//! Scenario files: the documented one, and everything that can be wrong with one.

use std::time::Duration;

use super::*;
use crate::fault::order::Order;

const WHOLE: &str = include_str!("../../../docs/scenario.toml");

#[test]
fn the_documented_file_is_read_and_means_what_it_says() {
    let builder = read(WHOLE).unwrap();
    assert_eq!(builder.seed, 7);
    assert_eq!(builder.addresses.len(), 2);
    assert_eq!(builder.accounts.len(), 2);
    assert_eq!(builder.licence.max_calls, 3);
    assert_eq!(builder.impairment.delay, Duration::from_millis(40));
    assert_eq!(builder.impairment.burst, Some(crate::Burst::of(0.03, 8.0)));
    let rate = crate::Rate { bits_per_second: 2_000_000, queue: Duration::from_millis(200) };
    assert_eq!(builder.impairment.rate, Some(rate));
    assert_eq!(builder.sip_impairment.jitter, Duration::from_millis(20));
    let faults: Vec<String> = builder.faults.iter().map(Order::to_string).collect();
    assert_eq!(
        faults,
        ["sip.register-status=503,from=2,times=1", "mcs.server-error,at=127.0.0.1,after=10000ms,for=30000ms"]
    );
    assert_eq!(builder.scripts.len(), 1);
    assert_eq!(builder.scripts[0].steps.len(), 9);
}

/// Line, key and what is offered instead, for each kind of mistake; several are told at once.
#[test]
fn every_mistake_is_told_with_its_line_and_the_nearest_name() {
    for (text, line, key, part) in [
        ("sed = 1\n", 1, "sed", "did you mean `seed`"),
        ("\n[ports]\nsips = \"x\"\n", 3, "", "a whole number from 0 to 65535"),
        ("addresses = [\"10.0.0.1\"]\n", 1, "addresses", "loopback"),
        ("addresses = [\"127.0.0.1\"]\nipv6 = true\n", 2, "ipv6", "leave one"),
        ("[impairment]\nloss = 2.0\n", 2, "impairment.loss", "0 to 1"),
        ("[impairment]\ndelay = \"5\"\n", 2, "impairment.delay", "500ms"),
        ("[impairment]\nburst_length = 4\n", 2, "impairment.burst_length", "beside burst"),
        ("[impairment]\nburst = 0.1\nburst_length = 0.5\n", 3, "impairment.burst_length", "one packet"),
        ("[impairment]\nrate = \"fast\"\nqueue = \"1s\"\n", 2, "impairment.rate", "300k"),
        ("[sip_impairment]\nqueue = \"1s\"\n", 2, "sip_impairment.queue", "beside rate"),
        ("[[fault]]\nname = \"zdial.refused\"\n", 2, "fault.name", "did you mean zdial.refuse?"),
        ("[[fault]]\nname = \"zdial.refuse\"\nfrom = 0\n", 3, "fault.from", "from 1"),
        ("[[fault]]\nname = \"zdial.refuse\"\nat = \"127.0.0.9\"\n", 3, "fault.at", "127.0.0.1"),
        ("[[fault]]\nname = \"media.none\"\nat = \"127.0.0.1\"\n", 2, "fault.name", "same at all"),
        ("[[account]]\nusername = \"a\"\n", 1, "password", "missing"),
        ("[[far_end]]\nnumber = \"+1\"\nsteps = [\"anser\"]\n", 3, "far_end.steps", "no step"),
        (
            "[[far_end]]\nnumber = \"+1\"\nmedia = \"tones\"\nsteps = []\n",
            3,
            "far_end.media",
            "did you mean `tone`",
        ),
        ("[ports]\nrtp = [5, 4]\n", 2, "ports.rtp", "lower port first"),
        ("[ports]\nsip = 5060\nsips = 5060\n", 3, "ports.sips", "ports.sip has it"),
        ("[registration]\ngranted = \"0s\"\n", 2, "registration.granted", "1s at least"),
        ("[registration]\nleast = \"60s\"\ngranted = \"6s\"\n", 3, "registration.granted", "423"),
        ("[configuration]\ncontacts = [\"xcard\", \"xcard\"]\n", 2, "configuration.contacts", "twice"),
        ("[policy]\naudio_codecs = []\n", 2, "policy.audio_codecs", "name one"),
        ("[policy]\naudio_codecs = [\"CN\"]\n", 2, "policy.audio_codecs", "name one"),
        ("[policy]\naudio_codecs = [\"opus\", \"PCNU\"]\n", 2, "policy.audio_codecs", "did you mean `PCMU`"),
        ("[policy]\naudio_codecs = [\"opus\", \"Opus\"]\n", 2, "policy.audio_codecs", "twice"),
        ("[policy]\nmax_bitrate = 0\n", 2, "policy.max_bitrate", "2_000_000"),
        ("[licence]\nfeatures = [\"vidio\"]\n", 2, "licence.features", "did you mean `video`"),
        ("[licence]\nfeatures = [\"text\", \"text\"]\n", 2, "licence.features", "twice"),
        ("[[fault]]\nname = \"zdial.refuse\"\nfor = \"0s\"\n", 3, "fault.for", "never strike"),
        ("seed = \n", 1, "", ""),
    ] {
        let problems = read(text).err().unwrap_or_else(|| panic!("{text}"));
        let first = &problems[0];
        assert_eq!((first.line, first.key.as_str()), (Some(line), key), "{text}: {first:?}");
        assert!(first.why.contains(part), "{text}: {first:?}");
    }
    let several = "[impairment]\nloss = 2.0\ndelay = \"x\"\n[[fault]]\nname = \"no\"\n";
    assert_eq!(read(several).err().unwrap().len(), 3);
    let shown = load(Path::new("/nowhere/scenario.toml")).err().unwrap().to_string();
    assert!(shown.starts_with("/nowhere/scenario.toml: it cannot be read"), "{shown}");
}

/// A customer, with what stands behind it.
fn account(username: &str, number: &str, more: &str) -> String {
    format!(
        "[[account]]\nusername = \"{username}\"\npassword = \"x\"\n[[account.number]]\nnumber = \"{number}\"\n{more}"
    )
}

#[test]
fn nobody_can_be_called_by_what_another_is_called_by() {
    let dora = account("dora", "+15555550105", "");
    for (text, line, key, part) in [
        (dora.clone() + &account("dora", "+15555550106", ""), 7, "account.username", "its own"),
        (
            dora.clone() + &account("emil", "+15555550105", ""),
            10,
            "account.number.number",
            "each number once",
        ),
        (
            dora.clone() + &account("emil", "+15555550106", "sip_user = \"15555550105\"\n"),
            11,
            "account.number.sip_user",
            "+15555550105 is called by this name",
        ),
        (account("emil", "+15555550106", "token = \"a b\"\n"), 6, "account.number.token", "letters"),
        (
            account("emil", "+15555550106", "token = \"x\"\n")
                + &account("dora", "+15555550107", "token = \"x\"\n"),
            12,
            "account.number.token",
            "twice",
        ),
        (account("emil", "+15555550900", ""), 5, "account.number.number", "is a far end"),
        (dora + "[[account]]\nusername = \"\"\npassword = \"x\"\n", 7, "account.username", "write one"),
    ] {
        let problems = read(&text).err().unwrap_or_else(|| panic!("{text}"));
        let first = &problems[0];
        assert_eq!((first.line, first.key.as_str()), (Some(line), key), "{text}: {first:?}");
        assert!(first.why.contains(part) && problems.len() == 1, "{text}: {problems:?}");
    }
}

/// A far end, with what stands behind its number and its steps.
fn far_end(number: &str, steps: &str, more: &str) -> String {
    format!("[[far_end]]\nnumber = \"{number}\"\nsteps = [{steps}]\n{more}")
}

#[test]
fn a_far_end_has_steps_that_mean_something_and_a_number_of_its_own() {
    let one = far_end("+15555550950", "\"answer\"", "name = \"clerk\"\n");
    let to = |number: &str, target: &str| far_end(number, &format!("\"redirect {target}\""), "");
    for (text, line, key, part) in [
        (far_end("+15555550950", "", ""), 3, "far_end.steps", "there is no step"),
        (far_end("+15555550950", "\n\"answer\",\n\"resume\"", ""), 5, "far_end.steps", "without hold"),
        (far_end("950", "\"answer\"", ""), 2, "far_end.number", "no phone number"),
        (far_end("+15555550950", "\"answer\"", "name = \"\"\n"), 4, "far_end.name", "leave it out"),
        (
            far_end("+15555550950", "\"answer\"", "says = \"Hello\"\n"),
            4,
            "far_end.says",
            "only an announcement",
        ),
        (
            far_end("+15555550950", "\"answer\"", "impairment = \"los=1%\"\n"),
            4,
            "far_end.impairment",
            "did you mean loss?",
        ),
        (
            far_end("+15555550950", "\"answer\"", "impairment = \"off\"\n"),
            4,
            "far_end.impairment",
            "leave it out",
        ),
        (one.clone() + &far_end("+15555550950", "\"ring\"", ""), 6, "far_end.number", "already"),
        (
            one.clone() + &far_end("+15555550951", "\"ring\"", "name = \"clerk\"\n"),
            8,
            "far_end.name",
            "already",
        ),
        (far_end("+15555550101", "\"ring\"", ""), 2, "far_end.number", "of account alice"),
        (far_end("+15555550950", "\"ring\"", "name = \"bob\"\n"), 4, "far_end.name", "of account bob"),
        (to("+15555550950", "+15555550950"), 3, "far_end.steps", "this far end itself"),
        (to("+15555550950", "+15555550109"), 3, "far_end.steps", "nobody's number here; did you mean +1"),
        (one + &to("+15555550951", "+15555550105"), 7, "far_end.steps", "nobody's number"),
        (
            to("+15555550950", "+15555550951") + &to("+15555550951", "+15555550950"),
            3,
            "far_end.steps",
            "leads back here",
        ),
    ] {
        let problems = read(&text).err().unwrap_or_else(|| panic!("{text}"));
        let first = &problems[0];
        assert_eq!((first.line, first.key.as_str()), (Some(line), key), "{text}: {first:?}");
        assert!(first.why.contains(part), "{text}: {first:?}");
    }
    for target in ["echo", "+15555550101", "+15555550900"] {
        assert!(read(&to("+15555550950", target)).is_ok(), "{target}");
    }
}
