//! While the session stands: calls that come in and change, what the registrar says later, what is refused.

use super::*;

/// Calls that come in, and what the registrar says later.
impl World {
    /// Someone calls; gives the number of the call when it rings here.
    pub(super) fn ring(&mut self, number: u32, media: &str) -> Option<CallId> {
        let body =
            format!("v=0\r\no=- 1 1 IN IP4 192.0.2.9\r\ns=-\r\nc=IN IP4 192.0.2.9\r\nt=0 0\r\n{media}");
        let invite = format!(
            "INVITE {} SIP/2.0\r\nVia: SIP/2.0/TCP 127.0.0.1:5060;branch=z9hG4bK{number}\r\nMax-Forwards: 70\r\n\
             From: <sip:bob@c.test>;tag=f{number}\r\nTo: <sip:+15555550101@c.test>\r\nCall-ID: c{number}\r\nCSeq: 1 INVITE\r\n\
             Contact: <sip:bob@127.0.0.1:5060>\r\nContent-Type: application/sdp\r\nContent-Length: {}\r\n\r\n{body}",
            self.contact,
            body.len()
        );
        let before = self.events.len();
        self.input(Input::Received { flow: FlowId(1), bytes: invite.as_bytes() });
        self.settle();
        self.events[before..]
            .iter()
            .find_map(|event| if let EventKind::Incoming { call, .. } = event { Some(*call) } else { None })
    }

    pub(super) fn answer(&mut self, call: CallId, audio: bool, text: Option<bool>) {
        let wanted = io::Wanted { audio, text, ..SOUND };
        self.input(Input::Command(Command::Answer { call, wanted }));
    }

    /// The start line of the last message that begins so.
    pub(super) fn said(&self, start: &str) -> Option<&str> {
        self.sent
            .iter()
            .rev()
            .filter_map(|message| message.lines().next())
            .find(|line| line.starts_with(start))
    }

    pub(super) fn refused(&self) -> &'static str {
        match self.events.last() {
            Some(EventKind::CommandRefused { error, .. }) => error.code(),
            _ => "",
        }
    }

    /// Carries a call that rings until it stands.
    pub(super) fn establish(&mut self, call: CallId) {
        self.establish_with(call, io::Wanted { text: Some(false), ..SOUND });
    }

    /// Makes ready what is prepared, on the ports from 30000 on.
    pub(super) fn make_ready(&mut self, call: CallId) {
        let ready = |(at, kind): (u16, &crate::events::MediaKind)| io::ReadyMedium {
            kind: *kind,
            ports: io::PortPair {
                rtp: ([127, 0, 0, 1], 30_000 + 2 * at).into(),
                rtcp: ([127, 0, 0, 1], 30_001 + 2 * at).into(),
            },
            keys: io::KeyPool(zeroize::Zeroizing::new([7; io::KeyPool::LEN])),
            fragments: self.fragments,
        };
        let ready = (0..).zip(&self.prepared).map(ready).collect();
        self.input(Input::MediaReady { call, outcome: Ok(ready) });
        self.settle();
    }

    pub(super) fn establish_with(&mut self, call: CallId, wanted: io::Wanted) {
        self.input(Input::Command(Command::Answer { call, wanted }));
        self.settle();
        self.make_ready(call);
        let answer = self.sent.iter().rev().find(|message| message.starts_with("SIP/2.0 200")).unwrap();
        let to = answer.lines().find(|line| line.starts_with("To:")).unwrap();
        let ack = format!(
            "ACK {} SIP/2.0\r\nVia: SIP/2.0/TCP 127.0.0.1:5060;branch=z9hG4bKa\r\nMax-Forwards: 70\r\n\
             From: <sip:bob@c.test>;tag=f1\r\n{to}\r\nCall-ID: c1\r\nCSeq: 1 ACK\r\nContent-Length: 0\r\n\r\n",
            self.contact
        );
        self.input(Input::Received { flow: FlowId(1), bytes: ack.as_bytes() });
        self.settle();
        assert!(self.names().contains(&"call-established"), "{:?}", self.events);
    }

    /// The far end changes call 1, which stands: a re-INVITE that is answered at once.
    pub(super) fn change(&mut self, version: u32, media: &str) {
        let ack = self.offer(version, media);
        self.input(Input::Received { flow: FlowId(1), bytes: ack.as_bytes() });
        self.settle();
    }

    /// The far end offers a change of call 1; gives the ACK that belongs to it.
    pub(super) fn offer(&mut self, version: u32, media: &str) -> String {
        let answer = self.sent.iter().rev().find(|message| message.starts_with("SIP/2.0 200")).unwrap();
        let to = answer.lines().find(|line| line.starts_with("To:")).unwrap().to_owned();
        let body = format!(
            "v=0\r\no=- 1 {version} IN IP4 192.0.2.9\r\ns=-\r\nc=IN IP4 192.0.2.9\r\nt=0 0\r\n{media}"
        );
        let head = |method: &str| {
            format!(
                "{method} {} SIP/2.0\r\nVia: SIP/2.0/TCP 127.0.0.1:5060;branch=z9hG4bK{method}{version}\r\nMax-Forwards: 70\r\n\
                 From: <sip:bob@c.test>;tag=f1\r\n{to}\r\nCall-ID: c1\r\nCSeq: {version} {method}\r\n\
                 Contact: <sip:bob@127.0.0.1:5060>\r\n",
                self.contact
            )
        };
        let length = body.len();
        let invite = format!(
            "{}Content-Type: application/sdp\r\nContent-Length: {length}\r\n\r\n{body}",
            head("INVITE")
        );
        let ack = format!("{}Content-Length: 0\r\n\r\n", head("ACK"));
        self.input(Input::Received { flow: FlowId(1), bytes: invite.as_bytes() });
        self.settle();
        ack
    }

    pub(super) fn trouble(&self) -> Option<&'static str> {
        self.events.iter().rev().find_map(|event| {
            if let EventKind::CallTrouble { error, .. } = event { Some(error.code()) } else { None }
        })
    }

    /// Lets this much time pass, with everything that is due in it.
    pub(super) fn pass(&mut self, time: Duration) {
        let until = self.now + time;
        while let Some(deadline) = self.machine.next_deadline().filter(|deadline| deadline.at <= until) {
            self.now = self.now.max(deadline.at);
            self.input(Input::Deadline);
            self.settle();
        }
        self.now = self.now.max(until);
    }

    /// Lets time pass until an event of this name.
    pub(super) fn wait_for(&mut self, name: &str) {
        for _ in 0..100 {
            if self.names().contains(&name) {
                return;
            }
            self.wait();
        }
        panic!("no {name}: {:?}", self.names());
    }
}

