//! `z5 config check|show|init`: judge a configuration, show it without its secrets, write one to begin with. Sends nothing.

use std::path::Path;

use serde::Serialize;
use toml::{Table, Value};
use z5_core::config::{Profile, TEMPLATE};
use z5_core::preflight;
use z5_core::{Config, Failure};

use super::head::Head;
use super::load_file;
use crate::advice;
use crate::args::{ConfigCommand, InitArgs};
use crate::exit::Exit;
use crate::failure::usage;
use crate::output::{self, Output};
use crate::result_file::{self, Readers, Replace};

/// The result object.
#[derive(Serialize)]
struct Line<'a> {
    #[serde(flatten)]
    head: Head<'a>,
    #[serde(flatten)]
    found: Found,
}

/// What a command found.
#[derive(Serialize, Default)]
struct Found {
    #[serde(skip_serializing_if = "Option::is_none")]
    profile: Option<Profile>,
    /// Every nameserver that a session would ask.
    #[serde(skip_serializing_if = "Option::is_none")]
    nameservers: Option<Vec<String>>,
    /// What the file says, secrets as `***`.
    #[serde(skip_serializing_if = "Option::is_none")]
    settings: Option<Table>,
    #[serde(skip_serializing_if = "Option::is_none")]
    written: Option<String>,
}

pub(super) fn run(command: &ConfigCommand, path: Option<&Path>, out: &mut Output) -> Exit {
    let (name, outcome) = match command {
        ConfigCommand::Check => ("config check", check(path, out)),
        ConfigCommand::Show => ("config show", show(path, out)),
        ConfigCommand::Init(_) if path.is_some() => (
            "config init",
            Err(usage("usage.config", "config init takes the file to write, and no --config")),
        ),
        ConfigCommand::Init(args) => ("config init", init(args, out)),
    };
    let (exit, found, failure) = match outcome {
        Ok(found) => (Exit::Ok, found, None),
        Err(failure) => (Exit::Usage, Found::default(), Some(failure)),
    };
    if let Some(failure) = &failure {
        output::failure(failure);
    }
    out.object(&Line { head: Head::new(name, exit, failure.as_ref()), found });
    exit
}

/// Reads everything that a start would read, passwords and authorities too.
fn check(path: Option<&Path>, out: &mut Output) -> Result<Found, Failure> {
    let config = load_file(path)?;
    preflight::readable(&config).map_err(|error| usage(error.code(), error.to_string()))?;
    preflight::sendable(&config).map_err(|error| error.failure())?;
    let profile = config.profile;
    let servers: Vec<String> = preflight::nameservers(&config).iter().map(ToString::to_string).collect();
    let words = match profile {
        Profile::Z5 => "z5: all five steps",
        Profile::Generic => "generic: a SIP account",
    };
    out.note(&format!("{}: good (profile {words})", path.map_or(Path::new("").display(), Path::display)));
    out.note(&match servers.is_empty() {
        true => "names are resolved by the file itself".to_owned(),
        false => format!("names are asked of {}", servers.join(", ")),
    });
    out.note(&format!("whether the network lets it through: {}", output::command("check")));
    Ok(Found { profile: Some(profile), nameservers: Some(servers), ..Found::default() })
}

fn show(path: Option<&Path>, out: &mut Output) -> Result<Found, Failure> {
    let config: Config = load_file(path)?;
    let path = path.unwrap_or(Path::new(""));
    let settings = settings(path)?;
    if matches!(out, Output::Human(_)) {
        let text = toml::to_string(&settings).map_err(|error| unreadable(path, &error.to_string()))?;
        output::print(&output::plain(&text));
    }
    Ok(Found { profile: Some(config.profile), settings: Some(settings), ..Found::default() })
}

fn unreadable(path: &Path, why: &str) -> Failure {
    usage("config.unreadable", format!("cannot read the configuration file {}: {why}", path.display()))
}

/// What a file says, secrets as `***`.
pub(super) fn settings(path: &Path) -> Result<Table, Failure> {
    let text = Config::text(path).map_err(|error| usage(error.code(), error.to_string()))?;
    let mut settings: Table = toml::from_str(&text).map_err(|error| unreadable(path, error.message()))?;
    mask(&mut settings);
    Ok(settings)
}

/// Whatever stands where a password may stand, also in the wrong place of the three.
fn mask(table: &mut Table) {
    for (key, value) in table.iter_mut() {
        match value {
            Value::Table(inner) => mask(inner),
            Value::Array(items) => {
                for item in items {
                    if let Value::Table(inner) = item {
                        mask(inner);
                    }
                }
            }
            Value::String(text) if key == "password" || (key == "password_env" && !is_variable(text)) => {
                "***".clone_into(text);
            }
            Value::String(_)
            | Value::Integer(_)
            | Value::Float(_)
            | Value::Boolean(_)
            | Value::Datetime(_) => {}
        }
    }
}

/// A name that environment variables have; anything else may be the password itself.
fn is_variable(name: &str) -> bool {
    name.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_')
}

fn init(args: &InitArgs, out: &mut Output) -> Result<Found, Failure> {
    let Some(file) = &args.file else {
        if matches!(out, Output::Human(_)) {
            output::print(TEMPLATE);
        }
        return Ok(Found { settings: toml::from_str(TEMPLATE).ok(), ..Found::default() });
    };
    // a password may come to stand in it
    result_file::write(file, Replace::Nothing, Readers::Owner, TEMPLATE.as_bytes())
        .map_err(|why| usage("config.not-written", why))?;
    let (name, quoted) = (file.display(), advice::quoted(&file.display().to_string()));
    out.note(&format!("wrote {name}; fill it in, then: z5 --config {quoted} config check"));
    Ok(Found { written: Some(file.display().to_string()), ..Found::default() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_masked_wherever_they_stand() {
        let text = "[zdial]\npassword = \"hunter2\"\nnumber = \"+1\"\n[sip]\npassword_env = \"hunter3\"\n\
             [other]\npassword_env = \"Z5_PASSWORD\"\npassword_file = \"a.secret\"\n[[list]]\npassword = \"hunter4\"\n";
        let mut table: Table = toml::from_str(text).unwrap();
        mask(&mut table);
        let shown = toml::to_string(&table).unwrap();
        assert!(!shown.contains("hunter"), "{shown}");
        for kept in ["Z5_PASSWORD", "a.secret", "+1"] {
            assert!(shown.contains(kept), "{shown}");
        }
    }
}
