//! Framing: cut at every byte, every limit with its own error, keep-alive on both sides.

use super::*;

const FIRST: &str = "OPTIONS sip:a@h SIP/2.0\r\nVia: SIP/2.0/TCP h;branch=z9hG4bK1\r\nContent-Length: 11\r\n\r\nhello\r\n\r\nyo";
const SECOND: &str = "SIP/2.0 200 OK\r\nl: 0\r\n\r\n";

fn frames(framer: &mut Framer) -> Vec<Result<Frame, FrameError>> {
    std::iter::from_fn(|| framer.next()).collect()
}

fn texts(frames: &[Result<Frame, FrameError>]) -> Vec<String> {
    frames
        .iter()
        .map(|frame| match frame {
            Ok(Frame::Message(message)) => String::from_utf8_lossy(message.as_bytes()).into_owned(),
            Ok(Frame::Ping) => "ping".into(),
            Ok(Frame::Pong) => "pong".into(),
            Err(why) => why.to_string(),
        })
        .collect()
}

fn whole(framer: Framer, stream: &str) -> Vec<String> {
    let mut framer = framer;
    framer.push(stream.as_bytes());
    texts(&frames(&mut framer))
}

#[test]
fn the_cut_makes_no_difference() {
    let stream = format!("{FIRST}\r\n\r\n{SECOND}{FIRST}\r\n\r\n\r\n{SECOND}\r\n\r\n");
    for make in [Framer::new as fn(Limits) -> Framer, Framer::accepting] {
        let expected = whole(make(Limits::default()), &stream);
        assert_eq!(
            expected.iter().filter(|t| t.len() > 4).collect::<Vec<_>>(),
            [FIRST, SECOND, FIRST, SECOND]
        );
        for cut in 0..=stream.len() {
            let mut framer = make(Limits::default());
            let mut got = Vec::new();
            for part in [&stream.as_bytes()[..cut], &stream.as_bytes()[cut..]] {
                framer.push(part);
                got.extend(frames(&mut framer));
            }
            assert_eq!(texts(&got), expected, "cut at {cut}");
            assert_eq!(framer.buffered(), 0);
        }
        let mut framer = make(Limits::default());
        let mut got = Vec::new();
        for byte in stream.bytes() {
            framer.push(&[byte]);
            got.extend(frames(&mut framer));
        }
        assert_eq!(texts(&got), expected, "byte by byte");
    }
}

#[test]
fn a_lone_line_break_is_a_pong_only_for_the_opener() {
    assert_eq!(whole(Framer::new(Limits::default()), "\r\n"), ["pong"]);
    assert_eq!(whole(Framer::accepting(Limits::default()), "\r\n"), [""; 0]);
    assert_eq!(whole(Framer::accepting(Limits::default()), "\r\n\r\n"), ["ping"]);
    assert_eq!(whole(Framer::accepting(Limits::default()), &format!("\r\n{SECOND}")), [SECOND]);
}

#[test]
fn every_fault_has_its_own_error_and_ends_the_stream() {
    let limits = Limits { line: 60, head: 200, headers: 3, body: 20 };
    let long = "x".repeat(61);
    let many = "a: b\r\n".repeat(4);
    let large = format!("a: {}\r\n", "x".repeat(40)).repeat(5);
    for (stream, why) in [
        (
            format!("OPTIONS sip:a SIP/2.0\r\nX: {long}\r\nl: 0\r\n\r\n"),
            ParseError::LineTooLong { limit: 60 }.into(),
        ),
        (format!("OPTIONS sip:a SIP/2.0\r\nX: {long}"), ParseError::LineTooLong { limit: 60 }.into()),
        (
            format!("OPTIONS sip:a SIP/2.0\r\n{many}l: 0\r\n\r\n"),
            ParseError::TooManyHeaders { limit: 3 }.into(),
        ),
        (format!("OPTIONS sip:a SIP/2.0\r\n{large}"), ParseError::HeadTooLong { limit: 200 }.into()),
        ("OPTIONS sip:a SIP/2.0\r\nl: 21\r\n\r\n".into(), ParseError::BodyTooLong { limit: 20 }.into()),
        ("OPTIONS sip:a SIP/2.0\r\na: b\r\n\r\n".into(), FrameError::NoContentLength),
        ("OPTIONS sip:a SIP/2.0\r\nl: 1\r\nl: 1\r\n\r\n".into(), FrameError::SecondContentLength),
        ("OPTIONS sip:a SIP/2.0\r\nl: -1\r\n\r\n".into(), FrameError::BadContentLength),
        ("OPTIONS sip:a SIP/2.0\r\nl: 99999999999\r\n\r\n".into(), FrameError::BadContentLength),
        ("GET / HTTP/1.1\r\nHost: h\r\n\r\n".into(), ParseError::NotSip.into()),
    ] {
        let mut framer = Framer::new(limits);
        framer.push(stream.as_bytes());
        assert_eq!(frames(&mut framer), [Err(why)], "{stream}");
        framer.push(SECOND.as_bytes());
        assert_eq!(framer.next(), None);
    }
}

