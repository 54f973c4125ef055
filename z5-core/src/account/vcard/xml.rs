//! xCard (RFC 6351): the same cards as XML, for the bulk transfer of an address book (RFC 9248 section 7.2). Properties, parameters and
//! value types that RFC 6350 does not name travel as `unknown`, elements of other namespaces as XML properties (RFC 6351 sections 5
//! and 6), so that a card goes to XML and back without a loss.

use std::fmt::Write as _;

use roxmltree::{Document, Node};

use super::line::{escape, split, unescape};
use super::list::XmlList;
use super::{BadCard, Card, Found, Line, Version};

pub(super) const NAMESPACE: &str = "urn:ietf:params:xml:ns:vcard-4.0";

/// The parts of structured values, in order (RFC 6351 appendix A).
const STRUCTURED: [(&str, &[&str]); 4] = [
    ("N", &["surname", "given", "additional", "prefix", "suffix"]),
    ("ADR", &["pobox", "ext", "street", "locality", "region", "code", "country"]),
    ("GENDER", &["sex", "identity"]),
    ("CLIENTPIDMAP", &["sourceid", "uri"]),
];
/// Properties that are lists of text.
const LISTS: [(&str, char); 3] = [("NICKNAME", ','), ("CATEGORIES", ','), ("ORG", ';')];
/// Properties with another default type than text (RFC 6350 section 6).
const DEFAULT_TYPES: [(&str, &str); 19] = [
    ("SOURCE", "uri"),
    ("PHOTO", "uri"),
    ("IMPP", "uri"),
    ("GEO", "uri"),
    ("LOGO", "uri"),
    ("MEMBER", "uri"),
    ("RELATED", "uri"),
    ("SOUND", "uri"),
    ("UID", "uri"),
    ("URL", "uri"),
    ("KEY", "uri"),
    ("FBURL", "uri"),
    ("CALADRURI", "uri"),
    ("CALURI", "uri"),
    ("LANG", "language-tag"),
    ("BDAY", "date-and-or-time"),
    ("ANNIVERSARY", "date-and-or-time"),
    ("REV", "timestamp"),
    ("TZ", "text"),
];
/// Properties whose default type is text; every other one is `unknown` in XML.
const TEXT: [&str; 14] = [
    "FN",
    "NICKNAME",
    "EMAIL",
    "TEL",
    "TITLE",
    "ROLE",
    "ORG",
    "CATEGORIES",
    "NOTE",
    "PRODID",
    "KIND",
    "TZ",
    "N",
    "ADR",
];
/// Elements that are a value.
const TYPES: [&str; 12] = [
    "text",
    "uri",
    "date",
    "time",
    "date-time",
    "date-and-or-time",
    "timestamp",
    "boolean",
    "integer",
    "float",
    "utc-offset",
    "language-tag",
];

/// Writes cards as one document.
pub fn write_xml<'a>(cards: impl IntoIterator<Item = &'a Card>) -> String {
    let mut out = format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<vcards xmlns=\"{NAMESPACE}\">\n");
    for card in cards {
        write_card(card, false, &mut out);
        out.push('\n');
    }
    out.push_str("</vcards>\n");
    out
}

/// Writes one card; `named`: the element says its namespace itself.
pub(super) fn write_card(card: &Card, named: bool, out: &mut String) {
    let card = card.to_version(Version::V4);
    match named {
        true => {
            let _ = writeln!(out, "<vcard xmlns=\"{NAMESPACE}\">");
        }
        false => out.push_str("<vcard>\n"),
    }
    let mut groups: Vec<&str> = Vec::new();
    for line in card.lines() {
        match line.group() {
            None => property(line, out),
            Some(group) if groups.contains(&group) => {}
            Some(group) => {
                groups.push(group);
                let _ = writeln!(out, "<group name=\"{}\">", quoted(group));
                let of_group = card.lines().iter().filter(|line| line.group() == Some(group));
                of_group.for_each(|line| property(line, out));
                out.push_str("</group>\n");
            }
        }
    }
    out.push_str("</vcard>");
}

