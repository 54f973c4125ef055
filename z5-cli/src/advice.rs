//! What to do about a failure, in words with the command to run next. Where z5-core can say no more than that something asked for or
//! configured is wrong, the code says which, and so what to do; everything else keeps its own advice.

use z5_core::{Advice, Failure};

/// What to do, in one sentence without a full stop. `config` is the configuration of the run.
pub(crate) fn of(failure: &Failure, config: Option<&str>) -> String {
    match failure.advice {
        Advice::CheckSettings => match by_code(failure.code) {
            Some(text) => text.replace("{config}", &config.map_or_else(|| "FILE".to_owned(), quoted)),
            None => failure.advice.text().to_owned(),
        },
        // which is what has just been run, and says more itself
        _ if failure.code == "check.failed" => failure.advice.text().to_owned(),
        Advice::CheckNetwork => match config {
            Some(file) => {
                let (text, file) = (failure.advice.text(), quoted(file));
                format!("{text}; z5 --config {file} check tells what is blocked")
            }
            None => failure.advice.text().to_owned(),
        },
        Advice::AskCarrier if failure.code == "contacts.refused" => {
            let file = config.map_or_else(|| "FILE".to_owned(), quoted);
            format!(
                "take it back, z5 --config {file} contacts remove NAME, or ask the carrier why it is refused"
            )
        }
        Advice::RetryNow
        | Advice::RetryAfter
        | Advice::SignInAgain
        | Advice::UpdateApp
        | Advice::AskCarrier
        | Advice::ReportBug => failure.advice.text().to_owned(),
    }
}

/// As a shell takes it.
pub(crate) fn quoted(path: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._/~+-:@%".contains(&byte);
    if !path.is_empty() && path.bytes().all(plain) {
        return path.to_owned();
    }
    format!("'{}'", path.replace('\'', "'\\''"))
}

