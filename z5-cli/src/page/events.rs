//! Every event of the run, for those who look for something else.

use serde_json::Value;

use super::html::{Html, number};
use crate::capsule::Capsule;

pub(super) fn section(capsule: &Capsule) -> Html {
    let mut html = Html::new();
    html.raw("<details><summary>").count(capsule.events.len()).raw(" events</summary>");
    if capsule.events_left_out > 0 {
        html.raw("<p>")
            .count(capsule.events_left_out as usize)
            .raw(" between the first and the newest were left out.</p>");
    }
    html.table("Events, with milliseconds since the session began", &["At", "Event", "What it says"]);
    for event in &capsule.events {
        let at = event.get("at_ms").and_then(Value::as_f64).map_or_else(String::new, |ms| number(ms, 1));
        let name = event.get("event").and_then(Value::as_str).unwrap_or("?");
        let mut rest = event.clone();
        if let Some(members) = rest.as_object_mut() {
            for known in ["event", "at_ms", "sequence"] {
                members.remove(known);
            }
        }
        html.raw("<tr><td class=\"n\">").text(&at).raw("</td>").cell(name).raw("<td><code>");
        html.text(&rest.to_string()).raw("</code></td></tr>");
    }
    html.end_table().raw("</details>");
    html
}
