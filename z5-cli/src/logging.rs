//! Logs go to standard error, quiet by default. `Z5_LOG` takes a filter and wins over `-v`.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

/// Starts logging. A filter that cannot be read is said so and replaced by the one of `-v`.
pub(crate) fn start(verbose: u8) {
    let level = match verbose {
        0 => "z5_core=warn,z5_media=warn,z5_sip=warn,z5_mock=warn",
        1 => "z5_core=debug,z5_media=debug,z5_sip=debug,z5_mock=debug",
        _ => "z5_core=trace,z5_media=trace,z5_sip=trace,z5_mock=trace,hickory_resolver=debug,rustls=debug",
    };
    let filter = match std::env::var("Z5_LOG") {
        Ok(text) => EnvFilter::try_new(&text).unwrap_or_else(|error| {
            crate::output::error(&format!("Z5_LOG: {error}; using -v instead"));
            EnvFilter::new(level)
        }),
        Err(_) => EnvFilter::new(level),
    };
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none())
        .with_writer(|| crate::output::ErrorLines)
        .init();
}
