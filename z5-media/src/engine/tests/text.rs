//! Real-time text.

use super::*;

#[test]
fn text_passes_both_ways() {
    for red in [Some(99), None] {
        let (a, b) = (End::new(), End::new());
        let (port_a, port_b) =
            (a.engine.reserve(LOCAL, 0..=0).unwrap(), b.engine.reserve(LOCAL, 0..=0).unwrap());
        let (config_a, config_b) = (config(text(red), &port_b, None, 1), config(text(red), &port_a, None, 2));
        let stream_a = a.engine.start_stream(port_a, config_a).unwrap();
        let stream_b = b.engine.start_stream(port_b, config_b).unwrap();
        a.engine.send_text(stream_a, "HELLO\n").unwrap();
        b.engine.send_text(stream_b, "gr\u{fc}\u{df} dich \u{1f44b}").unwrap();
        assert_eq!(b.text(6), "HELLO\u{2028}");
        assert_eq!(a.text(11), "gr\u{fc}\u{df} dich \u{1f44b}");
        let figures = b.engine.stop_stream(stream_b).unwrap();
        let counted = figures.text.unwrap();
        assert_eq!((counted.characters_sent, counted.characters_received, counted.losses_marked), (11, 6, 0));
        assert_eq!((figures.heard, figures.codec), (None, "t140"));
        a.wait(|event| matches!(event, StreamEvent::Bye { .. }).then_some(()));
        let ended = b.engine.send_text(stream_b, "x");
        assert!(matches!(ended, Err(MediaError::NoSuchStream)), "{ended:?}");
    }
}

#[test]
fn text_queued_at_the_end_still_leaves() {
    let (a, b) = (End::new(), End::new());
    let (port_a, port_b) = (a.engine.reserve(LOCAL, 0..=0).unwrap(), b.engine.reserve(LOCAL, 0..=0).unwrap());
    let (config_a, config_b) =
        (config(text(Some(99)), &port_b, None, 1), config(text(Some(99)), &port_a, None, 2));
    b.engine.start_stream(port_b, config_b).unwrap();
    let stream_a = a.engine.start_stream(port_a, config_a).unwrap();
    b.wait(|event| matches!(event, StreamEvent::FirstPacket { .. }).then_some(()));
    a.engine.send_text(stream_a, "bye").unwrap();
    a.engine.stop_stream(stream_a).unwrap();
    assert_eq!(b.text(3), "bye");
}

// macOS has 127.0.0.1 alone.
#[cfg(not(target_os = "macos"))]
#[test]
fn text_goes_on_from_another_address_of_this_machine() {
    let (a, b) = (End::new(), End::new());
    let (port_a, port_b) = (a.engine.reserve(LOCAL, 0..=0).unwrap(), b.engine.reserve(LOCAL, 0..=0).unwrap());
    let (config_a, config_b) =
        (config(text(Some(99)), &port_b, None, 1), config(text(Some(99)), &port_a, None, 2));
    let stream_a = a.engine.start_stream(port_a, config_a).unwrap();
    let stream_b = b.engine.start_stream(port_b, config_b).unwrap();
    a.engine.send_text(stream_a, "here").unwrap();
    assert_eq!(b.text(4), "here");
    let elsewhere = a.engine.reserve("127.0.0.2".parse().unwrap(), 0..=0).unwrap();
    let (rtp, rtcp) = (elsewhere.rtp_addr(), elsewhere.rtcp_addr());
    b.engine.set_remote(stream_b, rtp, rtcp).unwrap();
    // Its figures are asked for behind that command: from here on it knows where to send.
    assert!(b.engine.stats(stream_b).is_some());
    a.engine.set_local(stream_a, elsewhere).unwrap();
    a.engine.send_text(stream_a, "there").unwrap();
    b.engine.send_text(stream_b, "back").unwrap();
    assert_eq!((b.text(5), a.text(4)), ("there".to_owned(), "back".to_owned()));
    assert_eq!(b.engine.stop_stream(stream_b).unwrap().text.unwrap().losses_marked, 0);
}
