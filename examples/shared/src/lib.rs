//! What the example programs share: settings from the environment, the key file, a user table, the
//! OAuth clients, the log, and the curl lines to try.

mod key_file;
mod logging;
mod oauth;
mod ready;
mod settings;
mod try_it;
mod users;

pub use self::{
    key_file::{KeyFileError, signing_key},
    logging::log_to_stderr,
    oauth::{OAuthError, oauth},
    ready::ready_or_soon,
    settings::{Settings, SettingsError},
    try_it::try_it,
    users::Users,
};
