//! Every key of the configuration file, table by table, to find the nearest valid name of a misspelt one.
//!
//! Serde decides what is accepted; a test keeps this list equal to what serde knows.

/// Tables by path and their keys. `licence.keys` is an array of tables.
pub(super) const TABLES: &[(&str, &[&str])] = &[
    (
        "",
        &[
            "profile",
            "dns",
            "names",
            "zdial",
            "tls",
            "mcs",
            "licence",
            "contacts",
            "sip",
            "emergency",
            "media",
            "timeouts",
            "retry",
            "egress",
            "device",
            "store",
        ],
    ),
    ("dns", &["servers", "system", "hosts"]),
    ("names", &["zdial", "mcs_lb", "mcs", "mcs_node1", "mcs_node2"]),
    ("zdial", &["port", "username", "password", "password_env", "password_file", "number"]),
    ("tls", &["ca_file", "ca_pem"]),
    ("mcs", &["https_port", "sip_port", "sips_port"]),
    ("licence", &["issuer", "audience", "keys"]),
    ("licence.keys", &["kid", "public_key_pem", "x"]),
    ("contacts", &["uri", "protocol", "servers", "username", "password", "password_env", "password_file"]),
    (
        "sip",
        &[
            "domain",
            "username",
            "password",
            "password_env",
            "password_file",
            "auth_username",
            "display_name",
            "proxy",
            "transport",
            "expires",
            "mwi",
            "owner_uri",
            "owner_card",
            "flows",
            "keep_alive",
            "udp_keep_alive",
        ],
    ),
    (
        "emergency",
        &[
            "location",
            "location_file",
            "location_with_registration",
            "provider_info",
            "service_info",
            "device_info",
            "subscriber_info",
            "comment",
        ],
    ),
    (
        "media",
        &[
            "bind",
            "ports",
            "shared_ports",
            "packet_threads",
            "realtime",
            "audio_codecs",
            "silence_suppression",
            "srtp",
            "srtp_suites",
            "text",
            "when_silent",
            "video",
            "video_kbps",
        ],
    ),
    ("timeouts", &["dns", "sign_in", "provision", "register", "call", "media_silent"]),
    ("retry", &["mode", "first_pause", "longest_pause"]),
    ("egress", &["guard", "allow"]),
    ("device", &["instance_id"]),
];

/// How alike two names must be before one is offered for the other, 0 to 1 (Jaro-Winkler).
pub(super) const ALIKE: f64 = 0.75;

/// The keys of a table; none for a table of free names such as `dns.hosts`.
pub(super) fn keys(table: &str) -> Option<&'static [&'static str]> {
    TABLES.iter().find(|(path, _)| *path == table).map(|(_, keys)| *keys)
}

/// The valid name most like `key`: in the same table first, else the same word in another table.
pub(super) fn nearest(table: &str, key: &str) -> Option<String> {
    let lower = key.to_ascii_lowercase().replace('-', "_");
    let here = keys(table).unwrap_or_default();
    let best = here
        .iter()
        .map(|name| (strsim::jaro_winkler(name, &lower), *name))
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .filter(|(score, _)| *score >= ALIKE);
    if let Some((_, name)) = best {
        return Some(name.to_owned());
    }
    TABLES
        .iter()
        .find(|(path, keys)| *path != table && !path.is_empty() && keys.contains(&lower.as_str()))
        .map(|(path, _)| format!("{path}.{lower}"))
}
