//! Keys, each pinned to one algorithm.

mod der;
mod edwards;
mod error;
mod file;
mod jwk;
mod pem;
mod public;
mod secret;
mod set;
mod signing;
mod verification;

pub(crate) use self::secret::weakness;
pub use self::{
    error::{KeyError, KeySetError, RefusedKey, SignError},
    secret::WeakSecret,
    set::KeySet,
    signing::SigningKey,
    verification::VerificationKey,
};
