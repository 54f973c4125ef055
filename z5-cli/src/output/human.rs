//! Readable lines: a line per step with its time, then the call, then the verdict.

use ratatui::text::Span;
use z5_core::events::{About, EventKind, MediaKind, StepDetail};
use z5_core::policy::{LocalRtpPorts, PortSource};
use z5_core::{CallReport, Event, Side, Step};

use self::told::{licence_line, packets, pictures, resolved};
use super::{contacts, plain, typed, write};
use crate::report::Report;

mod told;

/// The readable form.
#[derive(Debug)]
pub(crate) struct Human {
    terminal: bool,
    /// A line may be written over.
    rewrites: bool,
    colour: bool,
    /// A "step is running" line stands without its end.
    open_line: bool,
    /// Lines that wait while a view has the terminal.
    held: Option<Vec<String>>,
    /// How many of them were told to the view.
    told: usize,
    /// What was said last of the mailbox.
    mailbox: Option<String>,
}

const OK: &str = "32";
const BAD: &str = "31";
const FAINT: &str = "2";

impl Human {
    pub(crate) fn new(terminal: bool, colour: bool) -> Self {
        Self { terminal, rewrites: terminal, colour, open_line: false, held: None, told: 0, mailbox: None }
    }

    /// The same, and what was written stays as it is.
    pub(crate) fn keeping_lines(self) -> Self {
        Self { rewrites: false, ..self }
    }

    fn paint(&self, colour: &str, text: &str) -> String {
        if self.colour { format!("\x1b[{colour}m{text}\x1b[0m") } else { text.to_owned() }
    }

    /// From now on lines wait, or are printed.
    pub(crate) fn hold(&mut self, hold: bool) {
        match hold {
            true => self.held = Some(Vec::new()),
            false => self.release(),
        }
        self.told = 0;
    }

    /// Prints the lines that waited.
    pub(crate) fn release(&mut self) {
        for line in self.held.take().unwrap_or_default() {
            self.line(&line);
        }
    }

    /// Lines that wait and were not told before, without colours.
    pub(crate) fn news(&mut self) -> Vec<String> {
        let held = self.held.as_deref().unwrap_or_default();
        let news =
            held.get(self.told..).unwrap_or_default().iter().map(|line| without_colour(line)).collect();
        self.told = held.len();
        news
    }

    fn line(&mut self, text: &str) {
        if let Some(held) = &mut self.held {
            held.push(text.to_owned());
            return;
        }
        if self.open_line {
            // back to the start and clear: the running step's line gives way to its result
            write("\r\x1b[K");
            self.open_line = false;
        }
        match self.columns() {
            Some(columns) => fold(text, columns).iter().for_each(|line| write(&format!("{line}\n"))),
            None => write(&format!("{text}\n")),
        }
    }

    /// How wide the terminal is; a narrow one breaks lines better by itself.
    fn columns(&self) -> Option<usize> {
        let size = self.terminal.then(ratatui::crossterm::terminal::size)?;
        size.ok().map(|(columns, _)| usize::from(columns)).filter(|columns| *columns >= 60)
    }

    pub(crate) fn note(&mut self, text: &str) {
        self.line(text);
    }

    /// A line of a list: good, bad, or neither.
    pub(crate) fn row(&mut self, text: &str, good: Option<bool>) {
        let mark = match good {
            Some(true) => self.paint(OK, "ok    "),
            Some(false) => self.paint(BAD, "FAILED"),
            None => "      ".to_owned(),
        };
        self.line(&format!("{mark} {}", plain(text)));
    }

    pub(crate) fn verdict(&mut self, good: bool, text: &str) {
        let word = if good { self.paint(OK, "PASS") } else { self.paint(BAD, "FAIL") };
        self.line(&format!("{word}  {}", plain(text)));
    }

    /// A step and its time; blank where it was not measured.
    fn step(&mut self, step: Step, ok: bool, took_ms: Option<f64>, what: &str) {
        let verdict = if ok { self.paint(OK, "ok    ") } else { self.paint(BAD, "FAILED") };
        let took = took_ms.map_or_else(|| " ".repeat(11), |ms| format!("{ms:>8.1} ms"));
        self.line(&format!("{} {:<6}{verdict} {took}  {}", step.number(), name(step), plain(what)));
    }