pub(super) const AUDIO: &str = "m=audio 40000 RTP/AVP 0\r\n";
const TEXT: &str = "m=text 40002 RTP/AVP 98\r\na=rtpmap:98 t140/1000\r\n";

#[test]
fn a_second_answer_leaves_a_running_call_alone() {
    let mut world = World::new().start();
    let call = world.ring(1, AUDIO).unwrap();
    world.establish(call);
    world.answer(call, true, None);
    assert!(!world.wishes.iter().any(|wish| matches!(wish, Effect::StopMedia { .. })), "{:?}", world.wishes);
    assert!(world.wishes.contains(&Effect::ForgetWish { call }));
    world.settle();
    assert_eq!(world.refused(), "call.wrong-state");
    world.input(Input::Command(Command::Reject { call, how: crate::Refusal::Decline }));
    world.settle();
    assert_eq!(world.refused(), "call.wrong-state");
    assert!(!world.names().contains(&"call-ended"));
}

#[test]
fn a_registration_refused_for_good_ends_calls_in_order() {
    let mut world = World::new().start();
    let call = world.ring(1, AUDIO).unwrap();
    world.establish(call);
    world.registrar = (403, Vec::new());
    world.now += Duration::from_secs(5);
    world.wait_for("stopped");
    assert!(world.said("BYE ").is_some(), "{:?}", world.trail);
    let Some(EventKind::StepFailed { took_ms, error, .. }) =
        world.events.iter().find(|event| matches!(event, EventKind::StepFailed { .. }))
    else {
        panic!("{:?}", world.names())
    };
    assert_eq!(error.code(), "register.forbidden");
    assert!(*took_ms < 100.0, "{took_ms} ms counts from the refresh");
    assert_eq!(world.failure().0, "register.forbidden");
    let names = world.names();
    let at = |name| names.iter().position(|seen| *seen == name).unwrap();
    assert!(at("step-failed") < at("call-ended") && at("call-ended") < at("stopped"), "{names:?}");
}

