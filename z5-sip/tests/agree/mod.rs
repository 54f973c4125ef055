//! An explanation and a user agent that gets the same bytes must say the same.

use std::time::Instant;

use z5_sip::explain::{Framing, Options, Verdict, explain};
use z5_sip::flow::FlowId;
use z5_sip::ident::Ident;
use z5_sip::outbox::Outbox;
use z5_sip::sdp::{Capabilities, Codec, MediaCapability, MediaKind};
use z5_sip::ua::{Command, Effect, Event, Input, Transport, UaConfig, UserAgent};
use z5_sip::wire::{Message, Method, Name, ResponseBuilder};

const FLOW: FlowId = FlowId(1);

fn capabilities() -> Capabilities {
    let audio = MediaCapability::new(MediaKind::Audio, 20_000, vec![Codec::pcmu(), Codec::pcma()]);
    Capabilities { address: [127, 0, 0, 1].into(), media: vec![audio] }
}

struct Phone {
    agent: UserAgent,
    out: Outbox<Effect>,
    now: Instant,
}

impl Phone {
    /// Registered over UDP, as the corpus's messages are datagrams.
    fn registered() -> Self {
        #[expect(clippy::disallowed_methods, reason = "a test needs one instant to count from")]
        let now = Instant::now();
        let config = UaConfig::new("sip:a@example.com".parse().unwrap(), "sip:example.com".parse().unwrap());
        let mut phone = Self { agent: UserAgent::new(config, Ident::from_seed(3)), out: Outbox::new(), now };
        let (local, remote) = ("127.0.0.1:5062".parse().unwrap(), "127.0.0.1:5060".parse().unwrap());
        phone.input(Input::FlowUp { flow: FLOW, transport: Transport::Udp, local, remote, reg_id: 1 });
        let (sent, _) = phone.input(Input::Command(Command::Register));
        let contact = sent[0].header(Name::Contact).unwrap().to_vec();
        let granted =
            ResponseBuilder::to_request(&sent[0], 200, "").to_tag("t").header(Name::Contact, contact);
        let granted = granted.header(Name::Expires, "600").build().unwrap();
        phone.input(Input::Received { flow: FLOW, bytes: granted.as_bytes() });
        assert!(phone.agent.is_registered(now));
        phone
    }

    fn input(&mut self, input: Input<'_>) -> (Vec<Message>, Vec<Event>) {
        self.agent.handle(input, self.now, &mut self.out);
        let (mut sent, mut events) = (Vec::new(), Vec::new());
        for effect in self.out.drain() {
            match effect {
                Effect::Send { bytes, .. } => sent.push(Message::parse_datagram(bytes).unwrap()),
                Effect::Event(event) => events.push(event),
                Effect::CloseFlow { .. } => panic!("a datagram closes nothing"),
                // All of this is small enough for datagrams.
                Effect::OpenStream { .. } => {}
            }
        }
        (sent, events)
    }
}

/// Compares; gives the verdict as told.
pub(crate) fn assert_agrees(name: &str, bytes: &[u8]) -> (Verdict, Option<u16>) {
    let mut phone = Phone::registered();
    let options = Options {
        kind: None,
        framing: Some(Framing::Datagram),
        fix_newlines: false,
        capabilities: capabilities(),
    };
    let told = explain(bytes, &options, phone.now);
    let (verdict, status) = (told.judgement.verdict, told.judgement.status);
    let (mut sent, events) = phone.input(Input::Received { flow: FLOW, bytes });
    let call = events
        .iter()
        .find_map(|event| if let Event::Incoming { call, .. } = event { Some(*call) } else { None });
    if let Some(call) = call {
        sent.extend(phone.input(Input::Command(Command::Accept { call, answer: capabilities() })).0);
    }
    let answered = sent.iter().filter_map(|message| message.status()).find(|status| *status >= 200);
    let method = told.messages[0]
        .start
        .is_some()
        .then(|| Message::parse_datagram(bytes.to_vec().into()).unwrap().method());
    let context = [405, 480, 481, 486, 489, 501];
    match verdict {
        Verdict::Refuse => {
            // the method is looked at before extensions and bodies (RFC 3261 section 8.2)
            let method_first = answered == Some(405) && matches!(status, Some(415 | 420 | 406));
            assert!(answered == status || method_first, "{name}: told {status:?}, answered {answered:?}");
        }
        Verdict::Drop => assert_eq!(answered, None, "{name}: told to be dropped: {:?}", told.judgement),
        Verdict::Accept => match (method.flatten(), answered) {
            (None | Some(Method::Ack), answered) => assert_eq!(answered, None, "{name}"),
            (Some(_), Some(answered)) => {
                assert!(
                    answered < 300 || context.contains(&answered),
                    "{name}: told to be accepted, answered {answered}"
                );
            }
            (Some(method), None) => panic!("{name}: {method} is accepted and not answered"),
        },
    }
    (verdict, status)
}