    /// What a far end says about itself: what it is and where, never the documents themselves.
    fn about(&mut self, about: &[About]) {
        for About { purpose, uri, content, .. } in about {
            let size = content.as_ref().map_or_else(String::new, |text| format!(" ({} bytes)", text.len()));
            self.under(&format!("{purpose}: {uri}{size}"));
        }
    }

    fn under(&mut self, text: &str) {
        self.line(&format!("{:28}{}", "", plain(text)));
    }

    fn call_line(&mut self, word: &str, text: &str) {
        self.line(&format!("5 call  {word:<19} {}", plain(text)));
    }

    pub(crate) fn event(&mut self, event: &Event) {
        match &event.kind {
            EventKind::StepStarted { step, number } => {
                if self.rewrites && self.held.is_none() {
                    write(&format!("{number} {:<6}...", name(*step)));
                    self.open_line = true;
                }
            }
            EventKind::StepDone { step, took_ms, detail, .. } => self.step_done(*step, *took_ms, detail),
            EventKind::StepFailed { step, took_ms, error, .. } => {
                self.step(*step, false, Some(*took_ms), error.code())
            }
            EventKind::ServerFailed { server, transport, outcome } => {
                self.line(&format!("4 SIP   {:<19} {transport} {server}: {outcome}", "next server"));
            }
            EventKind::Incoming { from, display_name, asserted, about, .. } => {
                let name = display_name.as_ref().map_or_else(String::new, |name| format!("{name} "));
                self.call_line("incoming", &format!("{name}<{from}>"));
                if let Some(asserted) = asserted.as_ref().filter(|asserted| *asserted != from) {
                    self.under(&format!("the network says: {asserted}"));
                }
                self.about(about);
            }
            EventKind::FlowRegistered { transport, server, .. } => {
                self.line(&format!("4 SIP   {:<19} {transport} {server}", "also registered"));
            }
            EventKind::FlowLost { why, .. } => {
                self.line(&format!("4 SIP   {:<19} {why}", "one way less"));
            }
            EventKind::CallInfo { about, .. } => {
                self.call_line("far end", &format!("{} documents about it", about.len()));
                self.about(about);
            }
            EventKind::CallProgress { status, reason, .. } => {
                self.call_line("progress", &format!("{status} {reason}"))
            }
            EventKind::CallEstablished { media, timings, .. } => {
                let streams: Vec<String> = media
                    .streams
                    .iter()
                    .map(|stream| {
                        let crypto = stream
                            .crypto
                            .map_or_else(|| "not encrypted".to_owned(), |suite| format!("SRTP {suite}"));
                        format!(
                            "{} {} ({crypto}) {} <-> {}",
                            kind(stream.kind),
                            stream.codec,
                            stream.local,
                            stream.remote
                        )
                    })
                    .collect();
                for (index, stream) in streams.iter().enumerate() {
                    if index == 0 {
                        self.step(Step::Call, true, timings.setup_ms, stream);
                    } else {
                        self.under(stream);
                    }
                }
                for why in &media.refused {
                    self.under(&format!("refused: {why}"));
                }
            }
            EventKind::FirstMedia { kind: medium, after_ms, .. } => {
                self.call_line("first packet", &format!("{} after {after_ms:.1} ms", kind(*medium)));
            }
            EventKind::MediaSilent { kind: medium, silent_ms, reason, .. } => {
                let text = format!("no {} for {:.0} s: {reason}", kind(*medium), silent_ms / 1000.0);
                self.call_line("silent", &text);
            }
            EventKind::MediaBack { kind: medium, silent_ms, .. } => {
                self.call_line("back", &format!("{} after {:.0} s", kind(*medium), silent_ms / 1000.0));
            }
            EventKind::FirstPicture { after_ms, .. } => {
                self.call_line("first picture", &format!("after {after_ms:.1} ms"));
            }
            EventKind::Text { text, source: None, .. } => self.call_line("text came", &typed(text)),
            EventKind::Text { text, source: Some(source), label, .. } => {
                let who = label.as_ref().map_or_else(|| source.clone(), |label| typed(label));
                self.call_line("text came", &format!("from {who}: {}", typed(text)));
            }
            EventKind::CallChanged { media, .. } => {
                let flows = |stream: &z5_core::call::StreamAgreement| match (stream.send, stream.receive) {
                    (true, true) => format!("{} both ways", kind(stream.kind)),
                    (true, false) => format!("{} to the far end", kind(stream.kind)),
                    (false, true) => format!("{} from the far end", kind(stream.kind)),
                    (false, false) => format!("no {}", kind(stream.kind)),
                };
                let streams: Vec<String> = media.streams.iter().map(flows).collect();
                self.call_line("changed", &streams.join(", "));
            }
            EventKind::TransferRequested { target, referred_by, .. } => {
                let by = referred_by.as_ref().map_or_else(String::new, |by| format!(", says {by}"));
                self.call_line("handed over", &format!("to {target}{by}"));
            }
            EventKind::TransferProgress { status, reason, .. } => {
                self.call_line("transfer", &format!("{status} {reason}"));
            }
            EventKind::Transferred { .. } => self.call_line("transfer", "done"),
            EventKind::Message { from, text, content_type, .. } => {
                let text = if text.is_empty() { content_type.clone() } else { typed(text) };
                self.line(&plain(&format!("message from {from}: {text}")));
            }
            EventKind::MessageSent { status, .. } => self.line(&format!("message sent ({status})")),
            EventKind::MessageFailed { error, .. } => {
                self.line(&plain(&format!("message not sent: {}: {error}", error.code())));
            }
            EventKind::MessageWaiting { waiting, counts } => {
                let counts: Vec<String> = counts
                    .iter()
                    .map(|count| format!("{} {} new, {} old", count.class, count.new, count.old))
                    .collect();
                let waiting = if *waiting { "something new waits" } else { "nothing new" };
                let said = format!("{waiting} ({})", counts.join("; "));
                // a mailbox that is watched no longer says once more what it has
                if self.mailbox.as_ref() != Some(&said) {
                    self.line(&plain(&format!("4 SIP   {:<19} {said}", "mailbox")));
                    self.mailbox = Some(said);
                }
            }
            EventKind::MailboxLost { why } => {
                self.line(&plain(&format!("4 SIP   {:<19} {why}", "mailbox lost")));
            }
            EventKind::Digit { digit, duration_ms, .. } => {
                self.call_line("key came", &format!("{digit} for {duration_ms} ms"));
            }
            EventKind::CallHold { local, remote, .. } => self.call_line(
                "hold",
                match (local, remote) {
                    (true, true) => "by both sides",
                    (true, false) => "by us",
                    (false, true) => "by the far end",
                    (false, false) => "over",
                },
            ),
            EventKind::CallMuted { kind: medium, muted, .. } => {
                self.call_line(if *muted { "muted" } else { "unmuted" }, kind(*medium));
            }
            EventKind::SourceEnded { kind: MediaKind::Video, .. } => {
                self.call_line("file ended", "no picture follows");
            }
            EventKind::SourceEnded { .. } => self.call_line("file ended", "silence follows"),
            EventKind::CallTrouble { error, .. } | EventKind::CommandRefused { error, .. } => {
                self.call_line("trouble", &format!("{}: {error}", error.code()));
            }
            EventKind::CallEnded { by, cause, report, .. } => {
                let cause = cause.as_ref().map_or_else(String::new, |cause| format!(" ({cause})"));
                let text = format!("by {} after {:.1} s{cause}", side(*by), report.duration_ms / 1000.0);
                self.call_line("ended", &text);
                self.figures(report);
            }
            EventKind::CallFailed { error, timings, .. } => {
                self.step(Step::Call, false, timings.setup_ms, error.code());
            }
            EventKind::Refreshed { granted_s } => {
                self.line(&format!("4 SIP   {:<19} for {granted_s} s", "refreshed"))
            }
            EventKind::Retrying { step, attempt, in_ms, .. } => {
                let seconds = *in_ms as f64 / 1000.0;
                self.line(&format!("  {:<25} {step}: attempt {attempt} in {seconds:.1} s", "trying again"));
            }
            EventKind::EmergencyOnly { error, .. } => {
                self.line(&format!("4 SIP   {:<19} only emergency calls: {}", "no licence", error.code()));
            }
            EventKind::LicenceRenewed { licence } => {
                self.line(&format!("3 MCS   {:<19} for {} s", "licence renewed", licence.expires_in_s));
            }
            EventKind::ConfigurationRenewed { changed } => {
                let text = if *changed { "changed" } else { "as before" };
                self.line(&format!("2 ZDial {:<19} {text}", "configuration"));
            }
            EventKind::ContactsLoaded { contacts } => {
                self.line(&format!("3 MCS   {:<19} {contacts} contacts", "address book"));
            }
            EventKind::ContactsChanged { .. }
            | EventKind::ContactNotChanged { .. }
            | EventKind::ContactsProgress { .. }
            | EventKind::ContactMerged(_)
            | EventKind::ContactRefused { .. }
            | EventKind::ContactsSynced { .. } => {
                if let Some(text) = contacts::told(&event.kind, None) {
                    self.line(&format!("3 MCS   {:<19} {}", "address book", plain(&text)));
                }
            }
            EventKind::StoreTrouble { error } => {
                self.line(&plain(&format!("store: {}: {error}", error.code())));
            }
            EventKind::NetworkChanged { .. } => self.line("the network is another one: connecting anew"),
            EventKind::ClockChanged { by_s } => self.line(&format!("the clock was set by {by_s} s")),
            EventKind::Unregistered { confirmed } => {
                let text =
                    if *confirmed { "unregistered" } else { "left without the registrar's confirmation" };
                let text = self.paint(FAINT, text);
                self.line(&text);
            }
            EventKind::Overflow { lost } => self.line(&format!("{lost} events were lost")),
            EventKind::State { .. }
            | EventKind::CallState { .. }
            | EventKind::CallFigures { .. }
            | EventKind::TextSent { .. }
            | EventKind::NumberRequired { .. }
            | EventKind::Ready { .. }
            | EventKind::Stopped { .. } => {}
        }
    }

