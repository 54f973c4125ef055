//! An explanation in readable lines: the verdict first, then each message with its fields, faults and body.

use z5_core::explain::{
    Explained, Explanation, Judgement, LineSeen, SessionSeen, StartSeen, Typed, UserAgentSays, Verdict,
};

/// The lines, without control characters of the input.
pub(super) fn lines(explanation: &Explanation) -> Vec<String> {
    let mut out = vec![judgement(&explanation.judgement)];
    out.extend(explanation.notes.iter().map(|note| format!("note: {note}")));
    if explanation.keep_alives > 0 {
        out.push(format!("note: {} keep-alives between messages", explanation.keep_alives));
    }
    for (at, told) in explanation.messages.iter().enumerate() {
        message(at + 1, explanation.messages.len(), told, &mut out);
    }
    if let Some(seen) = &explanation.session {
        session(seen, "", &mut out);
    }
    out.iter().map(|line| super::plain(&line.replace('\n', " ")).into_owned()).collect()
}

fn judgement(judgement: &Judgement) -> String {
    let reason = judgement.reason.as_deref().map(|reason| format!(": {reason}")).unwrap_or_default();
    match judgement.verdict {
        Verdict::Accept => format!("accept{reason}"),
        Verdict::Drop => format!("drop{reason}"),
        Verdict::Refuse => {
            let status = judgement.status.map(|status| format!(" {status}")).unwrap_or_default();
            let phrase = judgement.phrase.as_deref().map(|phrase| format!(" {phrase}")).unwrap_or_default();
            format!("refuse{status}{phrase}{reason}")
        }
    }
}

fn message(number: usize, of: usize, told: &Explained, out: &mut Vec<String>) {
    out.push(String::new());
    let place = format!("line {}, {} bytes", told.line, told.length);
    match of {
        1 => out.push(place),
        _ => out.push(format!("message {number} of {of}, {place}: {}", judgement(&told.judgement))),
    }
    match &told.start {
        Some(StartSeen::Request { method, uri, version }) => out.push(format!("  {method} {uri} {version}")),
        Some(StartSeen::Response { status, phrase, version }) => {
            out.push(format!("  {version} {status} {phrase}"))
        }
        None => {}
    }
    for field in &told.headers {
        let meaning: Vec<String> = field.typed.iter().map(typed).collect();
        let shown = if meaning.is_empty() { field.value.clone() } else { meaning.join(" | ") };
        out.push(format!("  {:>4}  {:<20} {shown}", field.line, field.name));
    }
    for fault in &told.faults {
        let header = fault.header.as_deref().filter(|header| !fault.what.starts_with(header));
        let header = header.map(|header| format!("{header}: ")).unwrap_or_default();
        out.push(format!("  fault at line {}, byte {}: {header}{}", fault.line, fault.offset, fault.what));
    }
    if let Some(says) = &told.user_agent {
        out.push(format!("  a user agent {}", user_agent(says)));
    }
    if let Some(body) = &told.body {
        let media_type = body.media_type.as_deref().unwrap_or("an unnamed type");
        out.push(format!("  body: {} bytes of {media_type}", body.length));
        for part in &body.parts {
            let name = part.content_id.as_ref().map_or_else(String::new, |id| format!(", named {id}"));
            out.push(format!("    part: {} bytes of {}{name}", part.length, part.media_type));
        }
        if let Some(seen) = &body.session {
            session(seen, "    ", out);
        }
    }
}

fn user_agent(says: &UserAgentSays) -> String {
    match (says.status, says.phrase) {
        (Some(status), phrase) => {
            let context = if says.for_want_of_context {
                ", which hangs on its calls and methods, not on the message"
            } else {
                ""
            };
            format!("answers {status} {}{context}", phrase.unwrap_or_default())
        }
        (None, _) if says.rings => "offers the call to its user".to_owned(),
        (None, _) => "answers nothing at once".to_owned(),
    }
}

