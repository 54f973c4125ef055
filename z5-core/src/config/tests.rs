//! Configurations good and bad, with the place and words of each complaint.

use super::*;

const GOOD: &str = r#"
profile = "z5"
[dns]
servers = ["127.0.0.1:15353"]
hosts = { "fixed.test" = ["127.0.0.1", "::1"] }
[names]
zdial = "zdial.champvrs.test"
mcs_lb = "lb.mcs.csdvrs.test"
mcs = "mcs.csdvrs.test"
mcs_node1 = "mcs1.mcs.csdvrs.test"
mcs_node2 = "mcs2.mcs.csdvrs.test"
[zdial]
port = 8443
username = "alice"
password = "wonderland"
[tls]
ca_file = "ca.pem"
[mcs]
https_port = 8444
sip_port = 5080
[licence]
issuer = "mcs"
audience = "z5"
keys = [{ kid = "k1", x = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo" }]
[media]
bind = "127.0.0.1"
ports = "20000-20999"
audio_codecs = ["PCMA"]
srtp = "optional"
[timeouts]
dns = 2000
"#;

fn complaint(text: &str) -> String {
    let path = std::path::Path::new("z5.toml");
    let config = match Config::parse(text, path) {
        Ok(config) => config,
        Err(error) => return format!("{}: {error}", error.code()),
    };
    config.check().map_or_else(|error| format!("{}: {error}", error.code()), |()| "fine".to_owned())
}

fn changed(from: &str, to: &str) -> String {
    assert!(GOOD.contains(from), "{from}");
    complaint(&GOOD.replacen(from, to, 1))
}

#[test]
fn a_full_configuration_is_read() {
    let config = Config::parse(GOOD, "dir/z5.toml").unwrap();
    config.check().unwrap();
    assert_eq!(config.profile, Profile::Z5);
    assert_eq!(config.dns.servers[0], HostPort { host: "127.0.0.1".into(), port: Some(15353) });
    assert_eq!(config.media.ports, Some(PortRange::new(20_000, 20_999)));
    assert_eq!(config.media.audio_codecs, [AudioCodec::Pcma]);
    assert_eq!(config.media.srtp, SrtpMode::Optional);
    assert_eq!(config.timeouts.dns, Millis(2000));
    assert_eq!(config.tls.ca_file.as_deref(), Some(std::path::Path::new("dir/ca.pem")));
    assert_eq!(config.zdial_password().unwrap().unwrap().expose(), "wonderland");
    assert!(!format!("{config:?}").contains("wonderland"));
}

#[test]
fn every_mistake_is_told_with_its_place() {
    let told = [
        changed("sip_port = 5080", "sip_prot = 5080"),
        changed("[media]", "[meda]"),
        changed("kid = \"k1\"", "kidd = \"k1\""),
        changed("port = 8443", "port = \"8443\""),
        changed("port = 8443", "port = 70000"),
        changed("port = 8443", "port = 0"),
        changed("username = \"alice\"\n", ""),
        changed("password = \"wonderland\"\n", ""),
        changed("password = \"wonderland\"", "password = \"a\"\npassword_env = \"B\""),
        changed("20000-20999", "20999-20000"),
        changed("20000-20999", "20001-20001"),
        changed("20000-20999", "many"),
        changed("\"PCMA\"", "\"G729\""),
        changed("\"optional\"", "\"maybe\""),
        changed("\"127.0.0.1:15353\"", "\"ns.test:53\""),
        changed("\"127.0.0.1:15353\"", ""),
        changed("11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo", "short"),
        changed("dns = 2000", "dns = 0"),
        changed("profile = \"z5\"", "profile = \"z6\""),
        changed("profile = \"z5\"", "profile = "),
        complaint("profile = \"generic\"\n"),
        complaint("profile = \"generic\"\n[sip]\ndomain=\"sip.test\"\nusername=\"a\"\npassword=\"b\"\n"),
    ];
    // One codec more or less by the feature `opus`.
    insta::assert_snapshot!(told.join("\n---\n").replace("opus, ", ""));
}

#[test]
fn all_mistakes_of_a_file_are_told_at_once() {
    let several = GOOD
        .replace("sip_port = 5080", "sip_prot = 5080")
        .replace("port = 8443", "port = 70000")
        .replace("\"optional\"", "\"maybe\"")
        .replace("\"PCMA\"", "\"G729\"");
    let Err(ConfigError::Invalid(problems)) = Config::parse(&several, "z5.toml") else {
        panic!("it is good")
    };
    let lines: Vec<_> = problems.iter().map(|problem| problem.line.unwrap()).collect();
    assert!(lines.is_sorted() && lines.len() == 4, "{problems:?}");
    for key in ["mcs.sip_prot", "zdial.port", "media.srtp", "media.audio_codecs"] {
        let end = key.rsplit('.').next().unwrap();
        assert!(problems.iter().any(|problem| problem.key.ends_with(end)), "{key}: {problems:?}");
    }
    // What is missing because it could not be used is not told a second time.
    let Err(ConfigError::Invalid(one)) =
        Config::parse(&GOOD.replace("username = \"alice\"", "username = 5"), "z5.toml")
    else {
        panic!("it is good")
    };
    assert_eq!(one.len(), 1, "{one:?}");
}

#[test]
fn a_generic_account_with_an_address_needs_no_nameserver() {
    let text = "profile = \"generic\"\n[sip]\ndomain = \"example.test\"\nusername = \"a\"\npassword = \"b\"\n\
                proxy = \"127.0.0.1:5060\"\n";
    assert_eq!(complaint(text), "fine");
}

#[test]
fn a_location_that_is_to_be_sent_has_to_be_there() {
    let text = format!("{GOOD}\n[emergency]\nlocation_with_registration = true\n");
    let told = complaint(&text);
    assert!(told.contains("`emergency.location_with_registration`: there is no location to send"), "{told}");
    let text = text + "location = \"https://ls.test/1\"\n";
    assert_eq!(complaint(&text), "fine");
}

#[test]
fn servers_of_the_address_book_are_names_of_hosts() {
    let with =
        |server: &str| complaint(&format!("{GOOD}\n[contacts]\nservers = [\"a.test\", \"{server}\"]\n"));
    assert_eq!(with("dav.hoster.test"), "fine");
    for wrong in ["https://dav.test", "dav.test:443", "dav.test/a", "*.test", ""] {
        let told = with(wrong);
        assert!(
            told.contains(&format!("`contacts.servers[1]`: `{wrong}` is not the name of a host")),
            "{told}"
        );
    }
}

#[test]
fn packet_threads_are_one_to_sixteen() {
    let with =
        |threads: &str| changed("[media]", &format!("[media]\npacket_threads = {threads}\nrealtime = true"));
    assert_eq!((with("1").as_str(), with("16").as_str()), ("fine", "fine"));
    for (threads, word) in [("0", "0 is outside 1 to 16"), ("17", "17 is outside 1 to 16")] {
        let told = with(threads);
        assert!(told.contains("`media.packet_threads`") && told.contains(word), "{told}");
    }
}

#[test]
fn shared_ports_need_a_pair_for_each_medium() {
    let with = |ports: &str, more: &str| {
        let media = format!("[media]\nports = \"{ports}\"\nshared_ports = true\n{more}");
        complaint(&format!(
            "profile = \"generic\"\n[sip]\ndomain = \"example.test\"\nusername = \"a\"\npassword = \"b\"\n\
             proxy = \"127.0.0.1:5060\"\n{media}"
        ))
    };
    assert_eq!(with("20000-20003", ""), "fine");
    assert_eq!(with("20000-20001", "text = false\n"), "fine");
    for (ports, more) in [("20000-20002", ""), ("20001-20005", "video = \"blank\"\n")] {
        let told = with(ports, more);
        assert!(told.contains("`media.shared_ports`") && told.contains(ports), "{told}");
    }
}

#[test]
fn load_gives_the_line_of_what_check_finds() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("z5.toml");
    std::fs::write(&file, GOOD.replace("port = 8443", "port = 0")).unwrap();
    let error = Config::load(&file).unwrap_err().to_string();
    assert!(error.contains("z5.toml:13: `zdial.port`"), "{error}");
    let error = Config::load(dir.path().join("absent.toml")).unwrap_err();
    assert_eq!(error.code(), "config.unreadable");
}

#[test]
fn the_list_of_keys_is_what_serde_accepts() {
    for (table, keys) in schema::TABLES {
        let text = match *table {
            "" => "zzz = 1\n".to_owned(),
            "licence.keys" => {
                "[licence]\nissuer = \"\"\naudience = \"\"\n[[licence.keys]]\nzzz = 1\n".to_owned()
            }
            table => format!("[{table}]\nzzz = 1\n"),
        };
        let message = toml::from_str::<Config>(&text).unwrap_err().message().to_owned();
        let expected: Vec<&str> = message.split('`').skip(3).step_by(2).collect();
        assert_eq!(expected, *keys, "{table}: {message}");
    }
}

/// A value of another type, or beside what may stand there, is told by its key and in words: no name of a type of ours.
#[test]
fn every_value_that_is_mistyped_is_told_in_words() {
    let raw = ["invalid type", "invalid value", "invalid length", "expected", "variant", "struct ", "``"];
    let mut mistakes = 0;
    for (table, keys) in schema::TABLES {
        for key in *keys {
            let mut refused = 0;
            for value in ["true", "-7.5", "99999999", "\"zzz\"", "[[1]]", "{ zzz = 1 }"] {
                let text = match *table {
                    "" => format!("{key} = {value}\n"),
                    "licence.keys" => format!(
                        "[licence]\nissuer = \"\"\naudience = \"\"\n[[licence.keys]]\nkid = \"k\"\n{key} = {value}\n"
                    )
                    .replace("kid = \"k\"\nkid", "kid"),
                    table => format!("[{table}]\n{key} = {value}\n"),
                };
                let Err(error) = Config::parse(&text, "z5.toml") else { continue };
                let told = error.to_string();
                assert!(!raw.iter().any(|raw| told.contains(raw)), "{table}.{key} = {value}: {told}");
                assert!(told.starts_with("z5.toml"), "{table}.{key} = {value}: {told}");
                refused += 1;
                mistakes += usize::from(told.contains(key));
            }
            assert!(refused > 0, "{table}.{key} takes everything");
        }
    }
    assert!(mistakes > 200, "{mistakes}");
}

#[test]
fn a_password_comes_from_the_environment_or_a_file() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("secret"), "from a file\n").unwrap();
    let text = GOOD.replace("password = \"wonderland\"", "password_file = \"secret\"");
    let config = Config::parse(&text, dir.path().join("z5.toml")).unwrap();
    assert_eq!(config.zdial_password().unwrap().unwrap().expose(), "from a file");
    let text = GOOD.replace("password = \"wonderland\"", "password_env = \"Z5_TEST_UNSET_VARIABLE\"");
    let config = Config::parse(&text, "z5.toml").unwrap();
    let error = config.zdial_password().unwrap_err().to_string();
    assert!(error.contains("Z5_TEST_UNSET_VARIABLE"), "{error}");
}

