//! Expressions: what is read, what is refused and where, what holds; and properties of all of it.

use proptest::prelude::*;
use serde_json::json;

use super::super::names::NAMES;
use super::*;

fn expr(text: &str) -> Expr {
    text.parse().unwrap_or_else(|why| panic!("{text}: {why}"))
}

fn refused(text: &str) -> Unreadable {
    Reader::new(text).expression().unwrap_err()
}

fn a_call() -> Value {
    json!({
        "failure": null,
        "timings_ms": {"call_setup": 120.5, "first_audio": null},
        "call": {
            "established": true,
            "ended_by": "remote",
            "text_received": "HELLO\u{2028}again",
            "media": {"streams": [{"crypto": "AES_CM_128_HMAC_SHA1_80"}, {"crypto": null}]},
            "audio": {
                "codec": "PCMU", "lost": 2, "packets_received": 98,
                "heard": {"audible": true, "dominant_hz": 999.8},
                "voice": {"mos_listening": 4.1}
            },
        },
    })
}

#[test]
fn what_holds_and_what_does_not() {
    for (text, held, measured) in [
        ("audio.heard", true, "yes"),
        ("!audio.heard", false, "yes"),
        ("audio.heard=no", false, "yes"),
        ("audio.heard != no", true, "yes"),
        ("encrypted", false, "no"),
        ("setup_ms<500", true, "120.5 ms"),
        ("setup_ms<0.5s", true, "120.5 ms"),
        ("setup_ms<=120", false, "120.5 ms"),
        ("setup_ms=0.1..0.2s", true, "120.5 ms"),
        ("mos>=3.8", true, "4.1"),
        ("audio.loss<=2%", true, "2 %"),
        ("audio.loss<2", false, "2 %"),
        ("audio.lost=2", true, "2"),
        ("audio.lost!=2", false, "2"),
        ("audio.frequency=998..1002", true, "999.8 Hz"),
        ("audio.frequency > 1 Hz", true, "999.8 Hz"),
        ("audio.codec=PCMU", true, "\"PCMU\""),
        ("ended_by=remote", true, "remote"),
        ("ended_by!=remote", false, "remote"),
        (r#"text.echo="HELLO\nagain""#, true, "\"HELLO\\u{2028}again\""),
        ("text.echo~HELLO", true, "\"HELLO\\u{2028}again\""),
        ("text.echo=HELLO", false, "\"HELLO\\u{2028}again\""),
        ("code=ok", true, "ok"),
        ("code=busy", false, "ok"),
        ("code!=busy", true, "ok"),
    ] {
        let judged = expr(text).judge(&a_call());
        assert_eq!((judged.held, judged.measured.as_str()), (held, measured), "{text}");
    }
}

#[test]
fn what_was_not_measured_fails_with_that_word() {
    for text in ["video.freezes<=2", "!unregistered", "audio.first_ms!=7", "text.sent!=x", "digits=1"] {
        let judged = expr(text).judge(&a_call());
        assert_eq!((judged.held, judged.measured.as_str()), (false, "not measured"), "{text}");
    }
}

#[test]
fn a_failure_may_be_what_is_wanted() {
    let busy = json!({"failure": {"code": "call.busy"}});
    for text in ["code=busy", "code=call.busy"] {
        assert!(expr(text).judge(&busy).held && expr(text).wants_failure(), "{text}");
    }
    assert!(!expr("code=declined").judge(&busy).held);
    for text in ["code=ok", "code!=busy", "audio.heard"] {
        assert!(!expr(text).wants_failure(), "{text}");
    }
}

#[test]
fn what_cannot_be_read_is_told_with_its_column() {
    for (text, column, words) in [
        ("", 1, "a name is missing"),
        ("<3", 1, "a name is missing"),
        ("audio.herd", 1, "did you mean `audio.heard`"),
        ("  vidoe.freezes<=2", 3, "did you mean `video.freezes`"),
        ("zzz", 1, "docs/expect.md"),
        ("setup_ms", 9, "write for example `setup_ms<500`"),
        ("setup_ms 500", 10, "an operator is missing"),
        ("setup_ms<", 10, "a number is missing"),
        ("setup_ms<fast", 10, "a number is missing"),
        ("setup_ms<5h", 11, "in ms, s or m, not in `h`"),
        ("setup_ms~5", 9, "contains nothing"),
        ("setup_ms<1..2", 9, "= alone"),
        ("setup_ms=2..1", 13, "ends before it begins"),
        ("mos>=3.8ms", 9, "has no unit"),
        ("mos>=3.8 and audio.heard", 10, "has no unit"),
        ("mos>=3.8, audio.heard", 9, "its own --expect"),
        ("audio.heard<3", 13, "yes or no"),
        ("audio.heard<yes", 12, "no order"),
        ("!setup_ms<3", 1, "write != in place of ="),
        ("code=buzy", 6, "did you mean `busy`"),
        ("code<busy", 5, "compared with = and !="),
        ("ended_by=us", 10, "one of local, remote, network"),
        ("text.echo<\"A\"", 10, "compared with =, != and ~"),
        ("text.echo=\"A", 11, "not closed"),
        ("text.echo=\"A\\x\"", 13, "in quotes there are"),
        ("text.echo=\"Ä☎\" more", 16, "nothing may follow"),
    ] {
        let Unreadable { column: found, why } = refused(text);
        assert_eq!(found, column, "{text}: {why}");
        assert!(why.contains(words), "{text}: {why}");
    }
}

#[test]
fn the_place_is_marked() {
    let error = "setup_ms<fast".parse::<Expr>().unwrap_err();
    let lines: Vec<&str> = error.lines().collect();
    assert_eq!(lines[1..], ["  setup_ms<fast", "           ^"], "{error}");
}

/// Something near the language, and anything else.
fn texts() -> impl Strategy<Value = String> {
    let pieces = prop_oneof![
        (0..NAMES.len()).prop_map(|n| NAMES[n].name.to_owned()),
        proptest::sample::select(vec!["<", "<=", "=", "!=", "~", "!", "..", "\"", "\\", " ", "ms", "%", "-"])
            .prop_map(str::to_owned),
        "[0-9]{1,3}(\\.[0-9])?",
        "[a-zäß☎ .]{0,6}",
    ];
    prop_oneof![proptest::collection::vec(pieces, 0..6).prop_map(|pieces| pieces.concat()), any::<String>(),]
}

fn values() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
        Just(json!([])),
        Just(json!({"a": 1})),
    ]
}

