//! The dimensions in which tokens are revoked.

use std::{fmt, sync::Arc};

/// In which respect tokens are revoked.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Dimension {
    /// One token, by its `jti`.
    Jti,
    /// One session, by its `sid`.
    Session,
    /// One user, by `sub`.
    Subject,
    /// One OAuth client, by `client_id` or `azp`.
    Client,
    /// All tokens of an issuer, by `iss`.
    Issuer,
    /// All tokens signed with a key, by `kid` or the key's thumbprint.
    Key,
    /// All sessions of one user but the kept ones, by `sub`. Only for our own tokens.
    OtherSessions,
    /// One session that outlives [`OtherSessions`](Self::OtherSessions), by `sid`. Its entry revokes
    /// nothing: cutoffs of `OtherSessions` below it do not cover the session.
    KeptSession,
    /// All tokens that carry a value in a claim that the application named.
    Claim(ClaimName),
}

impl Dimension {
    /// The name under which the dimension is hashed and logged.
    pub fn name(&self) -> &str {
        match self {
            Self::Jti => "jti",
            Self::Session => "session",
            Self::Subject => "subject",
            Self::Client => "client",
            Self::Issuer => "issuer",
            Self::Key => "key",
            Self::OtherSessions => "other_sessions",
            Self::KeptSession => "kept_session",
            Self::Claim(name) => name.as_str(),
        }
    }
}

impl fmt::Display for Dimension {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The name of an application's claim that is a revocation dimension, such as `tenant`.
///
/// Lower-case letters, digits and underscores, at most 64 of them. The names of the built-in
/// dimensions are taken, and so are the registered claims that have one.
///
/// ```
/// use jwt_revoke_core::revocation::ClaimName;
///
/// assert!(ClaimName::new("tenant_id").is_ok());
/// assert!(ClaimName::new("subject").is_err());
/// assert!(ClaimName::new("https://example.com/tenant").is_err());
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ClaimName(Arc<str>);

impl ClaimName {
    /// Checks a name.
    ///
    /// # Errors
    ///
    /// [`InvalidClaimName`] if the name has other characters, is empty or too long, or is taken.
    pub fn new(name: &str) -> Result<Self, InvalidClaimName> {
        let shape = (1..=64).contains(&name.len())
            && name
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
        if !shape || TAKEN.contains(&name) {
            return Err(InvalidClaimName(name.chars().take(80).collect()));
        }
        Ok(Self(name.into()))
    }

    /// The name as it stands in the token.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The name cannot be a revocation dimension.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} cannot be a revocation dimension: 1 to 64 of a-z, 0-9 and _, and not a built-in one"
)]
pub struct InvalidClaimName(String);

/// Built-in dimensions, and the registered claims behind them or without a value to revoke by.
const TAKEN: [&str; 18] = [
    "jti",
    "session",
    "subject",
    "client",
    "issuer",
    "key",
    "other_sessions",
    "kept_session",
    "sid",
    "sub",
    "client_id",
    "azp",
    "iss",
    "kid",
    "exp",
    "nbf",
    "iat",
    "aud",
];