fn property(line: &Line, out: &mut String) {
    if line.is("VERSION") {
        return;
    }
    if line.is("XML") {
        // An element of another namespace, as it was written; what is none is left out, as RFC 6350 section 6.1.5 demands elements.
        let text = line.text();
        let foreign = Document::parse(&text).is_ok_and(|document| {
            document.root_element().tag_name().namespace().is_some_and(|namespace| namespace != NAMESPACE)
        });
        if foreign {
            let _ = writeln!(out, "{text}");
            return;
        }
    }
    let name = line.name().to_ascii_lowercase();
    let _ = write!(out, "<{name}>");
    parameters(line, out);
    let upper = name.to_ascii_uppercase();
    let structured = STRUCTURED.iter().find(|(known, _)| *known == upper);
    let list = LISTS.iter().find(|(known, _)| *known == upper);
    if let Some((_, parts)) = structured {
        let mut values = split(line.value(), ';');
        for part in *parts {
            let value = values.next().unwrap_or_default();
            // A GENDER without an identity has no such part; the others are all written.
            if !value.is_empty() || upper == "N" || upper == "ADR" {
                for one in split(value, ',') {
                    element(part, &unescape(one), out);
                }
            }
        }
    } else if let Some((_, separator)) = list {
        for one in split(line.value(), *separator) {
            element("text", &unescape(one), out);
        }
    } else {
        let (kind, value) = typed(line, &upper);
        element(&kind, &value, out);
    }
    let _ = writeln!(out, "</{name}>");
}

/// The element of the value and its text.
fn typed(line: &Line, name: &str) -> (String, String) {
    let said = line.param("VALUE").map(|kind| kind.to_ascii_lowercase());
    let kind = said.as_deref().unwrap_or_else(|| default_type(name));
    match kind {
        "unknown" => ("unknown".to_owned(), line.value().to_owned()),
        "text" => ("text".to_owned(), unescape(line.value())),
        "date-and-or-time" => {
            let value = line.value();
            let kind = match value.find('T') {
                Some(0) => "time",
                Some(_) => "date-time",
                None => "date",
            };
            (kind.to_owned(), value.to_owned())
        }
        other if TYPES.contains(&other) => (other.to_owned(), unescape(line.value())),
        _ => ("unknown".to_owned(), line.value().to_owned()),
    }
}

fn default_type(name: &str) -> &'static str {
    let known = DEFAULT_TYPES.iter().find(|(known, _)| *known == name).map(|(_, kind)| *kind);
    known.unwrap_or(if TEXT.contains(&name) { "text" } else { "unknown" })
}

fn parameters(line: &Line, out: &mut String) {
    let params: Vec<_> = line.params();
    // VALUE is the element of the value, unless that says too little.
    let told = |param: &super::Param<'_>| {
        let value = param.values.first().map(|value| value.to_ascii_lowercase()).unwrap_or_default();
        param.name.eq_ignore_ascii_case("VALUE") && TYPES.contains(&value.as_str())
    };
    let params: Vec<_> = params.into_iter().filter(|param| !told(param)).collect();
    if params.is_empty() {
        return;
    }
    out.push_str("<parameters>");
    for param in params {
        let name = if param.name.is_empty() { "type".to_owned() } else { param.name.to_ascii_lowercase() };
        let kind = match name.as_str() {
            "language" => "language-tag",
            "pref" => "integer",
            "geo" => "uri",
            _ => "text",
        };
        let _ = write!(out, "<{name}>");
        param.values.iter().for_each(|value| element(kind, value, out));
        let _ = write!(out, "</{name}>");
    }
    out.push_str("</parameters>");
}

fn element(name: &str, text: &str, out: &mut String) {
    let _ = write!(out, "<{name}>{}</{name}>", content(text));
}

fn content(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('\r', "&#13;")
}

fn quoted(text: &str) -> String {
    content(text).replace('"', "&quot;")
}

/// Reads every card of a document; a bad one costs no other.
pub fn read_xml(bytes: &[u8]) -> Vec<Result<Found, BadCard>> {
    XmlList::read(bytes).map_or_else(|bad| vec![Err(bad)], XmlList::into_found)
}

fn line_of(node: &Node<'_, '_>) -> usize {
    node.document().text_pos_at(node.range().start).row as usize
}

pub(super) fn card_of(node: &Node<'_, '_>) -> Result<Card, BadCard> {
    let mut lines = vec![Line::new("VERSION", &[], "4.0")];
    for child in node.children().filter(Node::is_element) {
        if child.has_tag_name((NAMESPACE, "group")) {
            let group = child.attribute("name").unwrap_or_default();
            for inner in child.children().filter(Node::is_element) {
                lines.push(read_property(&inner, Some(group).filter(|group| !group.is_empty()))?);
            }
        } else {
            lines.push(read_property(&child, None)?);
        }
    }
    let card = Card::from_lines(lines);
    if card.name().is_empty() {
        let why = "the card that begins here has no name (fn)".to_owned();
        return Err(BadCard { line: line_of(node), why });
    }
    Ok(card)
}

