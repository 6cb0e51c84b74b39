//! Signatures and claims: from the text of a token to a [`Verified`] one.
//!
//! A [`Verifier`] holds a [`KeySet`], an issuer and an audience. Each key is pinned to one
//! [`Algorithm`], so a token's header never chooses how it is checked. Whether a token that holds
//! was revoked is the next question, and not asked here.

mod algorithm;
mod claims;
mod compact;
mod error;
mod explain;
mod header;
mod json;
mod key;
mod rules;
#[cfg(test)]
mod vectors;
mod verified;
mod verifier;

pub(crate) use self::key::weakness;
pub use self::{
    algorithm::{Algorithm, UnknownAlgorithm},
    error::VerifyError,
    key::{
        KeyError, KeySet, KeySetError, RefusedKey, SignError, SigningKey, VerificationKey,
        WeakSecret,
    },
    rules::BornAt,
    verified::Verified,
    verifier::Verifier,
};
