//! What the example programs share: settings from the environment, the key file, a user table, the
//! OAuth clients, and the curl lines to try.

mod key_file;
mod oauth;
mod settings;
mod try_it;
mod users;

pub use self::{
    key_file::{KeyFileError, signing_key},
    oauth::{OAuthError, oauth},
    settings::{Settings, SettingsError},
    try_it::try_it,
    users::Users,
};
