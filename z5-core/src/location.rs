//! Where the caller is, for emergency calls (RFC 6442, RFC 6881): a point, a finished PIDF-LO document, or the address where a
//! server gives it out. Nothing is measured here; a location is what the user or the configuration says.

use std::fmt;
use std::path::Path;
use std::str::FromStr;

use z5_media::file::{self, FileError, Limit};
use z5_sip::ua;
use z5_sip::wire::Uri;

/// The longest document that goes with a call.
const LONGEST: u64 = 64 * 1024;

/// The namespace of every PIDF document (RFC 3863 section 4.1.1).
const PIDF: &str = "urn:ietf:params:xml:ns:pidf";

/// A location.
#[derive(Clone, PartialEq, Eq)]
pub enum Location {
    /// A point in WGS 84, in degrees as they were written, with the radius in metres that it may be off by.
    Point {
        /// -90 to 90.
        latitude: String,
        /// -180 to 180.
        longitude: String,
        /// The uncertainty (`u=` of RFC 5870).
        radius_m: Option<String>,
    },
    /// A PIDF-LO document (RFC 5491) as it is.
    Document(String),
    /// Where a location server gives it out: `https:`, `http:`, `sips:`, `sip:` or `pres:`.
    Reference(String),
}

/// Why something is no location.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LocationError {
    /// Not `geo:LATITUDE,LONGITUDE`.
    #[error("`{0}` is no point: write geo:38.8977,-77.0365 or geo:38.8977,-77.0365;u=30 (RFC 5870)")]
    Point(String),
    /// No address of a location server.
    #[error("`{0}` is no address of a location server: https:, sips: or the like")]
    Reference(String),
    /// The file cannot be read.
    #[error("{path}: {why}")]
    File {
        /// The file.
        path: String,
        /// What the system says.
        why: String,
    },
    /// Not a PIDF document.
    #[error("{0} is no PIDF-LO document: it does not name {PIDF}")]
    NoPidf(String),
    /// More than a call should carry.
    #[error("{0} has more than 64 KiB")]
    TooLong(String),
}

impl Location {
    /// A PIDF-LO document from a file.
    ///
    /// # Errors
    /// When it cannot be read or is no such document.
    pub fn load(path: &Path) -> Result<Self, LocationError> {
        let name = path.display().to_string();
        let text = match file::read_text(path, Limit::of("a location", LONGEST)) {
            Ok(text) => text,
            Err(FileError::TooLong { .. }) => return Err(LocationError::TooLong(name)),
            Err(error) => return Err(LocationError::File { path: name, why: error.to_string() }),
        };
        if !text.contains(PIDF) {
            return Err(LocationError::NoPidf(name));
        }
        Ok(Self::Document(text))
    }

    /// As a call carries it: the document is about `entity`, and its part is named by `content_id`.
    pub(crate) fn to_sip(&self, entity: &str, content_id: &str) -> Option<ua::Location> {
        let pidf = match self {
            Self::Reference(uri) => return Uri::parse(uri).ok().map(ua::Location::Reference),
            Self::Document(text) => text.clone(),
            Self::Point { latitude, longitude, radius_m } => {
                document(entity, latitude, longitude, radius_m.as_deref())
            }
        };
        Some(ua::Location::Value { content_id: content_id.to_owned(), pidf: pidf.into_bytes().into() })
    }
}

impl FromStr for Location {
    type Err = LocationError;

    /// `geo:` (RFC 5870), or the address of a location server.
    fn from_str(text: &str) -> Result<Self, LocationError> {
        let (scheme, rest) = text.split_once(':').unwrap_or((text, ""));
        if scheme.eq_ignore_ascii_case("geo") {
            return point(rest).ok_or_else(|| LocationError::Point(text.to_owned()));
        }
        let known =
            ["https", "http", "sips", "sip", "pres"].iter().any(|own| scheme.eq_ignore_ascii_case(own));
        match known && !rest.is_empty() && Uri::parse(text).is_ok() {
            true => Ok(Self::Reference(text.to_owned())),
            false => Err(LocationError::Reference(text.to_owned())),
        }
    }
}

