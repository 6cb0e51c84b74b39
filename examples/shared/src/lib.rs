//! What the example programs share: settings from the environment, the key file, a user table, and
//! the curl lines to try.

mod key_file;
mod settings;
mod try_it;
mod users;

pub use self::{
    key_file::{KeyFileError, signing_key},
    settings::{Settings, SettingsError},
    try_it::try_it,
    users::Users,
};