#[test]
fn hosts_and_ports_in_all_their_forms() {
    let form = |text: &str| text.parse::<HostPort>().map(|it| it.to_string());
    assert_eq!(form("a.test").as_deref(), Ok("a.test"));
    assert_eq!(form("a.test:5060").as_deref(), Ok("a.test:5060"));
    assert_eq!(form("[::1]:5060").as_deref(), Ok("[::1]:5060"));
    assert_eq!(form("::1").as_deref(), Ok("::1"));
    for bad in ["", ":5060", "a:0", "a:x", "a:70000", "[::1", "[::1]x", "a b", "a:1:2"] {
        assert!(form(bad).is_err(), "{bad}");
    }
}

#[test]
fn a_password_is_in_no_complaint() {
    for wrong in ["123456", "123456.0", "[123456]", "{ a = 123456 }", "123456-01-01", "123456 x", "x123456"] {
        for key in ["password", "password_env", "password_file"] {
            let told = changed("password = \"wonderland\"", &format!("{key} = {wrong}"));
            assert!(told.starts_with("config."), "{told}");
            assert!(!told.contains("123456"), "{key} = {wrong}: {told}");
        }
    }
    let config = GOOD.replacen("password = \"wonderland\"", "password_env = \"Hunter-123456\"", 1);
    let told = Config::parse(&config, "z5.toml").unwrap().zdial_password().unwrap_err().to_string();
    assert!(told.contains("password_env") && !told.contains("123456"), "{told}");
}

#[test]
fn media_needs_an_address_that_the_far_end_can_send_to() {
    for nobody in ["0.0.0.0", "::"] {
        let told = changed("bind = \"127.0.0.1\"", &format!("bind = \"{nobody}\""));
        assert!(told.starts_with("config.bad-value") && told.contains("media.bind"), "{told}");
    }
}
