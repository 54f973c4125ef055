//! A commented configuration to begin with.

/// Every key with what it means; those that a session cannot be without stand there with values to be replaced.
pub const TEMPLATE: &str = include_str!("template.toml");

#[cfg(test)]
mod tests {
    use super::super::schema::TABLES;
    use super::*;
    use crate::Config;

    /// Takes the mark away from every line that shows a key.
    fn uncommented() -> String {
        let shows_a_key = |line: &str| {
            line.strip_prefix("# ").and_then(|line| line.split_once(" = ")).is_some_and(|(key, _)| {
                key.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
            })
        };
        let line = |line: &str| if shows_a_key(line) { line[2..].to_owned() } else { line.to_owned() };
        TEMPLATE.lines().map(|text| line(text) + "\n").collect()
    }

    #[test]
    fn it_is_a_configuration_as_it_stands_and_with_every_key() {
        Config::parse(TEMPLATE, "template.toml").unwrap().check().unwrap();
        Config::parse(&uncommented(), "template.toml").unwrap();
    }

    #[test]
    fn it_shows_every_key_in_its_table() {
        let text = uncommented();
        let mut table = String::new();
        let mut shown = Vec::new();
        for line in text.lines() {
            if let Some(name) = line.strip_prefix('[') {
                table = name.trim_matches(['[', ']']).to_owned();
            } else if let Some((key, _)) = line.split_once(" = ").filter(|_| !line.starts_with('#')) {
                shown.push(format!("{table}.{key}"));
            }
        }
        for (table, keys) in TABLES.iter().filter(|(table, _)| !table.is_empty()) {
            for key in
                keys.iter().filter(|key| TABLES.iter().all(|(other, _)| *other != format!("{table}.{key}")))
            {
                assert!(
                    shown.contains(&format!("{table}.{key}")),
                    "template.toml does not show {table}.{key}"
                );
            }
        }
    }
}