    fn step_done(&mut self, step: Step, took_ms: f64, detail: &StepDetail) {
        match detail {
            StepDetail::Resolved { names } => {
                self.step(step, true, Some(took_ms), &resolved(names));
                let width = names.iter().map(|name| name.name.len()).max().unwrap_or(0);
                for name in names {
                    let addresses: Vec<String> = name.addresses.iter().map(ToString::to_string).collect();
                    self.under(&format!("{:<width$}  {}", name.name, addresses.join(" ")));
                }
            }
            StepDetail::SignedIn { offered, chosen, authentication, rtp_ports, .. } => {
                let of =
                    if offered.len() == 1 { String::new() } else { format!(", one of {}", offered.len()) };
                self.step(
                    step,
                    true,
                    Some(took_ms),
                    &format!("signed in ({authentication}); number {chosen}{of}"),
                );
                self.ports(rtp_ports, None);
            }
            StepDetail::Provisioned { licence, contacts, policy } => {
                self.step(
                    step,
                    true,
                    Some(took_ms),
                    &format!("{}; {contacts} contacts", licence_line(licence)),
                );
                let ports = policy.rtp_ports;
                self.ports(&ports, Some(LocalRtpPorts { group: None, ..ports }));
            }
            StepDetail::Registered { address, transport, server, granted_s, .. } => {
                self.step(
                    step,
                    true,
                    Some(took_ms),
                    &format!("{address} at {server} over {} for {granted_s} s", transport.to_uppercase()),
                );
            }
        }
    }

