//! Where the program keeps what survives a run, when the configuration does not say: a directory for each account under the user's
//! data directory (XDG base directories; LOCALAPPDATA on Windows).

use std::ffi::OsString;
use std::path::PathBuf;

use z5_core::Config;
use z5_core::config::StoreSetting;

/// The configuration with a store, unless it says that there is to be none, or nobody knows where.
pub(crate) fn placed(mut config: Config) -> Config {
    if config.store.is_none() {
        config.store = default_directory(&config, |name| std::env::var_os(name)).map(StoreSetting::Directory);
    }
    config
}

/// The store of this configuration.
pub(crate) fn directory(config: &Config) -> Option<PathBuf> {
    match placed(config.clone()).store {
        Some(StoreSetting::Directory(path)) => Some(path),
        Some(StoreSetting::None) | None => None,
    }
}

fn default_directory(config: &Config, variable: impl Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    // A relative path there is to be ignored (XDG Base Directory Specification).
    let absolute = |name| variable(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let data = if cfg!(windows) {
        absolute("LOCALAPPDATA")
    } else {
        absolute("XDG_DATA_HOME").or_else(|| Some(absolute("HOME")?.join(".local/share")))
    };
    Some(data?.join("z5").join(file_name(&config.account())))
}

/// The account as a name that every file system takes; two accounts never have the same.
fn file_name(account: &str) -> String {
    let mut name = String::new();
    for byte in account.bytes() {
        match byte {
            b'a'..=b'z' | b'0'..=b'9' | b'@' | b'-' | b'_' => name.push(char::from(byte)),
            b'.' if !name.is_empty() => name.push('.'),
            _ => name += &format!("%{byte:02x}"),
        }
    }
    name
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn generic(user: &str) -> Config {
        let text = format!(
            "profile = \"generic\"\n[sip]\ndomain = \"Example.ORG\"\nusername = {user:?}\npassword = \"x\"\n"
        );
        Config::parse(&text, "z5.toml").unwrap()
    }

    fn place(user: &str, variables: &[(&str, &str)]) -> Option<PathBuf> {
        let variable =
            |name: &str| variables.iter().find(|(own, _)| *own == name).map(|(_, value)| value.into());
        default_directory(&generic(user), variable)
    }

    #[cfg(not(windows))]
    #[test]
    fn each_account_has_a_directory_of_its_own_where_data_belong() {
        let own = [("XDG_DATA_HOME", "/data"), ("HOME", "/home/a")];
        assert_eq!(place("alice", &own).as_deref(), Some(Path::new("/data/z5/alice@example.org")));
        let home = [("XDG_DATA_HOME", "relative"), ("HOME", "/home/a")];
        let usual = Path::new("/home/a/.local/share/z5/alice@example.org");
        assert_eq!(place("alice", &home).as_deref(), Some(usual));
        assert_eq!(place("alice", &[]), None);
        // Names that differ only in case are two accounts, and no name leads anywhere else.
        let odd = place("../Alice", &own).unwrap();
        assert_eq!(odd, Path::new("/data/z5/%2e.%2f%41lice@example.org"));
        assert_eq!(odd.parent(), Some(Path::new("/data/z5")));
    }

    #[test]
    fn a_configuration_that_names_a_store_or_none_is_obeyed() {
        let mut config = generic("alice");
        config.store = Some(StoreSetting::None);
        assert_eq!((directory(&config), placed(config).store), (None, Some(StoreSetting::None)));
        let mut config = generic("alice");
        config.store = Some(StoreSetting::Directory("here".into()));
        assert_eq!(directory(&config), Some("here".into()));
    }
}
