//! The SIP messages as a ladder between this end and the server; each opens to its redacted text.

use super::html::{Html, number};
use crate::capsule::{Capsule, Message};

pub(super) fn section(capsule: &Capsule) -> Html {
    let mut html = Html::new();
    let messages = &capsule.messages;
    let Some(first) = messages.first() else {
        html.raw("<p>No SIP message was sent or came.</p>");
        return html;
    };
    html.raw("<p>Every message opens to its text. Credentials, keys and the values of unknown headers are taken out");
    html.raw(if capsule.numbers_shown { "." } else { ", as are users, numbers and names." });
    html.raw(" The letter tells calls and registrations apart (Call-ID).</p>");
    if capsule.messages_left_out > 0 {
        html.raw("<p>").count(capsule.messages_left_out as usize);
        html.raw(" messages between the first and the newest were left out.</p>");
    }
    html.raw("<div class=\"ends\"><span>This end</span><span>").text(&server(first)).raw("</span></div>");
    html.raw("<ol class=\"ladder\">");
    let mut dialogs: Vec<&str> = Vec::new();
    let mut remote = first.remote.as_str();
    for message in messages {
        if message.remote != remote {
            remote = &message.remote;
            html.raw("<li class=\"ends\"><span>This end</span><span>")
                .text(&server(message))
                .raw("</span></li>");
        }
        let place = dialogs.iter().position(|known| *known == message.dialog).unwrap_or_else(|| {
            dialogs.push(&message.dialog);
            dialogs.len() - 1
        });
        one(&mut html, message, &letter(place));
    }
    html.raw("</ol>");
    html
}

fn server(message: &Message) -> String {
    format!("Server {} ({})", message.remote, message.transport.to_uppercase())
}

/// A, B, ... Z, A1, B1, ...
fn letter(place: usize) -> String {
    let letter = char::from(b'A' + (place % 26) as u8);
    match place / 26 {
        0 => letter.to_string(),
        round => format!("{letter}{round}"),
    }
}

fn one(html: &mut Html, message: &Message, letter: &str) {
    html.raw("<li class=\"").raw(if message.sent { "sent" } else { "came" });
    html.raw("\"><details><summary><span class=\"at\">").text(&at(message.at_ms));
    html.raw("</span><span class=\"dialog\">").text(letter).raw("</span><span class=\"lane\">");
    html.raw(if message.sent {
        "<span class=\"said-of\">sent </span>"
    } else {
        "<span class=\"said-of\">came </span>"
    });
    html.raw(match message.status {
        // a challenge is answered, it is no refusal
        Some(401 | 407) => "<span>",
        Some(400..) => "<span class=\"refused\">",
        Some(_) | None => "<span>",
    });
    html.text(&caption(message)).raw("</span></span></summary><pre tabindex=\"0\">").text(&message.text);
    html.raw("</pre><p class=\"soft\">").count(message.bytes).raw(" bytes on the wire, from ");
    let (from, to) = match message.sent {
        true => (&message.local, &message.remote),
        false => (&message.remote, &message.local),
    };
    html.text(from).raw(" to ").text(to).raw("</p></details></li>");
}

fn at(ms: f64) -> String {
    match ms < 10_000.0 {
        true => format!("{} ms", number(ms, 1)),
        false => format!("{} s", number(ms / 1000.0, 2)),
    }
}

/// `INVITE`, or `200 OK (INVITE)`.
pub(super) fn caption(message: &Message) -> String {
    let method = message.method.as_deref().unwrap_or("?");
    match message.status {
        None => method.to_owned(),
        Some(status) => {
            let first = message.text.lines().next().unwrap_or_default();
            let phrase = first.splitn(3, ' ').nth(2).unwrap_or_default();
            format!("{status} {phrase} ({method})")
        }
    }
}
