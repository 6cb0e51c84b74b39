//! What the example programs share: settings from the environment, the key file, a user table, the
//! OAuth clients, the log, how they start and stop, and the curl lines to try.

mod key_file;
mod listen;
mod logging;
mod malformed;
mod oauth;
mod ready;
mod seldom;
mod settings;
mod start;
mod stop;
mod try_it;
mod users;

/// What a request to a WebSocket is told that asks for none (RFC 9110 §15.5.22, RFC 6455 §4.4).
pub const NO_UPGRADE: &str = "this is a WebSocket of version 13: open it as one";

pub use self::{
    key_file::{KeyFileError, signing_key},
    listen::listen,
    malformed::malformed,
    oauth::{OAuthError, oauth},
    seldom::{login_failed, not_ready},
    settings::{Settings, SettingsError},
    start::{announce, run, sessions},
    stop::{Held, Stop},
    try_it::try_it,
    users::{Busy, Users},
};
