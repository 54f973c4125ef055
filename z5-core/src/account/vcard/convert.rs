//! One card in the words of the other version (RFC 6350 and RFC 2426). What a version has no word for stays as it is, which both
//! allow: parameters and properties that a reader does not know are skipped by it.

use super::line::{escape, unescape};
use super::{Card, Line, Version};

/// Properties whose value may be bytes.
const BYTES: [&str; 4] = ["PHOTO", "LOGO", "SOUND", "KEY"];

type Params = Vec<(String, Vec<String>)>;

impl Card {
    /// The version it says.
    pub fn version(&self) -> Version {
        match self.first("VERSION").is_some_and(|line| line.value().trim() == "3.0") {
            true => Version::V3,
            false => Version::V4,
        }
    }

    /// The same card in another version.
    #[must_use]
    pub fn to_version(&self, version: Version) -> Self {
        if self.version() == version {
            return self.clone();
        }
        let mut lines: Vec<Line> = self
            .lines()
            .iter()
            .map(|line| match version {
                Version::V4 => line_4(line),
                Version::V3 => line_3(line),
            })
            .collect();
        if version == Version::V3 && !lines.iter().any(|line| line.is("N")) {
            // RFC 2426 section 3.1.2 demands one; a name that was not taken apart is all family name.
            lines.push(Line::new("N", &[], &format!("{};;;;", escape(&self.name()))));
        }
        Self::from_lines(lines)
    }
}

fn owned(line: &Line) -> Params {
    let own = |param: &super::Param<'_>| {
        (param.name.to_owned(), param.values.iter().map(|value| value.clone().into_owned()).collect())
    };
    line.params().iter().map(own).collect()
}

fn is(name: &str, known: &str) -> bool {
    name.eq_ignore_ascii_case(known)
}

fn line_4(line: &Line) -> Line {
    if line.is("VERSION") {
        return Line::new("VERSION", &[], "4.0");
    }
    let mut params = owned(line);
    let mut value = line.value().to_owned();
    if BYTES.iter().any(|name| line.is(name)) && is_base64(line) {
        let kind = line.param("TYPE").map(|kind| kind.to_ascii_lowercase());
        let family = match line.name().to_ascii_uppercase().as_str() {
            "PHOTO" | "LOGO" => "image",
            "SOUND" => "audio",
            _ => "application",
        };
        params.retain(|(name, _)| !is(name, "ENCODING") && !is(name, "TYPE"));
        let kind = kind.unwrap_or_else(|| "octet-stream".to_owned());
        let kind = if kind.contains('/') { kind } else { format!("{family}/{kind}") };
        value = format!("data:{kind};base64,{}", value.trim());
        return line.with(&params, &value);
    }
    // TYPE=pref is PREF=1.
    let preferred = line.types().iter().any(|kind| kind == "pref");
    for (name, values) in &mut params {
        if is(name, "TYPE") || name.is_empty() {
            values.retain(|value| !is(value, "pref"));
        }
    }
    params.retain(|(_, values)| !values.is_empty());
    if preferred && line.param("PREF").is_none() {
        params.push(("PREF".to_owned(), vec!["1".to_owned()]));
    }
    if line.is("GEO") && !value.starts_with("geo:") {
        value = format!("geo:{}", value.replace(';', ","));
    }
    line.with(&params, &value)
}

fn line_3(line: &Line) -> Line {
    if line.is("VERSION") {
        return Line::new("VERSION", &[], "3.0");
    }
    let mut params = owned(line);
    let mut value = line.value().to_owned();
    if BYTES.iter().any(|name| line.is(name))
        && let Some((kind, data)) = value.strip_prefix("data:").and_then(|rest| rest.split_once(";base64,"))
    {
        params
            .retain(|(name, _)| !["VALUE", "ENCODING", "TYPE", "MEDIATYPE"].iter().any(|own| is(name, own)));
        params.push(("ENCODING".to_owned(), vec!["b".to_owned()]));
        let kind = kind.rsplit('/').next().unwrap_or(kind).to_ascii_uppercase();
        params.push(("TYPE".to_owned(), vec![kind]));
        return line.with(&params, data);
    }
    if params.iter().any(|(name, values)| is(name, "PREF") && values.iter().any(|value| value == "1")) {
        params.retain(|(name, _)| !is(name, "PREF"));
        params.push(("TYPE".to_owned(), vec!["pref".to_owned()]));
    }
    if line.is("TEL")
        && let Some(number) = unescape(&value).strip_prefix("tel:")
    {
        params.retain(|(name, _)| !is(name, "VALUE"));
        value = escape(number);
    }
    if line.is("GEO")
        && let Some(place) = value.strip_prefix("geo:")
    {
        value = place.replace(',', ";");
    }
    line.with(&params, &value)
}

fn is_base64(line: &Line) -> bool {
    line.param("ENCODING").is_some_and(|name| is(&name, "b") || is(&name, "base64"))
        || line
            .params()
            .iter()
            .any(|param| param.name.is_empty() && param.values.iter().any(|v| is(v, "base64")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_card_goes_to_the_other_version_and_back() {
        let text = "BEGIN:VCARD\r\nVERSION:3.0\r\nFN:A\r\nN:A;;;;\r\nTEL;TYPE=work;TYPE=pref:+15555550102\r\n\
            PHOTO;ENCODING=b;TYPE=JPEG:AAAA\r\nX-UNKNOWN;P=q:r\r\nGEO:37.4;-122.1\r\nEND:VCARD\r\n";
        let three = Card::parse(text).unwrap();
        let four = three.to_version(Version::V4);
        assert_eq!(
            four.to_text(),
            "BEGIN:VCARD\r\nVERSION:4.0\r\nFN:A\r\nN:A;;;;\r\nTEL;TYPE=work;PREF=1:+15555550102\r\n\
            PHOTO:data:image/jpeg;base64,AAAA\r\nX-UNKNOWN;P=q:r\r\nGEO:geo:37.4,-122.1\r\nEND:VCARD\r\n"
        );
        assert_eq!(four.to_version(Version::V3), three);
        assert_eq!((three.version(), four.version()), (Version::V3, Version::V4));
    }

    #[test]
    fn a_number_that_is_a_uri_is_text_in_3_0_which_wants_parts_of_a_name() {
        let four = Card::new("u", "A, B", &["+15555550102".to_owned()]);
        let three = four.to_version(Version::V3);
        assert_eq!(three.first("TEL").unwrap().as_str(), "TEL:+15555550102");
        assert_eq!(three.first("N").unwrap().as_str(), "N:A\\, B;;;;");
    }
}
