//! Why a key was refused.

use crate::{
    defaults,
    token::KeyId,
    verify::{Algorithm, WeakSecret},
};

/// Why a key was refused. Nothing secret is in it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// An HMAC key shorter than the output of its hash (RFC 7518 §3.2).
    #[error("an {algorithm} secret needs at least {needed} bytes, this one has {found}")]
    TooShort {
        /// The algorithm that the key is for.
        algorithm: Algorithm,
        /// The bytes it needs.
        needed: usize,
        /// The bytes it has.
        found: usize,
    },
    /// A secret that others can guess.
    #[error("the secret is {0}: generate one, for example with `openssl rand -base64 48`")]
    Weak(#[source] WeakSecret),
    /// The key is of another type than its algorithm takes.
    #[error("the key is not one for {0}")]
    WrongType(Algorithm),
    /// An RSASSA-PSS key (`id-RSASSA-PSS`, RFC 4055 §3.1) whose type or parameters do not allow the
    /// algorithm.
    #[error(
        "the key is restricted to RSASSA-PSS, by parameters that do not allow {0}: use PS256, PS384 or PS512 with the hash that it names"
    )]
    Restricted(Algorithm),
    /// A JWK is pinned to another algorithm than the one asked for.
    #[error("the key is for another algorithm than {0}")]
    OtherAlgorithm(Algorithm),
    /// A JWK is for none of the algorithms asked for.
    #[error("the key is for none of the algorithms that were asked for")]
    NotListed,
    /// A JWK whose `alg`, `kty` or `crv` this crate does not support.
    #[error("{member:?} is {value:?}, which is not supported")]
    Unsupported {
        /// The member of the JWK.
        member: &'static str,
        /// Its value, cut short.
        value: String,
    },
    /// A symmetric JWK without `alg`, and the caller names no algorithm.
    #[error("the key does not say its algorithm: add \"alg\", or name the algorithm")]
    NoAlgorithm,
    /// `use` is not `sig`, or `key_ops` lacks `verify` (RFC 7517 §4.2, §4.3).
    #[error("the key is not meant for verifying signatures ({0:?} says so)")]
    OtherUse(&'static str),
    /// A private key where a public one is wanted. Whoever could read it can sign.
    #[error("this is a private key, and must not be where public keys are kept")]
    Private,
    /// A public key where a private one is wanted.
    #[error("this is a public key, which cannot sign")]
    Public,
    /// RSA with fewer than 2048 or more than 8192 bits.
    #[error("an RSA key needs 2048 to 8192 bits, this one has {0}")]
    RsaSize(usize),
    /// An RSA modulus or exponent with which signatures mean nothing.
    #[error("the RSA key is not sound")]
    UnsoundRsa,
    /// The certificate in `x5c` is that of another key (RFC 7517 §4.7).
    #[error("the key is not that of its certificate (\"x5c\")")]
    OtherCertificate,
    /// A point that is not on its curve, or with which signatures mean nothing.
    #[error("the public key is not a valid point of its curve")]
    InvalidPoint,
    /// Not PEM, DER or JSON of the expected form.
    #[error("the key is malformed: {0}")]
    Malformed(&'static str),
    /// A `kid` that is empty, not a text, longer than [`MAX_ID_BYTES`](defaults::MAX_ID_BYTES), or so
    /// long in JSON that a header with it exceeds [`MAX_HEADER_BYTES`](defaults::MAX_HEADER_BYTES).
    #[error("the key id is empty, not a text, or too long for the header of a token")]
    InvalidKeyId,
    /// Another key of the set has the same id.
    #[error("another key of the set has the same id {}", .0.quoted())]
    DuplicateKeyId(KeyId),
    /// Symmetric and public keys in one set: whoever can read such a set can sign.
    #[error("symmetric and public keys must not be in one set")]
    Mixed,
    /// More keys than a set may have.
    #[error("a key set has at most {} keys", defaults::MAX_KEYS)]
    TooMany,
    /// The cryptographic library could not make a key.
    #[error("the key could not be generated")]
    Generation,
}

/// Why a JWK set was refused as a whole.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeySetError {
    /// Longer than [`MAX_JWKS_BYTES`](defaults::MAX_JWKS_BYTES).
    #[error("the key set is longer than {} bytes", defaults::MAX_JWKS_BYTES)]
    TooLong,
    /// Not a JSON object with one array `keys` (RFC 7517 §5).
    #[error("the key set is not a JWK set")]
    Malformed,
    /// No key of it can be used: verifying with it would refuse every token.
    #[error("the key set has no usable key{}", first_reason(.0))]
    NoUsableKey(Vec<RefusedKey>),
}

fn first_reason(refused: &[RefusedKey]) -> String {
    refused
        .first()
        .map_or_else(String::new, |key| format!(": {key}"))
}

/// A key of a JWK set that was left out, and why.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("key {index} of the set ({}): {reason}", .id.as_ref().map_or("no kid".to_owned(), |id| id.quoted().to_string()))]
#[non_exhaustive]
pub struct RefusedKey {
    /// Its place in the array, from 0.
    pub index: usize,
    /// Its `kid`, if it has a readable one.
    pub id: Option<KeyId>,
    /// Why it was left out.
    pub reason: KeyError,
}

/// Why a token could not be signed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SignError {
    /// The claims cannot be written as JSON.
    #[error("the claims cannot be serialised")]
    Serialize(#[source] serde_json::Error),
    /// The claims are not a JSON object (RFC 7519 §4).
    #[error("the claims are not a JSON object")]
    NotAnObject,
    /// The header would be longer than any verifier accepts, because of its `typ`.
    #[error(
        "the token's header would be longer than {} bytes: its \"typ\" is too long",
        defaults::MAX_HEADER_BYTES
    )]
    HeaderTooLong,
    /// The token would be longer than any verifier accepts.
    #[error("the token would be longer than {} bytes", defaults::MAX_TOKEN_BYTES)]
    TooLong,
    /// The cryptographic library refused.
    #[error("the signature could not be made")]
    Signature,
}
