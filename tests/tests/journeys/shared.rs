//! Calls on shared ports (`media.shared_ports`): each hears its own far end, and what cannot be told apart is refused.

use tokio::sync::mpsc;
use z5_core::{AudioIn, AudioOut, CallId, CallMedia, CallRequest, EventKind};

use crate::support::{Client, Ear, carrier, config, hear};

type Sound = mpsc::UnboundedReceiver<Vec<i16>>;

/// A call to the echo with a tone; its own port for sound, the far end's, and what comes back.
async fn call(client: &mut Client, hz: f64) -> (CallId, [std::net::SocketAddr; 2], Sound) {
    let (ear, sound) = mpsc::unbounded_channel();
    let media = CallMedia {
        audio_in: AudioIn::Tone { hz, level_dbm0: -10.0 },
        audio_out: AudioOut::Custom(Box::new(Ear(ear))),
        ..CallMedia::default()
    };
    let call = client.session.call(CallRequest::to("+15555550900").with(media));
    let stands =
        move |kind: &EventKind| matches!(kind, EventKind::CallEstablished { call: of, .. } if *of == call);
    let EventKind::CallEstablished { media, .. } = client.until("established", stands).await else {
        unreachable!()
    };
    let audio = &media.streams[0];
    (call, [audio.local, audio.remote], sound)
}

#[tokio::test]
async fn two_calls_share_their_ports_and_each_hears_its_own() {
    let carrier = carrier(|carrier| carrier).await;
    let (mut settings, files) = config(&carrier, "alice", |_| {});
    settings.media.shared_ports = true;
    let mut client = Client::ready((settings, files)).await;
    let (first, [port, far], mut sound) = call(&mut client, 400.0).await;
    let (second, [other_port, other_far], mut other_sound) = call(&mut client, 1000.0).await;
    assert_eq!(port, other_port, "one port for the sound of all calls");
    assert_ne!(far, other_far, "which the far end tells apart");
    // Both at a time, also after the other one is gone.
    hear(&mut sound, 400).await;
    hear(&mut other_sound, 1000).await;
    for (call, text) in [(first, "one"), (second, "two")] {
        client.session.send_text(call, text);
        let came = move |kind: &EventKind| matches!(kind, EventKind::Text { call: of, .. } if *of == call);
        let EventKind::Text { text: back, .. } = client.until("text", came).await else { unreachable!() };
        assert!(text.to_uppercase().starts_with(&back.to_uppercase()), "{back}");
    }
    for call in [first, second] {
        client.session.hangup(call);
        let ended =
            move |kind: &EventKind| matches!(kind, EventKind::CallEnded { call: of, .. } if *of == call);
        let EventKind::CallEnded { report, .. } = client.until("ended", ended).await else { unreachable!() };
        let audio = report.audio.expect("sound was carried");
        assert!(audio.packets_received > 0, "{audio:?}");
        if call == first {
            while other_sound.try_recv().is_ok() {}
            hear(&mut other_sound, 1000).await;
        }
    }
    client.stop().await;
}

#[tokio::test]
async fn calls_are_dealt_out_among_packet_threads() {
    let carrier = carrier(|carrier| carrier).await;
    let (mut settings, files) = config(&carrier, "alice", |_| {});
    (settings.media.packet_threads, settings.media.realtime) = (2, true);
    let mut client = Client::ready((settings, files)).await;
    let (_, [port, _], mut sound) = call(&mut client, 400.0).await;
    let (_, [other_port, _], mut other_sound) = call(&mut client, 1000.0).await;
    assert_ne!(port, other_port);
    hear(&mut sound, 400).await;
    hear(&mut other_sound, 1000).await;
    client.stop().await;
}
