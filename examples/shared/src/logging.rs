//! The log, on stderr.

use std::io::{IsTerminal as _, stderr};

use tracing_subscriber::EnvFilter;

/// Logs to stderr what `RUST_LOG` asks for, by default from `info` up. In colours on a terminal only,
/// and not where `NO_COLOR` says otherwise: files and collectors get plain text.
pub(crate) fn log_to_stderr() {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(!plain && stderr().is_terminal())
        .with_writer(stderr)
        .init();
}