/// Of a code whose general advice is to look at what was asked for and configured.
fn by_code(code: &str) -> Option<&'static str> {
    Some(match code {
        // what the command line names
        "usage.no-configuration" => {
            "add --config FILE; z5 config init FILE writes one to fill in, z5 mock --write-config FILE one for the mock carrier"
        }
        "usage.config" => "leave --config out",
        "usage.echo" => {
            "name the number of the echo in its file, then try it alone: z5 --config FILE register"
        }
        "usage.number" => "leave --number out; z5 --config {config} config show shows what is configured",
        "usage.profile" => {
            "name a configuration of profile z5 with --config; z5 mock --write-config FILE writes one to try it with"
        }
        "usage.twice" => "leave one of the two out",
        "usage.set" => {
            "write --set NAME=VALUE with a name that stands under `vars` of the file; z5 run --check FILE judges both"
        }
        "usage.party" => {
            "write --party NAME=FILE with a party of the scenario; z5 run --check FILE judges both"
        }
        "usage.at" => "make --duration longer, or --at earlier",
        "usage.location" => {
            "write --location geo:38.8977,-77.0365, or name a PIDF-LO file or a location server (https:...)"
        }
        "usage.suite" => "add --srtp required, or leave --suite out",
        "usage.seed" => "unset Z5_SEED, or give --seed N",
        "usage.clock" => {
            "leave --clock simulated out to run against a carrier, or --config and --party to run in simulated time"
        }
        "usage.only" => "name points of the plan, for example --only V4,V9; without --only all of them run",
        "usage.listen" => "choose another port; --listen 127.0.0.1:0 takes any that is free",
        "usage.junit" | "usage.markdown" | "usage.capture" => {
            "name another file, or replace that one with --overwrite"
        }
        "usage.report" => "name a folder that you may write to with --report DIR",
        "usage.export" => "name a file or folder that is not there yet and that you may write to",
        "usage.input" => "name a file with SIP or SDP in it: z5 explain FILE, or - for standard input",
        "usage.contact" => "see who is there: z5 --config {config} contacts list",
        "usage.cards" => {
            "name a file of vCards or xCards, for example: z5 --config {config} contacts import friends.vcf"
        }
        "usage.card" => "correct the line and import the file again; what was taken is not doubled",
        "usage.no-store" => {
            "name a folder in the configuration, store = \"DIR\", or set XDG_DATA_HOME or HOME"
        }
        "scenario.unreadable" => {
            "name a file that can be read; z5 acceptance --export DIR writes scenarios to begin with"
        }
        "scenario.invalid" => {
            "correct it, then: z5 run --check FILE; z5 run --schema prints what may stand there"
        }
        "report.capsule" => "name the folder that --report wrote: z5 report DIR",
        "report.not-written" => "name another page with -o FILE, or replace that one with --overwrite",
        "output.lost" => "make room, or name another place; what was there is as it was",
        "demo.mock" | "demo.configuration" => "try z5 mock, which says what keeps the carrier from starting",

        // the configuration
        "config.unreadable" => "name a configuration that can be read, or write one: z5 config init FILE",
        "config.not-written" => "name another file: z5 config init FILE",
        "start.ca-file" => {
            "name a PEM file with certificates, by --ca or tls.ca_file, then: z5 --config {config} check"
        }
        code if code.starts_with("config.") || code.starts_with("start.") => {
            "correct it, then: z5 --config {config} config check; docs/configuration.md has every key"
        }

        // step 1
        "resolve.invalid-name" | "resolve.no-nameservers" => {
            "correct the names and nameservers under [dns], then: z5 --config {config} config check"
        }
        "resolve.name-not-found" | "resolve.refused" | "resolve.no-sip-service" => {
            "see what each nameserver says: z5 --config {config} check"
        }

        // steps 2 to 4
        "sign-in.number-required" | "sign-in.unknown-number" => {
            "see the numbers of the account: z5 --config {config} numbers, then choose one with --number"
        }
        "sign-in.no-secure-proxy" => "leave tls out: --sip-transport auto, or sip.transport = \"auto\"",
        "sign-in.tls-unknown-issuer" | "provision.tls-unknown-issuer" | "register.tls-unknown-issuer" => {
            "see the certificate: z5 --config {config} check; believe another authority with --ca FILE"
        }
        "sign-in.tls-not-yet-valid"
        | "provision.tls-not-yet-valid"
        | "register.tls-not-yet-valid"
        | "provision.licence-not-yet-valid"
        | "check.clock" => {
            "set this machine's clock; z5 --config {config} check compares it with the servers'"
        }
        "provision.licence-wrong-issuer"
        | "provision.licence-wrong-audience"
        | "provision.licence-unknown-key" => {
            "correct [licence] of the configuration, then: z5 --config {config} licence"
        }
        "provision.foreign-server" => {
            "if that host is the provider's, name it in contacts.servers, then: z5 --config {config} contacts sync"
        }
        "register.unknown-user" => "correct the user name under [sip], then: z5 --config {config} register",

        // calls
        "call.bad-target" => {
            "call a number such as +15555550900 or 911, a SIP URI, or a user name of the provider's domain"
        }
        "call.not-found" => {
            "check the number; z5 --config {config} contacts search NAME finds those of the address book"
        }
        "call.no-common-codec" => "offer others, for example --codec PCMU,PCMA, or media.audio_codecs",
        "call.crypto-refused" => "offer a call without encryption too: --srtp optional",
        "call.local-port" => {
            "widen media.ports or close what uses them; z5 --config {config} check tries one"
        }
        "call.media" => "leave out what cannot be carried: --audio silence, --video off",
        "call.audio-file" => "name a WAV file of 16-bit PCM, or send --audio tone",
        "call.video-source" => "name a file that ends in .h264 or .y4m, or send --video pattern",
        "call.recording" => "record in a folder that you may write to: --record DIR",
        "call.no-text" => "call with text: media.text = true, or --at 2s=add:text",
        "call.bad-digit" => "press keys 0 to 9, * and #, or A to D",
        "call.emergency" => "leave hold and transfer out of emergency calls",
        "call.unknown-call" | "call.wrong-state" => {
            "do it while the call stands: earlier with --at, or in a longer call with --duration"
        }

        // what is kept
        // what a scenario came to
        "run.expectation" => {
            "see all that was measured: the same again with --report DIR, which writes a page for each party"
        }
        "run.not-waited" => "wait for the call or hang it up: wait: established, hangup",
        "run.not-refused" => "leave out `refused` where the carrier may agree",
        "run.not-possible" => {
            "put the step where what it needs is there: z5 run --check FILE tells what is known before"
        }
        "store.in-use" => "stop the other z5, or give this one a folder of its own: store = \"DIR\"",
        "store.other-account" | "store.foreign" => {
            "name a folder of its own for this account: store = \"DIR\""
        }
        "store.permissions" => "make the folder your own alone (chmod 700), or name another: store = \"DIR\"",
        "store.corrupt" => "nothing; what was damaged is kept beside it as .corrupt-N",
        "store.unreadable" | "store.unwritable" => {
            "make room and see who may write there, or name another folder: store = \"DIR\""
        }
        "contacts.unknown" => "see who is there: z5 --config {config} contacts list",
        "contacts.full" => "remove some: z5 --config {config} contacts remove NAME",
        "contacts.no-name" | "contacts.bad-number" => {
            "write it like: z5 --config {config} contacts add \"Dora\" +15555550177"
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rows of the tables of a document: what stands in code quotes in the first cell, and the last cell.
    fn rows(document: &'static str) -> Vec<(&'static str, &'static str)> {
        let mut all = Vec::new();
        for line in document.lines().filter(|line| line.starts_with("| `")) {
            let cells: Vec<&str> = line.trim_matches('|').split(" | ").map(str::trim).collect();
            let last = cells.last().copied().unwrap_or_default();
            all.extend(cells[0].split('`').skip(1).step_by(2).map(|code| (code, last)));
        }
        all
    }

    #[test]
    fn a_path_is_quoted_where_a_shell_would_take_it_apart() {
        assert_eq!((quoted("z5.toml").as_str(), quoted("").as_str()), ("z5.toml", "''"));
        assert_eq!(quoted("My Files/it's.toml"), r"'My Files/it'\''s.toml'");
    }

    /// Whoever is told to look at what was asked for is told where to look and what to run.
    #[test]
    fn every_code_of_settings_has_words_of_its_own() {
        let core = rows(include_str!("../../docs/errors.md"));
        let settings: Vec<&str> = core
            .iter()
            .filter(|(_, advice)| advice.starts_with("check the configuration or what was asked for"))
            .map(|(code, _)| *code)
            .collect();
        assert!(settings.len() > 40, "{settings:?}");
        // those of the program itself that end with 2, except those that are told with words of their own
        let told = ["mock.start", "mock.write-config", "mock.scenario", "firewall.name", "usage.format"];
        let program: Vec<&str> = rows(include_str!("../../docs/json.md"))
            .into_iter()
            .filter(|(code, exit)| exit.contains('2') && exit.len() < 30 && !told.contains(code))
            .map(|(code, _)| code)
            .filter(|code| code.contains('.') && !code.starts_with("call."))
            .collect();
        assert!(program.len() > 25, "{program:?}");
        for code in settings.into_iter().chain(program) {
            let text = by_code(code).unwrap_or_else(|| panic!("{code} has no words"));
            assert!(!text.ends_with('.') && text.len() < 140, "{code}: {text}");
        }
    }

    #[test]
    fn the_configuration_of_the_run_is_named() {
        let failure =
            Failure::outside_steps("config.bad-value", "media.ports".to_owned(), Advice::CheckSettings);
        assert!(of(&failure, Some("my.toml")).contains("z5 --config my.toml config check"));
        assert!(of(&failure, None).contains("z5 --config FILE config check"));
        let network = Failure::outside_steps("resolve.timed-out", String::new(), Advice::CheckNetwork);
        assert!(of(&network, Some("my.toml")).ends_with("z5 --config my.toml check tells what is blocked"));
    }
}