fn typed(value: &Typed) -> String {
    let tail = |params: &[String]| params.iter().map(|param| format!(" {param}")).collect::<String>();
    match value {
        Typed::Via { transport, sent_by, branch, received, rport } => {
            let mut out = format!("{transport} {sent_by}");
            for (name, value) in [("branch", branch), ("received", received), ("rport", rport)] {
                if let Some(value) = value {
                    out.push_str(&format!(" {name}={value}"));
                }
            }
            out
        }
        Typed::Address { display_name, uri, tag, params } => {
            let name = display_name.as_ref().map(|name| format!("{name:?} ")).unwrap_or_default();
            let tag = tag.as_ref().map(|tag| format!(" tag={tag}")).unwrap_or_default();
            format!("{name}<{uri}>{tag}{}", tail(params))
        }
        Typed::Star => "* (every binding)".to_owned(),
        Typed::Cseq { number, method } => format!("{number} {method}"),
        Typed::Rack { rseq, cseq, method } => format!("RSeq {rseq} of CSeq {cseq} {method}"),
        Typed::Number(number) => number.to_string(),
        Typed::SessionExpires { seconds, refresher } => {
            let refresher = refresher.as_ref().map(|who| format!(", refreshed by {who}")).unwrap_or_default();
            format!("{seconds} s{refresher}")
        }
        Typed::Dialog { call_id, to_tag, from_tag, early_only } => {
            let tag = |name: &str, tag: &Option<String>| {
                tag.as_ref().map(|tag| format!(" {name}={tag}")).unwrap_or_default()
            };
            let early = if *early_only { " early-only" } else { "" };
            format!("{call_id}{}{}{early}", tag("to-tag", to_tag), tag("from-tag", from_tag))
        }
        Typed::Credentials { scheme, params } => {
            let params: Vec<String> = params.iter().map(|(name, value)| format!("{name}={value}")).collect();
            format!("{scheme} {}", params.join(", "))
        }
        Typed::Token { token, params } => format!("{token}{}", tail(params)),
    }
}

fn session(seen: &SessionSeen, indent: &str, out: &mut Vec<String>) {
    if !seen.as_offer {
        out.push(format!("{indent}(no offer here by itself; shown as if it were one)"));
    }
    if !indent.is_empty() && seen.judgement.verdict != Verdict::Accept {
        out.push(format!("{indent}{}", judgement(&seen.judgement)));
    }
    for line in &seen.media {
        media_line(line, indent, out);
    }
}

fn media_line(line: &LineSeen, indent: &str, out: &mut Vec<String>) {
    let verdict = match &line.why {
        Some(why) => format!("refused: {why}"),
        None if line.taken => "taken".to_owned(),
        None => "refused".to_owned(),
    };
    out.push(format!(
        "{indent}m-line {}: {} {} {}, {verdict}",
        line.index, line.kind, line.port, line.profile
    ));
    let mut say = |what: &str, text: String| {
        if !text.is_empty() {
            out.push(format!("{indent}  {what:<12} {text}"));
        }
    };
    for codec in &line.codecs {
        let fmtp = codec.fmtp.as_ref().map(|fmtp| format!(" ({fmtp})")).unwrap_or_default();
        say("codec", format!("{} {}{fmtp}", codec.payload_type, codec.encoding));
    }
    for refused in &line.refused {
        let encoding = refused.encoding.as_ref().map(|encoding| format!(" {encoding}")).unwrap_or_default();
        say("not", format!("{}{encoding}: {}", refused.format, refused.why));
    }
    if let Some(key) = &line.crypto {
        say("crypto", format!("tag {} {}", key.tag, key.suite));
    }
    for why in &line.refused_keys {
        say("not a key", why.clone());
    }
    if let Some(dtls) = &line.dtls {
        let setup = dtls.setup.as_deref().unwrap_or("not said");
        let role = dtls.role.map(|role| format!(", we are the {role}")).unwrap_or_default();
        say("DTLS", format!("fingerprint {}, setup {setup}{role}", dtls.hashes.join(" ")));
        for why in &dtls.refused {
            say("not a proof", why.clone());
        }
    }
    if let Some(answered) = line.answered_direction {
        say("direction", format!("offered {}, answered {answered}", line.direction));
    }
    if let (Some(rtp), Some(rtcp)) = (&line.remote, &line.remote_rtcp) {
        say(
            "sent to",
            if line.rtcp_mux { format!("{rtp}, RTCP with it") } else { format!("{rtp}, RTCP {rtcp}") },
        );
    }
    say("feedback", line.feedback.join(", "));
    say("at most", line.bandwidth_bps.map(|bps| format!("{bps} bit/s")).unwrap_or_default());
    say("not read", line.unknown_attributes.join(", "));
}
