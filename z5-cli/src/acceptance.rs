//! The acceptance plan of a video-relay videophone, point by point: which scenario judges it, and what a machine leaves open.
//!
//! The points are those of the VATRP 1.2 test plan (sections 5.1 to 5.8). Plain data; `commands::acceptance` runs it.

/// One point of the plan.
#[derive(Debug)]
pub(crate) struct Point {
    /// V1 to V17.
    pub(crate) id: &'static str,
    /// What it asks for.
    pub(crate) title: &'static str,
    /// The scenario that judges it: its file's name and text.
    pub(crate) scenario: Option<(&'static str, &'static str)>,
    /// Whether it is judged at a real carrier too.
    pub(crate) elsewhere: Elsewhere,
    /// What of it a machine (or z5) does not judge. Without a scenario: why the point is not judged at all.
    pub(crate) open: &'static str,
}

/// A point at a carrier that is not the mock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Elsewhere {
    /// Judged as at the mock carrier.
    Judged,
    /// Judged when `--set` gives this variable: its name, a word for its value, and what that says.
    Told(&'static str, &'static str, &'static str),
}

macro_rules! scenario {
    ($file:literal) => {
        Some(($file, include_str!(concat!("../scenarios/", $file))))
    };
}

/// The plan, in its order.
pub(crate) const POINTS: &[Point] = &[
    Point {
        id: "V1",
        title: "Registration; stays registered during calls",
        scenario: scenario!("v01-registration.yaml"),
        elsewhere: Elsewhere::Told(
            "refresh",
            "TIME",
            "how long it takes until a registration is refreshed, as `sip.expires` asks",
        ),
        open: "",
    },
    Point {
        id: "V2",
        title: "TLS 1.2 or newer, a suite better than RSA with AES-256-CBC",
        scenario: scenario!("v02-tls.yaml"),
        elsewhere: Elsewhere::Judged,
        open: "TLS of HTTPS at a real carrier: `z5 check` says what it finds there",
    },
    Point {
        id: "V3",
        title: "Geolocation in REGISTER after opt-in; Contact",
        scenario: scenario!("v03-geolocation.yaml"),
        elsewhere: Elsewhere::Told(
            "address",
            "URI",
            "where a location server tells where alice is, which she agreed to give away",
        ),
        open: "",
    },
    Point {
        id: "V4",
        title: "Call from point to point, clean BYE at both ends",
        scenario: scenario!("v04-call.yaml"),
        elsewhere: Elsewhere::Judged,
        open: "whether people find sound and pictures acceptable",
    },
    Point {
        id: "V5",
        title: "Pictures: visible, fluent, no stalls",
        scenario: scenario!("v05-video.yaml"),
        elsewhere: Elsewhere::Judged,
        open: "whether signing can be understood; blur and blocks",
    },
    Point {
        id: "V6",
        title: "Sound: audible, clear, no dropouts",
        scenario: scenario!("v06-audio.yaml"),
        elsewhere: Elsewhere::Judged,
        open: "whether people find it clear",
    },
    Point {
        id: "V7",
        title: "Media are encrypted",
        scenario: scenario!("v07-encryption.yaml"),
        elsewhere: Elsewhere::Judged,
        open: "a look into a capture (`z5 call --capture`)",
    },
    Point {
        id: "V8",
        title: "Video privacy and mute",
        scenario: scenario!("v08-privacy.yaml"),
        elsewhere: Elsewhere::Judged,
        open: "whether the far end shows it",
    },
    Point {
        id: "V9",
        title: "Keys 0-9, *, # as telephone events",
        scenario: scenario!("v09-dtmf.yaml"),
        elsewhere: Elsewhere::Judged,
        open: "long presses: z5 presses every key for 100 ms",
    },
    Point {
        id: "V10",
        title: "Real-time text both ways within a second",
        scenario: scenario!("v10-text.yaml"),
        elsewhere: Elsewhere::Judged,
        open: "",
    },
    Point {
        id: "V11",
        title: "Each side pauses and resumes",
        scenario: scenario!("v11-hold.yaml"),
        elsewhere: Elsewhere::Judged,
        open: "whether the last picture stands still meanwhile",
    },
    Point {
        id: "V12",
        title: "Three devices of one account ring together",
        scenario: scenario!("v12-devices.yaml"),
        elsewhere: Elsewhere::Judged,
        open: "",
    },
    Point {
        id: "V13",
        title: "Anonymous call",
        scenario: scenario!("v13-anonymous.yaml"),
        elsewhere: Elsewhere::Judged,
        open: "that the number is in no header: a test of z5-sip looks at every one",
    },
    Point {
        id: "V14",
        title: "Message waiting",
        scenario: scenario!("v14-message-waiting.yaml"),
        elsewhere: Elsewhere::Told(
            "messages",
            "COUNT",
            "how many messages wait in alice's mailbox (`sip.mwi`) that nobody has seen",
        ),
        open: "that the count goes down when they are looked at",
    },
    Point {
        id: "V15",
        title: "Contacts as xCard: import, call, export",
        scenario: scenario!("v15-contacts.yaml"),
        elsewhere: Elsewhere::Told(
            "contact",
            "NAME",
            "who in alice's list of xCards (`contacts.uri`) has bob's number",
        ),
        open: "how the contacts are shown",
    },
    Point {
        id: "V16",
        title: "Dial-around in one stage",
        scenario: scenario!("v16-dial-around.yaml"),
        elsewhere: Elsewhere::Told(
            "provider",
            "DOMAIN",
            "another provider, where the number of --set callee=NUMBER answers with sound",
        ),
        open: "each pair of providers is a run of its own",
    },
    Point {
        id: "V17",
        title: "Emergency call with location",
        scenario: scenario!("v17-emergency.yaml"),
        elsewhere: Elsewhere::Told(
            "emergency",
            "NUMBER",
            "911, only where emergency calls of this carrier lead to a test that answers with sound: nobody dials it for a test elsewhere",
        ),
        open: "the way over LoST to a PSAP, and that it gets the location: the mock carrier's 911 reads it back",
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_plan_is_whole() {
        let ids: Vec<String> = POINTS.iter().map(|point| point.id.to_owned()).collect();
        assert_eq!(ids, (1..=17).map(|n| format!("V{n}")).collect::<Vec<_>>());
        for point in POINTS {
            assert!(
                point.scenario.is_some() || !point.open.is_empty(),
                "{}: why is it not judged?",
                point.id
            );
            let (file, _) = point.scenario.unwrap_or(("v", ""));
            // what is to be told is a variable
            let text = point.scenario.map_or("", |(_, text)| text);
            if let Elsewhere::Told(name, ..) = point.elsewhere {
                assert!(text.contains(&format!("${{{name}}}")), "{}", point.id);
            }
            let number = point.id.trim_start_matches('V');
            assert!(
                file == "v" || file.starts_with(&format!("v{number:0>2}-")),
                "{file} is not {}",
                point.id
            );
        }
    }
}