    /// The local ports of media, where somebody else's range takes the place of the configuration's and has not been told `before`.
    fn ports(&mut self, ports: &LocalRtpPorts, before: Option<LocalRtpPorts>) {
        let (range, by) = ports.in_force();
        let who = match by {
            PortSource::SignIn => "the sign-in",
            PortSource::Group => "the group",
            PortSource::Client | PortSource::System => return,
        };
        let told = before.is_some_and(|before| before.in_force().0 == range);
        if let Some(client) = ports.client.filter(|client| *client != range && !told) {
            self.under(&format!(
                "local ports of media: {range}, which {who} says, in place of {client} (media.ports)"
            ));
        }
    }

    fn figures(&mut self, report: &CallReport) {
        if let Some(audio) = &report.audio {
            let heard = audio.heard.map_or_else(
                || "nothing played".to_owned(),
                |heard| match (heard.level_dbm0, heard.dominant_hz) {
                    (Some(level), Some(hz)) => format!("heard {level:.1} dBm0, strongest at {hz:.0} Hz"),
                    (Some(level), None) => format!("heard {level:.1} dBm0"),
                    _ => "silence".to_owned(),
                },
            );
            self.under(&format!("audio: {}; {heard}", packets(audio)));
        }
        if let Some(text) = &report.text {
            let characters = text.text.map_or_else(String::new, |figures| {
                format!(
                    "; {} characters typed, {} came, {} lost",
                    figures.characters_sent, figures.characters_received, figures.losses_marked
                )
            });
            self.under(&format!("text:  {}{characters}", packets(text)));
        }
        if let Some(video) = &report.video {
            self.under(&format!("video: {}", packets(video)));
            for line in video.video.iter().flat_map(|figures| pictures(figures, report.skew_ms)) {
                self.under(&format!("       {line}"));
            }
        }
    }