/// The path of a `geo:` URI (RFC 5870 section 3.3): an altitude is passed over, another reference system refused.
fn point(path: &str) -> Option<Location> {
    let mut parts = path.split(';');
    let mut numbers = parts.next()?.split(',');
    let number = |text: &str, most: f64| {
        let value: f64 = text.parse().ok()?;
        let plain = text.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b'.' | b'-'));
        (plain && value.abs() <= most).then(|| text.to_owned())
    };
    let latitude = number(numbers.next()?, 90.0)?;
    let longitude = number(numbers.next()?, 180.0)?;
    let altitude = numbers.next();
    if altitude.is_some_and(|altitude| number(altitude, f64::MAX).is_none()) || numbers.next().is_some() {
        return None;
    }
    let mut radius_m = None;
    for parameter in parts {
        match parameter.split_once('=') {
            Some(("u", radius)) => {
                radius_m = Some(number(radius, 1e7).filter(|radius| !radius.contains('-'))?)
            }
            Some(("crs", system)) if !system.eq_ignore_ascii_case("wgs84") => return None,
            _ => {}
        }
    }
    Some(Location::Point { latitude, longitude, radius_m })
}

/// A point, or a circle around it, as RFC 5491 section 5.2 writes them.
fn document(entity: &str, latitude: &str, longitude: &str, radius_m: Option<&str>) -> String {
    let entity = entity.replace('&', "&amp;").replace('<', "&lt;").replace('"', "&quot;");
    let position = format!("<gml:pos>{latitude} {longitude}</gml:pos>");
    let system = "srsName=\"urn:ogc:def:crs:EPSG::4326\"";
    let shape = match radius_m {
        None => format!("<gml:Point {system}>{position}</gml:Point>"),
        Some(radius) => format!(
            "<gs:Circle {system}>{position}<gs:radius uom=\"urn:ogc:def:uom:EPSG::9001\">{radius}</gs:radius></gs:Circle>"
        ),
    };
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\r\n\
         <presence xmlns=\"{PIDF}\" xmlns:gp=\"urn:ietf:params:xml:ns:pidf:geopriv10\" \
         xmlns:gml=\"http://www.opengis.net/gml\" xmlns:gs=\"http://www.opengis.net/pidflo/1.0\" \
         entity=\"{entity}\">\r\n\
         <tuple id=\"caller\"><status><gp:geopriv><gp:location-info>{shape}</gp:location-info>\
         <gp:usage-rules/><gp:method>Manual</gp:method></gp:geopriv></status></tuple>\r\n\
         </presence>\r\n"
    )
}

/// Where somebody is stays out of logs.
impl fmt::Debug for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Point { .. } => "Point(..)",
            Self::Document(_) => "Document(..)",
            Self::Reference(_) => "Reference(..)",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_are_read_as_rfc_5870_writes_them() {
        for (text, expected) in [
            ("geo:38.8977,-77.0365", Some(("38.8977", "-77.0365", None))),
            ("geo:48.2010,16.3695,183;crs=wgs84;u=40", Some(("48.2010", "16.3695", Some("40")))),
            ("GEO:0,180", Some(("0", "180", None))),
            ("geo:91,0", None),
            ("geo:0,181", None),
            ("geo:1", None),
            ("geo:1,2,3,4", None),
            ("geo:1,2;crs=nad27", None),
            ("geo:1,2;u=-3", None),
            ("geo:inf,2", None),
            ("geo:1<a>,2", None),
        ] {
            let expected = expected.map(|(latitude, longitude, radius)| Location::Point {
                latitude: latitude.to_owned(),
                longitude: longitude.to_owned(),
                radius_m: radius.map(str::to_owned),
            });
            let read = text.parse::<Location>();
            assert!(read.clone().ok() == expected, "{text}: {read:?}");
        }
        assert!("https://ls.test/1".parse::<Location>().is_ok());
        assert!("ftp://ls.test/1".parse::<Location>().is_err());
        assert!("somewhere".parse::<Location>().unwrap_err().to_string().contains("https:"));
    }

    #[test]
    fn a_point_becomes_a_document_about_the_caller() {
        let point: Location = "geo:38.8977,-77.0365;u=30".parse().unwrap();
        let Some(ua::Location::Value { content_id, pidf }) = point.to_sip("sip:a&b@c.test", "here@c.test")
        else {
            panic!("no value")
        };
        let text = String::from_utf8(pidf.0.to_vec()).unwrap();
        assert_eq!(content_id, "here@c.test");
        for part in
            ["entity=\"sip:a&amp;b@c.test\"", "<gml:pos>38.8977 -77.0365</gml:pos>", ">30</gs:radius>", PIDF]
        {
            assert!(text.contains(part), "{part} in {text}");
        }
        assert_eq!(format!("{point:?}"), "Point(..)");
    }
}