fn read_property(node: &Node<'_, '_>, group: Option<&str>) -> Result<Line, BadCard> {
    let bad = |why: String| BadCard { line: line_of(node), why };
    let name = node.tag_name().name().to_ascii_uppercase();
    if node.tag_name().namespace() != Some(NAMESPACE) {
        let mut text = String::new();
        foreign(node, None, &mut text);
        return Line::parse(format!("XML:{}", escape(&text))).map_err(bad);
    }
    let mut params: Vec<(String, Vec<String>)> = Vec::new();
    let mut values: Vec<(&str, String)> = Vec::new();
    for child in node.children().filter(Node::is_element) {
        let inner = child.tag_name().name();
        if inner == "parameters" {
            for param in child.children().filter(Node::is_element) {
                let texts = param.children().filter(Node::is_element).map(text_of).collect();
                params.push((param.tag_name().name().to_ascii_uppercase(), texts));
            }
        } else {
            values.push((inner, text_of(child)));
        }
    }
    let value = if let Some((_, parts)) = STRUCTURED.iter().find(|(known, _)| *known == name) {
        let part = |part: &&str| {
            let texts = values.iter().filter(|(inner, _)| inner == part).map(|(_, text)| escape(text));
            texts.collect::<Vec<_>>().join(",")
        };
        let all: Vec<String> = parts.iter().map(part).collect();
        let joined = all.join(";");
        let keeps = matches!(name.as_str(), "N" | "ADR");
        if keeps { joined } else { joined.trim_end_matches(';').to_owned() }
    } else if let Some((_, separator)) = LISTS.iter().find(|(known, _)| *known == name) {
        let texts: Vec<String> = values.iter().map(|(_, text)| escape(text)).collect();
        texts.join(&separator.to_string())
    } else {
        let Some((kind, text)) = values.into_iter().next() else {
            return Err(bad(format!("{} has no value", name.to_ascii_lowercase())));
        };
        let default = default_type(&name);
        let moment = ["date", "time", "date-time", "date-and-or-time"];
        let usual = kind == default || (default == "date-and-or-time" && moment.contains(&kind));
        if !usual && kind != "unknown" {
            params.insert(0, ("VALUE".to_owned(), vec![kind.to_owned()]));
        }
        match kind {
            "text" => escape(&text),
            "unknown" => text.replace(['\r', '\n'], ""),
            // A URI is written as it is (RFC 6350 section 4.2), but for what would end the line.
            _ => text.trim().replace(['\r', '\n'], ""),
        }
    };
    let bare = Line::parse(format!("{name}:")).map_err(bad)?;
    let line = bare.with(&params, &value).in_group(group);
    Line::parse(line.as_str()).map_err(bad)
}

fn text_of(node: Node<'_, '_>) -> String {
    node.descendants().filter(Node::is_text).filter_map(|text| text.text()).collect()
}

/// Writes an element of another namespace so that it stands by itself.
fn foreign(node: &Node<'_, '_>, outer: Option<&str>, out: &mut String) {
    let (name, namespace) = (node.tag_name().name(), node.tag_name().namespace());
    let _ = write!(out, "<{name}");
    if namespace != outer {
        let _ = write!(out, " xmlns=\"{}\"", quoted(namespace.unwrap_or_default()));
    }
    for attribute in node.attributes() {
        match attribute.namespace() {
            Some("http://www.w3.org/XML/1998/namespace") => {
                let _ = write!(out, " xml:{}=\"{}\"", attribute.name(), quoted(attribute.value()));
            }
            Some(space) => {
                let _ = write!(
                    out,
                    " xmlns:a=\"{}\" a:{}=\"{}\"",
                    quoted(space),
                    attribute.name(),
                    quoted(attribute.value())
                );
            }
            None => {
                let _ = write!(out, " {}=\"{}\"", attribute.name(), quoted(attribute.value()));
            }
        }
    }
    out.push('>');
    for child in node.children() {
        if child.is_element() {
            foreign(&child, namespace, out);
        } else if let Some(text) = child.text().filter(|_| child.is_text()) {
            out.push_str(&content(text));
        }
    }
    let _ = write!(out, "</{name}>");
}