    pub(crate) fn result(&mut self, report: &Report) {
        for expectation in &report.expectations {
            let mark = if expectation.held { self.paint(OK, "ok    ") } else { self.paint(BAD, "FAILED") };
            self.line(&format!(
                "  {mark} {:<22} {} (wanted: {})",
                expectation.what,
                expectation.measured,
                expectation.wish()
            ));
        }
        let verdict = if report.verdict == "ok" { self.paint(OK, "PASS") } else { self.paint(BAD, "FAIL") };
        let timings = &report.timings_ms;
        let stayed =
            report.command == "answer" && report.call.is_none() && report.unwanted_failure().is_none();
        let parts = [
            report.calls.filter(|_| stayed).map(|calls| match calls {
                0 => "nobody called".to_owned(),
                1 => "1 call answered".to_owned(),
                calls => format!("{calls} calls answered"),
            }),
            timings.ready.map(|ms| format!("ready {ms:.0} ms after start")),
            timings.call_setup.map(|ms| format!("call set-up {ms:.1} ms")),
            timings.total.map(|ms| format!("{:.1} s in all", ms / 1000.0)),
        ];
        let parts: Vec<String> = parts.into_iter().flatten().collect();
        let parts = if report.began() { parts.join(", ") } else { "nothing was sent".to_owned() };
        self.line(&format!("{verdict}  {parts}"));
        let files =
            report.call.iter().flat_map(|call| [&call.recording, &call.film, &call.snapshot, &call.pictures]);
        for file in files.flatten().filter(|file| file.exists()) {
            self.line(&format!("recording: {}", file.display()));
        }
        if let Some(capture) = &report.capture {
            self.line(&format!("capture: {} ({} packets)", capture.file.display(), capture.outcome.packets));
        }
    }
}

/// Where the words of a line begin that is a step or a remark on one, or a condition.
const WORDS_AT: [usize; 2] = [28, 9];