#[test]
fn a_registrar_that_is_away_is_asked_again_on_a_new_connection_and_not_too_soon() {
    let mut world = World::new().start();
    let call = world.ring(1, AUDIO).unwrap();
    world.establish(call);
    world.registrar = (503, vec![(Name::RetryAfter, "90")]);
    while world.machine.view().state != SessionState::Registering {
        world.wait();
    }
    let lost = world.now;
    assert_eq!(world.trail.last().map(String::as_str), Some("close"));
    world.input(Input::Command(Command::Hangup { call }));
    world.settle();
    let sent = world.sent.len();
    world.registrar = (200, Vec::new());
    while world.machine.view().state != SessionState::Ready {
        world.wait();
    }
    assert!(world.now - lost >= Duration::from_secs(89), "{:?}", world.now - lost);
    assert!(world.sent[sent..].iter().all(|message| message.starts_with("REGISTER ")), "{:?}", world.sent);
}

#[test]
fn a_lost_connection_counts_once() {
    let mut world = World::new().start();
    world.silent = "connect";
    world.input(Input::Closed { flow: FlowId(1), why: FlowEnd::Reset });
    world.settle();
    assert_eq!(world.machine.line.failures(), 1);
}

#[test]
fn nobody_is_rung_by_a_session_that_leaves() {
    let mut world = World::new().start();
    world.silent = "sip";
    world.input(Input::Command(Command::Stop));
    world.settle();
    assert_eq!(world.ring(1, AUDIO), None);
    assert_eq!(world.said("SIP/2.0 4").map(|line| line[8..11].to_owned()).as_deref(), Some("480"));
}

#[test]
fn proxies_that_step_1_does_not_know_are_an_error() {
    for (proxies, why) in [
        ("sip:else.test", "step 1"),
        ("sip:lb.test;transport=udp", "transport"),
        ("sips:else.test", "step 1"),
    ] {
        let mut world = World::new();
        world.proxies = proxies;
        let world = world.start();
        let (code, error) = world.failure();
        assert_eq!(code, "sign-in.bad-reply", "{proxies}");
        assert!(error.unwrap().to_string().contains(why), "{proxies}");
    }
    let mut world = World::new();
    world.proxies = "sip:lb.test;transport=ws\", \"sip:lb.test";
    assert_eq!(world.start().machine.view().state, SessionState::Ready, "one that can be used is enough");
}

#[test]
fn the_licence_holds_for_calls_that_come_in() {
    let mut world = World::new();
    world.features = Some(&["audio"]);
    let mut world = world.start();
    let call = world.ring(1, &format!("{AUDIO}{TEXT}")).unwrap();
    world.answer(call, true, Some(true));
    world.settle();
    assert_eq!(world.refused(), "call.licence-forbids");
    world.answer(call, true, None);
    let kinds = world.wishes.iter().find_map(|wish| {
        if let Effect::PrepareMedia { kinds, .. } = wish { Some(kinds.clone()) } else { None }
    });
    assert_eq!(kinds, Some(vec![crate::events::MediaKind::Audio]), "text that nobody insists on is left out");
    world.settle();

    let mut world = World::new().start();
    world.pass(Duration::from_secs(1000));
    let call = world.ring(1, AUDIO).unwrap();
    world.pass(Duration::from_secs(100));
    world.answer(call, true, None);
    world.settle();
    assert!(world.events.iter().any(|event| matches!(event,
        EventKind::CommandRefused { error, .. } if error.code() == "call.licence-expired")));
    assert_eq!(world.ring(2, AUDIO), None);
    assert_eq!(world.said("SIP/2.0 4").map(|line| line[8..11].to_owned()).as_deref(), Some("480"));
}

/// `record` in a licence is about files of z5's own; help is called with or without it.
#[test]
fn what_comes_is_kept_in_files_only_where_the_licence_says_so() {
    for (features, target, wanted) in [
        (&["audio"][..], "+15555550102", Some("call.licence-forbids")),
        (&["audio", "record"], "+15555550102", None),
        (&["audio"], "911", None),
    ] {
        let mut world = World::new();
        world.features = Some(features);
        let mut world = world.start();
        world.input(Input::Command(Command::Call {
            call: CallId(9),
            target: target.into(),
            anonymous: false,
            location: None,
            wanted: io::Wanted { record: true, ..SOUND },
        }));
        world.settle();
        let failed = world.events.iter().find_map(|event| {
            if let EventKind::CallFailed { error, .. } = event { Some(error.code()) } else { None }
        });
        assert_eq!(failed, wanted, "{features:?} {target}");
    }
}

#[test]
fn a_call_without_any_medium_is_refused() {
    let mut world = World::new().start();
    world.input(Input::Command(Command::Call {
        call: CallId(9),
        target: "echo".into(),
        anonymous: false,
        location: None,
        wanted: io::Wanted { audio: false, text: Some(false), ..SOUND },
    }));
    world.settle();
    let Some(EventKind::CallFailed { error, .. }) = world.events.last() else { panic!("{:?}", world.events) };
    assert_eq!(error.code(), "call.media");
    let call = world.ring(1, AUDIO).unwrap();
    world.answer(call, false, None);
    world.settle();
    assert_eq!(world.refused(), "call.media");
}

