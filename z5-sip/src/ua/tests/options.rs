//! What a call may ask for: anonymity, and what it carries beside its offer.

use std::time::Duration;

use super::script::{CALL, OFFER, Script};
use super::world::{World, capabilities, uri};
use crate::ua::{CallKey, CallOptions, Command, Event, Privacy, UaConfig};
use crate::wire::{Frame, Framer, Limits, Message, Method, Name, Transport};

fn anonymous() -> Box<CallOptions> {
    Box::new(CallOptions { privacy: Privacy::Anonymous, ..CallOptions::default() })
}

/// Every message that an end of a world wrote.
fn messages(world: &World, end: usize) -> Vec<Message> {
    let mut framer = Framer::new(Limits::default());
    let mut messages = Vec::new();
    for write in &world.ends[end].writes {
        framer.push(write);
        while let Some(frame) = framer.next() {
            if let Ok(Frame::Message(message)) = frame {
                messages.push(message);
            }
        }
    }
    messages
}

#[test]
fn an_anonymous_call_names_its_caller_nowhere_but_to_the_proxy_that_asks() {
    let mut world = World::with(31, &["5551234", "bob"], Transport::Tcp, |config: &mut UaConfig| {
        config.display_name = Some("Alice Secret".to_owned());
        config.session_interval = Some(Duration::from_secs(90));
    });
    world.register_all();
    world.ends[0].writes.clear();
    let (call, target) = (CallKey(1), uri("sip:bob@example.com"));
    world.command(0, Command::Invite { call, target, offer: capabilities(20_000), options: anonymous() });
    world.run_until("the call arrives", |world| world.incoming(1).is_some());
    let far = world.incoming(1).unwrap();
    world.command(1, Command::Accept { call: far, answer: capabilities(30_000) });
    world.pass(Duration::from_secs(1));
    world.command(0, Command::Renegotiate { call, offer: capabilities(20_000) });
    world.pass(Duration::from_secs(60));
    world.command(1, Command::Renegotiate { call: far, offer: capabilities(30_000) });
    world.pass(Duration::from_secs(1));
    world.command(0, Command::Hangup { call });
    world.settle();
    let from = |event: &Event| {
        matches!(event, Event::Incoming { from, display_name: Some(name), .. }
        if from.as_str() == "sip:anonymous@anonymous.invalid" && name == "Anonymous")
    };
    assert!(world.has(1, from), "{}", world.story());
    let messages = messages(&world, 0);
    for method in [Method::Invite, Method::Ack, Method::Update, Method::Bye] {
        assert!(messages.iter().any(|message| message.method() == Some(method.clone())), "{method:?}");
    }
    assert!(messages.iter().any(|message| message.status() == Some(200)));
    for message in &messages {
        let text = String::from_utf8_lossy(message.as_bytes()).into_owned();
        for line in text.lines() {
            let credentials = line.starts_with("Authorization:") || line.starts_with("Proxy-Authorization:");
            assert!(credentials || !(line.contains("5551234") || line.contains("Secret")), "{text}");
        }
        if message.is_request() && message.method() != Some(Method::Ack) {
            let from = message.text(Name::From).unwrap().into_owned();
            assert!(from.starts_with("\"Anonymous\" <sip:anonymous@anonymous.invalid>;tag="), "{from}");
            assert_eq!(message.header(Name::Privacy), Some(&b"id"[..]), "{text}");
        }
    }
}

#[test]
fn a_call_taken_back_or_taken_stays_as_private_as_it_began() {
    let mut script = Script::registered();
    let target = uri("sip:bob@example.com");
    let offer = capabilities(20_000);
    script.command(Command::Invite { call: CALL, target, offer, options: anonymous() });
    let invite = script.next_request(Method::Invite);
    script.reply(&invite, 180, &[]);
    script.command(Command::Hangup { call: CALL });
    let cancel = script.next_request(Method::Cancel);
    assert_eq!(cancel.header(Name::From), invite.header(Name::From));
    // Incoming calls have nothing to hide: the caller dialled us.
    script.incoming("", OFFER);
    script.next_status(100);
    let call = script.incoming_call();
    script.command(Command::Accept { call, answer: capabilities(20_000) });
    let ok = script.next_status(200);
    assert!(ok.text(Name::Contact).unwrap().contains("alice@") && ok.header(Name::Privacy).is_none());
}