#[cfg(test)]
mod tests {
    use super::*;

    const CARD: &str = "BEGIN:VCARD\r\nVERSION:4.0\r\nUID:urn:uuid:1\r\nFN:B & <b>\r\nN:Doe;J,K;;Dr.;\r\n\
        TEL;VALUE=uri;TYPE=work,video;PREF=1:tel:+15555550102\r\nTEL:411\r\nNICKNAME:a\\,b,c\r\nORG:Acme;Video\r\n\
        BDAY:19900102\r\nBDAY;VALUE=text:about 1990\r\nNOTE:two\\nlines\\; here\r\nX-ODD;X-P=q:raw\\,;text\r\n\
        item1.EMAIL:b@a.test\r\nitem1.X-ABLabel:Work\r\nGENDER:F\r\nADR;LABEL=\"a, b\":;;1 St;Town;;1;US\r\n\
        XML:<e xmlns=\"urn:x\" a=\"1\"><f>t</f></e>\r\nLANG:en\r\nEND:VCARD\r\n";

    #[test]
    fn a_card_goes_to_xml_and_back_without_a_loss() {
        let card = Card::parse(CARD).unwrap();
        let xml = write_xml([&card]);
        let back = read_xml(xml.as_bytes());
        let back = &back[0].as_ref().unwrap().card;
        let sorted = |card: &Card| {
            let mut lines: Vec<String> = card
                .lines()
                .iter()
                .map(|line| {
                    let label = line.as_str().split([':', ';']).next().unwrap();
                    line.as_str().replacen(label, &label.to_ascii_uppercase(), 1)
                })
                .collect();
            lines.sort();
            lines
        };
        assert_eq!(sorted(back), sorted(&card), "{xml}");
        // What is stable is stable at once.
        assert_eq!(write_xml([back]), xml);
    }

    /// The example of RFC 6351 section 4, shortened.
    #[test]
    fn the_document_of_the_rfc_is_read() {
        let text = "<?xml version=\"1.0\"?><vcards xmlns=\"urn:ietf:params:xml:ns:vcard-4.0\"><vcard>\
            <fn><text>Simon Perreault</text></fn><n><surname>Perreault</surname><given>Simon</given><additional/><prefix/>\
            <suffix>ing. jr</suffix><suffix>M.Sc.</suffix></n><bday><date>--0203</date></bday>\
            <lang><parameters><pref><integer>1</integer></pref></parameters><language-tag>fr</language-tag></lang>\
            <tel><parameters><type><text>work</text><text>voice</text></type></parameters><uri>tel:+1-418-656-9254;ext=102</uri></tel>\
            <my:x xmlns:my=\"urn:my\">v</my:x></vcard></vcards>";
        let card = read_xml(text.as_bytes()).remove(0).unwrap().card;
        let lines: Vec<_> = card.lines().iter().map(Line::as_str).collect();
        assert_eq!(
            lines,
            [
                "VERSION:4.0",
                "FN:Simon Perreault",
                "N:Perreault;Simon;;;ing. jr,M.Sc.",
                "BDAY:--0203",
                "LANG;PREF=1:fr",
                "TEL;VALUE=uri;TYPE=work,voice:tel:+1-418-656-9254;ext=102",
                "XML:<x xmlns=\"urn:my\">v</x>"
            ]
        );
    }

    #[test]
    fn a_bad_card_costs_no_other_and_a_bad_file_is_told_with_its_line() {
        let text = format!(
            "<vcards xmlns=\"{NAMESPACE}\">\n<vcard><fn><text>A</text></fn></vcard>\n<vcard>\n<tel/></vcard>\n\
             <vcard><fn><text>C</text></fn></vcard></vcards>"
        );
        let read = read_xml(text.as_bytes());
        assert_eq!(read.iter().filter(|card| card.is_ok()).count(), 2);
        assert_eq!(read[1].as_ref().unwrap_err().to_string(), "line 4: tel has no value");
        for (text, words) in [
            ("<a", "line 1: it is not XML"),
            ("<a/>", "line 1: the root is `a`"),
            ("<!DOCTYPE a [<!ENTITY b \"c\">]><a>&b;</a>", "not XML"),
        ] {
            let bad = read_xml(text.as_bytes()).remove(0).unwrap_err().to_string();
            assert!(bad.contains(words), "{bad}");
        }
    }
}
