//! The log, on stderr.

use std::{
    env::{self, VarError},
    io::{IsTerminal as _, stderr},
};

use tracing_subscriber::EnvFilter;

/// Logs to stderr what `RUST_LOG` asks for, by default from `info` up. In colours on a terminal only,
/// and not where `NO_COLOR` says otherwise: files and collectors get plain text.
pub(crate) fn log_to_stderr() {
    let (filter, fault) = match env::var("RUST_LOG") {
        Err(VarError::NotPresent) => (EnvFilter::new("info"), None),
        Err(error) => (EnvFilter::new("info"), Some(error.to_string())),
        Ok(directives) => match EnvFilter::try_new(&directives) {
            Ok(filter) => (filter, None),
            Err(error) => (EnvFilter::new("info"), Some(error.to_string())),
        },
    };
    let plain = env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(!plain && stderr().is_terminal())
        .with_writer(stderr)
        .init();
    if let Some(fault) = fault {
        tracing::warn!("RUST_LOG cannot be understood, so `info` counts: {fault}");
    }
}
