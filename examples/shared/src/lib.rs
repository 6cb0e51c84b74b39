//! What the example programs share: settings from the environment, the key file, a user table, the
//! OAuth clients, the log, how they start and stop, and the curl lines to try.

mod key_file;
mod logging;
mod malformed;
mod oauth;
mod ready;
mod settings;
mod start;
mod try_it;
mod users;

pub use self::{
    key_file::{KeyFileError, signing_key},
    malformed::malformed,
    oauth::{OAuthError, oauth},
    settings::{Settings, SettingsError},
    start::{announce, asked_to_stop, cannot_listen, run, sessions},
    try_it::try_it,
    users::Users,
};