/// A result object with one value at the place of this name.
fn result_with(pointer: &str, value: Value) -> Value {
    pointer.rsplit('/').filter(|key| !key.is_empty()).fold(value, |below, key| json!({ key: below }))
}

proptest! {
    /// Nothing panics; an error stands in the text or right behind it; what was read is the same when written and read again.
    #[test]
    fn any_text_is_read_or_refused(text in texts()) {
        match Reader::new(&text).expression() {
            Ok(read) => {
                let again: Result<Expr, String> = read.to_string().parse();
                prop_assert_eq!(again, Ok(read));
            }
            Err(Unreadable { column, why }) => {
                prop_assert!((1..=text.chars().count() + 1).contains(&column), "{column} in {text:?}");
                prop_assert!(!why.is_empty());
            }
        }
    }

    /// A result of any shape is judged; one that says nothing never holds, and of a measured value exactly one of a
    /// condition and its opposite does.
    #[test]
    fn any_result_is_judged(index in 0..NAMES.len(), value in values(), wanted in -1000_i32..1000) {
        let name = &NAMES[index];
        let Some(pointer) = name.pointer() else { return Ok(()) };
        let result = result_with(pointer, value.clone());
        let (one, other) = match name.kind {
            Kind::Flag => (name.name.to_owned(), format!("!{}", name.name)),
            Kind::Number(_) => (format!("{}<{wanted}", name.name), format!("{}>={wanted}", name.name)),
            Kind::Text => (format!("{}={wanted}", name.name), format!("{}!={wanted}", name.name)),
            Kind::Word(words) => (format!("{}={}", name.name, words[0]), format!("{}!={}", name.name, words[0])),
            Kind::Code => return Ok(()),
        };
        let (one, other) = (expr(&one).judge(&result), expr(&other).judge(&result));
        let fits = match name.kind {
            Kind::Flag => value.is_boolean(),
            Kind::Number(_) => value.is_number(),
            Kind::Word(_) | Kind::Code | Kind::Text => value.is_string(),
        };
        prop_assert_eq!(one.held ^ other.held, fits, "{:?} {:?}", one, other);
        if value.is_null() {
            prop_assert_eq!(one.measured, "not measured");
        }
    }
}