/// Breaks a line at blanks; what follows stands under its words.
fn fold(line: &str, columns: usize) -> Vec<String> {
    let shown = without_colour(line);
    if Span::raw(shown.as_str()).width() <= columns {
        return vec![line.to_owned()];
    }
    let begins =
        |at: usize| shown.is_char_boundary(at) && shown[..at].ends_with(' ') && !shown[at..].starts_with(' ');
    let indented = shown.len() - shown.trim_start().len();
    let hang = match WORDS_AT.into_iter().find(|at| shown.len() > *at && begins(*at)) {
        Some(at) => at,
        None => indented.clamp(2, columns / 2),
    };
    let (mut lines, mut used) = (vec![String::new()], 0);
    for word in line.split_inclusive(' ') {
        let width = Span::raw(without_colour(word).trim_end()).width();
        if used + width > columns && used > hang {
            lines.push(" ".repeat(hang));
            used = hang;
        }
        if let Some(line) = lines.last_mut() {
            line.push_str(word);
        }
        used += Span::raw(without_colour(word)).width();
    }
    lines.iter().map(|line| line.trim_end().to_owned()).collect()
}

/// Takes out what `paint` put in.
fn without_colour(line: &str) -> String {
    let mut shown = String::with_capacity(line.len());
    let mut parts = line.split('\u{1b}');
    shown.push_str(parts.next().unwrap_or_default());
    for part in parts {
        shown.push_str(part.split_once('m').map_or("", |(_, rest)| rest));
    }
    shown
}

fn name(step: Step) -> &'static str {
    match step {
        Step::Resolve => "DNS",
        Step::SignIn => "ZDial",
        Step::Provision => "MCS",
        Step::Register => "SIP",
        Step::Call => "call",
    }
}

fn kind(kind: MediaKind) -> &'static str {
    match kind {
        MediaKind::Audio => "audio",
        MediaKind::Text => "text",
        MediaKind::Video => "video",
    }
}

fn side(side: Side) -> &'static str {
    match side {
        Side::Local => "us",
        Side::Remote => "the far end",
        Side::Network => "the network",
    }
}

#[cfg(test)]
mod tests {
    use z5_core::config::PortRange;

    use super::*;

    #[test]
    fn a_long_line_goes_on_under_its_words() {
        let step = "5 call  \u{1b}[32mok    \u{1b}[0m      3.2 ms  audio PCMU (not encrypted) 127.0.0.1:59376 <-> 127.0.0.1:53608";
        let folded = fold(step, 80);
        let (first, second) = (without_colour(&folded[0]), folded[1].as_str());
        assert_eq!(first, "5 call  ok          3.2 ms  audio PCMU (not encrypted) 127.0.0.1:59376 <->");
        assert_eq!(second, format!("{:28}127.0.0.1:53608", ""));
        assert_eq!(fold(step, 200), [step]);
        let below = format!("{:35}352x288, 30.6 a second, 331 kbit/s, no freeze, and more of it", "");
        assert_eq!(fold(&below, 80)[1], format!("{:35}freeze, and more of it", ""));
        let word = "x".repeat(100);
        assert_eq!(fold(&word, 80), [word.as_str()], "what has no blank is left to the terminal");
        assert!(fold("", 80).iter().all(String::is_empty));
    }

    /// A range of the configuration that gives way is told where it does, and once.
    #[test]
    fn ports_that_give_way_are_told() {
        let ports = |client, sign_in, group| LocalRtpPorts { client, sign_in, group };
        let [ours, theirs, third] =
            [20_000, 30_000, 40_000].map(|first| Some(PortRange::new(first, first + 99)));
        let told = |ports: LocalRtpPorts, before: Option<LocalRtpPorts>| {
            let mut human = Human::new(false, false);
            human.hold(true);
            human.ports(&ports, before);
            human.news().concat()
        };
        let said = told(ports(ours, theirs, None), None);
        let line = "local ports of media: 30000-30099, which the sign-in says, in place of 20000-20099 (media.ports)";
        assert_eq!(said.trim(), line);
        assert_eq!(told(ports(None, theirs, None), None), "", "nobody's range gave way");
        assert_eq!(told(ports(ours, ours, None), None), "");
        assert_eq!(told(ports(ours, None, None), None), "");
        assert_eq!(told(ports(ours, theirs, None), Some(ports(ours, theirs, None))), "", "told already");
        let group = told(ports(ours, theirs, third), Some(ports(ours, theirs, None)));
        assert!(group.contains("40000-40099, which the group says"), "{group}");
    }
}