#[test]
fn a_command_that_the_user_agent_refuses_is_told() {
    let mut world = World::new().start();
    let call = world.ring(1, AUDIO).unwrap();
    let key = ua::CallKey(ua::CallKey::INCOMING | 1);
    let mut out = Outbox::new();
    for why in
        [ua::CommandRefusal::WrongState, ua::CommandRefusal::UnknownCall, ua::CommandRefusal::UnknownCall]
    {
        let (event, now) = (ua::Event::CommandRefused { call: Some(key), why }, world.now);
        world.machine.on_agent_event(event, now, &mut out);
    }
    let told: Vec<String> = out
        .drain()
        .filter_map(|effect| {
            if let Effect::Emit(kind) = effect { Some(format!("{} {kind:?}", kind.name())) } else { None }
        })
        .collect();
    assert!(told[0].starts_with("command-refused") && told[0].contains("WrongState"), "{told:?}");
    // A call that the user agent does not know is over, once.
    assert_eq!(told.iter().filter(|told| told.starts_with("call-failed")).count(), 1, "{told:?}");
    assert!(world.machine.view().calls.iter().all(|(id, ..)| *id != call));
}

#[test]
fn what_the_far_end_changes_is_followed_or_told() {
    let mut world = World::new().start();
    let call = world.ring(1, AUDIO).unwrap();
    world.establish(call);
    world.change(2, &format!("{AUDIO}a=sendonly\r\n"));
    let [hold] = &world.changes[..] else { panic!("{:?}", world.changes) };
    assert_eq!((hold.send, hold.receive, hold.moved), (false, true, None), "held by the far end");
    world.change(3, "m=audio 41000 RTP/AVP 0\r\n");
    let [moved] = &world.changes[..] else { panic!("{:?}", world.changes) };
    let to = |port| format!("192.0.2.9:{port}").parse().unwrap();
    assert_eq!((moved.send, moved.receive, moved.moved), (true, true, Some((to(41000), to(41001)))));
    assert_eq!(world.trouble(), None);
}

#[test]
fn keys_that_change_in_a_running_call_are_taken_over() {
    let line = |key: &str| {
        let key = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, key.repeat(30));
        format!("m=audio 40000 RTP/SAVP 0\r\na=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:{key}\r\n")
    };
    let mut world = World::with(&format!("{CONFIG}[media]\nsrtp = \"required\"\n"), false).start();
    let call = world.ring(1, &line("a")).unwrap();
    world.establish(call);
    let taken = |world: &World| world.changes.iter().any(|change| change.srtp.is_some());
    world.change(2, &line("a"));
    assert!(!taken(&world), "the same key again");
    world.change(3, &line("b"));
    assert!(taken(&world) && world.trouble().is_none(), "{:?}", world.names());
}

#[test]
fn a_medium_that_the_far_end_adds_is_made_ready_and_started() {
    let mut world = World::new().start();
    let call = world.ring(1, AUDIO).unwrap();
    world.establish(call);
    world.offer(2, &format!("{AUDIO}{TEXT}"));
    let pair =
        io::PortPair { rtp: "127.0.0.1:30002".parse().unwrap(), rtcp: "127.0.0.1:30003".parse().unwrap() };
    let keys = io::KeyPool(zeroize::Zeroizing::new([8; io::KeyPool::LEN]));
    let kind = crate::events::MediaKind::Text;
    assert_eq!(world.prepared, vec![kind], "{:?}", world.names());
    world.input(Input::MediaReady {
        call,
        outcome: Ok(vec![io::ReadyMedium { kind, ports: pair, keys, fragments: false }]),
    });
    world.settle();
    assert!(world.sent.last().unwrap().contains("m=text 30002 "), "{:?}", world.sent.last());
    assert_eq!(world.started, vec![kind]);
    let Some(EventKind::CallChanged { media, .. }) =
        world.events.iter().rev().find(|event| event.name() == "call-changed")
    else {
        panic!("{:?}", world.names())
    };
    assert_eq!(media.streams.len(), 2);
    // closed again, and what is left goes on
    world.change(3, &format!("{AUDIO}m=text 0 RTP/AVP 98\r\n"));
    assert!(world.changes.iter().any(|change| change.kind == kind && !change.send && !change.receive));
    assert_eq!(world.trouble(), None);
}