#[test]
fn the_limits_themselves_still_pass() {
    let line = format!("X: {}", "x".repeat(57));
    let stream = format!("OPTIONS sip:a SIP/2.0\r\n{line}\r\nl: 20\r\n\r\n{}", "b".repeat(20));
    let head = stream.len() - 20;
    let limits = Limits { line: 60, head, headers: 2, body: 20 };
    assert_eq!(whole(Framer::new(limits), &stream), [stream.as_str()]);
    let limits = Limits { head: head - 1, ..limits };
    assert_eq!(
        whole(Framer::new(limits), &stream),
        [FrameError::from(ParseError::HeadTooLong { limit: head - 1 }).to_string()]
    );
}

#[test]
fn the_head_of_a_message_that_ends_the_stream_is_handed_out() {
    let head = "INVITE sip:b@h SIP/2.0\r\nVia: SIP/2.0/TCP h;branch=z9hG4bK1\r\nCall-ID: x\r\n";
    let long = format!("X: {}\r\n", "y".repeat(9000));
    let many = "X: y\r\n".repeat(300);
    let huge = "X-Long: yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy\r\n".repeat(2000);
    for (rest, status) in [
        ("\r\n", 400),
        ("Content-Length: -1\r\n\r\n", 400),
        ("Content-Length: 1\r\nl: 1\r\n\r\n", 400),
        ("Content-Length: 9999999\r\n\r\n", 413),
        (&*format!("{long}\r\n"), 513),
        (&*format!("{many}\r\n"), 513),
        (&*huge, 513),
        // the line is too long before it ends
        (&*format!("X: {}", "y".repeat(9000)), 513),
    ] {
        for step in [usize::MAX, 1000] {
            let bytes = format!("{head}{rest}").into_bytes();
            let mut framer = Framer::accepting(Limits::default());
            let mut error = None;
            for piece in bytes.chunks(step) {
                framer.push(piece);
                error = error.or_else(|| framer.next());
            }
            let Some(Err(error)) = error else { panic!("{rest:.30} is no message") };
            assert_eq!(error.status(), Some(status), "{rest:.30}");
            let refused = framer.refused().unwrap();
            assert_eq!(refused.call_id(), Ok("x"));
            assert!(refused.body().is_empty() && framer.next().is_none());
        }
    }
    let mut framer = Framer::accepting(Limits::default());
    framer.push(b"GET / HTTP/1.1\r\n\r\n");
    assert!(matches!(framer.next(), Some(Err(error)) if error.status().is_none()));
    assert!(framer.refused().is_none());
}

#[test]
fn the_search_for_the_end_of_a_head_is_linear_however_the_bytes_come() {
    let line = format!("X: {}\r\n", "y".repeat(7000));
    let head = format!("OPTIONS sip:a@h SIP/2.0\r\n{}l: 0\r\n\r\n", line.repeat(8));
    for step in [1, 2, 3, 100, 1500, head.len()] {
        let mut framer = Framer::accepting(Limits::default());
        let mut whole = 0;
        for piece in head.as_bytes().chunks(step) {
            framer.push(piece);
            whole +=
                frames(&mut framer).iter().filter(|frame| matches!(frame, Ok(Frame::Message(_)))).count();
        }
        assert_eq!(whole, 1, "in pieces of {step}");
        // three bytes are looked at again with every piece: the end may straddle two
        let most = head.len() + 3 * head.len().div_ceil(step);
        assert!(framer.looked_at <= most, "{} of {most} in pieces of {step}", framer.looked_at);
    }
}

#[test]
fn what_can_be_no_message_any_more_ends_the_stream_before_its_head_is_there() {
    let not_sip: FrameError = ParseError::NotSip.into();
    for (stream, upto) in [
        // a line that is whole
        ("HTTP/1.1 400 Bad Request\r\nConte", "HTTP/1.1 400 Bad Request\r\n".len()),
        ("SSH-2.0-x\r\n", "SSH-2.0-x\r\n".len()),
        ("220 mail ESMTP\n", "220 mail ESMTP\n".len()),
        // no text: the alert of a server that speaks TLS, and the garbage of the mock carrier
        ("\x15\x03\x01\x00\x02\x02\x46", 1),
        ("\x00\x7f\x17 this is no protocol", 1),
        ("AB\x00", 3),
    ] {
        for before in ["", SECOND] {
            let mut framer = Framer::new(Limits::default());
            framer.push(before.as_bytes());
            assert_eq!(frames(&mut framer).len(), usize::from(!before.is_empty()));
            let mut ended = None;
            for (index, byte) in stream.bytes().enumerate() {
                framer.push(&[byte]);
                if let Some(frame) = framer.next() {
                    ended.get_or_insert((index + 1, frame));
                }
            }
            assert_eq!(ended, Some((upto, Err(not_sip))), "{stream:?}");
            let mut framer = Framer::new(Limits::default());
            framer.push(stream.as_bytes());
            assert_eq!(frames(&mut framer), [Err(not_sip)], "{stream:?} at once");
        }
    }
    // A beginning that may still become one is waited for.
    for start in
        ["OPT", "OPTIONS sip:a@h SIP/2.0", "OPTIONS sip:a@h SIP/2.0\r\nVia: x\r\n", "SIP/2.0 200 \u{fc}\r\n"]
    {
        let mut framer = Framer::new(Limits::default());
        framer.push(start.as_bytes());
        assert_eq!(frames(&mut framer), [], "{start:?}");
    }
}
