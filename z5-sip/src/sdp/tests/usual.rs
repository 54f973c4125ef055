//! The quick reader and printer of usual descriptions against the container's own.

use proptest::prelude::*;
use sdp_types::Session;

use crate::sdp::{printing, reading};

const USUAL: &str = "v=0\r\no=- 42 7 IN IP4 192.0.2.9\r\ns=-\r\nc=IN IP4 192.0.2.9\r\nb=AS:900\r\nt=0 0\r\na=sendonly\r\n\
    m=audio 4000 RTP/AVP 0 101\r\na=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-16\r\nm=video 4002 RTP/AVPF 99\r\n\
    c=IN IP6 2001:db8::1\r\nb=TIAS:800000\r\na=rtcp-mux\r\n";

/// Lines as they are met, as they are hardly ever met, and as they must not be.
const LINES: [&str; 48] = [
    "v=0",
    "v=1",
    "o=- 1 1 IN IP4 192.0.2.9",
    "o=alice 1 18446744073709551615 IN IP6 ::1",
    "o=- 1 1 IN IP4",
    "o= - 1 1 IN IP4 h",
    "o=-  1 1 IN IP4 h",
    "o=- 1 1 in ip4 h",
    "o=- 1 -1 IN IP4 h",
    "o=- 1 +1 IN IP4 h",
    "o=- 1 1 X:Y IP4 h",
    "s=-",
    "s=",
    "s= a name",
    "i=about",
    "u=http://h",
    "e=a@h",
    "p=+1",
    "c=IN IP4 192.0.2.1",
    "c=IN IP4 192.0.2.1/127",
    "c=IN IP4",
    "c=TN RFC2543 1",
    "c=IN IP4 h ",
    "b=AS:64",
    "b=AS:x",
    "b=AS",
    "b=A:1:2",
    "t=0 0",
    "t=0",
    "t=1  2",
    "r=7d 1h 0",
    "z=1 -1h",
    "k=clear:1",
    "a=sendrecv",
    "a=rtpmap:0 PCMU/8000",
    "a=x:",
    "a=:x",
    "a=",
    "a=b:c:d=e",
    "m=audio 4000 RTP/AVP 0",
    "m=audio 4000/2 RTP/AVP 0",
    "m=audio 65536 RTP/AVP 0",
    "m=audio 4000 RTP/AVP",
    "m=audio 4000 RTP/AVP ",
    "m=audio  4000 RTP/AVP 0",
    "x=y",
    "no line",
    "=v",
];

fn compare(text: &str) -> bool {
    let theirs = Session::parse(text.as_bytes());
    let ours = reading::read(text);
    if let Some(ours) = &ours {
        assert_eq!(theirs.as_ref().ok(), Some(ours), "{text:?}");
    }
    if let Ok(session) = theirs {
        let (mut expected, mut printed) = (Vec::new(), Vec::new());
        session.write(&mut expected).unwrap();
        match printing::print(&session, &mut printed) {
            true => assert_eq!(String::from_utf8_lossy(&printed), String::from_utf8_lossy(&expected)),
            false => assert!(printed.is_empty()),
        }
    }
    ours.is_some()
}

#[test]
fn usual_descriptions_go_the_quick_way_both_ways() {
    for text in [USUAL.to_owned(), USUAL.replace("\r\n", "\n"), USUAL.trim_end().to_owned()] {
        assert!(compare(&text), "{text}");
        assert!(printing::print(&Session::parse(text.as_bytes()).unwrap(), &mut Vec::new()));
    }
    assert!(!compare(&format!("{USUAL}\r")) && !compare(&USUAL.replace("s=-", "s=-\r\ni=about")));
}

#[test]
fn what_would_end_a_line_is_not_printed() {
    let mut session = Session::parse(USUAL.as_bytes()).unwrap();
    session.session_name = "a\r\nb=AS:1\0".to_owned();
    session.medias[0].fmt = "0\r\na=evil".to_owned();
    let (mut expected, mut printed) = (Vec::new(), Vec::new());
    session.write(&mut expected).unwrap();
    assert!(printing::print(&session, &mut printed));
    assert_eq!(printed, expected);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_lines_read_and_print_alike(
        lines in prop::collection::vec((0..LINES.len(), 0..12_u8), 0..12),
        usual in any::<bool>(),
    ) {
        let mut text = String::from(if usual { USUAL } else { "" });
        for (line, end) in lines {
            text.push_str(LINES[line]);
            text.push_str(match end { 0 => "\n", 1 => "\r", 2 => "\r\n\r\n", 3 => "\0\r\n", 4 => "é\r\n", _ => "\r\n" });
        }
        compare(&text);
    }

    #[test]
    fn any_text_reads_alike(text in "(v=0\r\n)?([a-z]=[ -~é]{0,20}\r?\n){0,8}.{0,10}") {
        compare(&text);
    }
}
